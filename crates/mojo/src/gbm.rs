//! Gradient Boosting Machine.
//!
//! `margin = init_f + offset + sum of leaves`, then the inverse link; multinomial: softmax over
//! one margin per class. Source: `GbmMojoReader`, `GbmMojoModel`, `GenModel.GBM_rescale`.

use crate::error::LoadError;
use crate::label::correct_balance;
use crate::link::{GbmLink, java_max};
use crate::math::exp_all;
use crate::reader::Reader;
use crate::tree::Forest;

#[derive(Debug)]
pub(crate) struct Gbm {
    pub(crate) forest: Forest,
    family: Family,
    link: GbmLink,
    pub(crate) init: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// bernoulli, quasibinomial, `modified_huber`: one margin, that of the second class.
    Binomial,
    /// Softmax.
    Multinomial,
    Regression,
}

impl Gbm {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        n_classes: usize,
        levels: &[Option<usize>],
    ) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let distribution = ini.required_text("distribution")?;
        let bad = |key: &str, found: &str, expected: &str| LoadError::BadValue {
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        let family = match distribution {
            "bernoulli" | "quasibinomial" | "modified_huber" => Family::Binomial,
            "multinomial" => Family::Multinomial,
            "gaussian" | "poisson" | "gamma" | "tweedie" | "huber" | "laplace" | "quantile"
            | "custom" | "AUTO" | "ordinal" | "fractionalbinomial" | "negativebinomial" => {
                Family::Regression
            }
            other => return Err(bad("distribution", other, "a distribution of H2O's GBM")),
        };
        let fits = match family {
            Family::Binomial => n_classes == 2,
            Family::Multinomial => n_classes >= 2,
            Family::Regression => n_classes == 1,
        };
        if !fits {
            let expected = format!("a number that goes with distribution {distribution}");
            return Err(bad("n_classes", &n_classes.to_string(), &expected));
        }
        let link = match ini.text("link_function") {
            None => GbmLink::of_family(distribution),
            Some(name) => GbmLink::parse(name)
                .ok_or_else(|| bad("link_function", name, "a link function of H2O"))?,
        };
        let forest = Forest::read(reader, mojo_version, n_classes, levels, n_classes <= 2)?;
        if family != Family::Multinomial && forest.classes() != 1 {
            let found = forest.classes().to_string();
            return Err(bad("n_trees_per_class", &found, "1 for this distribution"));
        }
        Ok(Self { forest, family, link, init: ini.f64("init_f")? })
    }

    /// Whether an `exp` stands between the margin and the answer.
    pub(crate) fn is_identity(&self) -> bool {
        self.family == Family::Regression && self.link == GbmLink::Identity
    }

    /// [`Gbm::unify`] of rows that lie behind each other, `stride` numbers each: their exponentials
    /// run side by side.
    pub(crate) fn unify_rows(
        &self,
        preds: &mut [f64],
        stride: usize,
        offsets: &[f64],
        balance: Option<&[Vec<f64>; 2]>,
    ) {
        const BLOCK: usize = 64;
        let margin = match self.family {
            Family::Regression => 0,
            Family::Binomial => 1,
            Family::Multinomial => {
                for (preds, offsets) in preds.chunks_mut(BLOCK * stride).zip(offsets.chunks(BLOCK))
                {
                    self.unify_classes(preds, stride, offsets, balance);
                }
                return;
            }
        };
        for (preds, offsets) in preds.chunks_mut(BLOCK * stride).zip(offsets.chunks(BLOCK)) {
            let mut means = [0.0; BLOCK];
            let rows = preds.chunks_exact(stride).zip(offsets);
            for (mean, (preds, offset)) in means.iter_mut().zip(rows) {
                *mean = preds[margin] + self.init + offset;
            }
            self.link.means(&mut means[..offsets.len()]);
            for (preds, mean) in preds.chunks_exact_mut(stride).zip(means) {
                if self.family == Family::Regression {
                    preds[0] = mean;
                    continue;
                }
                (preds[1], preds[2]) = (1.0 - mean, mean);
                if let Some([prior, model]) = balance {
                    correct_balance(&mut preds[1..], prior, model);
                }
            }
        }
    }

    /// [`Gbm::unify_rows`] of softmax. Places of labels go through `exp` with the others.
    fn unify_classes(
        &self,
        preds: &mut [f64],
        stride: usize,
        offsets: &[f64],
        balance: Option<&[Vec<f64>; 2]>,
    ) {
        for (preds, offset) in preds.chunks_exact_mut(stride).zip(offsets) {
            preds[0] = 0.0;
            self.mirror(preds, *offset);
            below_largest(&mut preds[1..]);
        }
        exp_all(preds);
        for preds in preds.chunks_exact_mut(stride) {
            to_shares(&mut preds[1..]);
            if let Some([prior, model]) = balance {
                correct_balance(&mut preds[1..], prior, model);
            }
        }
    }

    /// Softmax of two classes has one margin.
    fn mirror(&self, preds: &mut [f64], offset: f64) {
        if preds.len() == 3 {
            preds[1] += self.init + offset;
            preds[2] = -preds[1];
        }
    }

    /// From sums of leaves to genmodel's array, in place, all but the label.
    ///
    /// `preds`: `[_, margin, ...]` for classes, `[margin]` for regression.
    pub(crate) fn unify(&self, preds: &mut [f64], offset: f64, balance: Option<&[Vec<f64>; 2]>) {
        match self.family {
            Family::Regression => {
                preds[0] = self.link.mean(preds[0] + self.init + offset);
                return;
            }
            Family::Binomial => {
                preds[2] = self.link.mean(preds[1] + self.init + offset);
                preds[1] = 1.0 - preds[2];
            }
            Family::Multinomial => {
                self.mirror(preds, offset);
                below_largest(&mut preds[1..]);
                exp_all(&mut preds[1..]);
                to_shares(&mut preds[1..]);
            }
        }
        if let Some([prior, model]) = balance {
            correct_balance(&mut preds[1..], prior, model);
        }
    }
}

/// Less the largest of them: the first half of softmax, before `exp`. Source: `GenModel.log_rescale`,
/// `GBM_rescale`.
fn below_largest(margins: &mut [f64]) {
    let max = margins.iter().fold(f64::NEG_INFINITY, |max, &margin| java_max(max, margin));
    margins.iter_mut().for_each(|margin| *margin -= max);
}

/// Over their sum: the second half.
fn to_shares(exps: &mut [f64]) {
    let sum = exps.iter().fold(0.0, |sum, p| sum + p);
    exps.iter_mut().for_each(|p| *p /= sum);
}
