//! Forests of H2O's own trees (GBM, DRF and their relatives): read once, walked by row.
//!
//! The bytes of a tree are parsed at load into one arena, parents before children, the left child
//! right behind its parent, so a walk needs neither the file's layout nor its three versions.
//! Sources: `SharedTreeMojoReader`, `SharedTreeMojoModel.scoreTree{0,1,}`, `GenmodelBitSet`.

pub(crate) mod explain;
mod kernel;
mod read;
pub(crate) mod shap;
mod statistics;
#[cfg(test)]
mod tests;

use crate::error::LoadError;
use crate::kernel::{Places, Scratch};
use crate::reader::Reader;

/// A node is a leaf; `value` holds its prediction.
const LEAF: u8 = 1;
/// The test is a set of levels; `value` is its place in `sets`.
const SET: u8 = 2;
/// Missing values go left, else right.
const NA_LEFT: u8 = 4;
/// No test but this: present values go left.
const NA_VS_REST: u8 = 8;

/// One split or leaf. The left child is the next node.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Threshold or leaf as bits of an `f32`, or place of a set.
    value: u32,
    /// Index of the right child; of a leaf its number, where explanations are kept.
    right: u32,
    column: u16,
    flags: u8,
}

/// Levels that go right: bit `i` of the bytes stands for level `first + i`.
#[derive(Debug, Clone, Copy)]
struct Set<'a> {
    first: u16,
    len: u32,
    bytes: &'a [u8],
}

/// The sets of a forest, one behind the other: the first level, the number of levels and the bits of
/// each. A forest may have more of them than of anything else but leaves.
#[derive(Debug, Default)]
struct Sets(Vec<u8>);

impl Sets {
    /// Adds a set; its place, if there is room.
    fn push(&mut self, set: Set<'_>) -> Option<u32> {
        let place = u32::try_from(self.0.len()).ok()?;
        let (first, len) = (set.first.to_le_bytes(), set.len.to_le_bytes());
        self.0.reserve(first.len() + len.len() + set.bytes.len());
        self.0.extend_from_slice(&[first[0], first[1], len[0], len[1], len[2], len[3]]);
        self.0.extend_from_slice(set.bytes);
        Some(place)
    }

    /// The set at a place that [`Sets::push`] gave; its bytes go on to the end of all.
    fn at(&self, place: u32) -> Set<'_> {
        let damaged = "a set's place has its head";
        let (first, rest) = self.0[place as usize..].split_first_chunk().expect(damaged);
        let (len, bytes) = rest.split_first_chunk().expect(damaged);
        Set { first: u16::from_le_bytes(*first), len: u32::from_le_bytes(*len), bytes }
    }
}

/// What a value outside of a set or of its column's domain means; it grew with the MOJO version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Rules {
    /// 1.00: not in the set.
    Plain,
    /// 1.10: missing, if outside of the set's range.
    Ranges,
    /// 1.20 and later: also missing if beyond the column's domain.
    Domains,
}

/// All trees of a model, `classes x groups`.
#[derive(Debug)]
pub(crate) struct Forest {
    nodes: Vec<Node>,
    sets: Sets,
    /// Root of each tree, class by class: `class * groups + group`. Empty for a class without trees.
    roots: Vec<Vec<u32>>,
    groups: usize,
    /// Number of levels per column of the raw row; `i64::MAX` where the column is numeric.
    levels: Vec<i64>,
    rules: Rules,
    /// Edges from a root to the deepest leaf.
    depth: usize,
    /// Whether leaves have numbers, or why not.
    ids: Result<(), String>,
    /// What contributions need, or why it is not there.
    weights: Result<Weights, String>,
    kept: kernel::Kept,
}

/// How much of the training data passed where.
#[derive(Debug)]
struct Weights {
    /// One per node.
    nodes: Vec<f32>,
    /// What each tree predicts on average.
    means: Vec<f32>,
}

