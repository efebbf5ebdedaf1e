//! The extensions of the Open Inference Protocol: binary tensors, compression, repository,
//! statistics, settings, configuration.

use std::io::Write as _;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::wire::{Client, Reply, Serving, artifact, config};

fn serving() -> Serving {
    Serving::start(config(), &[("churn", "gbm_bernoulli"), ("numbers", "gbm_numeric")])
}

/// A request whose tensors stand behind the JSON.
fn binary(request: &Value, tensors: &[&[u8]]) -> (String, Vec<u8>) {
    let mut body = request.to_string().into_bytes();
    let json_bytes = body.len().to_string();
    tensors.iter().for_each(|tensor| body.extend_from_slice(tensor));
    (json_bytes, body)
}

fn send(client: &mut Client, model: &str, json_bytes: &str, body: &[u8]) -> Reply {
    let headers = [("inference-header-content-length", json_bytes)];
    client.send("POST", &format!("/v2/models/{model}/infer"), &headers, body)
}

/// The JSON of an answer, and the bytes behind it.
fn apart(reply: &Reply) -> (Value, Vec<u8>) {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json_bytes: usize = reply
        .header("inference-header-content-length")
        .expect("a binary answer")
        .parse()
        .expect("a number");
    let (json, bytes) = reply.raw.split_at(json_bytes);
    (serde_json::from_slice(json).expect("JSON"), bytes.to_vec())
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    let double = |chunk: &[u8]| f64::from_le_bytes(chunk.try_into().expect("8 bytes"));
    bytes.chunks_exact(8).map(double).collect()
}

