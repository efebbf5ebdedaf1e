//! The Open Inference Protocol.

use serde_json::{Value, json};
use stemson_server::{Config, ModelConfig, OipDatatype, OipLayout};

use crate::wire::{Client, Serving, config};

fn serving() -> Serving {
    let models = [
        ("churn", "gbm_bernoulli"),
        ("price", "gbm_gaussian"),
        ("numbers", "gbm_numeric"),
        ("exposed", "gbm_bernoulli_offset"),
    ];
    Serving::start(config(), &models)
}

fn infer(client: &mut Client, model: &str, request: &Value) -> Value {
    client.post(&format!("/v2/models/{model}/infer"), request.to_string()).ok()
}

/// What V1 answers, as the outputs of this protocol.
fn v1(client: &mut Client, model: &str, rows: &Value) -> Vec<(Value, Vec<f64>)> {
    let body = json!({ "instances": rows }).to_string();
    let answer = client.post(&format!("/v1/models/{model}:predict"), body).ok();
    let rows = answer["predictions"].as_array().expect("a list").iter();
    rows.map(|row| {
        let mut p: Vec<f64> =
            row["p"].as_object().expect("p").values().filter_map(Value::as_f64).collect();
        p.sort_by(f64::total_cmp);
        (row["label"].clone(), p)
    })
    .collect()
}