impl Forest {
    /// Reads all trees. `levels`: per column of the raw row, `None` where it is numeric.
    /// `contributions`: whether the algorithm has a use for the weights of nodes.
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        mojo_version: f64,
        n_classes: usize,
        levels: &[Option<usize>],
        contributions: bool,
    ) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let classes = match ini.optional_usize("n_trees_per_class")? {
            Some(classes) => classes,
            None if n_classes == 2 && !ini.bool_or("binomial_double_trees", false)? => 1,
            None => n_classes,
        };
        if classes != 1 && classes != n_classes {
            return Err(LoadError::BadValue {
                key: "n_trees_per_class".to_owned(),
                found: classes.to_string(),
                expected: format!("1 or {n_classes}, the number of classes"),
            });
        }
        let groups = ini.usize("n_trees")?;
        read::forest(reader, mojo_version, classes, groups, levels, contributions)
    }

    /// Number of iterations.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// Classes that a group has trees for, or may have.
    pub(crate) fn classes(&self) -> usize {
        self.roots.len()
    }

    pub(crate) fn trees(&self) -> usize {
        self.roots.iter().map(Vec::len).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice())
            + self.sets.0.len()
            + self.trees() * size_of::<u32>()
            + self.kept.kernels.memory_bytes()
            + self.weights.as_ref().map_or(0, |weights| {
                size_of_val(weights.nodes.as_slice()) + size_of_val(weights.means.as_slice())
            })
    }

    /// Adds the margins of `rows` to `margins`.
    ///
    /// `rows`: row-major, `n x columns`, model order, NaN = missing. `margins`: row-major,
    /// `n x stride`, class `c` of a row at `first + c`. Leaves are added in tree order: the order
    /// is part of the answer.
    ///
    /// Source: `SharedTreeMojoModel.scoreTreeRange`.
    ///
    /// # Panics
    /// If the two slices do not hold the same number of rows.
    pub(crate) fn add_margins(
        &self,
        rows: &[f64],
        columns: usize,
        margins: &mut [f64],
        stride: usize,
        first: usize,
        scratch: &mut Scratch<f64>,
    ) {
        assert_eq!(rows.len() / columns.max(1), margins.len() / stride, "rows and margins");
        let places = Places { stride, first };
        if !self.kept.kernels.add(self, rows, columns, margins, places, scratch) {
            self.add_plainly(rows, columns, margins, stride, first);
        }
    }

    /// The same, as genmodel does it: the judge of all kernels, and what scores where sets would
    /// take too much room in any other form.
    fn add_plainly(
        &self,
        rows: &[f64],
        columns: usize,
        margins: &mut [f64],
        stride: usize,
        first: usize,
    ) {
        for (class, roots) in self.roots.iter().enumerate() {
            for &root in roots {
                // Trees outside, rows inside: a tree stays in the cache for the whole block.
                for (row, margin) in rows.chunks_exact(columns).zip(margins.chunks_mut(stride)) {
                    margin[first + class] += f64::from(self.leaf(root, row));
                }
            }
        }
    }

    /// The prediction of the leaf that `row` reaches.
    fn leaf(&self, root: u32, row: &[f64]) -> f32 {
        let mut at = root as usize;
        loop {
            let node = &self.nodes[at];
            if node.flags & LEAF != 0 {
                return f32::from_bits(node.value);
            }
            at = if self.goes_right(node, row) { node.right as usize } else { at + 1 };
        }
    }

    fn goes_right(&self, node: &Node, row: &[f64]) -> bool {
        let column = usize::from(node.column);
        let value = row[column];
        // As Java's `(int) d`: towards zero, clamped to the range.
        let level = i64::from(value as i32);
        let missing_goes_right = node.flags & NA_LEFT == 0;
        if value.is_nan() || level >= self.levels[column] && self.rules == Rules::Domains {
            return missing_goes_right;
        }
        if node.flags & (SET | NA_VS_REST) == 0 {
            return value >= f64::from(f32::from_bits(node.value));
        }
        if node.flags & SET == 0 {
            return false;
        }
        let set = self.sets.at(node.value);
        let bit = level - i64::from(set.first);
        if bit < 0 || bit >= i64::from(set.len) {
            return missing_goes_right && self.rules >= Rules::Ranges;
        }
        if node.flags & NA_VS_REST != 0 {
            return false;
        }
        let bit = bit as usize;
        set.bytes[bit / 8] & (1 << (bit % 8)) != 0
    }
}
