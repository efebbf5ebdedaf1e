//! What an XGBoost model can say about a row beside its answer: the leaf in each tree, the
//! contribution of each column that the booster sees.
//!
//! Sources: `XGBoostJavaMojoModel`, xgboost-predictor `GBTree.predictLeaf`, `predictLeafPath`.

use super::{Booster, Covers, HOT, LEAF, Node, OneHot, Scratch, Trees, XGBoost};
use crate::tree::explain::{name, too_deep};
use crate::tree::shap::{self, Shape};

impl XGBoost {
    fn forest(&self) -> Result<&Trees, String> {
        match &self.booster {
            Booster::Trees(trees) => Ok(trees),
            Booster::Linear { .. } => Err("the booster gblinear has no trees".to_owned()),
        }
    }

    /// `T1.C1` is the first tree of the first class, in the order of the file: round by round.
    pub(crate) fn tree_names(&self) -> Result<Vec<String>, String> {
        let mut seen = vec![0; self.outputs];
        let names = self.forest()?.order.iter().map(|&(_, output)| {
            let seen = &mut seen[output as usize];
            *seen += 1;
            name(*seen - 1, output as usize)
        });
        Ok(names.collect())
    }

    /// Whether there is what contributions need, or why not.
    pub(crate) fn explains(&self) -> Result<(), String> {
        let trees = self.forest()?;
        trees.covers.as_ref().map_err(Clone::clone)?;
        if trees.depth > shap::DEPTH_MAX {
            return Err(too_deep(trees.depth));
        }
        Ok(())
    }

    /// Margin of an empty forest; an offset does not take its place in contributions.
    pub(crate) fn base_margin(&self) -> f32 {
        self.base_margin
    }

    /// One-hot columns of each category, extra level included, then 1 for each number.
    pub(crate) fn blocks(&self) -> Vec<usize> {
        let OneHot { cat_offsets, nums, .. } = &self.one_hot;
        let levels = cat_offsets.windows(2).map(|ends| ends[1] - ends[0]);
        levels.chain(std::iter::repeat_n(1, *nums)).collect()
    }

    /// Calls `step` with each step of the row's path (`true` is right) and `end` with the number
    /// of the leaf, tree by tree in the order of [`XGBoost::tree_names`].
    pub(crate) fn leaves<S>(
        &self,
        row: &[f64],
        scratch: &mut Scratch,
        sink: &mut S,
        step: impl Fn(&mut S, bool),
        end: impl Fn(&mut S, i32),
    ) {
        let Booster::Trees(trees) = &self.booster else { return };
        self.one_hot.split(row, scratch);
        for &(root, _) in &trees.order {
            let mut at = root as usize;
            loop {
                let node = &trees.nodes[at];
                if node.flags & LEAF != 0 {
                    end(sink, node.right.cast_signed());
                    break;
                }
                let left = node.goes_left(&scratch.hot, &scratch.nums);
                step(sink, !left);
                at = if left { at + 1 } else { node.right as usize };
            }
        }
    }

    /// Adds the contribution of each column that the booster sees to `phi`, and the means of the
    /// trees to its last place.
    ///
    /// `rows`: row-major, rows x columns; `phi`: row-major, rows x `stride`.
    /// Dart's weights of trees are passed over, as in genmodel: its contributions do not add up.
    pub(crate) fn contribute(
        &self,
        rows: &[f64],
        columns: usize,
        phi: &mut [f32],
        stride: usize,
        scratch: &mut Scratch,
        shap: &mut shap::Scratch,
    ) {
        let Booster::Trees(trees) = &self.booster else { return };
        let Ok(covers) = &trees.covers else { return };
        let (mut hot, mut nums) = (Vec::new(), Vec::new());
        for row in rows.chunks_exact(columns) {
            self.one_hot.split(row, scratch);
            hot.extend_from_slice(&scratch.hot);
            nums.extend_from_slice(&scratch.nums);
        }
        let walker = Walker { trees, covers, one_hot: &self.one_hot, hot: &hot, nums: &nums };
        for (&(root, _), mean) in trees.order.iter().zip(&covers.means) {
            phi.iter_mut().skip(stride - 1).step_by(stride).for_each(|bias| *bias += mean);
            shap::add(&walker, root as usize, phi, stride, shap);
        }
    }
}

impl Node {
    /// The leaf's prediction, or the places of both children behind `base`.
    pub(super) fn or_children(&self, at: usize, base: usize) -> Result<f32, (usize, usize)> {
        if self.flags & LEAF != 0 {
            return Ok(f32::from_bits(self.test));
        }
        Err((at.saturating_add(1), (self.right as usize).saturating_sub(base)))
    }
}

/// Encoded rows on their way through trees.
struct Walker<'a> {
    trees: &'a Trees,
    covers: &'a Covers,
    one_hot: &'a OneHot,
    /// Rows x categories.
    hot: &'a [i64],
    /// Rows x numbers.
    nums: &'a [f32],
}

impl shap::Trees for Walker<'_> {
    fn shape(&self, at: usize) -> Shape {
        let node = &self.trees.nodes[at];
        if node.flags & LEAF != 0 {
            return Shape::Leaf(f32::from_bits(node.test));
        }
        let feature = if node.flags & HOT != 0 {
            node.test as usize
        } else {
            node.column as usize - self.one_hot.cats() + self.one_hot.hots()
        };
        Shape::Split { feature, left: at + 1, right: node.right as usize }
    }

    fn goes_right(&self, at: usize, row: usize) -> bool {
        let (cats, nums) = (self.one_hot.cats(), self.one_hot.nums);
        let (hot, nums) = (&self.hot[row * cats..][..cats], &self.nums[row * nums..][..nums]);
        !self.trees.nodes[at].goes_left(hot, nums)
    }

    fn weight(&self, at: usize) -> f32 {
        self.covers.nodes[at]
    }
}
