//! Every case of `tests/corpora/mojo` through `stemson score`, lenient and strict.
//!
//! The lenient run asks for all explanations that genmodel was asked for, leaves by their paths; the
//! strict one for leaves by their numbers.
//!
//! A case is a folder; its README says what the files hold. The twin of this test in
//! `crates/mojo` judges the library; here the way through files and flags is judged as well, and
//! how near an answer must be is taken from the training parameters, not from the product.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Run, corpus, stemson};

/// Cases of the corpus.
const CASES: usize = 203;

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
        let expected = fs::File::open(folder.join("expected.jsonl.gz")).unwrap();
        let expected = io::read_to_string(flate2::read::GzDecoder::new(expected)).unwrap();
        let expected = lines(&expected);
        let algorithm = expected[0]["algo"].as_str().unwrap();
        let tally = tallies.entry(algorithm.to_owned()).or_default();
        tally.cases += 1;
        let id = folder.file_name().unwrap().to_str().unwrap();
        let quirk = QUIRKS.contains(&id);
        quirks += usize::from(quirk);
        for strict in [false, true] {
            // genmodel's GLRM was asked once: its answers depend on how many rows came before.
            if strict && algorithm == "glrm" {
                continue;
            }
            let mut flags = explanations(&expected, strict);
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
    assert_eq!(tallies.values().map(|tally| tally.cases).sum::<usize>(), CASES);
    assert_eq!(quirks, QUIRKS.len());
    let first: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} wrong answers, the first:\n{}", wrong.len(), first.join("\n"));
}

/// What genmodel was asked to explain, as flags.
fn explanations(expected: &[Value], strict: bool) -> Vec<&'static str> {
    let has = |key: &str| expected.iter().any(|line| !line[key].is_null());
    let mut flags = Vec::new();
    if has("contributions") {
        flags.push("--contributions");
    }
    if has("staged") {
        flags.push("--staged");
    }
    if has("distances") {
        flags.push("--distances");
    }
    match strict {
        false if has("leaf_paths") => flags.extend(["--leaf-assignment", "paths"]),
        true if has("leaf_ids") => flags.extend(["--leaf-assignment", "ids"]),
        _ => {}
    }
    flags
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
        ("drf" | "xgboost" | "isolationforest" | "upliftdrf" | "coxph" | "kmeans", _) => 0,
        ("pca" | "isotonicregression" | "word2vec", _) => 0,
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
                None => self.answer(&place, found, expected, tally),
            };
            wrong.extend(judged.err().map(|what| format!("{place}: {what}")));
        }
    }

    /// The prediction, and of the explanations those that stand on both sides.
    fn answer(
        &self,
        place: &str,
        found: &Value,
        expected: &Value,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let mut out = found["out"].clone();
        if let Some(row) = out.as_object_mut().filter(|_| self.id.starts_with("glrm")) {
            // genmodel was not asked for it.
            row.remove("reconstructed");
        }
        self.compare(place, "out", &out, &expected["out"], tally)?;
        for key in ["contributions", "staged", "distances", "leaf_paths", "leaf_ids"] {
            let leaves = if self.mode == "strict" { "leaf_ids" } else { "leaf_paths" };
            if expected[key].is_null() || (key.starts_with("leaf") && key != leaves) {
                continue;
            }
            self.compare(place, key, &found[key], &expected[key], tally)?;
        }
        Ok(())
    }

    fn compare(
        &self,
        place: &str,
        what: &str,
        found: &Value,
        expected: &Value,
        tally: &mut Tally,
    ) -> Result<(), String> {
        match (found, expected) {
            (Value::Object(found), Value::Object(expected)) => {
                if !found.keys().eq(expected.keys()) {
                    return Err(format!("{what} has {:?}", found.keys().collect::<Vec<_>>()));
                }
                let mut both = found.iter().zip(expected.values());
                both.try_for_each(|((key, found), expected)| {
                    self.compare(place, key, found, expected, tally)
                })
            }
            (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
                let mut both = found.iter().zip(expected);
                both.try_for_each(|(found, expected)| {
                    self.compare(place, what, found, expected, tally)
                })
            }
            _ if found == expected => {
                tally.exact += usize::from(found.is_number());
                Ok(())
            }
            _ => match (number(found), number(expected)) {
                (Some(a), Some(b)) => self.near(place, what, a, b, tally),
                _ => Err(format!("{what} is {found}, expected {expected}")),
            },
        }
    }

    fn near(
        &self,
        place: &str,
        what: &str,
        found: f64,
        expected: f64,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let ulps = match what {
            "calibrated" => 4,
            "contributions" | "distances" => 0,
            _ => self.ulps,
        };
        match distance(found, expected) {
            0 => tally.exact += 1,
            d if d <= ulps => tally.near += 1,
            d if ulps > 0 && (found - expected).abs() <= 1e-12 * expected.abs() => {
                tally.magnified.push(format!("{place}: {what} by {d} ulp"));
            }
            d => return Err(format!("{what} {found} is {d} ulp from {expected}")),
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
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// Our word for genmodel's exception.
fn kind(error: &Value) -> Option<&'static str> {
    Some(match error.as_object()?["type"].as_str().unwrap() {
        "PredictUnknownCategoricalLevelException" => "unknown_level",
        // GAM parses its columns a second time.
        "PredictNumberFormatException" | "NumberFormatException" => "invalid_number",
        "PredictUnknownTypeException" | "NullPointerException" => "unknown_type",
        _ => "model",
    })
}
