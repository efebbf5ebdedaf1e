//! The end of a server.

use std::net::TcpStream;
use std::time::Duration;

use stemson_server::{Config, RunError};

use crate::wire::{Serving, config};

const MODELS: &[(&str, &str)] = &[("churn", "gbm_bernoulli")];
const ROW: &str = r#"{"instances":[{"x1":1}]}"#;

#[test]
fn requests_in_flight_are_answered() {
    let serving = Serving::start(config(), MODELS);
    let (mut idle, mut busy) = (serving.http(), serving.http());
    idle.get("/healthz").ok();
    let body = format!("{{\"instances\":[{}]}}", vec!["{\"x1\":1.5}"; 50_000].join(","));
    busy.begin("POST", "/v1/models/churn:predict", &[], body.as_bytes());
    // It is in flight for certain when the server has read it all, and that it has when it
    // answers; all that can be said before is that it is on its way.
    serving.shutdown.begin();
    let answer = busy.finish();
    assert_eq!(answer.ok()["predictions"].as_array().map(Vec::len), Some(50_000));
    assert!(busy.is_closed());
    assert!(idle.is_closed());
    let address = serving.addresses.http;
    serving.join().expect("it ends well");
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn readiness_turns_first_and_callers_are_sent_away_one_by_one() {
    let serving =
        Serving::start(Config { drain_delay: Duration::from_hours(1), ..config() }, MODELS);
    let mut client = serving.http();
    client.get("/readyz").ok();
    serving.shutdown.begin();
    // The reactor hears of it soon; an answer that says `close` is the last of its connection.
    loop {
        let reply = client.get("/readyz");
        if reply.status == 503 {
            assert_eq!(reply.json()["ready"], false);
            assert_eq!(reply.header("connection"), Some("close"));
            assert!(client.is_closed());
            break;
        }
        reply.ok();
    }
    let mut late = serving.http();
    late.post("/v1/models/churn:predict", ROW).ok();
    assert!(late.is_closed());
    serving.http().get("/healthz").ok();
    assert_eq!(serving.http().get("/v2/health/ready").status, 503);
    serving.abandon();
}

#[test]
fn a_stuck_caller_does_not_hold_the_server() {
    let serving = Serving::start(Config { drain: Duration::from_millis(50), ..config() }, MODELS);
    let mut stuck = serving.http();
    stuck.begin_half("/v1/models/churn:predict");
    // It is being served when the next one on the same reactor is answered.
    serving.http().get("/healthz").ok();
    serving.shutdown.begin();
    let ended = serving.join();
    assert!(matches!(ended, Err(RunError::DrainTooLong(_))), "{ended:?}");
}

#[test]
fn who_is_in_the_middle_of_a_head_is_answered() {
    let serving = Serving::start(config(), MODELS);
    let mut kept = serving.http();
    kept.get("/healthz").ok();
    kept.write("POST /v1/models/churn:predict HTTP/1.1\r\nhost: te");
    // It is read when the next one on the same reactor is answered.
    serving.http().get("/healthz").ok();
    serving.shutdown.begin();
    std::thread::sleep(Duration::from_millis(50));
    kept.write(&format!("st\r\ncontent-length: {}\r\n\r\n{ROW}", ROW.len()));
    kept.finish().ok();
    assert!(kept.is_closed());
    serving.join().expect("it ends well");
}

#[test]
fn who_came_before_the_end_is_answered() {
    // Those who come last are in the system's queue, or accepted and not yet seen to have asked.
    for _ in 0..10 {
        let serving = Serving::start(config(), MODELS);
        let mut kept: Vec<_> = (0..10).map(|_| serving.http()).collect();
        kept.iter_mut().for_each(|client| drop(client.get("/healthz").ok()));
        let mut fresh: Vec<_> = (0..40).map(|_| serving.http()).collect();
        for client in fresh.iter_mut().chain(&mut kept) {
            client.begin("POST", "/v1/models/churn:predict", &[], ROW.as_bytes());
        }
        serving.shutdown.begin();
        for client in fresh.iter_mut().chain(&mut kept) {
            let reply = client.finish();
            reply.ok();
            assert!(client.is_closed());
        }
        serving.join().expect("it ends well");
    }
}

#[test]
fn models_are_not_ready_while_the_server_drains() {
    let serving =
        Serving::start(Config { drain_delay: Duration::from_hours(1), ..config() }, MODELS);
    let paths = ["/v2/models/churn/ready", "/v2/models/churn/versions/1/ready", "/v1/models/churn"];
    for path in paths {
        assert_eq!(serving.http().get(path).ok()["ready"], true, "{path}");
    }
    serving.shutdown.begin();
    while serving.http().get("/readyz").status == 200 {}
    for path in paths {
        let reply = serving.http().get(path);
        assert_eq!((reply.status, &reply.json()["ready"]), (503, &false.into()), "{path}");
    }
    serving.abandon();
}
