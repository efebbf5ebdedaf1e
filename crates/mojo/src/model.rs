//! A loaded model: what it is, what it takes, what it answers.

use crate::archive::Archive;
use crate::calibration::Calibration;
use crate::details::{Details, VariableImportance};
use crate::digest::Digest;
use crate::encode::{self, Encoder, Encoding, ModelColumns, Original, Slot};
use crate::error::{LoadError, Warning};
use crate::explain::{Explainer, Offers, stage_names, tree_names};
use crate::gam::Splines;
use crate::head::{self, Category, Head};
use crate::java;
use crate::limits::Limits;
use crate::part::Part;
use crate::quirk::refuse_lost_encoding;
use crate::reader::{Reader, Source};
use crate::schema::Schema;
use crate::scorer::{Algorithm, Scorer};

/// How a file is to be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// What the file may ask for at most.
    pub limits: Limits,
    /// Load models that genmodel answers wrongly without a word, and answer as it does.
    pub genmodel_quirks: bool,
    /// Keep what leaf ids and contributions of trees need. Costs 4 bytes per node, where a model has
    /// contributions: a forest takes up to a third more memory, and twice as long to load, as there
    /// is a second entry to read for each tree. Leaf paths and staged answers need none of it.
    pub explanations: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), genmodel_quirks: false, explanations: true }
    }
}

/// How much room a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the artifact.
    pub file_bytes: u64,
    /// Bytes of the loaded form, trees and coefficients and levels.
    pub memory_bytes: u64,
}

/// An entry of a MOJO's archive, and whether the model came from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name inside the archive; folders end in `/`.
    pub name: String,
    /// Inflated bytes, as declared and, where it was read, found.
    pub size_bytes: u64,
    /// Whether it was read while loading. Nothing that the model does depends on the others.
    pub needed: bool,
}

/// A loaded, immutable MOJO. Rows go through a [`crate::Batch`].
#[derive(Debug)]
pub struct Model {
    digest: Digest,
    category: Category,
    h2o_version: String,
    mojo_version: String,
    uuid: String,
    schema: Schema,
    labels: Vec<String>,
    has_response_domain: bool,
    output_columns: Vec<String>,
    threshold: f64,
    warnings: Vec<Warning>,
    file_bytes: u64,
    /// Of the names of levels.
    level_bytes: usize,
    pub(crate) encoder: Encoder,
    pub(crate) scorer: Scorer,
    calibration: Option<Calibration>,
    pub(crate) explainer: Explainer,
    variable_importances: Vec<VariableImportance>,
}

