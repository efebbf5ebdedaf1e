//! Whether an ASGI application holds its event loop, and which of its lines does.
//!
//! The application runs in a process of its own under uvicorn, unchanged, and is asked at a steady
//! rate. A shim inside notes how long each callback holds the loop (`shim.py`, `tape`); from
//! outside its stack is sampled while one does (`sampler`); of a callback's time only what is
//! neither the machine's nor another thread's counts (`judge`).

pub mod against;
mod child;
mod drive;
mod judge;
mod report;
mod requests;
mod sampler;
mod tape;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use child::App;
pub use drive::Answered;
pub use judge::{Aside, Finding, Hop, Kind};
use sampler::{Sampler, Seen};

/// What to validate, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `module:attribute`, as uvicorn takes it.
    pub app: String,
    /// The attribute makes the application when called.
    pub factory: bool,
    /// Where the module is looked for.
    pub app_dir: PathBuf,
    /// The interpreter that has the application's packages.
    pub python: PathBuf,
    /// `auto`, `asyncio` or `uvloop`.
    pub event_loop: String,
    /// From how long on a callback blocks.
    pub threshold: Duration,
    /// Requests per second, over all routes.
    pub per_second: u32,
    /// How long to ask.
    pub time: Duration,
    /// How long the application may take to start.
    pub startup_max: Duration,
    /// Instead of the application's own description: a file of requests, and its text.
    pub requests: Option<(PathBuf, String)>,
}

