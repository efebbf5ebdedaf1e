//! What happens when there is more to do than can be done: by cause, with the lane held shut.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;
use stemson_mojo::Options;
use stemson_serving::Work;

use crate::auth::{Entrance, Visitor};
use crate::context::{Admitted, Context};
use crate::linger::Marks;
use crate::{CacheConfig, Config, GrpcListener, Limits, ModelConfig, Server, front, routes};

pub(crate) const MODEL: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/corpora/mojo/gbm_bernoulli/model.zip"
));

/// A server with one compute thread, which is busy until it is let go.
pub(crate) struct Held {
    pub(crate) context: Arc<Context>,
    router: Router,
    let_go: Option<Sender<()>>,
    server: Server,
}

impl Held {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(Config { limits, ..Config::default() })
    }

    fn with(config: Config) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            http: any_port,
            grpc: GrpcListener::Off,
            admin: any_port,
            compute_threads: 1,
            // What a swap warms is cheap, and its answers are not kept; see `make_dear`.
            cache: CacheConfig { min_cost: Duration::from_micros(500), ..CacheConfig::default() },
            ..config
        };
        let server = Server::bind(config).expect("free ports");
        drop(server.deploy("churn", MODEL, "test").expect("a model"));
        let context = Arc::clone(server.context());
        let let_go = hold(&context);
        let router = routes::inference(Arc::clone(&context));
        Self { context, router, let_go: Some(let_go), server }
    }

    pub(crate) fn let_go(&mut self) {
        self.let_go = None;
    }

    /// Another artifact for the same name.
    pub(crate) fn swap(&self, artifact: &'static [u8]) {
        drop(self.server.deploy("churn", artifact, "test").expect("a model"));
    }

    /// Somebody else's work that is admitted and not done.
    pub(crate) fn occupy(&self, cost: Duration) -> Admitted {
        let now = Instant::now();
        let deadline = now + Duration::from_hours(1);
        self.context.gate.offer(0, now, Work::whole(cost), deadline).expect("admitted")
    }

    /// Asks for `rows` predictions.
    pub(crate) async fn ask(&self, rows: usize, timeout_ms: &str) -> Reply {
        self.ask_verb("churn:predict", rows, timeout_ms).await
    }

    async fn ask_verb(&self, verb: &str, rows: usize, timeout_ms: &str) -> Reply {
        let instances = vec!["{\"x1\":1.5,\"c3\":\"red\"}"; rows].join(",");
        let request = Request::post(format!("/v1/models/{verb}"))
            .header("x-request-timeout", timeout_ms)
            .body(Body::from(format!("{{\"instances\":[{instances}]}}")))
            .expect("a request");
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let visitor = Arc::new(Visitor {
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            entrance: Entrance::Inference,
            is_public: false,
            certificates: Vec::new(),
        });
        let (context, router) = (Arc::clone(&self.context), self.router.clone());
        let response = front::answer(context, router, visitor, Marks::default(), request).await;
        Reply::read(response.expect("it cannot fail")).await
    }

    /// Waits until the lane has dropped what nobody waits for.
    fn empties(&self) {
        let patience = Instant::now() + Duration::from_secs(30);
        while self.context.gate.requests() > 0 {
            assert!(Instant::now() < patience, "something stays behind the gate");
            std::thread::yield_now();
        }
    }

    fn metric(&self, line: &str) -> bool {
        let (text, _) = self.context.metrics.render(&self.context.deployments, false);
        text.lines().any(|shown| shown == line)
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: String,
    pub(crate) body: Value,
}

impl Reply {
    async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let mut headers = String::new();
        for (name, value) in &parts.headers {
            writeln!(headers, "{name}: {}", value.to_str().expect("text")).expect("memory");
        }
        let body = serde_json::from_slice(&body).expect("JSON");
        Self { status: parts.status.as_u16(), headers, body }
    }
}

/// Keeps a compute thread busy until the sender speaks or is dropped.
pub(crate) fn hold(context: &Context) -> Sender<()> {
    let (let_go, wait) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    let task = Box::new(move || {
        begun.send(()).expect("the test waits");
        let _ = wait.recv();
    });
    context.lane.push(0, Duration::ZERO, task);
    has_begun.recv().expect("the thread begins");
    let_go
}

/// More rows than the reactor scores itself, in a body that it decodes itself.
const MANY: usize = 1_000;
/// A body that goes to the lane undecoded.
const HUGE: usize = 5_000;

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Rows cost what they cost on this machine: make them cost more than the reactor takes on.
pub(crate) fn make_dear(held: &Held) {
    for revision in held.context.deployments.all().iter().map(|deployment| deployment.current()) {
        // Each counts for four times the mean at most.
        for _ in 0..40 {
            revision.row_cost().observe(1, Duration::from_millis(1));
        }
        assert!(revision.row_cost().predict(MANY) > Duration::from_millis(10));
    }
}

