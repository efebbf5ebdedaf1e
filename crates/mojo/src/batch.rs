//! Rows on their way through a model.

use std::ops::Range;
use std::sync::Arc;

use crate::encode::Cell;
use crate::error::RowError;
use crate::explain::{Explainer, Explanations, LeafPaths};
use crate::head::Category;
use crate::model::Model;
use crate::output::Output;
use crate::scorer::Scratch;
use crate::word2vec::Embeddings;

/// How to name the leaf that a row reaches in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafAssignment {
    /// By the way from the root, in [`Batch::leaf_paths`].
    Paths,
    /// By H2O's number of the node, in [`Batch::leaf_ids`].
    Ids,
}

/// What is asked of every row of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each asks for one thing, in any combination")]
pub struct Options {
    /// Refuse rows with unknown levels or text that is no number, instead of taking the value for
    /// missing.
    pub strict: bool,
    /// K-means: the distance to every cluster, in [`Batch::distances`].
    pub distances: bool,
    /// GLRM: the row that the dimensions stand for, in [`Output::Dimensions`].
    pub reconstruct: bool,
    /// The contribution of each column, in [`Batch::contributions`], where
    /// [`Model::offers`] names them.
    pub contributions: bool,
    /// The leaf in each tree, where [`Model::offers`] names them.
    pub leaf_assignment: Option<LeafAssignment>,
    /// The answer after each group of trees, in [`Batch::staged`], where [`Model::offers`] names
    /// them.
    pub staged: bool,
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
    pub(crate) model: Arc<Model>,
    pub(crate) options: Options,
    /// Row-major, rows x columns in model order, NaN = missing.
    pub(crate) raw: Vec<f64>,
    pub(crate) offsets: Vec<f64>,
    /// Row-major, rows x genmodel's array.
    pub(crate) preds: Vec<f64>,
    pub(crate) calibrated: Vec<[f64; 2]>,
    /// Row-major: distances or reconstruction, where asked for.
    pub(crate) derived: Vec<f64>,
    pub(crate) embeddings: Embeddings,
    pub(crate) explained: Explanations,
    pub(crate) refused: Vec<Option<Box<RowError>>>,
    pub(crate) converted: Vec<Converted>,
    pub(crate) scored: usize,
    first_row: u64,
    /// Large, and apart: batches are handed on often.
    scratch: Box<Scratch>,
}

