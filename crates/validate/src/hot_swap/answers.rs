//! What a model answers to a row, computed or told, and whose an answer of the wire is.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use stemson_mojo::{Batch, Cell, Kind, LoadOptions, Model, Options, Output, Role};

use super::HotSwapError;

/// Rows that are drawn where none are given.
const ROWS: usize = 64;

/// Whose an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Old,
    New,
    /// Both give it.
    Both,
}

/// One row's answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) label: Option<String>,
    /// Index of the label.
    pub(super) index: Option<usize>,
    /// Probabilities, or the value.
    pub(super) numbers: Vec<f64>,
}

impl Answer {
    /// Whether the wire could not tell the two apart.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let labels = self.label.as_ref().zip(other.label.as_ref());
        let numbers = self.numbers.iter().zip(&other.numbers);
        labels.is_none_or(|(a, b)| a == b)
            && self.numbers.len() == other.numbers.len()
            && numbers.into_iter().all(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(1.0))
    }
}

/// A model, ready to be asked.
pub(super) struct Contender {
    model: Arc<Model>,
    which: &'static str,
}

impl Contender {
    pub(super) fn load(which: &'static str, artifact: &[u8]) -> Result<Self, HotSwapError> {
        let options = LoadOptions { explanations: false, ..LoadOptions::default() };
        let model = Model::load(artifact, &options)
            .map_err(|cause| HotSwapError::Artifact { which, reason: cause.to_string() })?;
        Ok(Self { model: Arc::new(model), which })
    }

    fn batch(&self, rows: &[Value]) -> Batch {
        let mut batch = Batch::new(Arc::clone(&self.model), Options::default());
        for row in rows {
            let columns = self.model.schema().columns().iter();
            let cells: Vec<Cell<'_>> = columns.map(|column| cell(&row[&column.name])).collect();
            batch.push(&cells);
        }
        batch.score();
        batch
    }

    pub(super) fn answers(&self, rows: &[Value]) -> Result<Vec<Answer>, HotSwapError> {
        let batch = self.batch(rows);
        let failed = |reason: String| HotSwapError::Artifact { which: self.which, reason };
        let answer = |row| match batch.output(row) {
            Ok(Output::Classes { index, p, .. }) => Ok(Answer {
                label: self.model.labels().get(index).cloned(),
                index: Some(index),
                numbers: p.to_vec(),
            }),
            Ok(Output::Value(value)) => Ok(number(value)),
            Ok(Output::Cluster(cluster)) => Ok(number(f64::from(cluster))),
            Ok(_) => Err(failed(format!(
                "a {} model: only classes, values and clusters are compared",
                self.model.category().as_str()
            ))),
            Err(error) => Err(failed(format!("row {row} is refused: {}", error.message))),
        };
        (0..rows.len()).map(answer).collect()
    }

    /// Rows of values that such columns may have, the same in every run.
    pub(super) fn draw_rows(&self) -> Vec<Value> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |n: u64| {
            // xorshift64: any numbers will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % n.max(1)
        };
        let mut row = |scale: f64| {
            let mut row = Map::new();
            for column in self.model.schema().columns() {
                let value = match column.kind {
                    _ if column.role == Role::Offset => continue,
                    Kind::Categorical if column.levels.is_empty() => continue,
                    Kind::Categorical => {
                        let level = next(column.levels.len() as u64) as usize;
                        Value::from(column.levels[level].as_str())
                    }
                    Kind::Numeric => Value::from((next(20_001) as f64 / 10_000.0 - 1.0) * scale),
                };
                row.insert(column.name.clone(), value);
            }
            Value::Object(row)
        };
        // Nobody says how large the numbers of a column are.
        (0..ROWS).map(|place| row([1.0, 3.0, 10.0, 100.0, 10_000.0][place % 5])).collect()
    }

    /// A request for each row, in the layout that the server's metadata asks for.
    pub(super) fn bodies(&self, rows: &[Value], metadata: &Value) -> Vec<Bytes> {
        let inputs = metadata["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let batch = self.batch(rows);
        let body = |(place, row): (usize, &Value)| {
            let inputs = match inputs {
                [only]
                    if only["datatype"] == "BYTES" && self.model.schema().columns().len() > 1 =>
                {
                    json!([{"name": only["name"], "shape": [1], "datatype": "BYTES", "data": [row.to_string()]}])
                }
                [only]
                    if only["datatype"] != "BYTES"
                        && only["shape"].as_array().is_some_and(|it| it.len() == 2) =>
                {
                    // JSON has no NaN: a missing level is -1, and no number is missing here.
                    let raw: Vec<f64> = batch
                        .raw(place)
                        .iter()
                        .map(|x| if x.is_nan() { -1.0 } else { *x })
                        .collect();
                    json!([{"name": only["name"], "shape": [1, raw.len()], "datatype": only["datatype"], "data": raw}])
                }
                _ => self.columns(row),
            };
            Bytes::from(json!({ "inputs": inputs }).to_string())
        };
        rows.iter().enumerate().map(body).collect()
    }

    fn columns(&self, row: &Value) -> Value {
        let columns = self.model.schema().columns().iter();
        let tensor = columns.filter_map(|column| {
            let value = row.get(&column.name).filter(|value| !value.is_null())?;
            let datatype = if column.kind == Kind::Categorical { "BYTES" } else { "FP64" };
            Some(json!({"name": column.name, "shape": [1], "datatype": datatype, "data": [value]}))
        });
        Value::Array(tensor.collect())
    }
}

