//! The clients that people have, over gRPC: every call, datatype, extension and mistake.

use std::fs;
use std::process::Command;

use crate::event_loop::apps;
use crate::serve::Serving;
use crate::{Folder, case, python_of};

/// Names that the script knows, and the models that answer to them.
const MODELS: &[(&str, &str)] = &[
    ("churn", "gbm_bernoulli"),
    ("exposed", "gbm_bernoulli_offset"),
    ("numbers", "gbm_numeric"),
    ("price", "gbm_gaussian"),
];

#[test]
fn tritonclient_kserve_health_and_reflection_fit() {
    let folder = Folder::new();
    fs::create_dir(folder.path("models")).unwrap();
    for (name, id) in MODELS {
        fs::copy(case(id, "model.zip"), folder.path(&format!("models/{name}.zip"))).unwrap();
    }
    let serving = Serving::start(&folder, &["--models", "models"]);
    // Two, for the messages of both clients have the same names.
    for (script, least) in [("conformance_grpc.py", 130), ("conformance_kserve_grpc.py", 3)] {
        let run = Command::new(python_of("tests-clients"))
            .arg(apps().join(script))
            .args([&serving.grpc, &serving.http, &case("gbm_multi", "model.zip")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        let failed: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{}\n{stderr}", failed.join("\n"));
        let held = said.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(held >= least, "{script}: {held} checks were made");
    }
}
