//! Reference rows: what a model must answer before it may answer anybody.
//!
//! JSON lines of `{"row":{column: value},"out":{...}}`, in the words of the prediction log and of
//! `score --format jsonl`, so that real traffic can be a reference. Of `out` those keys are compared
//! that a line has; `{"row":{...},"error":{"kind":"..."}}` expects a refusal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use stemson_batch::write_json_part;
use stemson_mojo::{Batch, Cell, Model, Options};

/// Name of the file inside an artifact.
pub(crate) const EMBEDDED: &str = "reference.jsonl";

/// Rows that are checked; more tell nothing new, and a swap shall not take minutes.
const ROWS_MAX: usize = 10_000;

/// How far a number may be from the expected one: answers written by other programs have fewer
/// digits, and are computed in another order.
const RELATIVE: f64 = 1e-6;
const ABSOLUTE: f64 = 1e-9;

/// Why reference rows speak against a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// A line is none.
    #[error("{origin} line {line}: {cause}")]
    Line {
        /// The file.
        origin: String,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// The file holds more rows than are checked.
    #[error("{origin} holds more than {ROWS_MAX} rows: choose those that matter")]
    TooMany {
        /// The file.
        origin: String,
    },
    /// The model answers something else.
    #[error(
        "{origin} line {line}: the model answers {found} for `{key}`, expected {expected}: \
         it is not the model that the reference was made with"
    )]
    Answer {
        /// The file.
        origin: String,
        /// Its line, counted from 1.
        line: usize,
        /// What was compared.
        key: String,
        /// As the model answers.
        found: String,
        /// As the reference says.
        expected: String,
    },
}

impl ReferenceError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "reference_mismatch",
            Self::Line { .. } | Self::TooMany { .. } => "bad_reference",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Line {
    row: Map<String, Value>,
    out: Option<Map<String, Value>>,
    error: Option<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    kind: String,
}

/// The reference that lies beside an artifact: `churn.zip` has `churn.reference.jsonl`.
pub fn read_beside(artifact: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(beside(artifact)) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Where it lies.
pub(crate) fn beside(artifact: &Path) -> PathBuf {
    artifact.with_extension("reference.jsonl")
}

/// Checks a model's answers to the rows of `text`; says how many there were.
pub(crate) fn verify(
    model: &Arc<Model>,
    text: &[u8],
    origin: &str,
) -> Result<usize, Box<ReferenceError>> {
    let mut batch = Batch::new(Arc::clone(model), Options::default());
    let mut rows = 0;
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        rows += 1;
        if rows > ROWS_MAX {
            return Err(Box::new(ReferenceError::TooMany { origin: origin.to_owned() }));
        }
        let bad = |cause: String| {
            let origin = origin.to_owned();
            Box::new(ReferenceError::Line { origin, line: at + 1, cause })
        };
        let line: Line = serde_json::from_slice(line).map_err(|cause| bad(cause.to_string()))?;
        if line.out.is_some() == line.error.is_some() {
            return Err(bad("expected one of `out` and `error`".to_owned()));
        }
        batch.clear();
        push(&mut batch, &line.row).map_err(bad)?;
        batch.score();
        compare(&batch, &line).map_err(|Difference { key, found, expected }| {
            let (origin, line) = (origin.to_owned(), at + 1);
            Box::new(ReferenceError::Answer { origin, line, key, found, expected })
        })?;
    }
    Ok(rows)
}

