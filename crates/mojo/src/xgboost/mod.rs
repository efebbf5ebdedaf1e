//! XGBoost: gbtree, dart and gblinear boosters, in `f32` throughout.
//!
//! The booster sees one-hot columns. They are never built: at load each test of a one-hot column
//! becomes "is the level k?" with both outcomes decided, so a row is scored as it is encoded.
//! Sources: `XGBoostMojoReader`, `XGBoostJavaMojoModel`, `OneHotEncoderFactory`; xgboost-predictor
//! `Predictor`, `GBTree`, `Dart`, `GBLinear`, `ObjFunction`.

mod explain;
mod kernel;
mod read;
#[cfg(test)]
mod tests;

use crate::error::LoadError;
use crate::kernel::{Kernels, Places, Scratch as KernelScratch};
use crate::math::{exp, log};
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct XGBoost {
    booster: Booster,
    objective: Objective,
    one_hot: OneHot,
    /// Margin of an empty forest, after the objective's `prob_to_margin`.
    base_margin: f32,
    /// XGBoost up to 1.2 added the base score after the trees, later ones before.
    base_last: bool,
    has_offset: bool,
    outputs: usize,
}

#[derive(Debug)]
enum Booster {
    Trees(Trees),
    /// `(features + 1) x outputs` weights, the bias last.
    Linear {
        weights: Vec<f32>,
        features: usize,
    },
}

/// The trees of each output, in order; dart's weight of each; what explanations need.
#[derive(Debug)]
struct Trees {
    nodes: Vec<Node>,
    roots: Vec<Vec<u32>>,
    weights: Option<Vec<f32>>,
    /// Root and output of each tree, in the order of the file.
    order: Vec<(u32, u32)>,
    /// Edges from a root to the deepest leaf.
    depth: usize,
    /// What contributions need, or why it is not there.
    covers: Result<Covers, String>,
    kernels: Box<Kernels<f32>>,
}

/// How much of the training data passed where.
#[derive(Debug, Default)]
struct Covers {
    /// One per node.
    nodes: Vec<f32>,
    /// What each tree predicts on average, in the order of the file.
    means: Vec<f32>,
}

const LEAF: u8 = 1;
/// Missing values go left.
const DEFAULT_LEFT: u8 = 2;
/// The column is categorical, `test` is the place of the level among the one-hot columns.
const HOT: u8 = 4;
/// A row of that level goes left.
const HOT_LEFT: u8 = 8;
/// A row of another level goes left.
const COLD_LEFT: u8 = 16;

/// The left child is the next node.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Threshold or leaf as bits of an `f32`, or a one-hot column.
    test: u32,
    /// The right child; of a leaf its number in the file.
    right: u32,
    /// Column of the raw row.
    column: u32,
    flags: u8,
}

/// How the raw row maps to the columns that the booster was trained on.
#[derive(Debug)]
struct OneHot {
    /// Categorical columns come first; start of each one's levels, and the end of the last.
    cat_offsets: Vec<usize>,
    nums: usize,
    all_levels: bool,
    /// Zeros count as missing.
    sparse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objective {
    Identity,
    Logistic,
    Exp,
    Softmax,
    /// The index of the largest margin.
    ArgMax,
}

impl Objective {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "rank:pairwise" | "rank:ndcg" | "binary:logitraw" | "reg:linear"
            | "reg:squarederror" => Self::Identity,
            "binary:logistic" | "reg:logistic" => Self::Logistic,
            "multi:softmax" => Self::ArgMax,
            "multi:softprob" => Self::Softmax,
            "reg:gamma" | "reg:tweedie" | "count:poisson" => Self::Exp,
            _ => return None,
        })
    }

    /// Margin of the base score. Source: `ObjFunction.probToMargin`.
    fn margin(self, base_score: f32) -> f32 {
        match self {
            Self::Logistic => -log(f64::from(1.0 / base_score - 1.0)) as f32,
            Self::Exp => log(f64::from(base_score)) as f32,
            Self::Identity | Self::Softmax | Self::ArgMax => base_score,
        }
    }

    /// Margins to answers, in place. Source: `ObjFunction.predTransform`.
    fn transform(self, out: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Logistic => {
                for x in out {
                    *x = 1.0 / (1.0 + exp(f64::from(-*x)) as f32);
                }
            }
            Self::Exp => out.iter_mut().for_each(|x| *x = exp(f64::from(*x)) as f32),
            Self::Softmax => {
                let max = out.iter().fold(f32::NEG_INFINITY, |max, &x| java_max(x, max));
                let mut sum = 0.0;
                for x in out.iter_mut() {
                    *x = exp(f64::from(*x - max)) as f32;
                    sum += f64::from(*x);
                }
                out.iter_mut().for_each(|x| *x /= sum as f32);
            }
            Self::ArgMax => {
                let mut best = 0;
                for class in 1..out.len() {
                    if out[best] < out[class] {
                        best = class;
                    }
                }
                out[0] = best as f32;
            }
        }
    }
}

