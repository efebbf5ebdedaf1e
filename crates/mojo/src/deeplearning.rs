//! Deep Learning: a network of dense layers, autoencoders among them.
//!
//! Everything is text in `model.ini`:
//!
//! | key | what |
//! | --- | --- |
//! | `nums`, `cats`, `cat_offsets` | the raw row is `cats` levels, then `nums` numbers; level `l` of column `c` lights input `cat_offsets[c] + l` |
//! | `use_all_factor_levels` | false: level 0 lights nothing and the others move down by one |
//! | `norm_mul`, `norm_sub` | a number enters as `(x - sub) * mul`; empty: as it is |
//! | `norm_resp_mul`, `norm_resp_sub` | a regression answers `out / mul + sub` |
//! | `neural_network_sizes` | inputs, hidden layers, outputs |
//! | `weight_layer{i}`, `bias_layer{i}` | weights as `f32`, one row of inputs per output (maxout: the channels of a weight side by side); biases as `f64` |
//! | `activation`, `hidden_dropout_ratios` | of the hidden layers; the `..WithDropout` ones scale by `1 - ratio` |
//! | `distribution` | the link of a regression |
//!
//! A missing level lights the column's last input, as does one that is beyond it; a missing number
//! enters as 0. `mean_imputation` and `cat_modes` have no say. An output is `f(sum w x + b)`, the
//! sum in eight partial sums that H2O's own matrix product has; maxout sums straight on. The last
//! layer is softmax or linear, in an autoencoder one more of the hidden kind, and the numbers among
//! its outputs go back to their scale.
//!
//! Since MOJO 1.10 `_genmodel_encoding` says how categories were encoded before training; older
//! files have none. Sources: `DeeplearningMojoReader`, `DeeplearningMojoModel`, `NeuralNetwork`,
//! `ActivationUtils`, `GenModel.setInput`, `EasyPredictModelWrapper.predictAutoEncoder`.

mod kernel;
mod read;

use crate::error::{RowError, RowErrorKind};
use crate::label::correct_balance;
use crate::link::java_min;
use crate::math::{exp, exp_all};
use kernel::{ByInput, Lit, Order, ROWS};

#[derive(Debug)]
pub(crate) struct DeepLearning {
    /// Start of each categorical column's inputs, and their end.
    cat_offsets: Vec<usize>,
    /// `(sub, mul)` of each number; `(0, 1)` leaves it as it is.
    scales: Vec<(f64, f64)>,
    standardised: bool,
    all_levels: bool,
    layers: Vec<Layer>,
    answer: Answer,
}

#[derive(Debug)]
struct Layer {
    activation: Activation,
    /// `1 - dropout ratio`, where the activation has one.
    keep: Option<f64>,
    /// Weights of an output under maxout, else 1.
    channels: usize,
    weights: Weights,
    /// `outputs * channels`.
    biases: Vec<f64>,
}

#[derive(Debug)]
enum Weights {
    /// Row-major, `outputs * channels x inputs`.
    ByOutput(Vec<f32>),
    /// Of the first layer, if there are categories and the weights are finite.
    ByInput(ByInput),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Linear,
    Softmax,
    ExpRectifier,
    Rectifier,
    Maxout,
    Tanh,
}

#[derive(Debug)]
enum Answer {
    Classes,
    Number {
        /// `(sub, mul)` of the response.
        scale: Option<(f64, f64)>,
        link: Link,
    },
    Autoencoder {
        /// Levels of each column of the raw row, `None` for numbers.
        levels: Vec<Option<usize>>,
        output_columns: Vec<String>,
    },
    /// Two classes that genmodel scores without asking the network, and cannot label.
    ModifiedHuber,
}

/// Inverse links of a regression. Source: `DeeplearningMojoModel.linkInv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Logit,
    Log,
    Identity,
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The inputs of a row.
    inputs: Vec<f64>,
    lit: Lit,
    sums: Vec<f64>,
    /// What the last layer says about a row.
    out: Vec<f64>,
    /// Weights of each layer, as blocks of rows need them.
    packed: Vec<Vec<f64>>,
    one: Units<1>,
    block: Units<ROWS>,
}

/// What goes into a layer and what comes out, of rows side by side.
#[derive(Debug, Default)]
struct Units<const N: usize> {
    from: Vec<[f64; N]>,
    to: Vec<[f64; N]>,
}

/// From so many rows on a block costs less than they do one by one.
const BLOCK_FROM: usize = 6;

impl DeepLearning {
    pub(crate) fn is_classifier(&self) -> bool {
        matches!(self.answer, Answer::Classes | Answer::ModifiedHuber)
    }