fn push(batch: &mut Batch, row: &Map<String, Value>) -> Result<(), String> {
    fn cell(value: &Value) -> Option<Cell<'_>> {
        match value {
            Value::Null => Some(Cell::Absent),
            Value::Bool(value) => Some(Cell::Bool(*value)),
            Value::Number(number) => number.as_f64().map(Cell::Number),
            Value::String(text) => Some(Cell::Text(text)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }
    let model = Arc::clone(batch.model());
    let mut cells = Vec::new();
    if model.schema().is_open() {
        let mut words = Vec::new();
        for (name, value) in row {
            let cell = cell(value).ok_or_else(|| format!("`{name}` is no value"))?;
            words.push((name.as_str(), cell));
        }
        batch.push_words(&words);
        return Ok(());
    }
    for column in model.schema().columns() {
        let value = row.get(&column.name).unwrap_or(&Value::Null);
        cells.push(cell(value).ok_or_else(|| format!("`{}` is no value", column.name))?);
    }
    batch.push(&cells);
    Ok(())
}

/// What differs first.
struct Difference {
    key: String,
    found: String,
    expected: String,
}

fn compare(batch: &Batch, line: &Line) -> Result<(), Difference> {
    let differs = |key: &str, found: &Value, expected: &Value| Difference {
        key: key.to_owned(),
        found: found.to_string(),
        expected: expected.to_string(),
    };
    let found = match batch.output(0) {
        Ok(_) => show(batch),
        Err(refused) => {
            let kind = Value::from(refused.kind.as_str());
            let expected = line.error.as_ref().map_or(Value::Null, |e| e.kind.as_str().into());
            return if kind == expected { Ok(()) } else { Err(differs("error", &kind, &expected)) };
        }
    };
    let Some(out) = &line.out else {
        let expected = line.error.as_ref().map_or(Value::Null, |e| e.kind.as_str().into());
        return Err(differs("error", &Value::Null, &expected));
    };
    for (key, expected) in out {
        let found = match (key.as_str(), expected, found.get("p")) {
            ("p", Value::Object(_), Some(Value::Array(p))) => by_label(batch.model(), p),
            _ => found.get(key).cloned().unwrap_or(Value::Null),
        };
        if !is_close(&found, expected) {
            return Err(differs(key, &found, expected));
        }
    }
    Ok(())
}

/// Probabilities as the row protocols show them.
fn by_label(model: &Model, p: &[Value]) -> Value {
    let name = |(class, p): (usize, &Value)| {
        let label = model.labels().get(class).filter(|_| model.has_response_domain());
        (label.cloned().unwrap_or_else(|| format!("p{class}")), p.clone())
    };
    Value::Object(p.iter().enumerate().map(name).collect())
}

/// An answer in the words of JSONL.
fn show(batch: &Batch) -> Map<String, Value> {
    let value = |part| {
        let mut text = Vec::new();
        write_json_part(&mut text, batch, 0, part);
        serde_json::from_slice(&text).unwrap_or_default()
    };
    let parts = batch.model().parts(Options::default()).unwrap_or_default();
    parts.into_iter().map(|part| (part.key().to_owned(), value(part))).collect()
}

/// Whether two values are the same but for the last digits of their numbers.
fn is_close(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= ABSOLUTE + RELATIVE * b.abs(),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_close(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && b.iter().all(|(key, b)| a.get(key).is_some_and(|a| is_close(a, b)))
        }
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use stemson_mojo::{LoadOptions, Output};

    use super::*;

    fn from_corpus(case: &str) -> Arc<Model> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpora/mojo");
        let bytes = std::fs::read(format!("{folder}/{case}/model.zip")).expect(case);
        Arc::new(Model::load(&bytes, &LoadOptions::default()).expect(case))
    }

    /// What the check of one line says; empty if it has nothing to say.
    #[track_caller]
    fn check(case: &str, line: &str, words: &str) {
        let found = verify(&from_corpus(case), format!("\n{line}\n").as_bytes(), "r.jsonl");
        let found = found.map_or_else(|error| error.to_string(), |rows| format!("{rows} rows"));
        assert!(found.contains(words), "`{found}` instead of `{words}`");
    }

    #[test]
    fn answers_are_compared_key_by_key() {
        let model = from_corpus("gbm_gaussian");
        let mut batch = Batch::new(Arc::clone(&model), Options::default());
        batch.push(&vec![Cell::Absent; model.schema().columns().len()]);
        batch.score();
        let Ok(Output::Value(value)) = batch.output(0) else { panic!("a value") };
        check("gbm_gaussian", &format!("{{\"row\":{{}},\"out\":{{\"value\":{value}}}}}"), "1 rows");
        let near = value * (1.0 + 1e-8);
        check("gbm_gaussian", &format!("{{\"row\":{{}},\"out\":{{\"value\":{near}}}}}"), "1 rows");
        check(
            "gbm_gaussian",
            r#"{"row":{},"out":{"value":1e9}}"#,
            "r.jsonl line 2: the model answers",
        );
        check("gbm_bernoulli", r#"{"row":{},"out":{"label":"nobody"}}"#, "for `label`, expected");
        check("gbm_bernoulli", r#"{"row":{},"out":{"p":[0.5]}}"#, "for `p`, expected [0.5]");
        let labels = from_corpus("gbm_bernoulli").labels().to_vec();
        let p = format!("{{\"{}\":2,\"{}\":2}}", labels[1], labels[0]);
        let line = format!("{{\"row\":{{}},\"out\":{{\"p\":{p}}}}}");
        check("gbm_bernoulli", &line, &format!("\"{}\":0.", labels[0]));
        check("gbm_bernoulli", r#"{"row":{},"out":{"color":1}}"#, "answers null for `color`");
    }

    #[test]
    fn models_of_all_categories_have_references() {
        for (case, key, wrong) in [
            ("isofor_flag", "is_anomaly", "7"),
            ("extisofor", "score", "99.5"),
            ("kmeans_mixed", "cluster", "99"),
            ("pca_standardize", "dimensions", "[9.5]"),
            ("coxph_plain", "value", "99.5"),
            ("uplift", "uplift", "[9.5]"),
        ] {
            let model = from_corpus(case);
            let mut batch = Batch::new(Arc::clone(&model), Options::default());
            batch.push(&vec![Cell::Absent; model.schema().columns().len()]);
            batch.score();
            let out = Value::Object(show(&batch));
            assert!(out.get(key).is_some_and(|value| !value.is_null()), "{case}: {out}");
            check(case, &format!("{{\"row\":{{}},\"out\":{out}}}"), "1 rows");
            let line = format!("{{\"row\":{{}},\"out\":{{\"{key}\":{wrong}}}}}");
            check(case, &line, &format!("for `{key}`, expected {wrong}"));
        }
    }

    #[test]
    fn what_is_no_line_is_named() {
        check("gbm_gaussian", "{", "r.jsonl line 2: EOF");
        check("gbm_gaussian", r#"{"row":{}}"#, "expected one of `out` and `error`");
        check("gbm_gaussian", r#"{"row":1,"out":{}}"#, "line 2: invalid type");
        let column = &from_corpus("gbm_gaussian").schema().columns()[0].name.clone();
        let line = format!("{{\"row\":{{\"{column}\":[1]}},\"out\":{{}}}}");
        check("gbm_gaussian", &line, "is no value");
        check("gbm_gaussian", &"{\"row\":{},\"out\":{}}\n".repeat(ROWS_MAX + 1), "more than 10000");
    }
}
