//! Answers as bytes, for those who keep them: by which bits a row is found again, what is kept of
//! its answer, and how it comes back into a batch.
//!
//! Layout, little-endian, without gaps; the model and the options of the batch say how many there are
//! of each: genmodel's array (`f64`), calibrated probabilities (`f64`), distances or the compared row
//! (`f64`), staged answers (`f64`), contributions (`f32`), leaf ids (`i32`), leaf paths (`u32` length,
//! its largest for none, and a byte per letter).
//!
//! Bytes of another model or of other options may be taken for an answer if they happen to have its
//! length: whoever keeps answers keeps them by [`crate::Model::digest`] and [`Options`](crate::Options).

use std::iter::repeat_n;

use crate::batch::Batch;
use crate::error::RowError;
use crate::model::Model;

/// The length that stands for no path.
const NO_PATH: u32 = u32::MAX;

impl Model {
    /// Whether equal rows have equal answers, so that an answer may be kept and given again.
    ///
    /// Not so for GLRM, which draws by the number of the row. `Word2Vec` is left out as well: its
    /// answers are found while a row is read, and there is nothing to save.
    pub fn has_repeatable_answers(&self) -> bool {
        self.scorer.algorithm.depends_on_row_alone()
    }
}

impl Batch {
    /// Hands the bits that decide a row's answer to `sink`, in pieces: the raw row in model order
    /// as little-endian `f64`, NaN as one pattern, -0.0 kept, and then the offset.
    ///
    /// False, and nothing told, where they do not decide it: the row is refused, or
    /// [`Model::has_repeatable_answers`] says no.
    ///
    /// The raw row comes after the encoder, so that all spellings of a value meet in one row; what
    /// a GAM reads beside the columns, its splines, is part of it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_bits(&self, row: usize, mut sink: impl FnMut(&[u8])) -> bool {
        if !self.model.has_repeatable_answers() || self.refused[row].is_some() {
            return false;
        }
        let mut piece = [0; 512];
        for numbers in self.raw(row).chunks(piece.len() / 8) {
            for (bytes, &x) in piece.chunks_exact_mut(8).zip(numbers) {
                bytes.copy_from_slice(&one_nan(x).to_le_bytes());
            }
            sink(&piece[..numbers.len() * 8]);
        }
        sink(&one_nan(self.offsets[row]).to_le_bytes());
        true
    }

    /// Adds a row of another batch of the same model, as it was encoded there.
    ///
    /// # Panics
    /// If the rows of the model are words, or there is no such row.
    pub fn push_row(&mut self, from: &Self, row: usize) {
        self.push_raw(from.raw(row));
        let last = self.len() - 1;
        self.offsets[last] = from.offsets[row];
        self.refused[last].clone_from(&from.refused[row]);
    }

    /// Number of the rows that were scored; the others come after them.
    pub fn scored(&self) -> usize {
        self.scored
    }

    /// Adds the answer of a scored row to `out`, with all that the options ask for. False, and
    /// nothing added, where the row has none.
    ///
    /// # Panics
    /// If the row was not scored.
    pub fn write_answer(&self, row: usize, out: &mut Vec<u8>) -> bool {
        assert!(row < self.scored, "row {row} was not scored");
        if !self.is_answered(row) {
            return false;
        }
        let calibrated = self.calibrated.get(row).map(<[f64; 2]>::as_slice);
        for doubles in [
            self.preds(row),
            calibrated.unwrap_or_default(),
            self.derived(row).unwrap_or_default(),
            self.staged(row).unwrap_or_default(),
        ] {
            doubles.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        }
        let contributions = self.contributions(row).unwrap_or_default();
        contributions.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        let ids = self.leaf_ids(row).unwrap_or_default();
        ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
        for path in self.leaf_paths(row).into_iter().flatten() {
            // A path is not longer than the model's file.
            let len = path.map_or(NO_PATH, |path| path.len() as u32);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(path.unwrap_or_default().as_bytes());
        }
        true
    }

    /// Whether these bytes have the form of an answer to a row of this batch.
    pub fn fits_answer(&self, bytes: &[u8]) -> bool {
        self.parts(bytes).is_some()
    }

    /// Gives the next of the rows that were not scored an answer that [`Batch::write_answer`] wrote,
    /// instead of scoring it. False, and nothing done, if the bytes do not have its form, or the row
    /// is refused.
    ///
    /// # Panics
    /// If all rows were scored.
    pub fn put_answer(&mut self, bytes: &[u8]) -> bool {
        let row = self.scored;
        if self.refused[row].is_some() {
            return false;
        }
        let Some(parts) = self.parts(bytes) else { return false };
        let Parts { preds, calibrated, derived, stages, contributions, ids, paths } = parts;
        self.preds.extend(doubles(preds));
        if let [negative, positive] = doubles(calibrated).collect::<Vec<_>>()[..] {
            self.calibrated.push([negative, positive]);
        }
        self.derived.extend(doubles(derived));
        let (contributions, ids) = (words(contributions), words(ids));
        self.explained.push(
            contributions.map(f32::from_le_bytes),
            doubles(stages),
            ids.map(i32::from_le_bytes),
            paths.into_iter(),
        );
        self.scored += 1;
        true
    }

    /// Leaves the next of the rows that were not scored without an answer, since it is refused
    /// already, or for this reason. A row without either is scored.
    ///
    /// # Panics
    /// If all rows were scored.
    pub fn put_refusal(&mut self, error: Option<RowError>) {
        let refused = &mut self.refused[self.scored];
        if refused.is_none() {
            *refused = error.map(Box::new);
        }
        if refused.is_none() {
            return self.score_next(1);
        }
        let end = self.scored + 1;
        self.preds.resize(end * self.model.scorer.preds_len, f64::NAN);
        self.derived.resize(end * self.model.scorer.derived_len(self.options), f64::NAN);
        if self.model.calibrated() {
            self.calibrated.push([f64::NAN; 2]);
        }
        let (contributions, stages, [paths, ids]) = self.explained.lens();
        self.explained.push(
            repeat_n(f32::NAN, contributions),
            repeat_n(f64::NAN, stages),
            repeat_n(-1, ids),
            repeat_n(None, paths),
        );
        self.scored = end;
    }

    fn parts<'a>(&self, bytes: &'a [u8]) -> Option<Parts<'a>> {
        let (contributions, stages, [paths, ids]) = self.explained.lens();
        let mut rest = bytes;
        let mut take = |n: usize, size: usize| {
            let (taken, after) = rest.split_at_checked(n.checked_mul(size)?)?;
            rest = after;
            Some(taken)
        };
        let preds = take(self.model.scorer.preds_len, 8)?;
        let calibrated = take(if self.model.calibrated() { 2 } else { 0 }, 8)?;
        let derived = take(self.model.scorer.derived_len(self.options), 8)?;
        let stages = take(stages, 8)?;
        let contributions = take(contributions, 4)?;
        let ids = take(ids, 4)?;
        let mut found = Vec::new();
        for _ in 0..paths {
            let len = u32::from_le_bytes(take(1, 4)?.try_into().ok()?);
            found.push(match len {
                NO_PATH => None,
                len => Some(std::str::from_utf8(take(len as usize, 1)?).ok()?),
            });
        }
        let all = Parts { preds, calibrated, derived, stages, contributions, ids, paths: found };
        rest.is_empty().then_some(all)
    }
}

/// An answer, taken apart.
struct Parts<'a> {
    preds: &'a [u8],
    calibrated: &'a [u8],
    derived: &'a [u8],
    stages: &'a [u8],
    contributions: &'a [u8],
    ids: &'a [u8],
    paths: Vec<Option<&'a str>>,
}

fn one_nan(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x }
}

fn doubles(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks().0.iter().copied()
}
