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

mod read;

use crate::error::{RowError, RowErrorKind};
use crate::label::correct_balance;
use crate::link::java_min;
use crate::math::exp;

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
    /// Row-major, `outputs * channels x inputs`.
    weights: Vec<f32>,
    /// `outputs * channels`.
    biases: Vec<f64>,
    /// Eight inputs that are 0 change no sum: the weights are finite, and there are categories.
    skips_zeros: bool,
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

/// The inputs and the outputs of a layer.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    from: Vec<f64>,
    to: Vec<f64>,
    /// Blocks of eight inputs that are not all 0.
    lit: Vec<usize>,
}

/// Inputs that are summed side by side.
const LANES: usize = 8;

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
            size_of_val(layer.weights.as_slice()) + size_of_val(layer.biases.as_slice())
        };
        self.layers.iter().map(of).sum()
    }

    fn n_inputs(&self) -> usize {
        self.cat_offsets[self.cat_offsets.len() - 1] + self.scales.len()
    }

    /// Fills `preds` as genmodel does, but for the label of a classification.
    ///
    /// `raw`: the row, model order, NaN = missing. `balance`: see [`correct_balance`].
    pub(crate) fn score(
        &self,
        raw: &[f64],
        preds: &mut [f64],
        balance: Option<&[Vec<f64>; 2]>,
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        self.light_inputs(raw, &mut scratch.from);
        for layer in &self.layers {
            layer.apply(scratch);
            std::mem::swap(&mut scratch.from, &mut scratch.to);
        }
        let out = scratch.from.as_slice();
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
    /// Fills `scratch.to` from `scratch.from`.
    fn apply(&self, scratch: &mut Scratch) {
        let Scratch { from, to, lit } = scratch;
        to.clear();
        let rows = self.weights.chunks_exact(from.len()).zip(&self.biases);
        if self.channels > 1 {
            to.extend(rows.map(|(weights, bias)| {
                weights.iter().zip(&*from).fold(0.0, |sum, (&w, x)| sum + x * f64::from(w)) + bias
            }));
        } else if self.skips_zeros {
            lit.clear();
            let blocks = from.as_chunks::<LANES>().0;
            lit.extend((0..blocks.len()).filter(|&i| blocks[i].iter().any(|&x| x != 0.0)));
            to.extend(rows.map(|(weights, bias)| {
                let lanes = weights.as_chunks::<LANES>().0;
                sum(lit.iter().map(|&i| (&lanes[i], &blocks[i])), weights, from) + bias
            }));
        } else {
            let blocks = from.as_chunks::<LANES>().0;
            to.extend(rows.map(|(weights, bias)| {
                let lanes = weights.as_chunks::<LANES>().0;
                sum(lanes.iter().zip(blocks), weights, from) + bias
            }));
        }
        self.activation.apply(to, self.channels);
        if let Some(keep) = self.keep {
            to.iter_mut().for_each(|x| *x *= keep);
        }
    }
}

/// Blocks of eight in eight partial sums, then what is left over.
fn sum<'a>(
    blocks: impl Iterator<Item = (&'a [f32; LANES], &'a [f64; LANES])>,
    weights: &[f32],
    inputs: &[f64],
) -> f64 {
    let mut lanes = [0.0; LANES];
    for (weights, inputs) in blocks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(weights[lane]) * inputs[lane];
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let mut sum = a + b + c + d;
    sum += e + f + g + h;
    let rest = weights.as_chunks::<LANES>().1.iter().zip(inputs.as_chunks::<LANES>().1);
    rest.fold(sum, |sum, (&weight, input)| sum + f64::from(weight) * input)
}

impl Activation {
    /// `channels`: sums that belong to one output under maxout.
    fn apply(self, x: &mut Vec<f64>, channels: usize) {
        match self {
            Self::Linear => {}
            Self::Softmax => softmax(x),
            Self::ExpRectifier => {
                x.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = exp(*x) - 1.0);
            }
            Self::Rectifier => x.iter_mut().for_each(|x| *x = 0.5 * (*x + x.abs())),
            Self::Tanh => x.iter_mut().for_each(|x| *x = 1.0 - 2.0 / (1.0 + exp(2.0 * *x))),
            Self::Maxout => {
                let outputs = x.len() / channels;
                for i in 0..outputs {
                    // NaN gives way to its neighbour on the right.
                    let larger = |a: f64, &b: &f64| if a > b { a } else { b };
                    let channels = &x[i * channels..(i + 1) * channels];
                    x[i] = channels.iter().fold(channels[0], larger);
                }
                x.truncate(outputs);
            }
        }
    }
}

fn softmax(x: &mut [f64]) {
    let max = x.iter().fold(x[0], |max, &x| if max < x { x } else { max });
    let mut scale = 0.0;
    for x in &mut *x {
        *x = exp(*x - max);
        scale += *x;
    }
    x.iter_mut().for_each(|x| *x /= scale);
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

    fn layer(activation: Activation, inputs: usize, skips_zeros: bool) -> Layer {
        let weight = |i: usize| (i * 37 % 101) as f32 / 64.0 - 0.7;
        Layer {
            activation,
            keep: None,
            channels: 1,
            weights: (0..3 * inputs).map(weight).collect(),
            biases: vec![0.1, -0.2, 0.3],
            skips_zeros,
        }
    }

    #[test]
    fn skipping_zeros_changes_no_bit() {
        for inputs in 1..40 {
            for lit in 0..inputs {
                let mut from = vec![0.0; inputs];
                from[lit] = 1.0;
                from[inputs - 1] = -0.37;
                let apply = |skips_zeros| {
                    let mut scratch = Scratch { from: from.clone(), ..Scratch::default() };
                    layer(Activation::Linear, inputs, skips_zeros).apply(&mut scratch);
                    scratch.to.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                assert_eq!(apply(true), apply(false), "{lit} of {inputs}");
            }
        }
    }

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
            let mut x = x.to_vec();
            activation.apply(&mut x, 2);
            let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&x), bits(expected), "{activation:?}");
        }
    }

    #[test]
    fn links_stop_at_1e19() {
        assert_eq!(Link::Log.mean(100.0), 1e19);
        assert_eq!(Link::Logit.mean(-100.0), 1.0 / (1.0 + 1e19));
        assert_eq!(Link::Identity.mean(-3.0), -3.0);
    }
}
