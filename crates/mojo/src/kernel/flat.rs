//! The flat form: nodes of 8 bytes, walked without a branch that depends on data.
//!
//! ```text
//! at = root
//! depth times:  node = nodes[at]
//!               at += node.delta + (row[node.slot] > node.bound)
//! answer: the bits of nodes[at].bound
//! ```
//!
//! The children of a node lie side by side, the left one `delta` behind their parent. A leaf is a
//! node with `delta` 0 that looks at slot 0, which is below everything: a row that has arrived
//! stays, so all walks of a group take the same number of steps and none of them is predicted.
//! That is what makes many walks at once pay: the processor works on all of them while each waits
//! for its next node. One row takes [`TREES`] trees at a time, many rows take a tree [`ROWS`] at a
//! time.
//!
//! Nodes of a tree lie depth first, so that a walk down stays in few cache lines. A test of a set
//! has the place of the set's words for its bound, and looks at a slot that holds a code. Trees
//! without any are walked by an instance that knows of none.
#![expect(unsafe_code, reason = "a bounds check per step would be a third of the time")]

use super::Sum;
use super::slots::{Look, Slots};
use super::source::{Fork, Source, Test, Tree, each_test};

/// Trees that one row walks through at the same time.
const TREES: usize = 16;
/// Rows that walk through one tree at the same time; the width of a tile.
pub(super) const ROWS: usize = 16;
/// Nodes and tiles of a block stay in the second level of cache.
pub(super) const BLOCK: usize = 1024;

/// What a node holds, packed.
trait Node: Copy {
    const SLOTS_MAX: usize;
    const TREE_NODES_MAX: usize;
    fn new(slot: u32, bound: u32, delta: u32) -> Self;
    fn slot(self) -> usize;
    /// A number to be above of, place of a set, or bits of a leaf.
    fn bound(self) -> u32;
    fn delta(self) -> u32;
}

/// 12 bits of slot, 20 bits of delta.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Narrow {
    bound: u32,
    link: u32,
}

impl Node for Narrow {
    const SLOTS_MAX: usize = 1 << 12;
    const TREE_NODES_MAX: usize = 1 << 20;

    fn new(slot: u32, bound: u32, delta: u32) -> Self {
        Self { bound, link: slot << 20 | delta }
    }

    #[inline(always)]
    fn slot(self) -> usize {
        (self.link >> 20) as usize
    }

    #[inline(always)]
    fn bound(self) -> u32 {
        self.bound
    }

    #[inline(always)]
    fn delta(self) -> u32 {
        self.link & 0xf_ffff
    }
}

/// For models of very many columns and trees of more than a million nodes.
#[derive(Debug, Clone, Copy)]
struct Wide {
    bound: u32,
    slot: u32,
    delta: u32,
}

impl Node for Wide {
    const SLOTS_MAX: usize = u32::MAX as usize;
    const TREE_NODES_MAX: usize = u32::MAX as usize;

    fn new(slot: u32, bound: u32, delta: u32) -> Self {
        Self { bound, slot, delta }
    }

    #[inline(always)]
    fn slot(self) -> usize {
        self.slot as usize
    }

    #[inline(always)]
    fn bound(self) -> u32 {
        self.bound
    }

    #[inline(always)]
    fn delta(self) -> u32 {
        self.delta
    }
}

#[derive(Debug)]
enum Nodes {
    Narrow(Vec<Narrow>),
    Wide(Vec<Wide>),
}

#[derive(Debug, Clone, Copy)]
struct Root {
    at: u32,
    depth: u32,
}

/// [`TREES`] trees, the last ones of which may be none.
#[derive(Debug)]
struct Group {
    at: [u32; TREES],
    depth: u32,
    trees: u32,
}

