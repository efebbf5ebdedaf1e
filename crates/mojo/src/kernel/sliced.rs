//! The sliced form: all nodes of eight trees asked of 64 rows at once.
//!
//! Many rows, shallow trees: instead of walking, every node of a tree is answered for every row.
//!
//! ```text
//! rows      a tile of 64 rows; per slot the *symbols* of its rows: ranks, or codes of levels
//! lanes     bytes: symbols minus 0, 255, 510, ..., clamped to 0..=255
//! tests     lane > byte, or lane == byte: one comparison, 64 answers, the node's *mask*
//! sets      of a few hundred codes: a byte of eight nodes per code, all in registers, from which one
//!           instruction takes those of 64 rows (AVX-512 VBMI); else a word of 64 nodes per code:
//!           64 loads answer 64 nodes, turned by a byte transposition
//! paths     masks of eight trees side by side; from the root down each level's masks are
//!           narrowed to the one on each row's path by the levels above it
//! sums      the path is the number of the leaf: leaves are added tree by tree, row by row
//! ```
//!
//! The masks of eight trees at one place of the tree are one row of [`Masks`]: place `(1 << level) +
//! path`. Where a tree has no node there, whatever the mask holds leads to copies of one leaf. A
//! domain of any size costs the same: what grows is the table, not the work.
//!
//! Trees go in groups of eight of one class. Where deeper ones test sets, the first eight levels are asked
//! this way, and the flat form goes on from there; numbers alone it walks as fast from the root. So it does
//! where a group's tables would be too large. Both add to the same sums, in tree order.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod encode;

pub(super) use self::encode::RawRows;
pub(crate) use self::encode::{ABREAST, Columns};
use super::Sum;
use super::ranks::{RANKS_MAX, Ranks, TILE};
use super::slots::{Look, Slots, threshold_key};
use super::source::{Coder, Fork, Rounding, Source, Test, Tree, each_tree};

/// Trees of a group.
pub(super) const GROUP: usize = 8;
/// Edges down to the deepest leaf: paths are bytes.
pub(super) const DEPTH_MAX: usize = 8;
/// A lane holds 255 steps of its symbols.
const LANE: usize = 255;
/// Bytes of a group's tables, beyond which they would fall out of the second level of cache.
const TABLES_MAX: usize = 1 << 19;
/// Registers of a plane's table: beyond that, a plane costs more than an eighth of a block.
const LINES_MAX: usize = 16;
/// Lanes, beyond which a chunk of rows would fall out of it.
const LANES_MAX: usize = 1 << 12;

/// A tile's rows, as tests ask for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) symbols: &'a [[u16; TILE]],
    pub(super) lanes: &'a [LaneTile],
    pub(super) codes: &'a [CodeTile],
}

/// The masks of a group: see above. Place 0 is where tests of no node go.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Masks(pub(super) [[u64; GROUP]; 1 << DEPTH_MAX]);

impl Default for Masks {
    fn default() -> Self {
        Self([[0; GROUP]; 1 << DEPTH_MAX])
    }
}

/// The number of the leaf, of each tree and row.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Paths(pub(super) [[u8; TILE]; GROUP]);

impl Default for Paths {
    fn default() -> Self {
        Self([[0; TILE]; GROUP])
    }
}

/// Bytes of a lane, less 128: AVX2 compares signed bytes only.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct LaneTile(pub(super) [i8; TILE]);

/// Codes of a slot as tables of bytes are asked: the lowest seven bits count, the next ones say
/// which part of the table.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct CodeTile {
    pub(super) low: Low,
    /// Bits 7, 8 and 9, a row each.
    pub(super) high: [u64; 3],
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Low(pub(super) [u8; TILE]);

impl Default for Low {
    fn default() -> Self {
        Self([0; TILE])
    }
}

/// Part of a table: a byte per code.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Leaves of a tree, 16 at a time.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Leaves(pub(super) [f32; 16]);

/// What a slot's symbols come from.
#[derive(Debug)]
enum Symbols {
    Ranks(Ranks),
    /// 1 where the value is missing, else 0.
    Missing {
        column: u32,
        limit: i64,
    },
    Code(Coder),
    /// Too many for 16 bits, or asked for further down only: no group asks for them.
    Unfit,
}

