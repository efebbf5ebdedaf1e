//! From answers to the bytes of the output.
//!
//! [`Layout`] is the one description of what is written of a row; each form renders from it. Text is
//! rendered row by row, by the workers. Typed columns are made block by block, by the workers too,
//! and become bytes in an [`Encoder`], which sees the blocks in their order.

mod csv;
mod encoder;
mod jsonl;
mod layout;
mod number;
mod typed;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use stemson_mojo::{Batch, Model, Options};

pub(crate) use encoder::Encoder;

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
    /// The model's, for typed columns of them.
    labels: ArrayRef,
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
            Format::Parquet | Format::Arrow | Format::ArrowStream => {
                layout.check_columns()?;
                Vec::new()
            }
        };
        let labels = typed::labels(model);
        Ok(Self { layout, format: job.output, header, labels })
    }

    /// What stands before the first row.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Values of a row of the output.
    pub(crate) fn width(&self) -> usize {
        self.layout.width()
    }

    /// Whether [`Form::table`] makes the output, else [`Form::row`].
    pub(crate) fn is_typed(&self) -> bool {
        self.format.is_columnar()
    }

    /// Appends one row of text.
    pub(crate) fn row(&self, out: &mut Vec<u8>, row: Row<'_>) {
        match self.format {
            Format::Csv => csv::write(out, &self.layout, row),
            _ => jsonl::write(out, &self.layout, row),
        }
    }

    /// The rows of a scored batch as typed columns. `kept`: the columns to keep.
    pub(crate) fn table(
        &self,
        batch: &Batch,
        rows: usize,
        kept: Vec<ArrayRef>,
    ) -> Result<RecordBatch, ArrowError> {
        typed::table(&self.layout, &self.labels, batch, rows, kept)
    }

    /// The columns of tables. `kept`: types of the columns to keep; without, they are text.
    pub(crate) fn schema(&self, kept: Option<Vec<DataType>>) -> Arc<Schema> {
        let text = || vec![DataType::Utf8; self.layout.keep.len()];
        Arc::new(typed::schema(&self.layout, &kept.unwrap_or_else(text)))
    }

    /// What makes bytes of tables, where the output is made of them.
    pub(crate) fn encoder(&self) -> Option<Encoder> {
        self.is_typed().then(|| Encoder::new(self.format))
    }
}

/// How scored rows become the records of a CSV: the columns of H2O's tables, explanations behind
/// them, `error` last where a row may be refused.
#[derive(Debug)]
pub struct CsvForm(Form);

impl CsvForm {
    /// `calibrated`: with calibrated probabilities. `words`: the callers' columns, where the model's
    /// schema is open.
    ///
    /// # Errors
    /// The model does not offer what is asked for, or two columns would have one name.
    pub fn plan(
        model: &Model,
        options: Options,
        calibrated: bool,
        words: &[String],
    ) -> Result<Self, BatchError> {
        let job = Job { options, calibrated, output: Format::Csv, ..Job::default() };
        Form::plan(model, &job, words).map(Self)
    }

    /// The first line.
    pub fn header(&self) -> &[u8] {
        self.0.header()
    }

    /// Appends the record of one row.
    ///
    /// # Panics
    /// If the row was not scored.
    pub fn write(&self, out: &mut Vec<u8>, batch: &Batch, row: usize) {
        self.0.row(out, Row { number: 0, batch, place: row, kept: &[] });
    }
}
