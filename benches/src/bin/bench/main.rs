//! `bench NAME`: one benchmark, beside a rival on the same data; called by `cargo xtask bench`.
//!
//! Only ratios within one run count. Each writes its figures to `benches/results/<date>-<name>.txt`
//! and its table into `docs/performance.md`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

mod genmodel;
mod report;
mod score;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stemson_benches::cost;

/// What can go wrong around a benchmark; it is shown and the run ends.
type Failure = Box<dyn std::error::Error>;

const NAMES: &str = "\
  score [--rows N]   a CSV file of 1,000,000 rows through `stemson score` and through
                     genmodel's PredictCsv: rows per processor second, peak memory";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let words: Vec<String> =
        std::env::args_os().skip(1).filter_map(|it| it.into_string().ok()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [cost::WORD, ..] => {
            arguments.next();
            return cost::measure(&arguments.collect::<Vec<_>>());
        }
        ["score"] => score::run(None),
        ["score", "--rows", rows] => match rows.parse() {
            Ok(rows) => score::run(Some(rows)),
            Err(_) => Err(format!("`--rows {rows}`: a whole number expected").into()),
        },
        [] => {
            println!("{NAMES}");
            Ok(())
        }
        unknown => Err(format!("no benchmark `{}`; there are:\n{NAMES}", unknown.join(" ")).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A program of the workspace, built in the same profile as this one.
fn program(name: &str) -> Result<PathBuf, Failure> {
    let path =
        std::env::current_exe()?.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        return Err(format!("{} is not built: use `cargo xtask bench`", path.display()).into());
    }
    Ok(path)
}

/// A folder under the target folder that survives from run to run.
fn cache() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(2).ok_or("the program lies in no target folder")?;
    let cache = target.join("bench");
    std::fs::create_dir_all(&cache)?;
    Ok(cache)
}
