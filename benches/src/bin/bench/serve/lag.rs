//! How late the reactor is while it does the heaviest that callers can ask of it: as the server's
//! own probe measures it, every 10 ms, in `stemson_reactor_lag_seconds`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::Times;
use super::load::{Load, Phase, drive, once};
use super::server::Cores;
use super::stemson::{Rows, Setup, infer_path};
use super::wire::Ask;
use crate::Failure;
use crate::report::Report;
use crate::rows::{model, raw_rows};

const CASE: &str = "gbm100d6";
const COLUMNS: usize = 40;

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let rows = Rows::load(&raw_rows(CASE, 20_000)?, COLUMNS)?;
    let mut text = String::from(
        "| reactor | load | questions | lag p50 below, ms | p99 below, ms | max below, ms |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for is_wide in [false, true] {
        let mut setup = Setup::new(scratch, model(CASE));
        setup.is_wide = is_wide;
        let (server, _) = setup.start(cores)?;
        let grpc = server.grpc.unwrap_or(server.http);
        let path = infer_path();
        let loads = [
            ("none", server.http, rows.http(&path, 1, 1, &[]), 1.0),
            ("1 row, JSON, 5,000/s", server.http, rows.http(&path, 1, 256, &[]), 5_000.0),
            ("100 rows, JSON (30 kB), 500/s", server.http, rows.http(&path, 100, 64, &[]), 500.0),
            ("10,000 rows, JSON (3 MB), 5/s", server.http, rows.http(&path, 10_000, 4, &[]), 5.0),
            (
                "20,000 rows, tensor (6.4 MB), 10/s",
                server.http,
                rows.binary(&path, (20_000, false), 2, &[], ""),
                10.0,
            ),
            ("1 row, gRPC, 5,000/s", grpc, rows.grpc(1, 256, 10_000), 5_000.0),
            ("100 rows, gRPC (32 kB), 1,000/s", grpc, rows.grpc(100, 64, 10_000), 1_000.0),
            ("20,000 rows, gRPC (6.4 MB), 10/s", grpc, rows.grpc(20_000, 2, 10_000), 10.0),
        ];
        for (name, address, asks, per_second) in &loads {
            let before = histogram(server.http)?;
            let health = (server.http, Ask::get("/v2/health/live"));
            let load = Load { address: *address, asks, health };
            let seen = drive(&load, &[Phase { per_second: *per_second, lasts: times.steady }])?;
            let after = histogram(server.http)?;
            let failed = seen.load.iter().filter(|it| !it.is_good()).count();
            if failed > 0 {
                report.note(format!("{name}: {failed} of {} failed", seen.load.len()));
            }
            let cores = if is_wide { "all cores" } else { "one core" };
            writeln!(text, "| {cores} | {name} | {}", cells(&before, &after))?;
        }
    }
    report.table(&text);
    Ok(())
}

/// Upper bounds in seconds, and how many lags are not above each.
fn histogram(http: SocketAddr) -> Result<Vec<(f64, f64)>, Failure> {
    let (_, text) = once(http, &Ask::get("/metrics"))?;
    let text = String::from_utf8(text)?;
    let buckets = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("stemson_reactor_lag_seconds_bucket{le=\"")?;
        let (bound, count) = rest.split_once("\"} ")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.parse().ok()?))
    });
    Ok(buckets.collect())
}

fn cells(before: &[(f64, f64)], after: &[(f64, f64)]) -> String {
    let counts: Vec<(f64, f64)> =
        before.iter().zip(after).map(|(old, new)| (new.0, new.1 - old.1)).collect();
    let all = counts.last().map_or(0.0, |it| it.1);
    let below = |share: f64| {
        let bound = counts.iter().find(|it| it.1 >= share * all).map_or(f64::NAN, |it| it.0);
        format!("{:.2}", bound * 1e3)
    };
    format!("{all} | {} | {} | {} |", below(0.5), below(0.99), below(1.0))
}
