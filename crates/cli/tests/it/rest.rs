//! The clients that people have, against a running server: every route, datatype, extension and
//! mistake of the REST protocols.

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
    ("grade", "gbm_multi"),
    ("calibrated", "gbm_platt"),
    ("price", "gbm_gaussian"),
    ("clusters", "kmeans_mixed"),
    ("odd", "isofor_flag"),
    ("words", "word2vec"),
    ("encoder", "te_multi"),
    ("latent", "glrm_quadratic"),
    ("auto", "dl_autoencoder"),
    ("uplift", "uplift"),
];

#[test]
fn tritonclient_and_kserve_drive_it_unchanged() {
    let folder = Folder::new();
    let serving = serve(&folder, MODELS);
    holds("conformance_rest.py", &[&serving.http], 150);
}

/// Serves models under the names that a script of checks knows.
pub(crate) fn serve(folder: &Folder, models: &[(&str, &str)]) -> Serving {
    serve_with(folder, models, &[])
}

/// The same, with more arguments.
pub(crate) fn serve_with(folder: &Folder, models: &[(&str, &str)], arguments: &[&str]) -> Serving {
    fs::create_dir(folder.path("models")).unwrap();
    for (name, id) in models {
        fs::copy(case(id, "model.zip"), folder.path(&format!("models/{name}.zip"))).unwrap();
    }
    Serving::start(folder, &[&["--models", "models"], arguments].concat())
}

/// Runs a script of checks, each of which it says by name: all hold, and so many at least are made.
/// Its last argument is a model to load.
pub(crate) fn holds(script: &str, addresses: &[&str], least: usize) {
    let run = Command::new(python_of("tests-clients"))
        .arg(apps().join(script))
        .args(addresses)
        .arg(case("gbm_multi", "model.zip"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{stderr}", failed.join("\n"));
    let held = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(held >= least, "{script}: {held} checks were made");
}
