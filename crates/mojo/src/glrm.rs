//! Generalized Low Rank Model: a row's coordinates along archetypes, found by descent.
//!
//! In `model.ini`: `ncolA` columns, of them `num_categories` first and `num_numeric` after them in
//! the order `cols_permutation` (place in the raw row); `norm_sub`, `norm_mul`;
//! `num_levels_per_category`; `ncolX` = `nrowY` archetypes of `ncolY` numbers (levels, then
//! numbers); `regularizationX`, `gammaX`; from 1.10 on `seed`, `reverse_transform`, `transposed`,
//! `catOffsets`. In `losses`: a name per column. In `archetypes`: `nrowY x ncolY` big-endian
//! doubles, row-major, whatever `transposed` says.
//!
//! The answer `x` starts as `nextGaussian()` of `java.util.Random(seed + number of the row)`,
//! projected by the regulariser. Up to 100 times the gradient of `sum of losses + gamma * r(x)` is
//! taken, ten steps of 1/2, 1/4, ... 1/1024 (divided by the objective where that is above 10) are
//! tried, and the best is kept if it is better; until the objective falls by less than 1e-10 of
//! itself. A missing value has no loss. A missing *category* besides shifts all later columns to the
//! archetypes' numbers of earlier ones: genmodel does not advance past it.
//!
//! A row's number is what [`crate::Batch::set_first_row`] and its place in the batch say: genmodel
//! counts the rows that a loaded model has scored. Version 1.00 has no seed, and genmodel takes the
//! time for one: here it is 0. Such files have no reconstruction.
//!
//! `Periodic` losses are refused, as genmodel cannot load them: H2O writes `Periodic(<period>)`,
//! which is none of the names that genmodel knows.
//! Source: `GlrmMojoReader`, `GlrmMojoModel`, `GlrmLoss`, `GlrmRegularizer`.

mod loss;
mod read;
mod regularizer;
#[cfg(test)]
mod tests;

use crate::error::LoadError;
use crate::java::Random;
use crate::reader::Reader;
use loss::{CategoryLoss, NumberLoss};
use regularizer::Regularizer;

/// Steps that are tried at each turn.
const STEPS: usize = 10;
const TURNS: usize = 100;
/// The least improvement that is worth another turn.
const EPSILON: f64 = 1e-10;

#[derive(Debug)]
pub(crate) struct Glrm {
    seed: i64,
    cats: Vec<Cat>,
    nums: Vec<Num>,
    regularizer: Regularizer,
    gamma: f64,
    /// Row-major, archetypes x `width`: levels, then numbers.
    archetypes: Vec<f64>,
    width: usize,
    /// How to get the row back; version 1.10.
    reconstruction: Option<Reconstruction>,
}

#[derive(Debug)]
struct Cat {
    /// Place in the raw row.
    column: usize,
    levels: usize,
    loss: CategoryLoss,
}

#[derive(Debug)]
struct Num {
    /// Place in the raw row.
    column: usize,
    sub: f64,
    mul: f64,
    loss: NumberLoss,
}

#[derive(Debug)]
struct Reconstruction {
    /// First place of each category's levels in an archetype, then that of the numbers.
    offsets: Vec<usize>,
    reverses_transform: bool,
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The values whose losses count: columns with their first place in an archetype.
    cats: Vec<(usize, usize, usize)>,
    nums: Vec<(usize, usize, f64)>,
    /// `x` times the archetypes.
    product: Vec<f64>,
    /// A loss's gradient by level.
    slopes: Vec<f64>,
    gradient: Vec<f64>,
    tried: Vec<f64>,
    best: Vec<f64>,
}

impl Glrm {
    pub(crate) fn read(reader: &Reader<'_, '_>, n_features: usize) -> Result<Self, LoadError> {
        read::read(reader, n_features)
    }

    /// Number of archetypes.
    pub(crate) fn dimensions(&self) -> usize {
        self.archetypes.len() / self.width
    }

    /// Length of a reconstructed row; `None` if the file does not say how.
    pub(crate) fn reconstructed(&self) -> Option<usize> {
        self.reconstruction.as_ref().map(|_| self.cats.len() + self.nums.len())
    }

