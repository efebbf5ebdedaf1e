//! Contributions of many rows: a tree at a time, and what rows have in common only once.
//!
//! What genmodel computes on the way to a leaf does not depend on a row but through its *turns*: at
//! each test on the way, does the row go this way or the other one? Rows that took the same turns
//! have the same numbers, bit for bit. So each node of a tree has *lanes*: one for each pattern of
//! turns while there are fewer patterns than rows (two to the power of the level), then one for each
//! row. All lanes of a node go through the same additions and divisions side by side, and leave at
//! each leaf what it contributes.
//!
//! What is left to do for a row is to add up: it visits all leaves in the order that genmodel does,
//! its own branch first, and adds what the lane of its turns has there. A tree of depth 6 has 64
//! patterns, so that a thousand rows share the arithmetic of 64.

#![expect(clippy::inline_always, reason = "what is inlined is compiled for wider registers")]

use super::{Shape, Trees, shares};
use crate::widest::widest;

/// Numbers that leaves may leave for the rows of a pass; they should stay in the cache.
const KEPT_MAX: usize = 1 << 19;
/// Trees whose leaves would leave more than this even so have their rows one by one.
const KEPT_MOST: usize = 1 << 24;
/// A pass has so many rows at least, if there are so many: registers are as wide.
const PASS_MIN: usize = 16;

/// Lanes come in groups of so many.
const GROUP: usize = 16;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The tree's nodes, parents before children, the left child right behind its parent.
    nodes: Vec<Node>,
    /// Path to the current node on each level.
    levels: Vec<Level>,
    /// Rows x nodes: whether a row goes to the right there.
    turns: Vec<bool>,
    /// Features of each leaf's path, and what the leaf contributes to each: lanes x features.
    features: Vec<u32>,
    kept: Vec<f32>,
    waiting: Vec<(u32, usize)>,
    /// By lane.
    next: Vec<f32>,
    total: Vec<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// In the caller's trees.
    at: usize,
    /// The right child, 0 of a leaf.
    right: u32,
    parent: u32,
    level: u32,
    /// Start in `features` and in `kept`, and the number of features. Leaves only.
    features: u32,
    kept: u32,
    len: u32,
}

/// The path to a node, as each lane sees it; element 0 is the start.
#[derive(Debug, Default)]
struct Level {
    /// Lanes in use, and with those that fill the last group up.
    used: usize,
    lanes: usize,
    features: Vec<i32>,
    zeros: Vec<f32>,
    /// Elements x lanes.
    ones: Vec<f32>,
    /// Elements x lanes.
    weights: Vec<f32>,
    /// What the node's children inherit from an earlier test of its feature.
    zero: f32,
    one: Vec<f32>,
    /// The lane of each row, where a tree has a lane per row further down.
    lane_of: Vec<u32>,
}

/// Lanes in use on a level for so many rows.
fn lanes(level: u32, rows: usize) -> usize {
    1_usize.checked_shl(level).filter(|&patterns| patterns <= rows).unwrap_or(rows)
}

/// Adds the contributions of one tree to `phi`, row-major, rows x `stride`, one place per feature;
/// or says that the tree is too large for that.
///
/// # Panics
/// If `phi` has no place for a feature.
pub(super) fn add(
    trees: &impl Trees,
    root: usize,
    phi: &mut [f32],
    stride: usize,
    scratch: &mut Scratch,
) -> bool {
    scratch.collect(trees, root);
    let rows = phi.len() / stride;
    let mut pass = rows;
    while pass > PASS_MIN && scratch.kept_for(pass) > KEPT_MAX {
        pass = (pass / 2).max(PASS_MIN);
    }
    if scratch.kept_for(pass) > KEPT_MOST {
        return false;
    }
    for (i, phi) in phi.chunks_mut(pass * stride).enumerate() {
        let rows = phi.len() / stride;
        scratch.turn(trees, i * pass, rows);
        scratch.compute(trees, rows);
        for (row, phi) in phi.chunks_exact_mut(stride).enumerate() {
            scratch.add_up(row, rows, phi);
        }
    }
    true
}

