//! Numbers as ranks: how many of a model's thresholds a value reaches.
//!
//! A tree never asks more of a number than that, and ranks are small: they fit bytes, of which a
//! vector register compares 64 at once. A rank is counted, not searched for by halving: the
//! thresholds are a static B-tree whose nodes are as wide as a register, so that one comparison and a
//! count of its bits lead a level down, without a branch and for each row alone, so that rows overlap.
//!
//! ```text
//! thresholds   t0 .. t15 | t16 .. t31 | ...        the leaves, in rising order
//! above        the first threshold of each of 17 nodes but the first; and so on, up to one node
//! rank         node = 0; level by level: reached = how many of the node's numbers are <= value,
//!              node = 17 node + reached; of a leaf: rank = 16 leaf + reached
//! ```
//!
//! Few thresholds also lie in the order of a heap, where registers hold them all: [`Ranks::heap`].

use super::slots::Number;
use super::source::Rounding;

/// Rows of a tile.
pub(crate) const TILE: usize = 64;
/// Ranks are 16 bits wide.
pub(super) const RANKS_MAX: usize = u16::MAX as usize;
/// Thresholds of a node.
pub(super) const NODE: usize = 16;
/// Levels that [`RANKS_MAX`] thresholds need at most: 16 x 17^3 are more.
const LEVELS_MAX: usize = 4;
/// Halvings of the largest heap, which has one place more than thresholds.
pub(super) const HEAP_DEPTH_MAX: u32 = 8;

/// A register of thresholds. NaN, which no value reaches, fills the last ones up.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Node(pub(super) [f32; NODE]);

/// The thresholds of one slot.
#[derive(Debug)]
pub(super) struct Ranks {
    pub(super) number: Number,
    /// Number of thresholds.
    n: u16,
    /// The root alone, ..., the leaves. Every number of a node above leaves has a node right of it in
    /// the next level: no value leads beyond a level.
    levels: Vec<Vec<Node>>,
    /// Empty where there are too many.
    heap: Vec<Node>,
    heap_depth: u32,
}

impl Ranks {
    /// `thresholds`: at least one, fewer than [`RANKS_MAX`], in rising order, no two equal, no NaN.
    pub(super) fn of(number: Number, thresholds: &[f32]) -> Self {
        let node = |numbers: &mut dyn Iterator<Item = f32>| {
            let mut node = Node([f32::NAN; NODE]);
            node.0.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
            node
        };
        let leaves = thresholds.chunks(NODE).map(|it| node(&mut it.iter().copied()));
        let mut levels: Vec<Vec<Node>> = vec![leaves.collect()];
        // The least threshold below each node of the uppermost level.
        let mut firsts: Vec<f32> = thresholds.iter().copied().step_by(NODE).collect();
        while firsts.len() > 1 {
            let above = firsts.chunks(NODE + 1).map(|it| node(&mut it[1..].iter().copied()));
            levels.insert(0, above.collect());
            firsts = firsts.into_iter().step_by(NODE + 1).collect();
        }
        assert!(levels.len() <= LEVELS_MAX, "thresholds are fewer than `RANKS_MAX`");
        let heap_depth = (thresholds.len() as u32 + 1).next_power_of_two().ilog2();
        let heap = if heap_depth <= HEAP_DEPTH_MAX { heap(thresholds, heap_depth) } else { vec![] };
        Self { number, n: thresholds.len() as u16, levels, heap, heap_depth }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let levels = self.levels.iter().map(|level| size_of_val(level.as_slice()));
        levels.sum::<usize>() + size_of_val(self.heap.as_slice())
    }

    pub(super) fn levels(&self) -> &[Vec<Node>] {
        &self.levels
    }

    /// The thresholds as a heap, and its depth: place `i` has places `2 i` and `2 i + 1` below it;
    /// the root is at 1, and who goes right where a threshold is reached, from place `i` to
    /// `2 i + 1`, arrives at `(1 << depth) + rank`. Whole nodes; a level of 16 places or more is a
    /// power of two of them. `None` for more thresholds than a few registers hold.
    pub(super) fn heap(&self) -> Option<(&[Node], u32)> {
        (!self.heap.is_empty()).then_some((&self.heap, self.heap_depth))
    }

    /// The rank of missing values.
    pub(super) fn absent(&self) -> u16 {
        if self.number.missing { self.n } else { 0 }
    }

    /// How many thresholds the value reaches; NaN reaches none. The definition of the kernels' ways.
    #[cfg(test)]
    pub(super) fn rank(&self, value: f32) -> u16 {
        let leaves = &self.levels[self.levels.len() - 1];
        leaves.iter().flat_map(|node| node.0).filter(|&threshold| threshold <= value).count() as u16
    }
}

