//! What the ways through the server cost beside each other: the row API, explanations, the cache,
//! metrics.

use std::fmt::Write as _;
use std::path::Path;

use super::Times;
use super::load::saturate;
use super::server::{Cores, Server};
use super::stemson::{MODEL, Rows, Setup, infer_path};
use super::wire::Ask;
use crate::Failure;
use crate::report::{Report, grouped};
use crate::rows::{model, raw_rows};
use stemson_benches::rows::{Format, Generator};
use stemson_mojo::{LoadOptions, Model};

const CASE: &str = "gbm500d8";
const COLUMNS: usize = 40;
const LINES: usize = 32;

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let mut text = format!(
        "| `{CASE}`, one row | processor us per request | requests/s |\n| --- | ---: | ---: |\n"
    );
    let rows = Rows::load(&raw_rows(CASE, 20_000)?, COLUMNS)?;
    let path = infer_path();
    let mut setup = Setup::new(scratch, model(CASE));
    let (server, _) = setup.start(cores)?;
    let grpc = server.grpc.unwrap_or(server.http);
    let mut line = |what: &str, server: &Server, address, asks: &[Ask]| {
        let (processor_us, per_second) = cost(server, address, asks, times)?;
        writeln!(text, "| {what} | {processor_us:.1} | {} |", grouped(per_second))?;
        Ok::<_, Failure>(())
    };
    line("OIP JSON, in the cache", &server, server.http, &rows.http(&path, 1, 64, &[]))?;
    line("OIP gRPC, in the cache", &server, grpc, &rows.grpc(1, 64, 10_000))?;
    let words = ["/v2/health/live", "/metrics"];
    for path in words {
        line(&format!("GET {path}"), &server, server.http, &[Ask::get(path)])?;
    }
    drop(server);
    "[cache]\nbackend = \"none\"".clone_into(&mut setup.config);
    let (server, _) = setup.start(cores)?;
    let grpc = server.grpc.unwrap_or(server.http);
    line("OIP JSON, computed", &server, server.http, &rows.http(&path, 1, 64, &[]))?;
    line("OIP gRPC, computed", &server, grpc, &rows.grpc(1, 64, 10_000))?;
    for action in ["predict", "explain"] {
        let asks = objects(action)?;
        line(&format!("V1 `:{action}`, computed"), &server, server.http, &asks)?;
    }
    report.table(&text);
    Ok(())
}

/// Least processor time of a request, in us, and most requests in a second.
fn cost(
    server: &Server,
    address: std::net::SocketAddr,
    asks: &[Ask],
    times: Times,
) -> Result<(f64, f64), Failure> {
    let mut best = (f64::INFINITY, 0.0_f64);
    for _ in 0..times.turns {
        let before = server.processor();
        let (good, took) = saturate(address, asks, LINES, times.turn / 2)?;
        if good == 0 {
            return Err("no good answer".into());
        }
        let spent = server.processor().saturating_sub(before).as_secs_f64() * 1e6;
        best = (best.0.min(spent / good as f64), best.1.max(good as f64 / took.as_secs_f64()));
    }
    Ok(best)
}

/// Rows as objects, one in a request.
fn objects(action: &str) -> Result<Vec<Ask>, Failure> {
    let model = Model::load(&std::fs::read(model(CASE))?, &LoadOptions::default())?;
    let mut lines = Vec::new();
    Generator::new(&model, 1).write(&mut lines, Format::Jsonl, 0, 64)?;
    let lines = String::from_utf8(lines)?;
    let path = format!("/v1/models/{MODEL}:{action}");
    let ask = |line: &str| {
        let body = format!("{{\"instances\":[{line}]}}");
        Ask::post(&path, &["content-type: application/json".to_owned()], body.as_bytes())
    };
    Ok(lines.lines().map(ask).collect())
}
