//! The main job, end to end, on real models: serve, score, swap under load, roll back.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use stemson_mojo::{Batch, Cell, Digest, LoadError, LoadOptions, Model, Options, Output};
use stemson_server::{
    Addresses, Config, DeployError, GrpcListener, RunError, Server, ShutdownHandle, StartError,
};

use crate::client::{Answer, Client, TransportError};
use crate::load::{Event, Load, by_revision, quantile};

const GLM: &[u8] = include_bytes!("../models/glm.zip");
const XGBOOST: &[u8] = include_bytes!("../models/xgboost.zip");
const ROWS: &str = include_str!("../models/rows.jsonl");

/// The name under which the models answer.
const NAME: &str = "demo";
const SWAPS: usize = 20;
const PER_SECOND: u32 = 500;
const CONNECTIONS: usize = 8;

/// How the demo is to run.
#[derive(Debug, Clone, Copy)]
pub struct Demo {
    /// End after the last step instead of staying up.
    pub once: bool,
    /// Where to listen for inference.
    pub http: SocketAddr,
    /// Where to listen for swaps.
    pub admin: SocketAddr,
}

/// Why the demo broke off.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server ended badly.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A model of the demo is not taken.
    #[error("the demo's own model is not taken")]
    Deploy(#[from] DeployError),
    /// A model of the demo cannot be loaded.
    #[error("the demo's own model cannot be loaded")]
    Load(#[from] LoadError),
    /// The server does not answer.
    #[error("the demo's server does not answer: {0}")]
    Transport(String),
    /// An answer is not what it should be.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// The terminal does not take the report, or the system gives no thread.
    #[error("the demo cannot go on")]
    Io(#[from] io::Error),
}

impl From<TransportError> for DemoError {
    fn from(cause: TransportError) -> Self {
        Self::Transport(cause.to_string())
    }
}

impl Demo {
    /// Runs it and tells `out` what happens. `true`: every request was answered, and rightly.
    pub fn run(self, out: &mut dyn Write) -> Result<bool, DemoError> {
        let contenders = [Contender::load("GLM", GLM)?, Contender::load("XGBoost", XGBOOST)?];
        let server = Server::bind(Config {
            http: self.http,
            grpc: GrpcListener::Off,
            admin: self.admin,
            ..Config::default()
        })?;
        let addresses = server.addresses();
        drop(server.deploy(NAME, GLM, "demo")?);
        let shutdown =
            if self.once { ShutdownHandle::new() } else { ShutdownHandle::with_signals() };
        let reactor = thread::Builder::new().name("reactor".to_owned());
        let ended = shutdown.clone();
        let reactor = reactor.spawn(move || server.run(&ended))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shown = runtime.block_on(show(addresses, &contenders, out));
        if self.once || shown.is_err() {
            shutdown.begin();
        } else {
            writeln!(out, "\nstays up, with {}; Ctrl-C ends it", contenders[0].what)?;
            out.flush()?;
        }
        let served = reactor.join().unwrap_or(Ok(()));
        let all_right = shown?;
        served?;
        Ok(all_right)
    }
}

/// A model of the demo, with its answers.
struct Contender {
    what: &'static str,
    artifact: &'static [u8],
    digest: Digest,
    /// Probability of the second label, by row.
    answers: Vec<f64>,
    labels: Vec<String>,
}

impl Contender {
    fn load(what: &'static str, artifact: &'static [u8]) -> Result<Self, DemoError> {
        let model = Arc::new(Model::load(artifact, &LoadOptions::default())?);
        let mut batch = Batch::new(Arc::clone(&model), Options::default());
        let rows = rows()?;
        for row in &rows {
            let cells: Vec<Cell<'_>> =
                model.schema().columns().iter().map(|column| cell(&row[&column.name])).collect();
            batch.push(&cells);
        }
        batch.score();
        let mut answers = Vec::new();
        for row in 0..rows.len() {
            match batch.output(row) {
                Ok(Output::Classes { p, .. }) => answers.push(p[1]),
                other => return Err(DemoError::Answer(format!("{what}: {other:?}"))),
            }
        }
        let labels = model.labels().to_vec();
        Ok(Self { what, artifact, digest: model.digest(), answers, labels })
    }
}

fn rows() -> Result<Vec<Value>, DemoError> {
    let parse = |line| serde_json::from_str(line);
    let rows: Result<_, serde_json::Error> = ROWS.lines().map(parse).collect();
    rows.map_err(|cause| DemoError::Answer(cause.to_string()))
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => number.as_f64().map_or(Cell::Absent, Cell::Number),
        _ => Cell::Absent,
    }
}

/// When which contender may have been current: from the first moment to the last.
struct Reign {
    contender: usize,
    from: Instant,
    until: Option<Instant>,
}

async fn show(
    addresses: Addresses,
    contenders: &[Contender; 2],
    out: &mut dyn Write,
) -> Result<bool, DemoError> {
    let base = format!("http://{}", addresses.http);
    let path = format!("/v1/models/{NAME}:predict");
    let [first, _] = contenders;
    writeln!(out, "serving   {NAME} at {base}, admin at http://{}", addresses.admin)?;
    writeln!(out, "          {} by H2O, SHA-256 {}", first.what, first.digest.short())?;

    let row = ROWS.lines().next().unwrap_or_default();
    let mut client = Client::connect(addresses.http).await?;
    let answer = expect_ok(&client.post(&path, body(row)).await?)?;
    writeln!(out, "scored    curl -d '{{\"instances\":[{row}]}}' {base}{path}")?;
    writeln!(out, "          {answer}")?;

    let seen = swap_under_load(addresses, path, contenders).await?;
    let all_right = seen.tell(contenders, out)?;
    let metrics = client.get("/metrics").await?;
    let lines = metrics.body.split(|&byte| byte == b'\n').count();
    writeln!(
        out,
        "look at   {base}/v1/models, {base}/v2/models/{NAME}, {base}/metrics ({lines} lines)"
    )?;
    writeln!(out, "          http://{}/admin/models/{NAME}/revisions", addresses.admin)?;
    Ok(all_right)
}

fn body(row: &str) -> Bytes {
    Bytes::from(format!(r#"{{"instances":[{row}]}}"#))
}

/// What happened while models were swapped.
struct Seen {
    events: Vec<Event>,
    reigns: Vec<Reign>,
    slowest_swap: Duration,
    rollback: Duration,
}

async fn swap_under_load(
    addresses: Addresses,
    path: String,
    contenders: &[Contender; 2],
) -> Result<Seen, DemoError> {
    let mut admin = Client::connect(addresses.admin).await?;
    let load = Load {
        address: addresses.http,
        path,
        headers: Vec::new(),
        bodies: ROWS.lines().map(body).collect(),
        per_second: PER_SECOND,
        connections: CONNECTIONS,
    };
    let mut reigns = vec![Reign { contender: 0, from: Instant::now(), until: None }];
    let running = load.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut slowest_swap = Duration::ZERO;
    // An even number, so that the first model answers again at the end.
    for number in 1..=SWAPS {
        let took = swap(&mut admin, contenders, number % 2, &mut reigns).await?;
        slowest_swap = slowest_swap.max(took);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    swap(&mut admin, contenders, 1, &mut reigns).await?;
    let from = Instant::now();
    reigns.push(Reign { contender: 0, from, until: None });
    expect_ok(&admin.post(&format!("/admin/models/{NAME}/rollback"), Bytes::new()).await?)?;
    let rollback = from.elapsed();
    close_reign(&mut reigns);
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(Seen { events: running.stop().await, reigns, slowest_swap, rollback })
}

impl Seen {
    /// `true`: every request was answered, and rightly.
    fn tell(&self, contenders: &[Contender; 2], out: &mut dyn Write) -> io::Result<bool> {
        let Self { events, reigns, slowest_swap, rollback } = self;
        let [first, second] = contenders.each_ref().map(|contender| contender.what);
        let Verdict { failed, wrong, stale, example } = Verdict::of(events, contenders, reigns);
        let answers = by_revision(events);
        let [by_first, by_second] = contenders.each_ref().map(|contender| {
            answers.get(contender.digest.to_string().as_str()).copied().unwrap_or(0)
        });
        let swaps = SWAPS + 1;
        let slowest = Millis(*slowest_swap);
        let (p50, p99) = (Millis(quantile(events, 0.5)), Millis(quantile(events, 0.99)));
        writeln!(
            out,
            "swapped   {first} -> {second} and back, {swaps} times under {PER_SECOND} requests/s, \
             the slowest in {slowest}\n          \
             {} requests: {failed} failed, {wrong} wrong, {stale} by a revision that was not \
             current\n          \
             {by_first} answered by {first}, {by_second} by {second}; p50 {p50}, p99 {p99}",
            events.len(),
        )?;
        if let Some(why) = example {
            writeln!(out, "          for example: {why}")?;
        }
        writeln!(out, "rolled    back to {first} in {}", Millis(*rollback))?;
        Ok(failed + wrong + stale == 0)
    }
}

/// Makes a contender current through the admin route; how long that took.
async fn swap(
    admin: &mut Client,
    contenders: &[Contender; 2],
    contender: usize,
    reigns: &mut Vec<Reign>,
) -> Result<Duration, DemoError> {
    let from = Instant::now();
    reigns.push(Reign { contender, from, until: None });
    let artifact = Bytes::from_static(contenders[contender].artifact);
    expect_ok(&admin.post(&format!("/admin/models/{NAME}/swap"), artifact).await?)?;
    close_reign(reigns);
    Ok(from.elapsed())
}

/// The one before the last may have been current until now, and is not any more.
fn close_reign(reigns: &mut [Reign]) {
    if let [.., before, _] = reigns {
        before.until = Some(Instant::now());
    }
}

fn expect_ok(answer: &Answer) -> Result<String, DemoError> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status.is_success() {
        Ok(text)
    } else {
        Err(DemoError::Answer(format!("{} {text}", answer.status)))
    }
}

/// What the load showed.
#[derive(Default)]
struct Verdict {
    failed: usize,
    wrong: usize,
    stale: usize,
    example: Option<String>,
}

impl Verdict {
    fn of(events: &[Event], contenders: &[Contender; 2], reigns: &[Reign]) -> Self {
        let mut verdict = Self::default();
        for event in events {
            let why = match &event.answer {
                Err(why) => {
                    verdict.failed += 1;
                    why.clone()
                }
                Ok(answer) => match judge(answer, event, contenders, reigns) {
                    Judged::Right => continue,
                    Judged::Wrong => {
                        verdict.wrong += 1;
                        answer.to_string()
                    }
                    Judged::Stale => {
                        verdict.stale += 1;
                        format!("stale: {answer}")
                    }
                },
            };
            verdict.example.get_or_insert(why);
        }
        verdict
    }
}

enum Judged {
    Right,
    Wrong,
    Stale,
}

fn judge(answer: &Value, event: &Event, contenders: &[Contender; 2], reigns: &[Reign]) -> Judged {
    let revision = answer["revision"].as_str().unwrap_or_default();
    let Some(index) = contenders.iter().position(|c| c.digest.to_string() == revision) else {
        return Judged::Wrong;
    };
    let contender = &contenders[index];
    let p1 = &answer["predictions"][0]["p"][contender.labels[1].as_str()];
    if p1.as_f64() != Some(contender.answers[event.body]) {
        return Judged::Wrong;
    }
    let was_current = reigns.iter().any(|reign| {
        reign.contender == index
            && reign.from <= event.ended
            && reign.until.is_none_or(|until| until >= event.began)
    });
    if was_current { Judged::Right } else { Judged::Stale }
}

/// A duration as people read it.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3)
    }
}
