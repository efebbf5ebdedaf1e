//! Models of every category, by every protocol, with the answers of h2o-genmodel.

use serde_json::{Map, Value, json};
use stemson_mojo::{LoadOptions, Model};

use crate::v1::{answers, expected, is_near, rows};
use crate::wire::{Client, Serving, artifact, config};

/// One case of each category, and of what explains itself.
const CASES: &[&str] = &[
    "gbm_multi",
    "gbm_platt",
    "glm_ordinal",
    "gbm_gaussian",
    "coxph_plain",
    "kmeans_mixed",
    "isofor_flag",
    "extisofor",
    "uplift",
    "pca_standardize",
    "glrm_quadratic",
    "dl_autoencoder",
    "te_multi",
    "word2vec",
    "xgb_bernoulli",
    "drf_multi",
];

fn serving() -> Serving {
    let models: Vec<(&str, &str)> = CASES.iter().map(|case| (*case, *case)).collect();
    Serving::start(config(), &models)
}

/// Numbers to the contract's few units, floats to a millionth, all else equal.
fn agrees(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| agrees(f, w))
        }
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && wanted.iter().all(|(key, w)| found.get(key).is_some_and(|f| agrees(f, w)))
        }
        (Value::Number(f), Value::Number(w)) => {
            let (f, w) = (f.as_f64().expect("a number"), w.as_f64().expect("a number"));
            is_near(found, wanted) || (f - w).abs() <= 1e-6 * w.abs()
        }
        _ => found == wanted,
    }
}

/// The answer of V1 with names in place of lists, as the corpus has it.
fn named(key: &str, wanted: &Value, model: &Model) -> Value {
    let names: Vec<String> = match key {
        "p" if model.has_response_domain() => model.labels().to_vec(),
        "p" => (0..model.labels().len()).map(|class| format!("p{class}")).collect(),
        "contributions" => model.contribution_names().unwrap_or_default(),
        _ => return wanted.clone(),
    };
    let values = wanted.as_array().expect("a list").iter().cloned();
    Value::Object(names.into_iter().zip(values).collect::<Map<_, _>>())
}

#[test]
fn v1_answers_and_explains_as_genmodel_does() {
    let serving = serving();
    let mut client = serving.http();
    for case in CASES {
        let model = Model::load(&artifact(case), &LoadOptions::default()).expect(case);
        let (_, answers) = expected(case);
        let mut body = json!({ "instances": rows(case) });
        for (option, part) in [("contributions", "contributions"), ("staged", "staged")] {
            let is_there = answers[0].get(part).is_some_and(Value::is_array);
            if is_there {
                body[option] = json!(true);
            }
        }
        for (option, part) in [("ids", "leaf_ids"), ("paths", "leaf_paths")] {
            if answers[0].get(part).is_some_and(Value::is_array) {
                body["leaf_assignment"] = json!(option);
            }
        }
        if answers[0].get("distances").is_some() {
            body["distances"] = json!(true);
        }
        let reply = client.post(&format!("/v1/models/{case}:predict"), body.to_string()).ok();
        let found = reply["predictions"].as_array().expect("a list");
        assert_eq!(found.len(), answers.len(), "{case}");
        for (row, (found, answer)) in found.iter().zip(&answers).enumerate() {
            let spot = || format!("{case} row {row}: {found} {answer}");
            let parts = ["contributions", "staged", "leaf_ids", "leaf_paths", "distances"];
            let asked = |part: &str| found.get(part).is_some() && answer.get(part).is_some();
            let beside = parts.iter().filter(|part| asked(part)).map(|part| (*part, &answer[part]));
            let inside = answer["out"].as_object().into_iter().flatten();
            for (key, wanted) in inside.map(|(key, wanted)| (key.as_str(), wanted)).chain(beside) {
                let wanted = named(key, wanted, &model);
                assert!(agrees(&found[key], &wanted), "{key} of {}", spot());
            }
            assert!(answer.get("error").is_none() == found.get("error").is_none(), "{}", spot());
        }
    }
}

#[test]
fn explain_gives_a_share_of_each_column() {
    let serving = serving();
    let mut client = serving.http();
    let body = json!({ "instances": [{ "x1": 1.5, "c3": "red" }, {}] }).to_string();
    let answer = client.post("/v1/models/gbm_platt:explain", &body).ok();
    assert_eq!(answer["explanations"].as_array().map(Vec::len), Some(2));
    assert!(answer["explanations"][0]["BiasTerm"].is_number());
    assert!(answer["explanations"][0]["x1"].is_number());
    assert!(answer["predictions"][0].get("contributions").is_none());
    let asked = json!({ "instances": [{ "x1": 1.5, "c3": "red" }], "contributions": true });
    let inside = client.post("/v1/models/gbm_platt:predict", asked.to_string()).ok();
    assert_eq!(inside["predictions"][0]["contributions"], answer["explanations"][0]);
    let refused = client.post("/v1/models/kmeans_mixed:explain", &body);
    refused.refused(400, "not_offered");
}

/// All numbers of a tensor or of a part of a row, in their order.
fn flat(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flat(value, into)),
        other => into.push(other.clone()),
    }
}

fn tensors(client: &mut Client, case: &str, rows: &[Value], outputs: &Value) -> Value {
    let texts: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let input = json!({ "name": "row", "shape": [rows.len()], "datatype": "BYTES", "data": texts });
    let mut request = json!({ "inputs": [input] });
    if !outputs.is_null() {
        request["outputs"] = outputs.clone();
    }
    client.post(&format!("/v2/models/{case}/infer"), request.to_string()).ok()["outputs"].clone()
}

