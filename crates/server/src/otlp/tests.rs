//! The exporter against a collector of a few lines, which decodes what comes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use super::*;

/// What came: path, headers, body.
type Call = (String, String, Vec<u8>);

/// Takes calls until nobody is left who could make one.
fn collector() -> (String, mpsc::Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a caller"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut head).expect("a line"), 0, "{head}");
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.expect("a length").parse().expect("a number");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("the body");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.get_mut().write_all(answer).expect("they wait");
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if sender.send((path, head, body)).is_err() {
                return;
            }
        }
    });
    (endpoint, receiver)
}

fn answered(span: u64) -> Answered {
    Answered {
        trace: TraceContext { trace: 7, parent: Some(9), span, is_sampled: true },
        method: "POST".to_owned(),
        path: "/v1/models/churn:predict".to_owned(),
        status: 500,
        request_id: "r1".to_owned(),
        took: Duration::from_millis(3),
    }
}

#[test]
fn a_collector_gets_spans_and_metrics() {
    let (endpoint, calls) = collector();
    let config = OtlpConfig {
        endpoint: Some(endpoint),
        headers: vec!["authorization=Bearer x".to_owned()],
        ..OtlpConfig::default()
    };
    let metrics = Arc::new(Metrics::new());
    metrics.denied("forbidden");
    let exporter = Exporter::start(&config, &metrics, &Arc::default());
    let exporter = exporter.expect("a thread").expect("an endpoint");
    exporter.offer(answered(1));
    exporter.offer(answered(2));
    exporter.close();
    let mut spans = Vec::new();
    let names = loop {
        let (path, head, body) = calls.recv_timeout(Duration::from_mins(1)).expect("a call");
        assert!(head.contains("authorization: bearer x"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        if path == "/v1/traces" {
            let traces = messages::Traces::decode(&body[..]).expect("traces");
            spans.extend(traces.resources[0].scopes[0].spans.clone());
            continue;
        }
        assert_eq!(path, "/v1/metrics");
        let metrics = messages::Metrics::decode(&body[..]).expect("metrics");
        let names = metrics.resources[0].scopes[0].metrics.iter();
        break names.map(|metric| metric.name.clone()).collect::<Vec<_>>();
    };
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!(spans[0].trace_id, 7_u128.to_be_bytes());
    assert_eq!(spans[0].parent_span_id, 9_u64.to_be_bytes());
    assert_eq!(spans[1].id, 2_u64.to_be_bytes());
    assert_eq!(spans[0].end_ns - spans[0].start_ns, 3_000_000);
    assert_eq!(spans[0].status, Some(Status { code: 2 }));
    assert!(names.contains(&"stemson_denied".to_owned()), "{names:?}");
    let (text, _) = metrics.render(&Deployments::default(), false);
    assert!(text.contains("stemson_otlp_spans_total{outcome=\"sent\"} 2"), "{text}");
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let nowhere = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let config = OtlpConfig {
        endpoint: Some(nowhere),
        metrics_period: Duration::ZERO,
        ..OtlpConfig::default()
    };
    let metrics = Arc::new(Metrics::new());
    let exporter = Exporter::start(&config, &metrics, &Arc::default());
    let exporter = exporter.expect("a thread").expect("an endpoint");
    exporter.offer(answered(1));
    exporter.close();
    exporter.offer(answered(2));
    let (text, _) = metrics.render(&Deployments::default(), false);
    assert!(text.contains("stemson_otlp_spans_total{outcome=\"failed\"} 1"), "{text}");
    assert!(text.contains("stemson_otlp_spans_total{outcome=\"dropped\"} 1"), "{text}");
}