/// The same from an answer of this protocol.
fn outputs(answer: &Value) -> Vec<(Value, Vec<f64>)> {
    let (labels, p) = (&answer["outputs"][0], &answer["outputs"][1]);
    assert_eq!((&labels["name"], &p["name"]), (&json!("predict"), &json!("probabilities")));
    assert_eq!((&labels["datatype"], &p["datatype"]), (&json!("BYTES"), &json!("FP64")));
    let rows = labels["shape"][0].as_u64().expect("rows") as usize;
    let classes = p["shape"][1].as_u64().expect("classes") as usize;
    let p: Vec<f64> =
        p["data"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!(p.len(), rows * classes);
    let labels = labels["data"].as_array().expect("a list").iter().cloned();
    labels
        .zip(p.chunks(classes))
        .map(|(label, p)| {
            let mut p = p.to_vec();
            p.sort_by(f64::total_cmp);
            (label, p)
        })
        .collect()
}

#[test]
fn all_layouts_give_the_answer_of_the_row_protocol() {
    let serving = serving();
    let mut client = serving.http();
    let rows = json!([{ "x1": 1.5, "c3": "red", "k": 3 }, { "x1": -0.25, "c3": "green" }]);
    let expected = v1(&mut client, "churn", &rows);

    let columns = json!({ "inputs": [
        { "name": "x1", "shape": [2], "datatype": "FP64", "data": [1.5, -0.25] },
        { "name": "c3", "shape": [2, 1], "datatype": "BYTES", "data": [["red"], ["green"]] },
        { "name": "k", "shape": [2, 1], "datatype": "FP32", "data": [3, "NaN"] },
        { "name": "nobody", "shape": [2], "datatype": "INT8", "data": [1, 2] },
    ]});
    assert_eq!(outputs(&infer(&mut client, "churn", &columns)), expected, "columns");

    let texts: Vec<String> =
        rows.as_array().expect("rows").iter().map(ToString::to_string).collect();
    let objects = json!({ "inputs": [
        { "name": "row", "shape": [2], "datatype": "BYTES", "data": texts },
    ]});
    assert_eq!(outputs(&infer(&mut client, "churn", &objects)), expected, "rows");

    let names = client.get("/v2/models/churn").ok()["inputs"].clone();
    let names: Vec<&str> =
        names.as_array().expect("inputs").iter().filter_map(|i| i["name"].as_str()).collect();
    // Levels by index: the model's domain of `c3` is blue, green, red.
    let place = |name: &str, first: f64, second: Value| -> (usize, Value, Value) {
        let at = names.iter().position(|other| *other == name).expect(name);
        (at, json!(first), second)
    };
    let cells =
        [place("x1", 1.5, json!(-0.25)), place("c3", 2.0, json!(1)), place("k", 3.0, Value::Null)];
    let mut matrix = vec![vec![Value::Null; names.len()]; 2];
    for (at, first, second) in cells {
        matrix[0][at] = first;
        matrix[1][at] = second;
    }
    for data in [json!(matrix), json!(matrix.concat())] {
        let request = json!({ "inputs": [
            { "name": "input", "shape": [2, names.len()], "datatype": "FP64", "data": data },
        ]});
        assert_eq!(outputs(&infer(&mut client, "churn", &request)), expected, "matrix");
    }
}

#[test]
fn numbers_of_every_type_are_the_same_numbers() {
    let serving = serving();
    let mut client = serving.http();
    let expected = v1(&mut client, "churn", &json!([{ "k": 3 }]));
    for datatype in [
        "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
        "FP64",
    ] {
        let request = json!({ "inputs": [
            { "name": "k", "shape": [1], "datatype": datatype, "data": [3] },
        ]});
        assert_eq!(outputs(&infer(&mut client, "churn", &request)), expected, "{datatype}");
    }
    let expected = v1(&mut client, "churn", &json!([{ "tf": true }]));
    for (datatype, data) in
        [("BOOL", json!([true])), ("BOOL", json!([1])), ("BYTES", json!(["true"]))]
    {
        let request = json!({ "inputs": [{ "name": "tf", "shape": [1], "datatype": datatype, "data": data }]});
        assert_eq!(outputs(&infer(&mut client, "churn", &request)), expected, "{datatype} {data}");
    }
}

#[test]
fn the_answer_has_what_was_asked_for() {
    let serving = serving();
    let mut client = serving.http();
    let request = json!({
        "id": "call-7",
        "inputs": [{ "name": "x1", "shape": [1], "datatype": "FP64", "data": [1] }],
        "outputs": [{ "name": "probabilities", "parameters": { "binary_data": false } }],
    });
    let answer = infer(&mut client, "churn", &request);
    assert_eq!(answer["id"], "call-7");
    assert_eq!((&answer["model_name"], &answer["model_version"]), (&json!("churn"), &json!("1")));
    assert_eq!(answer["parameters"]["digest"].as_str().map(str::len), Some(64));
    assert_eq!(answer["outputs"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["outputs"][0]["name"], "probabilities");
    assert_eq!(answer["outputs"][0]["shape"], json!([1, 2]));

    let price =
        json!({ "inputs": [{ "name": "x1", "shape": [2], "datatype": "FP64", "data": [1, 2] }]});
    let price = infer(&mut client, "price", &price);
    assert_eq!(price.get("id"), None);
    assert_eq!(price["outputs"].as_array().map(Vec::len), Some(1));
    let predict = &price["outputs"][0];
    assert_eq!((&predict["datatype"], &predict["shape"]), (&json!("FP64"), &json!([2])));

    let none = json!({ "inputs": [{ "name": "x1", "shape": [0], "datatype": "FP64", "data": [] }]});
    let none = infer(&mut client, "churn", &none);
    assert_eq!(none["outputs"][1]["shape"], json!([0, 2]));
}

#[test]
fn the_offset_is_an_extra_input() {
    let serving = serving();
    let mut client = serving.http();
    let metadata = client.get("/v2/models/exposed").ok();
    let inputs = metadata["inputs"].as_array().expect("inputs").clone();
    let offset = inputs.last().expect("one")["name"].as_str().expect("a name").to_owned();
    let width = inputs.len() - 1;
    let expected = v1(&mut client, "exposed", &json!([{ offset.clone(): 1.5 }]));
    let matrix = json!({ "name": "input", "shape": [1, width], "datatype": "FP64",
        "data": vec![Value::Null; width] });
    let extra = json!({ "name": offset, "shape": [1], "datatype": "FP64", "data": [1.5] });
    let both = json!({ "inputs": [matrix, extra] });
    assert_eq!(outputs(&infer(&mut client, "exposed", &both)), expected);
    let without = json!({ "inputs": [matrix] });
    assert_ne!(outputs(&infer(&mut client, "exposed", &without)), expected);
}

#[test]
fn metadata_shows_what_a_model_takes() {
    let serving = serving();
    let mut client = serving.http();
    let server = client.get("/v2").ok();
    assert_eq!(server["name"], "stemson");
    assert!(server["extensions"].is_array());
    let churn = client.get("/v2/models/churn").ok();
    assert_eq!((&churn["name"], &churn["versions"]), (&json!("churn"), &json!(["1"])));
    assert_eq!(churn["inputs"][0], json!({ "name": "x1", "datatype": "FP64", "shape": [-1] }));
    let levels = churn["inputs"].as_array().expect("inputs").iter();
    assert!(levels.filter(|input| input["datatype"] == "BYTES").count() > 0);
    assert_eq!(
        churn["outputs"],
        json!([
            { "name": "predict", "datatype": "BYTES", "shape": [-1] },
            { "name": "probabilities", "datatype": "FP64", "shape": [-1, 2] },
        ])
    );
    let numbers = client.get("/v2/models/numbers").ok();
    let inputs = numbers["inputs"].as_array().expect("inputs");
    assert_eq!((inputs.len(), &inputs[0]["name"]), (1, &json!("input")));
    assert_eq!(
        client.get("/v2/models/churn/ready").ok(),
        json!({ "name": "churn", "ready": true })
    );
    client.get("/v2/models/nobody").refused(404, "unknown_model");
    client.get("/v2/models/nobody/ready").refused(404, "unknown_model");
}

#[test]
fn a_version_is_a_number_an_alias_or_a_digest() {
    let serving = serving();
    let mut client = serving.http();
    let digest = client.get("/v1/models/churn").ok()["revision"].clone();
    let digest = digest.as_str().expect("text");
    let body = r#"{"inputs":[{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    for version in ["1", "stable", &digest[..12], digest] {
        let path = format!("/v2/models/churn/versions/{version}");
        assert_eq!(client.get(&path).ok()["parameters"]["digest"], digest, "{version}");
        client.get(&format!("{path}/ready")).ok();
        client.post(&format!("{path}/infer"), body).ok();
    }
    for version in ["2", "canary", "newest", "0123456789ab"] {
        let path = format!("/v2/models/churn/versions/{version}");
        client.get(&path).refused(404, "unknown_version");
        client.get(&format!("{path}/ready")).refused(404, "unknown_version");
        client.post(&format!("{path}/infer"), body).refused(404, "unknown_version");
    }
}

#[test]
fn what_is_wrong_with_a_tensor_is_said() {
    let serving = serving();
    let mut client = serving.http();
    let one = |tensor: &str| format!("{{\"inputs\":[{tensor}]}}");
    for (body, needle) in [
        ("{}".to_owned(), "`inputs` is missing"),
        ("[]".to_owned(), "inputs"),
        (one("3"), "a tensor {name, shape, datatype, data}"),
        (one(r#"{"shape":[1],"datatype":"FP64","data":[1]}"#), "inputs[0]: `name` is missing"),
        (one(r#"{"name":"x1","datatype":"FP64","data":[1]}"#), "input `x1`: `shape` is missing"),
        (one(r#"{"name":"x1","shape":[1],"data":[1]}"#), "input `x1`: `datatype` is missing"),
        (one(r#"{"name":"x1","shape":[1],"datatype":"FP64"}"#), "input `x1`: `data` is missing"),
        (
            one(r#"{"name":"x1","shape":[2],"datatype":"FP64","data":[1]}"#),
            "holds 2 elements, `data` has 1",
        ),
        (one(r#"{"name":"x1","shape":[-1],"datatype":"FP64","data":[1]}"#), "input `x1`: `shape`"),
        (one(r#"{"name":"x1","shape":"1","datatype":"FP64","data":[1]}"#), "`shape` as a list"),
        (
            one(r#"{"name":"x1","shape":[99999999999,99999999999],"datatype":"FP64","data":[1]}"#),
            "too many elements",
        ),
        (
            one(r#"{"name":"x1","shape":[1,2],"datatype":"FP64","data":[[1],[2]]}"#),
            "nested as [2, 1]",
        ),
        (one(r#"{"name":"x1","shape":[2],"datatype":"FP64","data":[1,[2]]}"#), "different depths"),
        (
            one(r#"{"name":"x1","shape":[1],"datatype":"FLOAT","data":[1]}"#),
            "`datatype` is `FLOAT`",
        ),
        (one(r#"{"name":"x1","shape":[1],"datatype":"FP64","data":["a"]}"#), "`data` holds text"),
        (one(r#"{"name":"x1","shape":[1],"datatype":"INT8","data":[300]}"#), "is no INT8"),
        (one(r#"{"name":"c3","shape":[1],"datatype":"BYTES","data":[1]}"#), "BYTES takes text"),
        (
            one(r#"{"name":"x1","shape":[1,2],"datatype":"FP64","data":[1,2]}"#),
            "expected [rows] or [rows, 1]",
        ),
        (
            one(r#"{"name":"input","shape":[1,3],"datatype":"FP64","data":[1,2,3]}"#),
            "expected [rows, 12]",
        ),
    ] {
        let message = client.post("/v2/models/churn/infer", &body).refused(400, "bad_field");
        assert!(message.contains(needle), "{body}: {message}");
    }
}

#[test]
fn what_is_wrong_between_tensors_is_said() {
    let serving = serving();
    let mut client = serving.http();
    let one = |tensor: &str| format!("{{\"inputs\":[{tensor}]}}");
    let x1 = r#"{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}"#;
    for (body, needle) in [
        (one(&format!("{x1},{x1}")), "input `x1` stands twice"),
        (
            one(&format!("{x1},{}", r#"{"name":"k","shape":[2],"datatype":"FP64","data":[1,2]}"#)),
            "input `k` has 2 rows, input `x1` has 1",
        ),
        (one(r#"{"name":"row","shape":[2],"datatype":"BYTES","data":["{}","[1]"]}"#), "element 1"),
        (
            one(r#"{"name":"row","shape":[1],"datatype":"BYTES","data":["{"]}"#),
            "element 0 is not a JSON object",
        ),
        (
            format!("{{\"inputs\":[{x1}],\"outputs\":[{{\"name\":\"wish\"}}]}}"),
            "no `wish`, only predict, index, probabilities",
        ),
        (format!("{{\"inputs\":[{x1}],\"id\":7}}"), "`id`"),
        (
            format!("{{\"inputs\":[{x1}],\"parameters\":{{\"timeout\":\"soon\"}}}}"),
            "`timeout` as a whole number",
        ),
        (
            format!("{{\"inputs\":[{x1}],\"parameters\":{{\"strict\":true}}}}"),
            "is missing, and the request is strict",
        ),
        (one(""), "none of the inputs is a column"),
    ] {
        let message = client.post("/v2/models/churn/infer", &body).refused(400, "bad_field");
        assert!(message.contains(needle), "{body}: {message}");
    }
    client.post("/v2/models/churn/infer", "nope").refused(400, "malformed_json");
    client.get("/v2/models/churn/infer").refused(405, "wrong_method");
}

#[test]
fn a_request_has_as_many_inputs_as_a_model_could_use() {
    let serving = serving();
    let mut client = serving.http();
    let inputs = |n: usize| {
        let tensor = |i| format!(r#"{{"name":"n{i}","shape":[1],"datatype":"FP64","data":[1]}}"#);
        let x1 = r#"{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}"#.to_owned();
        let all: Vec<String> = (1..n).map(tensor).chain([x1]).collect();
        format!("{{\"inputs\":[{}]}}", all.join(","))
    };
    // The model has twelve columns; what it does not have is read over.
    client.post("/v2/models/churn/infer", inputs(12 + 1_024)).ok();
    let message = client.post("/v2/models/churn/infer", inputs(12 + 1_025));
    let message = message.refused(400, "bad_field");
    assert!(message.contains("`inputs` has more than 1036 elements"), "{message}");
    let outputs = vec![r#"{"name":"predict"}"#; 1_025].join(",");
    let body = format!("{{\"inputs\":[],\"outputs\":[{outputs}]}}");
    let message = client.post("/v2/models/churn/infer", body).refused(400, "bad_field");
    assert!(message.contains("`outputs` has more than 1024 elements"), "{message}");
}

#[test]
fn null_is_as_if_it_were_not_there() {
    let serving = serving();
    let mut client = serving.http();
    let plain = json!({ "inputs": [
        { "name": "x1", "shape": [1], "datatype": "FP64", "data": [1.5] }
    ] });
    // As the types of MLServer are written out by pydantic.
    let full = json!({ "id": null, "parameters": null, "outputs": null, "inputs": [
        { "name": "x1", "shape": [1], "datatype": "FP64", "parameters": null, "data": [1.5] }
    ] });
    let chosen = json!({ "inputs": plain["inputs"], "outputs": [
        { "name": "predict", "parameters": null }, { "name": "probabilities", "parameters": null }
    ] });
    let expected = infer(&mut client, "churn", &plain);
    assert_eq!(infer(&mut client, "churn", &full), expected);
    assert_eq!(infer(&mut client, "churn", &chosen)["outputs"], expected["outputs"]);
}

#[test]
fn a_refused_row_refuses_the_request() {
    let serving = serving();
    let mut client = serving.http();
    let columns = client.get("/v2/models/churn").ok()["inputs"].clone();
    let inputs: Vec<Value> = columns
        .as_array()
        .expect("inputs")
        .iter()
        .map(|input| {
            let data = match (&input["name"], &input["datatype"]) {
                (name, _) if name == "c3" => json!(["red", "purple"]),
                _ => json!([null, null]),
            };
            json!({ "name": input["name"], "shape": [2], "datatype": input["datatype"], "data": data })
        })
        .collect();
    let strict = json!({ "inputs": inputs, "parameters": { "strict": true } });
    let reply = client.post("/v2/models/churn/infer", strict.to_string());
    let message = reply.refused(400, "unknown_level");
    assert!(message.contains("row 1") && message.contains("c3"), "{message}");
    infer(&mut client, "churn", &json!({ "inputs": inputs }));
}

#[test]
fn inputs_are_shown_as_the_configuration_says() {
    let of = |layout, datatype| ModelConfig {
        oip_layout: layout,
        oip_datatype: datatype,
        ..ModelConfig::default()
    };
    let models = [
        ("numbers".to_owned(), of(None, Some(OipDatatype::Fp32))),
        ("flat".to_owned(), of(Some(OipLayout::Columns), None)),
        ("churn".to_owned(), of(Some(OipLayout::Matrix), Some(OipDatatype::Fp32))),
        ("rows".to_owned(), of(Some(OipLayout::Rows), None)),
    ];
    let config = Config { models: models.into(), ..config() };
    let cases = [
        ("numbers", "gbm_numeric"),
        ("flat", "gbm_numeric"),
        ("churn", "gbm_bernoulli"),
        ("rows", "gbm_bernoulli"),
    ];
    let serving = Serving::start(config, &cases);
    let mut client = serving.http();
    for (model, first, datatype) in [
        ("numbers", "input", "FP32"),
        ("flat", "", "FP64"),
        ("churn", "input", "FP32"),
        ("rows", "row", "BYTES"),
    ] {
        let metadata = client.get(&format!("/v2/models/{model}")).ok();
        let shown = &metadata["inputs"][0];
        assert_eq!(shown["datatype"], datatype, "{metadata}");
        assert!(first.is_empty() || shown["name"] == first, "{metadata}");
        let config = client.get(&format!("/v2/models/{model}/config")).ok();
        assert_eq!(config["input"][0]["name"], shown["name"]);
        // The example of the description is in the layout that is shown.
        let document = client.get("/openapi.json").ok();
        let infer = format!("/v2/models/{model}/infer");
        let content = &document["paths"][&infer]["post"]["requestBody"]["content"];
        let example = &content["application/json"]["example"];
        assert_eq!(example["inputs"][0]["name"], shown["name"]);
        client.post(&infer, example.to_string()).ok();
    }
    let raw = [("inference-header-content-length", "0")];
    let refused = client.send("POST", "/v2/models/numbers/infer", &raw, b"123");
    assert!(refused.refused(400, "bad_field").contains("FP32"));
}