#[test]
fn the_tensors_are_the_parts_of_the_rows() {
    let serving = serving();
    let mut client = serving.http();
    for case in CASES {
        let rows: Vec<Value> = rows(case).into_iter().take(9).collect();
        let body = json!({ "instances": rows }).to_string();
        let v1 = client.post(&format!("/v1/models/{case}:predict"), body).ok();
        let found = v1["predictions"].as_array().expect("a list");
        let good: Vec<usize> =
            (0..rows.len()).filter(|row| found[*row].get("error").is_none()).collect();
        let rows: Vec<Value> = good.iter().map(|row| rows[*row].clone()).collect();
        let outputs = tensors(&mut client, case, &rows, &Value::Null);
        let outputs = outputs.as_array().expect("a list");
        assert!(!outputs.is_empty(), "{case}");
        let metadata = client.get(&format!("/v2/models/{case}")).ok();
        assert_eq!(metadata["outputs"].as_array().map(Vec::len), Some(outputs.len()), "{case}");
        for (output, shown) in outputs.iter().zip(metadata["outputs"].as_array().expect("a list")) {
            let name = output["name"].as_str().expect("a name");
            assert_eq!(
                (&output["name"], &output["datatype"]),
                (&shown["name"], &shown["datatype"])
            );
            let shape = output["shape"].as_array().expect("a shape");
            assert_eq!(shape[0], json!(rows.len()), "{case} {name}");
            let holds: u64 = shape.iter().filter_map(Value::as_u64).product();
            let data = output["data"].as_array().expect("a list");
            assert_eq!(data.len() as u64, holds, "{case} {name}");
            let key = match name {
                "predict" if found[good[0]].get("label").is_some() => "label",
                "predict" => "value",
                "probabilities" => continue,
                "embeddings" => continue,
                name => name,
            };
            // A GLRM starts each row of its own number.
            if *case == "glrm_quadratic" && good.len() != found.len() {
                continue;
            }
            let mut wanted = Vec::new();
            good.iter().for_each(|row| flat(&found[*row][key], &mut wanted));
            assert_eq!(data, &wanted, "{case} {name}");
        }
    }
}

#[test]
fn outputs_that_are_named_are_asked_for() {
    let serving = serving();
    let mut client = serving.http();
    let names = |outputs: &Value| -> Vec<String> {
        let list = outputs.as_array().expect("a list").iter();
        list.map(|output| format!("{} {}", output["name"], output["shape"])).collect()
    };
    for (case, wanted, expected) in [
        ("gbm_platt", json!([{"name":"contributions"}]), vec!["\"contributions\" [1,10]"]),
        (
            "gbm_platt",
            json!([{"name":"calibrated"},{"name":"index"}]),
            vec!["\"calibrated\" [1,2]", "\"index\" [1]"],
        ),
        ("kmeans_mixed", json!([{"name":"distances"}]), vec!["\"distances\" [1,5]"]),
        ("glrm_quadratic", json!([{"name":"reconstructed"}]), vec!["\"reconstructed\" [1,7]"]),
    ] {
        let outputs = tensors(&mut client, case, &[json!({})], &wanted);
        let found = names(&outputs);
        let same_names = found
            .iter()
            .zip(&expected)
            .all(|(found, expected)| found.split(' ').next() == expected.split(' ').next());
        assert!(same_names && found.len() == expected.len(), "{case}: {found:?} {expected:?}");
    }
    let both = json!([{"name":"leaf_ids"},{"name":"leaf_paths"}]);
    let input = json!({ "name": "row", "shape": [1], "datatype": "BYTES", "data": ["{}"] });
    let request = json!({ "inputs": [input], "outputs": both }).to_string();
    let refused = client.post("/v2/models/gbm_platt/infer", &request).refused(400, "bad_field");
    assert!(refused.contains("exclude each other"), "{refused}");
}

#[test]
fn a_list_of_values_is_a_row_in_model_order() {
    let serving = serving();
    let mut client = serving.http();
    let schema = Model::load(&artifact("gbm_multi"), &LoadOptions::default()).expect("a model");
    let names: Vec<String> =
        schema.schema().columns().iter().map(|column| column.name.clone()).collect();
    let row = rows("gbm_multi").remove(3);
    let list: Vec<Value> = names.iter().map(|name| row[name].clone()).collect();
    let body = json!({ "instances": [row, list] }).to_string();
    let answer = client.post("/v1/models/gbm_multi:predict", body).ok();
    assert_eq!(answer["predictions"][0], answer["predictions"][1]);
}

/// GLRM draws by the number of the row in its request, whatever a spare batch was used for before.
#[test]
fn rows_are_counted_from_the_start_of_their_request() {
    let serving = serving();
    let mut client = serving.http();
    let rows: Vec<Value> = rows("glrm_quadratic").into_iter().take(4).collect();
    let ask = |client: &mut Client, rows: &[Value], index: u64| {
        let body = json!({ "instances": rows, "row_index": index }).to_string();
        client.post("/v1/models/glrm_quadratic:predict", body).ok()["predictions"].clone()
    };
    let whole = ask(&mut client, &rows, 0);
    assert_eq!(ask(&mut client, &rows[2..], 2)[1], whole[3]);
    assert_eq!(ask(&mut client, &rows, 0), whole);
    assert!(!answers("glrm_quadratic").is_empty());
}
