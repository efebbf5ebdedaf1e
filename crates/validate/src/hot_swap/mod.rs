//! Whether a running server changes its model without anybody noticing.
//!
//! Requests of the Open Inference Protocol come at a steady rate while the model is swapped and
//! rolled back. Every answer is compared with what each of the two models answers, computed
//! beforehand: it must be one of them, and of the one that may be current at that moment.

mod answers;
mod memory;
mod report;
mod target;

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::client::TransportError;
use crate::load::{Event, Load, quantile};
use answers::{By, Contender};
use target::Target;
pub use target::{ParseUrlError, Url};

/// What to swap, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener for inference.
    pub api: Url,
    /// The listener for swaps; without it port 8082 of the same host is tried, then the repository
    /// extension on `api`.
    pub admin: Option<Url>,
    /// The model's name on the server; without it the only one there.
    pub model: Option<String>,
    /// The artifact that answers now; without it, its answers are those given before the swap.
    pub v1: Option<Vec<u8>>,
    /// The artifact to swap in.
    pub v2: Vec<u8>,
    /// Rows to ask, objects by column; without them they are drawn from the model's columns.
    pub rows: Vec<Value>,
    /// Answers of the old and the new model to `rows` as `stemson score --format jsonl` writes
    /// them, for servers that run other models than these artifacts.
    pub expected: [Option<Vec<Value>>; 2],
    /// Swaps and rolls back in place of the server's own routes; run by the shell.
    pub commands: Option<[String; 2]>,
    /// Requests per second.
    pub per_second: u32,
    /// How long to ask before the swap, between swap and rollback, and after it.
    pub phase: Duration,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<String>,
}

/// Why a server could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum HotSwapError {
    /// The server does not answer.
    #[error("{url} does not answer: {cause}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The server refuses what we ask before anything is swapped.
    #[error("{url} answers {status} to {what}: {said}")]
    Refused {
        /// Its address.
        url: String,
        /// Status code.
        status: u16,
        /// What was asked.
        what: String,
        /// Its words.
        said: String,
    },
    /// Which model is meant cannot be told.
    #[error("{url} has {found}; name one with --model")]
    WhichModel {
        /// Its address.
        url: String,
        /// What is there.
        found: String,
    },
    /// An artifact is no model that can be compared.
    #[error("{which}: {reason}")]
    Artifact {
        /// `--model-v1` or `--model-v2`.
        which: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A file of answers does not fit the rows.
    #[error("{which}: {reason}")]
    Expected {
        /// The flag.
        which: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Nothing tells the two models apart.
    #[error(
        "both models give the same answers to all {rows} rows: a swap could not be seen; give rows that tell them apart with --requests"
    )]
    Alike {
        /// How many.
        rows: usize,
    },
    /// This machine does not let us work.
    #[error("cannot set up the test: {0}")]
    Setup(#[from] std::io::Error),
}

impl From<TransportError> for HotSwapError {
    fn from(cause: TransportError) -> Self {
        Self::Unreachable { url: cause.address().to_string(), cause: cause.to_string() }
    }
}

/// Latencies of a phase, milliseconds since the request was due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Requests.
    pub requests: usize,
    /// Half were faster.
    pub p50_ms: f64,
    /// Ninety-nine of a hundred were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// A change of the model.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Until the server said that it is done, milliseconds.
    pub took_ms: f64,
    /// From the call to the first answer by the model that was asked for, milliseconds.
    pub seen_ms: Option<f64>,
    /// What the server said if it refused.
    pub refused: Option<String>,
}

