//! From answers to the bytes of the output.
//!
//! [`Layout`] is the one description of what is written of a row; each form renders from it.

mod csv;
mod jsonl;
mod layout;
mod number;

use stemson_mojo::{Batch, Model};

use crate::error::BatchError;
use crate::job::Job;
use crate::source::Format;
use crate::table::Value;

pub use jsonl::write_json_part;
use layout::Layout;

/// How the rows of a job are written. Made once, used by all workers.
#[derive(Debug)]
pub(crate) struct Form {
    layout: Layout,
    format: Format,
    header: Vec<u8>,
}

/// One row on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    /// Over all sources, from 0.
    pub(crate) number: u64,
    /// Scored.
    pub(crate) batch: &'r Batch,
    /// Of the row in the batch.
    pub(crate) place: usize,
    /// The values of the columns to keep.
    pub(crate) kept: &'r [Value<'r>],
}

impl Form {
    /// `words`: the columns of the input, where the model's schema is open.
    pub(crate) fn plan(model: &Model, job: &Job, words: &[String]) -> Result<Self, BatchError> {
        let layout = Layout::plan(model, job, words)?;
        let header = match job.output {
            Format::Csv => csv::header(&layout)?,
            Format::Jsonl => Vec::new(),
            format => return Err(BatchError::OutputFormat { format: format.name() }),
        };
        Ok(Self { layout, format: job.output, header })
    }

    /// What stands before the first row.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Values of a row of the output.
    pub(crate) fn width(&self) -> usize {
        self.layout.width()
    }

    /// Appends one row.
    pub(crate) fn row(&self, out: &mut Vec<u8>, row: Row<'_>) {
        match self.format {
            Format::Csv => csv::write(out, &self.layout, row),
            _ => jsonl::write(out, &self.layout, row),
        }
    }
}

fn bool_text(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}
