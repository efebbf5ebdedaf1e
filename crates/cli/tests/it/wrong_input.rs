//! Wrong input: a named error with what to do, the right exit code, nothing on stdout.

use std::fs;

use crate::{Folder, case, stemson};

/// Runs and compares: exit code 2, nothing on stdout, words on stderr, one `error:`, no panic.
fn check(arguments: &[&str], words: &[&str]) {
    let run = stemson(arguments);
    let shown = format!("{arguments:?}: {} {}", run.code, run.stderr);
    assert_eq!(run.code, 2, "{shown}");
    assert_eq!(run.stdout, "", "{shown}");
    assert!(run.stderr.contains("error: "), "{shown}");
    assert!(!run.stderr.contains("panicked"), "{shown}");
    for words in words {
        assert!(run.stderr.contains(words), "no `{words}` in {shown}");
    }
}

#[test]
fn what_a_model_does_not_offer() {
    for (id, flags, reason) in [
        ("kmeans_mixed", &["--contributions"][..], "no contributions: contributions are for gbm"),
        ("gbm_multi", &["--contributions"], "for one margin, here are 4"),
        ("glm_multinomial", &["--contributions"], "a multinomial GLM has 4, one per class"),
        ("glm_ordinal", &["--contributions"], "one per threshold"),
        ("glm_binomial", &["--staged"], "no staged answers: a model of glm has no trees"),
        ("xgb_bernoulli", &["--staged"], "XGBoost has no staged answers"),
        ("gbm_unused_class", &["--leaf-assignment", "ids"], "a class has no trees"),
        ("gbm_bernoulli", &["--distances"], "distances are for kmeans, not gbm"),
        ("gbm_bernoulli", &["--calibrated"], "trained without `calibrate_model`"),
    ] {
        let (model, input) = (case(id, "model.zip"), case(id, "input.csv"));
        for format in ["csv", "jsonl"] {
            let mut arguments = vec!["score", &model, "--input", &input, "--format", format];
            arguments.extend(flags);
            check(&arguments, &["the model offers no ", reason, "hint: "]);
        }
    }
}

#[test]
fn files_that_are_no_model() {
    let folder = Folder::new();
    let good = fs::read(case("gbm_bernoulli", "model.zip")).unwrap();
    let empty = folder.write("empty.zip", "");
    let text = folder.write("text.zip", "x1,x2\n1,2\n");
    let cut = folder.write("cut.zip", &good[..good.len() / 2]);
    let input = case("gbm_bernoulli", "input.csv");
    let table: [(&str, &[&str]); 5] = [
        (folder.0.path().to_str().unwrap(), &["is a folder", "hint: "]),
        (&folder.path("nowhere.zip"), &["cannot read", "nowhere.zip", "caused by: ", "hint: "]),
        (&empty, &["empty.zip: the file is empty", "copy it again"]),
        (&text, &["text.zip: not a zip archive"]),
        (&cut, &["cut.zip: ", "copy it again"]),
    ];
    for (model, words) in table {
        check(&["inspect", model], words);
        check(&["inspect", model, "--format", "json"], words);
        check(&["score", model, "--input", &input], words);
    }
}

