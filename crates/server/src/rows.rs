//! The rows of a request: encoded as they are decoded, scored in pieces, read in their order.

use std::sync::Arc;
use std::time::Duration;

use stemson_mojo::{Batch, Cell, Model, Options, Output, RowError};
use stemson_serving::Revision;

use crate::config::Limits;
use crate::error::Refusal;

/// Rows of a piece at most.
const PIECE_ROWS_MAX: usize = 1_024;

/// Places of the raw rows of a piece at most: 1 MiB.
const PIECE_CELLS_MAX: usize = 1 << 17;

/// Predicted time of a piece at most.
const PIECE_TIME: Duration = Duration::from_millis(1);

/// Rows on their way through one revision, in pieces of about a millisecond.
#[derive(Debug)]
pub(crate) struct Rows {
    revision: Arc<Revision>,
    options: Options,
    limits: Limits,
    /// All full but the last.
    pieces: Vec<Batch>,
    piece_rows_max: usize,
    limit: usize,
    len: usize,
    /// Why decoding was broken off: decoders can only say that it was.
    refusal: Option<Refusal>,
}

impl Rows {
    pub(crate) fn new(revision: Arc<Revision>, limits: Limits) -> Self {
        Self {
            piece_rows_max: revision.row_cost().units_within(PIECE_TIME).min(PIECE_ROWS_MAX),
            revision,
            options: Options::default(),
            pieces: Vec::new(),
            limit: limits.rows_max,
            len: 0,
            refusal: None,
            limits,
        }
    }

    /// Forgets all rows, and asks something else of those that come.
    pub(crate) fn restart(&mut self, options: Options) {
        self.give_back();
        self.options = options;
        self.len = 0;
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn model(&self) -> &Model {
        self.revision.model()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a row: one cell per column of the schema. False when a limit is passed: see
    /// [`Rows::take_refusal`].
    #[must_use]
    pub(crate) fn push(&mut self, cells: &[Cell<'_>]) -> bool {
        if self.len >= self.limit {
            self.refusal = Some(self.too_many());
            return false;
        }
        let has_room = self.pieces.last().is_some_and(|piece| piece.len() < self.piece_rows_max);
        if !has_room {
            self.pieces.push(self.revision.batch(self.options));
        }
        let is_first = self.len == 0;
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(cells);
            if is_first {
                // Only now is it known how wide a row becomes.
                let width = piece.raw(0).len().max(1);
                self.piece_rows_max = self.piece_rows_max.min(PIECE_CELLS_MAX / width).max(1);
                self.limit = self.limit.min(self.limits.cells_max / width).max(1);
            }
        }
        self.len += 1;
        true
    }

    fn too_many(&self) -> Refusal {
        let limit = if self.limit < self.limits.rows_max { "cells" } else { "rows" };
        Refusal::TooManyRows { rows_max: self.limit, limit }
    }

    /// Why the last [`Rows::push`] said false.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// The pieces, to be scored by whoever can.
    pub(crate) fn into_pieces(mut self) -> Vec<Batch> {
        std::mem::take(&mut self.pieces)
    }

    /// Rows of the longest piece.
    pub(crate) fn piece_len(&self) -> usize {
        self.pieces.first().map_or(0, Batch::len)
    }

    fn give_back(&mut self) {
        for piece in self.pieces.drain(..) {
            self.revision.give_back(piece, self.options);
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Rows that were scored.
#[derive(Debug)]
pub(crate) struct Scored {
    revision: Arc<Revision>,
    options: Options,
    pieces: Vec<Batch>,
}

impl Scored {
    /// `pieces`: all of them, in their order.
    pub(crate) fn new(revision: Arc<Revision>, options: Options, pieces: Vec<Batch>) -> Self {
        Self { revision, options, pieces }
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    pub(crate) fn model(&self) -> &Model {
        self.revision.model()
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.options.strict
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Batch::len).sum()
    }

    /// The predictions in the order of the rows.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Result<Output<'_>, &RowError>> {
        self.pieces.iter().flat_map(|piece| (0..piece.len()).map(|row| piece.output(row)))
    }

    /// The refusal of the first row that has no prediction, for protocols without a place for it.
    pub(crate) fn first_refused(&self) -> Option<Refusal> {
        self.outputs().enumerate().find_map(|(row, output)| {
            let RowError { kind, column, message } = output.err()?;
            Some(Refusal::Row {
                row,
                kind: *kind,
                column: column.clone(),
                message: message.clone(),
                is_strict: false,
            })
        })
    }
}

impl Drop for Scored {
    fn drop(&mut self) {
        for piece in self.pieces.drain(..) {
            self.revision.give_back(piece, self.options);
        }
    }
}