impl Symbols {
    fn column(&self) -> Option<u32> {
        match self {
            Self::Ranks(ranks) => Some(ranks.number.column),
            Self::Missing { column, .. } => Some(*column),
            Self::Code(coder) => Some(coder.column),
            Self::Unfit => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    symbols: u16,
    from: u16,
    /// Values beyond the lane are above it, else they are equal to none.
    ordered: bool,
}

/// Set tests of up to 64 nodes.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// Slots that are asked, and where the table of each starts: a word per code, a bit per node.
    pub(super) segments: Vec<(u16, usize)>,
    /// Where the mask of each node goes.
    pub(super) places: Vec<u16>,
}

/// Set tests of up to eight nodes that ask for one slot.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    /// Among the codes of a tile.
    pub(super) codes: u16,
    /// 1, 2, 4, 8 or 16 of a group's lines from `first` on: a byte per code, a bit per node.
    pub(super) lines: u8,
    pub(super) first: u32,
    /// Where the mask of each node goes.
    pub(super) places: [u16; 8],
}

/// A comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    /// What the lane is compared with, less 128, four times: so registers are filled fastest.
    pub(super) bytes: [i8; 4],
    /// Where the mask goes: place * 8 + tree.
    pub(super) place: u32,
}

/// Eight trees or fewer. Tests are `lane > byte` in the first lanes, then `lane == byte`.
#[derive(Debug)]
pub(super) struct Group<S> {
    pub(super) trees: usize,
    pub(super) depth: usize,
    /// Lanes, and how many tests each has, up to `ordered` of them the first kind.
    pub(super) ordered: usize,
    pub(super) lanes: Vec<(u16, u16)>,
    pub(super) tests: Vec<Compared>,
    pub(super) planes: Vec<Plane>,
    pub(super) lines: Vec<Line>,
    pub(super) blocks: Vec<Block>,
    pub(super) tables: Vec<u64>,
    /// `1 << depth` leaves for each of eight trees; depths are 3 at least. None of deeper trees.
    pub(super) leaves: Vec<S>,
    /// The same as they are in the file, whole registers for each tree.
    pub(super) leaf_lines: Vec<Leaves>,
}

/// What is to be added, in order.
#[derive(Debug)]
pub(super) enum Item<S> {
    Group(Group<S>),
    /// The first [`DEPTH_MAX`] levels of trees from this one on; from there they are walked.
    Deep(Group<S>, usize),
    /// These trees are walked.
    Walk(std::ops::Range<usize>),
}

#[derive(Debug)]
pub(super) struct Sliced<S> {
    rounding: Rounding,
    symbols: Vec<Symbols>,
    /// Column and number of all symbols, by column.
    by_column: Vec<(u32, u16)>,
    lanes: Vec<Lane>,
    /// Symbols that planes ask for.
    codes: Vec<u16>,
    /// By class.
    pub(super) items: Vec<Vec<Item<S>>>,
}

impl<S: Sum> Sliced<S> {
    /// `None` if no group of trees is fit. `planes`: whether the kernel looks up bytes in registers.
    pub(super) fn of(source: &impl Source, planes: bool) -> Option<Self> {
        let slots = Slots::of(source);
        let mut builder = Builder::new(source, &slots, planes);
        let mut items = Vec::new();
        let mut is_any = false;
        for class in 0..source.classes() {
            let mut of_class: Vec<Item<S>> = Vec::new();
            let trees = source.trees(class);
            for from in (0..trees).step_by(GROUP) {
                let range = from..(from + GROUP).min(trees);
                match (builder.group(source, class, range.clone()), of_class.last_mut()) {
                    (Some(group), _) => {
                        is_any = true;
                        of_class.push(if group.leaf_lines.is_empty() {
                            Item::Deep(group, range.start)
                        } else {
                            Item::Group(group)
                        });
                    }
                    (None, Some(Item::Walk(walk))) => walk.end = range.end,
                    (None, _) => of_class.push(Item::Walk(range)),
                }
            }
            items.push(of_class);
        }
        let Builder { symbols, lanes, codes, .. } = builder;
        let numbered = (0..).zip(&symbols);
        let mut by_column: Vec<_> =
            numbered.filter_map(|(slot, it)| Some((it.column()?, slot))).collect();
        by_column.sort_unstable();
        is_any.then_some(Self { rounding: slots.rounding, symbols, by_column, lanes, codes, items })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let ranks = self.symbols.iter().map(|symbols| match symbols {
            Symbols::Ranks(ranks) => ranks.memory_bytes(),
            _ => 0,
        });
        let items = self.items.iter().flatten().map(|item| match item {
            Item::Walk(_) => 0,
            Item::Group(group) | Item::Deep(group, _) => {
                size_of_val(group.lanes.as_slice())
                    + size_of_val(group.tests.as_slice())
                    + size_of_val(group.planes.as_slice())
                    + size_of_val(group.lines.as_slice())
                    + size_of_val(group.tables.as_slice())
                    + size_of_val(group.leaves.as_slice())
                    + size_of_val(group.leaf_lines.as_slice())
                    + group
                        .blocks
                        .iter()
                        .map(|it| 2 * it.places.len() + 16 * it.segments.len())
                        .sum::<usize>()
            }
        });
        ranks.sum::<usize>() + items.sum::<usize>()
    }

