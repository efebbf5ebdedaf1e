//! The parts of an answer: one description from which every front renders.
//!
//! A part is a key of a JSON object, columns of a table, or a tensor on the wire. [`Model::parts`]
//! says which parts the answers have, [`Model::part_columns`] how their values are called, and
//! [`Batch::part`] what they are for a row.
//!
//! | category | parts of the answer, in the order of H2O's columns |
//! | --- | --- |
//! | Binomial, Multinomial, Ordinal | `label`, `index`, `p`, and `calibrated` where there is one |
//! | Regression, `CoxPH` | `value` |
//! | `KLime` | `value`, `cluster`, `reason_codes` |
//! | Clustering | `cluster` |
//! | `AnomalyDetection` | `is_anomaly` where the model decides, `normalized`, `score` |
//! | `BinomialUplift` | `uplift` |
//! | `DimReduction` | `dimensions`, and `reconstructed` where a GLRM is asked and can |
//! | `AutoEncoder` | `original`, `reconstructed`, `mse` |
//! | `TargetEncoder` | `transformations` |
//! | `WordEmbedding` | `embeddings`, `average` |
//!
//! Beside the answer stand explanations, where asked for: `contributions`, `leaf_paths` or
//! `leaf_ids`, `staged`, `distances`.

use std::ops::Range;

use crate::batch::{Batch, LeafAssignment, Options};
use crate::explain::{LeafPaths, stage_names, tree_names};
use crate::head::Category;
use crate::model::Model;
use crate::output::Output;
use crate::schema::Role;

/// One part of an answer, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The predicted level.
    Label,
    /// Its place among the labels.
    Index,
    /// A probability per label.
    Probabilities,
    /// The same after calibration.
    Calibrated,
    /// Of a regression; the logarithm of a hazard ratio.
    Value,
    /// The cluster.
    Cluster,
    /// k-LIME: the term of each column.
    ReasonCodes,
    /// Whether the row is an anomaly.
    IsAnomaly,
    /// The anomaly score on its scale.
    Normalized,
    /// Mean length of the paths.
    Score,
    /// The uplift, the probability with treatment and without.
    Uplift,
    /// A coordinate per component or archetype.
    Dimensions,
    /// GLRM: the row that the dimensions stand for.
    ReconstructedRow,
    /// Autoencoder: the inputs of the network.
    Original,
    /// Autoencoder: its outputs.
    Reconstructed,
    /// Autoencoder: mean squared difference of the two.
    Mse,
    /// Target encoder: the encodings.
    Transformations,
    /// `Word2Vec`: a vector per cell, behind each other.
    Embeddings,
    /// `Word2Vec`: the mean of the vectors.
    Average,
    /// Contribution of each column, the bias last.
    Contributions,
    /// The leaf of each tree by its path.
    LeafPaths,
    /// The leaf of each tree by its number.
    LeafIds,
    /// The answer after each group of trees.
    Staged,
    /// K-means: the distance to each cluster.
    Distances,
}

/// What the values of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// UTF-8, or nothing (a leaf path that is too long).
    Text,
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// 32-bit integers.
    Integer,
    /// True or false; 1 or 0 in tables, where H2O has numbers.
    Flag,
}

