//! Sums of a dense layer, with the additions of H2O's matrix product one by one.
//!
//! An output is `w . x + bias`, where input `k` below the last multiple of eight is added to
//! partial sum `k % 8`, the partial sums to `((p0 + p1) + p2) + p3` and that to
//! `((p4 + p5) + p6) + p7`, then the inputs that are left over, one by one (`Order::Lanes`); in
//! maxout layers all inputs run into one sum (`Order::Straight`). Products are `f64`, each rounded,
//! never fused with the addition. Source: `NeuralNetwork`.
//!
//! No order of additions is free, but rows and outputs are: three ways to the same bits.
//!
//! - [`block`]: [`ROWS`] rows side by side, input-major. A tile of outputs x rows stays in
//!   registers while *one* partial sum runs through its inputs, then the next one: each loaded
//!   number serves a whole side of the tile. Weights are packed in this order ([`pack`]) once per
//!   call, as `f64`.
//! - [`row`]: one row; the eight partial sums side by side.
//! - [`ByInput`]: the layer after one-hot columns. Weights lie by input, outputs side by side, and
//!   inputs that are 0 are passed over: with finite weights they add a zero, which changes no sum
//!   that started from +0.
//!
//! All is portable code; on x86-64 it is compiled for wider registers too and chosen by what the
//! processor has. The registers' width changes no bit: lanes never meet.

#![expect(clippy::inline_always, reason = "what is inlined is compiled for wider registers")]

mod registers;

use crate::widest::widest;
use registers::Register;

/// Rows of a block.
pub(super) const ROWS: usize = 16;
/// Partial sums.
const LANES: usize = 8;

/// How inputs run into an output's sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Lanes,
    Straight,
}

impl Order {
    /// Inputs that partial sums take; the others are left over.
    fn summed(self, inputs: usize) -> usize {
        match self {
            Self::Lanes => inputs - inputs % LANES,
            Self::Straight => 0,
        }
    }
}

/// Weights in the order that [`block`] reads them in: panels of [`PANEL`] outputs; in a panel
/// partial sum after partial sum, then what is left over; the outputs side by side.
///
/// `weights`: row-major, outputs x inputs. Outputs that fill the last panel up have weights of 0.
pub(super) fn pack(weights: &[f32], inputs: usize, order: Order, packed: &mut Vec<f64>) {
    let summed = order.summed(inputs);
    let lanes = (0..LANES).flat_map(|lane| (lane..summed).step_by(LANES));
    packed.clear();
    packed.resize((weights.len() / inputs).next_multiple_of(PANEL) * inputs, 0.0);
    for (panel, rows) in packed.chunks_exact_mut(PANEL * inputs).zip(weights.chunks(PANEL * inputs))
    {
        for (packed, input) in
            panel.chunks_exact_mut(PANEL).zip(lanes.clone().chain(summed..inputs))
        {
            for (packed, row) in packed.iter_mut().zip(rows.chunks_exact(inputs)) {
                *packed = f64::from(row[input]);
            }
        }
    }
}

/// Outputs whose weights lie side by side: a multiple of every tile's outputs.
const PANEL: usize = 8;

/// Sums of a block of rows. `from`: one per input; `to`: one per bias.
pub(super) fn block(
    packed: &[f64],
    biases: &[f64],
    order: Order,
    from: &[[f64; ROWS]],
    to: &mut Vec<[f64; ROWS]>,
) {
    to.clear();
    to.resize(biases.len().next_multiple_of(PANEL), [0.0; ROWS]);
    widest_block(packed, order, from, to);
    to.truncate(biases.len());
    for (sums, bias) in to.iter_mut().zip(biases) {
        sums.iter_mut().for_each(|sum| *sum += bias);
    }
}

#[cfg(target_arch = "x86_64")]
widest!(
    fn widest_block(packed: &[f64], order: Order, from: &[[f64; ROWS]], to: &mut [[f64; ROWS]]) {
        avx512 => tiles::<registers::Eight, 8, 2>,
        avx2 => tiles::<registers::Four, 4, 2>,
        any => tiles::<registers::Two, 2, 4>,
    }
);

#[cfg(not(target_arch = "x86_64"))]
fn widest_block(packed: &[f64], order: Order, from: &[[f64; ROWS]], to: &mut [[f64; ROWS]]) {
    tiles::<registers::Two, 4, 4>(packed, order, from, to);
}

