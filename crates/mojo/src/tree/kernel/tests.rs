//! Every kernel that the machine has, against the plain walk: bits, not tolerances.

use proptest::prelude::*;

use super::*;
use crate::kernel::{Places, Scratch, levels};
use crate::tree::{Node as Arena, Set, Sets};

/// A source of choices: the tests are tables of seeds and shapes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 1) as usize % n.max(1)
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    seed: u64,
    rules: Rules,
    trees: usize,
    classes: usize,
    /// Splits above a leaf, at most; every `stop`th node is a leaf before.
    depth: usize,
    stop: usize,
    /// Different thresholds of a column, about.
    thresholds: usize,
    /// Levels of the largest domain.
    levels: usize,
    /// One in so many tests that would ask for the larger domains does.
    rare: usize,
    /// Columns of numbers beside the others: each has up to three slots of a row's keys.
    more: usize,
}

/// Columns 0 to 3 are numbers, 4 to 6 have levels; more of numbers may follow.
const COLUMNS: usize = 7;

fn special(random: &mut Random) -> f32 {
    const SPECIAL: [f32; 10] = [
        0.0,
        -0.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        -1e-45,
        1e-45,
        f32::MAX,
        f32::MIN,
    ];
    SPECIAL[random.below(SPECIAL.len())]
}

fn threshold(random: &mut Random, shape: &Shape) -> f32 {
    if random.is(12) {
        return special(random);
    }
    (random.below(shape.thresholds) as f32 / shape.thresholds as f32 - 0.5) * 7.0
}

fn forest(shape: &Shape) -> Forest {
    let domains = [3, 40.min(shape.levels as i64), shape.levels as i64];
    let mut forest = Forest {
        nodes: Vec::new(),
        sets: Sets::default(),
        roots: Vec::new(),
        groups: shape.trees,
        levels: [[i64::MAX; 4].as_slice(), &domains, &vec![i64::MAX; shape.more]].concat(),
        rules: shape.rules,
        depth: 0,
        ids: Err(String::new()),
        weights: Err(String::new()),
        kept: Kept::default(),
    };
    let mut random = Random(shape.seed);
    for _ in 0..shape.classes {
        let roots = (0..shape.trees).map(|_| {
            let root = forest.nodes.len() as u32;
            // Now and then a tree of one leaf, or a deep one among shallow ones.
            let depth = match random.below(10) {
                0 => 0,
                1 => shape.depth + 4,
                _ => shape.depth,
            };
            grow(&mut forest, &mut random, shape, depth);
            root
        });
        let roots = roots.collect();
        forest.roots.push(roots);
    }
    forest
}

fn grow(forest: &mut Forest, random: &mut Random, shape: &Shape, depth: usize) {
    if depth == 0 || random.is(shape.stop) {
        let value = match random.below(20) {
            0 => -0.0,
            1 => f32::MIN_POSITIVE / 2.0,
            _ => threshold(random, shape),
        };
        let value = if value.is_finite() { value } else { 1.5 };
        forest.nodes.push(Arena { value: value.to_bits(), right: 0, column: 0, flags: LEAF });
        return;
    }
    let column = match random.below(COLUMNS + shape.more) {
        5 | 6 if !random.is(shape.rare) => 4,
        column => column,
    };
    let mut flags = if random.is(2) { NA_LEFT } else { 0 };
    let is_set = if forest.levels[column] < i64::MAX { !random.is(8) } else { random.is(30) };
    if random.is(10) {
        flags = NA_VS_REST;
    }
    let value = if is_set {
        flags |= SET;
        set(forest, random, column, shape)
    } else {
        threshold(random, shape).to_bits()
    };
    let at = forest.nodes.len();
    forest.nodes.push(Arena { value, right: 0, column: column as u16, flags });
    // A deep tree is a stem with twigs.
    let left = if depth > 12 { random.below(5) } else { depth - 1 };
    grow(forest, random, shape, left);
    forest.nodes[at].right = forest.nodes.len() as u32;
    grow(forest, random, shape, depth - 1);
}

/// Any range within the domain, beyond it, or short of it.
fn set(forest: &mut Forest, random: &mut Random, column: usize, shape: &Shape) -> u32 {
    let domain = forest.levels[column].min(shape.levels as i64) as usize;
    let first = random.below(domain) * random.below(2);
    let len = if random.is(3) { random.below(2 * domain + 9) } else { domain - first };
    let first = first.min(usize::from(u16::MAX)) as u16;
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).map(|_| random.next() as u8).collect();
    // Deep in a tree most levels go the same way.
    if random.is(2) {
        bytes.fill(if random.is(2) { 0 } else { 0xff });
        for _ in 0..=random.below(3) {
            let level = random.below(len);
            if let Some(byte) = bytes.get_mut(level / 8) {
                *byte ^= 1 << (level % 8);
            }
        }
    }
    forest.sets.push(Set { first, len: len as u32, bytes: &bytes }).expect("room")
}

