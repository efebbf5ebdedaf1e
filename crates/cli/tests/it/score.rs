//! `stemson score`: flags, files, summaries.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::{Folder, case, command, stemson, stemson_fed};

fn model() -> String {
    case("gbm_bernoulli", "model.zip")
}

const ROWS: &str = "x1,c3,id\n1,red,a\noops,red,b\n2,purple,c\n";

#[test]
fn a_file_appears_whole_with_its_summary() {
    let folder = Folder::new();
    let (input, output) = (folder.write("in.csv", ROWS), folder.path("out.csv"));
    let summary = folder.path("summary.json");
    let run = stemson(&[
        "score",
        &model(),
        "--input",
        &input,
        "--output",
        &output,
        "--summary",
        &summary,
        "--keep",
        "id",
        "--strict",
        "--prefix",
        "m_",
        "--genmodel-quirks",
    ]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert_eq!(folder.names(), ["in.csv", "out.csv", "summary.json"]);
    let out = fs::read_to_string(&output).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "m_predict,m_no,m_yes,id,error");
    assert!(
        lines[2].starts_with(",,,b,\"invalid_number: ")
            || lines[2].starts_with(",,,b,invalid_number: "),
        "{out}"
    );
    let summary: Value = serde_json::from_str(&fs::read_to_string(&summary).unwrap()).unwrap();
    assert_eq!(summary["rows"], 3);
    assert_eq!(summary["refused"], 2);
    assert_eq!(summary["refused_by_kind"]["unknown_level"], 1);
    assert_eq!(summary["refusals"][0]["row"], 1);
    assert_eq!(summary["refusals"][0]["line"], 3);
    assert_eq!(summary["refusals"][0]["kind"], "invalid_number");
    assert_eq!(summary["refusals"][0]["column"], "x1");
    assert!(summary["missing_columns"][0]["columns"].as_array().unwrap().contains(&"x2".into()));
    assert!(run.stderr.contains("1 row scored, 2 refused"), "{}", run.stderr);
}

#[test]
fn lenient_counts_and_says_what_it_took_for_missing() {
    let folder = Folder::new();
    let summary = folder.path("summary.json");
    let run = stemson_fed(&["score", &model(), "--input", "-", "--summary", &summary], ROWS);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("predict,no,yes\n") && run.stdout.lines().count() == 4);
    for words in [
        "warning: standard input has no column `x2`",
        "warning: column `x1`: 1 invalid number, taken for missing",
        "warning: column `c3`: 1 unknown level, taken for missing",
        "3 rows scored, 1 column ignored",
    ] {
        assert!(run.stderr.contains(words), "no `{words}` in\n{}", run.stderr);
    }
    let summary: Value = serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(summary["ignored_columns"], serde_json::json!(["id"]));
    assert_eq!(
        summary["converted"],
        serde_json::json!([
            {"column": "x1", "unknown_levels": 0, "invalid_numbers": 1},
            {"column": "c3", "unknown_levels": 1, "invalid_numbers": 0},
        ])
    );
}

