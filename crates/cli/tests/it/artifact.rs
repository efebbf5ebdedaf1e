//! `stemson check` and `stemson validate-mojo-artifact`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::{Folder, Run, case, command, stemson};

#[test]
fn check_blocks_by_content_and_lets_exceptions_pass() {
    let folder = Folder::new();
    let bad = folder.write("notes.txt", b"cos\nsystem\n(S'true'\ntR.");
    folder.write("model.zip", std::fs::read(case("gbm_platt", "model.zip")).unwrap());
    let place = folder.path("");
    let run = stemson(&["check", &place, "--format", "json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((report["mojos"].as_u64(), report["files"].as_u64()), (Some(1), Some(2)));
    let finding = &report["findings"][0];
    assert_eq!(
        (finding["rule"].as_str(), finding["path"].as_str()),
        (Some("pickle_code"), Some(&*bad))
    );
    let sha256 = finding["sha256"].as_str().unwrap();
    let exception = |expires: &str| {
        format!(
            "[[exception]]\nsha256 = \"{sha256}\"\nrule = \"pickle_code\"\nreason = \"a test\"\n\
             approved_by = \"ada\"\nexpires = {expires}\n"
        )
    };
    folder.write("stemson-exceptions.toml", exception("9999-12-31"));
    let run = stemson(&["check", &place]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.contains("exception by ada until 9999-12-31: a test"), "{}", run.stdout);
    folder.write("stemson-exceptions.toml", exception("2020-01-01"));
    let run = stemson(&["check", &place, "--format", "github"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("title=exception_expired"), "{}", run.stdout);
    folder.write("stemson-exceptions.toml", exception("\"never\""));
    let run = stemson(&["check", &place]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("exception 1: `expires` is `never`"), "{}", run.stderr);
    assert_eq!(stemson(&["check", &folder.path("missing")]).code, 2);
}

fn validate(arguments: &[&str]) -> (i32, Value) {
    let run = stemson(&[&["validate-mojo-artifact", "--format", "json"], arguments].concat());
    let report = serde_json::from_str(&run.stdout);
    (run.code, report.unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr)))
}

fn outcome<'r>(report: &'r Value, name: &str) -> Option<&'r str> {
    let checks = report["checks"].as_array()?;
    checks.iter().find(|check| check["name"] == name)?["outcome"].as_str()
}

#[test]
fn a_mojo_is_compared_with_answers_and_versions() {
    let folder = Folder::new();
    let (mojo, rows) = (case("gbm_platt", "model.zip"), case("gbm_platt", "input.csv"));
    let expected = folder.path("expected.csv");
    assert_eq!(stemson(&["score", &mojo, "--input", &rows, "--output", &expected]).code, 0);
    let base = ["--mojo", &mojo, "--reference", &rows];
    let (code, report) = validate(&base);
    assert_eq!((code, outcome(&report, "answers")), (0, Some("not compared")));
    assert_eq!(report["digest"].as_str().unwrap().len(), 64);
    assert!(report["figures"]["cold_start_ms"].as_f64().unwrap() > 0.0);
    assert!(report["verdict"]["thesis"].as_str().unwrap().contains("first answer after"));
    let (code, report) =
        validate(&[&base[..], &["--expected", &expected, "--runtime", "daimojo"]].concat());
    assert_eq!((code, outcome(&report, "answers")), (0, Some("good")));
    assert_eq!(outcome(&report, "runtime"), Some("note"));
    let bent = std::fs::read_to_string(&expected).unwrap().replacen("0.", "0.9", 1);
    let bent = folder.write("bent.csv", bent);
    let (code, report) = validate(&[&base[..], &["--expected", &bent]].concat());
    assert_eq!((code, outcome(&report, "answers")), (1, Some("bad")));
    for (version, expected) in [("3.46.0.11", (0, Some("good"))), ("3.46.0.12", (1, Some("bad")))] {
        let (code, report) = validate(&["--mojo", &mojo, "--client-version", version]);
        assert_eq!((code, outcome(&report, "client version")), expected);
    }
}

#[test]
fn the_clusters_version_is_asked() {
    // As H2O 3.46 answers, shortened.
    let cloud = r#"{"__meta":{"schema_version":3,"schema_name":"CloudV3","schema_type":"Iced"},
        "_exclude_fields":"","skip_ticks":false,"bad_nodes":0,"branch_name":"rel-3.46.0","build_number":"11",
        "version":"3.46.0.11","node_idx":0,"cloud_name":"churn","cloud_size":3,"cloud_uptime_millis":5131,
        "cloud_healthy":true,"consensus":true,"locked":true,"is_client":false}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /3/Cloud HTTP/1.1"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", cloud.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(cloud.as_bytes()).unwrap();
        }
    });
    let mojo = case("gbm_platt", "model.zip");
    let (code, report) = validate(&["--mojo", &mojo, "--cluster", &url]);
    assert_eq!((code, outcome(&report, "cluster version")), (0, Some("good")));
    let (code, report) =
        validate(&["--mojo", &mojo, "--cluster", &url, "--client-version", "3.44.0.3"]);
    assert_eq!((code, outcome(&report, "cluster version")), (1, Some("bad")));
    server.join().unwrap();
    let gone = stemson(&["validate-mojo-artifact", "--mojo", &mojo, "--cluster", &url]);
    assert_eq!(gone.code, 3, "{}", gone.stderr);
}

#[test]
fn a_damaged_mojo_is_named() {
    let folder = Folder::new();
    let bytes = std::fs::read(case("gbm_platt", "model.zip")).unwrap();
    let cut = folder.write("cut.zip", &bytes[..bytes.len() / 2]);
    let (code, report) = validate(&["--mojo", &cut]);
    assert_eq!((code, outcome(&report, "load")), (1, Some("bad")));
    assert_eq!(report["figures"], Value::Null);
    assert_eq!(report["verdict"]["good"], false);
    assert_eq!(stemson(&["validate-mojo-artifact", "--mojo", &folder.path("none.zip")]).code, 2);
}

#[test]
fn every_mojo_of_the_corpus_is_good() {
    let mut failed = Vec::new();
    for folder in std::fs::read_dir(crate::corpus()).unwrap() {
        let mojo = folder.unwrap().path().join("model.zip");
        if mojo.exists() {
            let run = stemson(&["validate-mojo-artifact", "--mojo", mojo.to_str().unwrap()]);
            // genmodel answers some XGBoost models wrongly without a word; nothing else is bad.
            let trap = run.stdout.contains("bad          silent trap");
            if run.code != i32::from(trap)
                || run.stdout.matches("\nbad  ").count() > usize::from(trap)
            {
                failed.push(format!("{}\n{}{}", mojo.display(), run.stdout, run.stderr));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_script_calls_the_binary() {
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../skill/scripts/validate_mojo_artifact.py");
    let run = |binary: &str| -> Run {
        let mut python = Command::new("python3");
        python.arg(script).args(["--mojo", &case("gbm_platt", "model.zip")]);
        python.env("STEMSON_BIN", binary).output().unwrap().into()
    };
    let good = run(env!("CARGO_BIN_EXE_stemson"));
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert!(good.stdout.contains("\nSynthesis   Release it under the digest "), "{}", good.stdout);
    assert_eq!(run("/nowhere/stemson").code, 2);
}

#[test]
fn help_has_the_specifications_line() {
    let run: Run = command().args(["validate-mojo-artifact", "--help"]).output().unwrap().into();
    let line = "python scripts/validate_mojo_artifact.py --mojo model.zip --runtime daimojo --reference test_inputs.csv";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&run.stdout).contains(line), "{}", run.stdout);
}
