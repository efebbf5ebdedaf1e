//! What holds for every request, whatever its route.

use std::net::{SocketAddr, TcpListener};

use stemson_server::{Config, Limits, MetricsCompat, Server, metrics};

use crate::wire::{Serving, config};

const ROW: &str = r#"{"instances":[{"x1":1}]}"#;

#[test]
fn health_and_metrics_are_on_both_listeners() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    http.post("/v1/models/churn:predict", ROW).ok();
    http.post("/v1/models/churn:predict", "nope").refused(400, "malformed_json");
    for client in [&mut http, &mut admin] {
        assert_eq!(client.get("/healthz").ok()["live"], true);
        assert_eq!(client.get("/readyz").ok()["ready"], true);
        let text = client.get("/metrics");
        assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let seen = |name: &str| text.body.lines().any(|line| line.starts_with(name));
        // Nothing waited, nothing was shed, nobody was denied, no model and no file changed, no shadow
        // was asked here.
        let absent = [
            "warmed_rows_total",
            "queue_seconds",
            "shed_total",
            "denied_total",
            "reloads_total",
            "connections_refused_total",
            "shadow_rows_total",
            "prediction_log_rows_total",
            "otlp_spans_total",
        ];
        let absent = absent.map(|name| format!("stemson_{name}"));
        for metric in
            metrics::METRICS.iter().filter(|metric| !absent.iter().any(|name| name == metric.name))
        {
            assert!(seen(metric.name), "{} in {}", metric.name, text.body);
        }
        for outcome in ["ok", "refused"] {
            let end = format!("protocol=\"v1\",outcome=\"{outcome}\"}} 1");
            assert!(text.body.lines().any(|line| line.ends_with(&end)), "{end}");
        }
        let open = [("accept", "application/openmetrics-text; version=1.0.0")];
        let open = client.send("GET", "/metrics", &open, b"");
        assert!(
            open.header("content-type").is_some_and(|t| t.starts_with("application/openmetrics"))
        );
        assert!(open.body.ends_with("# EOF\n"));
    }
    assert_eq!(http.get("/v2/health/live").ok()["live"], true);
    assert_eq!(http.get("/v2/health/ready").ok()["ready"], true);
}

#[test]
fn metrics_show_under_the_names_of_others_too() {
    for (compat, expected) in [
        (MetricsCompat::Triton, "nv_inference_count{model=\"churn\",version=\"1\"} 1"),
        (MetricsCompat::Kserve, "request_predict_seconds_count{model_name=\"churn\"} 1"),
    ] {
        let config = Config { metrics_compat: Some(compat), ..config() };
        let serving = Serving::start(config, &[("churn", "gbm_bernoulli")]);
        let mut http = serving.http();
        http.post("/v1/models/churn:predict", ROW).ok();
        let text = http.get("/metrics").body;
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(text.contains("stemson_rows_total"), "{text}");
    }
}

#[test]
fn what_is_not_there_is_refused_in_the_same_form() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    assert_eq!(http.get("/").ok()["status"], "alive");
    http.get("/v3").refused(404, "unknown_route");
    http.get("/v3/models").refused(404, "unknown_route");
    let elsewhere = http.post("/admin/models/churn/swap", "");
    elsewhere.refused(404, "unknown_route");
    assert!(elsewhere.body.contains("at the address of --admin"), "{}", elsewhere.body);
    admin.post("/v1/models/churn:predict", ROW).refused(404, "unknown_route");
    let reply = http.send("DELETE", "/v1/models", &[], b"");
    reply.refused(405, "wrong_method");
    assert!(reply.header("allow").is_some_and(|allow| allow.contains("GET")), "{reply:?}");
    admin.get("/admin/models/churn/swap").refused(405, "wrong_method");
    http.get("/v2/models/%ff").refused(400, "bad_url");
}

#[test]
fn who_is_refused_early_still_hears_it_and_keeps_his_connection() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let large = " ".repeat(250 << 10);
    let mut client = serving.http();
    client.post("/v1/models/nobody:predict", &large).refused(404, "unknown_model");
    client.post("/v9", &large).refused(404, "unknown_route");
    client.post("/v1/models", &large).refused(405, "wrong_method");
    client.post("/v2/models/churn/versions/9/infer", &large).refused(404, "unknown_version");
    client.post("/v1/models/churn:predict", ROW).ok();
}