/// Thresholds, their neighbours, levels in the domain and around it, what is no number.
fn row(random: &mut Random, forest: &Forest, shape: &Shape) -> Vec<f64> {
    let value = |random: &mut Random, column: usize| {
        let near = f64::from(threshold(random, shape));
        match (random.below(9), forest.levels[column]) {
            (0, _) => f64::NAN,
            (1, _) => near.next_up(),
            (2, _) => near.next_down(),
            (3, _) => [1e300, -1e300, -0.0, -5e-324, 5e-324, -1.0][random.below(6)],
            (_, i64::MAX) => near,
            (4, levels) => levels as f64 + random.below(3) as f64 - 1.0,
            (5, levels) => random.below(levels as usize) as f64 + 0.5,
            (_, levels) => random.below(levels as usize) as f64,
        }
    };
    (0..forest.levels.len()).map(|column| value(random, column)).collect()
}

/// Scores batches of several sizes at all levels, and compares with the plain walk.
fn check(forest: &Forest, shape: &Shape, batches: &[usize]) {
    let mut random = Random(shape.seed ^ 0x5555);
    let columns = forest.levels.len();
    let n: usize = batches.iter().sum();
    let rows: Vec<f64> = (0..n).flat_map(|_| row(&mut random, forest, shape)).collect();
    let (stride, first) = (shape.classes + 2, 1);
    let start: Vec<f64> = (0..n * stride).map(|_| random.below(3) as f64 - 1.0).collect();
    let mut expected = start.clone();
    forest.add_plainly(&rows, columns, &mut expected, stride, first);
    for level in levels() {
        let mut scratch = Scratch::default();
        let mut found = start.clone();
        let mut from = 0;
        for &batch in batches {
            let (rows, found) = (&rows[from * columns..], &mut found[from * stride..]);
            let done = forest.kept.kernels.add_at(
                level,
                forest,
                &rows[..batch * columns],
                columns,
                &mut found[..batch * stride],
                Places { stride, first },
                &mut scratch,
            );
            assert!(done, "a kernel takes the trees");
            from += batch;
        }
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (row, class) = (place / stride, place % stride);
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{level:?}, row {row} {:?}, place {class}: {found} {expected}, {shape:?}",
                &rows[row * columns..][..columns],
            );
        }
    }
}

