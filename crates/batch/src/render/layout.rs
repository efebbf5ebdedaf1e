//! What is written of each row: typed columns, and where their values come from.

use std::collections::HashSet;

use stemson_mojo::{Model, Part, PartKind, RowError};

use crate::error::BatchError;
use crate::job::Job;

/// The description of the output that all forms share.
///
/// A table has the columns of [`Layout::columns`]: those of the parts with their kinds, then kept
/// columns and `error`, which are text. JSONL has an object with all parts, by their keys.
#[derive(Debug)]
pub(crate) struct Layout {
    /// In the order of the columns.
    pub(crate) groups: Vec<Group>,
    /// Columns that are copied from the input.
    pub(crate) keep: Vec<String>,
    /// Whether a row may be refused, so that tables have a last column `error`.
    pub(crate) has_errors: bool,
    /// All values of a row.
    width: usize,
}

/// One part of the answer with its columns.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where the values come from: `Batch::part`.
    pub(crate) part: Part,
    /// Names of the values in a table, the prefix included. Empty for parts that a table does not
    /// have.
    pub(crate) names: Vec<String>,
}

impl Layout {
    /// `words`: the columns of the input, where the model's schema is open.
    pub(crate) fn plan(model: &Model, job: &Job, words: &[String]) -> Result<Self, BatchError> {
        let shown = model.table_parts(job.options, job.calibrated)?;
        let mut width = 0;
        let groups = model.parts(job.options)?.into_iter().map(|part| {
            let mut names = match part {
                Part::Embeddings => word_columns(&model.part_columns(part), words),
                _ => model.part_columns(part),
            };
            width += names.len();
            if !shown.contains(&part) {
                names.clear();
            }
            names.iter_mut().for_each(|name| name.insert_str(0, &job.prefix));
            Group { part, names }
        });
        let groups = groups.collect();
        let has_errors = job.options.strict || model.may_refuse();
        let layout = Self { groups, keep: job.keep.clone(), has_errors, width };
        layout.check_keep()?;
        Ok(layout)
    }

    /// All columns of a table with their kinds.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, PartKind)> {
        let parts = self
            .groups
            .iter()
            .flat_map(|group| group.names.iter().map(|name| (name.as_str(), group.part.kind())));
        let error = self.has_errors.then_some("error");
        let texts = self.keep.iter().map(String::as_str).chain(error);
        parts.chain(texts.map(|name| (name, PartKind::Text)))
    }

    /// Values of a row, those included that tables do not have.
    pub(crate) fn width(&self) -> usize {
        self.width + self.keep.len()
    }

    /// No table has two columns of one name.
    pub(crate) fn check_columns(&self) -> Result<(), BatchError> {
        check_unique(self.columns().map(|(name, _)| name))
    }

    fn check_keep(&self) -> Result<(), BatchError> {
        check_unique(self.keep.iter().map(String::as_str))
    }
}

/// The cell of a refused row in the column `error`.
pub(super) fn error_text(error: &RowError) -> String {
    format!("{}: {}", error.kind.as_str(), error.message)
}

/// A vector per column of the input.
fn word_columns(dims: &[String], words: &[String]) -> Vec<String> {
    words.iter().flat_map(|word| dims.iter().map(move |dim| format!("{word}_{dim}"))).collect()
}

fn check_unique<'n>(mut names: impl Iterator<Item = &'n str>) -> Result<(), BatchError> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(BatchError::OutputTwice { name: name.to_owned() }),
        None => Ok(()),
    }
}
