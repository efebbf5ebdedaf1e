//! The lower part of deep trees, for many rows: who has come to a leaf is left out.
//!
//! A tree of depth 20 has its leaves at 13 on average, and the first eight levels are asked all at once
//! ([`sliced`](super::super::sliced)). From there rows walk 16 at a time, a few steps each; then those
//! that go on move together.

use super::super::sliced::DEPTH_MAX;
use super::super::{Level, Sum};
use super::{FEW, LINE, MANY, NONE, Node, ROWS, Root, Walked};

#[cfg(target_arch = "x86_64")]
mod gathered;

/// Steps until those that have arrived are left out.
const STEPS: usize = 4;

/// Rows on their way through a tree: a buffer.
#[derive(Debug, Default)]
pub(in super::super) struct Open {
    /// Those that go on, in rising order: where each is, and its number.
    at: Vec<u32>,
    rows: Vec<u32>,
    /// Where each row has come to.
    ends: Vec<u32>,
}

impl Open {
    /// Walks on from where `paths` have led, some steps at a time. `keys`: row-major, with the number
    /// of a row's keys. `roots`: the tree, and those that will be walked after it.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "only vectors that the standard library knows of ask")
    )]
    pub(super) fn add<N: Node, S: Sum>(
        &mut self,
        level: Level,
        forest: Walked<'_, N>,
        roots: &[Root],
        paths: Option<&[u8]>,
        keys: (&[u32], usize),
        sums: &mut [S],
    ) {
        let (root, rows) = (roots[0], sums.len());
        assert_eq!(keys.0.len(), rows * keys.1, "a key for each slot of each row");
        #[cfg(target_arch = "x86_64")]
        if level == Level::Gathers
            && let Some(forest) = forest.gatherable()
        {
            // SAFETY: a level is of those that `levels` found on this processor; each row has a key for
            // each slot, as was asked.
            return unsafe { self.add_gathered(forest, roots, paths, keys, sums) };
        }
        // One for each row, and what fills the last sixteen up.
        self.at.resize((rows + 1).next_multiple_of(ROWS), 0);
        self.rows.resize((rows + 1).next_multiple_of(ROWS), 0);
        self.ends.resize(rows, 0);
        let mut open = self.start(forest, root, paths);
        let mut ahead = forest.ahead(roots.get(1), open.div_ceil(ROWS));
        while open > 0 {
            open = match root.sets {
                NONE => self.walk::<_, NONE>(forest, keys, open, &mut ahead),
                FEW => self.walk::<_, FEW>(forest, keys, open, &mut ahead),
                _ => self.walk::<_, MANY>(forest, keys, open, &mut ahead),
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
            self.at[..open].fill(root.at);
            self.rows.iter_mut().take(open).zip(0..).for_each(|(to, row)| *to = row);
            return open;
        };
        let nodes = forest.below(root.at);
        let is_split = nodes.map(|at| forest.is_split(at));
        let mut open = 0;
        for ((row, end), &path) in (0..).zip(&mut self.ends).zip(paths) {
            let at = nodes[usize::from(path)];
            *end = at;
            self.at[open] = at;
            self.rows[open] = row;
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
        ahead: &mut Ahead<'_, N>,
    ) -> usize {
        let Self { at: places, rows: numbers, ends } = self;
        // The last one stands for those that sixteen lack: walked twice, it comes to the same place.
        let (place, number) = (places[open - 1], numbers[open - 1]);
        places[open..open.next_multiple_of(ROWS)].fill(place);
        numbers[open..open.next_multiple_of(ROWS)].fill(number);
        let mut left = 0;
        for first in (0..open).step_by(ROWS) {
            ahead.fetch();
            let mut at: [u32; ROWS] = *places[first..].first_chunk().expect("sixteen walks");
            let group: &[u32; ROWS] = numbers[first..].first_chunk().expect("sixteen rows");
            let rows = group.map(|row| {
                // SAFETY: walks are those of rows, each of which has `width` keys.
                unsafe { keys.get_unchecked(row as usize * width..) }
            });
            walk!(16, at, STEPS, |at: u32, walk: usize| {
                // SAFETY: a row has a key for each slot, and walks start at a root.
                unsafe { forest.step::<SETS>(at, rows[walk], |slot| slot) }
            });
            for (walk, at) in at.into_iter().enumerate() {
                // SAFETY: the walks of the group, and those before them, are there; walks are those of
                // rows, each of which has an end; `at` is where a walk has come to.
                unsafe {
                    let row = *numbers.get_unchecked(first + walk);
                    *ends.get_unchecked_mut(row as usize) = at;
                    *places.get_unchecked_mut(left) = at;
                    *numbers.get_unchecked_mut(left) = row;
                    left += usize::from(forest.nodes.get_unchecked(at as usize).link().1 != 0);
                }
            }
        }
        left
    }
}

/// What is left of a tree on its way into the second level of cache while rows walk through the one
/// before it: in the order of memory its lines come several times as fast as where walks ask for them.
#[derive(Debug)]
struct Ahead<'a, N> {
    nodes: &'a [N],
    bits: &'a [u32],
    /// Lines of a part.
    lines: usize,
}

impl<N: Node> Ahead<'_, N> {
    /// Asks for the next part.
    #[inline(always)]
    fn fetch(&mut self) {
        for _ in 0..self.lines {
            if let Some(node) = self.nodes.first() {
                fetch(node);
                self.nodes = self.nodes.get(LINE / size_of::<N>()..).unwrap_or_default();
            } else if let Some(word) = self.bits.first() {
                fetch(word);
                self.bits = self.bits.get(LINE / size_of::<u32>()..).unwrap_or_default();
            } else {
                return;
            }
        }
    }
}

/// Brings what lies at a place into the second level of cache, without waiting for it where the
/// processor has an instruction that the standard library knows of.
#[inline(always)]
fn fetch<T: Copy>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching has no effect that could be seen, and every x86-64 has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(*place);
}

impl<'a, N: Node> Walked<'a, N> {
    /// A tree to be fetched in so many parts; nothing, if there is no tree.
    fn ahead(self, root: Option<&Root>, parts: usize) -> Ahead<'a, N> {
        let Some(root) = root else { return Ahead { nodes: &[], bits: &[], lines: 0 } };
        let nodes = &self.nodes[root.at as usize..root.end as usize];
        let bits = &self.bits[root.first_bits as usize..root.end_bits as usize];
        let lines = (size_of_val(nodes) + size_of_val(bits)) / LINE + 2;
        Ahead { nodes, bits, lines: lines.div_ceil(parts.max(1)) }
    }

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
