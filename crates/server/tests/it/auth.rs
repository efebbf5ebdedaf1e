//! Keys at the door: what opens for whom, and how they change while the server runs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use stemson_mojo::Digest;
use stemson_server::{AuthConfig, Config, Server};

use crate::wire::{Client, Serving, artifact, config};

const MODELS: &[(&str, &str)] = &[("churn", "gbm_bernoulli"), ("value", "gbm_gaussian")];
const ROW: &str = r#"{"instances":[{"x1":1}]}"#;

fn key(id: &str, scopes: &str, rest: &str) -> String {
    let sha256 = Digest::of(format!("secret-{id}").as_bytes());
    format!("[[key]]\nid = \"{id}\"\nsha256 = \"{sha256}\"\nscopes = [{scopes}]\n{rest}\n")
}

fn keys() -> String {
    [
        key("shop", "\"predict\"", "models = [\"churn\"]"),
        key("watch", "\"read\"", ""),
        key("ops", "\"admin\"", ""),
        key("slow", "\"predict\"", "rate_per_second = 0.01"),
    ]
    .concat()
}

fn with_keys(folder: &Path) -> Config {
    let keys_file = folder.join("keys.toml");
    fs::write(&keys_file, keys()).expect("a file");
    let auth = AuthConfig { keys_file: Some(keys_file), ..AuthConfig::default() };
    let public = SocketAddr::from(([0, 0, 0, 0], 0));
    Config { http: public, auth, ..config() }
}

/// Status and code of a request by the key called `id`.
fn ask(client: &mut Client, id: &str, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let bearer = format!("Bearer secret-{id}");
    let headers = [("authorization", bearer.as_str())];
    let reply = client.send(method, path, if id.is_empty() { &[] } else { &headers }, body);
    let code = serde_json::from_str::<serde_json::Value>(&reply.body).unwrap_or_default();
    if reply.status == 401 {
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"stemson\""));
    }
    (reply.status, code["code"].as_str().unwrap_or("").to_owned())
}

#[test]
fn each_key_opens_its_own_doors() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(with_keys(folder.path()), MODELS);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let zip = artifact("gbm_platt");
    for (id, method, path, expected) in [
        ("", "GET", "/healthz", 200),
        ("", "GET", "/v2/health/ready", 200),
        ("", "GET", "/metrics", 401),
        ("watch", "GET", "/metrics", 200),
        ("shop", "GET", "/metrics", 403),
        ("", "POST", "/v1/models/churn:predict", 401),
        ("nobody", "POST", "/v1/models/churn:predict", 401),
        ("shop", "POST", "/v1/models/churn:predict", 200),
        ("shop", "POST", "/v1/models/value:predict", 403),
        ("shop", "GET", "/v2/models/churn", 200),
        ("shop", "GET", "/v2/models/value", 403),
        ("watch", "POST", "/v1/models/churn:predict", 403),
        ("ops", "POST", "/v1/models/churn:predict", 403),
        ("watch", "GET", "/v1/models", 200),
        ("slow", "POST", "/v1/models/churn:predict", 200),
        ("slow", "POST", "/v1/models/churn:predict", 429),
        ("", "GET", "/no/such/route", 401),
    ] {
        let body = if method == "POST" { ROW.as_bytes() } else { b"" };
        let found = ask(&mut http, id, method, path, body);
        assert_eq!(found.0, expected, "{id} {method} {path}: {found:?}");
    }
    for (id, method, path, expected) in [
        ("", "GET", "/healthz", 200),
        ("", "GET", "/metrics", 200),
        ("", "POST", "/admin/models/churn/swap", 401),
        ("shop", "POST", "/admin/models/churn/swap", 403),
        ("shop", "GET", "/admin/models/churn/revisions", 403),
        ("ops", "POST", "/admin/models/churn/swap", 200),
        ("ops", "GET", "/admin/models/churn/revisions", 200),
    ] {
        let body = if method == "POST" { &zip[..] } else { b"" };
        let found = ask(&mut admin, id, method, path, body);
        assert_eq!(found.0, expected, "{id} {method} {path}: {found:?}");
    }
    let bearer = [("authorization", "Bearer secret-ops")];
    let revisions = admin.send("GET", "/admin/models/churn/revisions", &bearer, b"").ok();
    assert_eq!(revisions["revisions"][1]["by"], "ops 127.0.0.1", "{revisions}");
    let slow = [("x-api-key", "secret-slow")];
    let reply = http.send("POST", "/v1/models/churn:predict", &slow, ROW.as_bytes());
    reply.refused(429, "quota_exceeded");
    assert!(reply.header("retry-after").is_some_and(|s| s.parse::<u64>().is_ok()), "{reply:?}");
    assert!(reply.header("retry-after-ms").is_some(), "{reply:?}");
}

