//! Every case of `tests/corpora/mojo` through `stemson score`, lenient and strict.
//!
//! A case is a folder; its README says what the files hold. The twin of this test in
//! `crates/mojo` judges the library; here the way through files and flags is judged as well, and
//! how near an answer must be is taken from the training parameters, not from the product.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Run, corpus, stemson};

/// Algorithms that this version scores.
const ALGORITHMS: [&str; 4] = ["gbm", "drf", "xgboost", "glm"];

/// Refused without `--genmodel-quirks`, judged with it.
const QUIRKS: [&str; 4] =
    ["xgb_enc_binary", "xgb_enc_enumlimited", "xgb_enc_labelencoder", "xgb_enc_onehotexplicit"];

#[derive(Default)]
struct Tally {
    cases: usize,
    exact: usize,
    near: usize,
    /// Differences of nearly equal numbers, such as `1 - p1`, that magnify the last place.
    magnified: Vec<String>,
    refused: usize,
}

#[test]
fn every_answer_is_genmodels() {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut quirks = 0;
    for folder in folders() {
        let expected = lines(&fs::read_to_string(folder.join("expected.jsonl")).unwrap());
        let algorithm = expected[0]["algo"].as_str().unwrap();
        if !ALGORITHMS.contains(&algorithm) {
            continue;
        }
        let tally = tallies.entry(algorithm.to_owned()).or_default();
        tally.cases += 1;
        let id = folder.file_name().unwrap().to_str().unwrap();
        let quirk = QUIRKS.contains(&id);
        quirks += usize::from(quirk);
        for strict in [false, true] {
            let mut flags = Vec::new();
            if quirk {
                check_refused(&score(&folder, &flags), id);
                flags.push("--genmodel-quirks");
            }
            if strict {
                flags.push("--strict");
            }
            let mode = if strict { "strict" } else { "lenient" };
            let case = Case { id, mode, ulps: ulps(&folder, &expected[0]) };
            case.judge(&score(&folder, &flags), &answers(&expected, mode), tally, &mut wrong);
        }
    }
    println!("algorithm cases exact near magnified refused");
    for (algorithm, Tally { cases, exact, near, magnified, refused }) in &tallies {
        println!("{algorithm} {cases} {exact} {near} {} {refused}", magnified.len());
        for place in magnified {
            println!("    {place}");
        }
    }
    assert_eq!(tallies.len(), ALGORITHMS.len(), "every algorithm has a case");
    assert_eq!(quirks, QUIRKS.len());
    let first: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} wrong answers, the first:\n{}", wrong.len(), first.join("\n"));
}

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> =
        entries.filter(|path| path.join("model.zip").exists()).collect();
    folders.sort();
    folders
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn score(folder: &Path, flags: &[&str]) -> Run {
    let (model, input) = (folder.join("model.zip"), folder.join("input.csv"));
    let (model, input) = (model.to_str().unwrap(), input.to_str().unwrap());
    let mut arguments = vec!["score", model, "--input", input, "--format", "jsonl"];
    arguments.extend(flags);
    stemson(&arguments)
}

fn check_refused(run: &Run, id: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{id}: {}", run.stderr);
    assert!(run.stderr.contains("--genmodel-quirks"), "{id}: {}", run.stderr);
}

/// By row: what genmodel says. A strict line stands only where it differs from the lenient one.
fn answers<'e>(expected: &'e [Value], mode: &str) -> Vec<&'e Value> {
    let mut by_row: BTreeMap<u64, &Value> = BTreeMap::new();
    for wanted in ["lenient", mode] {
        // Typed rows have no number here.
        for line in expected.iter().filter(|line| line["cfg"] == wanted) {
            if let Some(row) = line["row"].as_u64() {
                by_row.insert(row, line);
            }
        }
    }
    let rows = by_row.len() as u64;
    assert!(by_row.keys().copied().eq(0..rows), "rows are counted from 0");
    by_row.into_values().collect()
}

