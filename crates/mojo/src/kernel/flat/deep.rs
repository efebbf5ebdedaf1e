//! The lower part of deep trees, for many rows: who has come to a leaf is left out.
//!
//! A tree of depth 20 has its leaves at 13 on average, and the first eight levels are asked all at once
//! ([`sliced`](super::super::sliced)). From there rows walk 16 at a time, a few steps each; then those
//! that go on move together.

use super::super::Sum;
use super::super::sliced::DEPTH_MAX;
use super::{FEW, MANY, NONE, Node, ROWS, Root, Walked};

/// Steps until those that have arrived are left out.
const STEPS: usize = 4;

/// Rows on their way through a tree: a buffer.
#[derive(Debug, Default)]
pub(in super::super) struct Open {
    /// Those that go on, in rising order: where each is, and its number.
    walks: Vec<(u32, u32)>,
    /// Where each row has come to.
    ends: Vec<u32>,
}

impl Open {
    /// Walks on from where `paths` have led, some steps at a time. `keys`: row-major, with the number
    /// of a row's keys.
    pub(super) fn add<N: Node, S: Sum>(
        &mut self,
        forest: Walked<'_, N>,
        root: Root,
        paths: Option<&[u8]>,
        keys: (&[u32], usize),
        sums: &mut [S],
    ) {
        let rows = sums.len();
        // One for each row, and what fills the last sixteen up.
        self.walks.resize((rows + 1).next_multiple_of(ROWS), (0, 0));
        self.ends.resize(rows, 0);
        forest.read_ahead(root);
        let mut open = self.start(forest, root, paths);
        while open > 0 {
            open = match root.sets {
                NONE => self.walk::<_, NONE>(forest, keys, open),
                FEW => self.walk::<_, FEW>(forest, keys, open),
                _ => self.walk::<_, MANY>(forest, keys, open),
            };
        }
        for (sum, &end) in sums.iter_mut().zip(&self.ends) {
            sum.plus(S::of(f32::from_bits(forest.nodes[end as usize].bound())));
        }
    }

    /// Puts all rows where they stand; how many go on.
    fn start<N: Node>(&mut self, forest: Walked<'_, N>, root: Root, paths: Option<&[u8]>) -> usize {
        let Some(paths) = paths else {
            self.ends.fill(root.at);
            let open = if forest.is_split(root.at) { self.ends.len() } else { 0 };
            let walks = self.walks.iter_mut().take(open).zip(0..);
            walks.for_each(|(walk, row)| *walk = (root.at, row));
            return open;
        };
        let nodes = forest.below(root.at);
        let is_split = nodes.map(|at| forest.is_split(at));
        let mut open = 0;
        for ((row, end), &path) in (0..).zip(&mut self.ends).zip(paths) {
            let at = nodes[usize::from(path)];
            *end = at;
            self.walks[open] = (at, row);
            open += usize::from(is_split[usize::from(path)]);
        }
        open
    }

    /// Takes the first `open` walks [`STEPS`] steps on; how many are left.
    fn walk<N: Node, const SETS: u8>(
        &mut self,
        forest: Walked<'_, N>,
        (keys, width): (&[u32], usize),
        open: usize,
    ) -> usize {
        // The last one stands for those that sixteen lack: walked twice, it comes to the same place.
        let last = self.walks[open - 1];
        self.walks[open..open.next_multiple_of(ROWS)].fill(last);
        let mut left = 0;
        for first in 0..open.div_ceil(ROWS) {
            let walks = self.walks.as_chunks::<ROWS>().0[first];
            let mut at = walks.map(|(at, _)| at);
            let rows = walks.map(|(_, row)| &keys[row as usize * width..][..width]);
            walk!(16, at, STEPS, |at: u32, walk: usize| {
                // SAFETY: a row has a key for each slot, which the caller has checked, and walks start
                // at a root.
                unsafe { forest.step::<SETS>(at, rows[walk], |slot| slot) }
            });
            for ((_, row), at) in walks.into_iter().zip(at) {
                self.ends[row as usize] = at;
                self.walks[left] = (at, row);
                left += usize::from(forest.is_split(at));
            }
        }
        left
    }
}

impl<N: Node> Walked<'_, N> {
    /// Whether a row that has come to a node goes on from there.
    #[inline]
    fn is_split(self, at: u32) -> bool {
        self.nodes[at as usize].link().1 != 0
    }

    /// The nodes at the ends of all paths of [`DEPTH_MAX`] steps; a leaf is the end of all that lead
    /// through it.
    fn below(self, root: u32) -> [u32; 1 << DEPTH_MAX] {
        let mut below = [root; 1 << DEPTH_MAX];
        for level in 0..DEPTH_MAX {
            for path in (0..1 << level).rev() {
                let at = below[path];
                let delta = self.nodes[at as usize].link().1;
                below[2 * path] = at + delta;
                below[2 * path + 1] = at + delta + u32::from(delta != 0);
            }
        }
        below
    }
}
