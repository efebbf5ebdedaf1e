//! The network out of `model.ini`. Everything that scoring indexes is checked here.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

use super::kernel::ByInput;
use super::{Activation, Answer, DeepLearning, Layer, Link, Weights};
use crate::error::LoadError;
use crate::glm::read_offsets;
use crate::head::{Category, Head};
use crate::reader::Reader;

fn bad(key: &str, found: impl Into<String>, expected: impl Into<String>) -> LoadError {
    LoadError::BadValue { key: key.to_owned(), found: found.into(), expected: expected.into() }
}

fn numbers(n: usize) -> String {
    format!("{n} numbers")
}

impl DeepLearning {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let (cats, nums) = (ini.usize("cats")?, ini.usize("nums")?);
        if cats.checked_add(nums) != Some(head.n_features) {
            let found = format!("{cats} categorical and {nums} numeric columns");
            return Err(bad("nums", found, format!("{} columns, n_features", head.n_features)));
        }
        let offsets = ini.optional_ints("cat_offsets")?.unwrap_or_default();
        let cat_offsets = read_offsets(offsets, cats).ok_or_else(|| {
            let found = ini.text("cat_offsets").unwrap_or("missing");
            bad("cat_offsets", found, format!("{} rising numbers from 0", cats.saturating_add(1)))
        })?;
        let scales = read_scales(reader, nums)?;
        let sizes = ini.ints("neural_network_sizes")?;
        let n_inputs = cat_offsets.last().unwrap_or(&0).saturating_add(nums);
        let n_outputs = match head.category {
            Category::AutoEncoder => n_inputs,
            _ => head.n_classes,
        };
        let sizes: Vec<usize> =
            sizes.into_iter().map(usize::try_from).collect::<Result<_, _>>().unwrap_or_default();
        if sizes.len() < 2
            || sizes.contains(&0)
            || sizes.first() != Some(&n_inputs)
            || sizes.last() != Some(&n_outputs)
        {
            let found = ini.text("neural_network_sizes").unwrap_or("missing");
            return Err(bad(
                "neural_network_sizes",
                crate::ini::shorten(found),
                format!("at least two numbers above 0, the first {n_inputs}, the last {n_outputs}"),
            ));
        }
        ini.required_text("use_all_factor_levels")?;
        let all_levels = ini.bool_or("use_all_factor_levels", false)?;
        let answer = read_answer(reader, head, n_inputs, nums)?;
        let layers = read_layers(reader, &sizes, &answer, cats > 0)?;
        Ok(Self {
            cat_offsets,
            standardised: scales.is_some(),
            scales: scales.unwrap_or_else(|| vec![(0.0, 1.0); nums]),
            all_levels,
            layers,
            answer,
        })
    }
}

fn read_scales(reader: &Reader<'_, '_>, nums: usize) -> Result<Option<Vec<(f64, f64)>>, LoadError> {
    let mul = reader.ini().optional_doubles("norm_mul")?.unwrap_or_default();
    let sub = reader.ini().optional_doubles("norm_sub")?.unwrap_or_default();
    if mul.is_empty() {
        return Ok(None);
    }
    for (key, values) in [("norm_mul", &mul), ("norm_sub", &sub)] {
        if values.len() < nums {
            return Err(bad(key, numbers(values.len()), format!("{nums}, one per numeric column")));
        }
    }
    Ok(Some(sub.into_iter().zip(mul).take(nums).collect()))
}

fn read_answer(
    reader: &Reader<'_, '_>,
    head: &Head,
    n_inputs: usize,
    nums: usize,
) -> Result<Answer, LoadError> {
    let ini = reader.ini();
    let distribution = ini.required_text("distribution")?;
    let link = match distribution {
        "bernoulli" | "quasibinomial" | "modified_huber" | "ordinal" => Link::Logit,
        "multinomial" | "poisson" | "gamma" | "tweedie" => Link::Log,
        "AUTO" | "gaussian" | "huber" | "laplace" | "quantile" | "fractionalbinomial"
        | "negativebinomial" | "custom" => Link::Identity,
        _ => {
            let found = crate::ini::shorten(distribution);
            return Err(bad("distribution", found, "a distribution of H2O"));
        }
    };
    Ok(match head.category {
        Category::AutoEncoder => {
            let levels = head.levels();
            let width = |levels: &Option<usize>| levels.map_or(1, |n| n.saturating_add(1));
            let expanded = levels.iter().map(width).fold(0, usize::saturating_add);
            let n_numbers = levels.iter().filter(|levels| levels.is_none()).count();
            // Reconstruction shows each column's levels and one input for missing.
            if expanded != n_inputs || n_numbers != nums {
                let found = format!("{n_inputs} inputs");
                let expected = format!("{expanded}, one per number, level and missing level");
                return Err(bad("cat_offsets", found, expected));
            }
            let columns = reader.ini().columns.iter().zip(&head.domains).take(head.n_features);
            let output_columns = columns.flat_map(|(name, domain)| match domain {
                None => vec![format!("reconstr_{name}")],
                Some(domain) => {
                    let levels = domain.iter().map(String::as_str).chain(["missing(NA)"]);
                    levels.map(|level| format!("reconstr_{name}.{level}")).collect()
                }
            });
            Answer::Autoencoder { levels, output_columns: output_columns.collect() }
        }
        Category::Binomial if distribution == "modified_huber" => {
            let message = "a Deep Learning model of distribution modified_huber: genmodel does not \
                           ask its network and throws on every row, so all rows are refused";
            reader.warn("modified_huber", message.to_owned());
            Answer::ModifiedHuber
        }
        category if category.is_classification() => Answer::Classes,
        _ => {
            let mul = ini.optional_doubles("norm_resp_mul")?;
            let scale = match mul.as_deref() {
                None => None,
                Some(mul) => {
                    let sub = ini.doubles("norm_resp_sub")?;
                    match (sub.first(), mul.first()) {
                        (Some(&sub), Some(&mul)) => Some((sub, mul)),
                        _ => return Err(bad("norm_resp_mul", "[]", "one number")),
                    }
                }
            };
            Answer::Number { scale, link }
        }
    })
}

