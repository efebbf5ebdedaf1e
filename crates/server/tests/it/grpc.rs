//! gRPC: what comes back, what is refused, how calls end. The clients that people have are driven
//! by the conformance run of the product's own tests.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;
use stemson_server::{Config, GrpcListener, Limits, Server, ShutdownHandle};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::messages::model_infer_request::InferInputTensor;
use crate::messages::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
    ServerReadyResponse,
};
use crate::wire::{Client, Serving, config};

type Body = BoxBody<Bytes, std::convert::Infallible>;

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A connection, and what it runs on.
struct Caller {
    runtime: Runtime,
    sender: SendRequest<Body>,
}

/// What a call left: its messages and its status.
#[derive(Debug)]
struct Called {
    head: HeaderMap,
    messages: Vec<Bytes>,
    status: Option<u32>,
    message: String,
    trailers: HeaderMap,
}

fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("a short message");
    [&[0][..], &len.to_be_bytes(), message].concat()
}

impl Caller {
    fn connect(serving: &Serving) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = serving.addresses.grpc.expect("it listens");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
            stream.set_nodelay(true).expect("an option");
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (sender, connection) = handshake.await.expect("it speaks HTTP/2");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Called {
        let body = Full::new(Bytes::from(body)).boxed();
        let answer = self.sender.send_request(request(path, headers, body));
        self.runtime.block_on(finish(answer, |_| {}))
    }

    fn infer(&mut self, request: &ModelInferRequest) -> Called {
        self.call(INFER, &[], framed(&request.encode_to_vec()))
    }
}

fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::post(format!("http://test{path}")).header("te", "trailers");
    if headers.iter().all(|(name, _)| *name != "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

/// Reads the answer to its end; `each` learns how many messages are there after each that comes.
async fn finish(
    answer: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
    mut each: impl FnMut(usize),
) -> Called {
    let limit = Duration::from_mins(2);
    let answer = tokio::time::timeout(limit, answer).await.expect("in time").expect("an answer");
    let (head, mut body) = answer.into_parts();
    let (mut bytes, mut messages, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
    while let Some(frame) = tokio::time::timeout(limit, body.frame()).await.expect("in time") {
        match frame.expect("a whole answer").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().expect("trailers"),
        }
        while let Some((head, rest)) = bytes.split_first_chunk::<5>()
            && let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize
            && rest.len() >= len
        {
            let message = bytes.split_to(5 + len).freeze();
            messages.push(message.slice(5..));
            each(messages.len());
        }
    }
    let find = |name: &str| {
        let value = trailers.get(name).or_else(|| head.headers.get(name));
        value.and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let status = find("grpc-status").and_then(|status| status.parse().ok());
    let message = find("grpc-message").unwrap_or_default();
    Called { head: head.headers, messages, status, message, trailers }
}

fn churn() -> Serving {
    Serving::start(config(), &[("churn", "gbm_bernoulli"), ("numbers", "gbm_numeric")])
}

fn x1(values: &[f64]) -> ModelInferRequest {
    let contents = InferTensorContents { fp64_contents: values.to_vec(), ..Default::default() };
    let tensor = InferInputTensor {
        name: "x1".to_owned(),
        datatype: "FP64".to_owned(),
        shape: vec![values.len() as i64],
        contents: Some(contents),
        ..Default::default()
    };
    ModelInferRequest {
        model_name: "churn".to_owned(),
        id: "7".to_owned(),
        inputs: vec![tensor],
        ..Default::default()
    }
}

/// The same with its elements as bytes.
fn raw(mut request: ModelInferRequest) -> ModelInferRequest {
    for input in &mut request.inputs {
        let contents = input.contents.take().unwrap_or_default();
        let bytes: Vec<u8> =
            contents.fp64_contents.iter().flat_map(|number| number.to_le_bytes()).collect();
        request.raw_input_contents.push(bytes.into());
    }
    request
}

#[test]
fn a_prediction_is_that_of_the_row_protocol_whatever_its_form() {
    let serving = churn();
    let mut caller = Caller::connect(&serving);
    let rows = json!({ "instances": [{ "x1": 1.5 }, { "x1": -0.25 }] }).to_string();
    let rows = serving.http().post("/v1/models/churn:predict", rows).ok();
    let rows = rows["predictions"].as_array().expect("rows").clone();
    let labels: Vec<&str> = rows.iter().filter_map(|row| row["label"].as_str()).collect();
    let p = rows.iter().flat_map(|row| row["p"].as_object().expect("p").values());
    let p: Vec<f64> = p.filter_map(serde_json::Value::as_f64).collect();

    let typed = caller.infer(&x1(&[1.5, -0.25]));
    assert_eq!(typed.status, Some(0), "{typed:?}");
    assert_eq!(typed.head["content-type"], "application/grpc");
    let answer = ModelInferResponse::decode(&*typed.messages[0]).expect("an answer");
    assert_eq!((&*answer.model_name, &*answer.model_version, &*answer.id), ("churn", "1", "7"));
    let contents = answer.outputs[0].contents.as_ref().expect("elements");
    let found: Vec<&[u8]> = contents.bytes_contents.iter().map(|label| &**label).collect();
    assert_eq!(found, labels.iter().map(|label| label.as_bytes()).collect::<Vec<_>>());
    assert_eq!(answer.outputs[1].contents.as_ref().expect("elements").fp64_contents, p);
    assert!(answer.raw_output_contents.is_empty());

    let bytes = caller.infer(&raw(x1(&[1.5, -0.25])));
    let answer = ModelInferResponse::decode(&*bytes.messages[0]).expect("an answer");
    let doubles: Vec<u8> = p.iter().flat_map(|p| p.to_le_bytes()).collect();
    assert_eq!(&answer.raw_output_contents[1][..], &doubles[..]);
    assert_eq!(answer.outputs[1].contents, None);
}

#[test]
fn refusals_are_said_in_grpc_and_only_there() {
    let serving = churn();
    let mut caller = Caller::connect(&serving);
    let unknown = ModelInferRequest { model_name: "nobody".to_owned(), ..x1(&[1.0]) };
    let unknown = caller.infer(&unknown);
    assert_eq!((unknown.status, unknown.messages.len()), (Some(5), 0), "{unknown:?}");
    assert_eq!(unknown.head["error-code"], "unknown_model");
    assert!(unknown.head.contains_key("x-request-id"), "{unknown:?}");
    for (path, headers, body, status, words) in [
        (INFER, &[][..], vec![], 3, "no%20message"),
        (INFER, &[], vec![0, 0, 0, 0, 9], 3, "within%20a%20message"),
        (INFER, &[("grpc-timeout", "soon")], framed(b""), 3, "grpc-timeout"),
        (INFER, &[("grpc-encoding", "snappy")], framed(b""), 12, "identity,%20gzip"),
        (INFER, &[], [framed(b""), framed(b"")].concat(), 3, "one%20message"),
        ("/inference.GRPCInferenceService/Guess", &[], framed(b""), 12, "Guess"),
        ("/else.Where/Call", &[], framed(b""), 12, "else.Where"),
    ] {
        let called = caller.call(path, headers, body);
        assert_eq!(called.status, Some(status), "{called:?}");
        let words = words.replace("%20", " ");
        let message = called.message.replace("%20", " ");
        assert!(message.contains(&words), "{message}");
    }
    // A name as long as a message may be, and one that is said over and over.
    let long = ModelInferRequest { model_name: "m".repeat(1 << 20), ..x1(&[1.0]) };
    let long = caller.infer(&long);
    assert_eq!(long.status, Some(3), "{:?}", long.status);
    assert!(long.message.contains("4096"), "{}", long.message);
    let again = b"\x0a\x05churn".repeat(1 << 17);
    let again = caller.call(INFER, &[], framed(&again));
    assert!(again.message.contains("65536"), "{}", again.message);
    let web = caller.call(INFER, &[("content-type", "application/grpc-web")], framed(b""));
    assert_eq!(web.status, None, "{web:?}");
    assert_eq!(web.head["content-type"], "application/json");
    // Whoever comes with a browser is told where he is.
    let mut browser = Client::connect(serving.addresses.grpc.expect("it listens"));
    let message = browser.get("/v2").refused(415, "media_type");
    assert!(message.contains("speaks gRPC"), "{message}");
}

#[test]
fn what_is_too_big_is_refused_before_it_is_read() {
    let limits = Limits { body_bytes_max: 1 << 20, ..Limits::default() };
    let serving = Serving::start(Config { limits, ..config() }, &[("churn", "gbm_bernoulli")]);
    let mut caller = Caller::connect(&serving);
    let mut claim = vec![0];
    claim.extend_from_slice(&u32::MAX.to_be_bytes());
    let called = caller.call(INFER, &[], claim);
    assert_eq!(called.status, Some(8), "{called:?}");
    assert!(called.message.contains("body_mib"), "{called:?}");
    // Small on the wire, big in memory.
    let bomb = {
        use flate2::{Compression, write::GzEncoder};
        use std::io::Write as _;
        let mut message = raw(x1(&[0.0])).encode_to_vec();
        message.extend_from_slice(&raw(x1(&vec![0.0; 1 << 20])).encode_to_vec());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&message).expect("memory");
        let mut framed = framed(&encoder.finish().expect("memory"));
        framed[0] = 1;
        framed
    };
    assert!(bomb.len() < 1 << 16);
    let called = caller.call(INFER, &[("grpc-encoding", "gzip")], bomb);
    assert_eq!(called.status, Some(8), "{called:?}");
}

#[test]
fn a_stream_says_errors_in_their_place_and_ends_at_the_drain() {
    let serving = churn();
    let mut caller = Caller::connect(&serving);
    let (requests, received) = mpsc::unbounded_channel();
    let send = |request: &ModelInferRequest| {
        let frame = Frame::data(Bytes::from(framed(&request.encode_to_vec())));
        requests.send(Ok::<_, std::convert::Infallible>(frame)).expect("it is read");
    };
    let body = futures_util::stream::unfold(received, async |mut received| {
        received.recv().await.map(|frame| (frame, received))
    });
    let body = StreamBody::new(body).boxed();
    let called = caller.sender.send_request(request(STREAM, &[], body));
    send(&x1(&[1.0]));
    send(&ModelInferRequest { model_name: "nobody".to_owned(), ..x1(&[1.0]) });
    send(&x1(&[2.0]));
    // What it has read is answered; then it waits for more, until the server leaves.
    let called = finish(called, |messages| {
        if messages == 3 {
            serving.shutdown.begin();
        }
    });
    let called = caller.runtime.block_on(called);
    assert_eq!((called.status, called.messages.len()), (Some(14), 3), "{called:?}");
    assert_eq!(called.trailers["error-code"], "draining");
    assert_eq!(called.trailers["grpc-retry-pushback-ms"], "1000");
    let answers: Vec<_> = called.messages.iter().map(decoded).collect();
    assert_eq!(answers[0].error_message, "");
    assert!(answers[1].error_message.contains("no model is called `nobody`"), "{answers:?}");
    assert_eq!(answers[1].infer_response.as_ref().map(|answer| &*answer.id), Some("7"));
    assert_eq!(answers[2].error_message, "");
    drop(requests);
    serving.join().expect("it ends well");
}

fn decoded(message: &Bytes) -> ModelStreamInferResponse {
    ModelStreamInferResponse::decode(&**message).expect("an answer")
}

#[test]
fn a_place_that_nobody_asked_for_may_be_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let with = |grpc| Server::bind(Config { grpc, ..config() });
    let without = with(GrpcListener::IfFree(address)).expect("it starts");
    assert_eq!(without.addresses().grpc, None);
    assert_eq!(with(GrpcListener::Off).expect("it starts").addresses().grpc, None);
    let error = with(GrpcListener::At(address)).expect_err("it is taken");
    assert_eq!(error.kind(), "address_in_use");
    drop(without.run(&{
        let shutdown = ShutdownHandle::new();
        shutdown.begin();
        shutdown
    }));
}