fn heap(thresholds: &[f32], depth: u32) -> Vec<Node> {
    let mut heap = vec![Node([f32::NAN; NODE]); (1_usize << depth).div_ceil(NODE)];
    for level in 0..depth {
        let distance = 1_usize << (depth - level);
        for (place, at) in (distance / 2 - 1..1 << depth).step_by(distance).enumerate() {
            let place = (1 << level) + place;
            if let Some(&threshold) = thresholds.get(at) {
                heap[place / NODE].0[place % NODE] = threshold;
            }
        }
    }
    heap
}

/// Values as their slot compares them: rounded to `f32`; NaN where missing.
///
/// Without branches, for the compiler to put side by side.
#[inline(always)]
pub(super) fn round(
    rounding: Rounding,
    limit: i64,
    values: &[f64; TILE],
    rounded: &mut [f32; TILE],
) {
    match rounding {
        Rounding::Down if limit == i64::MAX => {
            rounded.iter_mut().zip(values).for_each(|(it, &value)| *it = floor(value));
        }
        Rounding::Down => {
            for (it, &value) in rounded.iter_mut().zip(values) {
                let is_beyond = i64::from(value as i32) >= limit;
                *it = if is_beyond { f32::NAN } else { floor(value) };
            }
        }
        Rounding::Nearest { zero_is_missing } => {
            for (it, &value) in rounded.iter_mut().zip(values) {
                let near = value as f32;
                *it = if zero_is_missing && near == 0.0 { f32::NAN } else { near };
            }
        }
    }
}

/// The greatest `f32` that is not above the value; NaN for NaN. Zero may have any sign.
#[inline(always)]
fn floor(value: f64) -> f32 {
    let near = value as f32;
    // The number below has, as a whole number of its bits, one less; below zero one more; and below
    // either zero comes the least negative number.
    let bits = near.to_bits();
    let below = if near > 0.0 { bits.wrapping_sub(1) } else { (bits | 1 << 31).wrapping_add(1) };
    f32::from_bits(if f64::from(near) > value { below } else { bits })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::slots::number_key;
    use super::*;

    const NUMBER: Number = Number { column: 0, limit: i64::MAX, missing: true };

    #[test]
    fn heaps_and_levels_hold_every_threshold() {
        for n in [1, 2, 15, 16, 17, 18, 271, 272, 273, 4_624, 4_625, 65_534] {
            let thresholds: Vec<f32> = (0..n).map(|i| i as f32 * 0.5 - 3.0).collect();
            let ranks = Ranks::of(NUMBER, &thresholds);
            assert_eq!(ranks.levels()[0].len(), 1, "{n}");
            for (above, below) in ranks.levels().iter().zip(&ranks.levels()[1..]) {
                let numbers = above.iter().flat_map(|node| node.0).filter(|it| !it.is_nan());
                assert_eq!(numbers.count() + above.len(), below.len(), "{n}");
            }
            for at in [0, n / 2, n - 1] {
                assert_eq!(ranks.rank(thresholds[at]), at as u16 + 1, "{n}");
                assert_eq!(ranks.rank(thresholds[at].next_down()), at as u16, "{n}");
            }
            let Some((heap, depth)) = ranks.heap() else { continue };
            for value in thresholds.iter().flat_map(|it| [*it, it.next_down()]) {
                let mut at = 1;
                for _ in 0..depth {
                    at = 2 * at + usize::from(heap[at / NODE].0[at % NODE] <= value);
                }
                assert_eq!((at - (1 << depth)) as u16, ranks.rank(value), "{n} {value}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The keys that nodes of the flat form compare are the same numbers.
        #[test]
        fn rounded_numbers_order_as_keys_do(
            bits: u64,
            near: f32,
            limit in prop_oneof![Just(i64::MAX), 0_i64..50],
        ) {
            let near = f64::from(near);
            let special = [
                0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1e-50, 1e300, -1e300, f64::INFINITY,
                f64::NEG_INFINITY, f64::NAN, 3.4e38, 3.5e38, 1e-39, 2_147_483_648.0, 49.5,
            ];
            let mut values = [f64::from_bits(bits); TILE];
            values[1..4].copy_from_slice(&[near, near.next_up(), near.next_down()]);
            values[4..4 + special.len()].copy_from_slice(&special);
            for rounding in [
                Rounding::Down,
                Rounding::Nearest { zero_is_missing: false },
                Rounding::Nearest { zero_is_missing: true },
            ] {
                let mut rounded = [0.0; TILE];
                round(rounding, limit, &values, &mut rounded);
                for (value, rounded) in values.into_iter().zip(rounded) {
                    let (key, missing) = number_key(rounding, limit, value);
                    prop_assert_eq!(rounded.is_nan(), missing, "{} {:?}", value, rounding);
                    if !missing {
                        let own = super::super::slots::threshold_key(rounded);
                        prop_assert_eq!(own, key, "{} {:?}", value, rounding);
                    }
                }
            }
        }
    }
}
