//! How many threads should compute: one per core, or more?

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::Times;
use super::load::{Load, Phase, Seen, drive, saturate};
use super::server::{Cores, Server};
use super::stemson::{Rows, Setup, infer_path};
use super::wire::Ask;
use crate::Failure;
use crate::report::{Report, grouped};
use crate::rows::{model, raw_rows};

const CASE: &str = "gbm500d8";
const COLUMNS: usize = 40;
/// Threads for one core.
const THREADS: [usize; 4] = [1, 2, 4, 8];
/// Rows in a request: about half a millisecond, and about 5 ms.
const ROWS: [usize; 2] = [128, 1_280];
/// Of the capacity that one thread shows.
const LOADS: [f64; 2] = [0.7, 0.9];
const LINES: usize = 16;
const ASKS: usize = 16;

/// What was seen with one number of threads.
struct Line {
    per_second: f64,
    processor: Duration,
    switches: f64,
    latency: [[f64; 2]; 2],
    health: f64,
}

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let rows = Rows::load(&raw_rows(CASE, 20_000)?, COLUMNS)?;
    for rows_each in ROWS {
        let asks = rows.binary(&infer_path(), (rows_each, false), ASKS, &[], "");
        let mut text = format!(
            "| {rows_each} rows of `{CASE}` in a request; threads for one core | requests/s | \
             processor ms per request | switches per request | p50, p99 ms at {:.0} % | p50, p99 ms \
             at {:.0} % | health p99 ms at {:.0} % |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            100.0 * LOADS[0],
            100.0 * LOADS[1],
            100.0 * LOADS[1]
        );
        let mut capacity = None;
        for threads in THREADS {
            let mut setup = Setup::new(scratch, model(CASE));
            setup.config = format!("compute_threads = {threads}\n[cache]\nbackend = \"none\"");
            let (server, _) = setup.start(cores)?;
            let line = measure(&server, &asks, &mut capacity, times)?;
            let [calm, busy] = line.latency.map(|[p50, p99]| format!("{p50:.2}, {p99:.2}"));
            writeln!(
                text,
                "| {threads} | {} | {:.2} | {:.1} | {calm} | {busy} | {:.2} |",
                grouped(line.per_second),
                line.processor.as_secs_f64() * 1e3,
                line.switches,
                line.health,
            )?;
        }
        report.table(&text);
    }
    Ok(())
}

fn measure(
    server: &Server,
    asks: &[Ask],
    capacity: &mut Option<f64>,
    times: Times,
) -> Result<Line, Failure> {
    let mut best = (0.0, Duration::MAX, 0.0);
    for _ in 0..times.turns {
        let (processor, switches) = (server.processor(), server.switches());
        let (good, took) = saturate(server.http, asks, LINES, times.turn)?;
        if good == 0 {
            return Err("no good answer".into());
        }
        let per_second = good as f64 / took.as_secs_f64();
        if per_second > best.0 {
            let spent = server.processor().saturating_sub(processor) / u32::try_from(good)?;
            best = (per_second, spent, (server.switches() - switches) as f64 / good as f64);
        }
    }
    let capacity = *capacity.get_or_insert(best.0);
    let mut latency = [[0.0; 2]; 2];
    let mut health_ms = 0.0;
    for (place, load) in LOADS.iter().enumerate() {
        let health = (server.http, Ask::get("/v2/health/live"));
        let asked = Load { address: server.http, asks, health };
        let phase = Phase { per_second: load * capacity, lasts: times.steady };
        let seen: Seen = drive(&asked, &[phase])?;
        latency[place] = [seen.good_ms(0.5), seen.good_ms(0.99)];
        health_ms = seen.health_ms(0.99);
    }
    let (per_second, processor, switches) = best;
    Ok(Line { per_second, processor, switches, latency, health: health_ms })
}
