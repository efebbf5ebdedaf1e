//! Servers under load: what a request costs, beside other servers; overload, swaps, the reactor's
//! lag, and how many threads should compute.
//!
//! A server has one core, the generator another. `load.rs` says how the load is made.

mod bare;
mod compare;
mod lag;
mod load;
mod overload;
mod paths;
mod pool;
mod rivals;
mod server;
mod stemson;
mod swaps;
mod wire;

use std::fs;
use std::path::Path;
use std::time::Duration;

pub(crate) use bare::{WORD as BARE, serve as serve_bare};
use server::Cores;

use crate::engine::Effort;
use crate::report::Report;
use crate::{Failure, cache};

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
struct Times {
    turns: usize,
    /// As fast as it goes.
    turn: Duration,
    /// At a rate.
    steady: Duration,
    /// More than can be done.
    overload: Duration,
}

impl Times {
    const FULL: Self = Self {
        turns: 3,
        turn: Duration::from_secs(2),
        steady: Duration::from_secs(5),
        overload: Duration::from_secs(6),
    };
    const QUICK: Self = Self {
        turns: 1,
        turn: Duration::from_millis(500),
        steady: Duration::from_secs(2),
        overload: Duration::from_secs(2),
    };
}

/// Names one part to run alone.
const ONLY: &str = "STEMSON_BENCH_SERVE";

/// A part of the benchmark: it adds its tables and notes to the report.
type Part = fn(&mut Report, &Cores, &Path, Times) -> Result<(), Failure>;

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let mut report = Report::new("serve");
    let scratch = cache()?.join(format!("serve-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let times = if effort.quick { Times::QUICK } else { Times::FULL };
    let parts: [(&str, Part); 6] = [
        ("compare", compare::run),
        ("paths", paths::run),
        ("overload", overload::run),
        ("swaps", swaps::run),
        ("lag", lag::run),
        ("pool", pool::run),
    ];
    // For work on one of them; a part of the report is not kept.
    let only = std::env::var(ONLY).unwrap_or_default();
    if !only.is_empty() && !effort.quick {
        return Err(format!("{ONLY} is for --quick").into());
    }
    let cores = Cores::part()?;
    for (name, part) in parts {
        if only.is_empty() || only == name {
            eprintln!("serve: {name}");
            // The others are worth their time all the same.
            if let Err(why) = part(&mut report, &cores, &scratch, times) {
                eprintln!("serve: {name}: {why}");
                report.note(format!("{name} skipped: {why}"));
            }
        }
    }
    fs::remove_dir_all(&scratch)?;
    Ok(report)
}
