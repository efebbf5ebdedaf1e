//! `stemson score`: a model, files in, predictions out.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stemson_batch::{BatchError, Compression, Job, Packer, Source, Summary, run as run_job};
use stemson_mojo::{LeafAssignment, LoadOptions, Model, Options};

use crate::failure::{Failure, Verdict};
use crate::output_file::OutputFile;
use crate::terminal::{Progress, plural, say, thousands};
use crate::{inputs, model_file};

/// Scores files: one pass, input order, bounded memory.
///
/// Writes one row per input row. Unless `--strict` is said, unknown levels and texts that are no
/// number count as missing; the summary on stderr says how many.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "Examples:
  stemson score churn.zip --input customers.csv --output scored.csv
  stemson score churn.zip --input 'parts/*.csv.gz' --keep customer_id --output scored.csv
  stemson score churn.zip --input customers.csv --contributions --output explained.csv
  stemson score churn.zip --input customers.parquet --keep customer_id --output scored.parquet
  cat rows.jsonl | stemson score churn.zip --input - --input-format jsonl --format jsonl

CSV, Parquet and Arrow have the columns that H2O gives its predictions, then what is asked beside
them, kept columns, and, where a row may be refused (`--strict`, or by the algorithm itself), a last
column `error`. Empty cells, nulls and JSON nulls are absent values.")]
pub(crate) struct Arguments {
    /// A MOJO zip file
    model: PathBuf,
    /// Files in the order given, patterns such as 'parts/*.csv', or - for standard input
    #[arg(long, required = true, num_args = 1.., value_name = "FILE|-")]
    input: Vec<String>,
    /// How the input is written; by default its name says so, and - is CSV
    #[arg(long, value_enum)]
    input_format: Option<Format>,
    /// Where the predictions go; a file appears when it is complete, and is packed if its name ends
    /// in .gz or .zst
    #[arg(long, default_value = "-", value_name = "FILE|-")]
    output: String,
    /// How the predictions are written; by default the output's name says so, else it is CSV
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Refuse rows with unknown levels or texts that are no number, and files that lack a column
    #[arg(long)]
    strict: bool,
    /// Add the columns `cal_<name>`: calibrated probabilities (JSONL always has them)
    #[arg(long)]
    calibrated: bool,
    /// Add the contribution of each column to the margin, and `BiasTerm`
    #[arg(long)]
    contributions: bool,
    /// Add the leaf of each tree, `leaf_T1.C1`: by its path from the root, or by H2O's number
    #[arg(long, value_enum)]
    leaf_assignment: Option<Leaves>,
    /// Add the answer after each group of trees, `staged_T1.C1`
    #[arg(long)]
    staged: bool,
    /// Add the distance to each cluster of a K-means, `distance_1`
    #[arg(long)]
    distances: bool,
    /// The input's name for the model's offset column
    #[arg(long, value_name = "NAME")]
    offset_column: Option<String>,
    /// Columns to copy from the input
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    keep: Vec<String>,
    /// Put before the names of the prediction columns
    #[arg(long, default_value = "")]
    prefix: String,
    /// Threads that score; by default one per core
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Between the fields of CSV input: one ASCII character, or `tab`
    #[arg(long, default_value = ",", value_parser = parse_delimiter, value_name = "CHARACTER")]
    delimiter: u8,
    /// CSV input has no header: its fields are the model's columns, in the model's order
    #[arg(long)]
    no_header: bool,
    /// Texts that stand for an absent value, beside the empty cell
    #[arg(long, value_delimiter = ',', value_name = "WORD,...")]
    na: Vec<String>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Answer as genmodel does where it is silently wrong
    #[arg(long)]
    genmodel_quirks: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Leaves {
    Paths,
    Ids,
}

impl From<Leaves> for LeafAssignment {
    fn from(leaves: Leaves) -> Self {
        match leaves {
            Leaves::Paths => Self::Paths,
            Leaves::Ids => Self::Ids,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
    Parquet,
    Arrow,
}

impl From<Format> for stemson_batch::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Jsonl => Self::Jsonl,
            Format::Parquet => Self::Parquet,
            Format::Arrow => Self::Arrow,
        }
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("expected one ASCII character, or `tab`".to_owned()),
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<Verdict, Failure> {
    let genmodel_quirks = arguments.genmodel_quirks;
    // What explanations need takes memory and time to load.
    let explanations = arguments.contributions || arguments.leaf_assignment.is_some();
    let options = LoadOptions { genmodel_quirks, explanations, ..LoadOptions::default() };
    let model = Arc::new(model_file::load(&arguments.model, &options)?);
    let inputs = inputs::resolve(&arguments.input, arguments.input_format.map(Into::into))?;
    not_over_what_is_read(&arguments, &inputs)?;
    let (packed, stem) = Compression::of_name(&arguments.output);
    let output = output_format(arguments.format, stem, packed)?;
    let mut kept = std::collections::HashSet::new();
    if let Some(twice) = arguments.keep.iter().find(|name| !kept.insert(name.as_str())) {
        return Err(Failure::input(format!("`--keep` names `{twice}` twice")));
    }
    let job = Job {
        inputs,
        delimiter: arguments.delimiter,
        header: !arguments.no_header,
        na_words: arguments.na,
        offset_column: arguments.offset_column,
        keep: arguments.keep,
        // Columns that no file can have are among those quirks.
        complete: arguments.strict && !genmodel_quirks,
        options: Options {
            strict: arguments.strict,
            contributions: arguments.contributions,
            leaf_assignment: arguments.leaf_assignment.map(Into::into),
            staged: arguments.staged,
            distances: arguments.distances,
            ..Options::default()
        },
        output,
        calibrated: arguments.calibrated,
        prefix: arguments.prefix,
        threads: arguments
            .threads
            .or_else(|| available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN),
    };
    let summary = match arguments.output.as_str() {
        "-" => score(&model, job, io::stdout().lock())?,
        path => score_to_file(&model, job, Path::new(path), packed)?,
    };
    tell(&summary, &model);
    if let Some(path) = &arguments.summary {
        write_summary(path, &summary)?;
    }
    Ok(if summary.refused == 0 { Verdict::Good } else { Verdict::Bad })
}

/// Predictions in the place of the rows that they are of would leave nobody the rows.
fn not_over_what_is_read(arguments: &Arguments, inputs: &[Source]) -> Result<(), Failure> {
    // What is not there yet, a pipe and a device are no file that is read.
    let place = |path: &Path| fs::canonicalize(path).ok().filter(|place| place.is_file());
    let written = place(Path::new(&arguments.output));
    let read = inputs.iter().map(|input| Path::new(&input.name)).chain([arguments.model.as_path()]);
    let over = read.filter(|path| written.is_some() && place(path) == written);
    over.take(1).try_for_each(|path| {
        let (output, path) = (&arguments.output, path.display());
        Err(Failure::input(format!("`--output {output}` would be written over {path}"))
            .hint("name another file; `--keep COLUMN,...` copies columns of the input"))
    })
}

/// How the predictions are written. Arrow has a form for files and one for pipes.
///
/// `output`: its name without that of its packing.
fn output_format(
    format: Option<Format>,
    output: &str,
    packed: Compression,
) -> Result<stemson_batch::Format, Failure> {
    use stemson_batch::Format::{Arrow, ArrowStream, Csv, Parquet};
    let is_stdout = output == "-";
    let named = stemson_batch::Format::of_name(output).filter(|_| !is_stdout);
    let is_pipe = || is_stdout || fs::metadata(output).is_ok_and(|found| !found.is_file());
    let format = match (format, named) {
        (Some(Format::Arrow) | None, Some(ArrowStream)) => ArrowStream,
        (Some(format), _) => format.into(),
        (None, named) => named.unwrap_or(Csv),
    };
    if is_stdout && matches!(format, Arrow | Parquet) && io::stdout().is_terminal() {
        return Err(Failure::input("Parquet and Arrow are no text for a terminal")
            .hint("name a file: `--output scored.parquet`"));
    }
    if packed != Compression::None && matches!(format, Arrow | ArrowStream | Parquet) {
        return Err(Failure::input("Parquet and Arrow are not packed as a whole")
            .hint("leave out `.gz` or `.zst`; the pages of Parquet are packed anyway"));
    }
    Ok(if format == Arrow && is_pipe() { ArrowStream } else { format })
}

fn score_to_file(
    model: &Arc<Model>,
    job: Job,
    path: &Path,
    packed: Compression,
) -> Result<Summary, Failure> {
    let message = || format!("cannot write {}", path.display());
    let file =
        OutputFile::create(path).map_err(|cause| Failure::input(message()).because(&cause))?;
    let mut packer = Packer::new(packed, file);
    let summary = score(model, job, &mut packer)?;
    let finished = packer.finish().and_then(OutputFile::finish);
    finished.map_err(|cause| Failure::outside(message()).because(&cause))?;
    Ok(summary)
}

fn score(model: &Arc<Model>, job: Job, output: impl Write) -> Result<Summary, Failure> {
    let mut progress = Progress::new();
    let ended = run_job(model, job, output, |rows| progress.rows(rows));
    progress.end();
    ended.map_err(|error| failure(&error))
}

fn failure(error: &BatchError) -> Failure {
    let failure = match error {
        BatchError::Write { cause } if cause.kind() == io::ErrorKind::BrokenPipe => {
            return Failure::closed_pipe();
        }
        BatchError::Write { .. } => Failure::outside(error.to_string()),
        _ => Failure::input(error.to_string()),
    };
    let failure = match std::error::Error::source(error) {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    match hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What to do about it.
fn hint(error: &BatchError) -> Option<&'static str> {
    Some(match error {
        BatchError::NotUtf8 { .. } => {
            "convert the file first, such as `iconv -f latin1 -t utf-8`; a packed file needs the \
             extension .gz or .zst"
        }
        BatchError::Ragged { .. } | BatchError::HeaderlessWidth { .. } => {
            "is the delimiter another one (`--delimiter`), or a quote missing?"
        }
        BatchError::OpenQuote { .. } | BatchError::AfterQuote { .. } => {
            "a quote inside a quoted field is written twice"
        }
        BatchError::Columnar { .. } => {
            "was it copied whole, and is it what its name says? `--input-format` says otherwise"
        }
        BatchError::DuplicateColumn { .. } => "rename one of the two columns",
        BatchError::KeptType { .. } => {
            "score the inputs apart, or cast the column to one type; CSV and JSONL take any"
        }
        BatchError::NoHeader { .. } => "`--no-header` is for files that start with a row",
        BatchError::DuplicateHeader { .. } => "rename one of the two columns",
        BatchError::MissingColumns { .. } => {
            "add the columns, even empty ones; `stemson inspect MODEL` lists them, and without \
             `--strict` missing ones are only warned of"
        }
        BatchError::NotOffered(_) => "`stemson inspect MODEL` says what a model offers",
        BatchError::NoWords { .. } | BatchError::OtherWords { .. } => {
            "name all columns in the header of the first file, or in its first object, and leave \
             out those that hold no words"
        }
        BatchError::NoOffset { .. } => "leave out `--offset-column`",
        BatchError::OutputTwice { .. } => {
            "`--prefix NAME_` renames all but kept columns; `--format jsonl` needs no such names"
        }
        BatchError::Json { .. } => {
            "each line is one object of texts, numbers, booleans and nulls; CSV needs \
             `--input-format csv`"
        }
        BatchError::Read { source_name, .. }
            if Compression::of_name(source_name).0 != Compression::None =>
        {
            "was it copied whole, and is it packed as its name says?"
        }
        BatchError::CarriageReturns { .. } => "convert it: `tr '\\r' '\\n' < OLD > NEW`",
        _ => return None,
    })
}

/// The summary, for people.
fn tell(summary: &Summary, model: &Model) {
    for missing in &summary.missing {
        let columns: Vec<String> =
            missing.columns.iter().map(|column| format!("`{column}`")).collect();
        let has_none = missing.columns.len() == model.schema().columns().len();
        let question = if has_none {
            "; it has none of the model's: is the delimiter (`--delimiter`) or the file another one?"
        } else {
            ""
        };
        say(format_args!(
            "warning: {} has no column {}: absent in every row{question}",
            missing.source_name,
            columns.join(", ")
        ));
    }
    for column in &summary.converted {
        let mut counts = Vec::new();
        if column.unknown_levels > 0 {
            counts.push(plural(column.unknown_levels, "unknown level"));
        }
        if column.invalid_numbers > 0 {
            counts.push(plural(column.invalid_numbers, "invalid number"));
        }
        let counts = counts.join(", ");
        say(format_args!("warning: column `{}`: {counts}, taken for missing", column.column));
    }
    for refusal in &summary.refusals {
        say(format_args!(
            "row {} refused ({}, line {}): {}: {}",
            thousands(refusal.row),
            refusal.source_name,
            refusal.line,
            refusal.kind.as_str(),
            refusal.message
        ));
    }
    if summary.refused as usize > summary.refusals.len() {
        let more = summary.refused - summary.refusals.len() as u64;
        say(format_args!("... and {} more", thousands(more)));
    }
    let ignored = match summary.ignored.len() {
        0 => String::new(),
        n => format!(", {} ignored", plural(n as u64, "column")),
    };
    let refused = match summary.refused {
        0 => String::new(),
        n => format!(", {} refused", thousands(n)),
    };
    say(format_args!("{} scored{refused}{ignored}", plural(summary.rows - summary.refused, "row")));
}

/// The summary as JSON. Keys may be added, none goes away.
#[derive(Serialize)]
struct SummaryReport<'s> {
    rows: u64,
    refused: u64,
    refused_by_kind: &'s std::collections::BTreeMap<&'static str, u64>,
    /// The first ten.
    refusals: Vec<RefusalReport<'s>>,
    converted: Vec<ConvertedReport<'s>>,
    missing_columns: Vec<MissingReport<'s>>,
    ignored_columns: &'s [String],
}

#[derive(Serialize)]
struct RefusalReport<'s> {
    row: u64,
    source: &'s str,
    line: u64,
    kind: &'static str,
    column: Option<&'s str>,
    message: &'s str,
}

#[derive(Serialize)]
struct ConvertedReport<'s> {
    column: &'s str,
    unknown_levels: u64,
    invalid_numbers: u64,
}