    /// Whether the flat form is needed beside this one.
    pub(super) fn has_walks(&self) -> bool {
        self.items.iter().flatten().any(|item| !matches!(item, Item::Group(_)))
    }

    pub(super) fn has_deep(&self) -> bool {
        self.items.iter().flatten().any(|item| matches!(item, Item::Deep(..)))
    }

    pub(super) fn symbols(&self) -> usize {
        self.symbols.len()
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn codes(&self) -> usize {
        self.codes.len()
    }
}

/// Adds the leaves that the paths lead to: row by row, in tree order. For the reason of [`gather`]
/// no part of the kernels.
#[inline(never)]
pub(super) fn add_leaves<S: Sum>(group: &Group<S>, paths: &Paths, sums: &mut [S; TILE]) {
    // With the depth known, all tables are at fixed distances.
    match group.depth {
        ..=3 => add::<S, 3>(group, paths, sums),
        4 => add::<S, 4>(group, paths, sums),
        5 => add::<S, 5>(group, paths, sums),
        6 => add::<S, 6>(group, paths, sums),
        7 => add::<S, 7>(group, paths, sums),
        _ => add::<S, 8>(group, paths, sums),
    }
}

#[inline(always)]
fn add<S: Sum, const DEPTH: usize>(group: &Group<S>, paths: &Paths, sums: &mut [S; TILE]) {
    let leaves = &group.leaves[..GROUP << DEPTH];
    let leaf = |tree: usize, row: usize| {
        let path = usize::from(paths.0[tree][row]) & ((1 << DEPTH) - 1);
        leaves[(tree << DEPTH) + path]
    };
    if group.trees == GROUP {
        for (row, sum) in sums.iter_mut().enumerate() {
            for tree in 0..GROUP {
                sum.plus(leaf(tree, row));
            }
        }
    } else {
        for (row, sum) in sums.iter_mut().enumerate() {
            for tree in 0..group.trees {
                sum.plus(leaf(tree, row));
            }
        }
    }
}

struct Builder {
    symbols: Vec<Symbols>,
    /// Thresholds of each slot of numbers.
    keys: Vec<Vec<i32>>,
    lanes: Vec<Lane>,
    /// Lanes by symbols, then by number.
    numbered: std::collections::BTreeMap<(u16, bool, u16), u16>,
    layout: Layout,
    words: Vec<u64>,
    planes: bool,
    codes: Vec<u16>,
}

/// The columns of the symbols, kind by kind, in the order of the symbols.
#[derive(Debug)]
struct Layout {
    numbers: Vec<(u32, bool)>,
    missing: Vec<u32>,
    hots: Vec<u32>,
    codes: Vec<u32>,
}

impl Builder {
    fn new(source: &impl Source, slots: &Slots, planes: bool) -> Self {
        let mut keys = vec![Vec::new(); slots.numbers.len()];
        each_tree(source, |tree| {
            tree.depth_up_to(DEPTH_MAX, |test| {
                if let Test::AtLeast { threshold, .. } = test
                    && let Look::Above { slot, .. } = slots.look(test)
                {
                    keys[slot as usize - 1].push((threshold_key(threshold), threshold + 0.0));
                }
            });
        });
        let mut symbols = Vec::new();
        let mut all_keys = Vec::new();
        for (number, mut keys) in slots.numbers.iter().zip(keys) {
            keys.sort_unstable_by_key(|&(key, _)| key);
            keys.dedup_by_key(|&mut (key, _)| key);
            let (keys, thresholds): (Vec<i32>, Vec<f32>) = keys.into_iter().unzip();
            symbols.push(if (1..RANKS_MAX).contains(&keys.len()) {
                Symbols::Ranks(Ranks::of(*number, &thresholds))
            } else {
                Symbols::Unfit
            });
            all_keys.push(keys);
        }
        symbols.extend(
            slots.missing.iter().map(|&(column, limit)| Symbols::Missing { column, limit }),
        );
        let code = |coder: &Coder| match coder.codes() {
            ..=RANKS_MAX if i32::try_from(coder.shift).is_ok() => Symbols::Code(*coder),
            _ => Symbols::Unfit,
        };
        symbols.extend(slots.hots.iter().map(|hots| code(&hots.coder)));
        symbols.extend(slots.codes.iter().map(code));
        let layout = Layout {
            numbers: slots.numbers.iter().map(|it| (it.column, it.missing)).collect(),
            missing: slots.missing.iter().map(|it| it.0).collect(),
            hots: slots.hots.iter().map(|it| it.coder.column).collect(),
            codes: slots.codes.iter().map(|it| it.column).collect(),
        };
        Self {
            symbols,
            keys: all_keys,
            lanes: Vec::new(),
            numbered: std::collections::BTreeMap::new(),
            layout,
            words: Vec::new(),
            planes,
            codes: Vec::new(),
        }
    }

