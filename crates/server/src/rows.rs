//! The rows of a request: encoded as they are decoded, scored in pieces, read in their order.

use std::sync::Arc;
use std::time::Duration;

use stemson_mojo::{Batch, Cell, Model, Output, RowError};
use stemson_serving::{Answered, Cost, Revision};

use crate::ask::Ask;
use crate::config::Limits;
use crate::error::Refusal;
use crate::face::Face;
use crate::prediction_log::Kept;

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
    face: Arc<Face>,
    ask: Ask,
    limits: Limits,
    /// All full but the last.
    pieces: Vec<Batch>,
    piece_rows_max: usize,
    limit: usize,
    len: usize,
    /// Places of vectors of words, so far.
    word_cells: usize,
    /// Why decoding was broken off: decoders can only say that it was.
    refusal: Option<Refusal>,
    /// The rows as they are asked, for requests that are logged.
    kept: Option<Kept>,
}

impl Rows {
    pub(crate) fn new(revision: Arc<Revision>, limits: Limits) -> Self {
        Self {
            piece_rows_max: piece_rows_max(revision.row_cost()),
            face: revision.prepared(Face::new),
            revision,
            ask: Ask::default(),
            pieces: Vec::new(),
            limit: limits.rows_max,
            len: 0,
            word_cells: 0,
            refusal: None,
            kept: None,
            limits,
        }
    }

    /// Forgets all rows, and asks something else of those that come.
    ///
    /// # Errors
    /// The model does not offer it.
    pub(crate) fn restart(&mut self, ask: Ask) -> Result<(), Refusal> {
        ask.check(self.model())?;
        self.give_back();
        self.ask = ask;
        self.len = 0;
        if let Some(kept) = &mut self.kept {
            kept.rows.clear();
        }
        self.word_cells = 0;
        self.limit = self.limits.rows_max;
        self.piece_rows_max = piece_rows_max(self.cost());
        Ok(())
    }

    pub(crate) fn ask(&self) -> Ask {
        self.ask
    }

    /// What is prepared of the revision.
    pub(crate) fn face(&self) -> &Arc<Face> {
        &self.face
    }

    /// What a row costs as it is asked for.
    pub(crate) fn cost(&self) -> &Cost {
        self.revision.cost_of(self.ask.options)
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
        if let Some(kept) = &mut self.kept {
            let columns = self.revision.model().schema().columns().iter().zip(cells);
            kept.push(columns.map(|(column, cell)| (&*column.name, *cell, &*column.levels)));
        }
        self.push_with(|piece| piece.push(cells))
    }