/// How far an answer may be away: 0 but where `exp`, `log` or `pow` is the last step.
fn ulps(folder: &Path, head: &Value) -> u64 {
    let case: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    let parameter = |name: &str| case["params"][name].as_str();
    let by_name = |name| matches!(name, None | Some("gaussian" | "laplace" | "quantile" | "huber"));
    match (head["algo"].as_str().unwrap(), head["category"].as_str().unwrap()) {
        ("drf" | "xgboost", _) => 0,
        (_, "Multinomial" | "Ordinal") => 4,
        ("gbm", "Regression") if by_name(parameter("distribution")) => 0,
        ("glm", "Regression") if by_name(parameter("family")) => 0,
        ("glm", _) if parameter("link") == Some("inverse") => 0,
        _ => 2,
    }
}

struct Case<'a> {
    id: &'a str,
    mode: &'a str,
    ulps: u64,
}

impl Case<'_> {
    fn judge(&self, run: &Run, expected: &[&Value], tally: &mut Tally, wrong: &mut Vec<String>) {
        let place = format!("{} {}", self.id, self.mode);
        let found = lines(&run.stdout);
        if found.len() != expected.len() {
            let (n, m) = (found.len(), expected.len());
            wrong.push(format!("{place}: {n} rows, expected {m}: {}", run.stderr));
            return;
        }
        let refused = expected.iter().filter(|line| !line["error"].is_null()).count();
        if run.code != i32::from(refused > 0) {
            wrong.push(format!("{place}: exit code {}, {refused} rows to refuse", run.code));
        }
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            let place = format!("{place} row {row}");
            if found["row"] != row {
                wrong.push(format!("{place}: called {}", found["row"]));
            }
            let judged = match kind(&expected["error"]) {
                Some(kind) if found["error"]["kind"] == kind => {
                    tally.refused += 1;
                    Ok(())
                }
                Some(kind) => Err(format!("{found}, expected an error of kind {kind}")),
                None => self.output(&place, &found["out"], &expected["out"], tally),
            };
            wrong.extend(judged.err().map(|what| format!("{place}: {what}")));
        }
    }

    fn output(
        &self,
        place: &str,
        found: &Value,
        expected: &Value,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let (Some(found), Some(expected)) = (found.as_object(), expected.as_object()) else {
            return Err(format!("{found}, expected {expected}"));
        };
        if !found.keys().eq(expected.keys()) {
            return Err(format!("keys {:?}", found.keys().collect::<Vec<_>>()));
        }
        for (key, expected) in expected {
            let found = &found[key];
            let (ulps, found, expected) = match (key.as_str(), found, expected) {
                ("label" | "index", found, expected) if found == expected => continue,
                ("calibrated", Value::Array(found), Value::Array(expected)) => (4, found, expected),
                ("p", Value::Array(found), Value::Array(expected)) => (self.ulps, found, expected),
                ("value", found, expected) => {
                    (self.ulps, &vec![found.clone()], &vec![expected.clone()])
                }
                _ => return Err(format!("{key} is {found}, expected {expected}")),
            };
            if found.len() != expected.len() {
                return Err(format!("{key} has {} numbers", found.len()));
            }
            for (found, expected) in found.iter().zip(expected) {
                let (a, b) = (number(found), number(expected));
                match distance(a, b) {
                    0 => tally.exact += 1,
                    d if d <= ulps => tally.near += 1,
                    d if ulps > 0 && (a - b).abs() <= 1e-12 * b.abs() => {
                        tally.magnified.push(format!("{place}: {key} by {d} ulp"));
                    }
                    d => return Err(format!("{key} {found} is {d} ulp from {expected}")),
                }
            }
        }
        Ok(())
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

/// Numbers that JSON cannot say are text, in the one spelling that the surface names.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => {
            let words = HashMap::from([
                ("NaN", f64::NAN),
                ("Infinity", f64::INFINITY),
                ("-Infinity", f64::NEG_INFINITY),
            ]);
            *words.get(text.as_str()).unwrap_or_else(|| panic!("{text} is no number"))
        }
        value => value.as_f64().unwrap_or_else(|| panic!("{value} is no number")),
    }
}

/// Our word for genmodel's exception.
fn kind(error: &Value) -> Option<&'static str> {
    Some(match error.as_object()?["type"].as_str().unwrap() {
        "PredictUnknownCategoricalLevelException" => "unknown_level",
        "PredictNumberFormatException" => "invalid_number",
        "PredictUnknownTypeException" | "NullPointerException" => "unknown_type",
        _ => "model",
    })
}