impl Batch {
    /// An empty batch.
    pub fn new(model: Arc<Model>, options: Options) -> Self {
        let converted = vec![Converted::default(); model.schema().columns().len()];
        let explained = Explanations::new(model.explainer.plan(&model.scorer, options));
        Self {
            model,
            options,
            raw: Vec::new(),
            offsets: Vec::new(),
            preds: Vec::new(),
            calibrated: Vec::new(),
            derived: Vec::new(),
            embeddings: Embeddings::default(),
            explained,
            refused: Vec::new(),
            converted,
            scored: 0,
            first_row: 0,
            scratch: Box::default(),
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
        self.derived.clear();
        self.embeddings.clear();
        self.explained.clear();
        self.refused.clear();
        self.converted.fill(Converted::default());
        self.scored = 0;
    }

    /// Says the number of the batch's first row among all rows of a caller, 0 unless said.
    ///
    /// GLRM starts each row from random numbers that depend on the row's number. With the numbers of
    /// the rows of a file it answers as genmodel does for this file, whatever the size of a batch
    /// and the number of threads. To be said before [`Batch::score`]; [`Batch::clear`] leaves it.
    pub fn set_first_row(&mut self, number: u64) {
        self.first_row = number;
    }

    /// Adds raw rows, as genmodel's `score0` takes them, without offset.
    ///
    /// `rows`: row-major, `n x` [`Model::raw_len`], in model order: the number or the index of the
    /// level, NaN = missing. Nothing is checked or converted.
    ///
    /// # Panics
    /// If `rows` ends in the middle of a row, or the schema [is open](crate::Schema::is_open): its
    /// rows are words.
    pub fn push_raw(&mut self, rows: &[f64]) {
        let width = self.model.encoder.width;
        assert!(!self.model.schema().is_open(), "the rows of this model are words");
        assert_eq!(rows.len() % width, 0, "whole rows of {width} numbers");
        self.raw.extend_from_slice(rows);
        let len = self.raw.len() / width;
        self.offsets.resize(len, 0.0);
        self.refused.resize(len, None);
    }

    /// Adds a row to a model whose schema [is open](crate::Schema::is_open): the caller's columns
    /// by name, in any order.
    ///
    /// # Panics
    /// If the schema is not open.
    pub fn push_words(&mut self, cells: &[(&str, Cell<'_>)]) {
        let model = Arc::clone(&self.model);
        let words = model.scorer.words().expect("the schema is open");
        self.embeddings.push_named(words, cells);
        self.push_unread();
    }

    /// Names of the cells of a row of words, in the order of its vectors; empty for rows that came
    /// without names.
    pub fn word_columns(&self, row: usize) -> &[String] {
        self.embeddings.names(row)
    }

    /// A row of words has no numbers.
    pub(crate) fn push_unread(&mut self) {
        self.raw.resize(self.raw.len() + self.model.encoder.width, f64::NAN);
        self.offsets.push(0.0);
        self.refused.push(None);
    }

    /// Scores all rows that have not been scored yet.
    pub fn score(&mut self) {
        self.score_next(usize::MAX);
    }

    /// Scores the next `n` of the rows that have not been scored yet, or as many as there are.
    pub fn score_next(&mut self, n: usize) {
        let done = self.scored;
        let rows = self.len().min(done.saturating_add(n));
        let (width, stride) = (self.model.encoder.width, self.model.scorer.preds_len);
        self.preds.resize(rows * stride, 0.0);
        let refused = &mut self.refused;
        self.scratch.row = self.first_row.wrapping_add(done as u64);
        self.model.scorer.score_rows(
            &self.raw[done * width..rows * width],
            &self.offsets[done..rows],
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
        self.derive(done..rows);
        self.explain(done..rows);
        self.scored = rows;
    }

    /// Fills what is asked beside the answers of these rows.
    fn derive(&mut self, of: Range<usize>) {
        let len = self.model.scorer.derived_len(self.options);
        if len == 0 {
            return;
        }
        let (width, stride) = (self.model.encoder.width, self.model.scorer.preds_len);
        self.derived.resize(of.end * len, f64::NAN);
        let rows = self.raw[of.start * width..of.end * width].chunks_exact(width);
        let rows = rows.zip(self.preds[of.start * stride..].chunks_exact(stride));
        let derived = self.derived[of.start * len..].chunks_exact_mut(len);
        for ((raw, preds), derived) in rows.zip(derived) {
            self.model.scorer.derive(raw, preds, derived, &mut self.scratch);
        }
    }

    /// Explains what is asked, of these rows.
    fn explain(&mut self, of: Range<usize>) {
        if self.explained.is_idle() {
            return;
        }
        let model = Arc::clone(&self.model);
        let width = model.encoder.width;
        let raw = &self.raw[of.start * width..of.end * width];
        let scratch = &mut self.scratch.xgboost;
        model.explainer.contribute(
            &model.scorer,
            raw,
            &self.offsets[of.clone()],
            &mut self.explained,
            scratch,
        );
        let rows = raw.chunks_exact(width);
        for (raw, refused) in rows.zip(&self.refused[of]) {
            let raw = refused.is_none().then_some(raw);
            Explainer::explain(&model.scorer, raw, &mut self.explained, scratch);
        }
    }

    /// Contribution of each column to the margin, the bias last, in the order of
    /// [`Model::contribution_names`]. `None` if [`Options::contributions`] is not set, the model
    /// has none, or the row has no answer.
    ///
    /// Source: `ContributionsPredictor.calculateContributions`.
    pub fn contributions(&self, row: usize) -> Option<&[f32]> {
        self.explained.contributions(row).filter(|_| self.is_answered(row))
    }

    /// The leaf of each tree by its path, in the order of [`Model::leaf_names`]. `None` if
    /// [`Options::leaf_assignment`] does not ask for it, the model has none, or the row has no
    /// answer.
    pub fn leaf_paths(&self, row: usize) -> Option<LeafPaths<'_>> {
        self.explained.leaf_paths(row).filter(|_| self.is_answered(row))
    }

    /// The leaf of each tree by its number, in the order of [`Model::leaf_names`]; -1 where the
    /// path is none. `None` if [`Options::leaf_assignment`] does not ask for it, the model has
    /// none, or the row has no answer.
    pub fn leaf_ids(&self, row: usize) -> Option<&[i32]> {
        self.explained.leaf_ids(row).filter(|_| self.is_answered(row))
    }

    /// The answer after each group of trees, group by group: for each class that has a tree there
    /// its probability, of two classes with one tree the first one's; else the value. Without the
    /// row's offset; divisors are those of the whole forest. `None` if [`Options::staged`] is not
    /// set, the model has none, or the row has no answer.
    ///
    /// Source: `SharedTreeMojoModel.scoreStagedPredictions`.
    pub fn staged(&self, row: usize) -> Option<&[f64]> {
        self.explained.stages(row).filter(|_| self.is_answered(row))
    }

    /// Whether the row has not been refused.
    pub(crate) fn is_answered(&self, row: usize) -> bool {
        self.refused.get(row).is_some_and(Option::is_none)
    }

    pub(crate) fn derived(&self, row: usize) -> Option<&[f64]> {
        match self.model.scorer.derived_len(self.options) {
            0 => None,
            len => self.derived.get(row * len..(row + 1) * len),
        }
    }

    /// K-means: squared distance to each cluster, of standardised values where the model
    /// standardises. `None` if [`Options::distances`] is not set, or the row was not scored.
    pub fn distances(&self, row: usize) -> Option<&[f64]> {
        let is_answered = self.refused.get(row).is_some_and(Option::is_none);
        let is_clustering = self.model.category() == Category::Clustering;
        self.derived(row).filter(|_| is_answered && is_clustering)
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
        match self.model.category() {
            Category::Clustering => return Ok(Output::Cluster(preds[0] as i32)),
            Category::DimReduction => {
                let reconstructed = self.derived(row);
                return Ok(Output::Dimensions { dimensions: preds, reconstructed });
            }
            Category::TargetEncoder => return Ok(Output::Transformations(preds)),
            Category::AutoEncoder => {
                let compared = self.derived(row).unwrap_or_default();
                let (original, mse) = compared.split_at(preds.len());
                return Ok(Output::Reconstruction { original, reconstructed: preds, mse: mse[0] });
            }
            Category::WordEmbedding => {
                let (vectors, average) = self.embeddings.row(row);
                return Ok(Output::Embeddings { vectors, average });
            }
            _ => {}
        }
        Ok(match preds {
            [value, cluster, reason_codes @ ..] if self.model.category() == Category::KLime => {
                Output::KLime { value: *value, cluster: *cluster as usize, reason_codes }
            }
            p if self.model.category() == Category::BinomialUplift => Output::Uplift(p),
            [normalized, score] if self.model.category() == Category::AnomalyDetection => {
                Output::Anomaly { is_anomaly: None, score: *score, normalized: *normalized }
            }
            [flag, normalized, score] if self.model.category() == Category::AnomalyDetection => {
                let is_anomaly = Some(*flag == 1.0);
                Output::Anomaly { is_anomaly, score: *score, normalized: *normalized }
            }
            [value] => Output::Value(*value),
            [label, p @ ..] => Output::Classes {
                index: *label as usize,
                p,
                calibrated: self.calibrated.get(row).map(<[f64; 2]>::as_slice),
            },
            [] => unreachable!("every category has an answer"),
        })
    }

    /// Rows that have no prediction, and why.
    pub fn refusals(&self) -> impl Iterator<Item = (usize, &RowError)> {
        let rows = self.refused.iter().take(self.scored).enumerate();
        rows.filter_map(|(row, refused)| Some((row, &**refused.as_ref()?)))
    }

    /// The row as the model sees it: `f64` in model order, NaN = missing.
    pub fn raw(&self, row: usize) -> &[f64] {
        let width = self.model.encoder.width;
        &self.raw[row * width..][..width]
    }

    /// What the model's offset column had in a row, 0 without one.
    pub fn offset(&self, row: usize) -> f64 {
        self.offsets[row]
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
