//! What a forest can say about a row beside its answer: the leaf in each tree, the answer after
//! each group of trees, the contribution of each column.
//!
//! Source: `SharedTreeMojoModel.getLeafNodeAssignments`, `scoreStagedPredictions`,
//! `SharedTreeMojoModelWithContributions`.

use super::shap::{self, Shape, Trees};
use super::{Forest, LEAF, NA_VS_REST, Weights};

/// Where a row ends in a tree.
pub(crate) struct Leaf {
    /// Bit `i` is set if step `i` goes right; the bit after the last step is set too. `None` if
    /// there are more than 63 steps, or if genmodel takes the bits for a NaN.
    pub(crate) path: Option<u64>,
    /// Number of the leaf, of use if the forest has them. -1 without a path.
    pub(crate) id: i32,
}

impl Forest {
    /// `T1.C1` is the first tree of the first class; class by class.
    pub(crate) fn tree_names(&self) -> Vec<String> {
        let classes = self.roots.iter().enumerate();
        let names = |(class, roots): (usize, &Vec<u32>)| {
            (0..roots.len()).map(move |tree| name(tree, class)).collect::<Vec<_>>()
        };
        classes.flat_map(names).collect()
    }

    /// The same names, group by group.
    pub(crate) fn stage_names(&self) -> Vec<String> {
        let groups = 0..self.groups;
        groups.flat_map(|tree| (0..self.classes()).map(move |class| name(tree, class))).collect()
    }

    /// Whether each class has trees.
    pub(crate) fn is_whole(&self) -> bool {
        self.roots.iter().all(|roots| !roots.is_empty())
    }

    /// Whether leaves have numbers, or why not.
    pub(crate) fn leaf_ids(&self) -> Result<(), String> {
        self.ids.clone()
    }

    /// Whether there is what contributions need, or why not.
    pub(crate) fn explains(&self) -> Result<(), String> {
        self.weights.as_ref().map(|_| ()).map_err(Clone::clone)?;
        if self.depth > shap::DEPTH_MAX {
            return Err(too_deep(self.depth));
        }
        Ok(())
    }

    /// The leaf of each tree, in the order of [`Forest::tree_names`].
    pub(crate) fn leaves(&self, row: &[f64]) -> impl Iterator<Item = Leaf> {
        self.roots.iter().flatten().map(|&root| self.leaf_of(root, row))
    }

    fn leaf_of(&self, root: u32, row: &[f64]) -> Leaf {
        let mut at = root as usize;
        let (mut bits, mut steps) = (0_u64, 0_u32);
        loop {
            let node = &self.nodes[at];
            if node.flags & LEAF != 0 {
                // The bits travel as a double, and a NaN says "too deep" there.
                let path = 1_u64.checked_shl(steps).map(|end| bits | end);
                let path = path.filter(|&bits| !f64::from_bits(bits).is_nan());
                let id = if path.is_some() { node.right.cast_signed() } else { -1 };
                return Leaf { path, id };
            }
            let right = self.goes_right(node, row);
            bits |= u64::from(right).checked_shl(steps).unwrap_or(0);
            steps += 1;
            at = if right { node.right as usize } else { at + 1 };
        }
    }

    /// Calls `stage` after each group with the sum of leaves of each class so far.
    ///
    /// Sums grow in the order that scoring adds them in, so they have the bits of a forest that
    /// ends there, in one pass.
    pub(crate) fn stages(&self, row: &[f64], mut stage: impl FnMut(&[f64])) {
        let mut sums = vec![0.0; self.classes()];
        for group in 0..self.groups {
            for (sum, roots) in sums.iter_mut().zip(&self.roots) {
                if let Some(&root) = roots.get(group) {
                    *sum += f64::from(self.leaf(root, row));
                }
            }
            stage(&sums);
        }
    }

    /// Adds each column's contribution to `phi`, and the means of the trees to its last place.
    ///
    /// `rows`: row-major, rows x columns; `phi`: row-major, rows x `stride`.
    /// Source: `TreeSHAPEnsemble.calculateContributions`.
    pub(crate) fn contribute(
        &self,
        rows: &[f64],
        columns: usize,
        phi: &mut [f32],
        stride: usize,
        scratch: &mut shap::Scratch,
    ) {
        let Ok(weights) = &self.weights else { return };
        let walker = Walker { forest: self, weights, rows, columns };
        for (&root, mean) in self.roots.iter().flatten().zip(&weights.means) {
            phi.iter_mut().skip(stride - 1).step_by(stride).for_each(|bias| *bias += mean);
            shap::add(&walker, root as usize, phi, stride, scratch);
        }
    }
}

