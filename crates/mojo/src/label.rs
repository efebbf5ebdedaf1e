//! From class probabilities to the label, ties included.
//!
//! Source: `GenModel.getPrediction*`, `GenModel.correctProbabilities` (h2o-genmodel 3.46.0.11).

use crate::java::Random;

/// What turns class probabilities into a label.
#[derive(Debug, Clone)]
pub(crate) struct Labeller {
    pub(crate) threshold: f64,
    /// Share of each class in the training data; breaks ties.
    pub(crate) prior: Option<Vec<f64>>,
}

impl Labeller {
    /// Writes the label's index into `preds[0]`; `preds[1..]` are the probabilities.
    ///
    /// `raw`: the row as the model sees it, which seeds the choice between ties.
    pub(crate) fn label(&self, preds: &mut [f64], raw: &[f64]) {
        let index = if preds.len() == 3 {
            usize::from(preds[2] >= self.threshold)
        } else {
            self.most_probable(&preds[1..], raw)
        };
        preds[0] = index as f64;
    }

    /// The class of the largest probability; of several one that is chosen by the row.
    fn most_probable(&self, p: &[f64], raw: &[f64]) -> usize {
        let (mut best, mut tied) = (0, 0_i32);
        for class in 1..p.len() {
            if p[best] < p[class] {
                (best, tied) = (class, 0);
            } else if p[best] == p[class] {
                tied += 1;
            }
        }
        if tied == 0 {
            return best;
        }
        let hash = hash(raw);
        let drawn = self.prior.as_ref().and_then(|prior| drawn(p, prior, hash));
        drawn.unwrap_or_else(|| counted(p, best, tied, hash))
    }
}

#[cold]
fn hash(raw: &[f64]) -> i64 {
    // One NaN, Java's own, so that no payload from a tensor decides.
    let bits = |value: f64| (if value.is_nan() { f64::NAN } else { value }).to_bits() as i64;
    raw.iter().fold(0_i64, |hash, &value| hash ^ (bits(value) >> 6))
}

/// A class drawn by its share of the training data; none if rounding lets the draw fall behind all.
///
/// The list starts with class 0 whether it is tied or not, and it is never emptied of what was tied on
/// the way: genmodel does so, and labels must be equal.
#[cold]
fn drawn(p: &[f64], prior: &[f64], hash: i64) -> Option<usize> {
    let mut ties = vec![0];
    let mut largest = 0;
    for class in 1..p.len() {
        if p[largest] < p[class] {
            largest = class;
        } else if p[largest] == p[class] {
            ties.push(class);
        }
    }
    let sum = ties.iter().fold(0.0, |sum, &class| sum + prior[class]);
    let draw = Random::new(hash).next_double();
    let mut reached = 0.0;
    ties.into_iter().find(|&class| {
        reached += prior[class] / sum;
        draw <= reached
    })
}

/// One of the classes that are as probable as `best`, of which there are `tied` more.
#[cold]
fn counted(p: &[f64], best: usize, tied: i32, hash: i64) -> usize {
    // `(int) hash % (ties + 1)` of Java: the remainder keeps the sign, and below 0 it is the first.
    let skip = usize::try_from((hash as i32) % (tied + 1)).unwrap_or(0);
    let mut largest = (0..p.len()).filter(|&class| p[class] == p[best]);
    largest.nth(skip).unwrap_or(best)
}

/// Undoes the over- and undersampling of `balance_classes`.
///
/// `p`: probabilities, corrected in place; `prior`, `model`: share of each class in the data and
/// in the sample that the model saw. All of one length.
pub(crate) fn correct_balance(p: &mut [f64], prior: &[f64], model: &[f64]) {
    let mut sum = 0.0;
    for ((p, &prior), &model) in p.iter_mut().zip(prior).zip(model) {
        if prior != 0.0 && model != 0.0 {
            *p *= prior / model;
        }
        sum += *p;
    }
    if sum > 0.0 {
        p.iter_mut().for_each(|p| *p /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomial_label_is_the_second_from_the_threshold_on() {
        let labeller = Labeller { threshold: 0.25, prior: None };
        for (p1, label) in [(0.25, 1.0), (0.2499, 0.0), (f64::NAN, 0.0)] {
            let mut preds = [9.0, 1.0 - p1, p1];
            labeller.label(&mut preds, &[]);
            assert_eq!(preds[0], label, "p1 = {p1}");
        }
    }

    #[test]
    fn a_tie_can_go_to_class_0_although_it_is_not_tied() {
        // Class 0 has all of the prior weight, so the list's first entry takes every draw.
        let labeller = Labeller { threshold: 0.5, prior: Some(vec![1.0, 0.0, 0.0]) };
        let mut preds = [9.0, 0.2, 0.4, 0.4];
        labeller.label(&mut preds, &[1.5]);
        assert_eq!(preds[0], 0.0);
    }

    #[test]
    fn balance_correction_restores_the_prior() {
        let mut p = [0.5, 0.5];
        correct_balance(&mut p, &[0.9, 0.1], &[0.5, 0.5]);
        assert_eq!(p, [0.9, 0.1]);
    }
}
