//! Every case of `tests/corpora/mojo` against the answers of h2o-genmodel.
//!
//! A case is a folder; its README says what the files hold. Answers are equal bit for bit, or,
//! where `exp`, `log` or `pow` is the last step, within a few units in the last place. Everything
//! else is a failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use stemson_mojo::{Batch, Category, Cell, LoadOptions, Model, Options, Output, RowErrorKind};

/// Algorithms that this version scores.
const ALGORITHMS: [&str; 4] = ["gbm", "drf", "xgboost", "glm"];

#[derive(Default)]
struct Tally {
    cases: usize,
    exact: usize,
    near: usize,
    /// Differences of nearly equal numbers, such as `1 - p1`, that magnify the last place.
    magnified: Vec<String>,
    refused: usize,
}

/// A case under test: what was counted, what went wrong.
struct Case {
    id: String,
    model: Arc<Model>,
    tally: Tally,
    wrong: Vec<String>,
}

#[test]
fn every_answer_is_genmodels() {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut wrong = Vec::new();
    for folder in folders() {
        let expected = lines(&folder.join("expected.jsonl"));
        let algorithm = text(&expected[0], "algo");
        if !ALGORITHMS.contains(&algorithm) {
            continue;
        }
        let case = check(&folder, &expected);
        let tally = tallies.entry(algorithm.to_owned()).or_default();
        tally.cases += 1;
        tally.exact += case.tally.exact;
        tally.near += case.tally.near;
        tally.refused += case.tally.refused;
        tally.magnified.extend(case.tally.magnified);
        wrong.extend(case.wrong);
    }
    let mut report = String::from("algorithm cases exact near magnified refused\n");
    for (algorithm, Tally { cases, exact, near, magnified, refused }) in &tallies {
        let n = magnified.len();
        writeln!(report, "{algorithm} {cases} {exact} {near} {n} {refused}").unwrap();
        magnified.iter().for_each(|place| writeln!(report, "    {place}").unwrap());
    }
    println!("{report}");
    assert!(!tallies.is_empty(), "no case found");
    assert!(
        wrong.is_empty(),
        "{} wrong answers, the first:\n{}",
        wrong.len(),
        wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("model.zip").exists())
        .collect();
    folders.sort();
    folders
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

fn check(folder: &Path, expected: &[Value]) -> Case {
    let id = folder.file_name().unwrap().to_string_lossy().into_owned();
    let bytes = fs::read(folder.join("model.zip")).unwrap();
    let quirks = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
    let model = match Model::load(&bytes, &LoadOptions::default()) {
        Err(refused) if refused.kind() == "quirk" => Model::load(&bytes, &quirks).unwrap(),
        loaded => loaded.unwrap_or_else(|error| panic!("{id}: {error}")),
    };
    let mut case = Case { id, model: Arc::new(model), tally: Tally::default(), wrong: Vec::new() };
    case.describes_itself(&expected[0]);
    let rows = csv(&folder.join("input.csv"));
    for (strict, cfg) in [(false, "lenient"), (true, "strict")] {
        let mut batch = Batch::new(Arc::clone(&case.model), Options { strict });
        for row in &rows {
            batch.push(&text_cells(&case.model, row));
        }
        batch.score();
        for row in 0..rows.len() {
            let find =
                |cfg: &str| expected.iter().find(|line| line["row"] == row && line["cfg"] == cfg);
            // A strict line is only there where it differs.
            let line = find(cfg).or_else(|| find("lenient"));
            let line = line.unwrap_or_else(|| panic!("{}: no answer for row {row}", case.id));
            case.row(&format!("{cfg} row {row}"), &batch, row, line);
        }
    }
    let typed = lines(&folder.join("typed.jsonl"));
    for line in expected.iter().filter(|line| !line["typed"].is_null()) {
        let number = line["typed"].as_u64().unwrap();
        let mut batch = Batch::new(Arc::clone(&case.model), Options::default());
        batch.push(&typed_cells(&case.model, &typed[usize::try_from(number).unwrap()]));
        batch.score();
        case.row(&format!("typed row {number}"), &batch, 0, line);
    }
    case
}

impl Case {
    fn fail(&mut self, place: &str, what: &str) {
        self.wrong.push(format!("{}: {place}: {what}", self.id));
    }

    fn describes_itself(&mut self, head: &Value) {
        let model = Arc::clone(&self.model);
        let features: Vec<&str> =
            model.schema().columns().iter().map(|c| c.name.as_str()).collect();
        let mut facts = vec![
            ("algo", Value::from(model.algorithm())),
            ("category", model.category().as_str().into()),
            ("h2o_version", model.h2o_version().into()),
            ("mojo_version", model.mojo_version().parse::<f64>().unwrap().into()),
            ("output_names", model.output_columns().into()),
        ];
        if model.has_response_domain() {
            facts.push(("response_domain", model.labels().into()));
        }
        if let Some(threshold) = model.default_threshold() {
            facts.push(("default_threshold", threshold.into()));
        }
        if let Some(offset) = model.schema().offset() {
            facts.push(("offset", features[offset].into()));
        }
        for (key, found) in facts {
            if head[key] != found {
                self.fail("model", &format!("{key} is {found}, expected {}", head[key]));
            }
        }
    }

    fn row(&mut self, place: &str, batch: &Batch, row: usize, line: &Value) {
        let error = &line["error"];
        match (batch.output(row), error.is_null()) {
            (Err(found), false) => {
                if found.kind == kind(error) {
                    self.tally.refused += 1;
                } else {
                    self.fail(place, &format!("refused as {}, expected {error}", found.kind));
                }
            }
            (Ok(_), false) => self.fail(place, &format!("answered, expected {error}")),
            (Err(found), true) => self.fail(place, &format!("refused: {found}")),
            (Ok(output), true) => {
                self.numbers(place, "raw", batch.raw(row), &line["raw"], 0);
                let ulps = self.ulps();
                if let Value::Array(preds) = &line["preds"] {
                    let preds = Value::Array(preds[..batch.preds(row).len()].to_vec());
                    self.numbers(place, "preds", batch.preds(row), &preds, ulps);
                }
                self.output(place, &output, &line["out"], ulps);
            }
        }
    }

    /// How far an answer may be away where `exp` and its like stand at the end.
    fn ulps(&self) -> u64 {
        match self.model.category() {
            _ if self.model.is_exact() => 0,
            Category::Multinomial | Category::Ordinal => 4,
            _ => 2,
        }
    }

    fn output(&mut self, place: &str, output: &Output<'_>, out: &Value, ulps: u64) {
        match output {
            Output::Classes { index, p, calibrated } => {
                if out["index"] != *index || out["label"] != self.model.labels()[*index].as_str() {
                    self.fail(place, &format!("label {index}, expected {}", out["label"]));
                }
                self.numbers(place, "p", p, &out["p"], ulps);
                match (calibrated, &out["calibrated"]) {
                    (None, Value::Null) => {}
                    (Some(found), expected) => {
                        self.numbers(place, "calibrated", found, expected, 4);
                    }
                    (None, expected) => self.fail(place, &format!("not calibrated: {expected}")),
                }
            }
            Output::Value(value) => {
                let expected = Value::Array(vec![out["value"].clone()]);
                self.numbers(place, "value", &[*value], &expected, ulps);
            }
            other => self.fail(place, &format!("{other:?} is not compared")),
        }
    }

    fn numbers(&mut self, place: &str, what: &str, found: &[f64], expected: &Value, ulps: u64) {
        let expected: Vec<f64> = expected.as_array().into_iter().flatten().map(number).collect();
        if found.len() != expected.len() {
            self.fail(place, &format!("{what}: {} numbers for {}", found.len(), expected.len()));
            return;
        }
        for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            match distance(found, expected) {
                0 => self.tally.exact += 1,
                d if d <= ulps => self.tally.near += 1,
                d if ulps > 0 && (found - expected).abs() <= 1e-12 * expected.abs() => {
                    let place = format!("{}: {place}: {what}[{i}] by {d} ulp", self.id);
                    self.tally.magnified.push(place);
                }
                d => {
                    self.fail(place, &format!("{what}[{i}] {found} is {d} ulp from {expected}"));
                }
            }
        }
    }
}

