//! Callers who hold connections: slow heads, slow bodies, too many at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use stemson_server::{Config, Limits};

use crate::wire::{Serving, config};

const MODELS: &[(&str, &str)] = &[("churn", "gbm_bernoulli")];
const ROW: &str = r#"{"instances":[{"x1":1}]}"#;

/// Callers who send half of a head each, and stay.
fn hold(serving: &Serving, n: usize) -> Vec<TcpStream> {
    let half = |_| {
        let mut stream = TcpStream::connect(serving.addresses.http).expect("it listens");
        stream.write_all(b"POST /v1/models/churn:predict HTTP/1.1\r\nx-slow: ").expect("written");
        stream
    };
    (0..n).map(half).collect()
}

fn others_are_served_beside(n: usize) {
    let serving = Serving::start(config(), MODELS);
    let held = hold(&serving, n);
    let mut client = serving.http();
    for _ in 0..50 {
        client.get("/healthz").ok();
        client.post("/v1/models/churn:predict", ROW).ok();
    }
    let open = serving.admin().get("/metrics").body;
    let count = open.lines().find_map(|line| line.strip_prefix("stemson_connections "));
    let count: usize = count.expect("it is shown").parse().expect("a number");
    assert!(count >= n, "{count} are open, all of them held");
    drop(held);
}

#[test]
fn others_are_served_beside_slow_heads() {
    others_are_served_beside(200);
}

#[test]
#[ignore = "opens 1,000 connections: cargo xtask test --all"]
fn others_are_served_beside_a_thousand_slow_heads() {
    others_are_served_beside(1_000);
}

#[test]
fn who_does_not_finish_a_head_is_let_go() {
    let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
    let serving = Serving::start(Config { limits, ..config() }, MODELS);
    let mut kept = serving.http();
    kept.get("/healthz").ok();
    for mut stream in hold(&serving, 3) {
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server closes");
        assert!(answer.is_empty(), "{answer:?}");
    }
    // Who has asked once may be silent for longer.
    kept.get("/healthz").ok();
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let serving = Serving::start(Config { limits, ..config() }, MODELS);
    let (mut one, mut two) = (serving.http(), serving.http());
    one.get("/healthz").ok();
    two.get("/healthz").ok();
    let mut three = TcpStream::connect(serving.addresses.http).expect("the system accepts");
    three.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
    let mut answer = String::new();
    three.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{answer}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["code"], "no_capacity");
    let metrics = one.get("/metrics").body;
    assert!(metrics.contains("stemson_connections_refused_total{reason=\"limit\"} 1"), "{metrics}");
    // Each listener has its own places.
    serving.admin().get("/healthz").ok();
    drop(two);
    // The place is free again, soon.
    let mut tries = 0;
    loop {
        let mut stream = TcpStream::connect(serving.addresses.http).expect("the system accepts");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
        let asked = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(asked).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        tries += 1;
        assert!(tries < 10_000, "{answer}");
    }
}

#[test]
fn a_body_that_is_long_in_coming_has_its_time_still() {
    // Of the server's own time for an answer none goes to the caller's line; of the caller's it does.
    let slo = Duration::from_secs(2);
    let serving = Serving::start(Config { slo, ..config() }, MODELS);
    // So long that it takes the lane, and little to do there.
    let body = format!("{ROW}{}", " ".repeat(40 << 10));
    let ask = |header: &str| {
        let mut stream = TcpStream::connect(serving.addresses.http).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
        let head = format!(
            "POST /v1/models/churn:predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("written");
        std::thread::sleep(slo + Duration::from_millis(200));
        stream.write_all(body.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(ask("x-request-timeout: 2000\r\n"), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(ask(""), "HTTP/1.1 200 OK");
}

/// Of a body that will be refused nothing is read; the caller, who has sent all of it before he
/// listens, has his answer all the same, and a new connection is as good as the old.
#[test]
fn who_sends_much_in_vain_reads_why() {
    const BYTES: usize = 16 << 20;
    let serving = Serving::start(config(), MODELS);
    for (path, length, status) in [
        ("/v1/models/nobody:predict", BYTES, "404 Not Found"),
        ("/v1/models/churn:predict", 65 << 20, "413 Payload Too Large"),
    ] {
        let mut stream = TcpStream::connect(serving.addresses.http).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(&vec![b' '; BYTES]).expect("all is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("no reset");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    serving.http().post("/v1/models/churn:predict", ROW).ok();
}