fn number(value: f64) -> Answer {
    Answer { label: None, index: None, numbers: vec![value] }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => number.as_f64().map_or(Cell::Absent, Cell::Number),
        Value::Bool(value) => Cell::Bool(*value),
        _ => Cell::Absent,
    }
}

/// Answers as `stemson score --format jsonl` writes them, one for each row.
pub(super) fn expected(
    which: &'static str,
    lines: &[Value],
    rows: usize,
) -> Result<Vec<Answer>, HotSwapError> {
    let failed = |reason: String| HotSwapError::Expected { which, reason };
    if lines.len() != rows {
        return Err(failed(format!(
            "it has {} lines, expected {rows}, one for each row",
            lines.len()
        )));
    }
    let answer = |(place, line): (usize, &Value)| {
        let out = &line["out"];
        let numbers = |value: &Value| -> Option<Vec<f64>> {
            value.as_array()?.iter().map(Value::as_f64).collect()
        };
        let value = ["value", "cluster"].iter().find_map(|key| out[*key].as_f64());
        let numbers = numbers(&out["p"]).or_else(|| value.map(|value| vec![value]));
        let numbers = numbers.ok_or_else(|| {
            failed(format!("line {}: no `out` with `p`, `value` or `cluster`", place + 1))
        })?;
        let label = out["label"].as_str().map(str::to_owned);
        Ok(Answer { label, index: out["index"].as_u64().map(|index| index as usize), numbers })
    };
    lines.iter().enumerate().map(answer).collect()
}

/// What a server said, taken for the truth about its old model.
pub(super) fn observed(answer: &Value) -> Option<Answer> {
    let outputs = answer["outputs"].as_array()?;
    let mut observed = Answer { label: None, index: None, numbers: Vec::new() };
    for output in outputs {
        if output["datatype"] == "BYTES" {
            observed.label = output["data"][0].as_str().map(str::to_owned);
        } else {
            let numbers = flat(&output["data"]);
            if numbers.len() > observed.numbers.len() {
                observed.numbers = numbers;
            }
        }
    }
    (!observed.numbers.is_empty() || observed.label.is_some()).then_some(observed)
}

/// Whose an answer is; `None` if neither model gives it.
pub(super) fn by(answer: &Value, [old, new]: [&Answer; 2]) -> Option<By> {
    match (is_of(answer, old), is_of(answer, new)) {
        (true, true) => Some(By::Both),
        (true, false) => Some(By::Old),
        (false, true) => Some(By::New),
        (false, false) => None,
    }
}

fn is_of(answer: &Value, expected: &Answer) -> bool {
    let Some(outputs) = answer["outputs"].as_array() else { return false };
    let mut compared = 0;
    for output in outputs {
        let same = if output["datatype"] == "BYTES" {
            let label = output["data"][0].as_str().or_else(|| output["data"][0][0].as_str());
            expected.label.as_deref().map(|expected| label == Some(expected))
        } else {
            // Half a unit of what the datatype can say, and the ulps of another libm.
            let tolerance = match output["datatype"].as_str() {
                Some("FP64") => 1e-12,
                Some("FP16") => 2e-3,
                _ => 2e-6,
            };
            let close =
                |a: f64, b: f64| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-3);
            match (flat(&output["data"]).as_slice(), expected.numbers.as_slice()) {
                (found, numbers) if found.len() == numbers.len() => {
                    Some(found.iter().zip(numbers).all(|(a, b)| close(*a, *b)))
                }
                ([one], [_, p1]) => {
                    let is_index = expected.index.is_some_and(|index| close(*one, index as f64));
                    Some(is_index || close(*one, *p1))
                }
                ([one], _) => expected.index.map(|index| close(*one, index as f64)),
                _ => None,
            }
        };
        match same {
            Some(false) => return false,
            Some(true) => compared += 1,
            None => {}
        }
    }
    compared > 0
}

fn flat(data: &Value) -> Vec<f64> {
    match data {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        Value::Bool(value) => vec![f64::from(u8::from(*value))],
        value => value.as_f64().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(label: &str, p1: f64) -> Answer {
        let index = Some(usize::from(label == "yes"));
        Answer { label: Some(label.to_owned()), index, numbers: vec![1.0 - p1, p1] }
    }

    #[test]
    fn tells_whose_an_answer_is() {
        let (old, new) = (classes("yes", 0.75), classes("no", 0.25));
        let p = |data: Value| json!({"name": "probabilities", "datatype": "FP64", "data": data});
        let label = |text: &str| json!({"name": "predict", "datatype": "BYTES", "data": [text]});
        for (outputs, expected) in [
            (json!([label("yes"), p(json!([0.25, 0.75]))]), Some(By::Old)),
            (json!([label("no"), p(json!([[0.75, 0.25]]))]), Some(By::New)),
            (json!([label("no"), p(json!([0.25, 0.75]))]), None),
            (json!([label("maybe")]), None),
            (json!([]), None),
            (json!([{"name": "predict", "datatype": "FP32", "data": [0.25]}]), Some(By::New)),
            (json!([{"name": "predict", "datatype": "INT64", "data": [1]}]), Some(By::Old)),
            (json!([p(json!([0.25, 0.75 + 1e-9]))]), None),
        ] {
            let answer = json!({ "outputs": outputs });
            assert_eq!(by(&answer, [&old, &new]), expected, "{answer}");
        }
        let answer = json!({"outputs": [label("yes")]});
        assert_eq!(by(&answer, [&old, &classes("yes", 0.6)]), Some(By::Both));
    }
}
