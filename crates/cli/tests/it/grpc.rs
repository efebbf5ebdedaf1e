//! The clients that people have, over gRPC: every call, datatype, extension and mistake.

use crate::Folder;
use crate::rest::{holds, serve};

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
    let serving = serve(&folder, MODELS);
    // Two, for the messages of both clients have the same names.
    for (script, least) in [("conformance_grpc.py", 130), ("conformance_kserve_grpc.py", 3)] {
        holds(script, &[&serving.grpc, &serving.http], least);
    }
}
