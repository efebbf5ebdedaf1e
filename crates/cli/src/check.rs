//! `stemson check`: what may ship.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use stemson_audit::{Exceptions, Limits, Options, Report, VIEWS, day, report, view};

use crate::failure::{Failure, Verdict};
use crate::terminal::stdout_has_colour;

/// Looks through folders for models that may not ship: only MOJOs pass.
///
/// Files are judged by content, never by name: pickles (joblib, torch, arrays of objects), POJOs,
/// H2O's binary models, damaged MOJOs, and containers that cannot be looked into are blocked, also
/// inside zip, tar, ar, gzip, bzip2, xz, lz4 and zstd. Everything is looked at, hidden and ignored files
/// too, but for `.git`; symbolic links are not followed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson check                                   the working directory
  stemson check models dist --format sarif > check.sarif
  stemson check model.zip

Exceptions stand in `stemson-exceptions.toml`, in the working directory or a PATH:
  [[exception]]
  sha256 = \"...\"          # of the file, as `check` prints it
  rule = \"pickle\"
  reason = \"encoder of the old model, replaced in March\"
  approved_by = \"ada@example.org\"
  expires = 2027-03-31")]
pub(crate) struct Arguments {
    /// Files and folders
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Text for people, JSON for scripts, SARIF 2.1.0 for code scanning, or GitHub annotations
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Exceptions to use instead of those found
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// Largest file that is looked into, and most that one file may unpack to, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    max_mib: u32,
    /// Print the checklist of a view with what rules can tell ticked: logical, process, development,
    /// physical, scenario
    #[arg(long, value_name = "VIEW", value_parser = clap::builder::PossibleValuesParser::new(VIEWS.iter().map(|view| view.name)))]
    checklist: Option<String>,
    /// Threads; by default one per core
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
}

/// Where exceptions are looked for.
const EXCEPTIONS: &str = "stemson-exceptions.toml";

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let bytes_max = usize::try_from(u64::from(arguments.max_mib) << 20).unwrap_or(usize::MAX);
    let limits =
        Limits { file_bytes_max: bytes_max, unpacked_bytes_max: bytes_max, ..Limits::default() };
    // A wrong exceptions file is said at once, not after a long walk.
    let exceptions = read_exceptions(arguments)?;
    let found =
        stemson_audit::audit(&arguments.paths, &Options { limits, threads: arguments.threads });
    let mut found = found.map_err(|cause| Failure::input(format!("cannot check {cause}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let today = day(now.as_secs());
    for list in &exceptions {
        list.apply(&mut found, &today);
    }
    let text = match arguments.checklist.as_deref().and_then(view) {
        Some(view) => view.render(Some(&found)),
        None => render(&found, arguments.format)?,
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if found.is_good() { Verdict::Good } else { Verdict::Bad })
}

fn render(found: &Report, format: Format) -> Result<String, Failure> {
    let value = match format {
        Format::Text => return Ok(report::text(found, stdout_has_colour())),
        Format::Github => return Ok(report::github(found)),
        Format::Json => report::json(found),
        Format::Sarif => report::sarif(found),
    };
    let json = serde_json::to_string_pretty(&value);
    Ok(json.map_err(|cause| Failure::input("cannot render JSON").because(&cause))? + "\n")
}

fn read_exceptions(arguments: &Arguments) -> Result<Vec<Exceptions>, Failure> {
    let places: Vec<PathBuf> = match &arguments.exceptions {
        Some(path) => vec![path.clone()],
        None => {
            let folders = arguments.paths.iter().filter(|path| path.is_dir());
            let beside = folders.map(|folder| folder.join(EXCEPTIONS));
            let all = [PathBuf::from(EXCEPTIONS)].into_iter().chain(beside);
            all.filter(|path| path.exists()).collect()
        }
    };
    let mut seen = BTreeSet::new();
    let fresh = places.iter().filter(|path| seen.insert(path.canonicalize().unwrap_or_default()));
    fresh.map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Exceptions, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|cause| Failure::input(format!("cannot read {shown}")).because(&cause))?;
    Exceptions::parse(&shown.to_string(), &text).map_err(|cause| {
        Failure::input(cause.to_string())
            .hint("an exception needs sha256, rule, reason, approved_by and expires; see `stemson check --help`")
    })
}
