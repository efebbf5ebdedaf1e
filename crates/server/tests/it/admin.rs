//! Swap, rollback, revisions.

use std::fs;

use serde_json::{Value, json};
use stemson_mojo::Digest;
use stemson_server::Config;

use crate::wire::{Reply, Serving, artifact, config};

const A: &str = "gbm_bernoulli";
const B: &str = "gbm_platt";
const OTHER_SCHEMA: &str = "gbm_gaussian";

/// `outcome number previous`.
fn summary(answer: &Value) -> String {
    let previous = &answer["previous"]["number"];
    format!("{} {} {previous}", answer["outcome"].as_str().expect("a word"), answer["number"])
}

#[test]
fn an_artifact_is_swapped_in_and_rolled_back() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let mut swap = |case: &str| -> String {
        summary(&admin.post("/admin/models/churn/swap", artifact(case)).ok())
    };
    assert_eq!(swap(A), "unchanged 1 null");
    assert_eq!(swap(B), "swapped 2 1");
    assert_eq!(swap(B), "unchanged 2 1");
    let current = http.get("/v1/models/churn").ok();
    assert_eq!(current["revision"], Digest::of(&artifact(B)).to_string());
    let predicted = http.post("/v1/models/churn:predict", r#"{"instances":[{}]}"#).ok();
    assert_eq!(predicted["revision"], current["revision"]);
    assert_eq!(http.get("/v2/models/churn").ok()["versions"], json!(["1", "2"]));
    // The previous one still answers those who ask for it.
    let old = http.post(
        "/v2/models/churn/versions/1/infer",
        r#"{"inputs":[{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}]}"#,
    );
    assert_eq!(old.ok()["model_version"], "1");

    let mut rollback = |body: &str| summary(&admin.post("/admin/models/churn/rollback", body).ok());
    assert_eq!(rollback(""), "rolled_back 1 2");
    assert_eq!(rollback("{\"to\":2.0}"), "rolled_back 2 1");
    assert_eq!(rollback("{\"to\":\"2\"}"), "unchanged 2 1");
    let digest = Digest::of(&artifact(A)).short();
    assert_eq!(rollback(&format!("{{\"to\":\"{digest}\"}}")), "rolled_back 1 2");

    let log = admin.get("/admin/models/churn/revisions").ok();
    let states: Vec<_> = log["revisions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (r["number"].clone(), r["state"].clone(), r["by"].clone()))
        .collect();
    assert_eq!(
        states,
        [
            (json!(1), json!("current"), json!("test")),
            (json!(2), json!("previous"), json!("admin 127.0.0.1")),
        ]
    );
    let events: Vec<_> =
        log["events"].as_array().expect("a list").iter().map(|e| e["event"].clone()).collect();
    assert_eq!(events, ["deploy", "swap", "rollback", "rollback", "rollback"]);
    assert!(log["events"][0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{log}");
}

#[test]
fn a_swap_begins_a_deployment() {
    let serving = Serving::start(config(), &[]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    assert_eq!(http.get("/v1/models").ok(), json!({ "models": [] }));
    let answer = admin.post("/admin/models/new-one/swap", artifact(A)).ok();
    assert_eq!(summary(&answer), "deployed 1 null");
    assert_eq!(http.get("/v1/models").ok(), json!({ "models": ["new-one"] }));
    let refused = admin.post("/admin/models/new-one/rollback", "");
    refused.refused(409, "no_previous");
}

#[test]
fn another_schema_must_be_allowed() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    let other = artifact(OTHER_SCHEMA);
    let message = admin.post("/admin/models/churn/swap", &other).refused(409, "schema_mismatch");
    assert!(message.contains("category Binomial becomes Regression"), "{message}");
    assert!(message.contains("allow_schema_change"), "{message}");
    let allowed = admin.post("/admin/models/churn/swap?allow_schema_change=true", &other).ok();
    assert_eq!(summary(&allowed), "swapped 2 1");
    let metrics = admin.get("/metrics").body;
    for outcome in ["deployed", "refused", "swapped"] {
        let line = format!("stemson_swaps_total{{model=\"churn\",outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[test]
fn an_artifact_comes_by_path_from_the_configured_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("models");
    fs::create_dir(&root).expect("a folder");
    fs::write(root.join("b.zip"), artifact(B)).expect("a file");
    fs::write(folder.path().join("secret.zip"), artifact(B)).expect("a file");
    let config = Config { artifact_roots: vec![root.clone()], ..config() };
    let serving = Serving::start(config, &[("churn", A)]);
    let mut admin = serving.admin();
    let mut swap = |body: Value| -> Reply {
        let headers = [("content-type", "application/json")];
        admin.send("POST", "/admin/models/churn/swap", &headers, body.to_string().as_bytes())
    };
    let absolute = root.join("b.zip");
    let digest = Digest::of(&artifact(B)).to_string();
    swap(json!({ "path": "b.zip", "sha256": "00".repeat(32) })).refused(409, "digest_mismatch");
    swap(json!({ "path": "b.zip", "sha256": "abc" })).refused(400, "bad_field");
    swap(json!({ "path": "none.zip" })).refused(404, "artifact_not_found");
    swap(json!({ "path": "../secret.zip" })).refused(403, "path_not_allowed");
    swap(json!({ "path": folder.path().join("secret.zip") })).refused(403, "path_not_allowed");
    swap(json!({ "path": root })).refused(409, "artifact_not_a_file");
    swap(json!({ "paht": "b.zip" })).refused(400, "bad_field");
    assert_eq!(summary(&swap(json!({ "path": absolute, "sha256": digest })).ok()), "swapped 2 1");
    assert_eq!(summary(&swap(json!({ "path": "b.zip" })).ok()), "unchanged 2 1");
}

#[test]
fn what_is_no_model_changes_nothing() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    let whole = artifact(B);
    for (body, content_type, status, code) in [
        (&b"PK\x03\x04 and nonsense"[..], "", 409, ""),
        (&whole[..whole.len() / 2], "application/zip", 409, ""),
        (b"", "application/octet-stream", 409, ""),
        (b"just text", "text/plain", 415, "media_type"),
        (b"", "", 415, "media_type"),
        (b"{\"path\":", "", 400, "malformed_json"),
    ] {
        let headers: &[_] =
            if content_type.is_empty() { &[] } else { &[("content-type", content_type)] };
        let reply = admin.send("POST", "/admin/models/churn/swap", headers, body);
        assert_eq!(reply.status, status, "{}", reply.body);
        if !code.is_empty() {
            reply.refused(status, code);
        }
    }
    admin.post("/admin/models/a%2Fb/swap", &whole).refused(400, "bad_name");
    admin.post("/admin/models/nobody/rollback", "").refused(404, "unknown_model");
    admin.get("/admin/models/nobody/revisions").refused(404, "unknown_model");
    admin.post("/admin/models/churn/rollback", "{\"to\":\"7\"}").refused(404, "unknown_version");
    admin.post("/admin/models/churn/rollback", "{\"to\":\"newest\"}").refused(400, "bad_field");
    admin
        .post("/admin/models/churn/swap?allow_schema_change=maybe", &whole)
        .refused(400, "bad_field");
    assert_eq!(serving.http().get("/v1/models/churn").ok()["number"], 1);
}

#[test]
fn pages_of_other_sites_may_not_drive_it() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    let mut from = |origin: &str| {
        let headers = [("origin", origin)];
        admin.send("POST", "/admin/models/churn/swap", &headers, &artifact(B))
    };
    from("https://example.com").refused(403, "cross_origin");
    from("null").refused(403, "cross_origin");
    // The page's own name may have been given the address of this server.
    from("http://test").refused(403, "cross_origin");
}

#[test]
fn an_artifact_has_a_limit() {
    let mut config = config();
    config.limits.artifact_bytes_max = 1_000;
    let serving = Serving::start(config, &[]);
    serving.admin().post("/admin/models/churn/swap", artifact(A)).refused(413, "body_too_large");
}
