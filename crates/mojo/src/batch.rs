//! Rows on their way through a model.

use std::sync::Arc;

use crate::encode::{self, Cell, Conversion};
use crate::error::RowError;
use crate::model::Model;
use crate::output::Output;
use crate::scorer::Scratch;

/// What is asked of every row of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Refuse rows with unknown levels or text that is no number, instead of taking the value for
    /// missing.
    pub strict: bool,
}

/// How often a column's values were taken for missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Converted {
    /// Levels that the domain does not have.
    pub unknown_levels: u64,
    /// Text that is no number.
    pub invalid_numbers: u64,
}

/// Rows of one model: pushed, scored together, read back. Keeps its memory when cleared.
///
/// The size of a batch never changes an answer. A few hundred to a few thousand rows are best; a
/// batch holds 8 bytes per row and column.
#[derive(Debug)]
pub struct Batch {
    model: Arc<Model>,
    options: Options,
    /// Row-major, rows x columns in model order, NaN = missing.
    raw: Vec<f64>,
    offsets: Vec<f64>,
    /// Row-major, rows x genmodel's array.
    preds: Vec<f64>,
    calibrated: Vec<[f64; 2]>,
    refused: Vec<Option<Box<RowError>>>,
    converted: Vec<Converted>,
    scored: usize,
    scratch: Scratch,
}

impl Batch {
    /// An empty batch.
    pub fn new(model: Arc<Model>, options: Options) -> Self {
        let converted = vec![Converted::default(); model.schema().columns().len()];
        Self {
            model,
            options,
            raw: Vec::new(),
            offsets: Vec::new(),
            preds: Vec::new(),
            calibrated: Vec::new(),
            refused: Vec::new(),
            converted,
            scored: 0,
            scratch: Scratch::default(),
        }
    }

    /// The model that the rows go through.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Forgets rows and counts, keeps the memory.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.offsets.clear();
        self.preds.clear();
        self.calibrated.clear();
        self.refused.clear();
        self.converted.fill(Converted::default());
        self.scored = 0;
    }

    /// Adds a row: one cell per column of the schema, in its order.
    ///
    /// A row that cannot be taken keeps its place; [`Batch::output`] says what is wrong.
    ///
    /// # Panics
    /// If there are more or fewer cells than columns.
    pub fn push(&mut self, cells: &[Cell<'_>]) {
        let model = Arc::clone(&self.model);
        let columns = model.schema().columns();
        assert_eq!(cells.len(), columns.len(), "one cell per column of the schema");
        let start = self.raw.len();
        self.raw.resize(start + model.encoder.width, f64::NAN);
        let strict = self.options.strict;
        let mut offset = 0.0;
        let mut refused = None;
        for (index, (&cell, column)) in cells.iter().zip(columns).enumerate() {
            let taken = if model.schema().offset() == Some(index) {
                encode::number(&column.name, cell, strict).map(|(value, conversion)| {
                    // A text that is no number counts as no offset.
                    offset = if conversion.is_some() { 0.0 } else { value.unwrap_or(0.0) };
                    conversion
                })
            } else {
                model.encoder.encode(index, &column.name, cell, strict, &mut self.raw[start..])
            };
            match taken {
                Ok(None) => {}
                Ok(Some(Conversion::UnknownLevel)) => self.converted[index].unknown_levels += 1,
                Ok(Some(Conversion::InvalidNumber)) => self.converted[index].invalid_numbers += 1,
                Err(error) => {
                    refused = Some(Box::new(error));
                    break;
                }
            }
        }
        self.offsets.push(offset);
        self.refused.push(refused);
    }

    /// Scores all rows that have not been scored yet.
    pub fn score(&mut self) {
        let rows = self.len();
        let stride = self.model.scorer.preds_len;
        self.preds.resize(rows * stride, 0.0);
        let refused = &mut self.refused;
        let done = self.scored;
        self.model.scorer.score_rows(
            &self.raw[done * self.model.encoder.width..],
            &self.offsets[done..],
            &mut self.preds[done * stride..],
            &mut self.scratch,
            |row, error| {
                refused[done + row].get_or_insert_with(|| Box::new(error));
            },
        );
        if self.model.calibrated() {
            for preds in self.preds[done * stride..].chunks_exact(stride) {
                self.calibrated.extend(self.model.calibrate(preds));
            }
        }
        self.scored = rows;
    }

    /// The prediction of a row that was scored, or why it has none.
    ///
    /// # Panics
    /// If the row was not scored.
    pub fn output(&self, row: usize) -> Result<Output<'_>, &RowError> {
        assert!(row < self.scored, "row {row} was not scored");
        if let Some(error) = &self.refused[row] {
            return Err(error);
        }
        let preds = self.preds(row);
        Ok(match preds {
            [value] => Output::Value(*value),
            [label, p @ ..] => Output::Classes {
                index: *label as usize,
                p,
                calibrated: self.calibrated.get(row).map(<[f64; 2]>::as_slice),
            },
            [] => unreachable!("every category has an answer"),
        })
    }

    /// The row as the model sees it: `f64` in model order, NaN = missing.
    pub fn raw(&self, row: usize) -> &[f64] {
        let width = self.model.encoder.width;
        &self.raw[row * width..][..width]
    }

    /// genmodel's `score0` array: label index and probabilities, or the value alone.
    pub fn preds(&self, row: usize) -> &[f64] {
        let stride = self.model.scorer.preds_len;
        &self.preds[row * stride..][..stride]
    }

    /// Per column of the schema, how often values were taken for missing since the last clear.
    pub fn converted(&self) -> &[Converted] {
        &self.converted
    }
}
