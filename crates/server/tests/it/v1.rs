//! KServe V1.

use std::{fs, io};

use serde_json::{Value, json};

use crate::wire::{Client, Serving, case_folder, config};

fn serving() -> Serving {
    let models = [
        ("churn", "gbm_bernoulli"),
        ("price", "gbm_gaussian"),
        ("grade", "gbm_multi"),
        ("calibrated", "gbm_platt"),
        ("shares", "gbm_quasibinomial"),
        ("exposed", "gbm_bernoulli_offset"),
    ];
    Serving::start(config(), &models)
}

pub(crate) fn predict(client: &mut Client, model: &str, instances: &Value) -> Value {
    let body = json!({ "instances": instances }).to_string();
    client.post(&format!("/v1/models/{model}:predict"), body).ok()["predictions"].clone()
}

/// The rows of `input.csv`: every cell is text, an empty one is absent.
pub(crate) fn rows(case: &str) -> Vec<Value> {
    let text = fs::read_to_string(case_folder(case).join("input.csv")).expect(case);
    let mut lines: Vec<Vec<String>> = vec![vec![String::new()]];
    let mut is_quoted = false;
    for c in text.chars() {
        let line = lines.last_mut().expect("a line");
        match c {
            // A doubled quote leaves and enters again; the quote itself is put back below.
            '"' => {
                is_quoted = !is_quoted;
                line.last_mut().expect("a cell").push('"');
            }
            ',' if !is_quoted => line.push(String::new()),
            '\n' if !is_quoted => lines.push(vec![String::new()]),
            '\r' if !is_quoted => {}
            _ => line.last_mut().expect("a cell").push(c),
        }
    }
    let unquote = |cell: &String| -> String {
        match cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None => cell.clone(),
        }
    };
    let header: Vec<String> = lines.remove(0).iter().map(unquote).collect();
    let lines = lines.into_iter().filter(|line| line.len() == header.len());
    lines
        .map(|line| {
            let cells = header.iter().zip(&line).filter(|(_, cell)| !cell.is_empty());
            cells.map(|(name, cell)| (name.clone(), json!(unquote(cell)))).collect()
        })
        .collect()
}

/// The lines of `expected.jsonl.gz`.
pub(crate) fn answers(case: &str) -> String {
    let file = fs::File::open(case_folder(case).join("expected.jsonl.gz")).expect(case);
    io::read_to_string(flate2::read::GzDecoder::new(file)).expect(case)
}

/// The description of the model, and genmodel's lenient answers by row.
pub(crate) fn expected(case: &str) -> (Value, Vec<Value>) {
    let text = answers(case);
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(case));
    let model = lines.next().expect("a description")["model"].clone();
    let is_row = |line: &Value| line["cfg"] == "lenient" && line["row"].is_u64();
    (model, lines.filter(is_row).collect())
}

/// Where `exp` is the last step, the contract allows for a few units in the last place.
pub(crate) fn is_near(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found.to_bits().abs_diff(expected.to_bits()) <= 4,
        _ => found == expected,
    }
}

#[test]
fn answers_as_genmodel_does() {
    let serving = serving();
    let mut client = serving.http();
    for (name, case) in [
        ("churn", "gbm_bernoulli"),
        ("grade", "gbm_multi"),
        ("calibrated", "gbm_platt"),
        ("price", "gbm_gaussian"),
    ] {
        let (model, answers) = expected(case);
        let found = predict(&mut client, name, &Value::from(rows(case)));
        let found = found.as_array().expect("a list");
        assert_eq!(found.len(), answers.len(), "{case}");
        assert!(!found.is_empty(), "{case}");
        for (row, (found, answer)) in found.iter().zip(&answers).enumerate() {
            let (spot, wanted) = (format!("{case} row {row}: {found} {answer}"), &answer["out"]);
            assert_eq!(
                (&found["label"], &found["index"]),
                (&wanted["label"], &wanted["index"]),
                "{spot}"
            );
            assert!(is_near(&found["value"], &wanted["value"]), "{spot}");
            let levels = model["response_domain"].as_array().map_or(&[][..], Vec::as_slice);
            for (class, level) in levels.iter().enumerate() {
                let level = level.as_str().expect("text");
                assert!(is_near(&found["p"][level], &wanted["p"][class]), "{spot}");
                assert!(
                    is_near(&found["calibrated"][class], &wanted["calibrated"][class]),
                    "{spot}"
                );
            }
        }
    }
}

