//! How kernels see `XGBoost`'s trees, on the raw row: nothing is one-hot but the tests.

use super::{COLD_LEFT, DEFAULT_LEFT, HOT, HOT_LEFT, LEAF, Node as Own, OneHot, Trees};
use crate::kernel::{Coder, Node, Rounding, Source, Test};

/// Trees on rows of a width.
pub(super) struct Seen<'a> {
    pub(super) trees: &'a Trees,
    pub(super) one_hot: &'a OneHot,
    pub(super) width: usize,
}

impl Source for Seen<'_> {
    fn rounding(&self) -> Rounding {
        Rounding::Nearest { zero_is_missing: self.one_hot.sparse }
    }

    fn limit(&self, _: u32) -> i64 {
        i64::MAX
    }

    /// Code 0 is the column's first one-hot column; see [`OneHot::split`].
    fn coder(&self, column: u32) -> Coder {
        let ends = &self.one_hot.cat_offsets[column as usize..][..2];
        let levels = (ends[1] - ends[0]) as u32;
        let last = levels.saturating_sub(1);
        let shift = u32::from(!self.one_hot.all_levels);
        Coder { column, shift, levels, below: levels, beyond: last, missing: last }
    }

    fn set_bytes_max(&self) -> usize {
        0
    }

    fn classes(&self) -> usize {
        self.trees.roots.len()
    }

    fn trees(&self, class: usize) -> usize {
        self.trees.roots[class].len()
    }

    fn tree(&self, class: usize, tree: usize, nodes: &mut Vec<Node>) {
        let root = self.trees.roots[class][tree] as usize;
        // A right child lies behind all of its left sibling's tree: the last leaf ends the tree.
        let mut open = 1_usize;
        for node in &self.trees.nodes[root..] {
            if node.flags & LEAF != 0 {
                let leaf = f32::from_bits(node.test);
                // The same product for every row.
                let weight = self.trees.weights.as_ref().map(|weights| weights[tree]);
                nodes.push(Node::Leaf(weight.map_or(leaf, |weight| weight * leaf)));
                open -= 1;
            } else {
                let (test, inverted) = self.test(node);
                nodes.push(Node::Split { test, inverted, right: node.right - root as u32 });
                open += 1;
            }
            if open == 0 {
                break;
            }
        }
    }

    fn set(&self, _: u32, _: &mut [u64]) {}
}

impl Seen<'_> {
    /// The test, and whether those who fail it go right.
    fn test(&self, node: &Own) -> (Test, bool) {
        let column = node.column;
        if node.flags & HOT != 0 {
            let code = node.test - self.one_hot.cat_offsets[column as usize] as u32;
            let (hot_left, cold_left) = (node.flags & HOT_LEFT != 0, node.flags & COLD_LEFT != 0);
            return match (hot_left, cold_left) {
                (true, true) => (Test::Never, false),
                (false, false) => (Test::Never, true),
                (hot_left, _) => (Test::Equal { column, code }, hot_left),
            };
        }
        let default_left = node.flags & DEFAULT_LEFT != 0;
        let threshold = f32::from_bits(node.test);
        if column as usize >= self.width {
            // MOJO 1.00 tolerates rows that are too short.
            let value = if self.one_hot.sparse { f32::NAN } else { 0.0 };
            let left = if value.is_nan() { default_left } else { value < threshold };
            return (Test::Never, !left);
        }
        match (threshold.is_nan(), default_left) {
            (false, _) => (Test::AtLeast { column, threshold, missing: !default_left }, false),
            // No number is below NaN.
            (true, true) => (Test::Missing { column }, true),
            (true, false) => (Test::Never, true),
        }
    }
}