/// All trees of a model.
///
/// Invariants, on which the walks rely: the walk from a root never leaves `nodes`; the slot of a
/// node is below `slots.len()`, and only those from `first_code` on have a set for a bound; the place of a set and the number of words that its column's codes
/// ask for lie within `bits`; the last node is a leaf, as a tree of its own that fills up groups.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) slots: Slots,
    nodes: Nodes,
    bits: Vec<u32>,
    /// By class.
    roots: Vec<Vec<Root>>,
    /// The same, as one row walks them.
    groups: Vec<Vec<Group>>,
    /// First slot that holds a code; `None` if no test asks for a set.
    first_code: Option<usize>,
}

impl Flat {
    /// `None` if the sets would take too much room, or there are too many nodes.
    pub(super) fn of(source: &impl Source) -> Option<Self> {
        let slots = Slots::of(source);
        let mut set_bytes = 0_usize;
        each_test(source, |test| {
            if let Test::Member { column, .. } = test {
                set_bytes = set_bytes.saturating_add(set_words(source, column) * 8);
            }
        });
        if set_bytes > source.set_bytes_max() || set_bytes / 4 >= SET as usize - 1 {
            return None;
        }
        let mut tree = Tree::default();
        let (mut all, mut largest) = (0_usize, 0);
        for class in 0..source.classes() {
            for index in 0..source.trees(class) {
                tree.read(source, class, index);
                all = all.saturating_add(tree.len());
                largest = largest.max(tree.len());
            }
        }
        if all >= u32::MAX as usize {
            return None;
        }
        let narrow = slots.len() <= Narrow::SLOTS_MAX && largest <= Narrow::TREE_NODES_MAX;
        let mut bits = Vec::with_capacity(set_bytes / 4 + 1);
        bits.push(0);
        let (nodes, bits, roots) = if narrow {
            let (nodes, bits, roots) = Builder::<Narrow>::new(&slots, all, bits).build(source);
            (Nodes::Narrow(nodes), bits, roots)
        } else {
            let (nodes, bits, roots) = Builder::<Wide>::new(&slots, all, bits).build(source);
            (Nodes::Wide(nodes), bits, roots)
        };
        let first_code = (!slots.codes.is_empty()).then(|| slots.first_code() as usize);
        let nowhere = match &nodes {
            Nodes::Narrow(nodes) => nodes.len() as u32 - 1,
            Nodes::Wide(nodes) => nodes.len() as u32 - 1,
        };
        let group = |roots: &[Root]| {
            let mut at = [nowhere; TREES];
            at.iter_mut().zip(roots).for_each(|(at, root)| *at = root.at);
            let depth = roots.iter().map(|root| root.depth).max().unwrap_or(0);
            Group { at, depth, trees: roots.len() as u32 }
        };
        let groups = |roots: &Vec<Root>| roots.chunks(TREES).map(group).collect();
        let groups = roots.iter().map(groups).collect();
        Some(Self { slots, nodes, bits, roots, groups, first_code })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Narrow(nodes) => size_of_val(nodes.as_slice()),
            Nodes::Wide(nodes) => size_of_val(nodes.as_slice()),
        };
        let roots = self.roots.iter().map(|roots| size_of_val(roots.as_slice())).sum::<usize>();
        nodes + size_of_val(self.bits.as_slice()) + roots
    }

    /// Adds one row's leaves to the sum of each class.
    ///
    /// `keys`: the row, encoded as a tile of one.
    pub(super) fn add_row<S: Sum>(&self, keys: &[u32], sums: &mut [S]) {
        assert_eq!(keys.len(), self.slots.len(), "a row of all slots");
        for (groups, sum) in self.groups.iter().zip(sums) {
            match (&self.nodes, self.first_code) {
                (Nodes::Narrow(nodes), None) => {
                    row::<_, _, false>(nodes, &self.bits, 0, groups, keys, sum);
                }
                (Nodes::Narrow(nodes), Some(first)) => {
                    row::<_, _, true>(nodes, &self.bits, first, groups, keys, sum);
                }
                (Nodes::Wide(nodes), None) => {
                    row::<_, _, false>(nodes, &self.bits, 0, groups, keys, sum);
                }
                (Nodes::Wide(nodes), Some(first)) => {
                    row::<_, _, true>(nodes, &self.bits, first, groups, keys, sum);
                }
            }
        }
    }

    pub(super) fn classes(&self) -> usize {
        self.roots.len()
    }

    /// Adds the leaves of some trees of a class (of all: `None`) to the sums of many rows.
    ///
    /// `tiles`: the rows in tiles of [`ROWS`]; `sums`: one per place of a tile.
    pub(super) fn add_tiles<S: Sum>(
        &self,
        class: usize,
        trees: Option<std::ops::Range<usize>>,
        tiles: &[u32],
        sums: &mut [S],
    ) {
        let width = self.slots.len() * ROWS;
        assert_eq!(tiles.len() / width * ROWS, sums.len(), "a sum for each row");
        assert_eq!(tiles.len() % width, 0, "whole tiles");
        let trees = trees.unwrap_or(0..self.roots[class].len());
        for &root in &self.roots[class][trees] {
            for (tile, sums) in tiles.chunks_exact(width).zip(sums.as_chunks_mut().0) {
                match (&self.nodes, self.first_code) {
                    (Nodes::Narrow(nodes), None) => {
                        rows::<_, _, false>(nodes, &self.bits, 0, root, tile, sums);
                    }
                    (Nodes::Narrow(nodes), Some(first)) => {
                        rows::<_, _, true>(nodes, &self.bits, first, root, tile, sums);
                    }
                    (Nodes::Wide(nodes), None) => {
                        rows::<_, _, false>(nodes, &self.bits, 0, root, tile, sums);
                    }
                    (Nodes::Wide(nodes), Some(first)) => {
                        rows::<_, _, true>(nodes, &self.bits, first, root, tile, sums);
                    }
                }
            }
        }
    }
}

