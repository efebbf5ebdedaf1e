//! How kernels see H2O's trees.

#[cfg(test)]
pub(super) mod tests;

use std::sync::OnceLock;

use super::{Forest, LEAF, NA_LEFT, NA_VS_REST, Rules, SET};
use crate::kernel::{Coder, Kernels, Node, Rounding, Source, Test};

impl Source for Forest {
    fn rounding(&self) -> Rounding {
        Rounding::Down
    }

    fn limit(&self, column: u32) -> i64 {
        match self.rules {
            Rules::Domains => self.levels[column as usize],
            Rules::Plain | Rules::Ranges => i64::MAX,
        }
    }

    /// What is outside of a set's range means the same wherever it is, but under [`Rules::Plain`],
    /// where NaN means something else: codes beyond the levels are one for each.
    fn coder(&self, column: u32) -> Coder {
        let levels = self.set_ends()[column as usize];
        Coder { column, shift: 0, levels, below: levels, beyond: levels, missing: levels + 1 }
    }

    /// Sets in a file are short where levels are few below a split; written out they must not be
    /// much more than they were.
    fn set_bytes_max(&self) -> usize {
        self.sets.0.len().saturating_mul(4).saturating_add(1 << 26)
    }

    fn classes(&self) -> usize {
        self.roots.len()
    }

    fn trees(&self, class: usize) -> usize {
        self.roots[class].len()
    }

    fn tree(&self, class: usize, tree: usize, nodes: &mut Vec<Node>) {
        let root = self.roots[class][tree] as usize;
        // A right child lies behind all of its left sibling's tree: the last leaf ends the tree.
        let mut open = 1_usize;
        for (at, node) in self.nodes[root..].iter().enumerate() {
            if node.flags & LEAF != 0 {
                nodes.push(Node::Leaf(f32::from_bits(node.value)));
                open -= 1;
            } else {
                let test = self.test(root + at);
                nodes.push(Node::Split { test, inverted: false, right: node.right - root as u32 });
                open += 1;
            }
            if open == 0 {
                break;
            }
        }
    }

    /// `set`: the node that tests it.
    fn set(&self, set: u32, words: &mut [u64]) {
        let node = &self.nodes[set as usize];
        let missing = node.flags & NA_LEFT == 0;
        let set = self.sets.at(node.value);
        let levels = self.set_ends()[usize::from(node.column)] as usize;
        let outside = missing && self.rules >= Rules::Ranges;
        let (first, len) = (usize::from(set.first), set.len as usize);
        let end = first.saturating_add(len).min(levels);
        if outside {
            fill(words, 0..first.min(levels));
            fill(words, end..levels + 1);
        }
        if missing {
            fill(words, levels + 1..levels + 2);
        }
        if node.flags & NA_VS_REST != 0 || first >= end {
            return;
        }
        let bits = &set.bytes[..(end - first).div_ceil(8)];
        for (at, &byte) in bits.iter().enumerate() {
            // The last byte may hold more bits than the set has levels.
            let left = end - first - at * 8;
            let byte = u64::from(byte) & if left < 8 { (1 << left) - 1 } else { 0xff };
            let place = first + at * 8;
            words[place / 64] |= byte << (place % 64);
            if place % 64 > 56 && byte >> (64 - place % 64) != 0 {
                words[place / 64 + 1] |= byte >> (64 - place % 64);
            }
        }
    }
}

/// Sets some bits.
fn fill(words: &mut [u64], bits: std::ops::Range<usize>) {
    let mut at = bits.start;
    while at < bits.end {
        let (from, n) = (at % 64, (bits.end - at).min(64 - at % 64));
        words[at / 64] |= (u64::MAX >> (64 - n)) << from;
        at += n;
    }
}

/// What kernels keep with a forest; empty until a row asks for it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) kernels: Kernels<f64>,
    set_ends: OnceLock<Vec<u32>>,
}

impl Forest {
    /// Per column, the end of the highest range that a set asked for there has.
    fn set_ends(&self) -> &[u32] {
        self.kept.set_ends.get_or_init(|| {
            let mut ends = vec![0; self.levels.len()];
            for node in self.nodes.iter().filter(|node| node.flags & SET != 0) {
                let set = self.sets.at(node.value);
                let column = usize::from(node.column);
                let end = i64::from(set.first) + i64::from(set.len);
                // Levels are `i32`, and under the last rules those beyond the domain are missing.
                let end = match self.rules {
                    Rules::Domains => end.min(self.levels[column]),
                    Rules::Plain | Rules::Ranges => end,
                };
                ends[column] = ends[column].max(end.min(i64::from(i32::MAX)) as u32);
            }
            ends
        })
    }

    fn test(&self, at: usize) -> Test {
        let node = &self.nodes[at];
        let column = u32::from(node.column);
        if node.flags & SET != 0 {
            return Test::Member { column, set: at as u32 };
        }
        if node.flags & NA_VS_REST != 0 {
            return Test::Missing { column };
        }
        let threshold = f32::from_bits(node.value);
        let missing = node.flags & NA_LEFT == 0;
        match (threshold.is_nan(), missing) {
            (false, _) => Test::AtLeast { column, threshold, missing },
            // No number is NaN or above.
            (true, true) => Test::Missing { column },
            (true, false) => Test::Never,
        }
    }
}