#[test]
fn the_answer_names_its_model_and_levels() {
    let serving = serving();
    let mut client = serving.http();
    let answer = client.post("/v1/models/churn:predict", r#"{"instances":[{"x1":1}]}"#).ok();
    assert_eq!(answer["model"], "churn");
    let digest = client.get("/v1/models/churn").ok()["revision"].clone();
    assert_eq!(answer["revision"], digest);
    assert_eq!(digest.as_str().map(str::len), Some(64));
    let prediction = answer["predictions"][0].as_object().expect("an object");
    let keys: Vec<&String> = prediction.keys().collect();
    assert_eq!(keys, ["index", "label", "p"]);
    assert!(prediction["p"].get(prediction["label"].as_str().expect("text")).is_some());
    // Without a response domain the classes have numbers.
    let shares = &predict(&mut client, "shares", &json!([{}]))[0];
    let keys: Vec<&String> = shares["p"].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["p0", "p1"]);
}

#[test]
fn different_spellings_mean_the_same_row() {
    let serving = serving();
    let mut client = serving.http();
    for (one, other) in [
        (r#"{"x1":1.5}"#, r#"{"x1":"1.5"}"#),
        (r#"{"x1":1}"#, r#"{"x1":1.0}"#),
        (r#"{"x1":1}"#, r#"{"x1":1e0}"#),
        (r#"{"x1":null}"#, "{}"),
        (r#"{"c3":"red"}"#, r#"{"c3":"\u0072ed"}"#),
        (r#"{"c3":"red"}"#, r#"{"c\u0033":"red"}"#),
        (r#"{"c3":"red"}"#, r#"{"c3":"gr\u0065en","c3":"red"}"#),
        (r#"{"c3":"red"}"#, r#"{"c3":"red","nobody":{"knows":[1,{"this":null}]}}"#),
        (r#"{"tf":true}"#, r#"{"tf":"true"}"#),
        (r#"{"x1":2,"c3":"red"}"#, r#"{"c3":"red","x1":2}"#),
        (r#"{"odd":1}"#, r#"{"odd":"1"}"#),
    ] {
        let body = format!("{{\"instances\":[{one},{other}]}}");
        let both = client.post("/v1/models/churn:predict", &body).ok();
        assert_eq!(both["predictions"][0], both["predictions"][1], "{body}");
    }
}

#[test]
fn the_offset_is_a_key_like_others() {
    let serving = serving();
    let mut client = serving.http();
    let metadata = client.get("/v2/models/exposed").ok();
    let inputs = metadata["inputs"].as_array().expect("inputs");
    let offset = inputs.last().expect("one")["name"].as_str().expect("a name");
    let rows = json!([{}, { offset: 0 }, { offset: 1.5 }]);
    let found = predict(&mut client, "exposed", &rows);
    assert_eq!(found[0], found[1]);
    assert_ne!(found[0]["p"], found[2]["p"]);
}

#[test]
fn lenient_takes_what_it_can_and_strict_refuses_the_request() {
    let serving = serving();
    let mut client = serving.http();
    let rows = r#"[{"x1":1},{"c3":"purple"},{"x1":"one"}]"#;
    let lenient = format!("{{\"instances\":{rows},\"strict\":false}}");
    let predictions = &client.post("/v1/models/churn:predict", lenient).ok()["predictions"];
    assert!(predictions.as_array().expect("a list").iter().all(|row| row["label"].is_string()));
    for strict in [
        format!("{{\"instances\":{rows},\"strict\":true}}"),
        format!("{{\"strict\":true,\"instances\":{rows}}}"),
    ] {
        let reply = client.post("/v1/models/churn:predict", strict);
        let message = reply.refused(422, "unknown_level");
        assert!(message.contains("row 1") && message.contains("`c3`"), "{message}");
        assert_eq!((&reply.json()["row"], &reply.json()["column"]), (&json!(1), &json!("c3")));
    }
}

#[test]
fn a_refused_row_stands_in_its_place() {
    // GLM without imputation refuses a row with a missing value itself.
    let serving = Serving::start(config(), &[("skip", "glm_binomial_skip")]);
    let mut client = serving.http();
    let inputs = client.get("/v2/models/skip").ok()["inputs"].clone();
    let refused = answers("glm_binomial_skip").lines().filter(|l| l.contains("\"error\"")).count();
    let predictions = predict(&mut client, "skip", &json!([{}, {}]));
    let predictions = predictions.as_array().expect("a list");
    assert_eq!(predictions.len(), 2);
    if refused > 0 {
        let error = &predictions[0]["error"];
        assert_eq!(error["kind"], "model", "{predictions:?} {inputs}");
        assert!(error["message"].is_string());
    }
}

#[test]
fn many_rows_are_answered_in_their_order() {
    let serving = serving();
    let mut client = serving.http();
    // Over the size that the reactor decodes, and over the rows of one piece.
    let few = rows("gbm_bernoulli");
    let many: Vec<Value> = few.iter().cycle().take(5_000).cloned().collect();
    let expected = predict(&mut client, "churn", &Value::from(few));
    let found = predict(&mut client, "churn", &Value::from(many));
    let (expected, found) =
        (expected.as_array().expect("a list"), found.as_array().expect("a list"));
    assert_eq!(found.len(), 5_000);
    assert!(found.iter().eq(expected.iter().cycle().take(5_000)));
    assert_ne!(expected[0], expected[1]);
    assert_eq!(predict(&mut client, "churn", &json!([])), json!([]));
}

#[test]
fn what_is_wrong_with_a_body_is_said() {
    let serving = serving();
    let mut client = serving.http();
    let deep = format!("{{\"instances\":[{{\"nobody\":{}{}}}]}}", "[".repeat(99), "]".repeat(99));
    for (body, code, needle) in [
        ("", "malformed_json", "line 1 column 0"),
        ("nope", "malformed_json", "line 1 column 2"),
        ("{\"instances\":[{\"x1\":1}", "malformed_json", "column 22"),
        ("{\"instances\":[{\"x1\":1e999}]}", "malformed_json", "out of range"),
        ("{\"instances\":[{\"x1\":NaN}]}", "malformed_json", "column 21"),
        ("{\"instances\":[]} {}", "malformed_json", "trailing"),
        ("[]", "bad_field", "instances"),
        ("{}", "bad_field", "`instances` is missing"),
        ("{\"instances\":{}}", "bad_field", "`instances` as a list"),
        ("{\"instances\":[],\"instances\":[]}", "bad_field", "stands twice"),
        ("{\"instances\":[{},1]}", "bad_field", "instance 1 as an object"),
        ("{\"instances\":[{},[1,2]]}", "bad_field", "instance 1 has 2 values, expected 12"),
        ("{\"instances\":[],\"leaf_assignment\":\"all\"}", "bad_field", "`paths` or `ids`"),
        ("{\"instances\":[],\"row_index\":-1}", "bad_field", "`row_index` as a whole number"),
        ("{\"instances\":[],\"distances\":true}", "not_offered", "distances are for kmeans"),
        ("{\"calibrated\":true,\"instances\":[]}", "not_offered", "calibrated"),
        ("{\"instances\":[{},{\"x1\":[1]}]}", "bad_field", "column `x1` of instance 1"),
        ("{\"instances\":[{\"c3\":{\"a\":1}}]}", "bad_field", "column `c3` of instance 0"),
        ("{\"instances\":[],\"strict\":1}", "bad_field", "`strict` as true or false"),
        (&deep, "bad_field", "nested too deep"),
    ] {
        let message = client.post("/v1/models/churn:predict", body).refused(400, code);
        assert!(message.contains(needle), "{body}: {message}");
    }
    let broken =
        client.send("POST", "/v1/models/churn:predict", &[], b"{\"instances\":[{\"\xff\":1}]}");
    assert!(broken.refused(400, "malformed_json").contains("byte 16"));
}

#[test]
fn the_content_type_does_not_matter() {
    let serving = serving();
    let mut client = serving.http();
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "nonsense"] {
        let headers = [("content-type", content_type)];
        let body = br#"{"instances":[{"x1":1}]}"#;
        client.send("POST", "/v1/models/churn:predict", &headers, body).ok();
    }
}

#[test]
fn models_are_listed_and_unknown_ones_are_not_there() {
    let serving = serving();
    let mut client = serving.http();
    let listed = client.get("/v1/models").ok();
    assert_eq!(
        listed,
        json!({ "models": ["calibrated", "churn", "exposed", "grade", "price", "shares"] })
    );
    let one = client.get("/v1/models/churn").ok();
    assert_eq!(
        (&one["name"], &one["ready"], &one["number"]),
        (&json!("churn"), &json!(true), &json!(1))
    );
    client.get("/v1/models/nobody").refused(404, "unknown_model");
    client.post("/v1/models/nobody:predict", "{}").refused(404, "unknown_model");
    client.post("/v1/models/a%20b:predict", "{}").refused(404, "unknown_model");
    client.post("/v1/models/churn:dance", "{}").refused(404, "unknown_route");
    client.post("/v1/models/churn", "{}").refused(405, "wrong_method");
    client.get("/v1/models/churn:predict").refused(405, "wrong_method");
}

#[test]
fn an_explanation_is_given_whatever_the_options_say() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    let mut explained =
        |body: &str| client.post("/v1/models/churn:explain", body).ok()["explanations"].clone();
    let expected = explained(r#"{"instances":[{"x1":1.5}]}"#);
    assert!(expected[0].is_object(), "{expected}");
    for body in [
        r#"{"contributions":false,"instances":[{"x1":1.5}]}"#,
        r#"{"instances":[{"x1":1.5}],"contributions":false}"#,
    ] {
        assert_eq!(explained(body), expected, "{body}");
    }
}

#[test]
fn many_rows_in_few_bytes_are_answered() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    let body = format!("{{\"instances\":[{}]}}", vec!["{}"; 10_000].join(","));
    assert!(body.len() < 32 << 10);
    let answer = client.post("/v1/models/churn:predict", &body).ok();
    let predictions = answer["predictions"].as_array().expect("rows");
    assert_eq!((predictions.len(), predictions.first()), (10_000, predictions.last()));
}
