//! Uplift Distributed Random Forest.
//!
//! Two trees per group, whose leaves are the share of the response's second level with and without
//! treatment. Both means are the answer, and their difference is the uplift. The treatment column
//! is the last but one of `[columns]` and no feature. Keys `treatment_column` and the AUUC
//! thresholds are of no use to scoring. Source: `UpliftDrfMojoReader`, `UpliftDrfMojoModel`.

use crate::error::LoadError;
use crate::reader::Reader;
use crate::tree::Forest;

#[derive(Debug)]
pub(crate) struct Uplift {
    pub(crate) forest: Forest,
}

/// Names of `preds`.
pub(crate) const OUTPUT_COLUMNS: [&str; 3] =
    ["uplift_predict", "p_y1_with_treatment", "p_y1_without_treatment"];

impl Uplift {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        levels: &[Option<usize>],
    ) -> Result<Self, LoadError> {
        let forest = Forest::read(reader, mojo_version, 2, levels, false)?;
        if forest.classes() != 2 {
            return Err(LoadError::BadValue {
                key: "n_trees_per_class".to_owned(),
                found: forest.classes().to_string(),
                expected: "2: with and without treatment".to_owned(),
            });
        }
        Ok(Self { forest })
    }

    /// From `[_, sum, sum]` to `[uplift, with, without]`, in place.
    pub(crate) fn unify(&self, preds: &mut [f64]) {
        let groups = self.forest.groups() as f64;
        preds[1] /= groups;
        preds[2] /= groups;
        preds[0] = preds[1] - preds[2];
    }
}