/// What was seen.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The listener for inference.
    pub api: String,
    /// How the model was changed: `admin`, `repository`, `command`.
    pub way: &'static str,
    /// The model's name.
    pub model: String,
    /// Where the old model's answers come from: `artifact`, `file`, `server`.
    pub v1_from: &'static str,
    /// Requests per second that were due.
    pub load: u32,
    /// All requests.
    pub requests: usize,
    /// Answers with a status of 500 and above.
    pub server_errors: usize,
    /// Answers with a status between 400 and 499.
    pub refused: usize,
    /// Requests without an answer.
    pub transport_errors: usize,
    /// Answers that neither model gives.
    pub wrong: usize,
    /// Answers of a model that was not current.
    pub stale: usize,
    /// Answers by the old model, the new one, and such as both give.
    pub by: [usize; 3],
    /// One request that went wrong.
    pub example: Option<String>,
    /// The swap.
    pub swap: Change,
    /// The rollback.
    pub rollback: Change,
    /// Before the swap.
    pub before: Latency,
    /// From the call of the swap until a second after its end.
    pub during: Latency,
    /// Thereafter, until the rollback.
    pub after: Latency,
    /// Resident memory of the server before and after, bytes, where it runs on this machine.
    pub resident_bytes: Option<[u64; 2]>,
}

/// When a model may have been current.
struct Reign {
    by: By,
    from: Instant,
    until: Option<Instant>,
}

/// Swaps and rolls back under load, and judges.
///
/// # Errors
/// The server cannot be asked, or the models cannot be compared.
pub fn test(settings: &Settings) -> Result<Report, HotSwapError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(settings))
}

/// All that is known before the first request of the load.
struct Plan {
    target: Target,
    bodies: Vec<Bytes>,
    /// The old model's answers, then the new one's.
    answers: [Vec<answers::Answer>; 2],
    v1_from: &'static str,
}

impl Plan {
    async fn make(settings: &Settings) -> Result<Self, HotSwapError> {
        let target = Target::find(settings).await?;
        let new = Contender::load("--model-v2", &settings.v2)?;
        let rows = if settings.rows.is_empty() { new.draw_rows() } else { settings.rows.clone() };
        let bodies = new.bodies(&rows, &target.metadata);
        let [expected_v1, expected_v2] = &settings.expected;
        let after = match expected_v2 {
            Some(lines) => answers::expected("--expected-v2", lines, rows.len())?,
            None => new.answers(&rows)?,
        };
        let (before, v1_from) = match (expected_v1, &settings.v1) {
            (Some(lines), _) => (answers::expected("--expected-v1", lines, rows.len())?, "file"),
            (None, Some(artifact)) => {
                (Contender::load("--model-v1", artifact)?.answers(&rows)?, "artifact")
            }
            (None, None) => (target.observe(&bodies).await?, "server"),
        };
        if before.iter().zip(&after).all(|(before, after)| before.is_like(after)) {
            return Err(HotSwapError::Alike { rows: rows.len() });
        }
        Ok(Self { target, bodies, answers: [before, after], v1_from })
    }
}