    /// `None` if the flat form is better for the trees.
    fn group<S: Sum>(
        &mut self,
        source: &impl Source,
        class: usize,
        range: std::ops::Range<usize>,
    ) -> Option<Group<S>> {
        let mut trees = Vec::with_capacity(GROUP);
        let mut depth = 3;
        for index in range {
            let mut tree = Tree::default();
            tree.read(source, class, index);
            depth = depth.max(tree.depth_up_to(DEPTH_MAX, |_| ()));
            trees.push(tree);
        }
        let is_set = |test| matches!(test, Test::Member { .. });
        if depth > DEPTH_MAX && !trees.iter().flat_map(Tree::tests).any(is_set) {
            return None;
        }
        let mut asked = Asked::default();
        if depth <= DEPTH_MAX {
            asked.leaves = vec![S::default(); GROUP << depth];
            asked.leaf_lines = vec![Leaves([0.0; 16]); GROUP * leaf_lines(depth)];
        }
        depth = depth.min(DEPTH_MAX);
        for (number, tree) in trees.iter().enumerate() {
            self.tree(tree, number, depth, &mut asked)?;
        }
        let Asked { mut ordered, mut equal, mut sets, leaves, leaf_lines } = asked;
        sets.sort_unstable();
        let is_plane = |&(slot, ..): &SetTest| match &self.symbols[usize::from(slot)] {
            Symbols::Code(coder) => self.planes && coder.codes() <= LINES_MAX * 64,
            _ => false,
        };
        let (planes, sets): (Vec<_>, Vec<_>) = sets.into_iter().partition(is_plane);
        let (planes, lines) = self.planes(source, &planes)?;
        let (blocks, tables) = self.blocks(source, &sets)?;
        let (mut lanes, mut tests) = (Vec::new(), Vec::new());
        let mut push = |of: &mut Vec<(u16, u8, u16)>| {
            of.sort_unstable();
            for same in of.chunk_by(|a, b| a.0 == b.0) {
                lanes.push((same[0].0, same.len() as u16));
                tests.extend(same.iter().map(|&(_, byte, place)| Compared {
                    bytes: [(byte ^ 0x80).cast_signed(); 4],
                    place: u32::from(place),
                }));
            }
            lanes.len()
        };
        let n_ordered = push(&mut ordered);
        push(&mut equal);
        Some(Group {
            trees: trees.len(),
            depth,
            ordered: n_ordered,
            lanes,
            tests,
            planes,
            lines,
            blocks,
            tables,
            leaves,
            leaf_lines,
        })
    }

