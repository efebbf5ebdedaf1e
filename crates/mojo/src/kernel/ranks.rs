//! Numbers as ranks: how many of a model's thresholds a value reaches.
//!
//! A tree never asks more of a number than that, and ranks are small: they fit bytes, of which a
//! vector register compares 64 at once. The rank is looked up, not searched for: a value's place
//! between the least and the greatest threshold says a bucket, the bucket its first threshold, and a
//! few comparisons the rest. Place and bucket are rounded, but alike for values and thresholds, and
//! rounding keeps the order: thresholds of lower buckets are below the value, those of higher ones
//! above.

use super::slots::{Number, number_key};
use super::source::Rounding;

/// Rows of a tile.
pub(super) const TILE: usize = 64;
/// Ranks are 16 bits wide.
pub(super) const RANKS_MAX: usize = u16::MAX as usize;

/// The thresholds of one slot.
#[derive(Debug)]
pub(super) struct Ranks {
    number: Number,
    /// In rising order, then greater ones than any key, so that a search may look too far.
    keys: Vec<i32>,
    /// Number of thresholds.
    n: u16,
    /// Per bucket, how many thresholds lie in lower ones.
    starts: Vec<u16>,
    least: f32,
    /// Buckets per unit.
    scale: f32,
    /// Comparisons that find the place within any bucket.
    steps: u32,
}

impl Ranks {
    /// `keys`: in rising order, no two equal, at most [`RANKS_MAX`] - 1. `thresholds`: the same.
    pub(super) fn of(number: Number, mut keys: Vec<i32>, thresholds: &[f32]) -> Self {
        let n = keys.len();
        let (least, greatest) = (thresholds[0], thresholds[n - 1]);
        let buckets = (4 * n).next_power_of_two();
        let scale = (buckets - 1) as f32 / (greatest - least);
        let is_even = scale.is_normal() && (greatest - least).is_normal() && least.is_finite();
        let buckets = if is_even { buckets } else { 1 };
        let scale = if is_even { scale } else { 0.0 };
        let mut ranks = Self {
            number,
            keys: Vec::new(),
            n: n as u16,
            starts: vec![0; buckets],
            least,
            scale,
            steps: 0,
        };
        let mut counts = vec![0_usize; buckets];
        thresholds.iter().for_each(|&threshold| counts[ranks.bucket(threshold)] += 1);
        let mut below = 0;
        for (start, count) in ranks.starts.iter_mut().zip(&counts) {
            *start = below as u16;
            below += count;
        }
        let most = counts.into_iter().max().unwrap_or(0);
        ranks.steps = usize::BITS - most.leading_zeros();
        keys.resize(n + (1 << ranks.steps), i32::MAX);
        ranks.keys = keys;
        ranks
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + size_of_val(self.starts.as_slice())
    }

    #[inline(always)]
    fn bucket(&self, value: f32) -> usize {
        // NaN goes to the first bucket, whatever its rank is then.
        let place = (value - self.least) * self.scale;
        (place as i32).clamp(0, self.starts.len() as i32 - 1) as usize
    }

    /// Ranks of up to [`TILE`] values of the column.
    #[inline(always)]
    pub(super) fn fill(&self, rounding: Rounding, values: &[f64; TILE], ranks: &mut [u16; TILE]) {
        let Number { limit, missing, .. } = self.number;
        let absent = if missing { self.n } else { 0 };
        let mut keys = [0; TILE];
        let mut is_missing = [false; TILE];
        let mut at = [0_u32; TILE];
        for row in 0..TILE {
            at[row] = self.bucket(values[row] as f32) as u32;
        }
        if limit == i64::MAX {
            for row in 0..TILE {
                (keys[row], is_missing[row]) = number_key(rounding, i64::MAX, values[row]);
            }
        } else {
            for row in 0..TILE {
                (keys[row], is_missing[row]) = number_key(rounding, limit, values[row]);
            }
        }
        for row in 0..TILE {
            let mut rank = usize::from(self.starts[at[row] as usize]);
            for step in (0..self.steps).rev() {
                let half = 1_usize << step;
                // The value reaches the threshold at the middle: its rank is behind it.
                let reaches = self.keys[rank + half - 1] <= keys[row];
                rank += half * usize::from(reaches);
            }
            ranks[row] = if is_missing[row] { absent } else { rank as u16 };
        }
    }
}
