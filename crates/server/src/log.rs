//! The log: one line per event on standard error, as text or JSON, written by a thread of its own.
//!
//! Whoever logs never waits for the terminal or the collector behind the pipe: a full queue drops
//! lines and says how many. Keys, tokens, queries and bodies are never logged; values of rows only in
//! the prediction log, which has its own redaction.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::admin;
use crate::error::Refusal;
use crate::intake;
use crate::json;

/// What is logged. Each field is a key of `[log]`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Lines of JSON, or of text (`format`).
    pub is_json: bool,
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or one per part as `info,stemson_server=debug`
    /// (`level`).
    pub level: String,
    /// Share of the requests that get a line (`access_ratio`), 0 to 1.
    pub access_ratio: f64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { is_json: false, level: "info".to_owned(), access_ratio: 0.01 }
    }
}

/// Lines that wait for the thread.
const QUEUE_LINES: usize = 8_192;

/// The log of the process: there is one standard error.
static INSTALLED: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// What it was told last.
static LEVEL: Mutex<Option<String>> = Mutex::new(None);

/// Begins the log of this process; a second call changes the level only.
///
/// # Errors
/// The level is none, or the system gives no thread.
pub fn install(config: &LogConfig) -> Result<(), String> {
    let filter = parse(&config.level)?;
    if INSTALLED.get().is_some() {
        return set_level(&config.level);
    }
    let writer = Writer::start().map_err(|cause| format!("no thread for the log: {cause}"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = if config.is_json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let subscriber = Registry::default().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|bad| bad.to_string())?;
    drop(INSTALLED.set(handle));
    *LEVEL.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.level.clone());
    Ok(())
}

/// What is left out although the level has it: bits of [`MUTED_INFO`] and the others.
static MUTED: AtomicU8 = AtomicU8::new(0);

const MUTED_INFO: u8 = 1;
const MUTED_WARNING: u8 = 2;
const MUTED_ERROR: u8 = 4;

/// The log in the words of the logging extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) info: bool,
    pub(crate) warning: bool,
    pub(crate) error: bool,
    /// 0: none of debug and trace; 1: debug; more: trace too.
    pub(crate) verbose: u64,
}

/// How the log stands. Parts with a level of their own are not shown.
pub(crate) fn shown() -> Shown {
    let level = level();
    let overall = level.split(',').find(|part| !part.contains('='));
    let overall = overall.and_then(|word| word.trim().parse().ok()).unwrap_or(LevelFilter::OFF);
    let muted = MUTED.load(Ordering::Relaxed);
    let is_shown = |level: LevelFilter, bit: u8| overall >= level && muted & bit == 0;
    Shown {
        info: is_shown(LevelFilter::INFO, MUTED_INFO),
        warning: is_shown(LevelFilter::WARN, MUTED_WARNING),
        error: is_shown(LevelFilter::ERROR, MUTED_ERROR),
        verbose: match overall {
            LevelFilter::TRACE => 2,
            LevelFilter::DEBUG => 1,
            _ => 0,
        },
    }
}

/// Logs from now on what `wanted` says.
///
/// # Errors
/// The log does not change.
pub(crate) fn set_shown(wanted: Shown) -> Result<(), String> {
    if wanted == shown() {
        // Parts keep levels of their own.
        return Ok(());
    }
    let level = match wanted {
        Shown { verbose: 2.., .. } => "trace",
        Shown { verbose: 1, .. } => "debug",
        Shown { info: true, .. } => "info",
        Shown { warning: true, .. } => "warn",
        Shown { error: true, .. } => "error",
        _ => "off",
    };
    set_level(level)?;
    let bits =
        [(wanted.info, MUTED_INFO), (wanted.warning, MUTED_WARNING), (wanted.error, MUTED_ERROR)];
    let muted = bits.into_iter().filter(|(is_on, _)| !is_on).map(|(_, bit)| bit).sum();
    MUTED.store(muted, Ordering::Relaxed);
    Ok(())
}

/// Logs from now on what `level` says.
///
/// # Errors
/// The level is none.
pub(crate) fn set_level(level: &str) -> Result<(), String> {
    let filter = parse(level)?;
    if let Some(installed) = INSTALLED.get() {
        installed.reload(filter).map_err(|bad| bad.to_string())?;
    }
    MUTED.store(0, Ordering::Relaxed);
    *LEVEL.lock().unwrap_or_else(PoisonError::into_inner) = Some(level.to_owned());
    Ok(())
}