#[test]
fn readiness_is_false_while_the_server_drains() {
    let config = Config { drain_delay: Duration::from_secs(1), ..config() };
    let serving = Serving::start(config, &[("churn", "gbm_bernoulli")]);
    let mut caller = Caller::connect(&serving);
    let mut ready = || {
        let path = "/inference.GRPCInferenceService/ServerReady";
        let called = caller.call(path, &[], framed(b""));
        ServerReadyResponse::decode(&*called.messages[0]).expect("an answer").ready
    };
    assert!(ready());
    serving.shutdown.begin();
    while ready() {
        std::thread::yield_now();
    }
}

/// A good request, damaged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let numbers = prop::collection::vec(any::<f64>(), 0..6);
    let request = (numbers, any::<bool>(), prop::collection::vec(any::<i64>(), 0..4), 0..8_u8);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let request = request.prop_map(|(numbers, is_raw, shape, kind)| {
        let mut request = x1(&numbers);
        if is_raw {
            request = raw(request);
        }
        let input = &mut request.inputs[0];
        match kind {
            0 => input.shape = shape,
            1 => "BYTES".clone_into(&mut input.datatype),
            2 => "row".clone_into(&mut input.name),
            3 => "FP16".clone_into(&mut input.datatype),
            4 => {
                "numbers".clone_into(&mut request.model_name);
                "input".clone_into(&mut request.inputs[0].name);
            }
            5 => request.raw_input_contents.push(vec![1; 9].into()),
            _ => {}
        }
        request.encode_to_vec()
    });
    (request, damage).prop_map(|(mut message, damage)| {
        for (at, byte) in damage {
            if !message.is_empty() {
                let at = at.index(message.len());
                message[at] = byte;
            }
        }
        message
    })
}