    /// Length of genmodel's array for an autoencoder: one number per input.
    pub(crate) fn autoencoder_width(&self) -> Option<usize> {
        matches!(self.answer, Answer::Autoencoder { .. }).then(|| self.n_inputs())
    }

    /// Of an autoencoder, a name per input. Source: `GenModel.getOutputNames`.
    pub(crate) fn output_columns(&self) -> Option<Vec<String>> {
        match &self.answer {
            Answer::Autoencoder { output_columns, .. } => Some(output_columns.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        let linear = self.layers.iter().all(|layer| {
            !matches!(
                layer.activation,
                Activation::Softmax | Activation::ExpRectifier | Activation::Tanh
            )
        });
        linear && !matches!(self.answer, Answer::Number { link: Link::Log | Link::Logit, .. })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of = |layer: &Layer| {
            let weights = match &layer.weights {
                Weights::ByOutput(weights) => size_of_val(weights.as_slice()),
                Weights::ByInput(weights) => weights.memory_bytes(),
            };
            weights + size_of_val(layer.biases.as_slice())
        };
        self.layers.iter().map(of).sum()
    }

    fn n_inputs(&self) -> usize {
        self.cat_offsets[self.cat_offsets.len() - 1] + self.scales.len()
    }

    /// Scores rows that lie behind each other, all but the label of a classification.
    ///
    /// `raw`: row-major, rows x columns, model order, NaN = missing. `preds`: row-major, rows x
    /// `stride`, filled as genmodel does. `balance`: see [`correct_balance`]. `done`: called with
    /// the place of each row, its part of `preds` and whether it has an answer.
    pub(crate) fn score_rows(
        &self,
        raw: &[f64],
        preds: &mut [f64],
        stride: usize,
        balance: Option<&[Vec<f64>; 2]>,
        scratch: &mut Scratch,
        mut done: impl FnMut(usize, &mut [f64], Result<(), RowError>),
    ) {
        let width = self.cat_offsets.len() - 1 + self.scales.len();
        let blocks = raw.chunks(ROWS * width).zip(preds.chunks_mut(ROWS * stride)).enumerate();
        if raw.len() / width >= BLOCK_FROM {
            self.pack(&mut scratch.packed);
        }
        for (block, (raw, preds)) in blocks {
            let rows = raw.len() / width;
            if rows >= BLOCK_FROM {
                self.forward(raw, width, scratch, |scratch| &mut scratch.block, Layer::sum_block);
            }
            let each = raw.chunks_exact(width).zip(preds.chunks_exact_mut(stride));
            for (r, (raw, preds)) in each.enumerate() {
                scratch.out.clear();
                if rows >= BLOCK_FROM {
                    scratch.out.extend(scratch.block.from.iter().map(|unit| unit[r]));
                } else {
                    self.forward(raw, width, scratch, |scratch| &mut scratch.one, Layer::sum_row);
                    scratch.out.extend_from_slice(scratch.one.from.as_flattened());
                }
                let answered = self.answer(&scratch.out, preds, balance);
                done(block * ROWS + r, preds, answered);
            }
        }
    }

    fn pack(&self, packed: &mut Vec<Vec<f64>>) {
        packed.resize_with(self.layers.len(), Vec::new);
        for (layer, packed) in self.layers.iter().zip(packed) {
            if let Weights::ByOutput(weights) = &layer.weights {
                let inputs = weights.len() / layer.biases.len();
                kernel::pack(weights, inputs, layer.order(), packed);
            }
        }
    }

    /// Sends up to `N` rows through the layers; what comes out is then in `from` of their units.
    fn forward<const N: usize>(
        &self,
        raw: &[f64],
        width: usize,
        scratch: &mut Scratch,
        units: impl Fn(&mut Scratch) -> &mut Units<N>,
        sum: impl Fn(&Layer, &[f64], &[[f64; N]], &mut Vec<[f64; N]>),
    ) {
        let mut moved = std::mem::take(units(scratch));
        let Units { from, to } = &mut moved;
        let Scratch { inputs, lit, sums, packed, .. } = &mut *scratch;
        let (layers, by_input) = match self.layers.split_first() {
            Some((Layer { weights: Weights::ByInput(weights), .. }, _)) => (1, Some(weights)),
            _ => (0, None),
        };
        from.clear();
        for (r, row) in raw.chunks_exact(width).enumerate() {
            self.light_inputs(row, inputs);
            let units: &[f64] = match by_input {
                None => inputs,
                Some(weights) => {
                    lit.inputs.clear();
                    let places = inputs.iter().copied().enumerate();
                    lit.inputs.extend(places.filter(|&(_, input)| input != 0.0));
                    weights.row(&self.layers[0].biases, self.layers[0].order(), lit, sums);
                    sums
                }
            };
            // Rows that are not there are 0.
            from.resize(units.len(), [0.0; N]);
            from.iter_mut().zip(units).for_each(|(unit, &value)| unit[r] = value);
        }
        if by_input.is_some() {
            self.layers[0].activate(from);
        }
        for (i, layer) in self.layers.iter().enumerate().skip(layers) {
            sum(layer, packed.get(i).map_or(&[], Vec::as_slice), from, to);
            layer.activate(to);
            std::mem::swap(from, to);
        }
        *units(scratch) = moved;
    }

    /// From what the last layer says to genmodel's array.
    fn answer(
        &self,
        out: &[f64],
        preds: &mut [f64],
        balance: Option<&[Vec<f64>; 2]>,
    ) -> Result<(), RowError> {
        match &self.answer {
            Answer::Classes => {
                if out.iter().any(|p| p.is_nan()) {
                    return Err(refused("the predicted class probability is NaN"));
                }
                preds[1..].copy_from_slice(out);
                if let Some([prior, model]) = balance {
                    correct_balance(&mut preds[1..], prior, model);
                }
            }
            Answer::Number { scale, link } => {
                let margin = scale.map_or(out[0], |(sub, mul)| out[0] / mul + sub);
                preds[0] = link.mean(margin);
                if preds[0].is_nan() {
                    return Err(refused("the predicted number is NaN"));
                }
            }
            Answer::Autoencoder { .. } => self.reconstruct(out, preds),
            Answer::ModifiedHuber => {
                preds[0] = -1.0;
                preds[2] = Link::Logit.mean(-1.0);
                preds[1] = 1.0 - preds[2];
                return Err(refused(
                    "genmodel does not ask the network of a modified_huber model and has no label",
                ));
            }
        }
        Ok(())
    }

    /// One-hot levels, then the numbers on the network's scale.
    fn light_inputs(&self, raw: &[f64], inputs: &mut Vec<f64>) {
        inputs.clear();
        inputs.resize(self.n_inputs(), 0.0);
        let cats = self.cat_offsets.len() - 1;
        for (&value, ends) in raw[..cats].iter().zip(self.cat_offsets.windows(2)) {
            let mut level = if value.is_nan() { usize::MAX } else { value as usize };
            if !self.all_levels {
                match level.checked_sub(1) {
                    None => continue,
                    Some(above_base) => level = above_base,
                }
            }
            // What is beyond the column lights its last input.
            if let Some(last) = ends[1].checked_sub(1) {
                inputs[ends[0].saturating_add(level).min(last)] = 1.0;
            }
        }
        let numbers = raw[cats..].iter().zip(&self.scales);
        for (input, (&value, &(sub, mul))) in
            inputs[self.cat_offsets[cats]..].iter_mut().zip(numbers)
        {
            let scaled = (value - sub) * mul;
            *input = if scaled.is_nan() { 0.0 } else { scaled };
        }
    }

    /// Outputs on the columns' own scale.
    fn reconstruct(&self, out: &[f64], reconstructed: &mut [f64]) {
        reconstructed.copy_from_slice(out);
        if self.standardised {
            let numbers = &mut reconstructed[out.len() - self.scales.len()..];
            for (value, (sub, mul)) in numbers.iter_mut().zip(&self.scales) {
                *value = *value / mul + sub;
            }
        }
    }

    /// What an autoencoder saw, and how far off its answer is.
    ///
    /// `reconstructed`: [`DeepLearning::score`]'s answer. `original`: one number longer; the row as
    /// one-hot levels and numbers, then the mean squared difference on the network's scale.
    pub(crate) fn compare(&self, raw: &[f64], reconstructed: &[f64], original: &mut [f64]) {
        let Answer::Autoencoder { levels, .. } = &self.answer else { return };
        let (original, error) = original.split_at_mut(reconstructed.len());
        original.fill(0.0);
        let mut at = 0;
        for (&value, levels) in raw.iter().zip(levels) {
            match levels {
                None => {
                    original[at] = value;
                    at += 1;
                }
                Some(levels) => {
                    let level = if value.is_nan() { *levels } else { value as usize };
                    original[at + level.min(*levels)] = 1.0;
                    at += levels + 1;
                }
            }
        }
        let first_number = original.len() - self.scales.len();
        let mut sum = 0.0;
        for (i, (reconstructed, original)) in reconstructed.iter().zip(&*original).enumerate() {
            let scale = i.checked_sub(first_number).map_or(1.0, |number| self.scales[number].1);
            let difference = (reconstructed - original) * scale;
            sum += difference * difference;
        }
        error[0] = sum / original.len() as f64;
    }
}

impl Layer {
    /// genmodel has another product for maxout.
    fn order(&self) -> Order {
        if self.channels > 1 { Order::Straight } else { Order::Lanes }
    }

    fn sum_row(&self, _: &[f64], from: &[[f64; 1]], to: &mut Vec<[f64; 1]>) {
        if let Weights::ByOutput(weights) = &self.weights {
            to.resize(self.biases.len(), [0.0]);
            let (from, to) = (from.as_flattened(), to.as_flattened_mut());
            kernel::row(weights, &self.biases, self.order(), from, to);
        }
    }

    fn sum_block(&self, packed: &[f64], from: &[[f64; ROWS]], to: &mut Vec<[f64; ROWS]>) {
        kernel::block(packed, &self.biases, self.order(), from, to);
    }

    /// From sums to outputs, in place.
    fn activate<const N: usize>(&self, x: &mut Vec<[f64; N]>) {
        self.activation.apply(x, self.channels);
        if let Some(keep) = self.keep {
            x.as_flattened_mut().iter_mut().for_each(|x| *x *= keep);
        }
    }
}

impl Activation {
    /// `x`: sums of rows side by side. `channels`: sums that belong to one output under maxout.
    fn apply<const N: usize>(self, x: &mut Vec<[f64; N]>, channels: usize) {
        let each = x.as_flattened_mut();
        match self {
            Self::Linear => {}
            Self::Softmax => softmax(x),
            Self::ExpRectifier => {
                each.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = exp(*x) - 1.0);
            }
            Self::Rectifier => each.iter_mut().for_each(|x| *x = 0.5 * (*x + x.abs())),
            Self::Tanh => {
                each.iter_mut().for_each(|x| *x *= 2.0);
                exp_all(each);
                each.iter_mut().for_each(|x| *x = 1.0 - 2.0 / (1.0 + *x));
            }
            Self::Maxout => {
                let outputs = x.len() / channels;
                // NaN gives way to its neighbour on the right.
                let larger = |a: f64, b: f64| if a > b { a } else { b };
                for i in 0..outputs {
                    let channels = &x[i * channels..(i + 1) * channels];
                    x[i] = channels.iter().fold(channels[0], |largest, channel| {
                        std::array::from_fn(|row| larger(largest[row], channel[row]))
                    });
                }
                x.truncate(outputs);
            }
        }
    }
}

fn softmax<const N: usize>(x: &mut [[f64; N]]) {
    let mut max = x[0];
    for x in &*x {
        for (max, &x) in max.iter_mut().zip(x) {
            *max = if *max < x { x } else { *max };
        }
    }
    for x in &mut *x {
        x.iter_mut().zip(max).for_each(|(x, max)| *x -= max);
    }
    exp_all(x.as_flattened_mut());
    let mut scale = [0.0; N];
    for x in &*x {
        scale.iter_mut().zip(x).for_each(|(scale, x)| *scale += x);
    }
    for x in &mut *x {
        x.iter_mut().zip(scale).for_each(|(x, scale)| *x /= scale);
    }
}

impl Link {
    fn mean(self, margin: f64) -> f64 {
        match self {
            Self::Logit => 1.0 / (1.0 + java_min(1e19, exp(-margin))),
            Self::Log => java_min(1e19, exp(margin)),
            Self::Identity => margin,
        }
    }
}

fn refused(message: &str) -> RowError {
    RowError { kind: RowErrorKind::Model, column: None, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_genmodels() {
        let table: [(Activation, &[f64], &[f64]); 5] = [
            (Activation::ExpRectifier, &[-1.0, 2.0], &[exp(-1.0) - 1.0, 2.0]),
            (Activation::Rectifier, &[-1.0, 2.0], &[0.0, 2.0]),
            (Activation::Tanh, &[0.0, 400.0], &[0.0, 1.0]),
            (Activation::Maxout, &[1.0, f64::NAN, 3.0, 2.0], &[f64::NAN, 3.0]),
            (Activation::Softmax, &[7.0, 7.0], &[0.5, 0.5]),
        ];
        for (activation, x, expected) in table {
            // Side by side with a row of others.
            let mut x: Vec<[f64; 2]> = x.iter().map(|&x| [-x, x]).collect();
            activation.apply(&mut x, 2);
            let found: Vec<u64> = x.iter().map(|x| x[1].to_bits()).collect();
            let expected: Vec<u64> = expected.iter().map(|x| x.to_bits()).collect();
            assert_eq!(found, expected, "{activation:?}");
        }
    }

    #[test]
    fn links_stop_at_1e19() {
        assert_eq!(Link::Log.mean(100.0), 1e19);
        assert_eq!(Link::Logit.mean(-100.0), 1.0 / (1.0 + 1e19));
        assert_eq!(Link::Identity.mean(-3.0), -3.0);
    }
}