impl Scratch {
    fn collect(&mut self, trees: &impl Trees, root: usize) {
        let (nodes, waiting) = (&mut self.nodes, &mut self.waiting);
        nodes.clear();
        waiting.clear();
        waiting.push((0, root));
        while let Some((parent, at)) = waiting.pop() {
            let place = nodes.len() as u32;
            let level = nodes.get(parent as usize).map_or(0, |parent: &Node| parent.level + 1);
            // The left child came right behind its parent.
            if let Some(parent) = nodes.get_mut(parent as usize).filter(|_| place > parent + 1) {
                parent.right = place;
            }
            let node = Node { at, right: 0, parent, level, features: 0, kept: 0, len: 0 };
            nodes.push(node);
            if let Shape::Split { left, right, .. } = trees.shape(at) {
                waiting.push((place, right));
                waiting.push((place, left));
            }
        }
    }

    /// Numbers that the leaves leave in a pass of so many rows, at most.
    fn kept_for(&self, rows: usize) -> usize {
        let leaves = self.nodes.iter().filter(|node| node.right == 0);
        leaves.map(|leaf| lanes(leaf.level, rows) * leaf.level as usize).sum()
    }

    fn turn(&mut self, trees: &impl Trees, first: usize, rows: usize) {
        let n = self.nodes.len();
        self.turns.clear();
        self.turns.resize(rows * n, false);
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.right != 0) {
            for (row, turns) in self.turns.chunks_exact_mut(n).enumerate() {
                turns[place] = trees.goes_right(node.at, first + row);
            }
        }
    }

    /// Leaves at each leaf what it contributes, lane by lane.
    fn compute(&mut self, trees: &impl Trees, rows: usize) {
        self.features.clear();
        self.kept.clear();
        let deepest = self.nodes.iter().map(|node| node.level).max().unwrap_or(0);
        self.levels.resize_with(self.levels.len().max(deepest as usize + 1), Level::default);
        let has_row_lanes = 1_usize.checked_shl(deepest).is_none_or(|patterns| patterns > rows);
        for place in 0..self.nodes.len() {
            self.enter(trees, place, rows, has_row_lanes);
            let (level, node) = (self.nodes[place].level as usize, self.nodes[place].at);
            match trees.shape(node) {
                Shape::Leaf(value) => self.leave(place, value),
                Shape::Split { feature, .. } => {
                    let level = &mut self.levels[level];
                    let found = level.features.iter().position(|&f| f == feature as i32);
                    level.one.clear();
                    match found {
                        // Tested before: both tests become one.
                        Some(place) => level.unwind(place, &mut self.next),
                        None => {
                            level.zero = 1.0;
                            level.one.resize(level.lanes, 1.0);
                        }
                    }
                }
            }
        }
    }

    /// The path to a node, from the one to its parent.
    fn enter(&mut self, trees: &impl Trees, place: usize, rows: usize, has_row_lanes: bool) {
        let Node { at, parent, level, .. } = self.nodes[place];
        let (above, below) = self.levels.split_at_mut(level as usize);
        let path = &mut below[0];
        let Some(above) = above.last() else {
            path.restart(rows, has_row_lanes);
            return;
        };
        let parent_at = self.nodes[parent as usize].at;
        let is_right = place != parent as usize + 1;
        let Shape::Split { feature, .. } = trees.shape(parent_at) else { return };
        let n = self.nodes.len();
        let hot = |row: usize| self.turns[row * n + parent as usize] == is_right;
        // No data: genmodel takes both ways for equally likely.
        let all = trees.weight(parent_at);
        let share = if all == 0.0 { 0.5 } else { trees.weight(at) / all };
        path.resize(lanes(level, rows), above.features.len() + 1);
        path.features.clone_from(&above.features);
        path.zeros.clone_from(&above.zeros);
        path.features.push(feature as i32);
        path.zeros.push(share * above.zero);
        let last = above.features.len() * path.lanes;
        let inherited = [(&above.ones, &mut path.ones), (&above.weights, &mut path.weights)];
        if path.used == 2 * above.used {
            // A lane becomes two: those that go the other way, and those that go this way.
            for (from, to) in inherited {
                let elements = to[..last].chunks_exact_mut(path.lanes);
                for (from, to) in from.chunks_exact(above.lanes).zip(elements) {
                    let pairs = to.as_chunks_mut::<2>().0.iter_mut();
                    pairs.zip(from).for_each(|(pair, &from)| *pair = [from; 2]);
                }
            }
            let pairs = path.ones[last..].as_chunks_mut::<2>().0.iter_mut();
            pairs.zip(&above.one).for_each(|(pair, &one)| *pair = [0.0, one]);
            if has_row_lanes {
                path.lane_of.clear();
                let lanes = above.lane_of.iter().enumerate();
                path.lane_of.extend(lanes.map(|(row, &lane)| 2 * lane + u32::from(hot(row))));
            }
        } else {
            for (from, to) in inherited {
                let elements = to[..last].chunks_exact_mut(path.lanes);
                for (from, to) in from.chunks_exact(above.lanes).zip(elements) {
                    let rows = to.iter_mut().zip(&above.lane_of);
                    rows.for_each(|(to, &lane)| *to = from[lane as usize]);
                }
            }
            let ones = path.ones[last..].iter_mut().zip(&above.lane_of);
            for (row, (to, &lane)) in ones.enumerate() {
                *to = if hot(row) { above.one[lane as usize] } else { 0.0 };
            }
            path.lane_of.clear();
            path.lane_of.extend(0..rows as u32);
        }
        extend(&mut path.weights, &path.ones, share * above.zero, path.lanes);
    }

    /// What a leaf contributes to the features on its path.
    fn leave(&mut self, place: usize, value: f32) {
        let node = &mut self.nodes[place];
        let path = &self.levels[node.level as usize];
        let len = path.features.len() - 1;
        node.features = self.features.len() as u32;
        node.kept = self.kept.len() as u32;
        node.len = len as u32;
        self.features.extend(path.features[1..].iter().map(|&feature| feature as u32));
        let start = self.kept.len();
        self.kept.resize(start + len * path.used, 0.0);
        self.total.resize(path.lanes, 0.0);
        for element in 1..=len {
            contributions(path, element, value, &mut self.total);
            let kept = self.kept[start + element - 1..].iter_mut().step_by(len);
            kept.zip(&self.total).for_each(|(kept, total)| *kept = *total);
        }
    }

    /// Visits the leaves as one row does.
    fn add_up(&mut self, row: usize, rows: usize, phi: &mut [f32]) {
        let n = self.nodes.len();
        let turns = &self.turns[row * n..][..n];
        self.waiting.clear();
        let (mut place, mut turned) = (0_u32, 0_usize);
        loop {
            let node = &self.nodes[place as usize];
            if node.right != 0 {
                let (left, right) = (place + 1, node.right);
                let goes_right = turns[place as usize];
                let (hot, cold) = if goes_right { (right, left) } else { (left, right) };
                turned = turned.wrapping_mul(2);
                self.waiting.push((cold, turned));
                turned |= 1;
                place = hot;
                continue;
            }
            let is_pattern =
                lanes(node.level, rows) == 1_usize.checked_shl(node.level).unwrap_or(0);
            let lane = if is_pattern { turned } else { row };
            let len = node.len as usize;
            let features = &self.features[node.features as usize..][..len];
            let kept = &self.kept[node.kept as usize + lane * len..][..len];
            for (&feature, kept) in features.iter().zip(kept) {
                phi[feature as usize] += kept;
            }
            match self.waiting.pop() {
                Some(next) => (place, turned) = next,
                None => return,
            }
        }
    }
}

