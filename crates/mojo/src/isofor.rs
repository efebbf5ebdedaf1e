//! Isolation Forest.
//!
//! Trees as in GBM and DRF; a leaf is the length of its path. Keys: `min_path_length` and
//! `max_path_length`, the shortest and longest sum of lengths in training (whole numbers, 0 if
//! missing); `output_anomaly_flag`, whether `predict` is a flag, which is set where the score is
//! above `default_threshold`.
//!
//! `score = (max - sum) / (max - min)`, or 1 where `max <= min`; `mean = sum / n_trees`. A row
//! outside of what training saw has a score below 0 or above 1. MOJO 1.30 and 1.40 differ in
//! `_genmodel_encoding` only. Source: `IsolationForestMojoReader`, `IsolationForestMojoModel`.

use crate::error::LoadError;
use crate::reader::Reader;
use crate::tree::Forest;

#[derive(Debug)]
pub(crate) struct IsolationForest {
    pub(crate) forest: Forest,
    shortest: f64,
    longest: f64,
    /// A score above it is an anomaly; `None` where the model does not decide.
    threshold: Option<f64>,
}

impl IsolationForest {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        levels: &[Option<usize>],
        threshold: f64,
    ) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let length = |key: &str| Ok::<_, LoadError>(ini.optional_usize(key)?.unwrap_or(0) as f64);
        Ok(Self {
            forest: Forest::read(reader, mojo_version, 1, levels, false)?,
            shortest: length("min_path_length")?,
            longest: length("max_path_length")?,
            threshold: ini.bool_or("output_anomaly_flag", false)?.then_some(threshold),
        })
    }

    /// Length of genmodel's array.
    pub(crate) fn preds_len(&self) -> usize {
        if self.threshold.is_some() { 3 } else { 2 }
    }

    pub(crate) fn output_columns(&self) -> Vec<String> {
        let names: &[&str] = match self.threshold {
            Some(_) => &["predict", "score", "mean_length"],
            None => &["predict", "mean_length"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// From the sum of path lengths in `preds[0]` to `[score, mean]` or `[flag, score, mean]`.
    pub(crate) fn unify(&self, preds: &mut [f64]) {
        let sum = preds[0];
        let mean = sum / self.forest.groups() as f64;
        let score = if self.longest > self.shortest {
            (self.longest - sum) / (self.longest - self.shortest)
        } else {
            1.0
        };
        match self.threshold {
            Some(threshold) => {
                preds[0] = f64::from(u8::from(score > threshold));
                preds[1] = score;
                preds[2] = mean;
            }
            None => {
                preds[0] = score;
                preds[1] = mean;
            }
        }
    }
}
