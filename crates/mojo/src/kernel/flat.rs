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

use std::hint::{black_box, select_unpredictable};

pub(super) use self::deep::Open;
use super::slots::{Look, Slots};
use super::source::{Coder, Fork, Source, Test, Tree, each_test};
use super::top::{self, Top};
use super::{Level, Sum};

/// Trees that one row walks through at the same time.
pub(super) const TREES: usize = 16;
/// Rows that walk through one tree at the same time; the width of a tile.
pub(super) const ROWS: usize = 16;
/// A tile is read once for each tree, a tree once for each block.
pub(super) const BLOCK: usize = 2048;
/// Bytes that come into the cache together.
const LINE: usize = 64;

/// What a node holds.
pub(super) trait Node: Copy {
    /// Above all slots: added to that of a test whose bound is a set, see [`FEW`].
    const MARK: usize;
    const TREE_NODES_MAX: usize;
    fn new(slot: u32, bound: u32, delta: u32) -> Self;
    /// A number to be above of, a set or its place, or bits of a leaf.
    fn bound(&self) -> u32;
    /// The slot, and how far the left child is.
    fn link(&self) -> (usize, u32);
    /// The nodes, if they are narrow.
    fn narrow(_nodes: &[Self]) -> Option<&[Narrow]> {
        None
    }
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Narrow {
    bound: u32,
    /// 15 bits of slot and the mark, 16 bits of delta.
    link: u32,
}

impl Node for Narrow {
    const MARK: usize = 1 << 15;
    const TREE_NODES_MAX: usize = 1 << 16;

    fn new(slot: u32, bound: u32, delta: u32) -> Self {
        Self { bound, link: slot << 16 | delta }
    }

    #[inline(always)]
    fn bound(&self) -> u32 {
        self.bound
    }

    /// Loaded by itself, so that the bound is an operand of its comparison: as one load of both halves
    /// a step is two instructions longer.
    #[inline(always)]
    fn link(&self) -> (usize, u32) {
        // SAFETY: a reference is valid to read.
        let link = unsafe { std::ptr::read_volatile(&raw const self.link) };
        ((link >> 16) as usize, link & 0xffff)
    }

    fn narrow(nodes: &[Self]) -> Option<&[Narrow]> {
        Some(nodes)
    }
}

/// For models of very many columns and trees of more than 65,536 nodes.
#[derive(Debug, Clone, Copy)]
struct Wide {
    bound: u32,
    slot: u32,
    delta: u32,
}

impl Node for Wide {
    const MARK: usize = 1 << 31;
    const TREE_NODES_MAX: usize = u32::MAX as usize;

    fn new(slot: u32, bound: u32, delta: u32) -> Self {
        Self { bound, slot, delta }
    }

    #[inline(always)]
    fn bound(&self) -> u32 {
        self.bound
    }

    #[inline(always)]
    fn link(&self) -> (usize, u32) {
        (self.slot as usize, self.delta)
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
    sets: u8,
    /// Ends of the tree in the nodes, and of its part of the bits, which starts at `first_bits`.
    end: u32,
    first_bits: u32,
    end_bits: u32,
}

/// Trees without sets.
pub(super) const NONE: u8 = 0;
/// Sets of up to [`INLINE`] codes are the bounds of their nodes. Those of more lie apart, and are so
/// rare that a branch to them is guessed well.
pub(super) const FEW: u8 = 1;
/// All sets lie apart.
pub(super) const MANY: u8 = 2;
/// Codes that a bound has bits for: the last one says that the set lies apart.
const INLINE: usize = 31;
/// One in so many tests, at most, may ask for a set that lies apart where these are few.
const APART_RARE: usize = 16;

/// Trees that one row walks through at the same time: 16, 8 or 4, the last of which may be none.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) at: [u32; TREES],
    /// The steps that the deepest takes.
    pub(super) depth: u32,
    trees: u32,
    pub(super) sets: u8,
    pub(super) top: Option<Box<Top>>,
}

/// Where the walks of one row through a group start, and the steps to the deepest leaf.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    pub(super) at: [u32; TREES],
    pub(super) depth: u32,
}

