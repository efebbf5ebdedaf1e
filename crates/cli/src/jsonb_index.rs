//! `stemson benchmark-jsonb-index`: what each index on a JSONB column costs and gives.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stemson_validate::jsonb::{JsonbIndex, JsonbIndexError, Shape};

use crate::failure::{Failure, Verdict};
use crate::output_file::OutputFile;
use crate::terminal::{Format, say};

/// Compares indexes on a JSONB column: size, build, writes, log, queries.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson benchmark-jsonb-index --table feature_store --rows 1000000 --write-rate 1000
  stemson benchmark-jsonb-index --rows 100000 --seconds 10 --plot jsonb.svg
  stemson benchmark-jsonb-index --database postgres://me@db/features --table bench --sample-from public.features

As a script: python scripts/benchmark_jsonb_index.py --table feature_store --rows 1000000 --write-rate 1000

Without --database a private PostgreSQL is started from the programs on this machine and removed at the
end (as root it runs as `postgres`, else `nobody`). Compared are no index, an expression B-tree, and GIN
with jsonb_ops and jsonb_path_ops, with and without fastupdate: two parts of --seconds for each, and the
time to build, some 8 minutes in all with 100,000 rows. The table is made, and dropped at the end, Ctrl-C
included; no other table is touched.

Exit code 1: the recommended index does not hold the write rate here, or no query uses it.")]
pub(crate) struct Arguments {
    /// The table to make; it must not exist
    #[arg(long, value_name = "NAME", default_value = "feature_store")]
    table: String,
    /// Rows to load before each index is built
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
    /// Rows a second in the paced part
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    write_rate: u32,
    /// Length of the paced and of the full-speed part, each, for each index
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
    /// What the documents look like
    #[arg(long, value_enum, value_name = "WORD", default_value_t = ShapeWord::Mixed, conflicts_with = "sample_from")]
    shape: ShapeWord,
    /// Take documents of the first jsonb column of this table; it is only read
    #[arg(long, value_name = "TABLE")]
    sample_from: Option<String>,
    /// A database to work in, without TLS
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Write a plot to this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "WORD")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeWord {
    Mixed,
    Precise,
    NoFloats,
    Facets,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let benchmark = JsonbIndex {
        table: arguments.table.clone(),
        rows: arguments.rows,
        write_rate: arguments.write_rate,
        seconds: arguments.seconds,
        shape: match arguments.shape {
            ShapeWord::Mixed => Shape::Mixed,
            ShapeWord::Precise => Shape::Precise,
            ShapeWord::NoFloats => Shape::NoFloats,
            ShapeWord::Facets => Shape::Facets,
        },
        sample_from: arguments.sample_from.clone(),
        database: arguments.database.clone(),
    };
    // Before minutes are spent.
    let plot = arguments.plot.as_deref();
    let plot =
        plot.map(|file| OutputFile::create(file).map_err(|cause| cannot_write(file, &cause)));
    let plot = plot.transpose()?;
    let shown = io::IsTerminal::is_terminal(&io::stderr());
    let report = benchmark.run(&mut |what| {
        if shown {
            say(format_args!("{what}"));
        }
    });
    let report = report.map_err(|cause| failed(&cause))?;
    if let (Some(mut output), Some(file)) = (plot, &arguments.plot) {
        let written = output.write_all(report.to_svg().as_bytes()).and_then(|()| output.finish());
        written.map_err(|cause| cannot_write(file, &cause))?;
    }
    let text = match arguments.format {
        Format::Text => report.to_string(),
        Format::Json => format!("{:#}\n", report.to_json()),
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if report.verdict.good { Verdict::Good } else { Verdict::Bad })
}

fn cannot_write(file: &std::path::Path, cause: &io::Error) -> Failure {
    Failure::input(format!("cannot write {}", file.display())).because(cause)
}

fn failed(cause: &JsonbIndexError) -> Failure {
    let message = cause.to_string();
    let failure = match cause {
        JsonbIndexError::Input(_) => return Failure::input(message),
        _ => Failure::outside(message),
    };
    let failure = match std::error::Error::source(cause) {
        Some(source) => failure.because(source),
        None => failure,
    };
    match cause {
        JsonbIndexError::Connect(_) => {
            failure.hint("--database takes postgres://user:password@host:port/name, without TLS")
        }
        _ => failure,
    }
}
