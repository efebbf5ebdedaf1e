//! `MLflow`'s and `SageMaker`'s routes, and CSV bodies.

use serde_json::{Value, json};

use crate::wire::{Client, Reply, Serving, config};

fn serving() -> Serving {
    Serving::start(config(), &[("churn", "gbm_bernoulli")])
}

fn invoke(client: &mut Client, headers: &[(&str, &str)], body: &str) -> Reply {
    client.send("POST", "/invocations", headers, body.as_bytes())
}

#[test]
fn every_form_of_a_table_is_the_same_table() {
    let serving = serving();
    let mut client = serving.http();
    let expected = invoke(
        &mut client,
        &[],
        r#"{"dataframe_records":[{"x1":1.5,"c3":"red"},{"x1":-2,"c3":"green"}]}"#,
    )
    .ok();
    let rows = expected["predictions"].as_array().expect("a list");
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["predict"].is_string(), "{expected}");
    assert_eq!(rows[0].as_object().map(serde_json::Map::len), Some(3), "{expected}");
    for body in [
        r#"{"dataframe_split":{"columns":["x1","c3"],"data":[[1.5,"red"],[-2,"green"]]}}"#,
        r#"{"dataframe_split":{"data":[[1.5,"red"],[-2,"green"]],"columns":["x1","c3"]}}"#,
        r#"{"dataframe_split":{"index":[0,1],"columns":["nobody","c3","x1"],
            "data":[[0,"red",1.5],[null,"green",-2]]}}"#,
        r#"{"instances":[{"x1":1.5,"c3":"red"},{"x1":-2,"c3":"green"}]}"#,
        r#"{"inputs":{"x1":[1.5,-2],"c3":["red","green"]}}"#,
        r#"{"inputs":{"x1":[[1.5],[-2]],"c3":[["red"],["green"]],"nobody":[1]}}"#,
        r#"{"inputs":[{"x1":1.5,"c3":"red"},{"x1":-2,"c3":"green"}],"params":{"strict":false}}"#,
    ] {
        assert_eq!(invoke(&mut client, &[], body).ok(), expected, "{body}");
    }
    let csv = "x1,c3\n1.5,red\n-2,green\n";
    for content_type in ["text/csv", "text/csv; charset=utf-8"] {
        let reply = invoke(&mut client, &[("content-type", content_type)], csv);
        assert_eq!(reply.ok(), expected, "{content_type}");
    }
    client.get("/ping").ok();
}

#[test]
fn answers_as_csv_and_options() {
    let serving = serving();
    let mut client = serving.http();
    let csv = "x1,c3\n1.5,red\n";
    let headers = [("content-type", "text/csv"), ("accept", "text/csv")];
    let reply = invoke(&mut client, &headers, csv);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut lines = reply.body.lines();
    let header = lines.next().expect("a header");
    assert!(header.starts_with("predict,"), "{header}");
    let fields = lines.next().expect("a row").split(',').count();
    assert_eq!(fields, header.split(',').count());
    let path = "/invocations?contributions=true";
    let explained = client.send("POST", path, &headers[..1], csv.as_bytes()).ok();
    assert!(explained["predictions"][0]["BiasTerm"].is_number(), "{explained}");
    let params = r#"{"instances":[{"c3":"purple"}],"params":{"strict":true}}"#;
    let message = invoke(&mut client, &[], params).refused(422, "unknown_level");
    assert!(message.contains("row 0"), "{message}");
    let body = r#"{"instances":[{"x1":1}],"params":{"leaf_assignment":"ids"}}"#;
    let leaves = invoke(&mut client, &[], body).ok();
    assert!(leaves["predictions"][0]["leaf_T1.C1"].is_number(), "{leaves}");
}

#[test]
fn v1_takes_csv_too() {
    let serving = serving();
    let mut client = serving.http();
    let path = "/v1/models/churn:predict";
    let wanted = client.post(path, r#"{"instances":[{"x1":1.5,"c3":"red"},{}]}"#).ok();
    let csv = "\u{feff}c3,x1\r\nred,1.5\r\n,\r\n";
    let headers = [("content-type", "text/csv")];
    assert_eq!(client.send("POST", path, &headers, csv.as_bytes()).ok(), wanted);
    for (csv, needle) in [
        ("", "no line with names"),
        ("what,is\n1,2\n", "none of the 2 names"),
        ("x1,c3\n1\n", "line 2 has 1 fields"),
        ("x1\n\"1\n", "line 2: a quoted field"),
    ] {
        let message = client.send("POST", path, &headers, csv.as_bytes()).refused(400, "bad_field");
        assert!(message.contains(needle), "{csv}: {message}");
    }
    let strict = client.send("POST", &format!("{path}?strict=true"), &headers, b"c3\npurple\n");
    strict.refused(422, "unknown_level");
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli"), ("grade", "gbm_multi")]);
    let mut client = serving.http();
    let message = invoke(&mut client, &[], r#"{"instances":[{}]}"#).refused(400, "bad_field");
    assert!(message.contains("churn, grade"), "{message}");
    let named = [("x-amzn-sagemaker-target-model", "churn.zip")];
    for (body, code, needle) in [
        ("", "malformed_json", "line 1"),
        ("{}", "bad_field", "`dataframe_split`"),
        ("[]", "bad_field", "an object with"),
        (r#"{"instances":[],"inputs":[]}"#, "bad_field", "second table"),
        (r#"{"dataframe_records":{}}"#, "bad_field", "`dataframe_records` as a list"),
        (r#"{"dataframe_split":{"data":[[1]]}}"#, "bad_field", "`columns` is missing"),
        (r#"{"dataframe_split":{"columns":["x1"]}}"#, "bad_field", "`data` is missing"),
        (r#"{"dataframe_split":{"columns":["x1"],"data":[[1,2]]}}"#, "bad_field", "more values"),
        (r#"{"dataframe_split":{"columns":["x1","k"],"data":[[1]]}}"#, "bad_field", "fewer values"),
        (
            r#"{"dataframe_split":{"columns":["wish"],"data":[[1]]}}"#,
            "bad_field",
            "none of `columns`",
        ),
        (r#"{"inputs":{"x1":[1],"k":[1,2]}}"#, "bad_field", "column `k` has 2 values"),
        (r#"{"inputs":{"x1":[[1,2]]}}"#, "bad_field", "a row is one value"),
        (r#"{"instances":[],"params":{"strict":7}}"#, "bad_field", "`strict` as true or false"),
    ] {
        let message = invoke(&mut client, &named, body).refused(400, code);
        assert!(message.contains(needle), "{body}: {message}");
    }
    let unknown = [("x-amzn-sagemaker-target-model", "nobody")];
    invoke(&mut client, &unknown, "{}").refused(404, "unknown_model");
    let body: Value =
        client.send("POST", "/invocations?model=grade", &[], br#"{"instances":[{}]}"#).ok();
    assert_eq!(body["predictions"].as_array().map(Vec::len), Some(1));
    assert_ne!(body, json!({}));
}
