//! The same requests to every server, one core each, in turns.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::load::{Load, Phase, Seen, drive, once, saturate};
use super::rivals::RIVALS;
use super::server::{Cores, Server, free_address};
use super::stemson::{Rows, Setup, infer_path};
use super::wire::Ask;
use super::{Times, bare};
use crate::Failure;
use crate::peers::Peers;
use crate::report::{Report, grouped, ratio};

const FOREST: &str = "gbm_100_d6";
const COLUMNS: usize = 32;
/// Different requests of each shape.
const ASKS: usize = 256;
/// Lines that ask as fast as they can.
const LINES: usize = 32;
/// Answers of the same forest may differ so much: the order of a sum.
const DIFFERENCE_MAX: f64 = 1e-9;

/// What is asked, and at which rates latency is measured.
struct Shape {
    title: &'static str,
    asks: Vec<Ask>,
    rates: [f64; 2],
}

/// One server's figures for a shape.
struct Line {
    name: String,
    /// Least of all turns.
    processor_us: f64,
    /// Most of all turns.
    per_second: f64,
    /// p50 and p99 for each rate that it can keep.
    latency: Vec<Option<[f64; 2]>>,
}

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let forest = Peers::find()?.forest(FOREST)?;
    let rows = Rows::load(&forest.rows(), COLUMNS)?;
    let mut servers = vec![
        Setup::new(scratch, forest.model()).start(cores)?.0,
        start_bare(cores, scratch, &forest.model())?,
    ];
    let text = forest.folder.join("lightgbm.txt");
    for rival in &RIVALS {
        match rival.start(cores, scratch, &text) {
            Ok(server) => servers.push(server),
            Err(why) => report.note(format!("{} skipped: {why}", rival.name)),
        }
    }
    same_answers(&servers, &rows)?;
    let path = infer_path();
    let shapes = [
        Shape {
            title: "One row, JSON over HTTP/1.1",
            asks: rows.http(&path, 1, ASKS, &[]),
            rates: [300.0, 2_000.0],
        },
        Shape {
            title: "64 rows, JSON over HTTP/1.1",
            asks: rows.http(&path, 64, ASKS, &[]),
            rates: [100.0, 500.0],
        },
        Shape { title: "One row, gRPC", asks: rows.grpc(1, ASKS, 10_000), rates: [300.0, 2_000.0] },
    ];
    let mut late = [0.0_f64; 2];
    for shape in &shapes {
        let lines = measure(&servers, shape, times, &mut late)?;
        report.table(&table(shape, &lines)?);
    }
    report.table(&needs(&servers)?);
    report.note(format!(
        "The generator was {:.2} ms behind its schedule at p99 and {:.1} ms at most in the worst of \
         these runs",
        late[0], late[1]
    ));
    Ok(())
}

fn start_bare(cores: &Cores, scratch: &Path, model: &Path) -> Result<Server, Failure> {
    let http = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([bare::WORD, &http.to_string()]).arg(model);
    let log = scratch.join("bare.log");
    let health = ("/v2/health/ready", log.as_path());
    Server::start(cores, "bare route (axum, serde)", command, (http, None), health, false)
}

/// A ratio of speed says nothing between servers that answer otherwise.
fn same_answers(servers: &[Server], rows: &Rows) -> Result<(), Failure> {
    let ask = &rows.http(&infer_path(), 64, 1, &[])[0];
    let mut first: Option<Vec<f64>> = None;
    for server in servers {
        let (status, body) = once(server.http, ask)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let data = answer["outputs"][0]["data"].as_array();
        let data: Option<Vec<f64>> = data.map(|it| it.iter().filter_map(Value::as_f64).collect());
        let Some(data) = data.filter(|it| it.len() == 64) else {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(format!("{} answers {status} {body}", server.name).into());
        };
        let first = first.get_or_insert_with(|| data.clone());
        let apart = first.iter().zip(&data).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        if apart > DIFFERENCE_MAX {
            return Err(format!("{} answers up to {apart:e} apart", server.name).into());
        }
    }
    Ok(())
}

fn measure(
    servers: &[Server],
    shape: &Shape,
    times: Times,
    late: &mut [f64; 2],
) -> Result<Vec<Line>, Failure> {
    let is_grpc = shape.asks.first().is_some_and(Ask::is_grpc);
    let address = |server: &Server| if is_grpc { server.grpc } else { Some(server.http) };
    let mut lines: Vec<_> = servers
        .iter()
        .filter_map(|server| {
            let line = Line {
                name: server.name.clone(),
                processor_us: f64::INFINITY,
                per_second: 0.0,
                latency: Vec::new(),
            };
            Some((server, address(server)?, line))
        })
        .collect();
    for _ in 0..times.turns {
        for (server, address, line) in &mut lines {
            let before = server.processor();
            let (good, took) = saturate(*address, &shape.asks, LINES, times.turn)?;
            let spent = server.processor().saturating_sub(before);
            if good == 0 {
                return Err(format!("{} answers nothing well: {}", line.name, shape.title).into());
            }
            line.processor_us = line.processor_us.min(spent.as_secs_f64() * 1e6 / good as f64);
            line.per_second = line.per_second.max(good as f64 / took.as_secs_f64());
        }
    }
    for rate in shape.rates {
        for (server, address, line) in &mut lines {
            if line.per_second < 1.25 * rate {
                line.latency.push(None);
                continue;
            }
            let health = (server.http, Ask::get("/v2/health/ready"));
            let load = Load { address: *address, asks: &shape.asks, health };
            let phase = Phase { per_second: rate, lasts: times.steady };
            let seen: Seen = drive(&load, &[phase])?;
            let [p99, most] = seen.lateness_ms();
            *late = [late[0].max(p99), late[1].max(most)];
            line.latency.push(Some([seen.good_ms(0.5), seen.good_ms(0.99)]));
        }
    }
    Ok(lines.into_iter().map(|it| it.2).collect())
}

fn table(shape: &Shape, lines: &[Line]) -> Result<String, Failure> {
    let [slow, fast] = shape.rates.map(grouped);
    let mut text = format!(
        "| {} | processor us per request | of stemson's | requests/s | p50, p99 ms at {slow}/s | p50, \
         p99 ms at {fast}/s |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
        shape.title
    );
    let ours = lines.first().map_or(f64::NAN, |it| it.processor_us);
    for line in lines {
        let latency = line.latency.iter().map(|it| {
            it.map_or("cannot".to_owned(), |[half, most]| format!("{half:.2}, {most:.2}"))
        });
        writeln!(
            text,
            "| {} | {:.1} | {} | {} | {} |",
            line.name,
            line.processor_us,
            ratio(line.processor_us / ours),
            grouped(line.per_second),
            latency.collect::<Vec<_>>().join(" | ")
        )?;
    }
    Ok(text)
}

/// What each needs to be there at all; memory after all the loads.
fn needs(servers: &[Server]) -> Result<String, Failure> {
    let mut text = String::from(
        "| | resident MB after the load | s from start to the first answer |\n\
         | --- | ---: | ---: |\n",
    );
    for server in servers {
        let megabytes = server.resident_bytes() as f64 / 1e6;
        let started = server.started.as_secs_f64();
        writeln!(text, "| {} | {megabytes:.0} | {started:.2} |", server.name)?;
    }
    Ok(text)
}
