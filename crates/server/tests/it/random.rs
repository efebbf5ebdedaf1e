//! Content, however malformed, is answered: never by a 5xx, never by silence.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wire::{Serving, config};

/// JSON that often has the words that decoders look for.
fn body() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "instances",
        "inputs",
        "outputs",
        "name",
        "shape",
        "datatype",
        "data",
        "parameters",
        "x1",
        "c3",
        "row",
        "input",
        "FP64",
        "BYTES",
        "INT8",
        "BOOL",
        "strict",
        "contributions",
        "timeout",
        "binary_data_size",
        "binary_data_output",
        "classification",
        "leaf_assignment",
        "paths",
        "dataframe_split",
        "dataframe_records",
        "columns",
        "params",
        "probabilities",
        "red",
        "id",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (0_i64..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let key = word.clone().prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A tensor that is nearly right.
fn tensor() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["x1", "c3", "k", "row", "input", "nobody"]);
    let datatype = prop::sample::select(vec!["FP64", "FP16", "BYTES", "BOOL", "INT8", "UINT64"]);
    let shape = prop::collection::vec(0_u64..4, 0..3);
    (name, datatype, shape, body()).prop_map(|(name, datatype, shape, data)| {
        json!({ "name": name, "datatype": datatype, "shape": shape, "data": data })
    })
}

#[test]
fn no_body_is_a_fault_of_the_server() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli"), ("words", "word2vec")]);
    let mut client = serving.http();
    let whole = prop_oneof![
        body().prop_map(|body| body.to_string().into_bytes()),
        (prop::collection::vec(tensor(), 0..3), body()).prop_map(|(inputs, p)| {
            json!({ "inputs": inputs, "parameters": p }).to_string().into()
        }),
        body().prop_map(|rows| json!({ "instances": rows }).to_string().into_bytes()),
        body().prop_map(|rows| json!({ "dataframe_split": rows }).to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    let routes = prop::sample::select(vec![
        "/v1/models/churn:predict",
        "/v1/models/words:predict",
        "/v1/models/churn:explain",
        "/v2/models/churn/infer",
        "/v2/models/words/infer",
        "/invocations?model=churn",
        "/invocations?model=words",
        "/v2/repository/index",
        "/v2/trace/setting",
        "/v2/logging",
    ]);
    let headers = prop::sample::select(vec![
        vec![],
        vec![("content-type", "text/csv")],
        vec![("content-encoding", "gzip")],
        vec![("inference-header-content-length", "0")],
        vec![("inference-header-content-length", "40")],
        vec![("accept", "text/csv")],
    ]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let client = std::cell::RefCell::new(&mut client);
    runner
        .run(&(whole, routes, headers), |(body, route, headers)| {
            let reply = client.borrow_mut().send("POST", route, &headers, &body);
            prop_assert!(reply.status < 500, "{} {}", route, reply.body);
            prop_assert!(
                reply.status == 200 || reply.json()["error"].is_string(),
                "{}",
                reply.body
            );
            Ok(())
        })
        .expect("no fault");
    let good = client.borrow_mut().post("/v1/models/churn:predict", r#"{"instances":[{}]}"#);
    good.ok();
}
