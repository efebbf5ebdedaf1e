//! Bodies to every route that takes one: no 5xx, no panic.
#![no_main]

use stemson_fuzz::{ask, choose};

const ROUTES: &[&str] = &[
    "/v1/models/gbm_bernoulli:predict",
    "/v1/models/gbm_bernoulli:explain",
    "/v1/models/word2vec:predict",
    "/v2/models/gbm_bernoulli/infer",
    "/v2/models/word2vec/infer",
    "/v2/models/kmeans_mixed/infer",
    "/v2/models/glrm_quadratic/infer",
    "/invocations?model=gbm_bernoulli",
    "/invocations?model=word2vec",
    "/v2/repository/index",
    "/v2/repository/models/kmeans_mixed/load",
    "/v2/trace/setting",
    "/v2/models/kmeans_mixed/trace/setting",
    "/v2/logging",
];

const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("content-type", "text/csv")],
    &[("content-type", "text/csv; header=absent"), ("accept", "text/csv")],
    &[("accept", "text/csv")],
    &[("content-encoding", "gzip")],
    &[("content-encoding", "deflate"), ("accept-encoding", "gzip")],
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [route, headers, body @ ..] = data else { return };
    ask(choose(*route, ROUTES), choose(*headers, HEADERS), body);
});