    /// Adds a tree's tests and leaves to those of its group.
    fn tree<S: Sum>(
        &mut self,
        tree: &Tree,
        number: usize,
        depth: usize,
        asked: &mut Asked<S>,
    ) -> Option<()> {
        let mut pending = vec![(0, 0, 0)];
        while let Some((place, level, path)) = pending.pop() {
            match tree.at(place) {
                // A top has no leaves: where rows stand is all that is asked of it.
                _ if level == DEPTH_MAX && asked.leaves.is_empty() => {}
                Fork::Leaf(_) if asked.leaves.is_empty() => {}
                Fork::Leaf(value) => {
                    let copies = 1 << (depth - level);
                    let start = (number << depth) + path * copies;
                    asked.leaves[start..start + copies].fill(S::of(value));
                    let lines = &mut asked.leaf_lines[number * leaf_lines(depth)..];
                    for leaf in path * copies..(path + 1) * copies {
                        lines[leaf / 16].0[leaf % 16] = value;
                    }
                }
                Fork::Split { test, left, right } => {
                    let place = (((1 << level) + path) * GROUP + number) as u16;
                    self.test(test, place, asked)?;
                    pending.push((right, level + 1, 2 * path + 1));
                    pending.push((left, level + 1, 2 * path));
                }
            }
        }
        Some(())
    }

    fn test<S>(&mut self, test: Test, place: u16, asked: &mut Asked<S>) -> Option<()> {
        let (symbols, bound, ordered) = match test {
            Test::Never => unreachable!("constant splits are left out"),
            Test::AtLeast { column, threshold, missing } => {
                let slot = self.layout.number(column, missing);
                let keys = &self.keys[slot];
                (slot, keys.partition_point(|&key| key < threshold_key(threshold)), true)
            }
            Test::Missing { column } => (self.layout.missing(column), 0, true),
            Test::Equal { column, code } => (self.layout.hots(column), code as usize, false),
            Test::Member { column, set } => {
                let slot = self.layout.codes(column);
                if matches!(self.symbols[slot], Symbols::Unfit) {
                    return None;
                }
                asked.sets.push((slot as u16, set, place));
                return Some(());
            }
        };
        if matches!(self.symbols[symbols], Symbols::Unfit) {
            return None;
        }
        let symbols = u16::try_from(symbols).ok()?;
        let lane = (symbols, ordered, (bound / LANE * LANE) as u16);
        let next = self.lanes.len() as u16;
        let lane = *self.numbered.entry(lane).or_insert_with(|| {
            self.lanes.push(Lane { symbols, from: lane.2, ordered });
            next
        });
        if self.lanes.len() > LANES_MAX {
            return None;
        }
        let list = if ordered { &mut asked.ordered } else { &mut asked.equal };
        list.push((lane, (bound % LANE) as u8, place));
        Some(())
    }

    /// Packs the set tests of a group, by slot, into planes of eight.
    fn planes(
        &mut self,
        source: &impl Source,
        sets: &[SetTest],
    ) -> Option<(Vec<Plane>, Vec<Line>)> {
        let (mut planes, mut lines) = (Vec::new(), Vec::new());
        for of_slot in sets.chunk_by(|a, b| a.0 == b.0) {
            let slot = of_slot[0].0;
            let Symbols::Code(coder) = &self.symbols[usize::from(slot)] else { return None };
            let n_codes = coder.codes();
            let n_lines = n_codes.div_ceil(64).next_power_of_two();
            let codes = self.codes.iter().position(|&it| it == slot).unwrap_or_else(|| {
                self.codes.push(slot);
                self.codes.len() - 1
            });
            for tests in of_slot.chunks(8) {
                let first = lines.len();
                lines.resize(first + n_lines, Line([0; 64]));
                if size_of_val(lines.as_slice()) > TABLES_MAX {
                    return None;
                }
                let mut places = [0; 8];
                for (bit, &(_, set, place)) in tests.iter().enumerate() {
                    places[bit] = place;
                    self.each_code(source, set, n_codes, |code| {
                        lines[first + code / 64].0[code % 64] |= 1 << bit;
                    });
                }
                planes.push(Plane {
                    codes: codes as u16,
                    lines: n_lines as u8,
                    first: first as u32,
                    places,
                });
            }
        }
        Some((planes, lines))
    }

