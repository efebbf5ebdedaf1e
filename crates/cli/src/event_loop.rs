//! `stemson validate-event-loop`: who holds the event loop of an ASGI application.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use stemson_validate::event_loop::{self, EventLoopError, Settings, against};

use crate::failure::{Failure, Verdict};
use crate::terminal::Format;

/// Runs an ASGI application, asks its routes, and names the lines that hold its event loop.
///
/// The application runs unchanged under uvicorn in a process of its own, on a free port of the
/// loopback. Its routes are asked as its OpenAPI description says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson validate-event-loop --app src.main:app --threshold-ms 10 --load 100
  stemson validate-event-loop --app shop:make_app --factory --loop uvloop --requests asked.jsonl
  stemson check --format sarif > findings.sarif; stemson validate-event-loop --app main:app --against findings.sarif

As a script: python scripts/validate_event_loop.py --app src.main:app --threshold-ms 10 --load 100")]
pub(crate) struct Arguments {
    /// The application, as uvicorn takes it
    #[arg(long, value_name = "MODULE:ATTRIBUTE")]
    app: String,
    /// A callback that holds the loop for this long blocks
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    threshold_ms: f64,
    /// Requests per second, over all routes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    load: u32,
    /// How long to ask
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Ask these instead: JSON lines of method, path, headers, body
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Where the application's module lies
    #[arg(long, value_name = "DIR", default_value = ".")]
    app_dir: PathBuf,
    /// The attribute makes the application when called
    #[arg(long)]
    factory: bool,
    /// The event loop; auto takes uvloop where it is installed
    #[arg(long, value_enum, default_value_t = Loop::Auto)]
    r#loop: Loop,
    /// The interpreter that has the application's packages [default: the active environment's]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// How long the application may take to start
    #[arg(long, value_name = "S", default_value_t = 60)]
    startup_seconds: u64,
    /// Static findings (SARIF, of `stemson check` or another tool): say which were seen
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Loop {
    Auto,
    Asyncio,
    Uvloop,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let settings = settings(arguments)?;
    let claims = arguments.against.as_deref().map(claims).transpose()?;
    let report = event_loop::validate(&settings).map_err(|cause| match cause {
        EventLoopError::Setup { .. } => Failure::outside(cause.to_string()),
        cause => Failure::input(cause.to_string()),
    })?;
    let against = claims.map(|list| against::judge(&report, list));
    let text = match arguments.format {
        Format::Text => match &against {
            Some(against) => format!("{report}\n{against}"),
            None => report.to_string(),
        },
        Format::Json => {
            let mut json = report.to_json();
            if let Some(against) = &against {
                // Plain fields of ours can always be written.
                json["against"] = serde_json::to_value(against).unwrap_or_default();
            }
            format!("{json:#}\n")
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if report.verdict().good { Verdict::Good } else { Verdict::Bad })
}

/// What a static tool claims; read before anything is run.
fn claims(file: &Path) -> Result<Vec<against::Static>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|cause| Failure::input(format!("cannot read {shown}")).because(&cause))?;
    against::read(&text).map_err(|why| {
        Failure::input(format!("{shown} {why}")).hint("`stemson check --format sarif` writes it")
    })
}

fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let positive = |flag: &str, value: f64, unit: f64, most: f64| {
        if value > 0.0 && value <= most {
            return Ok(Duration::from_secs_f64(value * unit));
        }
        let expected = format!("expected more than 0 and at most {most}");
        Err(Failure::input(format!("{flag} is {value}, {expected}")))
    };
    if !arguments.app.contains(':') {
        return Err(Failure::input(format!(
            "--app is `{}`, expected MODULE:ATTRIBUTE",
            arguments.app
        ))
        .hint("for an application `app` in src/main.py: --app src.main:app"));
    }
    let requests = match &arguments.requests {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|cause| {
                Failure::input(format!("cannot read {}", file.display())).because(&cause)
            })?;
            Some((file.clone(), text))
        }
    };
    let event_loop = match arguments.r#loop {
        Loop::Auto => "auto",
        Loop::Asyncio => "asyncio",
        Loop::Uvloop => "uvloop",
    };
    Ok(Settings {
        app: arguments.app.clone(),
        factory: arguments.factory,
        app_dir: arguments.app_dir.clone(),
        python: arguments.python.clone().unwrap_or_else(active_python),
        event_loop: event_loop.to_owned(),
        threshold: positive("--threshold-ms", arguments.threshold_ms, 1e-3, 60_000.0)?,
        per_second: arguments.load,
        time: positive("--seconds", arguments.seconds, 1.0, 86_400.0)?,
        startup_max: Duration::from_secs(arguments.startup_seconds),
        requests,
    })
}

/// Of the active virtual environment, else the first on the path.
fn active_python() -> PathBuf {
    match std::env::var_os("VIRTUAL_ENV") {
        Some(environment) => PathBuf::from(environment).join("bin/python"),
        None => PathBuf::from("python3"),
    }
}