#[test]
fn what_cannot_be_done_in_time_is_shed_at_once() {
    let held = Held::new(Limits::default());
    make_dear(&held);
    let occupied = held.occupy(Duration::from_millis(2_500));
    for rows in [MANY, HUGE] {
        let reply = runtime().block_on(held.ask(rows, "100"));
        assert_eq!((reply.status, &reply.body["code"]), (503, &"no_capacity".into()), "{rows}");
        assert!(reply.headers.contains("retry-after: 3\n"), "{}", reply.headers);
        assert!(reply.headers.contains("retry-after-ms: 2500\n"), "{}", reply.headers);
    }
    assert!(held.metric("stemson_shed_total{reason=\"deadline\"} 2"));
    drop(occupied);
    assert_eq!(held.context.gate.requests(), 0);
}

/// A request whose head promises a megabyte, and nothing comes.
fn promise(path: &str) -> Request<Body> {
    let never = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
    Request::post(path)
        .header("x-request-timeout", "100")
        .header("content-length", "1000000")
        .body(Body::from_stream(never))
        .expect("a request")
}

#[test]
fn a_body_that_would_be_late_is_not_waited_for() {
    let held = Held::new(Limits::default());
    let occupied = held.occupy(Duration::from_millis(2_500));
    let reply = runtime().block_on(held.send(expecting(promise("/v1/models/churn:predict"))));
    assert_eq!((reply.status, &reply.body["code"]), (503, &"no_capacity".into()));
    assert!(reply.headers.contains("retry-after-ms: 2500\n"), "{}", reply.headers);
    assert!(reply.headers.contains("connection: close\n"), "{}", reply.headers);
    assert!(held.metric("stemson_shed_total{reason=\"deadline\"} 1"));
    drop(occupied);
    assert_eq!(held.context.gate.requests(), 0);
}

/// The body is not read over then, and need not come.
fn expecting(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
    request
}