/// Whatever comes, the answer is a prediction or says what the caller did wrong.
#[test]
fn damaged_messages_are_the_callers_fault() {
    let serving = churn();
    let caller = std::cell::RefCell::new(Caller::connect(&serving));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&damaged(), |message| {
        let called = caller.borrow_mut().call(INFER, &[], framed(&message));
        let fine = [0, 3, 5, 8, 12].map(Some);
        prop_assert!(fine.contains(&called.status), "{called:?}");
        Ok(())
    });
    outcome.expect("no other status");
}

#[test]
fn what_health_and_reflection_cannot_read_is_the_callers_fault() {
    let serving = churn();
    let mut caller = Caller::connect(&serving);
    let compressed = [1, 0, 0, 0, 1, 7].to_vec();
    // A stream of reflection ends where it cannot be read.
    for (method, status) in [
        ("/grpc.health.v1.Health/Check", 3),
        ("/grpc.health.v1.Health/Watch", 3),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 0),
    ] {
        for body in [compressed.clone(), framed(&[0x0a]), framed(&[0x0a, 2, 0xff, 0xff])] {
            let called = caller.call(method, &[], body);
            assert_eq!(called.status, Some(status), "{method}: {called:?}");
        }
    }
}

#[test]
fn a_connection_that_is_not_used_is_let_go() {
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    let serving = Serving::start(Config { limits, ..config() }, &[("churn", "gbm_bernoulli")]);
    let mut caller = Caller::connect(&serving);
    assert_eq!(caller.infer(&x1(&[1.0])).status, Some(0));
    let Caller { runtime, mut sender } = caller;
    // The server says goodbye; then nothing can be sent any more.
    runtime.block_on(async {
        let gone = async {
            while sender.ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), gone).await.expect("it is let go");
    });
}