fn read_layers(
    reader: &Reader<'_, '_>,
    sizes: &[usize],
    answer: &Answer,
    has_categories: bool,
) -> Result<Vec<Layer>, LoadError> {
    let ini = reader.ini();
    let (activation, drops) = read_activation(ini.required_text("activation")?)?;
    let ratios = ini.optional_doubles("hidden_dropout_ratios")?.unwrap_or_default();
    let n_layers = sizes.len().saturating_sub(1);
    if ratios.len() < n_layers || ratios.iter().any(|ratio| !(0.0..1.0).contains(ratio)) {
        let found = ini.text("hidden_dropout_ratios").unwrap_or("missing");
        let expected = format!("{n_layers} ratios from 0 to below 1, one per layer");
        return Err(bad("hidden_dropout_ratios", crate::ini::shorten(found), expected));
    }
    let mut layers = Vec::new();
    for (i, (ends, &ratio)) in sizes.windows(2).zip(&ratios).enumerate() {
        let &[inputs, outputs] = ends else { continue };
        let is_last = i.saturating_add(1) == n_layers;
        let (activation, drops) = match answer {
            Answer::Classes | Answer::ModifiedHuber if is_last => (Activation::Softmax, false),
            Answer::Number { .. } if is_last => (Activation::Linear, false),
            _ => (activation, drops),
        };
        let mut layer = read_layer(reader, i, inputs, outputs, activation)?;
        layer.keep = (drops && ratio > 0.0).then_some(1.0 - ratio);
        if let Weights::ByOutput(weights) = &layer.weights
            && i == 0
            && has_categories
            && weights.iter().all(|weight| weight.is_finite())
        {
            layer.weights = Weights::ByInput(ByInput::new(weights, inputs));
        }
        layers.push(layer);
    }
    Ok(layers)
}

fn read_activation(name: &str) -> Result<(Activation, bool), LoadError> {
    let (plain, drops) = match name.strip_suffix("WithDropout") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let activation = match plain {
        "ExpRectifier" => Activation::ExpRectifier,
        "Rectifier" => Activation::Rectifier,
        "Maxout" => Activation::Maxout,
        "Tanh" => Activation::Tanh,
        "Linear" if !drops => Activation::Linear,
        "Softmax" if !drops => Activation::Softmax,
        _ => return Err(bad("activation", crate::ini::shorten(name), "an activation of H2O")),
    };
    Ok((activation, drops))
}

fn read_layer(
    reader: &Reader<'_, '_>,
    i: usize,
    inputs: usize,
    outputs: usize,
    activation: Activation,
) -> Result<Layer, LoadError> {
    let (weight_key, bias_key) = (format!("weight_layer{i}"), format!("bias_layer{i}"));
    let weights = reader.ini().doubles(&weight_key)?;
    let biases = reader.ini().doubles(&bias_key)?;
    // `outputs` is above 0, `read` looked.
    let channels = biases.len().checked_div(outputs).unwrap_or(0);
    let fits = match activation {
        // genmodel reads past the end of its array with three channels and more.
        Activation::Maxout => (1..=2).contains(&channels),
        _ => channels == 1,
    };
    if !fits || channels.checked_mul(outputs) != Some(biases.len()) {
        let expected = match activation {
            Activation::Maxout => format!("{outputs} or twice as many"),
            _ => outputs.to_string(),
        };
        return Err(bad(&bias_key, numbers(biases.len()), expected));
    }
    if inputs.checked_mul(biases.len()) != Some(weights.len()) {
        let expected = format!("{inputs} inputs x {} sums", biases.len());
        return Err(bad(&weight_key, numbers(weights.len()), expected));
    }
    #[expect(clippy::cast_possible_truncation, reason = "weights are text of floats")]
    let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
    // Channels lie side by side in the file, and sum by sum here.
    let weights = if channels == 2 {
        let rows = weights.chunks_exact(inputs.saturating_mul(2));
        rows.flat_map(|row| {
            let (pairs, _) = row.as_chunks::<2>();
            pairs.iter().map(|&[w, _]| w).chain(pairs.iter().map(|&[_, w]| w))
        })
        .collect()
    } else {
        weights
    };
    Ok(Layer { activation, keep: None, channels, weights: Weights::ByOutput(weights), biases })
}