/// Why an application could not be validated.
#[derive(Debug, thiserror::Error)]
pub enum EventLoopError {
    /// The interpreter does not start.
    #[error("{}: {cause}; name the interpreter of the application's environment with --python", python.display())]
    Python {
        /// Its path.
        python: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// uvicorn is not there.
    #[error("{} has no uvicorn: install it beside the application (`pip install uvicorn`), or name another interpreter with --python", python.display())]
    NoUvicorn {
        /// The interpreter.
        python: PathBuf,
    },
    /// The application does not start up.
    #[error("`{app}` did not start. It said:\n{said}")]
    NotStarted {
        /// As it was named.
        app: String,
        /// The end of its output.
        said: String,
    },
    /// The application does not start up in time.
    #[error("`{app}` did not start within {seconds} s (--startup-seconds). It said:\n{said}")]
    Slow {
        /// As it was named.
        app: String,
        /// How long it was waited for.
        seconds: u64,
        /// The end of its output.
        said: String,
    },
    /// The application ended while it was asked.
    #[error("`{app}` ended while it was asked. It said:\n{said}")]
    Ended {
        /// As it was named.
        app: String,
        /// The end of its output.
        said: String,
    },
    /// Nothing to ask.
    #[error("`{app}` {reason}; say what to ask with --requests FILE")]
    NothingToAsk {
        /// As it was named.
        app: String,
        /// Why.
        reason: String,
    },
    /// The file of requests is not one.
    #[error("{}: {reason}; each line is {{\"method\":\"GET\",\"path\":\"/\",\"headers\":{{}},\"body\":null}}", file.display())]
    Requests {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine does not let us work.
    #[error("cannot set up the measurement: {cause}")]
    Setup {
        /// Why.
        cause: std::io::Error,
    },
}

/// How late the loop was, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Lag {
    /// Half of the beats were not later.
    pub p50_ms: f64,
    /// Of a hundred beats ninety-nine were not later.
    pub p99_ms: f64,
    /// The latest beat.
    pub max_ms: f64,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// As it was named.
    pub app: String,
    /// `asyncio` or `uvloop`.
    pub event_loop: String,
    /// Version of the interpreter.
    pub python: String,
    /// Version of the server.
    pub uvicorn: String,
    /// From how long on a callback blocks, milliseconds.
    pub threshold_ms: f64,
    /// Requests per second that were due.
    pub load: u32,
    /// How long, seconds.
    pub seconds: f64,
    /// Lateness of the loop, whoever caused it.
    pub lag: Lag,
    /// The same without waiting for a processor.
    pub lag_without_run_queue: Lag,
    /// Answers by route.
    pub routes: BTreeMap<String, Answered>,
    /// Routes that were not asked, and why.
    pub skipped: BTreeMap<String, String>,
    /// Who held the loop, the worst first.
    pub findings: Vec<Finding>,
    /// What is nobody's fault here.
    pub aside: Aside,
    /// What the reader should know about the measurement.
    pub notes: Vec<String>,
}

/// Runs the application, asks it, and judges.
///
/// # Errors
/// The application cannot be started or asked.
pub fn validate(settings: &Settings) -> Result<Report, EventLoopError> {
    let setup = |cause: std::io::Error| EventLoopError::Setup { cause };
    let given = match &settings.requests {
        Some((file, text)) => Some(
            requests::parse(text)
                .map_err(|reason| EventLoopError::Requests { file: file.clone(), reason })?,
        ),
        None => None,
    };
    let (mut app, tape) = App::start(settings)?;
    let nothing = |reason: &str| EventLoopError::NothingToAsk {
        app: settings.app.clone(),
        reason: reason.to_owned(),
    };
    let (planned, skipped) = match (given, &app.ready.openapi) {
        (Some(planned), _) => (planned, Vec::new()),
        (None, Some(api)) => requests::from_openapi(api),
        (None, None) => return Err(nothing("has no OpenAPI description")),
    };
    if planned.is_empty() {
        return Err(nothing("describes no route that can be asked"));
    }
    let address = SocketAddr::from(([127, 0, 0, 1], app.ready.port));
    drive::warm_up(address, &planned).map_err(setup)?;
    let late = (settings.threshold / 4).clamp(Duration::from_millis(2), Duration::from_millis(20));
    // What the warm-up wrote is passed over by a tape that has read it.
    let mut tape = tape;
    let now = tape.now().map_err(setup)?;
    tape.read(now, &mut Vec::new(), &mut Vec::new()).map_err(setup)?;
    let sampler = Sampler::start(app.pid(), tape, late, app.stacks());
    let driven = drive::drive(address, &planned, settings.per_second, settings.time);
    let seen = sampler.stop().map_err(setup)?;
    let routes = driven.map_err(setup)?;
    if !app.is_running() {
        return Err(EventLoopError::Ended { app: settings.app.clone(), said: app.last_words() });
    }
    Ok(report(settings, &app, &seen, routes, skipped))
}

fn report(
    settings: &Settings,
    app: &App,
    seen: &Seen,
    routes: BTreeMap<String, Answered>,
    skipped: Vec<(String, String)>,
) -> Report {
    let base = std::path::absolute(&settings.app_dir).unwrap_or_default();
    let places = judge::Places {
        foreign: app.ready.foreign.clone(),
        own: app.ready.own.clone(),
        base: base.to_string_lossy().into_owned(),
    };
    let singly = app.ready.event_loop == "asyncio";
    let (findings, aside) = judge::judge(seen, settings.threshold, &places, singly);
    let mut notes = Vec::new();
    for (route, answered) in &routes {
        if !answered.worked() {
            notes.push(format!(
                "{route} never succeeded, so what it does was not seen: give examples in its \
                 schema, or requests with --requests"
            ));
        }
    }
    if let Some(reason) = &seen.inside {
        notes.push(format!(
            "stacks were sampled inside of the process, as reading it from outside failed \
             ({reason}): C code that keeps the GIL is seen late"
        ));
    }
    if !app.ready.run_queue {
        notes.push(
            "this kernel does not say how long a thread waits for a processor: on a busy machine \
             its delays look like the application's"
                .to_owned(),
        );
    }
    let lag = |of: fn(&tape::Beat) -> u64| lag(seen.beats.iter().map(of).collect());
    Report {
        app: settings.app.clone(),
        event_loop: app.ready.event_loop.clone(),
        python: app.ready.python.clone(),
        uvicorn: app.ready.uvicorn.clone(),
        threshold_ms: settings.threshold.as_secs_f64() * 1e3,
        load: settings.per_second,
        seconds: settings.time.as_secs_f64(),
        lag: lag(|beat| beat.late),
        lag_without_run_queue: lag(|beat| beat.late.saturating_sub(beat.run_queue)),
        routes,
        skipped: skipped.into_iter().collect(),
        findings,
        aside,
        notes,
    }
}

fn lag(mut late: Vec<u64>) -> Lag {
    late.sort_unstable();
    let at = |share: f64| {
        let place = (late.len() as f64 * share).ceil() as usize;
        late.get(place.saturating_sub(1)).copied().unwrap_or(0) as f64 / 1e6
    };
    Lag { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
}