#[derive(Serialize)]
struct MissingReport<'s> {
    source: &'s str,
    columns: &'s [String],
}

fn write_summary(path: &Path, summary: &Summary) -> Result<(), Failure> {
    let report = SummaryReport {
        rows: summary.rows,
        refused: summary.refused,
        refused_by_kind: &summary.refused_by_kind,
        refusals: (summary.refusals.iter())
            .map(|refusal| RefusalReport {
                row: refusal.row,
                source: &refusal.source_name,
                line: refusal.line,
                kind: refusal.kind.as_str(),
                column: refusal.column.as_deref(),
                message: &refusal.message,
            })
            .collect(),
        converted: (summary.converted.iter())
            .map(|column| ConvertedReport {
                column: &column.column,
                unknown_levels: column.unknown_levels,
                invalid_numbers: column.invalid_numbers,
            })
            .collect(),
        missing_columns: (summary.missing.iter())
            .map(|missing| MissingReport {
                source: &missing.source_name,
                columns: &missing.columns,
            })
            .collect(),
        ignored_columns: &summary.ignored,
    };
    let write = || -> io::Result<()> {
        let mut file = OutputFile::create(path)?;
        serde_json::to_writer_pretty(&mut file, &report)?;
        file.write_all(b"\n")?;
        file.finish()
    };
    write()
        .map_err(|cause| Failure::input(format!("cannot write {}", path.display())).because(&cause))
}