    /// Adds a row of words to a model whose schema is open; else as [`Rows::push`].
    #[must_use]
    pub(crate) fn push_words(&mut self, cells: &[(&str, Cell<'_>)]) -> bool {
        self.word_cells = self.word_cells.saturating_add(cells.len() * self.face.word_dims);
        if self.word_cells > self.limits.cells_max {
            let rows_max = self.len;
            self.refusal = Some(Refusal::TooManyRows { rows_max, limit: "cells" });
            return false;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(cells.iter().map(|(name, cell)| (*name, *cell, &[] as &[String])));
        }
        self.push_with(|piece| piece.push_words(cells))
    }

    fn push_with(&mut self, push: impl FnOnce(&mut Batch)) -> bool {
        if self.len >= self.limit {
            self.refusal = Some(self.too_many());
            return false;
        }
        let has_room = self.pieces.last().is_some_and(|piece| piece.len() < self.piece_rows_max);
        if !has_room {
            let mut piece = self.revision.batch(self.ask.options);
            // A spare one keeps the number of its last request.
            piece.set_first_row(self.ask.row_index.wrapping_add(self.len as u64));
            self.pieces.push(piece);
        }
        let is_first = self.len == 0;
        if let Some(piece) = self.pieces.last_mut() {
            push(piece);
            if is_first {
                // Only now is it known how wide a row becomes.
                let explained = self.face.explained_width(self.ask.explanations());
                let width = (piece.raw(0).len() + explained).max(1);
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

    /// Decoding is broken off for this.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// Writes down the rows that come.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept = Some(kept);
    }

    /// The rows that were written down.
    pub(crate) fn take_kept(&mut self) -> Vec<Vec<u8>> {
        self.kept.take().map(|kept| kept.rows).unwrap_or_default()
    }

    /// Why the last [`Rows::push`] said false.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// The pieces, to be scored by whoever can.
    pub(crate) fn into_pieces(mut self) -> Vec<Batch> {
        std::mem::take(&mut self.pieces)
    }

    /// Rows that a task takes at most.
    pub(crate) fn piece_rows_max(&self) -> usize {
        self.piece_rows_max
    }

    /// Rows of the longest piece.
    pub(crate) fn piece_len(&self) -> usize {
        self.pieces.first().map_or(0, Batch::len)
    }

    fn give_back(&mut self) {
        for piece in self.pieces.drain(..) {
            self.revision.give_back(piece, self.ask.options);
        }
    }
}

fn piece_rows_max(cost: &Cost) -> usize {
    cost.units_within(PIECE_TIME).min(PIECE_ROWS_MAX)
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What became of the first row of a request.
#[derive(Debug, Default)]
pub(crate) struct First {
    pub(crate) is_refused: bool,
    /// None for answers that are neither a label nor a number.
    pub(crate) answered: Option<Answered>,
    /// As the model saw it.
    pub(crate) raw: Option<Box<[f64]>>,
    pub(crate) offset: f64,
}

impl First {
    /// The part of an answer that is compared.
    pub(crate) fn of(output: &Output<'_>) -> Option<Answered> {
        match output {
            Output::Classes { index, .. } => Some(Answered::Label(*index)),
            Output::Value(value) => Some(Answered::Value(*value)),
            Output::Cluster(cluster) => {
                Some(Answered::Label(usize::try_from(*cluster).unwrap_or(usize::MAX)))
            }
            _ => None,
        }
    }
}

/// Rows that were scored.
#[derive(Debug)]
pub(crate) struct Scored {
    revision: Arc<Revision>,
    face: Arc<Face>,
    ask: Ask,
    pieces: Vec<Batch>,
}

impl Scored {
    /// `pieces`: all of them, in their order.
    pub(crate) fn new(revision: Arc<Revision>, ask: Ask, pieces: Vec<Batch>) -> Self {
        Self { face: revision.prepared(Face::new), revision, ask, pieces }
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    pub(crate) fn model(&self) -> &Model {
        self.revision.model()
    }

    pub(crate) fn ask(&self) -> Ask {
        self.ask
    }

    /// What is prepared of the revision.
    pub(crate) fn face(&self) -> &Face {
        &self.face
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Batch::len).sum()
    }

    /// The rows in their order: the piece that each stands in, and its place there.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Batch, usize)> {
        self.pieces.iter().flat_map(|piece| (0..piece.len()).map(move |row| (piece, row)))
    }

    /// The first row, for those who compare revisions; it also stays for a while to warm the next
    /// one with.
    pub(crate) fn first(&self, wants_raw: bool) -> First {
        let Some(piece) = self.pieces.first().filter(|piece| !piece.is_empty()) else {
            return First::default();
        };
        let raw = piece.raw(0);
        self.revision.recent().offer(raw);
        let output = piece.output(0);
        First {
            is_refused: output.is_err(),
            answered: output.ok().and_then(|output| First::of(&output)),
            raw: wants_raw.then(|| raw.into()),
            offset: piece.offset(0),
        }
    }

    /// The predictions in the order of the rows.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Result<Output<'_>, &RowError>> {
        self.rows().map(|(piece, row)| piece.output(row))
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
            self.revision.give_back(piece, self.ask.options);
        }
    }
}
