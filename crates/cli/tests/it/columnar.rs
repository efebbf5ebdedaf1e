//! Parquet and Arrow of pyarrow, pandas and polars, in and out.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{Folder, case, command, stemson};

/// `tests/apps/columnar.py` in the environment that `cargo xtask test` makes.
fn columnar(word: &str, path: &str) -> String {
    let mut python = Command::new(crate::python());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/columnar.py");
    let run = python.arg(script).args([word, path]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Every type, codec and encoding that they write: the answers of the same rows in CSV.
#[test]
fn files_of_other_writers() {
    let folder = Folder::new();
    columnar("write", &folder.path(""));
    let model = case("gbm_bernoulli", "model.zip");
    let mut typed = folder.names();
    typed.retain(|name| Path::new(name).extension() != Some("csv".as_ref()));
    assert!(typed.len() > 100, "{typed:?}");
    let beside = |name: &String| format!("{}.csv", name.rsplit_once('.').unwrap().0);
    let plain: Vec<String> = typed.iter().map(beside).collect();
    // One run each way for all of them: each is 300 rows.
    let score = |names: &[String]| {
        let mut arguments = vec!["score".to_owned(), model.clone(), "--keep".into(), "id".into()];
        for name in names {
            arguments.extend(["--input".to_owned(), folder.path(name)]);
        }
        let run = stemson(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    };
    let (expected, found) = (score(&plain), score(&typed));
    assert_eq!(found.lines().count(), 1 + 300 * typed.len());
    let lines = expected.lines().skip(1).zip(found.lines().skip(1));
    for (row, (expected, found)) in lines.enumerate() {
        assert_eq!(found, expected, "row {} of {}", row % 300, typed[row / 300]);
    }
}

/// Both libraries read what is written, types and bits.
#[test]
fn others_read_what_is_written() {
    let folder = Folder::new();
    let (model, input) = (case("gbm_bernoulli", "model.zip"), case("gbm_bernoulli", "input.csv"));
    let score = |output: &str| {
        let path = folder.path(output);
        let arguments = ["--keep", "x1", "--prefix", "it_", "--strict", "--output", &path];
        let mut run = command();
        run.args(["score", &model, "--input", &input, "--contributions"]).args(arguments);
        run.args(["--leaf-assignment", "ids"]).output().unwrap();
        path
    };
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let csv = fs::read_to_string(score("a.csv")).unwrap();
    let first = lines(&columnar("read", &score("a.parquet")));
    let rows = first.len() / 2;
    assert_eq!(rows, csv.lines().count());
    assert_eq!(first[..rows], first[rows..], "pyarrow and polars");
    let header = first[0].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    assert_eq!(header.collect::<Vec<_>>().join(","), csv.lines().next().unwrap());
    let mut refused = 0;
    for (found, line) in first[1..rows].iter().zip(csv.lines().skip(1)) {
        let cells: Vec<&str> = line.split(',').collect();
        if found[0].is_null() {
            refused += 1;
            let error = found.as_array().unwrap().last().unwrap().as_str().unwrap();
            assert!(line.starts_with(",,,") && line.contains(error.split('"').next().unwrap()));
            continue;
        }
        assert_eq!(found[0], cells[0]);
        let p1: f64 = cells[2].parse().unwrap();
        assert_eq!(found[2], format!("{:016x}", p1.to_bits()), "{line}");
    }
    assert!(refused > 0);
    for output in ["a.arrow", "a.arrows"] {
        assert!(lines(&columnar("read", &score(output))) == first, "{output}");
    }
}