async fn run(settings: &Settings) -> Result<Report, HotSwapError> {
    /// A swap's shadow: what is slow so long after it is counted to it.
    const SHADOW: Duration = Duration::from_secs(1);
    let Plan { target, bodies, answers: [before, after], v1_from } = Plan::make(settings).await?;
    let load = Load {
        address: target.api,
        path: target.infer_path(),
        headers: target.headers.clone(),
        bodies,
        per_second: settings.per_second,
        connections: 16,
    };
    let resident = memory::resident_bytes(target.api);
    let began = Instant::now();
    let mut reigns = vec![Reign { by: By::Old, from: began, until: None }];
    let running = load.start();
    tokio::time::sleep(settings.phase).await;
    let swap = change(&mut reigns, By::New, target.swap(settings)).await;
    tokio::time::sleep(SHADOW).await;
    let shadow_ends = Instant::now();
    tokio::time::sleep(settings.phase).await;
    let rolls_back = Instant::now();
    // What was never swapped is not rolled back: that could take a server further than it was.
    let rollback = match swap.refused {
        None => change(&mut reigns, By::Old, target.roll_back(settings)).await,
        Some(_) => {
            Change { took_ms: 0.0, seen_ms: None, refused: Some("nothing was swapped".to_owned()) }
        }
    };
    tokio::time::sleep(settings.phase.min(SHADOW)).await;
    let events = running.stop().await;
    let resident = resident.zip(memory::resident_bytes(target.api));
    let swapped_at = reigns.get(1).map_or(rolls_back, |reign| reign.from);
    let latency = |from: Instant, until: Instant| {
        let of: Vec<&Event> =
            events.iter().filter(|it| it.due() >= from && it.due() < until).collect();
        latency(&of)
    };
    let mut report = Report {
        api: settings.api.to_string(),
        way: target.way(settings),
        model: target.model.clone(),
        v1_from,
        load: settings.per_second,
        requests: events.len(),
        server_errors: 0,
        refused: 0,
        transport_errors: 0,
        wrong: 0,
        stale: 0,
        by: [0; 3],
        example: None,
        before: latency(began, swapped_at),
        during: latency(swapped_at, shadow_ends),
        after: latency(shadow_ends, rolls_back),
        swap,
        rollback,
        resident_bytes: resident.map(|(before, after)| [before, after]),
    };
    judge(&mut report, &events, &reigns, [&before, &after]);
    Ok(report)
}

/// Changes the model and notes who may be current meanwhile.
async fn change(
    reigns: &mut Vec<Reign>,
    to: By,
    call: impl Future<Output = Result<(), String>>,
) -> Change {
    let from = Instant::now();
    reigns.push(Reign { by: to, from, until: None });
    let refused = call.await.err();
    let now = Instant::now();
    let current = reigns.len() - 1;
    match &refused {
        None => reigns[current - 1].until = Some(now),
        // Who refuses stays as he was.
        Some(_) => reigns[current].until = Some(from),
    }
    Change { took_ms: now.duration_since(from).as_secs_f64() * 1e3, seen_ms: None, refused }
}

fn latency(events: &[&Event]) -> Latency {
    let at = |share| quantile(events.iter().copied(), share).as_secs_f64() * 1e3;
    Latency { requests: events.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
}

fn judge(
    report: &mut Report,
    events: &[Event],
    reigns: &[Reign],
    answers: [&[answers::Answer]; 2],
) {
    for event in events {
        let why = match &event.answer {
            Err(why) => {
                let status = why.split(' ').next().and_then(|status| status.parse::<u16>().ok());
                match status {
                    Some(500..) => report.server_errors += 1,
                    Some(_) => report.refused += 1,
                    None => report.transport_errors += 1,
                }
                why.clone()
            }
            Ok(answer) => {
                let by = answers::by(answer, answers.map(|answers| &answers[event.body]));
                let Some(by) = by else {
                    report.wrong += 1;
                    report.example.get_or_insert(format!("wrong: {answer}"));
                    continue;
                };
                report.by[by as usize] += 1;
                note_first(report, event, by, reigns);
                let may = |reign: &Reign| {
                    (by == By::Both || reign.by == by)
                        && reign.from <= event.ended
                        && reign.until.is_none_or(|until| until >= event.began)
                };
                if reigns.iter().any(may) {
                    continue;
                }
                report.stale += 1;
                format!("by the model that was not current: {answer}")
            }
        };
        report.example.get_or_insert(why);
    }
}

/// When the model that was asked for was seen first.
fn note_first(report: &mut Report, event: &Event, by: By, reigns: &[Reign]) {
    for (place, change) in [(1, &mut report.swap), (2, &mut report.rollback)] {
        if let Some(reign) = reigns.get(place)
            && reign.by == by
            && event.ended >= reign.from
        {
            let seen = event.ended.duration_since(reign.from).as_secs_f64() * 1e3;
            change.seen_ms = Some(change.seen_ms.map_or(seen, |before| before.min(seen)));
        }
    }
}
