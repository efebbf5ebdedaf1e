//! `stemson test-hot-swap`: whether a running server changes its model unnoticed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use stemson_validate::hot_swap::{self, HotSwapError, Settings, Url};

use crate::failure::{Failure, Verdict};
use crate::terminal::Format;

/// Swaps a running server's model under load and rolls it back, and judges every answer.
///
/// The server is Stemson, or any other that speaks the Open Inference Protocol. Artifacts are MOJOs:
/// what each of the two models answers is computed here. Where the server runs something else,
/// answers and the calls that change the model can be given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson test-hot-swap --api-url http://localhost:8000 --load 100 --model-v2 model_v2.zip
  stemson test-hot-swap --api-url http://localhost:8080 --model churn --model-v1 v1.zip --model-v2 v2.zip

As a script: python scripts/test_hot_swap.py --api-url http://localhost:8000 --load 100 --model-v2 model_v2.zip")]
pub(crate) struct Arguments {
    /// The listener for inference
    #[arg(long, value_name = "URL", value_parser = plain)]
    api_url: Url,
    /// The listener for swaps [default: port 8082 of the same host, else the repository extension]
    #[arg(long, value_name = "URL", value_parser = plain)]
    admin_url: Option<Url>,
    /// The model's name on the server [default: the only one]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The artifact to swap in
    #[arg(long, value_name = "FILE")]
    model_v2: PathBuf,
    /// The artifact that answers now [default: what the server answers before the swap]
    #[arg(long, value_name = "FILE")]
    model_v1: Option<PathBuf>,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    load: u32,
    /// How long to ask before the swap, and again before the rollback
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// Rows to ask, JSON lines of objects by column [default: drawn from the model's columns]
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Answers of the old model to the rows, as `score --format jsonl` writes them
    #[arg(long, value_name = "FILE", requires = "requests")]
    expected_v1: Option<PathBuf>,
    /// Answers of the new model to the rows
    #[arg(long, value_name = "FILE", requires = "requests")]
    expected_v2: Option<PathBuf>,
    /// A line of the shell that swaps, instead of the server's own routes
    #[arg(long, value_name = "LINE", requires = "rollback_command")]
    swap_command: Option<String>,
    /// A line of the shell that rolls back
    #[arg(long, value_name = "LINE", requires = "swap_command")]
    rollback_command: Option<String>,
    /// A key with the scopes predict and admin
    #[arg(long, value_name = "KEY", env = "STEMSON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// An address of a listener without TLS.
fn plain(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|bad: hot_swap::ParseUrlError| bad.to_string())?;
    if url.is_tls() {
        return Err("TLS is not spoken here, name the listener behind it".to_owned());
    }
    Ok(url)
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    if !(arguments.seconds > 0.0 && arguments.seconds <= 86_400.0) {
        let found = arguments.seconds;
        return Err(Failure::input(format!(
            "--seconds is {found}, expected more than 0 and at most 86400"
        )));
    }
    let lines = |file: &Option<PathBuf>| file.as_deref().map(lines).transpose();
    let commands = arguments.swap_command.clone().zip(arguments.rollback_command.clone());
    let settings = Settings {
        api: arguments.api_url.clone(),
        admin: arguments.admin_url.clone(),
        model: arguments.model.clone(),
        v1: arguments.model_v1.as_deref().map(bytes).transpose()?,
        v2: bytes(&arguments.model_v2)?,
        rows: lines(&arguments.requests)?.unwrap_or_default(),
        expected: [lines(&arguments.expected_v1)?, lines(&arguments.expected_v2)?],
        commands: commands.map(|(swap, rollback)| [swap, rollback]),
        per_second: arguments.load,
        phase: Duration::from_secs_f64(arguments.seconds),
        api_key: arguments.api_key.clone(),
    };
    let report = hot_swap::test(&settings).map_err(|cause| match cause {
        HotSwapError::Unreachable { .. }
        | HotSwapError::Refused { .. }
        | HotSwapError::Setup(_) => Failure::outside(cause.to_string()),
        cause => Failure::input(cause.to_string()),
    })?;
    let text = match arguments.format {
        Format::Text => report.to_string(),
        Format::Json => format!("{:#}\n", report.to_json()),
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if report.verdict().good { Verdict::Good } else { Verdict::Bad })
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause| Failure::input(format!("cannot read {}", file.display())).because(&cause);
    fs::read(file).map_err(failed)
}

fn lines(file: &Path) -> Result<Vec<Value>, Failure> {
    let text = String::from_utf8_lossy(&bytes(file)?).into_owned();
    let rows: Result<Vec<Value>, Failure> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let value: Value = serde_json::from_str(line).map_err(|cause| {
                Failure::input(format!("{} line {number}", file.display())).because(&cause)
            })?;
            if value.is_object() {
                return Ok(value);
            }
            let what = format!("{} line {number}: expected a JSON object", file.display());
            Err(Failure::input(what))
        })
        .collect();
    let rows = rows?;
    if rows.is_empty() {
        return Err(Failure::input(format!("{} holds no line", file.display())));
    }
    Ok(rows)
}