    /// Whether no `exp` or `log` is in the losses.
    pub(crate) fn is_exact(&self) -> bool {
        !self.nums.iter().any(|num| num.loss.is_transcendental())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.archetypes.as_slice())
            + size_of_val(self.cats.as_slice())
            + size_of_val(self.nums.as_slice())
    }

    /// `raw`: the row, model order, NaN = missing. `number`: of the row, from 0. `x`: an answer per
    /// archetype.
    pub(crate) fn score(&self, raw: &[f64], number: u64, x: &mut [f64], scratch: &mut Scratch) {
        self.take(raw, scratch);
        let mut random = Random::new(self.seed.wrapping_add(number.cast_signed()));
        for x in &mut *x {
            *x = random.next_gaussian();
        }
        self.regularizer.project(x, &mut random);
        let mut objective = self.objective(x, scratch);
        for _ in 0..TURNS {
            // Nothing left to gain; further turns change nothing.
            if objective == 0.0 {
                break;
            }
            self.take_gradient(x, scratch);
            let best = self.step(x, objective, &mut random, scratch);
            let gain = 1.0 - best / objective;
            objective = best;
            if gain < 0.0 || gain < EPSILON {
                break;
            }
        }
    }

    /// Notes which values count and where the archetypes have them.
    fn take(&self, raw: &[f64], scratch: &mut Scratch) {
        scratch.cats.clear();
        scratch.nums.clear();
        let mut at = 0;
        for (i, cat) in self.cats.iter().enumerate() {
            let value = raw[cat.column];
            // Levels that training did not see are missing.
            if value.is_nan() || value >= cat.levels as f64 {
                continue;
            }
            scratch.cats.push((i, at, value as usize));
            at += cat.levels;
        }
        for (i, num) in self.nums.iter().enumerate() {
            let value = raw[num.column];
            if !value.is_nan() {
                scratch.nums.push((i, at + i, (value - num.sub) * num.mul));
            }
        }
    }

    /// `x` times the archetypes, the terms in the order of the archetypes.
    fn multiply(&self, x: &[f64], product: &mut Vec<f64>) {
        product.clear();
        product.resize(self.width, 0.0);
        for (&x, archetype) in x.iter().zip(self.archetypes.chunks_exact(self.width)) {
            for (product, y) in product.iter_mut().zip(archetype) {
                *product += x * y;
            }
        }
    }

    fn objective(&self, x: &[f64], scratch: &mut Scratch) -> f64 {
        self.multiply(x, &mut scratch.product);
        let mut sum = 0.0;
        for &(i, at, level) in &scratch.cats {
            let cat = &self.cats[i];
            sum += cat.loss.at(&scratch.product[at..][..cat.levels], level);
        }
        for &(i, at, value) in &scratch.nums {
            sum += self.nums[i].loss.at(scratch.product[at], value);
        }
        sum + self.gamma * self.regularizer.at(x)
    }

    fn take_gradient(&self, x: &[f64], scratch: &mut Scratch) {
        self.multiply(x, &mut scratch.product);
        let Scratch { cats, nums, product, slopes, gradient, .. } = scratch;
        gradient.clear();
        gradient.resize(x.len(), 0.0);
        let archetypes = || self.archetypes.chunks_exact(self.width);
        for &(i, at, level) in &*cats {
            let cat = &self.cats[i];
            cat.loss.slopes(&product[at..][..cat.levels], level, slopes);
            for (sum, archetype) in gradient.iter_mut().zip(archetypes()) {
                for (slope, y) in slopes.iter().zip(&archetype[at..]) {
                    *sum += slope * y;
                }
            }
        }
        for &(i, at, value) in &*nums {
            let slope = self.nums[i].loss.slope(product[at], value);
            for (sum, archetype) in gradient.iter_mut().zip(archetypes()) {
                *sum += slope * archetype[at];
            }
        }
    }

    /// Tries the steps against the gradient; moves `x` if one lowers the objective. The lowest
    /// objective, or `f64::MAX` if no step has a lower one than that.
    fn step(&self, x: &mut [f64], before: f64, random: &mut Random, scratch: &mut Scratch) -> f64 {
        let scale = if before > 10.0 { 1.0 / before } else { 1.0 };
        let mut lowest = f64::MAX;
        let mut alpha = 1.0;
        scratch.best.clear();
        scratch.best.resize(x.len(), 0.0);
        let mut tried = std::mem::take(&mut scratch.tried);
        for _ in 0..STEPS {
            alpha *= 0.5;
            let scaled = alpha * scale;
            tried.clear();
            tried.extend(x.iter().zip(&scratch.gradient).map(|(x, slope)| x - scaled * slope));
            self.regularizer.approach(&mut tried, scaled * self.gamma, random);
            let objective = self.objective(&tried, scratch);
            if lowest > objective {
                scratch.best.copy_from_slice(&tried);
                lowest = objective;
            }
            if objective == 0.0 {
                break;
            }
        }
        scratch.tried = tried;
        if lowest < before {
            x.copy_from_slice(&scratch.best);
        }
        lowest
    }

    /// The row that `x` stands for, in model order: level indices and numbers.
    pub(crate) fn reconstruct(&self, x: &[f64], scratch: &mut Scratch, row: &mut [f64]) {
        let Some(Reconstruction { offsets, reverses_transform }) = &self.reconstruction else {
            return;
        };
        self.multiply(x, &mut scratch.product);
        let product = &scratch.product;
        for (cat, &at) in self.cats.iter().zip(offsets) {
            row[cat.column] = cat.loss.impute(&product[at..][..cat.levels]) as f64;
        }
        let first = offsets[offsets.len() - 1];
        for (num, &product) in self.nums.iter().zip(&product[first..]) {
            let value = num.loss.impute(product);
            row[num.column] = if *reverses_transform { value / num.mul + num.sub } else { value };
        }
    }
}