    /// Calls `visit` with each code of a set.
    fn each_code(
        &mut self,
        source: &impl Source,
        set: u32,
        codes: usize,
        mut visit: impl FnMut(usize),
    ) {
        self.words.clear();
        self.words.resize(codes.div_ceil(64), 0);
        source.set(set, &mut self.words);
        for (at, &word) in self.words.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                let code = at * 64 + rest.trailing_zeros() as usize;
                if code < codes {
                    visit(code);
                }
                rest &= rest - 1;
            }
        }
    }

    /// Packs the set tests of a group, by slot, into blocks of 64.
    fn blocks(&mut self, source: &impl Source, sets: &[SetTest]) -> Option<(Vec<Block>, Vec<u64>)> {
        let mut blocks = Vec::new();
        let mut tables: Vec<u64> = Vec::new();
        for tests in sets.chunks(64) {
            let mut block = Block { segments: Vec::new(), places: Vec::new() };
            for (bit, &(slot, set, place)) in tests.iter().enumerate() {
                let Symbols::Code(coder) = &self.symbols[usize::from(slot)] else { return None };
                let codes = coder.codes();
                if block.segments.last().is_none_or(|segment| segment.0 != slot) {
                    block.segments.push((slot, tables.len()));
                    tables.resize(tables.len() + codes, 0);
                    if size_of_val(tables.as_slice()) > TABLES_MAX {
                        return None;
                    }
                }
                block.places.push(place);
                let start = tables.len() - codes;
                self.each_code(source, set, codes, |code| tables[start + code] |= 1 << bit);
            }
            // Whole planes: the last nodes of the block are none.
            block.places.resize(block.places.len().next_multiple_of(8), 0);
            blocks.push(block);
        }
        Some((blocks, tables))
    }
}

type SetTest = (u16, u32, u16);

/// What the trees of a group ask: lane, byte, place; for sets slot, set, place.
#[derive(Debug, Default)]
struct Asked<S> {
    ordered: Vec<(u16, u8, u16)>,
    equal: Vec<(u16, u8, u16)>,
    sets: Vec<SetTest>,
    leaves: Vec<S>,
    leaf_lines: Vec<Leaves>,
}

/// Registers of a tree's leaves.
pub(super) fn leaf_lines(depth: usize) -> usize {
    (1_usize << depth).div_ceil(16)
}

impl Layout {
    fn number(&self, column: u32, missing: bool) -> usize {
        self.numbers.partition_point(|&it| it < (column, missing))
    }

    fn missing(&self, column: u32) -> usize {
        self.numbers.len() + self.missing.partition_point(|&it| it < column)
    }

    fn hots(&self, column: u32) -> usize {
        let before = self.numbers.len() + self.missing.len();
        before + self.hots.partition_point(|&it| it < column)
    }

    fn codes(&self, column: u32) -> usize {
        let before = self.numbers.len() + self.missing.len() + self.hots.len();
        before + self.codes.partition_point(|&it| it < column)
    }
}

/// A word per row, laid so that a transposition within lanes of 128 bits ends in the order of rows:
/// row `16 l + 2 k + p` is the word `8 k + 2 l + p`.
#[derive(Debug)]
#[repr(C, align(64))]
struct Words([u64; TILE]);

/// Fetches, for each row, the word of its codes: the answers of all nodes of a block.
///
/// Not part of the kernels around it: compiled for wide vectors, it would become gathers, which take
/// longer than loads one by one.
#[inline(never)]
#[expect(unsafe_code, reason = "a bounds check per row would be a third of the time")]
fn gather(block: &Block, tables: &[u64], symbols: &[[u16; TILE]], words: &mut Words) {
    for (number, &(slot, table)) in block.segments.iter().enumerate() {
        let codes = &symbols[usize::from(slot)];
        let fetch = |row: usize| {
            let place = table + usize::from(codes[row]);
            debug_assert!(place < tables.len(), "a code of the column");
            // SAFETY: a segment's table has a word for each code of its column, and the symbols of
            // a slot of codes are such codes.
            unsafe { *tables.get_unchecked(place) }
        };
        for (at, word) in words.0.iter_mut().enumerate() {
            let row = 16 * (at / 2 % 4) + 2 * (at / 8) + at % 2;
            if number == 0 {
                *word = fetch(row);
            } else {
                *word |= fetch(row);
            }
        }
    }
}
