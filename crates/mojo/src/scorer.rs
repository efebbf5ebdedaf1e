//! From the raw row to genmodel's array: one algorithm, with the label that follows from it.
//!
//! Models inside of models (ensembles, pipelines) are scorers: they get raw rows, never a caller's
//! values.

use crate::batch::Options;
use crate::coxph::{self, CoxPh};
use crate::deeplearning::{self, DeepLearning};
use crate::drf::Drf;
use crate::ensemble::{self, Ensemble};
use crate::error::{LoadError, RowError};
use crate::extisofor::{self, ExtendedIsolationForest};
use crate::gam::Gam;
use crate::gbm::Gbm;
use crate::glm::{self, Glm};
use crate::glrm::{self, Glrm};
use crate::head::{Category, Head, class_shares};
use crate::isofor::IsolationForest;
use crate::isotonic::IsotonicRegression;
use crate::kernel;
use crate::klime::KLime;
use crate::kmeans::KMeans;
use crate::label::Labeller;
use crate::pca::Pca;
use crate::pipeline::Pipeline;
use crate::reader::Reader;
use crate::rulefit::RuleFit;
use crate::svm::Svm;
use crate::target_encoder::TargetEncoder;
use crate::tree::Forest;
use crate::uplift::{self, Uplift};
use crate::word2vec::Word2Vec;
use crate::xgboost::{self, XGBoost};

/// `score0` of genmodel.
#[derive(Debug)]
pub(crate) struct Scorer {
    pub(crate) algorithm: Algorithm,
    /// Length of the raw row.
    pub(crate) width: usize,
    /// Length of the array that a row fills.
    pub(crate) preds_len: usize,
    labeller: Labeller,
    balance: Option<[Vec<f64>; 2]>,
}

#[derive(Debug)]
pub(crate) enum Algorithm {
    Gbm(Gbm),
    Drf(Drf),
    Glm(Glm),
    XGBoost(XGBoost),
    IsolationForest(IsolationForest),
    ExtendedIsolationForest(ExtendedIsolationForest),
    Uplift(Uplift),
    Ensemble(Ensemble),
    RuleFit(RuleFit),
    Pipeline(Pipeline),
    Svm(Svm),
    KLime(KLime),
    KMeans(KMeans),
    Pca(Pca),
    Isotonic(IsotonicRegression),
    TargetEncoder(TargetEncoder),
    Glrm(Glrm),
    Word2Vec(Word2Vec),
    DeepLearning(DeepLearning),
    Gam(Gam),
    CoxPh(CoxPh),
}

/// Buffers of one thread, for all algorithms.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    trees: kernel::Scratch<f64>,
    pub(crate) xgboost: xgboost::Scratch,
    glm: glm::Scratch,
    glrm: glrm::Scratch,
    deeplearning: deeplearning::Scratch,
    coxph: coxph::Scratch,
    pub(crate) ensemble: ensemble::Scratch,
    pub(crate) point: Vec<f64>,
    /// Number of the row that is scored next, as GLRM counts them.
    pub(crate) row: u64,
}

