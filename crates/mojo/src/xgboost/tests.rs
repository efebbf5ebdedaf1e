//! Every kernel that the machine has, against the plain walk: bits, not tolerances.

use super::*;
use crate::kernel::levels;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % n
    }
}

const OFFSETS: [usize; 4] = [0, 3, 20, 720];
const NUMBERS: usize = 4;
const WIDTH: usize = 3 + NUMBERS;

fn threshold(random: &mut Random) -> f32 {
    match random.below(15) {
        0 => [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN][random.below(5)],
        _ => random.below(400) as f32 / 60.0 - 3.0,
    }
}

fn grow(nodes: &mut Vec<Node>, random: &mut Random, depth: usize) {
    if depth == 0 || random.below(12) == 0 {
        let test = (random.below(2_000) as f32 / 999.0 - 1.0).to_bits();
        nodes.push(Node { test, right: 0, column: 0, flags: LEAF });
        return;
    }
    let at = nodes.len();
    let column = random.below(WIDTH);
    let flags = random.below(32) as u8;
    let node = if column < 3 {
        let test = (OFFSETS[column] + random.below(OFFSETS[column + 1] - OFFSETS[column])) as u32;
        Node { test, right: 0, column: column as u32, flags: HOT | flags & (HOT_LEFT | COLD_LEFT) }
    } else {
        let test = threshold(random).to_bits();
        Node { test, right: 0, column: column as u32, flags: flags & DEFAULT_LEFT }
    };
    nodes.push(node);
    grow(nodes, random, depth - 1);
    nodes[at].right = nodes.len() as u32;
    grow(nodes, random, depth - 1);
}

fn model(random: &mut Random, outputs: usize, depth: usize, dart: bool) -> XGBoost {
    let mut nodes = Vec::new();
    let mut tree = |random: &mut Random| {
        let root = nodes.len() as u32;
        let depth = if random.below(9) == 0 { depth + 3 } else { depth };
        grow(&mut nodes, random, depth);
        root
    };
    let roots: Vec<Vec<u32>> =
        (0..outputs).map(|_| (0..21).map(|_| tree(random)).collect()).collect();
    let weights = dart.then(|| (0..21).map(|i| i as f32 / 7.0 - 0.3).collect());
    XGBoost {
        booster: Booster::Trees(Trees {
            nodes,
            roots,
            weights,
            order: Vec::new(),
            depth,
            covers: Err(String::new()),
            kernels: Box::default(),
        }),
        objective: Objective::Identity,
        one_hot: OneHot {
            cat_offsets: OFFSETS.to_vec(),
            nums: NUMBERS,
            all_levels: random.below(2) == 0,
            sparse: random.below(2) == 0,
        },
        base_margin: 0.5,
        base_last: false,
        has_offset: false,
        outputs,
    }
}

fn value(random: &mut Random, column: usize) -> f64 {
    let near = f64::from(threshold(random));
    match random.below(8) {
        0 => f64::NAN,
        1 => [0.0, -0.0, -1.0, 1e300, -1e300, 1e-320][random.below(6)],
        2 => near.next_up(),
        // Half of the way to the next f32, and a little less or more: rounding decides.
        3 => near * (1.0 + f64::from(f32::EPSILON) / 4.0),
        _ if column < 3 => random.below(OFFSETS[column + 1] - OFFSETS[column] + 2) as f64,
        _ => near,
    }
}

#[test]
fn all_kernels_have_the_bits_of_the_plain_walk() {
    let mut random = Random(7);
    for case in 0..40 {
        // Now and then rows that are short of a number.
        let width = WIDTH - usize::from(case % 5 == 4);
        let model = model(&mut random, 1 + case % 3, case % 9, case % 2 == 0);
        let Booster::Trees(trees) = &model.booster else { unreachable!("made of trees") };
        let n = 1 + random.below(300);
        let rows: Vec<f64> = (0..n * width).map(|i| value(&mut random, i % width)).collect();
        let mut expected = vec![-0.0; n * model.outputs];
        model.add_plainly(trees, &rows, width, &mut expected, &mut Scratch::default());
        let seen = kernel::Seen { trees, one_hot: &model.one_hot, width };
        let places = Places { stride: model.outputs, first: 0 };
        for level in levels() {
            for batch in [1, 20, n] {
                let mut found = vec![-0.0; n * model.outputs];
                let mut scratch = KernelScratch::default();
                let parts = rows.chunks(batch * width).zip(found.chunks_mut(batch * model.outputs));
                for (rows, sums) in parts {
                    let kernels = &trees.kernels;
                    assert!(kernels.add_at(level, &seen, rows, width, sums, places, &mut scratch));
                }
                let bits = |sums: &[f32]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found), bits(&expected), "{level:?}, {batch} rows, case {case}");
            }
        }
    }
}
