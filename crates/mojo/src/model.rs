//! A loaded model: what it is, what it takes, what it answers.

use crate::archive::Archive;
use crate::calibration::Calibration;
use crate::digest::Digest;
use crate::encode::{self, Encoder, Encoding, ModelColumns, Original};
use crate::error::{LoadError, Warning};
use crate::head::{self, Category, Head};
use crate::limits::Limits;
use crate::quirk::refuse_lost_encoding;
use crate::reader::Reader;
use crate::schema::Schema;
use crate::scorer::Scorer;

/// How a file is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// What the file may ask for at most.
    pub limits: Limits,
    /// Load models that genmodel answers wrongly without a word, and answer as it does.
    pub genmodel_quirks: bool,
}

/// How much room a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the artifact.
    pub file_bytes: u64,
    /// Bytes of the loaded form, trees and coefficients and levels.
    pub memory_bytes: u64,
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
    size: Size,
    pub(crate) encoder: Encoder,
    pub(crate) scorer: Scorer,
    calibration: Option<Calibration>,
}

impl Model {
    /// Loads a MOJO from the bytes of its zip file.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Self, LoadError> {
        let archive = Archive::open(bytes, &options.limits)?;
        let reader = Reader::open(&archive, "", &options.limits)?;
        let head = Head::read(&reader)?;
        if head.algorithm == "xgboost" && !options.genmodel_quirks {
            refuse_lost_encoding(&reader)?;
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
        let (schema, encoder) = encode::plan(&columns, encoding, original)?;
        let scorer = Scorer::read(&reader, &head)?;
        let (labels, has_response_domain) = head::labels(&head)?;
        let output_columns =
            head::output_columns(head.algorithm, head.category, &labels, has_response_domain);
        let calibration = match head.algorithm {
            "gbm" | "drf" | "xgboost" if head.category == Category::Binomial => {
                Calibration::read(&reader)?
            }
            _ => None,
        };
        let ini = reader.ini();
        let text = |key: &str| ini.text(key).unwrap_or("unknown").to_owned();
        let levels: usize = schema.columns().iter().flat_map(|c| &c.levels).map(String::len).sum();
        let size = Size {
            file_bytes: bytes.len() as u64,
            memory_bytes: (scorer.algorithm.memory_bytes() + 3 * levels) as u64,
        };
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
            size,
            encoder,
            scorer,
            calibration,
            warnings: reader.into_warnings(),
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

    /// Whether no `exp`, `log` or `pow` stands between the raw row and the answer, so that the
    /// answer has genmodel's bits.
    pub fn is_exact(&self) -> bool {
        self.scorer.algorithm.is_exact()
    }

    /// Room in the file and in memory.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What its user should know.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// `[p0, p1]` after calibration, from genmodel's array.
    pub(crate) fn calibrate(&self, preds: &[f64]) -> Option<[f64; 2]> {
        self.calibration.as_ref().map(|calibration| calibration.calibrate(preds[1], preds[2]))
    }
}