#[test]
fn inputs_follow_each_other_in_the_order_given() {
    let folder = Folder::new();
    folder.write("b-2.csv", "x1,id\n1,three\n");
    folder.write("b-1.csv", "id,x1\ntwo,1\n");
    folder.write("b-1.csv.bak", "broken");
    let first = folder.write("z.jsonl", "{\"id\":\"one\",\"x1\":1}\n");
    let run = stemson(&[
        "score",
        &model(),
        "--input",
        &first,
        "--input",
        &folder.path("b-?.csv"),
        "--keep",
        "id",
        "--format",
        "jsonl",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let ids: Vec<Value> = (run.stdout.lines())
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kept"]["id"].clone())
        .collect();
    assert_eq!(ids, ["one", "two", "three"]);
}

#[test]
fn dialects_of_csv() {
    let folder = Folder::new();
    let plain = folder.write("a.csv", "x1,c3\n1.5,red\n,\n");
    let expected = stemson(&["score", &model(), "--input", &plain]);
    assert_eq!(expected.code, 0, "{}", expected.stderr);
    let tabs = folder.write("b.txt", "x1\tc3\r\n1.5\tred\r\nNA\t-\r\n");
    let run = stemson(&[
        "score",
        &model(),
        "--input",
        &tabs,
        "--input-format",
        "csv",
        "--delimiter",
        "tab",
        "--na",
        "NA,-",
        "--threads",
        "3",
    ]);
    assert_eq!((run.code, run.stdout), (0, expected.stdout), "{}", run.stderr);
}

#[test]
fn nothing_is_left_of_an_output_that_failed() {
    let folder = Folder::new();
    let input = folder.write("in.csv", format!("x1,c3\n{}1\n", "1,red\n".repeat(5_000)));
    let output = folder.write("out.csv", "as it was");
    let run = stemson(&["score", &model(), "--input", &input, "--output", &output]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("in.csv, line 5002: 1 fields, expected 2"), "{}", run.stderr);
    assert_eq!(folder.names(), ["in.csv", "out.csv"]);
    assert_eq!(fs::read_to_string(output).unwrap(), "as it was");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    let input = folder.write("in.csv", format!("x1,c3\n{}", "1,red\n".repeat(100_000)));
    let mut child = command()
        .args(["score", &model(), "--input", &input])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 7];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"predict");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn every_help_has_an_example() {
    for command in ["inspect", "score", "serve"] {
        let run = stemson(&[command, "--help"]);
        assert_eq!(run.code, 0);
        assert!(run.stdout.contains(&format!("  stemson {command} ")), "{}", run.stdout);
    }
}

/// The name of the output or `--format` says how it is written; Arrow for a pipe is a stream.
#[test]
fn typed_outputs() {
    const FILE: &[u8] = b"ARROW1";
    const STREAM: &[u8] = &[0xFF; 4];
    let folder = Folder::new();
    let input = folder.write("in.csv", ROWS);
    for (name, format, start) in [
        ("a.parquet", None, &b"PAR1"[..]),
        ("b.out", Some("parquet"), b"PAR1"),
        ("c.feather", None, FILE),
        ("d.out", Some("arrow"), FILE),
        ("e.arrows", None, STREAM),
        ("f.arrows", Some("arrow"), STREAM),
        ("g.parquet", Some("csv"), b"predict,"),
        ("h.jsonl", None, b"{\"row\":0"),
        ("-", Some("arrow"), STREAM),
        ("-", Some("parquet"), b"PAR1"),
    ] {
        let output = if name == "-" { name.to_owned() } else { folder.path(name) };
        let format = format.map_or(Vec::new(), |format| vec!["--format", format]);
        let mut command = command();
        command.args(["score", &model(), "--input", &input, "--output", &output]).args(format);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let bytes = if name == "-" { run.stdout } else { fs::read(&output).unwrap() };
        assert!(bytes.starts_with(start), "{name}: {:?}", &bytes[..8]);
        if start == FILE || start == b"PAR1" {
            assert!(bytes.ends_with(start), "{name}");
        }
    }
    let bad = folder.write("bad.csv", "x1,c3,id\n1,red,a\n2\n");
    for name in ["x.parquet", "x.arrow"] {
        let run = stemson(&["score", &model(), "--input", &bad, "--output", &folder.path(name)]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(!folder.names().iter().any(|found| found.contains(name)), "{:?}", folder.names());
    }
    let rows = folder.write("typed.parquet", fs::read(folder.path("a.parquet")).unwrap());
    let run = stemson(&["score", &model(), "--input", &input, &rows, "--keep", "id"]);
    assert!(run.stderr.contains("typed.parquet has no column `id`"), "{}", run.stderr);
}

/// The name of the output says that it is packed.
#[test]
fn packed_outputs() {
    let folder = Folder::new();
    let input = folder.write("in.csv", ROWS);
    let score = |output: &str| {
        stemson(&["score", &model(), "--input", &input, "--output", output, "--keep", "id"])
    };
    for name in ["a.csv", "a.jsonl"] {
        let plain = folder.path(name);
        assert_eq!(score(&plain).code, 0);
        for ending in ["gz", "zst"] {
            let packed = folder.path(&format!("{name}.{ending}"));
            assert_eq!(score(&packed).code, 0);
            let bytes = fs::read(&packed).unwrap();
            if ending == "gz" {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
                assert_eq!(unpacked, fs::read(&plain).unwrap());
            } else {
                assert!(bytes.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]));
            }
        }
    }
    let run = stemson(&["score", &model(), "--input", &folder.path("a.csv.zst"), "--keep", "id"]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 4), "{}", run.stderr);
    let run = score(&folder.path("a.parquet.gz"));
    assert!(run.code == 2 && run.stderr.contains("leave out `.gz`"), "{}", run.stderr);
}

#[test]
fn nothing_is_left_of_a_run_that_is_killed() {
    let folder = Folder::new();
    let output = folder.path("out.csv");
    let mut child = command()
        .args(["score", &model(), "--input", "-", "--output", &output, "--threads", "1"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut rows = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut rows, b"x1,c3\n").unwrap();
    // More than pipes and blocks hold: the output has begun.
    for _ in 0..1_000 {
        std::io::Write::write_all(&mut rows, "1,red\n".repeat(2_000).as_bytes()).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_no_fault_of_the_input() {
    let folder = Folder::new();
    let input = folder.write("in.csv", ROWS);
    let run = stemson(&["score", &model(), "--input", &input, "--output", "/dev/full"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("No space left"), "{}", run.stderr);
}

#[test]
fn names_that_cannot_be() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let input = folder.write("in.csv", ROWS);
    let run = stemson(&["score", &model(), "--input", &input, "--keep", "id,id"]);
    assert!(run.code == 2 && run.stderr.contains("`--keep` names `id` twice"), "{}", run.stderr);
    let odd = std::ffi::OsStr::from_bytes(b"b\xFF.csv");
    fs::write(std::path::Path::new(&folder.path("")).join(odd), ROWS).unwrap();
    let run = stemson(&["score", &model(), "--input", &folder.path("*.csv")]);
    assert!(run.code == 2 && run.stderr.contains("is not UTF-8"), "{}", run.stderr);
}