/// All trees of a model.
///
/// Invariants, on which the walks rely: the walk from a root never leaves `nodes`; the slot of a
/// node without its mark is below `slots.len()`, and only those from `first_code` on have a set for a
/// bound; the place of a set and the number of words that its column's codes ask for lie within
/// `bits`; the last node is a leaf, as a tree of its own that fills up groups. A tree of [`NONE`] is
/// one of the others, too.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) slots: Slots,
    nodes: Nodes,
    bits: Vec<u32>,
    /// By class.
    roots: Vec<Vec<Root>>,
    /// The same, as one row walks them.
    groups: Vec<Vec<Group>>,
    /// First slot that holds a code, if there is any.
    first_code: usize,
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
        let narrow = slots.len() <= Narrow::MARK && largest <= Narrow::TREE_NODES_MAX;
        let mut bits = Vec::with_capacity(set_bytes / 4 + 1);
        bits.push(0);
        let (nodes, bits, roots) = if narrow {
            let (nodes, bits, roots) = Builder::<Narrow>::new(&slots, all, bits).build(source);
            (Nodes::Narrow(nodes), bits, roots)
        } else {
            let (nodes, bits, roots) = Builder::<Wide>::new(&slots, all, bits).build(source);
            (Nodes::Wide(nodes), bits, roots)
        };
        let first_code = slots.first_code() as usize;
        let mut flat = Self { slots, nodes, bits, roots, groups: Vec::new(), first_code };
        flat.groups = match &flat.nodes {
            Nodes::Narrow(nodes) => flat.groups_of(nodes),
            Nodes::Wide(nodes) => flat.groups_of(nodes),
        };
        Some(flat)
    }

    fn groups_of<N: Node>(&self, nodes: &[N]) -> Vec<Vec<Group>> {
        let has_tops = cfg!(target_arch = "x86_64") && self.slots.len() <= top::SLOTS_MAX;
        let group = |roots: &[Root]| {
            let mut at = [nodes.len() as u32 - 1; TREES];
            at.iter_mut().zip(roots).for_each(|(at, root)| *at = root.at);
            let depth = roots.iter().map(|root| root.depth).max().unwrap_or(0);
            let sets = roots.iter().map(|root| root.sets).max().unwrap_or(NONE);
            let top = (has_tops && depth >= top::LEVELS)
                .then(|| Box::new(Top::of(self.walked(nodes), &at, sets)));
            Group { at, depth, trees: roots.len() as u32, sets, top }
        };
        let groups = |roots: &Vec<Root>| roots.chunks(TREES).map(group).collect();
        self.roots.iter().map(groups).collect()
    }

    fn walked<'a, N>(&'a self, nodes: &'a [N]) -> Walked<'a, N> {
        Walked { nodes, bits: &self.bits, first_code: self.first_code }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Narrow(nodes) => size_of_val(nodes.as_slice()),
            Nodes::Wide(nodes) => size_of_val(nodes.as_slice()),
        };
        let roots = self.roots.iter().map(|roots| size_of_val(roots.as_slice())).sum::<usize>();
        let groups = self.groups.iter().flatten();
        let groups = groups.map(|it| size_of_val(it) + it.top.as_deref().map_or(0, size_of_val));
        nodes + size_of_val(self.bits.as_slice()) + roots + groups.sum::<usize>()
    }

    /// Adds one row's leaves to the sum of each class.
    ///
    /// `keys`: the row, encoded as a tile of one. `starts`: a buffer.
    pub(super) fn add_row<S: Sum>(
        &self,
        level: Level,
        keys: &[u32],
        starts: &mut Vec<Start>,
        sums: &mut [S],
    ) {
        match &self.nodes {
            Nodes::Narrow(nodes) => self.add_row_to(level, nodes, keys, starts, sums),
            Nodes::Wide(nodes) => self.add_row_to(level, nodes, keys, starts, sums),
        }
    }

    fn add_row_to<N: Node, S: Sum>(
        &self,
        level: Level,
        nodes: &[N],
        keys: &[u32],
        starts: &mut Vec<Start>,
        sums: &mut [S],
    ) {
        assert_eq!(keys.len(), self.slots.len(), "a row of all slots");
        let forest = self.walked(nodes);
        for (groups, sum) in self.groups.iter().zip(sums) {
            self.enter(level, groups, keys, starts);
            #[cfg(target_arch = "x86_64")]
            if level == Level::Gathers
                && let Some(forest) = forest.gatherable()
            {
                // SAFETY: a level is of those that `levels` found on this processor; keys are of all
                // slots, as was asked, and walks start where `enter` says.
                unsafe { gathered::row(forest, groups, starts, keys, sum) };
                continue;
            }
            for (group, start) in groups.iter().zip(starts.iter()) {
                match group.sets {
                    NONE => row::<_, _, NONE>(forest, group, start, keys, sum),
                    FEW => row::<_, _, FEW>(forest, group, start, keys, sum),
                    _ => row::<_, _, MANY>(forest, group, start, keys, sum),
                }
            }
        }
    }

    /// Where one row's walks start, and the steps that are left.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(
            unused_variables,
            clippy::unused_self,
            reason = "only vectors that the standard library knows of ask"
        )
    )]
    fn enter(&self, level: Level, groups: &[Group], keys: &[u32], starts: &mut Vec<Start>) {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Vbmi | Level::Gathers if keys.len() <= top::SLOTS_MAX => {
                starts.resize(groups.len(), Start::default());
                // SAFETY: a level is of those that `levels` found on this processor.
                unsafe { top::enter(groups, keys, &self.bits, starts) }
            }
            _ => {
                starts.clear();
                starts.extend(groups.iter().map(|it| Start { at: it.at, depth: it.depth }));
            }
        }
    }

    pub(super) fn classes(&self) -> usize {
        self.roots.len()
    }

    /// Adds the leaves of a class's trees to the sums of many rows.
    ///
    /// `tiles`: the rows in tiles of [`ROWS`]; `sums`: one per place of a tile.
    pub(super) fn add_tiles<S: Sum>(&self, class: usize, tiles: &[u32], sums: &mut [S]) {
        let width = self.slots.len() * ROWS;
        assert_eq!(tiles.len() / width * ROWS, sums.len(), "a sum for each row");
        assert_eq!(tiles.len() % width, 0, "whole tiles");
        let roots = &self.roots[class];
        match &self.nodes {
            Nodes::Narrow(nodes) => self.add_tiles_to(nodes, roots, tiles, sums),
            Nodes::Wide(nodes) => self.add_tiles_to(nodes, roots, tiles, sums),
        }
    }

    /// Adds the leaves of a tree to the sums of many rows, those that have come to a leaf left out.
    ///
    /// `paths`: where each row stands below the root, a bit for each step, the first one the
    /// highest; `None` for at the root. `keys`: the rows, each encoded as a tile of one.
    #[expect(clippy::too_many_arguments, reason = "a tree, its rows, and buffers")]
    pub(super) fn add_from<S: Sum>(
        &self,
        level: Level,
        class: usize,
        tree: usize,
        paths: Option<&[u8]>,
        keys: &[u32],
        open: &mut Open,
        sums: &mut [S],
    ) {
        let (roots, width) = (&self.roots[class][tree..], self.slots.len());
        match &self.nodes {
            Nodes::Narrow(nodes) => {
                open.add(level, self.walked(nodes), roots, paths, (keys, width), sums);
            }
            Nodes::Wide(nodes) => {
                open.add(level, self.walked(nodes), roots, paths, (keys, width), sums);
            }
        }
    }

    fn add_tiles_to<N: Node, S: Sum>(
        &self,
        nodes: &[N],
        roots: &[Root],
        tiles: &[u32],
        sums: &mut [S],
    ) {
        let width = self.slots.len() * ROWS;
        let forest = self.walked(nodes);
        for &root in roots {
            forest.read_ahead(root);
            for (tile, sums) in tiles.chunks_exact(width).zip(sums.as_chunks_mut().0) {
                match root.sets {
                    NONE => rows::<_, _, NONE>(forest, root, tile, sums),
                    FEW => rows::<_, _, FEW>(forest, root, tile, sums),
                    _ => rows::<_, _, MANY>(forest, root, tile, sums),
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
    /// A set's codes.
    words: Vec<u64>,
    /// Where sets of one code begin, by what the others are and by bit.
    lone: [[Option<u32>; 32]; 2],
}

impl<'a, N: Node> Builder<'a, N> {
    fn new(slots: &'a Slots, nodes: usize, bits: Vec<u32>) -> Self {
        let nodes = Vec::with_capacity(nodes + 1);
        Self { slots, nodes, bits, roots: Vec::new(), words: Vec::new(), lone: [[None; 32]; 2] }
    }

    fn build(mut self, source: &impl Source) -> (Vec<N>, Vec<u32>, Vec<Vec<Root>>) {
        let mut group: [Tree; TREES] = Default::default();
        for class in 0..source.classes() {
            let trees = source.trees(class);
            let mut roots = Vec::with_capacity(trees);
            for first in (0..trees).step_by(TREES) {
                let group = &mut group[..TREES.min(trees - first)];
                let indices = first..;
                indices.zip(group.iter_mut()).for_each(|(at, tree)| tree.read(source, class, at));
                let sets = self.sets_of(group);
                roots.extend(group.iter().map(|tree| self.tree(source, tree, sets)));
            }
            self.roots.push(roots);
        }
        self.nodes.push(N::new(0, 0, 0));
        self.bits.shrink_to_fit();
        (self.nodes, self.bits, self.roots)
    }

    /// How trees that are walked together hold their sets.
    fn sets_of(&self, trees: &[Tree]) -> u8 {
        let (mut tests, mut sets, mut apart) = (0, 0, 0);
        for test in trees.iter().flat_map(Tree::tests) {
            tests += 1;
            if let Test::Member { .. } = test
                && let Look::Member { slot, .. } = self.slots.look(test)
            {
                sets += 1;
                apart += usize::from(self.coder(slot).codes() > INLINE);
            }
        }
        match (sets, apart) {
            (0, _) => NONE,
            (_, apart) if apart * APART_RARE <= tests => FEW,
            _ => MANY,
        }
    }

    fn coder(&self, slot: u32) -> &Coder {
        &self.slots.codes[(slot - self.slots.first_code()) as usize]
    }

    /// Lays out a tree: the children of a node side by side, all below the left one before what is
    /// below the right one.
    fn tree(&mut self, source: &impl Source, tree: &Tree, sets: u8) -> Root {
        let root = self.nodes.len();
        let first_bits = self.bits.len() as u32;
        let (mut deepest, mut has_sets) = (0, false);
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
                        Look::Member { slot, set } => {
                            has_sets = true;
                            let mark = if sets == FEW { N::MARK as u32 } else { 0 };
                            (slot | mark, self.set(source, slot, set, sets))
                        }
                    };
                    N::new(slot, bound, (children - at) as u32)
                }
            };
        }
        Root {
            at: root as u32,
            depth: deepest,
            sets: if has_sets { sets } else { NONE },
            end: self.nodes.len() as u32,
            first_bits,
            end_bits: self.bits.len() as u32,
        }
    }

    /// The bound of a node that tests a set.
    fn set(&mut self, source: &impl Source, slot: u32, set: u32, sets: u8) -> u32 {
        let codes = self.coder(slot).codes();
        self.words.clear();
        self.words.resize(codes.div_ceil(64), 0);
        source.set(set, &mut self.words);
        if sets == FEW && codes <= INLINE {
            return self.words[0] as u32;
        }
        let place = self.lone(codes).unwrap_or_else(|| self.append(codes));
        place + if sets == FEW { APART } else { SET }
    }

    /// The place of a set that holds one code alone, or all but one: all that have the same bit of a
    /// word have the same words, and read them from different places on.
    fn lone(&mut self, codes: usize) -> Option<u32> {
        let n_words = codes.div_ceil(32);
        if !(LONE_MIN..=LONE_MAX).contains(&n_words) {
            return None;
        }
        let ones = self.words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        let others = match ones {
            1 => 0,
            _ if ones + 1 == codes => u32::MAX,
            _ => return None,
        };
        let code = (0..codes)
            .find(|code| self.words[code / 64] >> (code % 64) & 1 != u64::from(others & 1))?;
        let place = self.lone[usize::from(others != 0)][code % 32].get_or_insert_with(|| {
            let place = self.bits.len() as u32;
            self.bits.resize(self.bits.len() + 2 * LONE_MAX - 1, others);
            self.bits[place as usize + LONE_MAX - 1] ^= 1 << (code % 32);
            place
        });
        Some(*place + (LONE_MAX - 1 - code / 32) as u32)
    }

    /// Appends the words of a set; how those before end is how many begin, and there once.
    fn append(&mut self, codes: usize) -> u32 {
        let words = self.words.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]);
        let words = words.take(codes.div_ceil(32));
        let first = self.words[0] as u32;
        let alike = words.clone().take_while(|&word| word == first).count();
        let shared = self.bits.iter().rev().take(alike).take_while(|&&word| word == first).count();
        let place = (self.bits.len() - shared) as u32;
        self.bits.extend(words.skip(shared));
        place
    }
}

