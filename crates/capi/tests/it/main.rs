//! The library as C sees it: the examples, compiled and run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the library, which cargo builds before these tests.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().find(|folder| folder.join("libstemson.so").is_file());
    folder.expect("libstemson.so above the test").to_owned()
}

/// Compiles a program, with all warnings, and runs it.
fn run(source: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled = Command::new(cc)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg(here().join(source))
        .arg("-I")
        .arg(here().join("include"))
        .arg("-L")
        .arg(libraries())
        .args(["-lstemson", "-lm", "-lpthread", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler, which Rust needs to link as well");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let libraries = libraries();
    Command::new(program)
        .args(arguments)
        .env("LD_LIBRARY_PATH", libraries)
        .output()
        .expect("the program runs")
}

fn model(name: &str) -> String {
    here().join("../../benches/models").join(name).join("model.zip").display().to_string()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn a_row_of_c_is_a_row_of_rust() {
    use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options, Output};
    let path = model("gbm100d6");
    let bytes = fs::read(&path).unwrap();
    let loaded = std::sync::Arc::new(Model::load(&bytes, &LoadOptions::default()).unwrap());
    let level = loaded.schema().columns()[30].levels[1].clone();
    let lines =
        lines(&run("examples/score.c", &[&path, "n00=1.25", "n03=-0.5", &format!("c0={level}")]));
    let mut batch = Batch::new(std::sync::Arc::clone(&loaded), Options::default());
    let cells: Vec<Cell<'_>> = (loaded.schema().columns().iter())
        .map(|column| match column.name.as_str() {
            "n00" => Cell::Number(1.25),
            "n03" => Cell::Number(-0.5),
            "c0" => Cell::Text(&level),
            _ => Cell::Absent,
        })
        .collect();
    batch.push(&cells);
    batch.score();
    let Ok(Output::Classes { index, p, .. }) = batch.output(0) else { panic!("a row of classes") };
    let expected = [
        "gbm Binomial".to_owned(),
        format!("predict {index}"),
        format!("no {}", p[0]),
        format!("yes {}", p[1]),
        loaded.labels()[index].clone(),
    ];
    let number = |line: &str| line.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (found, expected) in lines.iter().zip(&expected) {
        let same =
            found == expected || (number(found) == number(expected) && number(found).is_some());
        assert!(same, "{found} is not {expected}");
    }
}

#[test]
fn a_table_is_scored_in_order() {
    let path = model("gbm100d6_num");
    let few = lines(&run("examples/table.c", &[&path, "n00", "40"]));
    let many = lines(&run("examples/table.c", &[&path, "n00", "5000"]));
    assert_eq!((few.len(), many.len()), (40, 5_000));
    assert_eq!(few, many[..40]);
    let distinct: std::collections::HashSet<_> = few.iter().collect();
    assert!(distinct.len() > 5, "rows differ, so do answers");
}

#[test]
fn errors_say_what_and_where() {
    let said = |output: &Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = said(&run("examples/score.c", &["no/such/model.zip"]));
    assert!(missing.contains("unreadable: cannot read no/such/model.zip"), "{missing}");
    let source = here().join("src/lib.rs").display().to_string();
    let no_model = said(&run("examples/score.c", &[&source]));
    assert!(no_model.contains(": not_zip: "), "{no_model}");
    let path = model("gbm100d6_num");
    let stranger = said(&run("examples/table.c", &[&path, "stranger", "1"]));
    assert!(stranger.contains("missing_columns"), "{stranger}");
}

#[test]
fn the_whole_face_used_right_and_wrong() {
    let case = |name: &str| {
        here().join("../../tests/corpora/mojo").join(name).join("model.zip").display().to_string()
    };
    let (calibrated, words) = (case("gbm_platt"), case("word2vec"));
    lines(&run("tests/it/face.c", &[&model("gbm100d6"), &calibrated, &words]));
}

/// The header is generated by cbindgen, which is not at hand everywhere: it holds the digest of the
/// source it was made of.
#[test]
fn the_header_is_of_this_source() {
    let mut digest = Sha256::new();
    for file in [
        "cbindgen.toml",
        "src/lib.rs",
        "src/error.rs",
        "src/model.rs",
        "src/row.rs",
        "src/stream.rs",
    ] {
        digest.update(fs::read(here().join(file)).unwrap());
    }
    let hex = digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let line = format!("/* Generated from sources with the digest {hex}. */\n");
    let header = here().join("include/stemson.h");
    let text = fs::read_to_string(&header).unwrap_or_default();
    if std::env::var_os("STEMSON_GENERATE").is_some() {
        // cbindgen has just written the rest.
        let rest = text.split_inclusive('\n').filter(|line| !line.starts_with("/* Generated"));
        let rest: String = rest.collect();
        fs::write(&header, line + &rest).unwrap();
        return;
    }
    assert!(
        text.starts_with(&line),
        "include/stemson.h is stale: `cargo xtask generate`; where only the inside of functions has \
         changed, `STEMSON_GENERATE=1 cargo test -p stemson-capi the_header` does it without cbindgen"
    );
}
