//! What the protocols keep of a revision: how its answers look on the wire, prepared once, and what
//! it did so far.

use std::sync::{Arc, OnceLock};

use stemson_mojo::{Category, Model, Options, Part};
use stemson_serving::cache::Namespace;

use crate::json;
use crate::oip::OutputTensor;
use crate::statistics::Statistics;

/// What the encoders need of a model.
#[derive(Debug)]
pub(crate) struct Face {
    /// The parts of an answer without explanations, those included that a GLRM reconstructs.
    pub(crate) parts: Vec<Part>,
    /// All tensors that the model offers, in the order of the answer.
    pub(crate) outputs: Vec<OutputTensor>,
    /// The keys of `p`, quoted: level names, or `p0`, `p1` where the response has no levels.
    pub(crate) p_keys: Vec<Vec<u8>>,
    /// Names of contributions, quoted.
    pub(crate) contribution_keys: Vec<Vec<u8>>,
    /// Values of the answer to a row, without explanations.
    pub(crate) answer_width: usize,
    /// Length of a word's vector, else 0.
    pub(crate) word_dims: usize,
    pub(crate) statistics: Statistics,
    /// Where the answers to plain requests are kept.
    pub(crate) namespace: OnceLock<Arc<Namespace>>,
}

impl Face {
    pub(crate) fn new(model: &Model) -> Self {
        // A plain answer has no part that a model could fail to offer.
        let options = Options { reconstruct: true, ..Options::default() };
        let parts = model.parts(options).unwrap_or_default();
        let quoted = |text: &str| {
            let mut out = Vec::new();
            json::write_str(&mut out, text);
            out
        };
        let labels = model.labels();
        let p_keys = if model.has_response_domain() {
            labels.iter().map(|label| quoted(label)).collect()
        } else {
            (0..labels.len()).map(|class| quoted(&format!("p{class}"))).collect()
        };
        let contributions = model.contribution_names().unwrap_or_default();
        let outputs = OutputTensor::all(model, &parts);
        let usual = outputs.iter().filter(|tensor| tensor.is_usual);
        Self {
            answer_width: usual.map(|tensor| tensor.width.unwrap_or(1)).sum(),
            outputs,
            p_keys,
            contribution_keys: contributions.iter().map(|name| quoted(name)).collect(),
            word_dims: match model.category() {
                Category::WordEmbedding => model.part_columns(Part::Average).len(),
                _ => 0,
            },
            parts,
            statistics: Statistics::default(),
            namespace: OnceLock::new(),
        }
    }

    /// Values of a row that the explanations have, to be bounded as the raw rows are.
    pub(crate) fn explained_width(&self, parts: impl Iterator<Item = Part>) -> usize {
        let width = |part| {
            let tensor = self.outputs.iter().find(|tensor| tensor.part == part);
            tensor.and_then(|tensor| tensor.width).unwrap_or(1)
        };
        parts.map(width).sum()
    }
}