/// The values of one part for one row.
#[derive(Debug, Clone)]
pub enum Values<'a> {
    /// [`PartKind::Text`], one.
    Text(&'a str),
    /// [`PartKind::Text`], one per tree.
    Paths(LeafPaths<'a>),
    /// [`PartKind::F64`], one.
    Number(f64),
    /// [`PartKind::F64`].
    Numbers(&'a [f64]),
    /// [`PartKind::F32`].
    Floats(&'a [f32]),
    /// [`PartKind::Integer`], one.
    Integer(i32),
    /// [`PartKind::Integer`].
    Integers(&'a [i32]),
    /// [`PartKind::Flag`], one.
    Flag(bool),
}

/// Something that is asked of a model, and that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model offers no {what}: {reason}")]
pub struct NotOffered {
    /// What was asked: `contributions`, `leaf paths`, ...
    pub what: &'static str,
    /// Why there is none.
    pub reason: String,
}

impl Part {
    /// The key in JSON, and of the parts that are named so the tensor.
    pub fn key(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Index => "index",
            Self::Probabilities => "p",
            Self::Calibrated => "calibrated",
            Self::Value => "value",
            Self::Cluster => "cluster",
            Self::ReasonCodes => "reason_codes",
            Self::IsAnomaly => "is_anomaly",
            Self::Normalized => "normalized",
            Self::Score => "score",
            Self::Uplift => "uplift",
            Self::Dimensions => "dimensions",
            Self::ReconstructedRow | Self::Reconstructed => "reconstructed",
            Self::Original => "original",
            Self::Mse => "mse",
            Self::Transformations => "transformations",
            Self::Embeddings => "embeddings",
            Self::Average => "average",
            Self::Contributions => "contributions",
            Self::LeafPaths => "leaf_paths",
            Self::LeafIds => "leaf_ids",
            Self::Staged => "staged",
            Self::Distances => "distances",
        }
    }

    /// What its values are.
    pub fn kind(self) -> PartKind {
        match self {
            Self::Label | Self::LeafPaths => PartKind::Text,
            Self::Index | Self::Cluster | Self::LeafIds => PartKind::Integer,
            Self::IsAnomaly => PartKind::Flag,
            Self::Embeddings | Self::Average | Self::Contributions => PartKind::F32,
            _ => PartKind::F64,
        }
    }

    /// Whether it has several values, or could have.
    pub fn is_list(self) -> bool {
        match self {
            Self::Label
            | Self::Index
            | Self::Value
            | Self::Cluster
            | Self::IsAnomaly
            | Self::Normalized
            | Self::Score
            | Self::Mse => false,
            Self::Probabilities
            | Self::Calibrated
            | Self::ReasonCodes
            | Self::Uplift
            | Self::Dimensions
            | Self::ReconstructedRow
            | Self::Original
            | Self::Reconstructed
            | Self::Transformations
            | Self::Embeddings
            | Self::Average
            | Self::Contributions
            | Self::LeafPaths
            | Self::LeafIds
            | Self::Staged
            | Self::Distances => true,
        }
    }

    /// Whether it stands beside the answer: it explains it.
    pub fn is_explanation(self) -> bool {
        matches!(
            self,
            Self::Contributions | Self::LeafPaths | Self::LeafIds | Self::Staged | Self::Distances
        )
    }

    /// Whether it is columns of a table of predictions, as H2O's have them; all others are for JSON
    /// and tensors. `calibrated`: whether calibrated probabilities are asked for.
    pub fn is_column(self, calibrated: bool) -> bool {
        match self {
            Self::Index | Self::ReconstructedRow | Self::Original | Self::Average => false,
            Self::Calibrated => calibrated,
            _ => true,
        }
    }
}

impl Model {
    /// The parts of each answer under these options, in the order of H2O's columns, then
    /// explanations.
    ///
    /// # Errors
    /// The model does not offer an explanation that is asked for.
    pub fn parts(&self, options: Options) -> Result<Vec<Part>, NotOffered> {
        let mut parts = match self.category() {
            Category::Binomial | Category::Multinomial | Category::Ordinal => {
                vec![Part::Label, Part::Index, Part::Probabilities]
            }
            Category::Regression | Category::CoxPH => vec![Part::Value],
            Category::KLime => vec![Part::Value, Part::Cluster, Part::ReasonCodes],
            Category::Clustering => vec![Part::Cluster],
            Category::AnomalyDetection if self.scorer.preds_len > 2 => {
                vec![Part::IsAnomaly, Part::Normalized, Part::Score]
            }
            Category::AnomalyDetection => vec![Part::Normalized, Part::Score],
            Category::BinomialUplift => vec![Part::Uplift],
            Category::DimReduction => vec![Part::Dimensions],
            Category::AutoEncoder => vec![Part::Original, Part::Reconstructed, Part::Mse],
            Category::TargetEncoder => vec![Part::Transformations],
            Category::WordEmbedding => vec![Part::Embeddings, Part::Average],
        };
        if self.calibrated() {
            parts.push(Part::Calibrated);
        }
        if self.category() == Category::DimReduction && self.scorer.derived_len(options) > 0 {
            parts.push(Part::ReconstructedRow);
        }
        let leaves = match options.leaf_assignment {
            Some(LeafAssignment::Paths) => Some(Part::LeafPaths),
            Some(LeafAssignment::Ids) => Some(Part::LeafIds),
            None => None,
        };
        let asked = [
            options.contributions.then_some(Part::Contributions),
            leaves,
            options.staged.then_some(Part::Staged),
            options.distances.then_some(Part::Distances),
        ];
        for part in asked.into_iter().flatten() {
            self.check_offer(part)?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// Those of [`Model::parts`] that are the columns of a table.
    ///
    /// # Errors
    /// The model does not offer an explanation, or calibrated probabilities, that are asked for.
    pub fn table_parts(&self, options: Options, calibrated: bool) -> Result<Vec<Part>, NotOffered> {
        if calibrated {
            self.check_offer(Part::Calibrated)?;
        }
        let mut parts = self.parts(options)?;
        parts.retain(|part| part.is_column(calibrated));
        Ok(parts)
    }

    /// Whether the model has a part that not every model has.
    pub fn check_offer(&self, part: Part) -> Result<(), NotOffered> {
        let (what, offer) = match part {
            Part::Calibrated => ("calibrated probabilities", self.offers_calibrated()),
            Part::Distances => ("distances", self.offers_distances()),
            Part::Contributions => ("contributions", self.explainer.offers_contributions()),
            Part::LeafPaths => ("leaf paths", self.explainer.offers_leaf_paths()),
            Part::LeafIds => ("leaf ids", self.explainer.offers_leaf_ids()),
            Part::Staged => ("staged answers", self.explainer.offers_staged()),
            _ => return Ok(()),
        };
        offer.map_err(|reason| NotOffered { what, reason })
    }

    pub(crate) fn offers_calibrated(&self) -> Result<(), String> {
        if self.calibrated() {
            return Ok(());
        }
        Err("it was trained without `calibrate_model`".to_owned())
    }

    pub(crate) fn offers_distances(&self) -> Result<(), String> {
        if self.category() == Category::Clustering {
            return Ok(());
        }
        Err(format!("distances are for kmeans, not {}", self.algorithm()))
    }

    /// Names of a part's values, as many as there are: as H2O calls its columns, `cal_<name>` for
    /// calibrated probabilities, `leaf_T1.C1`, `staged_T1.C1`, `distance_1`. Vectors of words have
    /// `V1`, `V2`, ... for each cell. Empty where the model does not have the part.
    pub fn part_columns(&self, part: Part) -> Vec<String> {
        let columns = self.output_columns();
        let from = |start: usize| columns.get(start..).unwrap_or_default().to_vec();
        let one = |place: usize| columns.get(place).cloned().into_iter().collect();
        let prefixed = |prefix: &str, names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("{prefix}{name}")).collect()
        };
        let features = || {
            let columns = self.schema().columns().iter();
            let features = columns.filter(|column| column.role == Role::Feature);
            features.map(|column| column.name.clone()).collect::<Vec<_>>()
        };
        let numbered = |stem: &str, n: usize| (1..=n).map(|i| format!("{stem}{i}")).collect();
        let is_flagged = usize::from(self.scorer.preds_len > 2);
        match part {
            Part::Label | Part::Value | Part::IsAnomaly => one(0),
            Part::Index => vec!["index".to_owned()],
            Part::Probabilities => from(1),
            Part::Calibrated if self.calibrated() => prefixed("cal_", from(1)),
            Part::Calibrated => Vec::new(),
            Part::Cluster => vec!["cluster".to_owned()],
            Part::ReasonCodes => prefixed("rc_", features()),
            Part::Normalized => one(is_flagged),
            Part::Score => one(is_flagged + 1),
            Part::Uplift | Part::Dimensions | Part::Transformations | Part::Reconstructed => {
                from(0)
            }
            Part::ReconstructedRow => prefixed("reconstr_", features()),
            Part::Original => {
                let inputs = from(0).into_iter();
                let plain = |name: String| match name.strip_prefix("reconstr_") {
                    Some(input) => input.to_owned(),
                    None => name,
                };
                prefixed("original_", inputs.map(plain).collect())
            }
            Part::Mse => vec!["mse".to_owned()],
            Part::Embeddings | Part::Average => {
                numbered("V", self.scorer.words().map_or(0, crate::word2vec::Word2Vec::dims))
            }
            Part::Contributions => self.contribution_names().unwrap_or_default(),
            Part::LeafPaths | Part::LeafIds if self.check_offer(part).is_ok() => {
                prefixed("leaf_", tree_names(&self.scorer))
            }
            Part::Staged if self.check_offer(part).is_ok() => {
                prefixed("staged_", stage_names(&self.scorer))
            }
            Part::LeafPaths | Part::LeafIds | Part::Staged => Vec::new(),
            Part::Distances => numbered("distance_", self.clusters()),
        }
    }

    /// Where the numbers of a part lie in [`Batch::preds`] of each row that has an answer. `None` if
    /// they are no numbers, or lie elsewhere.
    pub fn place_in_preds(&self, part: Part) -> Option<Range<usize>> {
        let all = self.scorer.preds_len;
        match (part, self.category()) {
            (Part::Probabilities, _) => Some(1..all),
            (Part::Value, Category::Regression | Category::CoxPH) => Some(0..1),
            (Part::Uplift | Part::Dimensions | Part::Transformations, _) => Some(0..all),
            _ => None,
        }
    }

    /// Clusters of a K-means, else 0.
    fn clusters(&self) -> usize {
        let options = Options { distances: true, ..Options::default() };
        match self.category() {
            Category::Clustering => self.scorer.derived_len(options),
            _ => 0,
        }
    }
}

impl Batch {
    /// The values of a part for a row. `None` if the row has no answer, or the part is none of
    /// [`Model::parts`] under this batch's options.
    ///
    /// # Panics
    /// If the row was not scored.
    pub fn part(&self, row: usize, part: Part) -> Option<Values<'_>> {
        let output = self.output(row).ok()?;
        Some(match (part, output) {
            (Part::Contributions, _) => Values::Floats(self.contributions(row)?),
            (Part::LeafPaths, _) => Values::Paths(self.leaf_paths(row)?),
            (Part::LeafIds, _) => Values::Integers(self.leaf_ids(row)?),
            (Part::Staged, _) => Values::Numbers(self.staged(row)?),
            (Part::Distances, _) => Values::Numbers(self.distances(row)?),
            (Part::Label, Output::Classes { index, .. }) => {
                Values::Text(self.model().labels().get(index)?)
            }
            (Part::Index, Output::Classes { index, .. }) => integer(index)?,
            (Part::Probabilities, Output::Classes { p, .. }) => Values::Numbers(p),
            (Part::Calibrated, Output::Classes { calibrated, .. }) => Values::Numbers(calibrated?),
            (Part::Value, Output::Value(value) | Output::KLime { value, .. }) => {
                Values::Number(value)
            }
            (Part::Cluster, Output::Cluster(cluster)) => Values::Integer(cluster),
            (Part::Cluster, Output::KLime { cluster, .. }) => integer(cluster)?,
            (Part::ReasonCodes, Output::KLime { reason_codes, .. }) => {
                Values::Numbers(reason_codes)
            }
            (Part::IsAnomaly, Output::Anomaly { is_anomaly, .. }) => Values::Flag(is_anomaly?),
            (Part::Normalized, Output::Anomaly { normalized, .. }) => Values::Number(normalized),
            (Part::Score, Output::Anomaly { score, .. }) => Values::Number(score),
            (Part::Uplift, Output::Uplift(values))
            | (Part::Transformations, Output::Transformations(values))
            | (Part::Dimensions, Output::Dimensions { dimensions: values, .. })
            | (Part::Original, Output::Reconstruction { original: values, .. })
            | (Part::Reconstructed, Output::Reconstruction { reconstructed: values, .. }) => {
                Values::Numbers(values)
            }
            (Part::ReconstructedRow, Output::Dimensions { reconstructed, .. }) => {
                Values::Numbers(reconstructed?)
            }
            (Part::Mse, Output::Reconstruction { mse, .. }) => Values::Number(mse),
            (Part::Embeddings, Output::Embeddings { vectors, .. }) => Values::Floats(vectors),
            (Part::Average, Output::Embeddings { average, .. }) => Values::Floats(average),
            _ => return None,
        })
    }
}

fn integer(number: usize) -> Option<Values<'static>> {
    i32::try_from(number).ok().map(Values::Integer)
}
