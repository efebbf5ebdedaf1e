//! What is to be scored, and how: the crate's face.

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;

use stemson_mojo::{Model, Options};

use crate::error::BatchError;
use crate::pipeline;
use crate::plan::Names;
use crate::reader::{BlockSize, Dialect, Reader};
use crate::render::Form;
use crate::source::{Format, Source};
use crate::summary::Summary;
use crate::words;

/// Rows to score and the form of the answers.
#[derive(Debug)]
pub struct Job {
    /// In this order, as one run of rows.
    pub inputs: Vec<Source>,
    /// Between the fields of CSV input: one ASCII character.
    pub delimiter: u8,
    /// Whether CSV input starts with the names of its columns; else the fields are the model's
    /// columns in its order (the offset column last, or left out).
    pub header: bool,
    /// Texts that stand for an absent value, beside the empty CSV cell and JSON null.
    pub na_words: Vec<String>,
    /// Another name for the model's offset column.
    pub offset_column: Option<String>,
    /// Columns of the input that are copied to the output. Parquet and Arrow have the types of
    /// columnar input, which is the same in all inputs then; anything else is text.
    pub keep: Vec<String>,
    /// Refuse inputs that lack a column of the model, instead of naming it in the summary.
    pub complete: bool,
    /// What is asked of every row. JSONL also has the row that a GLRM reconstructs, always.
    pub options: Options,
    /// How the answers are written. Always comma-separated where CSV.
    pub output: Format,
    /// Tables: with calibrated probabilities. JSONL has them wherever the model offers them.
    pub calibrated: bool,
    /// Tables: stands before the names of all columns but kept ones and `error`.
    pub prefix: String,
    /// Threads that parse, score and render; with more than one, another one reads. More than 256
    /// count as 256.
    pub threads: NonZeroUsize,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            delimiter: b',',
            header: true,
            na_words: Vec::new(),
            offset_column: None,
            keep: Vec::new(),
            complete: false,
            options: Options::default(),
            output: Format::Csv,
            calibrated: false,
            prefix: String::new(),
            threads: NonZeroUsize::MIN,
        }
    }
}

impl Job {
    /// How many threads there will be.
    pub(crate) fn threads(&self) -> usize {
        self.threads.get().min(256)
    }
}

/// Scores all rows of a job and writes an answer for each, in order.
///
/// `progress` is told the number of rows written after each block.
///
/// # Errors
/// An input cannot be read or is not what its format says, the output cannot be written, or the
/// job asks for what the model does not offer. What was written until then stays written.
pub fn run(
    model: &Arc<Model>,
    mut job: Job,
    output: impl Write,
    progress: impl FnMut(u64),
) -> Result<Summary, BatchError> {
    if !job.delimiter.is_ascii() || matches!(job.delimiter, b'"' | b'\n' | b'\r') {
        return Err(BatchError::Delimiter { found: job.delimiter as char });
    }
    // Tables have H2O's columns, which are without the row that a GLRM reconstructs.
    job.options.reconstruct = job.output == Format::Jsonl;
    let words = words(model, &mut job)?;
    let form = Form::plan(model, &job, &words)?;
    let names = Arc::new(Names::resolve(model, &job, words)?);
    let threads = job.threads();
    let blocks = if threads == 1 { 1 } else { 2 * threads + 1 };
    let widest = names.slots().max(form.width());
    let dialect = Dialect { delimiter: job.delimiter, header: job.header };
    let inputs = std::mem::take(&mut job.inputs);
    let size = block_size(threads, blocks, widest);
    let reader = Reader::new(inputs, Arc::clone(&names), dialect, size);
    let line = pipeline::Line { reader, form, names, model, options: job.options };
    line.run(threads, blocks, output, progress)
}

/// The columns of a model of words, which are the input's.
fn words(model: &Model, job: &mut Job) -> Result<Vec<String>, BatchError> {
    let Some(first) = job.inputs.first().filter(|_| model.schema().is_open()) else {
        return Ok(Vec::new());
    };
    if let Some(table) = job.inputs.iter().find(|input| input.format.is_columnar()) {
        let (source_name, format) = (table.name.clone(), table.format.name());
        return Err(BatchError::WordsInTable { source_name, format });
    }
    let source_name = first.name.clone();
    let words = match (first.format, job.header) {
        (Format::Csv, false) => Vec::new(),
        _ => words::columns(&mut job.inputs, job.delimiter)?,
    };
    if words.is_empty() { Err(BatchError::NoWords { source_name }) } else { Ok(words) }
}

/// Blocks small enough that all on their way together fit the promise, and large enough that
/// threads meet rarely. `widest`: cells of a row, of the input or the output.
pub(crate) fn block_size(threads: usize, blocks: usize, widest: usize) -> BlockSize {
    const ROWS_MAX: usize = 1_024;
    // A cell costs its worker about 60 bytes: 24 MB in all.
    const CELLS_MAX: usize = 400 * 1_024;
    const BYTES_MAX: usize = 16 << 20;
    BlockSize {
        rows: (CELLS_MAX.min(threads * 128 * 1_024) / threads / widest.max(1)).clamp(1, ROWS_MAX),
        bytes: (BYTES_MAX / blocks).clamp(64 << 10, 1 << 20),
    }
}
