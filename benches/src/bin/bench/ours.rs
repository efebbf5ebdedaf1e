//! `bench engine MODE MODEL.zip ROWS.f64`: Stemson as an engine, by its public face.
//!
//! Modes: `score` (raw rows as `score0` takes them), `typed` (numbers and levels to label and
//! probabilities), `contributions` (of raw rows), `load`, and `threads` (two threads with a batch
//! each, by wall time).

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options, Output};

use crate::Failure;
use crate::engine::Engine;

/// First argument of the program by which it becomes an engine.
pub(crate) const WORD: &str = "engine";

/// Starts Stemson as an engine.
pub(crate) fn start(name: &str, mode: &str, model: &Path, rows: &Path) -> Result<Engine, Failure> {
    Engine::start(name, command(mode, model, rows)?)
}

/// The same, with kernels that need no more of the processor than `level`: `portable`, `avx2`.
pub(crate) fn start_with(
    level: &str,
    name: &str,
    model: &Path,
    rows: &Path,
) -> Result<Engine, Failure> {
    let mut command = command("score", model, rows)?;
    command.env("STEMSON_KERNEL", level);
    Engine::start(name, command)
}

fn command(mode: &str, model: &Path, rows: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([WORD, mode]).arg(model).arg(rows);
    Ok(command)
}

/// Processor time of all threads, in ns.
fn processor_ns() -> Result<i64, Failure> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Rows that go round.
struct Given<T> {
    rows: Vec<T>,
    /// Elements of a row.
    width: usize,
    next: usize,
}

impl<T> Given<T> {
    fn take(&mut self, n: usize) -> &[T] {
        let len = n * self.width;
        if self.next + len > self.rows.len() {
            self.next = 0;
        }
        self.next += len;
        self.rows.get(self.next - len..self.next).unwrap_or(&self.rows)
    }
}

pub(crate) fn serve(words: &[&str]) -> Result<(), Failure> {
    let [mode, file, rows] = words else { return Err("MODE MODEL ROWS expected".into()) };
    let model = Arc::new(Model::load(&fs::read(file)?, &LoadOptions::default())?);
    let rows = fs::read(rows)?;
    let rows: Vec<f64> = rows.as_chunks::<8>().0.iter().map(|it| f64::from_le_bytes(*it)).collect();
    let width = model.raw_len();
    let all = rows.len() / width;
    let options = Options { contributions: *mode == "contributions", ..Options::default() };
    let mut batch = Batch::new(Arc::clone(&model), options);
    match *mode {
        "typed" => {
            let cells = typed(&model, &rows);
            let mut given = Given { rows: cells, width, next: 0 };
            take_turns(all, |n, answers| {
                batch.clear();
                given.take(n).chunks_exact(width).for_each(|row| batch.push(row));
                batch.score();
                (0..batch.len()).for_each(|row| push_answer(&batch, row, answers));
            })
        }
        "load" | "load-explained" => {
            let explanations = *mode == "load-explained";
            let options = LoadOptions { explanations, ..LoadOptions::default() };
            take_turns(all, |n, _| {
                for _ in 0..n {
                    let bytes = fs::read(file).unwrap_or_default();
                    std::hint::black_box(Model::load(&bytes, &options).ok());
                }
            })
        }
        "threads" => threads(&model, &rows),
        _ => {
            let mut given = Given { rows, width, next: 0 };
            take_turns(all, |n, answers| {
                batch.clear();
                batch.push_raw(given.take(n));
                batch.score();
                let Some(answers) = answers else { return };
                for row in 0..batch.len() {
                    match batch.contributions(row) {
                        Some(found) => answers.extend(found.iter().map(|it| f64::from(*it))),
                        None => answers.extend(batch.preds(row)),
                    }
                }
            })
        }
    }
}

/// What a caller has: numbers, levels as text, nothing where a value is missing.
fn typed<'m>(model: &'m Model, rows: &[f64]) -> Vec<Cell<'m>> {
    let columns = model.schema().columns();
    let cell = |(i, value): (usize, &f64)| match &columns[i % columns.len()].levels {
        _ if value.is_nan() => Cell::Absent,
        levels if levels.is_empty() => Cell::Double(*value),
        levels => Cell::Text(&levels[*value as usize]),
    };
    rows.iter().enumerate().map(cell).collect()
}

fn push_answer(batch: &Batch, row: usize, answers: &mut Option<Vec<f64>>) {
    let output = std::hint::black_box(batch.output(row));
    let Some(answers) = answers else { return };
    match output {
        Ok(Output::Value(value)) => answers.push(value),
        Ok(Output::Classes { index, p, .. }) => {
            answers.push(index as f64);
            answers.extend(p);
        }
        other => unreachable!("bench models classify and regress: {other:?}"),
    }
}

/// Answers the lines of `engine.rs`; `call` scores as many rows of `all` as it is told, and adds
/// answers where they are wanted.
fn take_turns(
    all: usize,
    mut call: impl FnMut(usize, &mut Option<Vec<f64>>),
) -> Result<(), Failure> {
    lines(|words| match words {
        ["answers", file] => {
            let mut answers = Some(Vec::new());
            call(all, &mut answers);
            let answers = answers.unwrap_or_default();
            fs::write(file, answers.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>())?;
            Ok(0)
        }
        ["round", per_call, rows] => {
            let (per_call, rows): (usize, usize) = (per_call.parse()?, rows.parse()?);
            let start = processor_ns()?;
            for _ in 0..rows / per_call {
                call(per_call, &mut None);
            }
            Ok(processor_ns()? - start)
        }
        other => Err(format!("`{}` is no request", other.join(" ")).into()),
    })
}

#[expect(clippy::print_stdout, reason = "the pipe to the one who asks")]
fn lines(mut answer: impl FnMut(&[&str]) -> Result<i64, Failure>) -> Result<(), Failure> {
    println!("ready 0");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        println!("{}", answer(&line.split_whitespace().collect::<Vec<_>>())?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// `round T N`: N rows in T equal parts, a thread each; the answer is wall time.
fn threads(model: &Arc<Model>, rows: &[f64]) -> Result<(), Failure> {
    let width = model.raw_len();
    let part = rows.len() / width / 2;
    let mut batches: Vec<_> =
        (0..2).map(|_| Batch::new(Arc::clone(model), Options::default())).collect();
    lines(|words| {
        let [_, threads, rows_wanted] = words else { return Err("round T N expected".into()) };
        let (threads, wanted): (usize, usize) = (threads.parse()?, rows_wanted.parse()?);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (batch, rows) in batches[..threads].iter_mut().zip(rows.chunks(part * width)) {
                scope.spawn(move || {
                    for _ in 0..wanted / threads / part {
                        batch.clear();
                        batch.push_raw(rows);
                        batch.score();
                    }
                });
            }
        });
        Ok(i64::try_from(start.elapsed().as_nanos())?)
    })
}