impl Scorer {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let (version, classes, features) = (head.mojo_version, head.n_classes, head.n_features);
        let algorithm = match head.algorithm {
            "gbm" => Algorithm::Gbm(Gbm::read(reader, version, classes, &head.levels())?),
            "drf" => Algorithm::Drf(Drf::read(reader, version, classes, &head.levels())?),
            "glm" => Algorithm::Glm(Glm::read(reader, classes, features, head.threshold)?),
            "isolationforest" => {
                let (levels, threshold) = (head.levels(), head.threshold);
                let forest = IsolationForest::read(reader, version, &levels, threshold)?;
                Algorithm::IsolationForest(forest)
            }
            "extendedisolationforest" => {
                let forest = ExtendedIsolationForest::read(reader, features)?;
                Algorithm::ExtendedIsolationForest(forest)
            }
            "upliftdrf" => Algorithm::Uplift(Uplift::read(reader, version, &head.levels())?),
            "stackedensemble" => Algorithm::Ensemble(Ensemble::read(reader, head)?),
            "rulefit" => Algorithm::RuleFit(RuleFit::read(reader, head)?),
            "pipeline" => Algorithm::Pipeline(Pipeline::read(reader, head)?),
            "svm" => Algorithm::Svm(Svm::read(reader, head)?),
            "klime" => Algorithm::KLime(KLime::read(reader, head)?),
            "kmeans" => Algorithm::KMeans(KMeans::read(reader, &head.levels())?),
            "pca" => Algorithm::Pca(Pca::read(reader, features)?),
            "isotonicregression" => Algorithm::Isotonic(IsotonicRegression::read(reader)?),
            "targetencoder" => Algorithm::TargetEncoder(TargetEncoder::read(reader, head)?),
            "glrm" => Algorithm::Glrm(Glrm::read(reader, features)?),
            "word2vec" => Algorithm::Word2Vec(Word2Vec::read(reader)?),
            "deeplearning" => Algorithm::DeepLearning(DeepLearning::read(reader, head)?),
            "gam" => Algorithm::Gam(Gam::read(reader, head)?),
            "coxph" => Algorithm::CoxPh(CoxPh::read(reader, head)?),
            _ => Algorithm::XGBoost(XGBoost::read(reader, version, classes, features)?),
        };
        let prior = class_shares(reader, "prior_class_distrib", head)?;
        let model_shares = class_shares(reader, "model_class_distrib", head)?;
        let balance = match (reader.ini().bool_or("balance_classes", false)?, &prior, model_shares)
        {
            (true, Some(prior), Some(model)) => Some([prior.clone(), model]),
            (true, _, _) => {
                return Err(LoadError::MissingKey { key: "model_class_distrib".to_owned() });
            }
            (false, _, _) => None,
        };
        let preds_len = match head.category {
            Category::Binomial | Category::Multinomial | Category::Ordinal => classes + 1,
            Category::Regression => 1,
            Category::KLime => features + 2,
            Category::AnomalyDetection => match &algorithm {
                Algorithm::IsolationForest(forest) => forest.preds_len(),
                _ => 2,
            },
            Category::BinomialUplift => 3,
            // Word vectors come from words, not from numbers: a NaN keeps their place.
            Category::Clustering | Category::WordEmbedding => 1,
            Category::DimReduction | Category::TargetEncoder => match &algorithm {
                Algorithm::Pca(pca) => pca.dimensions(),
                Algorithm::Glrm(glrm) => glrm.dimensions(),
                Algorithm::TargetEncoder(encoder) => encoder.answers(),
                _ => 1,
            },
            Category::AutoEncoder => match &algorithm {
                Algorithm::DeepLearning(network) => network.autoencoder_width().unwrap_or(1),
                _ => 1,
            },
            Category::CoxPH => 1,
        };
        let labeller = Labeller { threshold: head.threshold, prior };
        Ok(Self { algorithm, width: features, preds_len, labeller, balance })
    }

    /// Scores one row: `raw` of `width`, `preds` of `preds_len`.
    pub(crate) fn score_row(
        &self,
        raw: &[f64],
        offset: f64,
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        let mut refused = None;
        self.score_rows(raw, &[offset], preds, scratch, |_, error| refused = Some(error));
        refused.map_or(Ok(()), Err)
    }

    /// Scores rows that lie behind each other.
    ///
    /// `raw`: row-major, `n x width`, NaN = missing. `offsets`: `n`. `preds`: row-major,
    /// `n x preds_len`, filled as genmodel's `score0` does. `refuse`: called with the place of
    /// each row that the algorithm does not score.
    pub(crate) fn score_rows(
        &self,
        raw: &[f64],
        offsets: &[f64],
        preds: &mut [f64],
        scratch: &mut Scratch,
        mut refuse: impl FnMut(usize, RowError),
    ) {
        let (width, stride) = (self.width, self.preds_len);
        let first = scratch.row;
        if let Algorithm::Ensemble(ensemble) = &self.algorithm {
            return ensemble.score_rows(raw, width, preds, scratch, &mut refuse);
        }
        if let Algorithm::Glm(glm) = &self.algorithm {
            return glm.score_rows(raw, offsets, preds, stride, &mut scratch.glm, refuse);
        }
        if let Algorithm::DeepLearning(network) = &self.algorithm {
            let (balance, labels) = (self.balance.as_ref(), network.is_classifier());
            let scratch = &mut scratch.deeplearning;
            let done = |row: usize, preds: &mut [f64], answered| match answered {
                Err(error) => refuse(row, error),
                Ok(()) if labels => self.labeller.label(preds, &raw[row * width..][..width]),
                Ok(()) => {}
            };
            return network.score_rows(raw, preds, stride, balance, scratch, done);
        }
        if let Some((forest, place)) = self.forest() {
            preds.fill(0.0);
            forest.add_margins(raw, width, preds, stride, place, &mut scratch.trees);
        }
        if let Algorithm::Gbm(gbm) = &self.algorithm {
            gbm.unify_rows(preds, stride, offsets, self.balance.as_ref());
            let rows = raw.chunks_exact(width).zip(preds.chunks_exact_mut(stride));
            rows.filter(|(_, preds)| preds.len() > 1)
                .for_each(|(raw, preds)| self.labeller.label(preds, raw));
            return;
        }
        if let Algorithm::XGBoost(xgboost) = &self.algorithm {
            xgboost.score_rows(raw, width, offsets, preds, stride, &mut scratch.xgboost);
        }
        let rows = raw.chunks_exact(width).zip(preds.chunks_exact_mut(stride));
        for (row, (raw, preds)) in rows.enumerate() {
            scratch.row = first.wrapping_add(row as u64);
            if let Err(error) = self.finish(raw, offsets[row], preds, scratch) {
                refuse(row, error);
            }
        }
        scratch.row = first;
    }

    /// How many numbers [`Scorer::derive`] fills; 0 if nothing of the sort is asked or offered.
    pub(crate) fn derived_len(&self, options: Options) -> usize {
        match &self.algorithm {
            Algorithm::KMeans(kmeans) if options.distances => kmeans.clusters(),
            Algorithm::Glrm(glrm) if options.reconstruct => glrm.reconstructed().unwrap_or(0),
            Algorithm::DeepLearning(network) => {
                network.autoencoder_width().map_or(0, |width| width + 1)
            }
            _ => 0,
        }
    }

    /// What is asked beside a row's answer: K-means' distances, or the row that GLRM reconstructs.
    pub(crate) fn derive(
        &self,
        raw: &[f64],
        preds: &[f64],
        derived: &mut [f64],
        scratch: &mut Scratch,
    ) {
        match &self.algorithm {
            Algorithm::KMeans(kmeans) => kmeans.distances(raw, derived),
            Algorithm::Glrm(glrm) => glrm.reconstruct(preds, &mut scratch.glrm, derived),
            Algorithm::DeepLearning(network) => network.compare(raw, preds, derived),
            _ => {}
        }
    }

    /// The words, where a row is words.
    pub(crate) fn words(&self) -> Option<&Word2Vec> {
        match &self.algorithm {
            Algorithm::Word2Vec(words) => Some(words),
            _ => None,
        }
    }

    /// H2O's own trees, and where the sums of their leaves start in genmodel's array.
    pub(crate) fn forest(&self) -> Option<(&Forest, usize)> {
        let after_label = self.preds_len.min(2).saturating_sub(1);
        match &self.algorithm {
            Algorithm::Gbm(gbm) => Some((&gbm.forest, after_label)),
            Algorithm::Drf(drf) => Some((&drf.forest, after_label)),
            Algorithm::IsolationForest(forest) => Some((&forest.forest, 0)),
            Algorithm::Uplift(uplift) => Some((&uplift.forest, 1)),
            _ => None,
        }
    }

    /// From sums of leaves to genmodel's array, in place, all but the label; nothing where an
    /// algorithm does not add up H2O's trees.
    pub(crate) fn unify(&self, preds: &mut [f64], offset: f64) {
        match &self.algorithm {
            Algorithm::Gbm(gbm) => gbm.unify(preds, offset, self.balance.as_ref()),
            Algorithm::Drf(drf) => drf.unify(preds, self.balance.as_ref()),
            Algorithm::IsolationForest(forest) => forest.unify(preds),
            Algorithm::Uplift(uplift) => uplift.unify(preds),
            _ => {}
        }
    }

    fn finish(
        &self,
        raw: &[f64],
        offset: f64,
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        match &self.algorithm {
            Algorithm::Drf(_) => self.unify(preds, offset),
            Algorithm::IsolationForest(_) | Algorithm::Uplift(_) => {
                self.unify(preds, offset);
                return Ok(());
            }
            Algorithm::ExtendedIsolationForest(forest) => {
                forest.score(raw, preds);
                return Ok(());
            }
            Algorithm::XGBoost(_) => {}
            Algorithm::CoxPh(coxph) => coxph.score(raw, offset, preds, &mut scratch.coxph)?,
            // Their labels are their own affair.
            Algorithm::Gam(gam) => return gam.score(raw, offset, preds),
            Algorithm::RuleFit(rulefit) => return rulefit.score(raw, preds, scratch),
            Algorithm::Pipeline(pipeline) => return pipeline.score(raw, preds, scratch),
            Algorithm::KLime(klime) => return klime.score(raw, preds, scratch),
            Algorithm::Svm(svm) => {
                svm.score(raw, preds);
                return Ok(());
            }
            Algorithm::KMeans(kmeans) => preds[0] = kmeans.nearest(raw, &mut scratch.point),
            Algorithm::Pca(pca) => {
                pca.score(raw, preds);
                return Ok(());
            }
            Algorithm::Isotonic(line) => preds[0] = line.score(raw),
            Algorithm::TargetEncoder(encoder) => return encoder.score(raw, preds),
            Algorithm::Glrm(glrm) => {
                glrm.score(raw, scratch.row, preds, &mut scratch.glrm);
                return Ok(());
            }
            Algorithm::Word2Vec(_) => preds.fill(f64::NAN),
            Algorithm::Gbm(_)
            | Algorithm::Ensemble(_)
            | Algorithm::DeepLearning(_)
            | Algorithm::Glm(_) => {
                unreachable!("they score whole blocks")
            }
        }
        if preds.len() > 1 {
            self.labeller.label(preds, raw);
        }
        Ok(())
    }
}

