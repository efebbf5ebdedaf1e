//! The rows of a request: encoded as they are decoded, scored in pieces, read in their order.

use std::sync::Arc;
use std::time::Duration;

use stemson_mojo::{Batch, Cell, Model, Output, RowError, RowErrorKind};
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

/// Places of the rows and answers of a request up to which the reactor decodes it itself: about
/// 100 us.
const INLINE_CELLS_MAX: usize = 1 << 14;

/// Predicted time of a piece at most.
const PIECE_TIME: Duration = Duration::from_millis(1);

/// Rows on their way through one revision, in pieces of about a millisecond.
#[derive(Debug)]
pub(crate) struct Rows {
    revision: Arc<Revision>,
    face: Arc<Face>,
    ask: Ask,
    limits: Limits,
    /// Places of all rows at most.
    cells_max: usize,
    /// All full but the last.
    pieces: Vec<Batch>,
    piece_rows_max: usize,
    limit: usize,
    len: usize,
    /// Places of vectors of words, so far.
    word_cells: usize,
    /// More than a part of the limits is needed, the one that the reactor has.
    has_outgrown: bool,
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
            has_outgrown: false,
            refusal: None,
            kept: None,
            cells_max: limits.cells_max,
            limits,
        }
    }

    /// No more rows than the reactor may make of a body: see [`Rows::has_outgrown`].
    pub(crate) fn on_reactor(revision: Arc<Revision>, limits: Limits) -> Self {
        let mut rows = Self::new(revision, limits);
        rows.cells_max = rows.cells_max.min(INLINE_CELLS_MAX);
        rows
    }

    /// Whether decoding was broken off for nothing but taking the reactor too long.
    pub(crate) fn has_outgrown(&self) -> bool {
        self.has_outgrown
    }

    /// Places of the raw rows.
    pub(crate) fn cells(&self) -> usize {
        let width = self.pieces.first().filter(|piece| !piece.is_empty());
        width.map_or(0, |piece| piece.raw(0).len()).saturating_mul(self.len)
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
        if self.word_cells > self.cells_max {
            let rows_max = self.len;
            self.has_outgrown = self.cells_max < self.limits.cells_max;
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
            let is_of_cells = self.limit < self.limits.rows_max;
            self.has_outgrown = is_of_cells && self.cells_max < self.limits.cells_max;
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
                let width = width + self.face.answer_width;
                self.limit = self.limit.min(self.cells_max / width).max(1);
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
    /// By the algorithm itself.
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
            is_refused: output.as_ref().is_err_and(|error| error.kind == RowErrorKind::Model),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::Held;

    /// How many rows of nothing it takes, and why no more.
    fn fill(mut rows: Rows) -> (usize, bool, Option<&'static str>) {
        let cells = vec![Cell::Absent; rows.model().schema().columns().len()];
        while rows.push(&cells) {}
        let refusal = rows.take_refusal();
        (rows.len(), rows.has_outgrown(), refusal.map(|refusal| refusal.status().1))
    }

    #[test]
    fn the_reactor_makes_few_rows_of_a_body() {
        let limits = Limits { rows_max: 50_000, ..Limits::default() };
        let held = Held::new(limits);
        let revision = held.context.deployment("churn").expect("it is there").current();
        let refused = Some("too_many_rows");
        assert_eq!(fill(Rows::new(Arc::clone(&revision), limits)), (50_000, false, refused));
        let (n, has_outgrown, why) = fill(Rows::on_reactor(Arc::clone(&revision), limits));
        let width = revision.model().raw_len();
        assert!(n > 256 && n * width <= INLINE_CELLS_MAX, "{n} rows of {width}");
        assert_eq!((has_outgrown, why), (true, refused));
        // A limit of the caller's is one on the reactor too.
        let few = Limits { rows_max: 10, ..limits };
        assert_eq!(fill(Rows::on_reactor(Arc::clone(&revision), few)), (10, false, refused));
        let narrow = Limits { cells_max: 100, ..limits };
        let (n, has_outgrown, _) = fill(Rows::on_reactor(revision, narrow));
        assert_eq!(
            (n, has_outgrown),
            (100 / (width + 2 + 1), false),
            "label and two probabilities"
        );
    }
}
