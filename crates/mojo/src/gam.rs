//! Generalized Additive Model: a GLM over columns of which some are splines of others.
//!
//! The raw row is the categorical columns, the numeric ones, and then, for each smoothed predictor,
//! its centred spline values ([`Splines`]), which are no columns of the caller's: they come from
//! `gam_columns_sorted`. (genmodel also takes them under their generated names.) `eta` is the sum
//! of the levels' coefficients, of coefficient x number and the intercept, over `beta_center`.
//!
//! | key or entry | what |
//! | --- | --- |
//! | `family`, `link`, `tweedie_link_power` | as in GLM; `bernoulli` is binomial; no link: that of the family |
//! | `cats`, `cat_offsets`, `use_all_factor_levels` | place of the levels' coefficients; without all levels the first one has none |
//! | `mean_imputation`, `catNAFills`, `numNAFillsCenter`, `numsCenter` | what stands for missing values, spline columns included |
//! | `beta_center`; `beta_multinomial_centering` with `beta center length per class` | coefficients; big-endian doubles, a row per class, for multinomial and ordinal |
//! | `bs_sorted`, `num_knots_sorted`, `spline_orders_sorted`, `_d` | per smoothed predictor: 0 cubic regression, 2 I-spline, 3 M-spline, 1 thin plate, in this order; knots; order; columns it reads |
//! | `num_CS_col`, `num_IS_col`, `num_MS_col`, `num_TP_col` | how many there are of each, 0 where a key is missing |
//! | `gam_columns_sorted`, `gam_column_dim_sorted` | the predictors' columns, one per line |
//! | `knots`, `zTranspose`, `_binvD`, `zTransposeCS` | big-endian doubles, matrices behind each other |
//! | `polynomialBasisList`, `_m`, `_M`, `num_knots_TP`, `standardize` | thin plates |
//!
//! The layout changed without a new version. Files without `num_MS_col` (3.36) make genmodel
//! 3.46.0.11 throw at load; here they load, and are judged by the genmodel that came with them. Files
//! older than `num_knots_sorted` are refused.
//!
//! Sources: `GamMojoReader`, `GamMojoModelBase`, `GamMojoModel`, `GamMojoMultinomialModel`,
//! `GamUtilsCubicRegression`, `GamUtilsThinPlateRegression`, `ISplines`, `MSplines`,
//! `NBSplinesTypeI`, `NBSplinesTypeII`.

mod basis;
mod read;
mod read_splines;
mod splines;

pub(crate) use splines::{Input, Splines};

use crate::error::{RowError, RowErrorKind};
use crate::glm::softmax;
use crate::link::GlmLink;
use crate::math::exp;

#[derive(Debug)]
pub(crate) struct Gam {
    family: Family,
    /// Row-major, `classes x width`: levels, numbers and splines, intercept.
    beta: Vec<f64>,
    width: usize,
    cat_offsets: Vec<usize>,
    all_levels: bool,
    /// Stands for missing values, model order; columns behind these stay missing.
    imputed: Vec<f64>,
    /// A thin plate of an even number of columns has a logarithm.
    has_logarithm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    Regression(GlmLink),
    Binomial { link: GlmLink, threshold: f64 },
    Multinomial,
    Ordinal,
}

impl Gam {
    pub(crate) fn is_exact(&self) -> bool {
        let is_identity =
            matches!(self.family, Family::Regression(GlmLink::Identity | GlmLink::Inverse));
        is_identity && !self.has_logarithm
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.beta.as_slice()) + size_of_val(self.imputed.as_slice())
    }

    /// Fills `preds` as genmodel does, the label included.
    ///
    /// `raw`: the row with its splines, model order, NaN = missing.
    pub(crate) fn score(
        &self,
        raw: &[f64],
        offset: f64,
        preds: &mut [f64],
    ) -> Result<(), RowError> {
        if offset != 0.0 {
            return Err(RowError {
                kind: RowErrorKind::Model,
                column: None,
                message: "genmodel scores GAM with an offset of 0 only".to_owned(),
            });
        }
        match self.family {
            Family::Regression(link) => preds[0] = link.mean(self.eta(raw, 0)),
            Family::Binomial { link, threshold } => {
                let mean = link.mean(self.eta(raw, 0));
                preds[0] = f64::from(u8::from(mean >= threshold));
                preds[1] = 1.0 - mean;
                preds[2] = mean;
            }
            Family::Multinomial | Family::Ordinal => {
                for class in 0..preds.len() - 1 {
                    preds[class + 1] = self.eta(raw, class);
                }
                if self.family == Family::Multinomial {
                    softmax(preds);
                } else {
                    ordinal(preds);
                }
            }
        }
        Ok(())
    }

    /// The linear predictor of a class.
    fn eta(&self, raw: &[f64], class: usize) -> f64 {
        let beta = &self.beta[class * self.width..(class + 1) * self.width];
        let value = |column: usize| match self.imputed.get(column) {
            Some(&imputed) if raw[column].is_nan() => imputed,
            _ => raw[column],
        };
        let mut eta = 0.0;
        let cats = self.cat_offsets.len() - 1;
        for column in 0..cats {
            // A level that stays missing counts as the first one.
            let code = i64::from(value(column) as i32) - i64::from(!self.all_levels);
            let place = usize::try_from(code).ok();
            let place = place.map(|code| self.cat_offsets[column].saturating_add(code));
            if let Some(place) = place.filter(|&place| place < self.cat_offsets[column + 1]) {
                eta += beta[place];
            }
        }
        let numbers = &beta[self.cat_offsets[cats]..self.width - 1];
        for (i, coefficient) in numbers.iter().enumerate() {
            eta += coefficient * value(cats + i);
        }
        eta + beta[self.width - 1]
    }
}

/// Etas to probabilities and label: the label is the first class with an eta above 0.
fn ordinal(preds: &mut [f64]) {
    let last = preds.len() - 2;
    preds[0] = last as f64;
    let (mut below, mut found) = (0.0, false);
    for class in 0..last {
        let eta = preds[class + 1];
        let up_to = 1.0 / (1.0 + exp(-eta));
        preds[class + 1] = up_to - below;
        below = up_to;
        if eta > 0.0 && !found {
            preds[0] = class as f64;
            found = true;
        }
    }
    preds[last + 1] = 1.0 - below;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinal_label_is_the_first_class_with_an_eta_above_0() {
        for (etas, label) in
            [([-1.0, 1.0, 9.0], 1.0), ([-2.0, -1.0, 9.0], 2.0), ([0.0, 0.5, 0.0], 1.0)]
        {
            let mut preds = [0.0, etas[0], etas[1], etas[2]];
            ordinal(&mut preds);
            assert_eq!(preds[0], label, "{etas:?}");
            let logistic = |eta: f64| 1.0 / (1.0 + exp(-eta));
            assert_eq!(preds[1], logistic(etas[0]));
            assert_eq!(preds[2], logistic(etas[1]) - logistic(etas[0]));
            assert_eq!(preds[3], 1.0 - logistic(etas[1]));
        }
    }
}