#[test]
fn a_key_for_one_model_is_told_of_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(with_keys(folder.path()), MODELS);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    fs::write(
        folder.path().join("next"),
        keys() + &key("one", "\"predict\", \"admin\"", "models = [\"churn\"]"),
    )
    .expect("a file");
    fs::rename(folder.path().join("next"), folder.path().join("keys.toml")).expect("a folder");
    let deadline = Instant::now() + Duration::from_mins(1);
    while ask(&mut http, "one", "GET", "/v1/models", b"").0 == 401 {
        assert!(Instant::now() < deadline, "the new key is not taken");
    }
    let mut shown = |id: &str, method: &str, path: &str| {
        let bearer = format!("Bearer secret-{id}");
        let client = if path.starts_with("/admin") { &mut admin } else { &mut http };
        let body = if path == "/invocations" { ROW } else { "" };
        client.send(method, path, &[("authorization", &bearer)], body.as_bytes())
    };
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/v2/models/stats"),
        ("POST", "/v2/repository/index"),
        ("GET", "/admin/models"),
        ("POST", "/invocations"),
    ] {
        let reply = shown("one", method, path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(!reply.body.contains("\"value\""), "{path}: {}", reply.body);
    }
    let all = shown("watch", "GET", "/v1/models").body;
    assert!(all.contains("churn") && all.contains("value"), "{all}");
    // Without a key the name of the page's site counts, for it may have been given this address.
    let zip = artifact("gbm_platt");
    let mut swap = |origin: &str| {
        let headers = [("authorization", "Bearer secret-one"), ("origin", origin)];
        admin.send("POST", "/admin/models/churn/swap", &headers, &zip)
    };
    swap("http://test").ok();
    swap("http://other").refused(403, "cross_origin");
}

#[test]
fn keys_change_while_the_server_runs_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(with_keys(folder.path()), MODELS);
    let mut http = serving.http();
    let mut predict =
        |id: &str| ask(&mut http, id, "POST", "/v1/models/churn:predict", ROW.as_bytes()).0;
    assert_eq!((predict("shop"), predict("new")), (200, 401));
    let file = folder.path().join("keys.toml");
    let replace = |text: &str| {
        fs::write(folder.path().join("next"), text).expect("a file");
        fs::rename(folder.path().join("next"), &file).expect("the same folder");
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    replace(&(keys() + &key("new", "\"predict\"", "")));
    while predict("new") != 200 {
        assert!(Instant::now() < deadline, "the new key is not taken");
    }
    replace("[[key]]\nid = 7\n");
    let refused = "stemson_reloads_total{what=\"keys\",outcome=\"refused\"} 1";
    while !serving.admin().get("/metrics").body.contains(refused) {
        assert!(Instant::now() < deadline, "the bad file is not looked at");
    }
    assert_eq!((predict("shop"), predict("new")), (200, 200));
    replace(&key("new", "\"predict\"", ""));
    while predict("shop") != 401 {
        assert!(Instant::now() < deadline, "the old key is not forgotten");
    }
    assert_eq!(predict("new"), 200);
}

#[test]
fn a_server_without_its_keys_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = with_keys(folder.path());
    fs::write(folder.path().join("keys.toml"), "[[key]]\nid = \"a\"\n").expect("a file");
    let error = Server::bind(config.clone()).expect_err("no scopes");
    assert_eq!(error.kind(), "bad_keys");
    assert!(error.hint().is_some_and(|hint| hint.contains("sha256sum")), "{error}");
    config.auth.keys_file = Some(folder.path().join("nowhere.toml"));
    let error = Server::bind(config).expect_err("no file");
    assert!(error.to_string().contains("nowhere.toml"), "{error}");
}