#[test]
fn a_promise_keeps_its_place_for_a_moment_only() {
    let held = Held::new(Limits::default());
    runtime().block_on(async {
        let mut promised = std::pin::pin!(held.send(promise("/v1/models/churn:predict")));
        std::future::poll_fn(|context| {
            assert!(promised.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(held.context.gate.requests(), 1, "its place is taken");
        let released = async {
            while held.context.gate.requests() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = &mut promised => panic!("its body has not come"),
            () = released => {}
        }
    });
}

/// What is at the head of the queue and cannot end in time any more makes room for what can.
#[test]
fn what_would_be_late_is_not_begun() {
    let mut held = Held::new(Limits::default());
    make_dear(&held);
    let takes = held.context.deployments.all()[0].current().row_cost().predict(MANY);
    let spare = Duration::from_millis(300);
    let timeout_ms = (takes + spare).as_millis().to_string();
    let let_go = held.let_go.take();
    let (late, next) = runtime().block_on(async {
        let opened = async {
            while held.context.gate.requests() < 2 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(2 * spare).await;
            drop(let_go);
        };
        let asked = async { tokio::join!(held.ask(MANY, &timeout_ms), held.ask(MANY, "6000000")) };
        tokio::join!(asked, opened).0
    });
    assert_eq!((late.status, &late.body["code"]), (504, &"deadline_missed".into()));
    assert_eq!(next.status, 200, "{}", next.body);
    assert!(held.metric(&format!(
        "stemson_rows_total{{model=\"churn\",revision=\"{}\"}} {MANY}",
        held.context.deployments.all()[0].current().short(),
    )));
}

/// The length of a body says nothing of what its rows are asked. They are not begun if that takes too
/// long, and who comes meanwhile is told how long it takes.
#[test]
fn a_body_is_admitted_again_by_what_it_asks() {
    let mut held = Held::new(Limits::default());
    let revision = held.context.deployments.all()[0].current();
    let explained = revision.cost_of(Options { contributions: true, ..Options::default() });
    while explained.predict(HUGE) < Duration::from_hours(10) {
        explained.observe(1, Duration::from_hours(1));
    }
    let occupied = held.occupy(Duration::from_millis(1));
    let let_go = held.let_go.take();
    let reply = runtime().block_on(async {
        let opened = async {
            while held.context.gate.requests() < 2 {
                tokio::task::yield_now().await;
            }
            drop(let_go);
        };
        tokio::join!(held.ask_verb("churn:explain", HUGE, "6000000"), opened).0
    });
    assert_eq!((reply.status, &reply.body["code"]), (504, &"deadline_missed".into()));
    drop(occupied);
    held.empties();
    let (text, _) = held.context.metrics.render(&held.context.deployments, false);
    assert!(!text.contains("stemson_rows_total{"), "{text}");
}

#[test]
fn cheap_rows_and_health_do_not_wait_for_the_lane() {
    let held = Held::new(Limits::default());
    let _occupied = held.occupy(Duration::from_mins(1));
    let revision = held.context.deployments.all()[0].current();
    while revision.row_cost().predict(1) > Duration::from_micros(10) {
        revision.row_cost().observe(1, Duration::ZERO);
    }
    let reply = runtime().block_on(held.ask(1, "1000"));
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[test]
fn the_queue_has_an_end() {
    let held = Held::new(Limits { queued_requests_max: 1, ..Limits::default() });
    make_dear(&held);
    let _occupied = held.occupy(Duration::from_millis(1));
    let reply = runtime().block_on(held.ask(MANY, "60000"));
    assert_eq!((reply.status, &reply.body["code"]), (503, &"no_capacity".into()));
    assert!(reply.headers.contains("retry-after: 1\n"), "{}", reply.headers);
    assert!(held.metric("stemson_shed_total{reason=\"queue_full\"} 1"));
}

#[test]
fn what_was_admitted_and_is_late_is_told_so() {
    let held = Held::new(Limits::default());
    make_dear(&held);
    // Long enough to be decoded and admitted on a busy machine; the lane is shut.
    let reply = runtime().block_on(held.ask(MANY, "300"));
    assert_eq!((reply.status, &reply.body["code"]), (504, &"deadline_missed".into()));
}

#[test]
fn a_body_that_waited_too_long_is_not_even_decoded() {
    let mut held = Held::new(Limits::default());
    let reply = runtime().block_on(async {
        let asked = async { held.ask(HUGE, "300").await };
        let mut asked = std::pin::pin!(asked);
        let waited = tokio::time::timeout(Duration::from_millis(400), &mut asked).await;
        assert!(waited.is_err(), "nobody looks at it while the lane is shut");
        let _ = held.let_go.as_ref().map(|let_go| let_go.send(()));
        asked.await
    });
    assert_eq!((reply.status, &reply.body["code"]), (504, &"deadline_missed".into()));
    held.let_go();
}

#[test]
fn the_lane_answers_when_it_gets_to_it() {
    let held = Held::new(Limits::default());
    make_dear(&held);
    for rows in [MANY, HUGE] {
        let reply = runtime().block_on(async {
            let mut asked = std::pin::pin!(held.ask(rows, "600000"));
            // Long enough to be queued; the answer does not depend on it.
            drop(tokio::time::timeout(Duration::from_millis(5), &mut asked).await);
            let _ = held.let_go.as_ref().map(|let_go| let_go.send(()));
            asked.await
        });
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.body["predictions"].as_array().map(Vec::len), Some(rows));
    }
    assert!(held.metric(&format!(
        "stemson_rows_total{{model=\"churn\",revision=\"{}\"}} {}",
        held.context.deployments.all()[0].current().short(),
        MANY + HUGE
    )));
}

#[test]
fn nothing_is_computed_for_a_caller_who_has_gone() {
    let mut held = Held::new(Limits::default());
    make_dear(&held);
    runtime().block_on(async {
        let gone = tokio::time::timeout(Duration::from_millis(300), held.ask(MANY, "600000")).await;
        assert!(gone.is_err(), "the lane is shut");
    });
    assert_eq!(held.context.gate.requests(), 1, "its place is kept until the lane sees it");
    held.let_go();
    held.empties();
    let (text, _) = held.context.metrics.render(&held.context.deployments, false);
    assert!(text.contains("outcome=\"cancelled\"} 1"), "{text}");
    assert!(!text.contains("stemson_rows_total{"), "{text}");
}

/// Both ask for the same work at the same time, and the lane has one thread: of the first eight that
/// are done, six are those of the model of weight 3.
#[test]
fn models_share_the_lane_by_weight() {
    const EACH: usize = 8;
    let of = |weight| ModelConfig { weight: NonZeroU32::new(weight), ..ModelConfig::default() };
    let models = [("churn".to_owned(), of(1)), ("heavy".to_owned(), of(3))].into();
    let mut held = Held::with(Config { models, ..Config::default() });
    drop(held.server.deploy("heavy", MODEL, "test").expect("a model"));
    make_dear(&held);
    let order = Mutex::new(Vec::new());
    let let_go = held.let_go.take();
    runtime().block_on(async {
        let ask = async |model: &'static str| {
            let verb = format!("{model}:predict");
            assert_eq!(held.ask_verb(&verb, MANY, "6000000").await.status, 200);
            order.lock().expect("no panic").push(model);
        };
        let churn = std::iter::repeat_n("churn", EACH);
        let asked = churn.chain(std::iter::repeat_n("heavy", EACH)).map(ask);
        let all = futures_util::future::join_all(asked);
        let opened = async {
            while held.context.gate.requests() < 2 * EACH {
                tokio::task::yield_now().await;
            }
            drop(let_go);
        };
        tokio::join!(all, opened);
    });
    let order = order.into_inner().expect("no panic");
    let heavy = order[..EACH].iter().filter(|model| **model == "heavy").count();
    assert_eq!(heavy, 6, "{order:?}");
}