#[test]
fn files_that_are_no_rows() {
    let folder = Folder::new();
    let model = case("gbm_bernoulli", "model.zip");
    let score = |name: &str, content: &[u8], flags: &[&str], words: &[&str]| {
        let input = folder.write(name, content);
        let output = folder.path("out.csv");
        let mut arguments = vec!["score", &model, "--input", &input, "--output", &output];
        arguments.extend(flags);
        check(&arguments, words);
        assert_eq!(folder.names(), [name], "nothing is left");
        // Nor on standard output.
        check(&[&["score", &model, "--input", &input][..], flags].concat(), words);
        fs::remove_file(input).unwrap();
    };
    score("a.csv", b"x1,c3\n1\n", &[], &["a.csv, line 2: 1 fields, expected 2", "--delimiter"]);
    score("a.csv", b"x1,c3\n1,2,3\n", &[], &["a.csv, line 2: 3 fields, expected 2"]);
    score("a.csv", b"x1,x1\n1,2\n", &[], &["names `x1` twice", "hint: "]);
    score("a.csv", b"x1,c3\n1,\"red\n", &[], &["line 2: a quote is opened", "hint: "]);
    score("a.csv", b"x1,c3\n1,\xFF\n", &[], &["line 2: byte 8 is not UTF-8", "iconv"]);
    score("a.csv", b"", &[], &["is empty, expected a header line", "--no-header"]);
    score("a.csv", b"1,2\n", &["--no-header"], &["line 1: 2 fields, expected 12"]);
    score("a.csv", b"x1\n1\n", &["--strict"], &["has no column", "`x2`", "inspect"]);
    score("a.csv", b"x1\n1\n", &["--keep", "id"], &["no column `id` to keep"]);
    score("a.csv", b"x1,predict\n1,2\n", &["--keep", "predict"], &["two columns", "--prefix"]);
    score("a.csv", b"x1\n1\n", &["--calibrated"], &["no calibrated", "calibrate_model"]);
    score("a.csv", b"x1\n1\n", &["--offset-column", "x1"], &["without an offset"]);
    score("a.jsonl", b"{\"x1\":[1]}\n", &[], &["line 1, column 7: a nested value"]);
    score("a.jsonl", b"x1,c3\n", &[], &["line 1, column 1: ", "hint: "]);
    score("a.csv.gz", b"x1,c3\n", &[], &["cannot read ", "caused by: ", "packed as its name says"]);
    score("a.xlsx", b"PK", &[], &["does not tell the format", "--input-format"]);
    score("a.parquet", b"PAR1", &[], &["a.parquet cannot be read as Parquet: ", "copied whole"]);
    score("a.arrow", b"x1,c3\n1,red\n", &[], &["a.arrow cannot be read as Arrow IPC: "]);
    score("a.feather", b"FEA1....", &[], &["Feather of version 1", "version 2"]);
}

#[test]
fn places_that_are_not_there() {
    let folder = Folder::new();
    let model = case("gbm_bernoulli", "model.zip");
    let input = folder.write("in.csv", "x1\n1\n");
    let inside = folder.path("none/out.csv");
    let here = folder.0.path().to_str().unwrap();
    check(&["score", &model, "--input", here], &["is a folder", "/*.csv'"]);
    check(&["score", &model, "--input", &folder.path("no.csv")], &["cannot open", "no.csv"]);
    check(&["score", &model, "--input", &folder.path("*.jsonl")], &["no file has such a name"]);
    check(&["score", &model, "--input", &folder.path("*/a.csv")], &["not of folders", "shell"]);
    check(
        &["score", &model, "--input", &input, "--output", &inside],
        &["none is no folder: make it"],
    );
    check(&["score", &model, "--input", &input, "--output", here], &["cannot write"]);
    check(&["score", &model, "--input", "-", "-"], &["`--input -` stands twice"]);
    check(&["validate-mojo-artifact", "--mojo", here], &["is a folder", "hint: "]);
    check(
        &["validate-mojo-artifact", "--mojo", &folder.path("no.zip")],
        &["no.zip", "download_mojo"],
    );
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = Folder::new();
    let (input, model) = (folder.write("in.csv", "x1\n1\n"), folder.path("m.zip"));
    fs::copy(case("gbm_bernoulli", "model.zip"), &model).unwrap();
    let pattern = folder.path("*.csv");
    let other_name = folder.path("./in.csv");
    for (input, output) in [(&input, &input), (&pattern, &other_name), (&input, &model)] {
        let words = [output.as_str(), "would be written over", "hint: "];
        check(&["score", &model, "--input", input, "--output", output], &words);
    }
    assert_eq!(fs::read_to_string(&input).unwrap(), "x1\n1\n");
    assert_eq!(folder.names().len(), 2, "nothing else is there");
}

#[test]
fn a_file_with_none_of_the_columns_is_asked_about() {
    let folder = Folder::new();
    let (model, output) = (case("gbm_bernoulli", "model.zip"), folder.path("out.csv"));
    for (text, is_asked) in [("x1;x2\n1;2\n", true), ("x1\n1\n", false)] {
        let input = folder.write("in.csv", text);
        let run = stemson(&["score", &model, "--input", &input, "--output", &output]);
        assert_eq!(
            (run.code, run.stderr.contains("(`--delimiter`)")),
            (0, is_asked),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn wrong_usage() {
    let model = case("gbm_bernoulli", "model.zip");
    check(&["score", &model], &["--input"]);
    check(&["score", &model, "--input", "a.csv", "--threads", "0"], &["--threads"]);
    check(&["score", &model, "--input", "a.csv", "--delimiter", "||"], &["one ASCII character"]);
    check(&["score", &model, "--input", "a.csv", "--format", "xml"], &["jsonl"]);
    check(&["inspct", &model], &["inspect"]);
}
