//! Answers of the Open Inference Protocol are held to the protocol's own schemas.

use crate::Folder;
use crate::rest::{holds, serve};

/// Binomial with levels, regression, multinomial, a matrix, an offset.
const MODELS: &[(&str, &str)] = &[
    ("churn", "gbm_bernoulli"),
    ("price", "gbm_gaussian"),
    ("grade", "gbm_multi"),
    ("numbers", "gbm_numeric"),
    ("exposed", "gbm_bernoulli_offset"),
];

#[test]
fn the_protocols_own_schemas_hold() {
    let folder = Folder::new();
    let serving = serve(&folder, MODELS);
    holds("oip_schemas.py", &[&serving.http], 40);
}