/// Java's `Math.max(float, float)`.
fn java_max(a: f32, b: f32) -> f32 {
    crate::link::java_max(f64::from(a), f64::from(b)) as f32
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// One-hot column of each category.
    hot: Vec<i64>,
    /// Numbers as the booster sees them.
    nums: Vec<f32>,
    margins: Vec<f32>,
    trees: KernelScratch<f32>,
}

impl XGBoost {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        n_classes: usize,
        n_features: usize,
    ) -> Result<Self, LoadError> {
        read::xgboost(reader, mojo_version, n_classes, n_features)
    }

    pub(crate) fn trees(&self) -> usize {
        match &self.booster {
            Booster::Trees(trees) => trees.roots.iter().map(Vec::len).sum(),
            Booster::Linear { .. } => 0,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.booster {
            Booster::Trees(trees) => {
                let covers = trees.covers.as_ref().map_or(0, |covers| {
                    size_of_val(covers.nodes.as_slice()) + size_of_val(covers.means.as_slice())
                });
                size_of_val(trees.nodes.as_slice())
                    + self.trees() * 12
                    + covers
                    + trees.kernels.memory_bytes()
            }
            Booster::Linear { weights, .. } => size_of_val(weights.as_slice()),
        }
    }

    /// Fills all of `preds` but the labels: `[_, p...]` or `[value]` for each row.
    ///
    /// `raw`: row-major, `n x width`, model order, NaN = missing. `offsets`: `n`. `preds`:
    /// row-major, `n x stride`. An offset takes the base score's place, in models that were trained
    /// with one.
    pub(crate) fn score_rows(
        &self,
        raw: &[f64],
        width: usize,
        offsets: &[f64],
        preds: &mut [f64],
        stride: usize,
        scratch: &mut Scratch,
    ) {
        let mut margins = std::mem::take(&mut scratch.margins);
        margins.clear();
        let base = |&offset: &f64| if self.has_offset { offset as f32 } else { self.base_margin };
        for base in offsets.iter().map(base) {
            let start = if self.base_last { 0.0 } else { base };
            margins.extend(std::iter::repeat_n(start, self.outputs));
        }
        match &self.booster {
            Booster::Trees(trees) => {
                self.add_trees(trees, raw, width, &mut margins, scratch);
            }
            Booster::Linear { weights, features } => {
                let rows = raw.chunks_exact(width).zip(margins.chunks_exact_mut(self.outputs));
                for (raw, margins) in rows {
                    self.one_hot.split(raw, scratch);
                    let Scratch { hot, nums, .. } = &*scratch;
                    for (output, margin) in margins.iter_mut().enumerate() {
                        *margin = self.linear(weights, *features, output, *margin, hot, nums);
                    }
                }
            }
        }
        let rows = margins.chunks_exact_mut(self.outputs).zip(preds.chunks_exact_mut(stride));
        for ((out, preds), base) in rows.zip(offsets.iter().map(base)) {
            if self.base_last {
                out.iter_mut().for_each(|sum| *sum += base);
            }
            self.objective.transform(out);
            match preds.len() {
                1 => preds[0] = f64::from(out[0]),
                3 => {
                    preds[1] = f64::from(1.0 - out[0]);
                    preds[2] = f64::from(out[0]);
                }
                _ => preds[1..].iter_mut().zip(out).for_each(|(p, x)| *p = f64::from(*x)),
            }
        }
        scratch.margins = margins;
    }

    /// Adds the leaves of each output's trees, in order.
    fn add_trees(
        &self,
        trees: &Trees,
        raw: &[f64],
        width: usize,
        margins: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let seen = kernel::Seen { trees, one_hot: &self.one_hot, width };
        let places = Places { stride: self.outputs, first: 0 };
        if !trees.kernels.add(&seen, raw, width, margins, places, &mut scratch.trees) {
            self.add_plainly(trees, raw, width, margins, scratch);
        }
    }

    /// The same, as genmodel does it: the judge of all kernels.
    fn add_plainly(
        &self,
        trees: &Trees,
        raw: &[f64],
        width: usize,
        margins: &mut [f32],
        scratch: &mut Scratch,
    ) {
        for (raw, margins) in raw.chunks_exact(width).zip(margins.chunks_exact_mut(self.outputs)) {
            self.one_hot.split(raw, scratch);
            for (output, margin) in margins.iter_mut().enumerate() {
                *margin = trees.sum(output, *margin, &scratch.hot, &scratch.nums);
            }
        }
    }

    fn linear(
        &self,
        weights: &[f32],
        features: usize,
        output: usize,
        start: f32,
        hot: &[i64],
        nums: &[f32],
    ) -> f32 {
        let mut sum = weights[features * self.outputs + output] + start;
        for feature in 0..features {
            let value = self.one_hot.value(feature, hot, nums);
            if !value.is_nan() {
                sum += value * weights[feature * self.outputs + output];
            }
        }
        sum
    }
}