/// Words of 64 bits that a set of a column's codes takes.
fn set_words(source: &impl Source, column: u32) -> usize {
    source.coder(column).codes().div_ceil(64)
}

struct Builder<'a, N> {
    slots: &'a Slots,
    nodes: Vec<N>,
    bits: Vec<u32>,
    roots: Vec<Vec<Root>>,
    words: Vec<u64>,
}

impl<'a, N: Node> Builder<'a, N> {
    fn new(slots: &'a Slots, nodes: usize, bits: Vec<u32>) -> Self {
        let nodes = Vec::with_capacity(nodes + 1);
        Self { slots, nodes, bits, roots: Vec::new(), words: Vec::new() }
    }

    fn build(mut self, source: &impl Source) -> (Vec<N>, Vec<u32>, Vec<Vec<Root>>) {
        let mut tree = Tree::default();
        for class in 0..source.classes() {
            let mut roots = Vec::with_capacity(source.trees(class));
            for index in 0..source.trees(class) {
                tree.read(source, class, index);
                roots.push(self.tree(source, &tree));
            }
            self.roots.push(roots);
        }
        self.nodes.push(N::new(0, 0, 0));
        (self.nodes, self.bits, self.roots)
    }

    /// Lays out a tree: the children of a node side by side, all below the left one before what is
    /// below the right one.
    fn tree(&mut self, source: &impl Source, tree: &Tree) -> Root {
        let root = self.nodes.len();
        let mut deepest = 0;
        self.nodes.push(N::new(0, 0, 0));
        let mut pending = vec![(0, root, 0)];
        while let Some((place, at, depth)) = pending.pop() {
            self.nodes[at] = match tree.at(place) {
                Fork::Leaf(value) => N::new(0, value.to_bits(), 0),
                Fork::Split { test, left, right } => {
                    let children = self.nodes.len();
                    self.nodes.extend([N::new(0, 0, 0); 2]);
                    deepest = deepest.max(depth + 1);
                    pending.push((right, children + 1, depth + 1));
                    pending.push((left, children, depth + 1));
                    let (slot, bound) = match self.slots.look(test) {
                        Look::Above { slot, bound } => (slot, bound),
                        Look::Member { slot, set } => (slot, self.set(source, slot, set)),
                    };
                    N::new(slot, bound, (children - at) as u32)
                }
            };
        }
        Root { at: root as u32, depth: deepest }
    }