impl Level {
    /// The path to the root.
    fn restart(&mut self, rows: usize, has_row_lanes: bool) {
        self.resize(1, 1);
        self.features.clear();
        self.features.push(-1);
        self.zeros.clear();
        self.zeros.push(1.0);
        self.ones.fill(1.0);
        self.weights.fill(1.0);
        self.lane_of.clear();
        if has_row_lanes {
            self.lane_of.resize(rows, 0);
        }
    }

    fn resize(&mut self, used: usize, elements: usize) {
        self.used = used;
        self.lanes = used.next_multiple_of(GROUP);
        self.ones.resize(elements * self.lanes, 0.0);
        self.weights.resize(elements * self.lanes, 0.0);
    }

    /// Takes an element out, whose `zero` and `one` the children inherit.
    fn unwind(&mut self, place: usize, next: &mut Vec<f32>) {
        let (lanes, depth) = (self.lanes, self.features.len() - 1);
        self.zero = self.zeros.remove(place);
        self.features.remove(place);
        self.one.extend_from_slice(&self.ones[place * lanes..][..lanes]);
        next.clear();
        next.extend_from_slice(&self.weights[depth * lanes..][..lanes]);
        unwind(&mut self.weights, &self.one, self.zero, depth, next);
        self.ones.copy_within((place + 1) * lanes..(depth + 1) * lanes, place * lanes);
    }
}

