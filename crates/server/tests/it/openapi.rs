//! `/openapi.json` and `/docs` as callers get them.

use std::fs;

use serde_json::Value;
use stemson_mojo::Digest;
use stemson_server::{AuthConfig, Config};

use crate::wire::{Serving, config};

const MODELS: &[(&str, &str)] = &[
    ("churn", "gbm_bernoulli"),
    ("price", "gbm_gaussian"),
    ("numbers", "gbm_numeric"),
    ("exposed", "gbm_bernoulli_offset"),
    ("clusters", "kmeans_mixed"),
    ("words", "word2vec"),
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn models_are_described_by_their_own_columns() {
    let serving = Serving::start(config(), MODELS);
    let mut client = serving.http();
    let document = client.get("/openapi.json").ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], Value::Null);
    let schemas = &document["components"]["schemas"];
    let row = &schemas["Row.churn"]["properties"];
    assert_eq!(row["x1"]["description"], "A number");
    let levels = row["c3"]["examples"].as_array().expect("levels");
    assert!(levels.contains(&"red".into()), "{levels:?}");
    let p = &schemas["Prediction.churn"]["properties"]["p"];
    assert_eq!(p["required"], serde_json::json!(["no", "yes"]));
    assert_eq!(schemas["Prediction.price"]["required"], serde_json::json!(["value"]));
    let offset = schemas["Row.exposed"]["properties"].as_object().expect("columns");
    assert!(offset.values().any(|column| text(&column["description"]).starts_with("The offset")));
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.contains_key("/v1/models/churn:explain"));
    assert!(!paths.contains_key("/v1/models/clusters:explain"), "it explains nothing");
}

/// What stands as an example is answered.
#[test]
fn every_example_is_answered() {
    let serving = Serving::start(config(), MODELS);
    let mut client = serving.http();
    let document = client.get("/openapi.json").ok();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let example = &methods["post"]["requestBody"]["content"]["application/json"]["example"];
        if !example.is_null() {
            client.post(path, example.to_string()).ok();
            asked += 1;
        }
    }
    assert!(asked >= 2 * MODELS.len(), "{asked}");
}

#[test]
fn the_page_is_whole_and_lets_nothing_in() {
    let serving = Serving::start(config(), &MODELS[..1]);
    for mut client in [serving.http(), serving.admin()] {
        let page = client.get("/docs");
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(page.body.contains("openapi.json") && !page.body.contains("://"), "{}", page.body);
        assert_eq!(client.get("/openapi.json").ok()["openapi"], "3.1.0");
    }
}

#[test]
fn with_keys_the_description_is_for_callers_and_shows_their_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys_file = folder.path().join("keys.toml");
    let sha256 = Digest::of(b"secret");
    let key = format!(
        "[[key]]\nid = \"shop\"\nsha256 = \"{sha256}\"\nscopes = [\"predict\"]\n\
         models = [\"churn\"]\n"
    );
    fs::write(&keys_file, key).expect("a file");
    let auth = AuthConfig { keys_file: Some(keys_file), ..AuthConfig::default() };
    let serving = Serving::start(Config { auth, ..config() }, &MODELS[..2]);
    let mut client = serving.http();
    client.get("/openapi.json").refused(401, "unauthorized");
    assert_eq!(client.get("/docs").status, 200);
    let headers = [("authorization", "Bearer secret")];
    let document = client.send("GET", "/openapi.json", &headers, b"").ok();
    assert_eq!(document["security"].as_array().map(Vec::len), Some(2));
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.contains_key("/v1/models/churn:predict"));
    assert!(!paths.contains_key("/v1/models/price:predict"));
    assert_eq!(paths["/healthz"]["get"]["security"], serde_json::json!([]));
    let admin = serving.admin().send("GET", "/openapi.json", &headers, b"");
    admin.refused(403, "forbidden");
}

#[test]
fn other_methods_are_told_which_there_are() {
    let serving = Serving::start(config(), &MODELS[..1]);
    let mut client = serving.http();
    for (method, path, allow) in [
        ("DELETE", "/v1/models/churn", "GET,HEAD"),
        ("POST", "/v1/models/churn", "GET,HEAD"),
        ("GET", "/v1/models/churn:predict", "POST"),
        ("PUT", "/v1/models/churn:explain", "POST"),
        ("PUT", "/v2/models/churn/infer", "POST"),
        ("POST", "/openapi.json", "GET,HEAD"),
        ("DELETE", "/docs", "GET,HEAD"),
    ] {
        let reply = client.send(method, path, &[], b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    client.post("/v1/models/churn:guess", "{}").refused(404, "unknown_route");
}
