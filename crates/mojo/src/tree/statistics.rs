//! What `trees/tCC_GGG_aux.bin` says about a tree: numbers of its nodes, and how much of the
//! training data passed through each.
//!
//! A record of 40 bytes for each split, a parent before its children and the left ones first, in
//! the order of the tree's own bytes: `i32` number of the node, `i32` splits in the left subtree
//! (in MOJO 1.20 and earlier the parent's number), then for the left and the right child `f32`
//! weight, `f32` prediction, `f32` squared error, `i32` number. The weight of the root is the sum of
//! its children's. A tree of one leaf has no record, number 0 and weight 0.
//! Source: `SharedTreeMojoModel.AuxInfo`, `computeTreeGraph`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use super::{LEAF, Node};
use crate::cursor::{Cursor, Damage};

/// Bytes of a split.
const RECORD: usize = 40;

/// Numbers and weights of the nodes of one tree, in the arena's order. Used again for the next tree.
#[derive(Default)]
pub(super) struct Statistics {
    pub(super) ids: Vec<i32>,
    pub(super) weights: Vec<f32>,
}

/// What the record of a split says of one child.
struct Child {
    id: i32,
    weight: f32,
}

impl Statistics {
    /// `nodes`: those of the tree, the first of which has the index `base`.
    pub(super) fn read(&mut self, bytes: &[u8], nodes: &[Node], base: usize) -> Result<(), Damage> {
        let mut cursor = Cursor::new(bytes);
        let Self { ids, weights } = self;
        ids.clear();
        ids.resize(nodes.len(), 0);
        weights.clear();
        weights.resize(nodes.len(), 0.0);
        for (place, node) in nodes.iter().enumerate() {
            if node.flags & LEAF != 0 {
                continue;
            }
            let at = cursor.at();
            let (number, left, right) = split(&cursor.array()?);
            let expected = ids.get(place).copied().unwrap_or_default();
            if number != expected {
                let reason = format!("a record of node {number}, the tree goes on at {expected}");
                return Err(Damage { at, reason });
            }
            let behind = usize::try_from(node.right).ok().and_then(|at| at.checked_sub(base));
            if place == 0
                && let Some(root) = weights.first_mut()
            {
                *root = left.weight + right.weight;
            }
            for (child, of) in [(Some(place.saturating_add(1)), left), (behind, right)] {
                let Some(child) = child else { continue };
                if let (Some(id), Some(weight)) = (ids.get_mut(child), weights.get_mut(child)) {
                    (*id, *weight) = (of.id, of.weight);
                }
            }
        }
        match bytes.len().saturating_sub(cursor.at()) {
            0 => Ok(()),
            left => Err(cursor.damage(format!("{left} bytes more than the tree has splits"))),
        }
    }
}

/// A split's number, and its children.
fn split(record: &[u8; RECORD]) -> (i32, Child, Child) {
    let word = |at: usize| record.as_chunks::<4>().0.get(at).copied().unwrap_or_default();
    let (int, float) = (|at| i32::from_le_bytes(word(at)), |at| f32::from_le_bytes(word(at)));
    let left = Child { id: int(8), weight: float(2) };
    (int(0), left, Child { id: int(9), weight: float(3) })
}