/// Rows on their way through trees.
struct Walker<'a> {
    forest: &'a Forest,
    weights: &'a Weights,
    rows: &'a [f64],
    columns: usize,
}

impl Trees for Walker<'_> {
    fn shape(&self, at: usize) -> Shape {
        let node = &self.forest.nodes[at];
        if node.flags & LEAF != 0 {
            return Shape::Leaf(f32::from_bits(node.value));
        }
        Shape::Split { feature: node.column.into(), left: at + 1, right: node.right as usize }
    }

    /// As in scoring, but for tests for missing values: there only NaN counts as missing, no level
    /// beyond the domain or beyond an earlier set. Source: `SharedTreeNode.next`.
    fn goes_right(&self, at: usize, row: usize) -> bool {
        let node = &self.forest.nodes[at];
        let row = &self.rows[row * self.columns..][..self.columns];
        if node.flags & NA_VS_REST != 0 {
            return row[usize::from(node.column)].is_nan();
        }
        self.forest.goes_right(node, row)
    }

    fn weight(&self, at: usize) -> f32 {
        self.weights.nodes[at]
    }
}

/// `T1.C1`, from counts that start with 0.
pub(crate) fn name(tree: usize, class: usize) -> String {
    format!("T{}.C{}", tree + 1, class + 1)
}

pub(crate) fn too_deep(depth: usize) -> String {
    let limit = shap::DEPTH_MAX;
    format!("a tree has {depth} levels; contributions are computed for up to {limit}")
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Kept;
    use super::super::{Node, Rules, Sets};
    use super::*;

    /// One column, and a chain of splits of it; each goes on to the right for values of 0 and more.
    fn chain(levels: u32) -> Forest {
        let split = |at: u32| Node { value: 0, right: 2 * at + 2, column: 0, flags: 0 };
        let leaf = |id| Node { value: 1.0_f32.to_bits(), right: id, column: 0, flags: LEAF };
        let mut nodes: Vec<Node> = (0..levels).flat_map(|at| [split(at), leaf(at)]).collect();
        nodes.push(leaf(levels));
        Forest {
            nodes,
            sets: Sets::default(),
            roots: vec![vec![0]],
            groups: 1,
            levels: vec![i64::MAX],
            rules: Rules::Domains,
            depth: levels as usize,
            ids: Ok(()),
            weights: Err(String::new()),
            kept: Kept::default(),
        }
    }

    fn leaf(levels: u32, value: f64) -> Leaf {
        chain(levels).leaves(&[value]).next().unwrap()
    }

    #[test]
    fn paths_of_more_than_63_steps_are_lost_with_their_ids() {
        let found = leaf(1, 0.0);
        assert_eq!((found.path, found.id), (Some(0b11), 1));
        let found = leaf(61, 0.0);
        assert_eq!((found.path, found.id), (Some((1 << 62) - 1), 61));
        // 62 and 63 steps to the right: the bits of a NaN.
        for levels in [62, 63, 64, 100] {
            let found = leaf(levels, 0.0);
            assert_eq!((found.path, found.id), (None, -1), "{levels}");
        }
        assert_eq!(leaf(100, -1.0).path, Some(0b10));
    }

    #[test]
    fn paths_of_63_steps_are_kept() {
        for (levels, path) in [(63, Some(1 << 63)), (64, None)] {
            let mut forest = chain(levels);
            let end = forest.nodes[0].right + 2 * levels - 2;
            // All splits first: the left child of each is the next one, of the last a leaf.
            forest.nodes.sort_by_key(|node| node.flags & LEAF);
            for node in &mut forest.nodes[..levels as usize] {
                node.right = end;
            }
            let found = forest.leaves(&[-1.0]).next().unwrap();
            assert_eq!(found.path, path, "{levels}");
        }
    }

    #[test]
    fn contributions_take_a_level_beyond_the_domain_for_present() {
        let mut forest = chain(1);
        forest.nodes[0].flags = NA_VS_REST;
        forest.levels = vec![2];
        forest.weights = Ok(Weights { nodes: vec![2.0, 1.0, 1.0], means: vec![0.0] });
        // The right leaf is that of missing values.
        forest.nodes[2].value = 5.0_f32.to_bits();
        for (level, scored, explained) in [(1.0, 1.0, -2.0), (9.0, 5.0, -2.0), (f64::NAN, 5.0, 2.0)]
        {
            assert_eq!(forest.leaf(0, &[level]), scored, "{level}");
            let mut phi = [0.0, 0.0];
            forest.contribute(&[level], 1, &mut phi, 2, &mut shap::Scratch::default());
            assert_eq!(phi, [explained, 0.0], "{level}");
        }
    }
}
