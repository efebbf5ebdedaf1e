//! From the raw row to genmodel's array: one algorithm, with the label that follows from it.
//!
//! Models inside of models (ensembles, pipelines) are scorers: they get raw rows, never a caller's
//! values.

use crate::drf::Drf;
use crate::error::{LoadError, RowError};
use crate::gbm::Gbm;
use crate::glm::Glm;
use crate::head::{Head, class_shares};
use crate::label::Labeller;
use crate::reader::Reader;
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
}

/// Buffers of one thread, for all algorithms.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    xgboost: xgboost::Scratch,
}

impl Scorer {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let (version, classes, features) = (head.mojo_version, head.n_classes, head.n_features);
        let algorithm = match head.algorithm {
            "gbm" => Algorithm::Gbm(Gbm::read(reader, version, classes, &head.levels())?),
            "drf" => Algorithm::Drf(Drf::read(reader, version, classes, &head.levels())?),
            "glm" => Algorithm::Glm(Glm::read(reader, classes, features, head.threshold)?),
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
        let preds_len = if head.category.is_classification() { classes + 1 } else { 1 };
        let labeller = Labeller { threshold: head.threshold, prior };
        Ok(Self { algorithm, width: features, preds_len, labeller, balance })
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
        /// Rows that go through one tree before the next tree is taken.
        const BLOCK: usize = 256;
        let (width, stride) = (self.width, self.preds_len);
        let blocks = raw.chunks(BLOCK * width).zip(preds.chunks_mut(BLOCK * stride));
        for (block, (raw, preds)) in blocks.enumerate() {
            if let Algorithm::Gbm(Gbm { forest, .. }) | Algorithm::Drf(Drf { forest, .. }) =
                &self.algorithm
            {
                preds.fill(0.0);
                forest.add_margins(raw, width, preds, stride, stride.min(2) - 1);
            }
            for (i, (raw, preds)) in
                raw.chunks_exact(width).zip(preds.chunks_exact_mut(stride)).enumerate()
            {
                let row = block * BLOCK + i;
                if let Err(error) = self.finish(raw, offsets[row], preds, scratch) {
                    refuse(row, error);
                }
            }
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
            Algorithm::Gbm(gbm) => gbm.unify(preds, offset, self.balance.as_ref()),
            Algorithm::Drf(drf) => drf.unify(preds, self.balance.as_ref()),
            Algorithm::XGBoost(xgboost) => {
                xgboost.score(raw, offset, preds, &mut scratch.xgboost);
            }
            // Its label is its own affair.
            Algorithm::Glm(glm) => return glm.score(raw, offset, preds),
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
        }
    }

    /// Trees of all classes together.
    pub(crate) fn trees(&self) -> Option<usize> {
        match self {
            Self::Gbm(gbm) => Some(gbm.forest.trees()),
            Self::Drf(drf) => Some(drf.forest.trees()),
            Self::XGBoost(xgboost) => Some(xgboost.trees()),
            Self::Glm(_) => None,
        }
    }

    /// Whether no `exp`, `log` or `pow` stands between the raw row and the answer.
    pub(crate) fn is_exact(&self) -> bool {
        match self {
            Self::Gbm(gbm) => gbm.is_identity(),
            // `exp` is rounded to f32 in XGBoost, and all of its neighbours agree then.
            Self::Drf(_) | Self::XGBoost(_) => true,
            Self::Glm(glm) => glm.is_identity(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Gbm(gbm) => gbm.forest.memory_bytes(),
            Self::Drf(drf) => drf.forest.memory_bytes(),
            Self::Glm(glm) => glm.memory_bytes(),
            Self::XGBoost(xgboost) => xgboost.memory_bytes(),
        }
    }
}
