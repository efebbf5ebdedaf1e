//! What `model.ini` says about every model, whatever its algorithm.

use std::fmt;

use crate::encode::Encoding;
use crate::error::LoadError;
use crate::ini::parse_i32;
use crate::reader::Reader;

/// What sort of answer a model gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// Two classes.
    Binomial,
    /// Classes.
    Multinomial,
    /// Classes in an order.
    Ordinal,
    /// A number.
    Regression,
    /// A number, the cluster it was found in, and its reasons.
    KLime,
    /// How unusual a row is.
    AnomalyDetection,
    /// What a treatment does to the probability of the second class.
    BinomialUplift,
    /// One of some clusters.
    Clustering,
    /// Coordinates.
    DimReduction,
    /// Encodings of levels.
    TargetEncoder,
    /// Vectors of words.
    WordEmbedding,
    /// The row itself, as a network remembers it.
    AutoEncoder,
    /// The logarithm of a hazard ratio.
    CoxPH,
}

impl Category {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Binomial" => Self::Binomial,
            "Multinomial" => Self::Multinomial,
            "Ordinal" => Self::Ordinal,
            "Regression" => Self::Regression,
            "KLime" => Self::KLime,
            "AnomalyDetection" => Self::AnomalyDetection,
            "BinomialUplift" => Self::BinomialUplift,
            "Clustering" => Self::Clustering,
            "DimReduction" => Self::DimReduction,
            "TargetEncoder" => Self::TargetEncoder,
            "WordEmbedding" => Self::WordEmbedding,
            "AutoEncoder" => Self::AutoEncoder,
            "CoxPH" => Self::CoxPH,
            _ => return None,
        })
    }

    /// Whether a model of this category can have so many classes.
    fn has(self, n_classes: usize) -> bool {
        match self {
            Self::Binomial | Self::BinomialUplift => n_classes == 2,
            Self::Multinomial | Self::Ordinal => n_classes >= 2,
            Self::TargetEncoder => n_classes >= 1,
            Self::Regression
            | Self::AnomalyDetection
            | Self::Clustering
            | Self::DimReduction
            | Self::WordEmbedding => n_classes == 1,
            Self::KLime | Self::AutoEncoder | Self::CoxPH => true,
        }
    }

    /// H2O's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binomial => "Binomial",
            Self::Multinomial => "Multinomial",
            Self::Ordinal => "Ordinal",
            Self::Regression => "Regression",
            Self::KLime => "KLime",
            Self::AnomalyDetection => "AnomalyDetection",
            Self::BinomialUplift => "BinomialUplift",
            Self::Clustering => "Clustering",
            Self::DimReduction => "DimReduction",
            Self::TargetEncoder => "TargetEncoder",
            Self::WordEmbedding => "WordEmbedding",
            Self::AutoEncoder => "AutoEncoder",
            Self::CoxPH => "CoxPH",
        }
    }

    /// Whether the answer is one of the response's levels.
    pub fn is_classification(self) -> bool {
        match self {
            Self::Binomial | Self::Multinomial | Self::Ordinal => true,
            Self::Regression
            | Self::KLime
            | Self::AnomalyDetection
            | Self::BinomialUplift
            | Self::Clustering
            | Self::DimReduction
            | Self::TargetEncoder
            | Self::WordEmbedding
            | Self::AutoEncoder
            | Self::CoxPH => false,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of `model.ini` that all algorithms share.
pub(crate) struct Head {
    pub(crate) algorithm: &'static str,
    pub(crate) category: Category,
    pub(crate) mojo_version: f64,
    pub(crate) n_classes: usize,
    pub(crate) n_features: usize,
    /// One per column of `model.ini`.
    pub(crate) domains: Vec<Option<Vec<String>>>,
    pub(crate) supervised: bool,
    pub(crate) threshold: f64,
}

impl Head {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let name = ini.required_text("algorithm")?;
        let (algorithm, newest) = known_algorithm(name)?;
        let version = ini.f64("mojo_version")?;
        if version > newest.parse().unwrap_or(0.0) {
            return Err(LoadError::Version {
                algorithm: algorithm.to_owned(),
                found: ini.required_text("mojo_version")?.to_owned(),
                supported: newest,
            });
        }
        let bad = |key: &str, found: String, expected: &str| LoadError::BadValue {
            key: key.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        let n_columns = ini.columns.len();
        let n_features = ini.usize("n_features")?;
        if n_features == 0 || n_features > n_columns {
            let found = n_features.to_string();
            return Err(bad("n_features", found, "between 1 and the number of columns"));
        }
        let category = ini.required_text("category")?;
        let category = Category::parse(category).ok_or_else(|| {
            bad("category", category.to_owned(), "one that goes with the algorithm")
        })?;
        // k-LIME also calls itself a regression; its answer is more than a number.
        let category = if algorithm == "klime" { Category::KLime } else { category };
        if !goes_with(algorithm, category) {
            return Err(bad("category", category.to_string(), "one that goes with the algorithm"));
        }
        let n_classes = ini.usize("n_classes")?;
        if !category.has(n_classes) {
            let expected = format!("a number that goes with category {category}");
            return Err(bad("n_classes", n_classes.to_string(), &expected));
        }
        let head = Self {
            algorithm,
            category,
            mojo_version: version,
            n_classes,
            n_features,
            domains: read_domains(reader)?,
            supervised: ini.bool_or("supervised", true)?,
            threshold: ini.optional_f64("default_threshold")?.unwrap_or(0.5),
        };
        check_names(&ini.columns, &head.domains)?;
        // What is as long as `n_classes` says is then as long as what the file holds.
        head.check_labels()?;
        Ok(head)
    }

    /// The classes of a classification are the levels of its response, or two without names.
    fn check_labels(&self) -> Result<(), LoadError> {
        let levels = self.domains.last().and_then(Option::as_ref).map(Vec::len);
        let fits = levels == Some(self.n_classes) || (levels.is_none() && self.n_classes == 2);
        if fits || !self.category.is_classification() {
            return Ok(());
        }
        Err(LoadError::BadValue {
            key: "n_classes".to_owned(),
            found: self.n_classes.to_string(),
            expected: format!("{}, the levels of the response", levels.unwrap_or(0)),
        })
    }

    /// Levels per column of the raw row.
    pub(crate) fn levels(&self) -> Vec<Option<usize>> {
        let features = &self.domains[..self.n_features];
        features.iter().map(|domain| domain.as_ref().map(Vec::len)).collect()
    }
}

/// Names stand before each level of their column in the names of one-hot columns: together they are
/// not much longer than the levels, unless someone wants them to be.
pub(crate) fn check_names(
    names: &[String],
    domains: &[Option<Vec<String>>],
) -> Result<(), LoadError> {
    const BYTES_MAX: usize = 1 << 30;
    let levels = domains.iter().map(|domain| domain.as_ref().map_or(0, Vec::len));
    let bytes = names
        .iter()
        .zip(levels)
        .fold(0_usize, |sum, (name, levels)| sum.saturating_add(name.len().saturating_mul(levels)));
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    Err(LoadError::BadEntry {
        entry: "model.ini".to_owned(),
        reason: format!(
            "the names of columns, once for each of their levels, take {bytes} bytes, expected at \
             most {BYTES_MAX}"
        ),
    })
}

/// Whether an algorithm gives answers of this sort; only those with a sort of their own are asked.
fn goes_with(algorithm: &str, category: Category) -> bool {
    match algorithm {
        "kmeans" => category == Category::Clustering,
        "klime" => category == Category::KLime,
        "isolationforest" | "extendedisolationforest" => category == Category::AnomalyDetection,
        "upliftdrf" => category == Category::BinomialUplift,
        "pca" | "glrm" => category == Category::DimReduction,
        "targetencoder" => category == Category::TargetEncoder,
        "word2vec" => category == Category::WordEmbedding,
        "isotonicregression" => category == Category::Regression,
        "coxph" => category == Category::CoxPH,
        "svm" => matches!(category, Category::Binomial | Category::Regression),
        "deeplearning" if category == Category::AutoEncoder => true,
        _ => !matches!(
            category,
            Category::Clustering
                | Category::KLime
                | Category::AnomalyDetection
                | Category::BinomialUplift
                | Category::DimReduction
                | Category::TargetEncoder
                | Category::WordEmbedding
                | Category::AutoEncoder
                | Category::CoxPH
        ),
    }
}

/// Short name of an algorithm, and the newest MOJO version that genmodel 3.46.0.11 reads.
fn known_algorithm(name: &str) -> Result<(&'static str, &'static str), LoadError> {
    let reason = match name {
        "Gradient Boosting Machine" | "Gradient Boosting Method" => return Ok(("gbm", "1.40")),
        "Distributed Random Forest" => return Ok(("drf", "1.40")),
        "Generalized Linear Model" | "Generalized Linear Modeling" => return Ok(("glm", "1.00")),
        "XGBoost" => return Ok(("xgboost", "1.10")),
        "Isolation Forest" => return Ok(("isolationforest", "1.40")),
        "Extended Isolation Forest" => return Ok(("extendedisolationforest", "1.00")),
        "Uplift Distributed Random Forest" => return Ok(("upliftdrf", "1.40")),
        "StackedEnsemble" | "Stacked Ensemble" => return Ok(("stackedensemble", "1.01")),
        "RuleFit" | "rulefit" => return Ok(("rulefit", "1.00")),
        "MOJO Pipeline" => return Ok(("pipeline", "1.00")),
        "Support Vector Machine (*Spark*)" => return Ok(("svm", "1.00")),
        "k-LIME" => return Ok(("klime", "1.00")),
        "K-means" => return Ok(("kmeans", "1.00")),
        "Principal Components Analysis" => return Ok(("pca", "1.00")),
        "Isotonic Regression" => return Ok(("isotonicregression", "1.00")),
        "TargetEncoder" => return Ok(("targetencoder", "1.00")),
        "Generalized Low Rank Model" | "Generalized Low Rank Modeling" => {
            return Ok(("glrm", "1.10"));
        }
        "Word2Vec" => return Ok(("word2vec", "1.00")),
        "Deep Learning" | "deep learning" => return Ok(("deeplearning", "1.10")),
        "Generalized Additive Model" => return Ok(("gam", "1.00")),
        "Cox Proportional Hazards" | "CoxPH" => return Ok(("coxph", "1.00")),
        "Deep Water" | "Deepwater" => {
            "it needs native Caffe or MXNet libraries that H2O gave up; train a Deep Learning model"
        }
        _ => "h2o-genmodel 3.46.0.11 scores no MOJO of that name",
    };
    Err(LoadError::Algorithm { algorithm: crate::ini::shorten(name), reason: reason.to_owned() })
}

fn read_domains(reader: &Reader<'_, '_>) -> Result<Vec<Option<Vec<String>>>, LoadError> {
    let escaped = reader.ini().bool_or("escape_domain_values", false)?;
    let mut domains = vec![None; reader.ini().columns.len()];
    for entry in &reader.ini().domains {
        // genmodel passes over domains of columns that are not there.
        if let Some(domain) = domains.get_mut(entry.column) {
            let file = format!("domains/{}", entry.file);
            *domain = Some(reader.lines(&file, entry.levels, escaped)?);
        }
    }
    Ok(domains)
}

pub(crate) fn read_encoding(reader: &Reader<'_, '_>, head: &Head) -> Result<Encoding, LoadError> {
    let first_version = match head.algorithm {
        "gbm" | "drf" | "isolationforest" | "upliftdrf" => 1.40,
        "deeplearning" => 1.10,
        _ => f64::INFINITY,
    };
    if head.mojo_version < first_version {
        return Ok(Encoding::Enum);
    }
    let name = reader.ini().required_text("_genmodel_encoding")?;
    Encoding::parse(name).ok_or_else(|| LoadError::BadValue {
        key: "_genmodel_encoding".to_owned(),
        found: name.to_owned(),
        expected: "a categorical encoding of H2O".to_owned(),
    })
}

/// The labels, and whether they are the response's own.
pub(crate) fn labels(head: &Head) -> (Vec<String>, bool) {
    if !head.category.is_classification() {
        return (Vec::new(), false);
    }
    match head.domains.last().and_then(Option::as_ref) {
        Some(domain) => (domain.clone(), true),
        None => (vec!["0".to_owned(), "1".to_owned()], false),
    }
}

/// Source: `GenModel.getOutputNames`, `GbmMojoModel` and `GlmMojoModelBase` for two classes
/// without names.
pub(crate) fn output_columns(
    algorithm: &str,
    category: Category,
    labels: &[String],
    has_response_domain: bool,
) -> Vec<String> {
    let mut names = vec!["predict".to_owned()];
    if category.is_classification() {
        names.extend(labels.iter().map(|label| match (has_response_domain, algorithm) {
            (false, "gbm") => format!("pVal{label}"),
            (false, "glm") => label.clone(),
            _ if parse_i32(label).is_some() => format!("p{label}"),
            _ => label.clone(),
        }));
    }
    names
}

/// A share per class.
pub(crate) fn class_shares(
    reader: &Reader<'_, '_>,
    key: &str,
    head: &Head,
) -> Result<Option<Vec<f64>>, LoadError> {
    let shares = reader.ini().optional_doubles(key)?;
    match shares {
        Some(shares) if head.category.is_classification() && shares.len() != head.n_classes => {
            Err(LoadError::BadValue {
                key: key.to_owned(),
                found: format!("{} numbers", shares.len()),
                expected: format!("{}, one per class", head.n_classes),
            })
        }
        shares => Ok(shares),
    }
}
