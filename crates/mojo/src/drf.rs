//! Distributed Random Forest.
//!
//! The mean of the leaves; a binomial forest with one tree per group predicts the first class.
//! Source: `DrfMojoReader`, `DrfMojoModel`.

use crate::error::LoadError;
use crate::label::correct_balance;
use crate::reader::Reader;
use crate::tree::Forest;

#[derive(Debug)]
pub(crate) struct Drf {
    pub(crate) forest: Forest,
    pub(crate) double_trees: bool,
}

impl Drf {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        n_classes: usize,
        levels: &[Option<usize>],
    ) -> Result<Self, LoadError> {
        let double_trees = reader.ini().bool_or("binomial_double_trees", false)?;
        let one_tree = n_classes <= 2 && !double_trees;
        let forest = Forest::read(reader, mojo_version, n_classes, levels, one_tree)?;
        let expected = if n_classes == 2 && !double_trees { 1 } else { n_classes };
        if forest.classes() != expected {
            return Err(LoadError::BadValue {
                key: "n_trees_per_class".to_owned(),
                found: forest.classes().to_string(),
                expected: format!("{expected} for {n_classes} classes"),
            });
        }
        Ok(Self { forest, double_trees })
    }

    /// From sums of leaves to genmodel's array, in place, all but the label.
    ///
    /// `preds`: `[_, sum, ...]` for classes, `[sum]` for regression.
    pub(crate) fn unify(&self, preds: &mut [f64], balance: Option<&[Vec<f64>; 2]>) {
        let groups = self.forest.groups() as f64;
        if preds.len() == 1 {
            preds[0] /= groups;
            return;
        }
        if preds.len() == 3 && !self.double_trees {
            preds[1] /= groups;
            preds[2] = 1.0 - preds[1];
        } else {
            let sum = preds[1..].iter().fold(0.0, |sum, p| sum + p);
            if sum > 0.0 {
                preds[1..].iter_mut().for_each(|p| *p /= sum);
            }
        }
        if let Some([prior, model]) = balance {
            correct_balance(&mut preds[1..], prior, model);
        }
    }
}
