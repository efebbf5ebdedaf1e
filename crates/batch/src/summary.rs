//! What happened to the rows of a job.

use std::collections::{BTreeMap, BTreeSet};

use stemson_mojo::{Converted, RowErrorKind, Schema};

/// Counts over all rows, and the first refusals in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read, which is rows written.
    pub rows: u64,
    /// Rows without a prediction.
    pub refused: u64,
    /// The same by kind of error.
    pub refused_by_kind: BTreeMap<&'static str, u64>,
    /// The first ten of them.
    pub refusals: Vec<Refusal>,
    /// Columns in which values became missing, in model order.
    pub converted: Vec<ColumnConversions>,
    /// Columns of the model that a source does not have.
    pub missing: Vec<MissingColumns>,
    /// Columns that the model does not know, by name; at most a thousand of them.
    pub ignored: Vec<String>,
}

/// A row without a prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Over all sources, counted from 0.
    pub row: u64,
    /// The source's name.
    pub source_name: String,
    /// In the source, on which the row starts, counted from 1.
    pub line: u64,
    /// Why.
    pub kind: RowErrorKind,
    /// Where, if one column is to blame.
    pub column: Option<String>,
    /// For people.
    pub message: String,
}

/// Values of a column that became missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnConversions {
    /// The column.
    pub column: String,
    /// Levels that its domain does not have.
    pub unknown_levels: u64,
    /// Texts that are no number.
    pub invalid_numbers: u64,
}

/// Columns of the model that a source does not have: absent in every row of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumns {
    /// The source's name.
    pub source_name: String,
    /// In model order.
    pub columns: Vec<String>,
}

pub(crate) const REFUSALS_SHOWN: usize = 10;
pub(crate) const IGNORED_MAX: usize = 1_000;

/// What one block adds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) refused_by_kind: BTreeMap<&'static str, u64>,
    /// At most [`REFUSALS_SHOWN`].
    pub(crate) refusals: Vec<Refusal>,
    /// One per column of the schema.
    pub(crate) converted: Vec<Converted>,
}

impl Tally {
    pub(crate) fn clear(&mut self) {
        self.refused_by_kind.clear();
        self.refusals.clear();
        self.converted.clear();
    }
}

/// A summary in the making.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    summary: Summary,
    converted: Vec<(u64, u64)>,
    ignored: BTreeSet<String>,
}

impl Totals {
    pub(crate) fn add(&mut self, rows: usize, tally: &mut Tally) {
        self.summary.rows += rows as u64;
        for (&kind, count) in &tally.refused_by_kind {
            *self.summary.refused_by_kind.entry(kind).or_default() += count;
            self.summary.refused += count;
        }
        let room = REFUSALS_SHOWN.saturating_sub(self.summary.refusals.len());
        self.summary.refusals.extend(tally.refusals.drain(..).take(room));
        self.converted.resize(tally.converted.len().max(self.converted.len()), (0, 0));
        for (total, block) in self.converted.iter_mut().zip(&tally.converted) {
            total.0 += block.unknown_levels;
            total.1 += block.invalid_numbers;
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.summary.rows
    }

    pub(crate) fn miss(&mut self, missing: MissingColumns) {
        self.summary.missing.push(missing);
    }

    pub(crate) fn ignore(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if self.ignored.len() < IGNORED_MAX {
                self.ignored.insert(name);
            }
        }
    }

    pub(crate) fn into_summary(self, schema: &Schema) -> Summary {
        let mut summary = self.summary;
        summary.converted = schema
            .columns()
            .iter()
            .zip(self.converted)
            .filter(|(_, counts)| *counts != (0, 0))
            .map(|(column, (unknown_levels, invalid_numbers))| ColumnConversions {
                column: column.name.clone(),
                unknown_levels,
                invalid_numbers,
            })
            .collect();
        summary.ignored = self.ignored.into_iter().collect();
        summary
    }
}
