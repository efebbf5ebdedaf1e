//! Every case of `tests/corpora/mojo` against the answers of h2o-genmodel.
//!
//! A case is a folder; its README says what the files hold. Answers are equal bit for bit, or,
//! where `exp`, `log` or `pow` is the last step, within a few units in the last place. Everything
//! else is a failure.

mod explained;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use stemson_mojo::{Batch, Category, Cell, LoadOptions, Model, Options, Output, RowErrorKind};

/// Algorithms that this version scores.
const ALGORITHMS: &[&str] = &[
    "gbm",
    "drf",
    "xgboost",
    "glm",
    "stackedensemble",
    "rulefit",
    "pipeline",
    "kmeans",
    "pca",
    "isotonicregression",
    "targetencoder",
    "glrm",
    "word2vec",
    "deeplearning",
    "gam",
    "coxph",
    "isolationforest",
    "extendedisolationforest",
    "upliftdrf",
];

#[derive(Default)]
struct Tally {
    cases: usize,
    exact: usize,
    near: usize,
    /// Differences of nearly equal numbers, such as `1 - p1`, that magnify the last place.
    magnified: Vec<String>,
    refused: usize,
    /// A fingerprint of the bits of every answer, in order.
    bits: u64,
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
        let expected = lines(&unzipped(&folder.join("expected.jsonl.gz")));
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
        tally.bits = tally.bits.wrapping_mul(FNV_PRIME) ^ case.tally.bits;
        wrong.extend(case.wrong);
    }
    let page = exactness_page(&tallies);
    println!("{page}");
    assert!(!tallies.is_empty(), "no case found");
    assert!(
        wrong.is_empty(),
        "{} wrong answers, the first:\n{}",
        wrong.len(),
        wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exactness.md");
    if std::env::var_os("STEMSON_GENERATE").is_some() {
        fs::write(&committed, &page).unwrap();
    }
    // The fingerprints in it make this the test that all platforms give the same bits.
    let stale = fs::read_to_string(&committed).unwrap_or_default() != page;
    assert!(!stale, "docs/exactness.md is not what this run shows: `cargo xtask generate`");
}

/// `docs/exactness.md`.
fn exactness_page(tallies: &BTreeMap<String, Tally>) -> String {
    let mut page = String::from(EXACTNESS_HEAD);
    let mut lists = String::new();
    for (algorithm, Tally { cases, exact, near, magnified, refused, bits }) in tallies {
        let n = magnified.len();
        writeln!(
            page,
            "| `{algorithm}` | {cases} | {exact} | {near} | {n} | {refused} | `{bits:016x}` |"
        )
        .unwrap();
        magnified.iter().for_each(|place| writeln!(lists, "- {place}").unwrap());
    }
    format!("{page}\n## Magnified\n\n{lists}")
}

const EXACTNESS_HEAD: &str = "\
# Exactness

Written by `cargo xtask generate` from the test that scores every case of `tests/corpora/mojo`: lenient, strict and typed rows,
raw rows, arrays, answers and explanations. It fails on any number that the [contract](decisions/0001-exactness-contract.md) does not
allow, and on any platform where the fingerprint of all answers' bits is another one.

- *exact*: the same bits as genmodel's.
- *near*: within 2 ulp, 4 for several classes or where `exp`, `log` or `pow` flows on into further arithmetic.
- *magnified*: a difference of nearly equal numbers, `1 - p1` above all, keeps the absolute error of what it was made from; within
  relative 1e-12, listed below.
- *refused*: rows that genmodel refuses too, for the same reason.

| algorithm | cases | exact | near | magnified | refused | fingerprint |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
";

const FNV_PRIME: u64 = 0x100_0000_01b3;

pub(super) fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("model.zip").exists())
        .collect();
    folders.sort();
    folders
}

