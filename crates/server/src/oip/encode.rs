//! The outputs of an infer request: which there are, and how their elements are written.

use std::cmp::Ordering;

use axum::body::Bytes;
use stemson_batch::write_json_part;
use stemson_mojo::{Model, Part, PartKind, Values};

use super::datatype::Datatype;
use super::request::{Terms, Wanted};
use crate::ask::Ask;
use crate::error::Refusal;
use crate::face::Face;
use crate::json::{self, Wire};
use crate::rows::Scored;

/// An output tensor that a model offers: a part of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputTensor {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    pub(crate) datatype: Datatype,
    /// Values of a row, where they are a list; else a row is one element.
    pub(crate) width: Option<usize>,
    /// Whether it is answered without being asked for.
    pub(crate) is_usual: bool,
}

/// An output of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) tensor: OutputTensor,
    pub(crate) is_binary: bool,
    /// So many of the likeliest classes, each as `probability:index:label`; 0: the tensor.
    pub(crate) classes: usize,
}

impl OutputTensor {
    /// What a model offers, in the order in which it is answered: `parts` of its answer, then the
    /// explanations.
    pub(crate) fn all(model: &Model, parts: &[Part]) -> Vec<Self> {
        let explanations =
            [Part::Contributions, Part::LeafPaths, Part::LeafIds, Part::Staged, Part::Distances];
        let offered = explanations.into_iter().filter(|part| model.check_offer(*part).is_ok());
        let tensor = |part: Part| {
            let columns = || model.part_columns(part).len();
            Self {
                name: match part {
                    Part::Label | Part::Value => "predict",
                    Part::Probabilities => "probabilities",
                    part => part.key(),
                },
                part,
                datatype: match part.kind() {
                    PartKind::Text => Datatype::Bytes,
                    PartKind::F64 => Datatype::Fp64,
                    PartKind::F32 => Datatype::Fp32,
                    PartKind::Integer => Datatype::Int32,
                    PartKind::Flag => Datatype::Bool,
                },
                width: part.is_list().then(columns),
                is_usual: !part.is_explanation()
                    && !matches!(part, Part::Index | Part::Calibrated | Part::ReconstructedRow),
            }
        };
        parts.iter().copied().chain(offered).map(tensor).collect()
    }

    /// The shape, with -1 for what depends on the request.
    pub(super) fn shape(&self) -> Vec<i64> {
        let width = self.width.map(|width| width as i64);
        match self.part {
            Part::Embeddings => [-1, -1].into_iter().chain(width).collect(),
            _ => std::iter::once(-1).chain(width).collect(),
        }
    }
}