/// Bodies that nobody wants are dropped unread: not a byte of what comes behind them, however the
/// system cuts it.
#[test]
fn behind_a_refused_body_the_next_request_is_heard() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    for bytes in [1, 5_000, 40_000, 300_000, 512 << 10] {
        for next in 0..3 {
            let body = "GET / HTTP/1.1\r\n".repeat(bytes / 16);
            client.begin("POST", "/v1/models/nobody:predict", &[], body.as_bytes());
            (0..next).for_each(|_| {
                client.begin("POST", "/v1/models/churn:predict", &[], ROW.as_bytes());
            });
            client.finish().refused(404, "unknown_model");
            (0..next).for_each(|_| drop(client.finish().ok()));
        }
    }
}

#[test]
fn every_answer_has_a_request_id() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    let ours = client.post("/v1/models/churn:predict", ROW);
    assert_eq!(ours.header("x-request-id").map(str::len), Some(16));
    let id = [("x-request-id", "theirs-1")];
    let theirs = client.send("POST", "/v1/models/nobody:predict", &id, ROW.as_bytes());
    assert_eq!(theirs.header("x-request-id"), Some("theirs-1"));
    theirs.refused(404, "unknown_model");
}

#[test]
fn limits_are_kept_and_named() {
    let limits = Limits { body_bytes_max: 2_000, rows_max: 3, ..Limits::default() };
    let config = Config { limits, ..config() };
    let serving = Serving::start(config, &[("churn", "gbm_bernoulli")]);
    let large = "x".repeat(2_001);
    let message = serving.http().post("/v1/models/churn:predict", &large);
    assert!(message.refused(413, "body_too_large").contains("body_mib"));
    // Without a length to look at first.
    let mut client = serving.http();
    let chunked = [("transfer-encoding", "chunked")];
    client.begin_chunked("/v1/models/churn:predict", &chunked, &large);
    client.finish().refused(413, "body_too_large");

    let mut client = serving.http();
    client.post("/v1/models/churn:predict", r#"{"instances":[{},{},{}]}"#).ok();
    let reply = client.post("/v1/models/churn:predict", r#"{"instances":[{},{},{},{}]}"#);
    assert!(reply.refused(413, "too_many_rows").contains("more than 3 rows"));
    let tensor = r#"{"inputs":[{"name":"x1","shape":[4],"datatype":"FP64","data":[1,2,3,4]}]}"#;
    client.post("/v2/models/churn/infer", tensor).refused(413, "too_many_rows");
    let timeout = [("x-request-timeout", "soon")];
    let reply = client.send("POST", "/v1/models/churn:predict", &timeout, ROW.as_bytes());
    reply.refused(400, "bad_header");
    let timeout = [("x-request-timeout", "60000")];
    client.send("POST", "/v1/models/churn:predict", &timeout, ROW.as_bytes()).ok();
}

#[test]
fn a_huge_head_is_refused_and_others_are_served() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let huge = "x".repeat(40 << 10);
    let mut client = serving.http();
    client.begin("GET", "/healthz", &[("x-huge", &huge)], b"");
    assert_eq!(client.finish().status, 431);
    serving.http().get("/healthz").ok();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let error = Server::bind(Config { admin: address, ..config() }).expect_err("taken");
    assert_eq!(error.kind(), "address_in_use");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--admin")));

    let public = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = Server::bind(Config { http: public, ..config() }).expect_err("no keys");
    assert_eq!(error.kind(), "public_without_keys");
    assert!(error.hint().is_some_and(|hint| hint.contains("--insecure")));
    assert!(Server::bind(Config { http: public, insecure: true, ..config() }).is_ok());

    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let elsewhere = "192.0.2.1:0".parse().expect("an address of nobody");
    let config = Config { http: elsewhere, admin: nowhere, insecure: true, ..config() };
    assert_eq!(Server::bind(config).expect_err("not ours").kind(), "cannot_listen");
}