/// Distance in units of the last place; NaN is 0 from NaN, and 0.0 is not -0.0.
fn distance(a: f64, b: f64) -> u64 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() { 0 } else { u64::MAX };
    }
    let order = |x: f64| {
        let bits = x.to_bits().cast_signed();
        i128::from(if bits < 0 { i64::MIN - bits - 1 } else { bits })
    };
    u64::try_from((order(a) - order(b)).abs()).unwrap_or(u64::MAX)
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => stemson_mojo::parse_double(text).unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn kind(error: &Value) -> RowErrorKind {
    match text(error, "type") {
        "PredictUnknownCategoricalLevelException" => RowErrorKind::UnknownLevel,
        "PredictNumberFormatException" => RowErrorKind::InvalidNumber,
        // A null in a typed row.
        "PredictUnknownTypeException" | "NullPointerException" => RowErrorKind::UnknownType,
        _ => RowErrorKind::Model,
    }
}

type TextRow = BTreeMap<String, String>;

/// An empty cell is absent.
fn text_cells<'a>(model: &Model, row: &'a TextRow) -> Vec<Cell<'a>> {
    let columns = model.schema().columns().iter();
    columns.map(|c| row.get(&c.name).map_or(Cell::Absent, |text| Cell::Text(text))).collect()
}

fn typed_cells<'a>(model: &Model, row: &'a Value) -> Vec<Cell<'a>> {
    let cell = |value: Option<&'a Value>| match value {
        None => Cell::Absent,
        Some(Value::Null) => Cell::Foreign("null"),
        Some(Value::String(text)) => Cell::Text(text),
        Some(Value::Number(number)) => Cell::Double(number.as_f64().unwrap()),
        Some(Value::Object(typed)) => match typed.get("f64") {
            Some(value) => Cell::Double(number(value)),
            None => Cell::Foreign("Integer"),
        },
        Some(other) => panic!("{other}"),
    };
    model.schema().columns().iter().map(|column| cell(row.get(&column.name))).collect()
}

/// RFC 4180 with LF or CRLF; a CR outside of quotes is no part of a cell.
fn csv(path: &Path) -> Vec<TextRow> {
    let text = fs::read_to_string(path).unwrap();
    let (mut rows, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            '\r' if !quoted => {}
            ',' | '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                if c == '\n' {
                    rows.push(std::mem::take(&mut record));
                }
            }
            c => cell.push(c),
        }
    }
    let header = rows.remove(0);
    let named = |row: Vec<String>| header.iter().cloned().zip(row);
    rows.into_iter().map(|row| named(row).filter(|(_, cell)| !cell.is_empty()).collect()).collect()
}
