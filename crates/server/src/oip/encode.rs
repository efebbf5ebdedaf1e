//! The body of an infer answer.

use axum::body::Bytes;
use stemson_mojo::{Category, Model, Output};

use crate::error::Refusal;
use crate::json;
use crate::rows::Scored;
use crate::v1::write_label;

/// An output tensor that a model offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputTensor {
    /// The label as BYTES, or the value as FP64.
    Predict,
    /// FP64, `[rows, classes]`.
    Probabilities,
}

impl OutputTensor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Probabilities => "probabilities",
        }
    }

    /// What a model offers, in the order in which it is answered.
    pub(super) fn all(category: Category) -> &'static [Self] {
        if category.is_classification() {
            &[Self::Predict, Self::Probabilities]
        } else {
            &[Self::Predict]
        }
    }

    pub(super) fn datatype(self, model: &Model) -> &'static str {
        match self {
            Self::Predict if model.category().is_classification() => "BYTES",
            Self::Predict | Self::Probabilities => "FP64",
        }
    }

    /// Places after the first dimension, which is the rows.
    pub(super) fn width(self, model: &Model) -> Option<usize> {
        match self {
            Self::Predict => None,
            Self::Probabilities => Some(model.labels().len()),
        }
    }

    /// The outputs that a request names, or all.
    pub(super) fn choose(model: &Model, wanted: Option<&[String]>) -> Result<Vec<Self>, Refusal> {
        let offered = Self::all(model.category());
        let Some(wanted) = wanted else {
            return Ok(offered.to_vec());
        };
        let mut chosen = Vec::new();
        for name in wanted {
            let Some(&output) = offered.iter().find(|output| output.name() == name) else {
                let names: Vec<_> = offered.iter().map(|output| output.name()).collect();
                return Err(Refusal::BadField(format!(
                    "`outputs`: the model has no `{}`, only {}",
                    name.chars().take(80).collect::<String>(),
                    names.join(", ")
                )));
            };
            if chosen.contains(&output) {
                return Err(Refusal::BadField(format!("`outputs`: `{name}` stands twice")));
            }
            chosen.push(output);
        }
        Ok(chosen)
    }
}

/// Writes the answer. The rows have predictions, all of them.
pub(super) fn write(
    model_name: &str,
    id: Option<&str>,
    outputs: &[OutputTensor],
    scored: &Scored,
) -> Bytes {
    let (model, revision) = (scored.model(), scored.revision());
    let mut out = Vec::with_capacity(384 + scored.len() * (16 + 24 * model.labels().len()));
    out.extend_from_slice(b"{\"model_name\":");
    json::write_str(&mut out, model_name);
    out.extend_from_slice(format!(",\"model_version\":\"{}\"", revision.number()).as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        json::write_str(&mut out, id);
    }
    let digest = revision.digest();
    out.extend_from_slice(
        format!(",\"parameters\":{{\"digest\":\"{digest}\"}},\"outputs\":[").as_bytes(),
    );
    json::write_list(&mut out, outputs, |out, output| write_output(out, *output, scored));
    out.extend_from_slice(b"]}");
    out.into()
}

fn write_output(out: &mut Vec<u8>, output: OutputTensor, scored: &Scored) {
    let model = scored.model();
    let width = output.width(model).map_or(String::new(), |width| format!(",{width}"));
    let head = format!(
        "{{\"name\":\"{}\",\"shape\":[{}{width}],\"datatype\":\"{}\",\"data\":[",
        output.name(),
        scored.len(),
        output.datatype(model),
    );
    out.extend_from_slice(head.as_bytes());
    let rows = scored.outputs().filter_map(Result::ok);
    json::write_list(out, rows, |out, row| match (output, row) {
        (OutputTensor::Predict, Output::Classes { index, .. }) => write_label(out, model, index),
        (OutputTensor::Predict, Output::Value(value)) => json::write_f64(out, value),
        (OutputTensor::Probabilities, Output::Classes { p, .. }) => {
            json::write_list(out, p, |out, &p| json::write_f64(out, p));
        }
        // No such pair is offered.
        (OutputTensor::Predict | OutputTensor::Probabilities, _) => {}
    });
    out.extend_from_slice(b"]}");
}