impl Output {
    /// The outputs that a request names, or the usual ones and what it asks for. What is named is
    /// asked for: `ask` grows.
    pub(crate) fn choose(
        face: &Face,
        wanted: Option<&[Wanted]>,
        terms: Terms,
        ask: &mut Ask,
    ) -> Result<Vec<Self>, Refusal> {
        let plain = |tensor| Self { tensor, is_binary: terms.is_binary, classes: 0 };
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
            let is_asked = |part: Part| match part {
                Part::Calibrated => ask.calibrated,
                Part::ReconstructedRow => ask.options.reconstruct,
                part => ask.explanations().any(|asked| asked == part),
            };
            let tensors = face.outputs.iter().copied();
            let tensors = tensors.filter(|tensor| tensor.is_usual || is_asked(tensor.part));
            return Ok(tensors.map(plain).collect());
        };
        let mut chosen: Vec<Self> = Vec::with_capacity(wanted.len());
        for Wanted { name, is_binary, classes } in wanted {
            let found = face.outputs.iter().find(|tensor| tensor.name == *name);
            let tensor = *found.ok_or_else(|| unknown_output(face, name))?;
            if chosen.iter().any(|output| output.tensor == tensor) {
                return Err(Refusal::BadField(format!("`outputs`: `{name}` stands twice")));
            }
            if *classes > 0 && tensor.part != Part::Probabilities {
                return Err(Refusal::BadField(format!(
                    "`outputs`: `{name}`: only `probabilities` has a `classification`"
                )));
            }
            require(tensor.part, ask)?;
            let is_binary = is_binary.unwrap_or(terms.is_binary);
            chosen.push(Self { tensor, is_binary, classes: *classes });
        }
        Ok(chosen)
    }

    /// The datatype on the wire.
    pub(crate) fn datatype(&self) -> Datatype {
        if self.classes > 0 { Datatype::Bytes } else { self.tensor.datatype }
    }

    /// The shape for the rows of an answer.
    pub(crate) fn shape(&self, scored: &Scored) -> Vec<usize> {
        let rows = scored.len();
        match (self.tensor.part, self.tensor.width) {
            (Part::Embeddings, width) => {
                let dims = width.unwrap_or(1).max(1);
                let words = self.parts(scored).map(|values| match values {
                    Some(Values::Floats(vectors)) => vectors.len() / dims,
                    _ => 0,
                });
                vec![rows, words.max().unwrap_or(0), dims]
            }
            (_, Some(width)) if self.classes > 0 => vec![rows, self.classes.min(width)],
            (_, Some(width)) => vec![rows, width],
            (_, None) => vec![rows],
        }
    }

    fn parts<'s>(&self, scored: &'s Scored) -> impl Iterator<Item = Option<Values<'s>>> + use<'s> {
        let part = self.tensor.part;
        scored.rows().map(move |(batch, row)| batch.part(row, part))
    }

    /// Floats that a row lacks to the length of the longest: rows of fewer words than others.
    fn lacking(&self, values: &Values<'_>, shape: &[usize]) -> usize {
        match (self.tensor.part, values, shape) {
            (Part::Embeddings, Values::Floats(vectors), [_, words, dims]) => {
                (words * dims).saturating_sub(vectors.len())
            }
            _ => 0,
        }
    }

    /// The elements as JSON, flat, row-major, with commas between them.
    fn write_json(&self, out: &mut Vec<u8>, scored: &Scored, shape: &[usize]) {
        let part = self.tensor.part;
        let mut is_first = true;
        for (batch, row) in scored.rows() {
            let start = out.len();
            if !is_first {
                out.push(b',');
            }
            let values_at = out.len();
            match batch.part(row, part) {
                Some(Values::Numbers(p)) if self.classes > 0 => {
                    json::write_list(out, self.likeliest(scored, p), |out, text| {
                        json::write_str(out, &text);
                    });
                }
                Some(values @ Values::Floats(floats)) => {
                    let padding = std::iter::repeat_n(&f32::NAN, self.lacking(&values, shape));
                    json::write_list(out, floats.iter().chain(padding), |out, float| {
                        json::write_f32(out, *float);
                    });
                }
                Some(Values::Numbers(numbers)) => {
                    json::write_list(out, numbers, |out, number| json::write_f64(out, *number));
                }
                Some(Values::Integers(numbers)) => {
                    json::write_list(out, numbers, |out, number| {
                        json::write_display(out, number);
                    });
                }
                Some(Values::Paths(paths)) => json::write_list(out, paths, |out, path| {
                    json::write_str(out, path.unwrap_or_default());
                }),
                _ => write_json_part(out, batch, row, part),
            }
            if out.len() == values_at {
                // A row without elements leaves no comma.
                out.truncate(start);
            } else {
                is_first = false;
            }
        }
    }

    /// The elements as the binary tensor extension and `raw_output_contents` have them: packed,
    /// row-major, least significant byte first; of BYTES each with its length in 4 bytes before it.
    pub(crate) fn write_bytes(&self, out: &mut Vec<u8>, scored: &Scored, shape: &[usize]) {
        for values in self.parts(scored).flatten() {
            match values {
                Values::Numbers(p) if self.classes > 0 => {
                    self.likeliest(scored, p).iter().for_each(|text| write_text(out, text));
                }
                Values::Text(text) => write_text(out, text),
                Values::Paths(paths) => {
                    paths.for_each(|path| write_text(out, path.unwrap_or_default()));
                }
                Values::Number(number) => out.extend_from_slice(&number.to_le_bytes()),
                Values::Numbers(numbers) => {
                    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
                }
                Values::Floats(floats) => {
                    let padding = self.lacking(&values, shape);
                    let floats = floats.iter().chain(std::iter::repeat_n(&f32::NAN, padding));
                    floats.for_each(|float| out.extend_from_slice(&float.to_le_bytes()));
                }
                Values::Integer(number) => out.extend_from_slice(&number.to_le_bytes()),
                Values::Integers(numbers) => {
                    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
                }
                Values::Flag(flag) => out.push(u8::from(flag)),
            }
        }
    }

    /// `probability:index:label`, the likeliest class first; of equal ones the first.
    fn likeliest(&self, scored: &Scored, p: &[f64]) -> Vec<String> {
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|&a, &b| p[b].partial_cmp(&p[a]).unwrap_or(Ordering::Equal));
        order.truncate(self.classes);
        let labels = scored.model().labels();
        let text = |class: usize| {
            let label = labels.get(class).map_or("", String::as_str);
            format!("{}:{class}:{label}", p[class])
        };
        order.into_iter().map(text).collect()
    }
}

