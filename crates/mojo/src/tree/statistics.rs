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

/// Numbers and weights of the nodes of one tree, in the arena's order.
pub(super) struct Statistics {
    pub(super) ids: Vec<i32>,
    pub(super) weights: Vec<f32>,
}

impl Statistics {
    /// `nodes`: those of the tree, the first of which has the index `base`.
    pub(super) fn read(bytes: &[u8], nodes: &[Node], base: usize) -> Result<Self, Damage> {
        let mut cursor = Cursor::new(bytes);
        let mut ids = vec![0; nodes.len()];
        let mut weights = vec![0.0; nodes.len()];
        for (place, node) in nodes.iter().enumerate() {
            if node.flags & LEAF != 0 {
                continue;
            }
            let number = cursor.i32()?;
            let expected = ids.get(place).copied().unwrap_or_default();
            if number != expected {
                let what = format!("a record of node {number}, the tree goes on at {expected}");
                return Err(cursor.damage(what));
            }
            cursor.i32()?;
            let (left_weight, right_weight) = (cursor.f32()?, cursor.f32()?);
            cursor.take(16)?; // predictions, squared errors
            let (left_id, right_id) = (cursor.i32()?, cursor.i32()?);
            let right = usize::try_from(node.right).ok().and_then(|right| right.checked_sub(base));
            let children = [
                (Some(place.saturating_add(1)), left_id, left_weight),
                (right, right_id, right_weight),
            ];
            for (child, id, weight) in children {
                let slot = child.and_then(|child| Some((ids.get_mut(child)?, child)));
                if let Some((slot, child)) = slot {
                    *slot = id;
                    if let Some(slot) = weights.get_mut(child) {
                        *slot = weight;
                    }
                }
            }
            if place == 0
                && let Some(root) = weights.first_mut()
            {
                *root = left_weight + right_weight;
            }
        }
        match bytes.len().saturating_sub(cursor.at()) {
            0 => Ok(Self { ids, weights }),
            left => Err(cursor.damage(format!("{left} bytes more than the tree has splits"))),
        }
    }
}
