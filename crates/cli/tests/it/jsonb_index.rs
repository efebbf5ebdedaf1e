//! `benchmark-jsonb-index` through the binary, on a private PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Folder, Run, command, stemson};

#[test]
fn the_private_server_measures_and_leaves_nothing() {
    let folder = Folder::new();
    let plot = folder.path("plot.svg");
    let run = stemson(&[
        "benchmark-jsonb-index",
        "--table",
        "feature \"store\"",
        "--rows",
        "5000",
        "--write-rate",
        "200",
        "--seconds",
        "1",
        "--plot",
        &plot,
        "--format",
        "json",
    ]);
    assert!(run.code <= 1, "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let indexes = json["indexes"].as_array().unwrap();
    assert_eq!(indexes.len(), 6);
    let find = |name: &str| indexes.iter().find(|it| it["index"] == name).unwrap();
    assert_eq!(find("none")["size_bytes"], 0);
    for name in ["expression B-tree", "jsonb_ops", "jsonb_path_ops"] {
        assert!(find(name)["size_bytes"].as_u64() > Some(8_192), "{json:#}");
    }
    // What each operator class can answer, by the planner's own word.
    let uses = |index: &str, query: &str| {
        let queries = find(index)["queries"].as_array().unwrap();
        queries.iter().find(|it| it["query"] == query).unwrap()["uses_index"].as_bool().unwrap()
    };
    assert!(
        uses("jsonb_ops", "@> several keys") && uses("jsonb_path_ops", "@> several keys"),
        "{json:#}"
    );
    assert!(uses("jsonb_ops", "? key") && !uses("jsonb_path_ops", "? key"), "{json:#}");
    assert!(uses("expression B-tree", "->> key") && !uses("none", "->> key"), "{json:#}");
    // An index changes plans, never answers.
    let found = |it: &Value| {
        it["queries"].as_array().unwrap().iter().map(|it| it["rows"].clone()).collect::<Vec<_>>()
    };
    assert!(indexes.iter().all(|it| found(it) == found(&indexes[0])), "{json:#}");
    let more = |index| find(index)["wal_bytes_per_row"].as_f64().unwrap();
    assert!(more("jsonb_ops") > more("none"), "{json:#}");
    assert!(fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    for key in ["thesis", "antithesis", "synthesis"] {
        assert!(json["verdict"][key].as_str().unwrap().len() > 40);
    }
}

#[test]
fn ctrl_c_stops_the_server_and_removes_it() {
    let folder = Folder::new();
    // The server's user must get through.
    fs::set_permissions(folder.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["benchmark-jsonb-index", "--rows", "100000000", "--seconds", "1"];
    let mut benchmark = command();
    benchmark.args(arguments).env("TMPDIR", folder.0.path()).stderr(Stdio::piped());
    let child = benchmark.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let runs = || {
        fs::read_dir(folder.0.path())
            .unwrap()
            .flatten()
            .any(|it| it.path().join("data/postmaster.pid").exists())
    };
    while !runs() {
        assert!(Instant::now() < deadline, "no server in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn what_cannot_be_measured_is_said() {
    for (code, arguments, words) in [
        (2, &["--rows", "10"][..], "--rows begins at 1000"),
        (2, &["--write-rate", "0"], "begin at 1"),
        (2, &["--table", ""], "--table"),
        (2, &["--database", "nonsense"], "--database is no URL"),
        (2, &["--plot", "/nowhere/plot.svg"], "cannot write /nowhere/plot.svg"),
        (3, &["--database", "postgres://me@127.0.0.1:1/none"], "cannot connect"),
    ] {
        let run = stemson(&[&["benchmark-jsonb-index"], arguments].concat());
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{arguments:?} {}", run.stderr);
        assert!(
            run.stderr.contains(words) && !run.stderr.contains("panicked"),
            "{arguments:?}: {}",
            run.stderr
        );
    }
}