/// What must be asked of the rows so that they have a part.
fn require(part: Part, ask: &mut Ask) -> Result<(), Refusal> {
    use stemson_mojo::LeafAssignment::{Ids, Paths};
    let options = &mut ask.options;
    let leaves = match part {
        Part::LeafPaths => Paths,
        Part::LeafIds => Ids,
        Part::Contributions => {
            options.contributions = true;
            return Ok(());
        }
        Part::Staged => {
            options.staged = true;
            return Ok(());
        }
        Part::Distances => {
            options.distances = true;
            return Ok(());
        }
        Part::ReconstructedRow => {
            options.reconstruct = true;
            return Ok(());
        }
        _ => return Ok(()),
    };
    if options.leaf_assignment.is_some_and(|other| other != leaves) {
        return Err(Refusal::BadField(
            "`outputs`: `leaf_paths` and `leaf_ids` exclude each other in one request".to_owned(),
        ));
    }
    options.leaf_assignment = Some(leaves);
    Ok(())
}

fn unknown_output(face: &Face, name: &str) -> Refusal {
    let names: Vec<_> = face.outputs.iter().map(|tensor| tensor.name).collect();
    Refusal::BadField(format!(
        "`outputs`: the model has no `{}`, only {}",
        name.chars().take(80).collect::<String>(),
        names.join(", ")
    ))
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Writes the answer. The rows have predictions, all of them.
pub(super) fn write(
    model_name: &str,
    id: Option<&str>,
    outputs: &[Output],
    scored: &Scored,
) -> Wire {
    let revision = scored.revision();
    let mut out = Vec::with_capacity(384 + scored.len() * 64);
    let mut bytes = Vec::new();
    out.extend_from_slice(b"{\"model_name\":");
    json::write_str(&mut out, model_name);
    out.extend_from_slice(b",\"model_version\":\"");
    json::write_display(&mut out, &revision.number());
    out.push(b'"');
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        json::write_str(&mut out, id);
    }
    out.extend_from_slice(b",\"parameters\":{\"digest\":\"");
    json::write_display(&mut out, &revision.digest());
    out.extend_from_slice(b"\"},\"outputs\":[");
    json::write_list(&mut out, outputs, |out, output| {
        write_output(out, &mut bytes, output, scored);
    });
    out.extend_from_slice(b"]}");
    if outputs.iter().all(|output| !output.is_binary) {
        return Wire::json(out.into());
    }
    let json_bytes = Some(out.len());
    out.extend_from_slice(&bytes);
    let content_type = "application/octet-stream";
    Wire { body: Bytes::from(out), content_type, json_bytes, coding: None }
}

fn write_output(out: &mut Vec<u8>, bytes: &mut Vec<u8>, output: &Output, scored: &Scored) {
    let shape = output.shape(scored);
    out.extend_from_slice(b"{\"name\":\"");
    out.extend_from_slice(output.tensor.name.as_bytes());
    out.extend_from_slice(b"\",\"shape\":[");
    json::write_list(out, &shape, |out, dim| json::write_display(out, dim));
    out.extend_from_slice(b"],\"datatype\":\"");
    out.extend_from_slice(output.datatype().name().as_bytes());
    if output.is_binary {
        let before = bytes.len();
        output.write_bytes(bytes, scored, &shape);
        out.extend_from_slice(b"\",\"parameters\":{\"binary_data_size\":");
        json::write_display(out, &(bytes.len() - before));
        out.extend_from_slice(b"}}");
    } else {
        out.extend_from_slice(b"\",\"data\":[");
        output.write_json(out, scored, &shape);
        out.extend_from_slice(b"]}");
    }
}
