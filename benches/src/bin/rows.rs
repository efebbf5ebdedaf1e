//! `rows MODEL.zip`: rows for a MOJO on standard output; see `stemson_benches::rows`.
#![expect(clippy::print_stderr, reason = "a command")]

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use stemson_benches::rows::{Format, Generator};
use stemson_mojo::{LoadOptions, Model};

const USAGE: &str =
    "Usage: rows MODEL.zip [--rows N] [--start K] [--seed S] [--format csv|jsonl|f64]";

struct Arguments {
    model: String,
    rows: u64,
    start: u64,
    seed: u64,
    format: Format,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut model, mut format) = (None, Format::Csv);
        let (mut rows, mut start, mut seed) = (1000, 0, 1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
            let number = |text: String| {
                text.parse::<u64>().map_err(|_| format!("`{word} {text}`: a whole number expected"))
            };
            match word.as_str() {
                "--rows" => rows = number(value()?)?,
                "--start" => start = number(value()?)?,
                "--seed" => seed = number(value()?)?,
                "--format" => {
                    format = match value()?.as_str() {
                        "csv" => Format::Csv,
                        "jsonl" => Format::Jsonl,
                        "f64" => Format::F64,
                        other => return Err(format!("`--format {other}`: csv, jsonl or f64")),
                    }
                }
                flag if flag.starts_with('-') => return Err(format!("`{flag}` is not known")),
                _ if model.is_some() => return Err(format!("`{word}`: one model only")),
                _ => model = Some(word),
            }
        }
        let model = model.ok_or("the model is missing")?;
        Ok(Self { model, rows, start, seed, format })
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("error: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match write(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {}: {why}", arguments.model);
            ExitCode::from(2)
        }
    }
}

fn write(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::load(&std::fs::read(&arguments.model)?, &LoadOptions::default())?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let rows = Generator::new(&model, arguments.seed);
    let written = rows.write(&mut out, arguments.format, arguments.start, arguments.rows);
    match written.and_then(|()| out.flush()) {
        // Whoever reads (`head`) has enough.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
