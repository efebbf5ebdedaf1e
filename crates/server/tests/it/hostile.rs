//! Whatever a body holds, the answer is about the body: never a 5xx, never a lost connection.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use crate::wire::{Serving, config};

const GOOD: [(&str, &str); 5] = [
    (
        "/v1/models/churn:predict",
        r#"{"instances":[{"x1":1.5,"c3":"r\u0065d","k":null,"tf":true},{"x9":[{}]}],"strict":false}"#,
    ),
    ("/v1/models/churn:predict", r#"{"strict":true,"instances":[{"x1":"-1e5","big":1e300}]}"#),
    (
        "/v2/models/churn/infer",
        r#"{"id":"7","inputs":[{"name":"x1","shape":[2,1],"datatype":"FP32","data":[[1],[-2.5]]},{"name":"c3","shape":[2],"datatype":"BYTES","data":["red",null]}],"outputs":[{"name":"predict"}],"parameters":{"timeout":90000000,"strict":false}}"#,
    ),
    (
        "/v2/models/churn/infer",
        r#"{"inputs":[{"name":"input","shape":[1,12],"datatype":"INT64","data":[1,2,3,4,5,6,2,0,1,-1,0,1]}]}"#,
    ),
    (
        "/v2/models/churn/versions/1/infer",
        r#"{"inputs":[{"name":"row","shape":[2],"datatype":"BYTES","data":["{\"x1\":1}","{\"c3\":\"red\"}"]}]}"#,
    ),
];

/// What is put into a good body.
const PIECES: [&str; 24] = [
    "",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "9007199254740993",
    "\"NaN\"",
    "NaN",
    "\"x1\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "é",
    "[[[[[[",
];

#[test]
fn content_never_causes_a_5xx() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    for (path, body) in GOOD {
        client.post(path, body).ok();
    }
    let change = (any::<Index>(), 0..8_usize, select(&PIECES[..]));
    let bodies = (select(&GOOD[..]), vec(change, 1..4));
    let config = ProptestConfig { cases: 1_500, failure_persistence: None, ..Default::default() };
    let client = std::cell::RefCell::new(client);
    let checked = TestRunner::new(config).run(&bodies, |((path, body), changes)| {
        let mut body = body.as_bytes().to_vec();
        for (at, cut, piece) in changes {
            let at = at.index(body.len() + 1);
            let end = (at + cut).min(body.len());
            body.splice(at..end, piece.bytes());
        }
        let reply = client.borrow_mut().post(path, &body);
        let text = String::from_utf8_lossy(&body);
        prop_assert!(reply.status < 500, "{path} {text}: {}", reply.body);
        if reply.status == 200 {
            reply.json();
        } else {
            let code = reply.json()["code"].clone();
            reply.refused(reply.status, code.as_str().unwrap_or("none"));
        }
        Ok(())
    });
    checked.expect("no body causes a 5xx");
}