/// Words of a set that is written in its own way when it holds one code alone, or all but one.
const LONE_MIN: usize = 8;
const LONE_MAX: usize = 64;

/// Added to the place of a set where sets are [`MANY`], which makes a bound that no code is above of.
const SET: u32 = 1 << 30;
/// Added to the place of a set that lies apart where such sets are [`FEW`].
const APART: u32 = 1 << 31;

/// What walks go through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walked<'a, N> {
    nodes: &'a [N],
    bits: &'a [u32],
    first_code: usize,
}

/// What a test asks of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// Whether it is above.
    Above(u32),
    /// Whether the bit of the code is set.
    Few(u32),
    /// The same, of words that lie apart.
    Many(u32),
}

impl<'a, N: Node> Walked<'a, N> {
    /// The same, if lanes of 32 bits can hold all places.
    #[cfg(target_arch = "x86_64")]
    fn gatherable(self) -> Option<Walked<'a, Narrow>> {
        let Self { bits, first_code, .. } = self;
        let nodes = N::narrow(self.nodes)?;
        let fits = i32::try_from(nodes.len().max(bits.len())).is_ok();
        fits.then_some(Walked { nodes, bits, first_code })
    }
}

impl<N: Node> Walked<'_, N> {
    /// The slot that a node looks at, what it asks and its left child; `None` of a leaf.
    pub(super) fn split(self, at: u32, sets: u8) -> Option<(usize, Ask, u32)> {
        let node = &self.nodes[at as usize];
        let (slot, delta) = node.link();
        let (unmarked, bound) = (if sets == FEW { slot & !N::MARK } else { slot }, node.bound());
        let ask = match sets {
            FEW if slot == unmarked => Ask::Above(bound),
            FEW if bound & APART == 0 => Ask::Few(bound),
            FEW => Ask::Many(bound - APART),
            MANY if slot >= self.first_code => Ask::Many(bound - SET),
            _ => Ask::Above(bound),
        };
        (delta != 0).then_some((unmarked, ask, at + delta))
    }

    /// Reads a tree from one end to the other, so that walks find it in the second level of cache: in
    /// the order of memory its lines come several times as fast as where walks ask for them.
    fn read_ahead(self, root: Root) {
        let nodes = &self.nodes[root.at as usize..root.end as usize];
        let bits = &self.bits[root.first_bits as usize..root.end_bits as usize];
        let nodes = nodes.iter().step_by(LINE / size_of::<N>()).map(Node::bound);
        let bits = bits.iter().step_by(LINE / size_of::<u32>());
        black_box(bits.fold(nodes.fold(0, |all, bound| all ^ bound), |all, word| all ^ word));
    }

    /// The node that follows for a row whose key of a slot `keys` gives the place of.
    ///
    /// # Safety
    /// `at` is a place that a walk from a root comes to; the places of all slots are in `keys`, and
    /// the values there are keys of those slots.
    #[inline(always)]
    unsafe fn step<const SETS: u8>(
        self,
        at: u32,
        keys: &[u32],
        place: impl Fn(usize) -> usize,
    ) -> u32 {
        // SAFETY: walks from a root stay within the nodes.
        let node = unsafe { self.nodes.get_unchecked(at as usize) };
        let (slot, delta) = node.link();
        let unmarked = if SETS == FEW { slot & !N::MARK } else { slot };
        // SAFETY: as the caller says.
        let key = unsafe { *keys.get_unchecked(place(unmarked)) };
        let bound = node.bound();
        let above = u32::from(key > bound);
        // Both answers, one of which counts: a branch would be guessed wrongly half of the time.
        let right = match SETS {
            NONE => above,
            FEW => {
                let is_set = slot & N::MARK != 0;
                if is_set && bound & APART != 0 {
                    apart(self.bits, bound - APART, key)
                } else {
                    select_unpredictable(is_set, bound >> (key & 31) & 1, above)
                }
            }
            _ => {
                // No code is above the bound that a set is, and the first word has no bits.
                let place = (key >> 5).wrapping_add(bound.wrapping_sub(SET));
                let place = if slot < self.first_code { 0 } else { place };
                // SAFETY: the code is one of its column's, and the set that `bound` leads to has a
                // bit for each of them; for other tests the word is the first.
                let word = unsafe { *self.bits.get_unchecked(place as usize) };
                // One of them at most; added, as carries are.
                (word >> (key & 31) & 1) + above
            }
        };
        at + delta + right
    }
}