#[test]
fn binary_tensors_come_and_go() {
    let serving = serving();
    let mut client = serving.http();
    let words = b"\x03\0\0\0red\x05\0\0\0green";
    let x1: Vec<u8> = [1.5_f32, -0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
    let request = json!({ "id": "b1",
        "inputs": [
            { "name": "c3", "shape": [2], "datatype": "BYTES",
              "parameters": { "binary_data_size": words.len() } },
            { "name": "k", "shape": [2], "datatype": "INT32", "data": [3, 4] },
            { "name": "x1", "shape": [2], "datatype": "FP32",
              "parameters": { "binary_data_size": x1.len() } },
        ],
        "outputs": [
            { "name": "predict", "parameters": { "binary_data": false } },
            { "name": "probabilities", "parameters": { "binary_data": true } },
        ],
    });
    let (json_bytes, body) = binary(&request, &[words, &x1]);
    let reply = send(&mut client, "churn", &json_bytes, &body);
    let (answer, bytes) = apart(&reply);
    assert_eq!(answer["id"], "b1");
    let rows = json!([{ "x1": 1.5, "c3": "red", "k": 3 }, { "x1": -0.25, "c3": "green", "k": 4 }]);
    let v1 = client.post("/v1/models/churn:predict", json!({ "instances": rows }).to_string()).ok();
    let labels: Vec<&Value> = (0..2).map(|row| &v1["predictions"][row]["label"]).collect();
    assert_eq!(json!(labels), answer["outputs"][0]["data"]);
    assert_eq!(answer["outputs"][1]["parameters"]["binary_data_size"], 32);
    let mut expected: Vec<f64> = Vec::new();
    for row in 0..2 {
        let p = v1["predictions"][row]["p"].as_object().expect("p");
        expected.extend(p.values().filter_map(Value::as_f64));
    }
    let found = doubles(&bytes);
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    assert_eq!(sorted(found), sorted(expected));
}

#[test]
fn a_raw_binary_request_is_nothing_but_the_matrix() {
    let serving = serving();
    let mut client = serving.http();
    let shape = client.get("/v2/models/numbers").ok()["inputs"][0]["shape"].clone();
    let width = shape[1].as_u64().expect("columns") as usize;
    let cells: Vec<f64> = (0..2 * width).map(|i| i as f64 * 0.5 - 1.0).collect();
    let body: Vec<u8> = cells.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (answer, bytes) = apart(&send(&mut client, "numbers", "0", &body));
    let matrix = json!({ "inputs": [
        { "name": "input", "shape": [2, width], "datatype": "FP64", "data": cells },
    ]});
    let plain = client.post("/v2/models/numbers/infer", matrix.to_string()).ok();
    let names = |answer: &Value| -> Vec<Value> {
        let outputs = answer["outputs"].as_array().expect("a list").iter();
        outputs.map(|output| output["name"].clone()).collect()
    };
    assert_eq!(names(&answer), names(&plain));
    let last = plain["outputs"].as_array().expect("a list").last().expect("one");
    let expected: Vec<f64> =
        last["data"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    let found = doubles(&bytes[bytes.len() - 8 * expected.len()..]);
    assert_eq!(found, expected);
    for (model, body, needle) in [
        ("numbers", &body[1..], "expected rows of"),
        ("numbers", &[][..], "expected rows of"),
        ("churn", &body[..], "one input per column"),
    ] {
        let message = send(&mut client, model, "0", body).refused(400, "bad_field");
        assert!(message.contains(needle), "{message}");
    }
}

#[test]
fn what_is_wrong_with_bytes_is_said() {
    let serving = serving();
    let mut client = serving.http();
    let one = |shape: Value, datatype: &str, size: usize| {
        json!({ "inputs": [{ "name": "x1", "shape": shape, "datatype": datatype,
            "parameters": { "binary_data_size": size } }]})
    };
    for (request, tensor, code, needle) in [
        (one(json!([1]), "FP64", 8), &[0; 7][..], "bad_field", "only 7 bytes are left"),
        (one(json!([1]), "FP64", 8), &[0; 9], "bad_field", "1 bytes behind the JSON belong to no"),
        (one(json!([2]), "FP64", 8), &[0; 8], "bad_field", "takes 2 x 8 bytes, there are 8"),
        (one(json!([1]), "BYTES", 5), &[9, 0, 0, 0, 1], "bad_field", "element 0 ends behind"),
        (one(json!([1]), "BYTES", 5), &[1, 0, 0, 0, 255], "bad_field", "element 0 is no UTF-8"),
        (one(json!([2]), "BYTES", 5), &[1, 0, 0, 0, 65], "bad_field", "holds 2 elements"),
        (one(json!([1]), "UINT64", 8), &[255; 8], "bad_field", "without loss"),
    ] {
        let (json_bytes, body) = binary(&request, &[tensor]);
        let message = send(&mut client, "churn", &json_bytes, &body).refused(400, code);
        assert!(message.contains(needle), "{request}: {message}");
    }
    let body = one(json!([1]), "FP64", 8).to_string();
    for header in ["99999", "-1", "many", "18446744073709551616"] {
        send(&mut client, "churn", header, body.as_bytes()).refused(400, "bad_header");
    }
    send(&mut client, "churn", "3", body.as_bytes()).refused(400, "malformed_json");
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn bodies_may_be_compressed_both_ways() {
    let mut limited = config();
    limited.limits.body_bytes_max = 64 << 10;
    let serving = Serving::start(limited, &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    let path = "/v1/models/churn:predict";
    let rows = vec![json!({ "x1": 1.5, "c3": "red" }); 100];
    let body = json!({ "instances": rows }).to_string();
    let plain = client.post(path, &body).ok();
    for (coding, packed) in [("gzip", gzip(body.as_bytes())), ("deflate", zlib(body.as_bytes()))] {
        let reply = client.send("POST", path, &[("content-encoding", coding)], &packed);
        assert_eq!(reply.ok(), plain, "{coding}");
    }
    let accepting = client.send("POST", path, &[("accept-encoding", "gzip")], body.as_bytes());
    assert_eq!(accepting.header("content-encoding"), Some("gzip"));
    let unpacked = std::io::read_to_string(GzDecoder::new(&accepting.raw[..])).expect("gzip");
    assert_eq!(serde_json::from_str::<Value>(&unpacked).expect("JSON"), plain);
    let small = br#"{"instances":[{}]}"#;
    let both = client.send("POST", path, &[("accept-encoding", "gzip, deflate")], small);
    assert_eq!(both.header("content-encoding"), None, "not worth it");
    // A few kilobytes that become more than the limit.
    let bomb = gzip(&vec![b' '; 1 << 20]);
    let reply = client.send("POST", path, &[("content-encoding", "gzip")], &bomb);
    reply.refused(413, "body_too_large");
    let broken = client.send("POST", path, &[("content-encoding", "gzip")], b"no gzip");
    broken.refused(400, "body_incomplete");
    let unknown = client.send("POST", path, &[("content-encoding", "br")], b"x");
    unknown.refused(415, "media_type");
}

#[test]
fn models_are_unloaded_and_loaded() {
    let serving = serving();
    let mut client = serving.http();
    let index = |client: &mut Client, body: &str| client.post("/v2/repository/index", body).ok();
    let ready = json!([
        { "name": "churn", "version": "1", "state": "READY", "reason": "" },
        { "name": "numbers", "version": "1", "state": "READY", "reason": "" },
    ]);
    assert_eq!(index(&mut client, ""), ready);
    assert_eq!(index(&mut client, "{}"), ready);
    client.post("/v2/repository/models/churn/unload", "").ok();
    client.get("/v2/models/churn/ready").refused(404, "unknown_model");
    client.post("/v1/models/churn:predict", r#"{"instances":[{}]}"#).refused(404, "unknown_model");
    let left = index(&mut client, r#"{"ready":true}"#);
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    let all = index(&mut client, r#"{"ready":false}"#);
    assert_eq!(all[1]["state"], "UNAVAILABLE");
    assert_eq!(all[1]["reason"], "unloaded");
    let again = r#"{"parameters":{"unload_dependents":true}}"#;
    client.post("/v2/repository/models/churn/unload", again).ok();
    client.post("/v2/repository/models/churn/load", "").ok();
    assert_eq!(client.get("/v2/models/churn/ready").ok()["ready"], true);
    client.post("/v2/repository/models/churn/load", "{}").ok();
    assert_eq!(index(&mut client, ""), ready);
    client.post("/v2/repository/models/nobody/load", "").refused(404, "unknown_model");
    client.post("/v2/repository/models/nobody/unload", "").refused(404, "unknown_model");
    client.post("/v2/repository/models/churn/unload", "nope").refused(400, "malformed_json");
}

#[test]
fn a_load_may_bring_the_artifact() {
    use base64::Engine as _;
    let serving = serving();
    let mut client = serving.http();
    let file = base64::engine::general_purpose::STANDARD.encode(artifact("gbm_multi"));
    let body = json!({ "parameters": { "config": "{\"backend\":\"stemson\"}", "file:1/model.zip": file } });
    client.post("/v2/repository/models/grade/load", body.to_string()).ok();
    client.post("/v1/models/grade:predict", r#"{"instances":[{}]}"#).ok();
    let bad = json!({ "parameters": { "config": "[" } }).to_string();
    client.post("/v2/repository/models/grade/load", bad).refused(400, "bad_field");
    let junk = json!({ "parameters": { "file:1/model.zip": "AAAA" } }).to_string();
    let refused = client.post("/v2/repository/models/grade/load", junk);
    assert_eq!(refused.status, 409, "{}", refused.body);
    client.post("/v1/models/grade:predict", r#"{"instances":[{}]}"#).ok();
}

#[test]
fn statistics_count_what_was_done() {
    let serving = serving();
    let mut client = serving.http();
    let body = r#"{"inputs":[{"name":"x1","shape":[3],"datatype":"FP64","data":[1,2,3]}]}"#;
    for _ in 0..4 {
        client.post("/v2/models/churn/infer", body).ok();
    }
    client.post("/v2/models/churn/infer", "{}").refused(400, "bad_field");
    for path in ["/v2/models/churn/stats", "/v2/models/churn/versions/1/stats"] {
        let stats = client.get(path).ok()["model_stats"].clone();
        assert_eq!(stats.as_array().map(Vec::len), Some(1), "{path}");
        let stats = &stats[0];
        assert_eq!((&stats["name"], &stats["version"]), (&json!("churn"), &json!("1")));
        assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(12), &json!(4)));
        let inference = &stats["inference_stats"];
        assert_eq!(
            (&inference["success"]["count"], &inference["fail"]["count"]),
            (&json!(4), &json!(1))
        );
        assert!(inference["compute_infer"]["ns"].as_u64().is_some_and(|ns| ns > 0));
        assert_eq!(stats["batch_stats"][0]["batch_size"], 3);
        assert_eq!(stats["batch_stats"][0]["compute_infer"]["count"], 4);
        assert!(stats["last_inference"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000));
    }
    assert_eq!(
        client.get("/v2/models/stats").ok()["model_stats"].as_array().map(Vec::len),
        Some(2)
    );
    client.get("/v2/models/nobody/stats").refused(404, "unknown_model");
    client.get("/v2/models/churn/versions/9/stats").refused(404, "unknown_version");
}

#[test]
fn settings_are_kept_and_cleared() {
    let serving = serving();
    let mut client = serving.http();
    let global = "/v2/trace/setting";
    let own = "/v2/models/churn/trace/setting";
    assert_eq!(client.get(own).ok(), client.get(global).ok());
    let set = client.post(own, r#"{"trace_rate":"5","trace_level":["TIMESTAMPS"]}"#).ok();
    assert_eq!((&set["trace_rate"], &set["trace_level"]), (&json!("5"), &json!(["TIMESTAMPS"])));
    assert_eq!(client.get(global).ok()["trace_rate"], "1000");
    client.post(own, r#"{"trace_rate":null,"trace_level":null}"#).ok();
    assert_eq!(client.get(own).ok(), client.get(global).ok());
    client.post(own, r#"{"wish":"1"}"#).refused(400, "bad_field");
    client.post("/v2/models/nobody/trace/setting", "{}").refused(404, "unknown_model");
    let log = client.post("/v2/logging", r#"{"log_verbose_level":1,"log_info":false}"#).ok();
    assert_eq!((&log["log_verbose_level"], &log["log_info"]), (&json!(1), &json!(false)));
    assert_eq!(client.get("/v2/logging").ok(), log);
    client.post("/v2/logging", r#"{"log_file":"/tmp/x"}"#).refused(400, "bad_field");
}

#[test]
fn the_configuration_is_shown_as_triton_does() {
    let serving = serving();
    let mut client = serving.http();
    let metadata = client.get("/v2/models/churn").ok();
    for path in ["/v2/models/churn/config", "/v2/models/churn/versions/1/config"] {
        let config = client.get(path).ok();
        assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("churn"), &json!(0)));
        let inputs = config["input"].as_array().expect("inputs");
        assert_eq!(inputs.len(), metadata["inputs"].as_array().expect("inputs").len());
        assert_eq!(inputs[0]["data_type"], "TYPE_FP64");
        assert_eq!(config["output"][0]["data_type"], "TYPE_STRING");
        assert_eq!(config["output"][1]["dims"], json!([-1, 2]));
    }
    let extensions = client.get("/v2").ok()["extensions"].clone();
    for name in ["binary_tensor_data", "statistics", "trace", "logging", "model_repository"] {
        assert!(extensions.as_array().expect("a list").contains(&json!(name)), "{name}");
    }
    client.get("/v2/models/nobody/config").refused(404, "unknown_model");
}

#[test]
fn classes_are_ranked_where_asked_for() {
    let serving = serving();
    let mut client = serving.http();
    let request = json!({
        "inputs": [{ "name": "x1", "shape": [2], "datatype": "FP64", "data": [1, 2] }],
        "outputs": [{ "name": "probabilities", "parameters": { "classification": 1 } }],
    });
    let answer = client.post("/v2/models/churn/infer", request.to_string()).ok();
    let output = &answer["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, 1])));
    let first = output["data"][0].as_str().expect("text");
    let parts: Vec<&str> = first.splitn(3, ':').collect();
    assert!(parts[0].parse::<f64>().expect("a number") >= 0.5, "{first}");
}
