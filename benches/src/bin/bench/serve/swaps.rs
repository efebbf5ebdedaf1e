//! Latency while the model is swapped over and over, against the same load without swaps.
//!
//! Every swap loads, checks and warms an artifact that is not warm: four that differ in their digest
//! take turns. Times are the medians of short turns, so that one in which the machine was busy with
//! something else does not decide.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Times;
use super::load::{Event, Load, Phase, drive, once, quantile_ms};
use super::server::Cores;
use super::stemson::{MODEL, Rows, Setup, infer_path};
use super::wire::Ask;
use crate::Failure;
use crate::report::{Report, ratio};
use crate::rows::{model, raw_rows};

const CASE: &str = "gbm100d6";
const COLUMNS: usize = 40;
const PER_SECOND: f64 = 500.0;
const ARTIFACTS: usize = 4;
/// From one swap to the next.
const PERIOD: Duration = Duration::from_millis(100);
const ASKS: usize = 256;
/// For each turn of other parts.
const TURNS: usize = 3;

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let artifacts = artifacts(scratch)?;
    let rows = Rows::load(&raw_rows(CASE, 20_000)?, COLUMNS)?;
    let mut text = String::from(
        "| 500 requests/s | p50, p99 ms without swaps | p50, p99 ms with swaps | p99, of that without \
         | swaps | ms for a swap, p50, max | failed |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for is_wide in [false, true] {
        let mut setup = Setup::new(scratch, model(CASE));
        let root = scratch.display().to_string();
        setup.config = format!("[admin]\nartifact_roots = [{root:?}]");
        setup.is_wide = is_wide;
        let (server, admin) = setup.start(cores)?;
        let asks = [
            ("REST", server.http, rows.http(&infer_path(), 1, ASKS, &[])),
            ("gRPC", server.grpc.unwrap_or(server.http), rows.grpc(1, ASKS, 10_000)),
        ];
        for (protocol, address, asks) in &asks {
            let health = (server.http, Ask::get("/v2/health/live"));
            let load = Load { address: *address, asks, health };
            let found = turns(&load, admin, &artifacts, times)?;
            let cores = if is_wide { "all cores, the generator's too" } else { "one core" };
            writeln!(text, "| {protocol}, {cores} | {}", found.cells())?;
        }
    }
    report.table(&text);
    Ok(())
}

/// By turn, what was answered without swaps and with them.
#[derive(Default)]
struct Found {
    quiet: Vec<Vec<Event>>,
    swapped: Vec<Vec<Event>>,
    swaps: Vec<Duration>,
}

/// Without and with swaps in turns, so that both meet the same machine.
fn turns(
    load: &Load<'_>,
    admin: SocketAddr,
    artifacts: &[PathBuf],
    times: Times,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let phase = [Phase { per_second: PER_SECOND, lasts: times.steady / 2 }];
    for _ in 0..TURNS * times.turns {
        found.quiet.push(drive(load, &phase)?.load);
        let is_over = AtomicBool::new(false);
        let (seen, swaps) = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                swap_until(&is_over, admin, artifacts).map_err(|cause| cause.to_string())
            });
            let seen = drive(load, &phase);
            is_over.store(true, Ordering::Relaxed);
            (seen, swapping.join())
        });
        found.swapped.push(seen?.load);
        found.swaps.extend(swaps.map_err(|_| "the swaps panicked")??);
    }
    Ok(found)
}

/// Swaps until told to stop; how long each took.
fn swap_until(
    is_over: &AtomicBool,
    admin: SocketAddr,
    artifacts: &[PathBuf],
) -> Result<Vec<Duration>, Failure> {
    let mut took = Vec::new();
    for artifact in artifacts.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        let body = format!("{{\"path\":{:?}}}", artifact.display().to_string());
        let headers = ["content-type: application/json".to_owned()];
        let ask = Ask::post(&format!("/admin/models/{MODEL}/swap"), &headers, body.as_bytes());
        let (status, said) = once(admin, &ask)?;
        if status != 200 {
            return Err(format!("swap: {status} {}", String::from_utf8_lossy(&said)).into());
        }
        took.push(begun.elapsed());
        std::thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
    }
    Ok(took)
}

impl Found {
    fn cells(&self) -> String {
        let at = |turns: &[Vec<Event>], share| {
            let of_turn = |events: &Vec<Event>| {
                quantile_ms(events.iter().filter(|it| it.is_good()).map(Event::latency), share)
            };
            let mut of_turns: Vec<f64> = turns.iter().map(of_turn).collect();
            of_turns.sort_by(f64::total_cmp);
            of_turns.get(of_turns.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let swap = |share| quantile_ms(self.swaps.iter().copied(), share);
        let all = self.quiet.iter().chain(&self.swapped).flatten();
        let failed = all.filter(|it| !it.is_good()).count();
        let (before, during) = (at(&self.quiet, 0.99), at(&self.swapped, 0.99));
        format!(
            "{:.2}, {before:.2} | {:.2}, {during:.2} | {} | {} | {:.1}, {:.1} | {failed} |",
            at(&self.quiet, 0.5),
            at(&self.swapped, 0.5),
            ratio(during / before),
            self.swaps.len(),
            swap(0.5),
            swap(1.0),
        )
    }
}

/// The same model under several digests: a zip may end with a comment.
fn artifacts(scratch: &Path) -> Result<Vec<PathBuf>, Failure> {
    let bytes = fs::read(model(CASE))?;
    let mut paths = Vec::new();
    for n in 0..ARTIFACTS {
        let comment = format!("artifact {n}");
        let mut bytes = bytes.clone();
        // The last two bytes are the length of the comment, which H2O does not write.
        let len = u16::try_from(comment.len())?.to_le_bytes();
        let at = bytes.len() - 2;
        bytes[at..].copy_from_slice(&len);
        bytes.extend_from_slice(comment.as_bytes());
        let path = scratch.join(format!("{n}.zip"));
        fs::write(&path, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}