/// `OUTPUTS`, `WIDTH`: how many outputs and registers of rows make a tile.
#[inline(always)]
fn tiles<R: Register, const OUTPUTS: usize, const WIDTH: usize>(
    packed: &[f64],
    order: Order,
    from: &[[f64; ROWS]],
    to: &mut [[f64; ROWS]],
) {
    let panels = packed.chunks_exact(PANEL * from.len());
    for (panel, to) in panels.zip(to.chunks_exact_mut(PANEL)) {
        let weights = panel.as_chunks::<PANEL>().0;
        for (tile, to) in to.chunks_exact_mut(OUTPUTS).enumerate() {
            for first in (0..ROWS).step_by(WIDTH * R::LEN) {
                let output = tile * OUTPUTS;
                let sums = tile_sums::<R, OUTPUTS, WIDTH>(weights, output, order, from, first);
                for (to, sums) in to.iter_mut().zip(sums) {
                    for (i, sums) in sums.into_iter().enumerate() {
                        sums.store(to, first + i * R::LEN);
                    }
                }
            }
        }
    }
}

type Tile<R, const OUTPUTS: usize, const WIDTH: usize> = [[R; WIDTH]; OUTPUTS];

#[inline(always)]
fn tile_sums<R: Register, const OUTPUTS: usize, const WIDTH: usize>(
    weights: &[[f64; PANEL]],
    output: usize,
    order: Order,
    from: &[[f64; ROWS]],
    first: usize,
) -> Tile<R, OUTPUTS, WIDTH> {
    let summed = order.summed(from.len());
    let (lanes, left_over) = weights.split_at(summed);
    let (from, rest) = from.split_at(summed);
    let blocks = from.as_chunks::<LANES>().0;
    let mut total = [[R::splat(0.0); WIDTH]; OUTPUTS];
    if !blocks.is_empty() {
        let mut half = total;
        for (lane, weights) in lanes.chunks_exact(blocks.len()).enumerate() {
            let mut sums = [[R::splat(0.0); WIDTH]; OUTPUTS];
            for (weights, block) in weights.iter().zip(blocks) {
                add_products(&mut sums, weights, output, &block[lane], first);
            }
            // Sums that started from +0 are never -0, so that the first may be added to +0.
            add(if lane < LANES / 2 { &mut total } else { &mut half }, sums);
        }
        add(&mut total, half);
    }
    for (weights, inputs) in left_over.iter().zip(rest) {
        add_products(&mut total, weights, output, inputs, first);
    }
    total
}

#[inline(always)]
fn add_products<R: Register, const OUTPUTS: usize, const WIDTH: usize>(
    sums: &mut Tile<R, OUTPUTS, WIDTH>,
    weights: &[f64; PANEL],
    output: usize,
    inputs: &[f64; ROWS],
    first: usize,
) {
    let inputs: [R; WIDTH] = std::array::from_fn(|i| R::load(inputs, first + i * R::LEN));
    for (o, sums) in sums.iter_mut().enumerate() {
        let weight = R::splat(weights[output + o]);
        for (sum, &input) in sums.iter_mut().zip(&inputs) {
            *sum = sum.plus(weight.times(input));
        }
    }
}