/// Rows of all sorts through a forest from a file, whatever it holds.
pub(in crate::tree) fn agree(forest: &Forest, seed: u64) {
    let mut random = Random(seed);
    let columns = forest.levels.len();
    let threshold = |random: &mut Random| {
        let node = &forest.nodes[random.below(forest.nodes.len())];
        f64::from(f32::from_bits(node.value))
    };
    let value =
        |random: &mut Random, at: usize| match (random.below(8), forest.levels[at % columns]) {
            (0, _) => f64::NAN,
            (1, _) => [1e300, -1e300, -0.0, 5e-324, -1.0, f64::INFINITY][random.below(6)],
            (2, _) => threshold(random).next_down(),
            (3, _) | (_, i64::MAX) => threshold(random),
            (_, levels) => random.below(levels as usize + 2) as f64,
        };
    let n = 100;
    let rows: Vec<f64> = (0..n * columns).map(|at| value(&mut random, at)).collect();
    let classes = forest.roots.len();
    let mut expected = vec![0.0; n * classes];
    forest.add_plainly(&rows, columns, &mut expected, classes, 0);
    let bits = |sums: &[f64]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
    let places = Places { stride: classes, first: 0 };
    for level in levels() {
        for batch in [1, 20, n] {
            let mut scratch = Scratch::default();
            let mut found = vec![0.0; n * classes];
            let parts = rows.chunks(batch * columns).zip(found.chunks_mut(batch * classes));
            for (rows, sums) in parts {
                let kernels = &forest.kept.kernels;
                if !kernels.add_at(level, forest, rows, columns, sums, places, &mut scratch) {
                    return;
                }
            }
            assert_eq!(bits(&found), bits(&expected), "{level:?}, batches of {batch}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_forests(
        seed: u64,
        rules in prop_oneof![Just(Rules::Plain), Just(Rules::Ranges), Just(Rules::Domains)],
        trees in prop_oneof![1_usize..30, 60_usize..150],
        classes in 1_usize..4,
        depth in 0_usize..11,
        stop in 4_usize..30,
        thresholds in prop_oneof![Just(3_usize), Just(200), Just(5_000)],
        levels in prop_oneof![Just(3_usize), Just(29), Just(30), Just(60), Just(1_000)],
        rare in prop_oneof![Just(1_usize), Just(20), Just(200)],
        more in prop_oneof![Just(0_usize), Just(16), Just(40), Just(90)],
        batch in 1_usize..600,
    ) {
        let shape =
            Shape { seed, rules, trees, classes, depth, stop, thresholds, levels, rare, more };
        check(&forest(&shape), &shape, &[batch, 1, 13, 64]);
    }
}

const SHAPE: Shape = Shape {
    seed: 1,
    rules: Rules::Domains,
    trees: 9,
    classes: 1,
    depth: 6,
    stop: 50,
    thresholds: 100,
    levels: 60,
    rare: 1,
    more: 0,
};

#[test]
fn domains_of_50_000_levels() {
    for (seed, rules) in [(1, Rules::Plain), (2, Rules::Ranges), (3, Rules::Domains)] {
        for rare in [1, 40] {
            let shape = Shape { seed, rules, levels: 50_000, depth: 5, trees: 4, rare, ..SHAPE };
            check(&forest(&shape), &shape, &[3, 200]);
        }
    }
    // More codes than 16 bits tell apart.
    let shape = Shape { levels: 70_000, depth: 4, trees: 3, ..SHAPE };
    check(&forest(&shape), &shape, &[3, 200]);
}

/// Small enough for Miri, which sees each step outside of what may be read.
#[test]
fn small_forests() {
    for (seed, rules) in [(1, Rules::Plain), (2, Rules::Ranges), (3, Rules::Domains)] {
        let shape = Shape { seed, rules, trees: 3, depth: 4, ..SHAPE };
        check(&forest(&shape), &shape, &[1, 13, 30]);
    }
    let shape = Shape { trees: 2, depth: 10, stop: 6, ..SHAPE };
    check(&forest(&shape), &shape, &[100]);
}

#[test]
fn deep_unbalanced_trees() {
    for seed in 1..4 {
        let shape = Shape { seed, depth: 60, stop: 20, trees: 12, ..SHAPE };
        check(&forest(&shape), &shape, &[1, 100, 2_200]);
    }
}

#[test]
fn more_than_65_535_thresholds_in_a_column() {
    let shape = Shape { trees: 3_000, depth: 7, stop: 500, thresholds: 1 << 22, ..SHAPE };
    let mut forest = forest(&shape);
    for node in forest.nodes.iter_mut().filter(|node| node.flags & (LEAF | SET) == 0) {
        node.column = 0;
    }
    assert!(forest.nodes.iter().filter(|node| node.flags & (LEAF | SET) == 0).count() > 90_000);
    check(&forest, &shape, &[2, 70]);
}

/// The sets of each number of levels around the 29 that a node holds itself, under all rules.
#[test]
fn sets_that_nodes_hold_themselves() {
    for (seed, rules) in [(1, Rules::Plain), (2, Rules::Ranges), (3, Rules::Domains)] {
        for levels in [1, 2, 28, 29, 30, 31, 32, 33] {
            for rare in [1, 12, 100] {
                let shape = Shape { seed, rules, levels, rare, trees: 20, ..SHAPE };
                check(&forest(&shape), &shape, &[1, 7, 100]);
            }
        }
    }
}

#[test]
fn trees_at_the_edge_of_what_a_small_node_can_skip() {
    // The root, a chain to the left of it, and a split to the right, which skips the chain.
    for chain in [32_765_u32, 32_766] {
        let mut forest = forest(&Shape { trees: 1, depth: 0, ..SHAPE });
        let split =
            |value: f32, right, column| Arena { value: value.to_bits(), right, column, flags: 0 };
        let leaf =
            |at: u32| Arena { value: (at as f32).to_bits(), right: 0, column: 0, flags: LEAF };
        let threshold = |at: u32| 3.5 - 7.0 * at as f32 / chain as f32;
        forest.nodes = vec![split(0.0, 2 * chain + 2, 0)];
        forest.nodes.extend((0..chain).map(|at| split(threshold(at), 2 * chain + 1 - at, 1)));
        forest.nodes.extend((0..=chain).map(leaf));
        forest.nodes.extend([split(1.0, 2 * chain + 4, 2), leaf(chain + 1), leaf(chain + 2)]);
        check(&forest, &SHAPE, &[1, 30]);
    }
}

#[test]
fn a_model_of_more_slots_than_a_small_node_tells_apart() {
    let columns = 40_000;
    let mut forest = forest(&SHAPE);
    forest.levels = vec![i64::MAX; columns];
    let leaf =
        |value: u16| Arena { value: f32::from(value).to_bits(), right: 0, column: 0, flags: LEAF };
    // A tree for each column: 1 if the value is below 0.
    let tree = |column: u16| {
        let right = 3 * u32::from(column) + 2;
        [Arena { value: 0, right, column, flags: 0 }, leaf(1), leaf(0)]
    };
    forest.nodes = (0..columns as u16).flat_map(tree).collect();
    forest.roots = vec![(0..columns as u32).map(|tree| 3 * tree).collect()];
    let mut scratch = Scratch::default();
    for last in [0, 17, 32_766, 32_767, 32_768, 39_999] {
        let mut row = vec![1.0; columns];
        row[last] = -1.0;
        for batch in [1, 14] {
            let mut sums = vec![0.0; batch];
            let (rows, places) = (row.repeat(batch), Places { stride: 1, first: 0 });
            let kernels = &forest.kept.kernels;
            assert!(kernels.add(&forest, &rows, columns, &mut sums, places, &mut scratch));
            assert_eq!(sums, vec![1.0; batch], "column {last}");
        }
    }
}

/// A thousand trees of one split, by a set of 1,000 levels each; what the form that is walked takes.
fn bytes_of_sets(levels: impl Fn(u32) -> Vec<u8>) -> usize {
    let mut forest = forest(&Shape { trees: 1, depth: 0, levels: 1_000, ..SHAPE });
    forest.nodes.clear();
    let roots = (0..1_000).map(|tree| {
        let at = forest.nodes.len() as u32;
        let set = Set { first: 0, len: 1_000, bytes: &levels(tree) };
        let value = forest.sets.push(set).expect("room");
        let leaf = |value: f32| Arena { value: value.to_bits(), right: 0, column: 0, flags: LEAF };
        let split = Arena { value, right: at + 2, column: 6, flags: SET | NA_LEFT };
        forest.nodes.extend([split, leaf(0.0), leaf(1.0)]);
        at
    });
    forest.roots = vec![roots.collect()];
    let mut sums = vec![0.0; 1];
    forest.add_margins(&[700.0; COLUMNS], COLUMNS, &mut sums, 1, 0, &mut Scratch::default());
    let right = (0..1_000).filter(|&tree| levels(tree)[700 / 8] & 1 << (700 % 8) != 0);
    assert_eq!(sums, [right.count() as f64]);
    forest.kept.kernels.memory_bytes()
}

#[test]
fn sets_that_are_alike_share_their_words() {
    let any = |tree: u32| {
        let mut random = Random(tree.into());
        (0..125).map(|_| random.next() as u8).collect()
    };
    let words = bytes_of_sets(any) - bytes_of_sets(|_| vec![0; 125]);
    assert!(words > 1_000 * 120, "{words} bytes for 1,000 sets of 32 words each");
    let one = |tree: u32| {
        let mut levels = vec![0; 125];
        levels[tree as usize / 8] = 1 << (tree % 8);
        levels
    };
    let words = bytes_of_sets(one) - bytes_of_sets(|_| vec![0; 125]);
    assert!(words <= 32 * 127 * 4, "{words} bytes for the sets of one level each");
}

#[test]
fn sets_that_would_fill_the_memory_are_walked_as_they_are() {
    // One set of 500,000 levels, and 20,000 trees that ask for one of 8.
    let shape = Shape { rules: Rules::Ranges, trees: 1, depth: 0, ..SHAPE };
    let mut forest = forest(&shape);
    forest.nodes.clear();
    let places = [8, 500_000].map(|len| {
        let bytes = vec![0xff; len as usize / 8];
        forest.sets.push(Set { first: 0, len, bytes: &bytes }).expect("room")
    });
    let mut roots = Vec::new();
    for tree in 0..20_000_u32 {
        let at = forest.nodes.len() as u32;
        roots.push(at);
        let split =
            Arena { value: places[usize::from(tree == 9)], right: at + 2, column: 6, flags: SET };
        let leaf = |value: f32| Arena { value: value.to_bits(), right: 0, column: 0, flags: LEAF };
        forest.nodes.extend([split, leaf(0.0), leaf(1.0)]);
    }
    forest.roots = vec![roots];
    for rows in [1, 100] {
        let row = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 300_000.0].repeat(rows);
        let mut sums = vec![0.0; rows];
        forest.add_margins(&row, COLUMNS, &mut sums, 1, 0, &mut Scratch::default());
        // Beyond a set of 8 levels a row is missing, and goes right.
        assert_eq!(sums, vec![20_000.0; rows]);
    }
    assert_eq!(forest.kept.kernels.memory_bytes(), 0);
}