/// What is logged now, where somebody has begun a log.
pub(crate) fn level() -> String {
    let level = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    level.clone().unwrap_or_else(|| LogConfig::default().level)
}

/// Whether a text says a level.
pub fn check_level(level: &str) -> bool {
    parse(level).is_ok()
}

fn parse(level: &str) -> Result<Targets, String> {
    // A part that is no level would be taken for the name of something, with all its lines.
    let is_level = |part: &str| {
        let word = part.rsplit('=').next().unwrap_or_default().trim();
        !word.is_empty() && word.parse::<LevelFilter>().is_ok()
    };
    let parsed = level.trim().parse::<Targets>().ok();
    parsed.filter(|_| level.split(',').all(is_level)).ok_or_else(|| {
        let level: String = level.chars().take(60).collect();
        format!(
            "`{level}` is no log level, expected off, error, warn, info, debug, trace or such as \
             `info,stemson_server=debug`"
        )
    })
}

/// Where lines go: to the thread, or nowhere if it is behind.
#[derive(Debug, Clone)]
struct Writer {
    queue: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
    /// Whether what is written is left out.
    is_muted: bool,
}

impl Writer {
    fn start() -> io::Result<Self> {
        let (queue, queued) = mpsc::sync_channel::<Vec<u8>>(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&dropped);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            for line in queued {
                let mut out = io::stderr().lock();
                let missed = missed.swap(0, Ordering::Relaxed);
                if missed > 0 {
                    // Nobody is left to hear that nobody hears.
                    drop(writeln!(out, "{{\"level\":\"WARN\",\"lost_log_lines\":{missed}}}"));
                }
                drop(out.write_all(&line));
            }
        })?;
        Ok(Self { queue, dropped, is_muted: false })
    }
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.is_muted && self.queue.try_send(line.to_vec()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Writer {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }

    fn make_writer_for(&'w self, line: &Metadata<'_>) -> Self {
        let bit = match *line.level() {
            Level::INFO => MUTED_INFO,
            Level::WARN => MUTED_WARNING,
            Level::ERROR => MUTED_ERROR,
            _ => 0,
        };
        Self { is_muted: MUTED.load(Ordering::Relaxed) & bit != 0, ..self.clone() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelBody {
    level: String,
}

/// `GET /admin/log`.
pub(crate) async fn show() -> Response {
    let mut body = b"{\"level\":".to_vec();
    json::write_str(&mut body, &level());
    body.push(b'}');
    json::response(StatusCode::OK, body.into())
}

/// `POST /admin/log`, `{"level":"debug"}`.
pub(crate) async fn change(request: Request) -> Result<Response, Refusal> {
    const BODY_BYTES: u64 = 4 << 10;
    admin::refuse_other_sites(&request)?;
    let body = intake::whole(request, BODY_BYTES, "log").await?;
    let LevelBody { level } = json::object(&body)?;
    set_level(&level).map_err(|bad| Refusal::BadField(format!("`level`: {bad}")))?;
    tracing::info!(level, "log level changed");
    Ok(show().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_or_words_by_part() {
        for good in ["info", "off", "DEBUG", "info,stemson_server=debug", " warn "] {
            assert!(check_level(good), "{good}");
        }
        for bad in ["loud", "info,", "stemson_server=loud"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(set_level("nonsense!").is_err_and(|bad| bad.contains("expected off, error")));
    }

    #[test]
    fn who_logs_never_waits() {
        let (queue, queued) = mpsc::sync_channel(1);
        let mut writer = Writer { queue, dropped: Arc::default(), is_muted: false };
        for _ in 0..5 {
            assert_eq!(writer.write(b"line\n").expect("it cannot fail"), 5);
        }
        assert_eq!(writer.dropped.load(Ordering::Relaxed), 4);
        assert_eq!(queued.try_recv().expect("one line"), b"line\n");
    }

    #[test]
    fn each_kind_of_line_is_left_out_by_itself() {
        let quiet = Shown { info: false, warning: true, error: false, verbose: 1 };
        set_shown(quiet).expect("a level");
        assert_eq!((shown(), level().as_str()), (quiet, "debug"));
        set_level("warn,access=info").expect("a level");
        assert_eq!(shown(), Shown { info: false, warning: true, error: true, verbose: 0 });
        set_shown(shown()).expect("the same");
        assert_eq!(level(), "warn,access=info");
        set_shown(Shown { info: true, ..shown() }).expect("a level");
        assert_eq!(level(), "info");
    }
}