widest!(
    /// [`super::extend`] in all lanes; the last of `ones` is that of the new element.
    fn extend(weights: &mut [f32], ones: &[f32], zero: f32, lanes: usize) {
        avx512 => extend_each, avx2 => extend_each, any => extend_each
    }
);

#[inline(always)]
fn extend_each(weights: &mut [f32], ones: &[f32], zero: f32, lanes: usize) {
    let depth = weights.len() / lanes - 1;
    let one = ones[depth * lanes..][..lanes].as_chunks::<GROUP>().0;
    weights[depth * lanes..].fill(0.0);
    let length = (depth + 1) as f32;
    for i in (0..depth).rev() {
        let (at, above) = weights[i * lanes..(i + 2) * lanes].split_at_mut(lanes);
        let (up, down) = ((i + 1) as f32, (depth - i) as f32);
        let groups = at.as_chunks_mut::<GROUP>().0.iter_mut().zip(above.as_chunks_mut::<GROUP>().0);
        for ((at, above), one) in groups.zip(one) {
            let before = *at;
            for lane in 0..GROUP {
                above[lane] += one[lane] * before[lane] * up / length;
            }
            for lane in 0..GROUP {
                at[lane] = zero * before[lane] * down / length;
            }
        }
    }
}

widest!(
    /// The weights of [`super::unwind`] in all lanes.
    fn unwind(weights: &mut [f32], one: &[f32], zero: f32, depth: usize, next: &mut [f32]) {
        avx512 => unwind_each, avx2 => unwind_each, any => unwind_each
    }
);

#[inline(always)]
fn unwind_each(weights: &mut [f32], one: &[f32], zero: f32, depth: usize, next: &mut [f32]) {
    let length = (depth + 1) as f32;
    let lanes = one.len();
    let (one, next) = (one.as_chunks::<GROUP>().0, next.as_chunks_mut::<GROUP>().0);
    for i in (0..depth).rev() {
        let (up, down) = ((i + 1) as f32, (depth - i) as f32);
        let weights = weights[i * lanes..][..lanes].as_chunks_mut::<GROUP>().0;
        for ((weights, next), one) in weights.iter_mut().zip(&mut *next).zip(one) {
            let before = *weights;
            let mut cold = [0.0; GROUP];
            if zero != 0.0 {
                for lane in 0..GROUP {
                    cold[lane] = before[lane] * length / (zero * down);
                }
            }
            for lane in 0..GROUP {
                let hot = next[lane] * length / (up * one[lane]);
                let after = before[lane] - hot * zero * down / length;
                weights[lane] = if one[lane] != 0.0 { hot } else { cold[lane] };
                next[lane] = if one[lane] != 0.0 { after } else { next[lane] };
            }
        }
    }
}

widest!(
    /// What a leaf contributes to one feature, in each lane: [`super::unwound_sum`], and what
    /// becomes of it.
    fn contributions(path: &Level, element: usize, value: f32, to: &mut [f32]) {
        avx512 => contributions_each, avx2 => contributions_each, any => contributions_each
    }
);

#[inline(always)]
fn contributions_each(path: &Level, element: usize, value: f32, to: &mut [f32]) {
    let (lanes, depth) = (path.lanes, path.features.len() - 1);
    let (zero, length) = (path.zeros[element], (depth + 1) as f32);
    let ones = path.ones[element * lanes..][..lanes].as_chunks::<GROUP>().0;
    for (group, (to, one)) in to.as_chunks_mut::<GROUP>().0.iter_mut().zip(ones).enumerate() {
        let weights = |i: usize| -> &[f32; GROUP] {
            &path.weights[i * lanes..][..lanes].as_chunks::<GROUP>().0[group]
        };
        let (mut next, mut hot, mut cold) = (*weights(depth), [0.0; GROUP], [0.0; GROUP]);
        for (i, share) in shares(depth).enumerate().rev() {
            let (weights, up) = (weights(i), (i + 1) as f32);
            for lane in 0..GROUP {
                let weight = next[lane] * length / (up * one[lane]);
                hot[lane] += weight;
                next[lane] = weights[lane] - weight * zero * share;
            }
            // Of no use where the feature's share is 0: the next loop leaves it alone.
            for lane in 0..GROUP {
                cold[lane] += (weights[lane] / zero) / share;
            }
        }
        for lane in 0..GROUP {
            let without = if zero != 0.0 { cold[lane] } else { 0.0 };
            let sum = if one[lane] != 0.0 { hot[lane] } else { without };
            to[lane] = sum * (one[lane] - zero) * value;
        }
    }
}