impl Algorithm {
    /// `algo` as H2O writes it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gbm(_) => "gbm",
            Self::Drf(_) => "drf",
            Self::Glm(_) => "glm",
            Self::XGBoost(_) => "xgboost",
            Self::IsolationForest(_) => "isolationforest",
            Self::ExtendedIsolationForest(_) => "extendedisolationforest",
            Self::Uplift(_) => "upliftdrf",
            Self::Ensemble(_) => "stackedensemble",
            Self::RuleFit(_) => "rulefit",
            Self::Pipeline(_) => "pipeline",
            Self::Svm(_) => "svm",
            Self::KLime(_) => "klime",
            Self::KMeans(_) => "kmeans",
            Self::Pca(_) => "pca",
            Self::Isotonic(_) => "isotonicregression",
            Self::TargetEncoder(_) => "targetencoder",
            Self::Glrm(_) => "glrm",
            Self::Word2Vec(_) => "word2vec",
            Self::DeepLearning(_) => "deeplearning",
            Self::Gam(_) => "gam",
            Self::CoxPh(_) => "coxph",
        }
    }

    /// Names of the answer's columns where they come from the model and not from its category.
    ///
    /// Source: `PCAMojoModel.getOutputNames`, `GlrmMojoModel.getOutputNames`.
    pub(crate) fn output_columns(&self) -> Option<Vec<String>> {
        let numbered = |stem: &str, n: usize| (1..=n).map(|i| format!("{stem}{i}")).collect();
        match self {
            Self::KMeans(_) => Some(vec!["cluster".to_owned()]),
            Self::IsolationForest(forest) => Some(forest.output_columns()),
            Self::ExtendedIsolationForest(_) => {
                Some(extisofor::OUTPUT_COLUMNS.map(str::to_owned).to_vec())
            }
            Self::Uplift(_) => Some(uplift::OUTPUT_COLUMNS.map(str::to_owned).to_vec()),
            Self::Pca(pca) => Some(numbered("PC", pca.dimensions())),
            Self::Glrm(glrm) => Some(numbered("Arch", glrm.dimensions())),
            Self::TargetEncoder(encoder) => Some(encoder.output_columns().to_vec()),
            Self::Word2Vec(_) => Some(Vec::new()),
            Self::DeepLearning(network) => network.output_columns(),
            Self::CoxPh(_) => Some(vec!["lp".to_owned()]),
            _ => None,
        }
    }

    /// Trees of all classes together.
    pub(crate) fn trees(&self) -> Option<usize> {
        match self {
            Self::Gbm(gbm) => Some(gbm.forest.trees()),
            Self::Drf(drf) => Some(drf.forest.trees()),
            Self::XGBoost(xgboost) => Some(xgboost.trees()),
            Self::IsolationForest(forest) => Some(forest.forest.trees()),
            Self::ExtendedIsolationForest(forest) => Some(forest.trees()),
            Self::Uplift(uplift) => Some(uplift.forest.trees()),
            Self::Glm(_)
            | Self::Ensemble(_)
            | Self::RuleFit(_)
            | Self::Pipeline(_)
            | Self::Svm(_)
            | Self::KLime(_)
            | Self::KMeans(_)
            | Self::Pca(_)
            | Self::Isotonic(_)
            | Self::TargetEncoder(_)
            | Self::Glrm(_)
            | Self::Word2Vec(_)
            | Self::DeepLearning(_)
            | Self::Gam(_)
            | Self::CoxPh(_) => None,
        }
    }

    /// Whether the raw row and the offset decide the answer: not the number of the row, and not
    /// words, which are no part of the raw row.
    pub(crate) fn depends_on_row_alone(&self) -> bool {
        match self {
            Self::Glrm(_) | Self::Word2Vec(_) => false,
            Self::Pipeline(pipeline) => pipeline.depends_on_row_alone(),
            _ => true,
        }
    }

    /// Whether it may refuse a row that the encoder has taken.
    pub(crate) fn may_refuse(&self) -> bool {
        match self {
            Self::Gbm(_) | Self::Drf(_) | Self::XGBoost(_) => false,
            Self::Glm(glm) => glm.may_refuse(),
            _ => true,
        }
    }

    /// Whether no `exp`, `log` or `pow` stands between the raw row and the answer.
    pub(crate) fn is_exact(&self) -> bool {
        match self {
            Self::Gbm(gbm) => gbm.is_identity(),
            // `exp` is rounded to f32 in XGBoost, and all of its neighbours agree then.
            Self::Drf(_) | Self::XGBoost(_) => true,
            Self::IsolationForest(_) | Self::Uplift(_) => true,
            Self::ExtendedIsolationForest(_) => false,
            Self::Glm(glm) => glm.is_identity(),
            Self::Ensemble(ensemble) => ensemble.is_exact(),
            Self::RuleFit(rulefit) => rulefit.is_exact(),
            Self::Pipeline(pipeline) => pipeline.is_exact(),
            Self::Svm(_) => true,
            Self::KLime(_) => false,
            Self::KMeans(_) | Self::Pca(_) | Self::Isotonic(_) | Self::Word2Vec(_) => true,
            Self::TargetEncoder(encoder) => encoder.is_exact(),
            Self::Glrm(glrm) => glrm.is_exact(),
            Self::DeepLearning(network) => network.is_exact(),
            Self::Gam(gam) => gam.is_exact(),
            Self::CoxPh(_) => true,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Gbm(gbm) => gbm.forest.memory_bytes(),
            Self::Drf(drf) => drf.forest.memory_bytes(),
            Self::Glm(glm) => glm.memory_bytes(),
            Self::XGBoost(xgboost) => xgboost.memory_bytes(),
            Self::IsolationForest(forest) => forest.forest.memory_bytes(),
            Self::ExtendedIsolationForest(forest) => forest.memory_bytes(),
            Self::Uplift(uplift) => uplift.forest.memory_bytes(),
            Self::Ensemble(ensemble) => ensemble.memory_bytes(),
            Self::RuleFit(rulefit) => rulefit.memory_bytes(),
            Self::Pipeline(pipeline) => pipeline.memory_bytes(),
            Self::Svm(svm) => svm.memory_bytes(),
            Self::KLime(klime) => klime.memory_bytes(),
            Self::KMeans(kmeans) => kmeans.memory_bytes(),
            Self::Pca(pca) => pca.memory_bytes(),
            Self::Isotonic(line) => line.memory_bytes(),
            Self::TargetEncoder(encoder) => encoder.memory_bytes(),
            Self::Glrm(glrm) => glrm.memory_bytes(),
            Self::Word2Vec(words) => words.memory_bytes(),
            Self::DeepLearning(network) => network.memory_bytes(),
            Self::Gam(gam) => gam.memory_bytes(),
            Self::CoxPh(coxph) => coxph.memory_bytes(),
        }
    }
}