impl Trees {
    /// `start` plus the leaves of an output's trees, in order.
    fn sum(&self, output: usize, start: f32, hot: &[i64], nums: &[f32]) -> f32 {
        let mut sum = start;
        for (tree, &root) in self.roots[output].iter().enumerate() {
            let leaf = self.leaf(root, hot, nums);
            // Dart's weights are counted within the output, not over all trees: so does genmodel.
            sum += match &self.weights {
                Some(weights) => weights[tree] * leaf,
                None => leaf,
            };
        }
        sum
    }

    fn leaf(&self, root: u32, hot: &[i64], nums: &[f32]) -> f32 {
        let mut at = root as usize;
        loop {
            let node = &self.nodes[at];
            if node.flags & LEAF != 0 {
                return f32::from_bits(node.test);
            }
            at = if node.goes_left(hot, nums) { at + 1 } else { node.right as usize };
        }
    }
}

impl Node {
    fn goes_left(&self, hot: &[i64], nums: &[f32]) -> bool {
        if self.flags & HOT != 0 {
            let is_hot = hot[self.column as usize] == i64::from(self.test);
            return self.flags & (if is_hot { HOT_LEFT } else { COLD_LEFT }) != 0;
        }
        let value = nums[self.column as usize - hot.len()];
        if value.is_nan() {
            self.flags & DEFAULT_LEFT != 0
        } else {
            value < f32::from_bits(self.test)
        }
    }
}

impl OneHot {
    fn cats(&self) -> usize {
        self.cat_offsets.len() - 1
    }

    /// One-hot columns.
    fn hots(&self) -> usize {
        self.cat_offsets[self.cats()]
    }

    /// Columns that the booster sees.
    fn features(&self) -> usize {
        self.hots() + self.nums
    }

    /// Category that a one-hot column belongs to. Searched for: a table would be as long as the
    /// file claims.
    fn cat_of(&self, feature: usize) -> Option<usize> {
        let cat = self.cat_offsets.partition_point(|&start| start <= feature);
        cat.checked_sub(1).filter(|&cat| cat < self.cats())
    }

    /// What a one-hot column that is not set holds.
    fn cold(&self) -> f32 {
        if self.sparse { f32::NAN } else { 0.0 }
    }

    /// Source: `GenModel.setCats`, `OneHotEncoderFactory.fromArray`.
    fn split(&self, raw: &[f64], scratch: &mut Scratch) {
        let cats = self.cats();
        scratch.hot.clear();
        for (column, value) in raw[..cats].iter().enumerate() {
            let end = self.cat_offsets[column + 1] as i64;
            let start = self.cat_offsets[column] as i64;
            let level = i64::from(*value as i32);
            let hot = if value.is_nan() {
                // The extra level that training made for missing values.
                end - 1
            } else if self.all_levels {
                level + start
            } else if level != 0 {
                level - 1 + start
            } else {
                -1
            };
            scratch.hot.push(if hot >= end { end - 1 } else { hot });
        }
        scratch.nums.clear();
        scratch.nums.extend(raw[cats..].iter().map(|&value| {
            let value = value as f32;
            if self.sparse && value == 0.0 { f32::NAN } else { value }
        }));
        // MOJO 1.00 tolerates rows that are too short.
        scratch.nums.resize(self.nums, if self.sparse { f32::NAN } else { 0.0 });
    }

    fn value(&self, feature: usize, hot: &[i64], nums: &[f32]) -> f32 {
        match self.cat_of(feature) {
            Some(cat) if hot[cat] == feature as i64 => 1.0,
            Some(_) => self.cold(),
            None => nums[feature - self.hots()],
        }
    }
}