/// Whether a set that lies at a place of `bits` holds a code.
#[cold]
fn apart(bits: &[u32], place: u32, code: u32) -> u32 {
    bits[(place + (code >> 5)) as usize] >> (code & 31) & 1
}

/// Takes walks some steps on. Where each is stays in memory: the compiler would put some side by
/// side in vectors, and take them out again for each step (7.7 ns for 6.2), or copy those that it
/// has no register for from place to place. For trees of one row volatile places do it; for rows of
/// one tree, whose keys are further apart to compute, `black_box` is faster by an eighth.
macro_rules! walk {
    (rows $at:ident, $depth:expr, $step:expr) => {
        walk!(rows $at, $depth, $step, a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14 p 15)
    };
    (rows $at:ident, $depth:expr, $step:expr, $($walk:ident $place:literal)*) => {{
        let step = $step;
        $(let mut $walk = $at[$place];)*
        for _ in 0..$depth {
            $($walk = black_box(step($walk, $place));)*
        }
        $($at[$place] = $walk;)*
    }};
    (16, $at:ident, $depth:expr, $step:expr) => {
        walk!($at, $depth, $step, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (8, $at:ident, $depth:expr, $step:expr) => {
        walk!($at, $depth, $step, 0 1 2 3 4 5 6 7)
    };
    (4, $at:ident, $depth:expr, $step:expr) => {
        walk!($at, $depth, $step, 0 1 2 3)
    };
    ($at:ident, $depth:expr, $step:expr, $($walk:literal)*) => {{
        let step = $step;
        for _ in 0..$depth {
            // SAFETY: references are valid to read and to write.
            $(unsafe {
                let at = &raw mut $at[$walk];
                at.write_volatile(step(at.read_volatile(), $walk));
            })*
        }
    }};
}

mod deep;
#[cfg(target_arch = "x86_64")]
mod gathered;

/// The walks of one row through a group's trees.
#[inline(never)]
fn row<N: Node, S: Sum, const SETS: u8>(
    forest: Walked<'_, N>,
    group: &Group,
    start: &Start,
    keys: &[u32],
    sum: &mut S,
) {
    let step = |at: u32, _: usize| {
        // SAFETY: slots are below the length of `keys`, which the caller has checked, and walks
        // start at roots.
        unsafe { forest.step::<SETS>(at, keys, |slot| slot) }
    };
    let (mut at, depth) = (start.at, start.depth);
    match group.trees {
        9.. => walk!(16, at, depth, step),
        5..=8 => walk!(8, at, depth, step),
        _ => walk!(4, at, depth, step),
    }
    for at in &at[..group.trees as usize] {
        sum.plus(S::of(f32::from_bits(forest.nodes[*at as usize].bound())));
    }
}

/// The walks of a tile's rows through one tree.
fn rows<N: Node, S: Sum, const SETS: u8>(
    forest: Walked<'_, N>,
    root: Root,
    tile: &[u32],
    sums: &mut [S; ROWS],
) {
    let mut at = [root.at; ROWS];
    walk!(rows at, root.depth, |at: u32, row: usize| {
        // SAFETY: a tile has `ROWS` values for each slot, which the caller has checked, and walks
        // start at a root.
        unsafe { forest.step::<SETS>(at, tile, |slot| slot * ROWS + row) }
    });
    for (sum, at) in sums.iter_mut().zip(at) {
        sum.plus(S::of(f32::from_bits(forest.nodes[at as usize].bound())));
    }
}