#[inline(always)]
fn add<R: Register, const OUTPUTS: usize, const WIDTH: usize>(
    to: &mut Tile<R, OUTPUTS, WIDTH>,
    sums: Tile<R, OUTPUTS, WIDTH>,
) {
    for (to, sums) in to.iter_mut().zip(sums) {
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = to.plus(sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
widest!(
    /// Sums of one row. `weights`: row-major, outputs x inputs; `to`: one per bias.
    pub(super) fn row(
        weights: &[f32], biases: &[f64], order: Order, from: &[f64], to: &mut [f64]
    ) {
        avx512 => row_sums::<registers::Eight, 1>,
        avx2 => row_sums::<registers::Four, 2>,
        any => row_sums::<registers::Two, 4>,
    }
);

/// Sums of one row. `weights`: row-major, outputs x inputs; `to`: one per bias.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn row(weights: &[f32], biases: &[f64], order: Order, from: &[f64], to: &mut [f64]) {
    row_sums::<registers::Two, 4>(weights, biases, order, from, to);
}

/// `WIDTH`: registers that hold the partial sums.
#[inline(always)]
fn row_sums<R: Register, const WIDTH: usize>(
    weights: &[f32],
    biases: &[f64],
    order: Order,
    from: &[f64],
    to: &mut [f64],
) {
    /// Outputs whose sums run abreast.
    const ABREAST: usize = 4;
    let summed = order.summed(from.len());
    let (blocks, rest) = (from[..summed].as_chunks::<LANES>().0, &from[summed..]);
    let groups = weights.chunks(ABREAST * from.len());
    for ((weights, biases), to) in groups.zip(biases.chunks(ABREAST)).zip(to.chunks_mut(ABREAST)) {
        // Outputs that are not there are the last one once more.
        let rows: [&[f32]; ABREAST] =
            std::array::from_fn(|o| &weights[o.min(biases.len() - 1) * from.len()..][..from.len()]);
        let lanes = rows.map(|row| &row.as_chunks::<LANES>().0[..blocks.len()]);
        let mut sums = [[R::splat(0.0); WIDTH]; ABREAST];
        for (i, block) in blocks.iter().enumerate() {
            for (sums, lanes) in sums.iter_mut().zip(lanes) {
                for (r, sum) in sums.iter_mut().enumerate() {
                    let weights = R::widen(&lanes[i], r * R::LEN);
                    *sum = sum.plus(weights.times(R::load(block, r * R::LEN)));
                }
            }
        }
        for (((to, sums), row), bias) in to.iter_mut().zip(sums).zip(rows).zip(biases) {
            let mut lanes = [0.0; LANES];
            sums.into_iter().enumerate().for_each(|(r, sum)| sum.store(&mut lanes, r * R::LEN));
            let [a, b, c, d, e, f, g, h] = lanes;
            let mut sum = a + b + c + d;
            sum += e + f + g + h;
            let rest = row[summed..].iter().zip(rest);
            *to = rest.fold(sum, |sum, (&weight, input)| sum + f64::from(weight) * input) + bias;
        }
    }
}

/// Finite weights by input, for rows whose inputs are 0 but for a few.
#[derive(Debug)]
pub(super) struct ByInput {
    /// Row-major, inputs x outputs; outputs filled up to a multiple of [`NARROW`] by zeros.
    weights: Vec<f32>,
    outputs: usize,
    inputs: usize,
}

/// The inputs of a row that are not 0, in the order that sums take them in.
#[derive(Debug, Default)]
pub(super) struct Lit {
    /// Place and value, rising.
    pub(super) inputs: Vec<(usize, f64)>,
    ordered: Vec<(usize, f64)>,
    /// Ends in `ordered` of the partial sums and of what is left over.
    ends: [usize; LANES + 1],
}

impl Lit {
    fn order(&mut self, order: Order, inputs: usize) {
        let summed = order.summed(inputs);
        let lane = |input: usize| if input < summed { input % LANES } else { LANES };
        let mut starts = [0; LANES + 2];
        for &(input, _) in &self.inputs {
            starts[lane(input) + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        self.ordered.resize(self.inputs.len(), (0, 0.0));
        for &(input, value) in &self.inputs {
            let place = &mut starts[lane(input)];
            self.ordered[*place] = (input, value);
            *place += 1;
        }
        self.ends.copy_from_slice(&starts[..=LANES]);
    }
}

/// Outputs side by side, where there are as many left, and where not.
const WIDE: usize = 32;
const NARROW: usize = 8;

impl ByInput {
    /// `weights`: row-major, outputs x inputs.
    pub(super) fn new(weights: &[f32], inputs: usize) -> Self {
        let outputs = (weights.len() / inputs).next_multiple_of(NARROW);
        let mut by_input = vec![0.0; inputs * outputs];
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            for (input, &weight) in row.iter().enumerate() {
                by_input[input * outputs + output] = weight;
            }
        }
        Self { weights: by_input, outputs, inputs }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }

    /// Sums of one row; `sums` has one per bias afterwards.
    pub(super) fn row(&self, biases: &[f64], order: Order, lit: &mut Lit, sums: &mut Vec<f64>) {
        lit.order(order, self.inputs);
        sums.clear();
        sums.resize(self.outputs, 0.0);
        widest_lit(self, lit, sums);
        sums.truncate(biases.len());
        sums.iter_mut().zip(biases).for_each(|(sum, bias)| *sum += bias);
    }

    #[inline(always)]
    fn tile<const WIDTH: usize>(&self, lit: &Lit, first: usize) -> [f64; WIDTH] {
        let add_products = |sums: &mut [f64; WIDTH], lit: &[(usize, f64)]| {
            for &(input, value) in lit {
                let weights = &self.weights[input * self.outputs + first..][..WIDTH];
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum += f64::from(weight) * value;
                }
            }
        };
        let mut total = [0.0; WIDTH];
        let mut half = total;
        let mut start = 0;
        for (lane, &end) in lit.ends[..LANES].iter().enumerate() {
            let mut sums = [0.0; WIDTH];
            add_products(&mut sums, &lit.ordered[start..end]);
            let into = if lane < LANES / 2 { &mut total } else { &mut half };
            into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
            start = end;
        }
        total.iter_mut().zip(half).for_each(|(total, half)| *total += half);
        add_products(&mut total, &lit.ordered[start..]);
        total
    }
}

widest!(
    fn widest_lit(layer: &ByInput, lit: &Lit, sums: &mut [f64]) {
        avx512 => lit_sums, avx2 => lit_sums, any => lit_sums
    }
);

#[inline(always)]
fn lit_sums(layer: &ByInput, lit: &Lit, sums: &mut [f64]) {
    let (wide, narrow) = sums.as_chunks_mut::<WIDE>();
    let start = wide.len() * WIDE;
    for (i, sums) in wide.iter_mut().enumerate() {
        *sums = layer.tile(lit, i * WIDE);
    }
    for (i, sums) in narrow.as_chunks_mut::<NARROW>().0.iter_mut().enumerate() {
        *sums = layer.tile(lit, start + i * NARROW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sum, as the source has it.
    fn plain(weights: &[f32], bias: f64, order: Order, from: &[f64]) -> f64 {
        let products: Vec<f64> = weights.iter().zip(from).map(|(&w, x)| f64::from(w) * x).collect();
        let summed = order.summed(from.len());
        let p =
            |lane: usize| products[..summed].iter().skip(lane).step_by(8).fold(0.0, |s, x| s + x);
        let upper = ((p(4) + p(5)) + p(6)) + p(7);
        let sum = (((p(0) + p(1)) + p(2)) + p(3)) + upper;
        products[summed..].iter().fold(sum, |sum, x| sum + x) + bias
    }

    #[test]
    fn every_way_has_the_bits_of_the_plain_sum() {
        let noise = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 97.0 - 5.2;
        for (inputs, outputs) in [(1, 1), (7, 3), (8, 8), (9, 40), (30, 200), (67, 37), (200, 2)] {
            let weights: Vec<f32> =
                (0..inputs * outputs).map(|i| (noise(i) / 3.0) as f32).collect();
            let biases: Vec<f64> = (0..outputs).map(|i| noise(i + 5)).collect();
            // Half of the inputs are 0.
            let input = |row: usize, k: usize| {
                if (row + k).is_multiple_of(2) { noise(row * 31 + k) } else { 0.0 }
            };
            for order in [Order::Lanes, Order::Straight] {
                let from: Vec<[f64; ROWS]> =
                    (0..inputs).map(|k| std::array::from_fn(|row| input(row, k))).collect();
                let (mut packed, mut to) = (Vec::new(), Vec::new());
                pack(&weights, inputs, order, &mut packed);
                block(&packed, &biases, order, &from, &mut to);
                let by_input = ByInput::new(&weights, inputs);
                for r in 0..ROWS {
                    let to: Vec<f64> = to.iter().map(|to| to[r]).collect();
                    let from: Vec<f64> = (0..inputs).map(|k| input(r, k)).collect();
                    let mut sums = vec![0.0; outputs];
                    row(&weights, &biases, order, &from, &mut sums);
                    let mut lit = Lit::default();
                    let places = from.iter().copied().enumerate();
                    lit.inputs = places.filter(|&(_, x)| x != 0.0).collect();
                    let mut lit_sums = Vec::new();
                    by_input.row(&biases, order, &mut lit, &mut lit_sums);
                    for o in 0..outputs {
                        let expected =
                            plain(&weights[o * inputs..][..inputs], biases[o], order, &from);
                        let found = [to[o], sums[o], lit_sums[o]].map(f64::to_bits);
                        assert_eq!(found, [expected.to_bits(); 3], "{inputs} {order:?} {r} {o}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_of_any_width_have_the_same_bits() {
        let weights: Vec<f32> = (0..23 * 19).map(|i| (i % 41) as f32 / 7.0 - 3.0).collect();
        let from: Vec<[f64; ROWS]> =
            (0..23).map(|k| std::array::from_fn(|r| (k * r % 17) as f64 / 3.0 - 1.0)).collect();
        let mut packed = Vec::new();
        pack(&weights, 23, Order::Lanes, &mut packed);
        let mut two = [[0.0; ROWS]; 24];
        tiles::<registers::Two, 2, 4>(&packed, Order::Lanes, &from, &mut two);
        let mut widest = [[0.0; ROWS]; 24];
        widest_block(&packed, Order::Lanes, &from, &mut widest);
        let bits = |sums: [[f64; ROWS]; 24]| sums.map(|sums| sums.map(f64::to_bits));
        assert_eq!(bits(two), bits(widest));
    }
}