fn unzipped(path: &Path) -> String {
    io::read_to_string(flate2::read::GzDecoder::new(fs::File::open(path).unwrap())).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

pub(super) fn load(folder: &Path) -> Arc<Model> {
    let bytes = fs::read(folder.join("model.zip")).unwrap();
    let quirks = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
    Arc::new(match Model::load(&bytes, &LoadOptions::default()) {
        Err(refused) if refused.kind() == "quirk" => Model::load(&bytes, &quirks).unwrap(),
        loaded => loaded.unwrap_or_else(|error| panic!("{}: {error}", folder.display())),
    })
}

fn check(folder: &Path, expected: &[Value]) -> Case {
    let id = folder.file_name().unwrap().to_string_lossy().into_owned();
    let mut case = Case { id, model: load(folder), tally: Tally::default(), wrong: Vec::new() };
    case.describes_itself(&expected[0]);
    let rows = csv(&folder.join("input.csv"));
    for (strict, cfg) in [(false, "lenient"), (true, "strict")] {
        // GLRM's answers are for one pass over the rows.
        if strict && case.model.algorithm() == "glrm" {
            continue;
        }
        let options = Options { strict, distances: true, ..Options::default() };
        let mut batch = Batch::new(Arc::clone(&case.model), options);
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
    case.explanations(&rows, expected);
    let typed = lines(&fs::read_to_string(folder.join("typed.jsonl")).unwrap());
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
        ];
        // genmodel has no names for target encodings and word vectors.
        if !head["output_names"].is_null() {
            facts.push(("output_names", model.output_columns().into()));
        }
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
                if !line["distances"].is_null() {
                    let distances = batch.distances(row).unwrap_or_default();
                    self.numbers(place, "distances", distances, &line["distances"], 0);
                }
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
            Output::Anomaly { is_anomaly, score, normalized } => {
                if out["is_anomaly"] != Value::from(*is_anomaly) {
                    let expected = &out["is_anomaly"];
                    self.fail(place, &format!("anomaly {is_anomaly:?}, expected {expected}"));
                }
                let expected = Value::Array(vec![out["score"].clone(), out["normalized"].clone()]);
                self.numbers(place, "anomaly", &[*score, *normalized], &expected, ulps);
            }
            Output::Uplift(p) => self.numbers(place, "uplift", p, &out["uplift"], ulps),
            Output::Cluster(cluster) => {
                if out["cluster"] != *cluster {
                    self.fail(place, &format!("cluster {cluster}, expected {}", out["cluster"]));
                }
            }
            Output::Dimensions { dimensions, reconstructed: None } => {
                self.numbers(place, "dimensions", dimensions, &out["dimensions"], ulps);
            }
            Output::Reconstruction { original, reconstructed, mse } => {
                self.numbers(place, "original", original, &out["original"], 0);
                self.numbers(place, "reconstructed", reconstructed, &out["reconstructed"], ulps);
                let expected = Value::Array(vec![out["mse"].clone()]);
                self.numbers(place, "mse", &[*mse], &expected, ulps);
            }
            Output::Transformations(values) => {
                self.numbers(place, "transformations", values, &out["transformations"], ulps);
            }
            Output::Embeddings { vectors, average } => {
                let wide = |floats: &[f32]| floats.iter().map(|&x| x.into()).collect::<Vec<f64>>();
                self.numbers(place, "average", &wide(average), &floats(&out["average"]), 0);
                let expected: BTreeMap<_, _> =
                    out["embeddings"].as_object().unwrap().iter().collect();
                let vectors = vectors.chunks_exact(average.len()).filter(|v| !v[0].is_nan());
                let vectors: Vec<Vec<f64>> = vectors.map(wide).collect();
                if vectors.len() != expected.len() {
                    let what = format!("{} vectors for {}", vectors.len(), expected.len());
                    self.fail(place, &what);
                }
                for (found, (column, expected)) in vectors.iter().zip(expected) {
                    self.numbers(place, column, found, &floats(expected), 0);
                }
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
            // NaNs are one: their bits may differ between processors.
            let bits = if found.is_nan() { f64::NAN.to_bits() } else { found.to_bits() };
            self.tally.bits = (self.tally.bits ^ bits).wrapping_mul(FNV_PRIME);
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

/// The numbers of floats that are written in their own shortest form.
fn floats(values: &Value) -> Value {
    let float = |value: &Value| match value.as_f64() {
        Some(x) => Value::from(f64::from(x as f32)),
        None => value.clone(),
    };
    values.as_array().into_iter().flatten().map(float).collect()
}

fn kind(error: &Value) -> RowErrorKind {
    match text(error, "type") {
        "PredictUnknownCategoricalLevelException" => RowErrorKind::UnknownLevel,
        // GAM parses its columns a second time.
        "PredictNumberFormatException" | "NumberFormatException" => RowErrorKind::InvalidNumber,
        // A null in a typed row.
        "PredictUnknownTypeException" | "NullPointerException" | "ClassCastException" => {
            RowErrorKind::UnknownType
        }
        _ => RowErrorKind::Model,
    }
}

pub(super) type TextRow = BTreeMap<String, String>;

/// An empty cell is absent.
pub(super) fn text_cells<'a>(model: &Model, row: &'a TextRow) -> Vec<Cell<'a>> {
    if model.schema().is_open() {
        return row.values().map(|text| Cell::Text(text)).collect();
    }
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
    if model.schema().is_open() {
        let row: BTreeMap<_, _> = row.as_object().unwrap().iter().collect();
        return row.into_values().map(|value| cell(Some(value))).collect();
    }
    model.schema().columns().iter().map(|column| cell(row.get(&column.name))).collect()
}

/// RFC 4180 with LF or CRLF; a CR outside of quotes is no part of a cell.
pub(super) fn csv(path: &Path) -> Vec<TextRow> {
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
