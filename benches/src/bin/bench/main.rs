//! `bench NAME`: one benchmark, beside a rival on the same data; called by `cargo xtask bench`.
//!
//! Only ratios within one run count. Each writes its figures to `benches/results/<date>-<name>.txt`
//! and its table into `docs/performance.md`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

mod batch;
mod csv;
mod engine;
mod genmodel;
mod load;
mod ours;
mod peers;
mod python;
mod report;
mod row;
mod rows;
mod serve;
mod shap;
mod trees;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engine::Effort;
use report::Report;
use stemson_benches::cost;

/// What can go wrong around a benchmark; it is shown and the run ends.
type Failure = Box<dyn std::error::Error>;

/// A benchmark by its name, what it shows, and how it is run.
type Bench = (&'static str, &'static str, fn(Effort) -> Result<Report, Failure>);

const BENCHES: [Bench; 8] = [
    ("trees", "the same forests in every runtime of trees: ns per row and tree", trees::run),
    ("row", "one row from typed values to the prediction, beside EasyPredict", row::run),
    ("batch", "raw rows in batches, beside score0", batch::run),
    ("csv", "a CSV file of 1,000,000 rows to CSV, beside PredictCsv; peak memory", csv::run),
    ("shap", "contributions, beside genmodel, XGBoost and LightGBM", shap::run),
    ("load", "a model from its file, beside genmodel", load::run),
    ("python", "the wheel: a row, data frames, an event loop, threads, memory", python::run),
    ("serve", "the server under load and overload, beside FastAPI, MLServer, Triton", serve::run),
];

fn usage() -> String {
    let lines: Vec<_> =
        BENCHES.iter().map(|(name, what, _)| format!("  {name:<10}{what}")).collect();
    format!(
        "Figures beside rivals', in turns in one run; kept in docs/performance.md and benches/results.\n\n\
         Usage: cargo xtask bench NAME... | all [--quick]\n\n{}\n\n\
         --quick    a look: few and short rounds, nothing is kept\n\n\
         Rivals come from the package index and Java; what does not install is left out with a word.\n\n\
         Example: cargo xtask bench row batch --quick",
        lines.join("\n")
    )
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|it| it == cost::WORD) {
        return cost::measure(&words[1..]);
    }
    let words: Vec<_> = words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [ours::WORD, rest @ ..] => ours::serve(rest),
        [serve::BARE, rest @ ..] => serve::serve_bare(rest),
        [] | ["help" | "--help" | "-h"] => {
            println!("{}", usage());
            Ok(())
        }
        names => run(names),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    let quick = words.contains(&"--quick");
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let names: Vec<_> = words.iter().filter(|it| **it != "--quick").collect();
    let known = |name: &str| name == "all" || BENCHES.iter().any(|it| it.0 == name);
    if let Some(unknown) = names.iter().find(|it| !known(it)) {
        return Err(format!("no benchmark `{unknown}`\n\n{}", usage()).into());
    }
    for (name, _, bench) in BENCHES {
        if !names.iter().any(|it| **it == name || **it == "all") {
            continue;
        }
        let report = bench(effort)?;
        println!("\n{name}\n\n{}", report.text());
        if !effort.quick {
            println!("kept as {}", report.keep()?.display());
        }
    }
    Ok(())
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