impl Model {
    /// Loads a MOJO from the bytes of its zip file.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Self, LoadError> {
        let archive = Archive::open(bytes, &options.limits)?;
        let source = Source::new(archive, options.limits, options.explanations);
        Self::read(bytes, options, &source)
    }

    /// The same, with an account of all entries of the archive, in the order of its directory.
    pub fn load_with_entries(
        bytes: &[u8],
        options: &LoadOptions,
    ) -> Result<(Self, Vec<Entry>), LoadError> {
        let archive = Archive::open(bytes, &options.limits)?;
        let source = Source::new(archive, options.limits, options.explanations);
        let model = Self::read(bytes, options, &source)?;
        Ok((model, source.entries()))
    }

    /// A file that somebody put into an artifact beside the model; none if it is not there.
    pub fn attached(
        bytes: &[u8],
        name: &str,
        options: &LoadOptions,
    ) -> Result<Option<Vec<u8>>, LoadError> {
        let archive = Archive::open(bytes, &options.limits)?;
        let found = archive.contains(name).then(|| archive.read(name)).transpose();
        Ok(found?)
    }

    fn read(bytes: &[u8], options: &LoadOptions, source: &Source<'_>) -> Result<Self, LoadError> {
        let reader = Reader::open(source)?;
        let head = Head::read(&reader)?;
        let details = Details::read(&reader)?;
        if head.algorithm == "xgboost" && !options.genmodel_quirks {
            details.as_ref().map_or(Ok(()), refuse_lost_encoding)?;
        }
        let names = &reader.ini().columns[..head.n_features];
        let response = head.supervised.then(|| reader.ini().columns.last().cloned()).flatten();
        let encoding = head::read_encoding(&reader, &head)?;
        let original = match encoding {
            Encoding::Enum => None,
            _ => Some(Original::read(&reader)?),
        };
        let columns = ModelColumns {
            names,
            domains: &head.domains[..head.n_features],
            response,
            offset: reader.ini().text("offset_column").map(str::to_owned),
        };
        let (schema, encoder) = match head.algorithm {
            "gam" => encode::plan_smoothed(&columns, Splines::read(&reader, &head)?)?,
            _ => encode::plan(&columns, encoding, original)?,
        };
        let scorer = Scorer::read(&reader, &head)?;
        let mut schema = if scorer.words().is_some() { Schema::open() } else { schema };
        if let Algorithm::CoxPh(coxph) = &scorer.algorithm {
            let offset = schema.offset();
            schema.set_optional(|index| offset != Some(index) && coxph.may_be_left_out(index));
        }
        let (labels, has_response_domain) = head::labels(&head);
        let output_columns = scorer.algorithm.output_columns().unwrap_or_else(|| {
            head::output_columns(head.algorithm, head.category, &labels, has_response_domain)
        });
        let calibration = match head.algorithm {
            "gbm" | "drf" | "xgboost" if head.category == Category::Binomial => {
                Calibration::read(&reader)?
            }
            _ => None,
        };
        let variable_importances =
            details.as_ref().map(Details::variable_importances).unwrap_or_default();
        let names = &reader.ini().columns[..head.n_features];
        let explainer = Explainer::new(&scorer, &head, names, &schema, &variable_importances);
        let ini = reader.ini();
        let text = |key: &str| ini.text(key).unwrap_or("unknown").to_owned();
        let levels: usize = schema.columns().iter().flat_map(|c| &c.levels).map(String::len).sum();
        Ok(Self {
            digest: Digest::of(bytes),
            category: head.category,
            h2o_version: text("h2o_version"),
            mojo_version: text("mojo_version"),
            uuid: text("uuid"),
            schema,
            labels,
            has_response_domain,
            output_columns,
            threshold: head.threshold,
            file_bytes: bytes.len() as u64,
            level_bytes: 3 * levels,
            encoder,
            scorer,
            calibration,
            explainer,
            variable_importances,
            warnings: source.take_warnings(),
        })
    }

    /// SHA-256 of the artifact.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// `algo` as in `model.ini`: `gbm`, `drf`, `glm`, `xgboost`.
    pub fn algorithm(&self) -> &'static str {
        self.scorer.algorithm.name()
    }

    /// What sort of answer it gives.
    pub fn category(&self) -> Category {
        self.category
    }

    /// The H2O that wrote it.
    pub fn h2o_version(&self) -> &str {
        &self.h2o_version
    }

    /// Version of the format, by algorithm: `1.40`.
    pub fn mojo_version(&self) -> &str {
        &self.mojo_version
    }

    /// H2O's own number of this model.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What a caller may give.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How many numbers the raw row has, which is what `score0` of genmodel takes. With an encoding
    /// other than `Enum` they are more than the columns of the schema.
    ///
    /// Source: `GenModel.nfeatures`.
    pub fn raw_len(&self) -> usize {
        self.encoder.width
    }

    /// The labels of a classification in domain order, else empty.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether the labels are the response's own; otherwise they are `0` and `1`.
    pub fn has_response_domain(&self) -> bool {
        self.has_response_domain
    }

    /// Names of the prediction's columns as H2O writes them: `predict`, then one per label.
    ///
    /// Source: `GenModel.getOutputNames`.
    pub fn output_columns(&self) -> &[String] {
        &self.output_columns
    }

    /// Whether there are calibrated probabilities.
    pub fn calibrated(&self) -> bool {
        self.calibration.is_some()
    }

    /// From this probability of the second label on it is the answer. Binomial models only.
    pub fn default_threshold(&self) -> Option<f64> {
        (self.category == Category::Binomial).then_some(self.threshold)
    }

    /// Number of trees, of all classes together.
    pub fn n_trees(&self) -> Option<usize> {
        self.scorer.algorithm.trees()
    }

    /// The text that stands for a number beside texts in a column of the schema: of a categorical
    /// one the level that [`Cell::Number`](crate::Cell::Number) would be, if there is one, else
    /// what Java writes. NaN has none.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn spell(&self, column: usize, number: f64) -> String {
        let level = match &self.encoder.slots()[column] {
            Slot::Levels { levels, .. } => levels.of_number(number),
            _ => None,
        };
        level.map_or_else(|| java::double_to_string(number), |(level, _)| level.to_owned())
    }

    /// Whether no `exp`, `log` or `pow` stands between the raw row and the answer, so that the
    /// answer has genmodel's bits.
    pub fn is_exact(&self) -> bool {
        self.scorer.algorithm.is_exact()
    }

    /// Whether the algorithm itself may refuse a row, in lenient mode too.
    pub fn may_refuse(&self) -> bool {
        self.scorer.algorithm.may_refuse()
    }

    /// Room in the file and in memory, as it is now: trees take the form that a kernel needs when
    /// the first rows ask for it, one for few rows and one for many.
    pub fn size(&self) -> Size {
        let memory_bytes = self.scorer.algorithm.memory_bytes() + self.level_bytes;
        Size { file_bytes: self.file_bytes, memory_bytes: memory_bytes as u64 }
    }

    /// What its user should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Which explanations there are, by the names of their columns, or why there are none.
    pub fn offers(&self) -> Offers {
        let named = |part: Part| match self.check_offer(part) {
            Ok(()) => Ok(self.part_columns(part)),
            Err(missing) => Err(missing.reason),
        };
        let trees = || tree_names(&self.scorer);
        Offers {
            contributions: self.contribution_names(),
            leaf_paths: self.explainer.offers_leaf_paths().map(|()| trees()),
            leaf_ids: self.explainer.offers_leaf_ids().map(|()| trees()),
            staged: self.explainer.offers_staged().map(|()| stage_names(&self.scorer)),
            distances: named(Part::Distances),
            calibrated: named(Part::Calibrated),
        }
    }

    /// Names of what [`crate::Batch::contributions`] holds, or why there are none. `BiasTerm`
    /// is the last.
    ///
    /// Source: `ContributionsPredictor.getContributionNames`.
    pub fn contribution_names(&self) -> Result<Vec<String>, String> {
        self.explainer.contribution_names(&self.schema)
    }

    /// Names of what [`Model::compact_contributions`] answers: the columns, then `BiasTerm`.
    pub fn compact_contribution_names(&self) -> Result<Vec<String>, String> {
        self.explainer.compact_names()
    }

    /// Contributions with all levels of a column added up, in the levels' order. The same as
    /// given unless the model is an XGBoost, which has a contribution for each level.
    ///
    /// # Panics
    /// If there are not as many numbers as names.
    pub fn compact_contributions(&self, contributions: &[f32]) -> Vec<f32> {
        self.explainer.compact(contributions)
    }

    /// Names of the trees, in the order of [`crate::Batch::leaf_paths`] and
    /// [`crate::Batch::leaf_ids`]: `T1.C1` is the first tree of the first class. Or why there
    /// are none.
    ///
    /// Source: `SharedTreeMojoModel.getDecisionPathNames`.
    pub fn leaf_names(&self) -> Result<Vec<String>, String> {
        self.explainer.offers_leaf_paths().map(|()| tree_names(&self.scorer))
    }

    /// How much each variable did for the model in training, the largest first; empty if the file
    /// does not say.
    pub fn variable_importances(&self) -> &[VariableImportance] {
        &self.variable_importances
    }

    /// `[p0, p1]` after calibration, from genmodel's array.
    pub(crate) fn calibrate(&self, preds: &[f64]) -> Option<[f64; 2]> {
        self.calibration.as_ref().map(|calibration| calibration.calibrate(preds[1], preds[2]))
    }
}