    fn set(&mut self, source: &impl Source, slot: u32, set: u32) -> u32 {
        let place = self.bits.len();
        let coder = self.slots.codes[(slot - self.slots.first_code()) as usize];
        self.words.clear();
        self.words.resize(coder.codes().div_ceil(64), 0);
        source.set(set, &mut self.words);
        self.bits.extend(self.words.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]));
        SET + place as u32
    }
}

/// Added to the place of a set, which makes a bound that no code is above of.
const SET: u32 = 1 << 30;

/// One step from a node: how far it is to the next one.
///
/// # Safety
/// `node` is one of a [`Flat`] and `key` the value of its slot, `bits` and `first_code` are its own.
#[inline(always)]
unsafe fn step<N: Node, const SETS: bool>(
    node: N,
    key: u32,
    bits: &[u32],
    first_code: usize,
) -> u32 {
    let above = u32::from(key > node.bound());
    if !SETS {
        return node.delta() + above;
    }
    // Both answers, one of which is none: a branch would be guessed wrongly half of the time. No
    // code is above the bound that a set is, and the first word has no bits.
    let place = (key >> 5).wrapping_add(node.bound().wrapping_sub(SET));
    let place = if node.slot() < first_code { 0 } else { place };
    // SAFETY: the code is one of its column's, and the set that `bound` leads to has a bit for each
    // of them; for other tests the word is the first.
    let word = unsafe { *bits.get_unchecked(place as usize) };
    node.delta() + (word >> (key & 31) & 1 | above)
}

/// Takes 16 walks some steps on, each a variable of its own, which `black_box` makes the compiler keep:
/// else it puts some of them side by side in vectors, as it does with an array, and takes them out
/// again for each step (7.7 ns for 6.2).
macro_rules! walk_16 {
    ($at:ident, $depth:expr, $step:expr) => {
        walk_16!($at, $depth, $step, a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14 p 15)
    };
    ($at:ident, $depth:expr, $step:expr, $($walk:ident $place:literal)*) => {
        let step = $step;
        $(let mut $walk = $at[$place];)*
        for _ in 0..$depth {
            $($walk = std::hint::black_box(step($walk, $place));)*
        }
        $($at[$place] = $walk;)*
    };
}

/// The walks of one row through the trees of a class, [`TREES`] at a time.
#[inline(never)]
fn row<N: Node, S: Sum, const SETS: bool>(
    nodes: &[N],
    bits: &[u32],
    first_code: usize,
    groups: &[Group],
    keys: &[u32],
    sum: &mut S,
) {
    for group in groups {
        let mut at = group.at;
        walk_16!(at, group.depth, |at: u32, _| {
            // SAFETY: walks from a root stay within the nodes, slots are below the length of
            // `keys`, which the caller has checked.
            unsafe {
                let node = *nodes.get_unchecked(at as usize);
                let key = *keys.get_unchecked(node.slot());
                at + step::<N, SETS>(node, key, bits, first_code)
            }
        });
        for at in &at[..group.trees as usize] {
            sum.plus(S::of(f32::from_bits(nodes[*at as usize].bound())));
        }
    }
}

/// The walks of a tile's rows through one tree.
fn rows<N: Node, S: Sum, const SETS: bool>(
    nodes: &[N],
    bits: &[u32],
    first_code: usize,
    root: Root,
    tile: &[u32],
    sums: &mut [S; ROWS],
) {
    let mut at = [root.at; ROWS];
    walk_16!(at, root.depth, |at: u32, place: usize| {
        // SAFETY: walks from a root stay within the nodes, a tile has `ROWS` values for each slot,
        // which the caller has checked.
        unsafe {
            let node = *nodes.get_unchecked(at as usize);
            let key = *tile.get_unchecked(node.slot() * ROWS + place);
            at + step::<N, SETS>(node, key, bits, first_code)
        }
    });
    for (sum, at) in sums.iter_mut().zip(at) {
        sum.plus(S::of(f32::from_bits(nodes[at as usize].bound())));
    }
}
