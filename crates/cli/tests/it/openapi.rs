//! The server against its own description: schemathesis makes requests from `/openapi.json`, good
//! ones and bad ones, and holds the answers to it. Answers of the Open Inference Protocol are held to
//! the protocol's own schemas, too.

use std::process::Command;

use stemson_mojo::Digest;

use crate::event_loop::apps;
use crate::rest::{holds, serve_with};
use crate::serve::Serving;
use crate::{Folder, python_of};

/// Binomial with levels, regression, multinomial, a matrix, an offset; one that is swapped and
/// unloaded.
const MODELS: &[(&str, &str)] = &[
    ("churn", "gbm_bernoulli"),
    ("price", "gbm_gaussian"),
    ("grade", "gbm_multi"),
    ("numbers", "gbm_numeric"),
    ("exposed", "gbm_bernoulli_offset"),
    ("spare", "gbm_platt"),
];

const KEY: &str = "of-the-tests";

/// Which of its addresses is asked.
type Listener = fn(&Serving) -> &str;

const INFERENCE: Listener = |serving| &serving.http;
const ADMINISTRATION: Listener = |serving| &serving.admin;

/// With one key that may do everything, or without keys.
fn serving(folder: &Folder, asks_keys: bool) -> Serving {
    if !asks_keys {
        return serve_with(folder, MODELS, &[]);
    }
    let sha256 = Digest::of(KEY.as_bytes());
    let scopes = r#"["predict", "read", "admin"]"#;
    folder.write(
        "keys.toml",
        format!("[[key]]\nid = \"t\"\nsha256 = \"{sha256}\"\nscopes = {scopes}\n"),
    );
    serve_with(folder, MODELS, &["--keys", "keys.toml"])
}

/// Runs it against a listener, and gives how many requests it made.
fn schemathesis(asks_keys: bool, listener: Listener, arguments: &[&str]) -> usize {
    let folder = Folder::new();
    let serving = serving(&folder, asks_keys);
    let address = listener(&serving);
    let run = Command::new(python_of("tests-clients").with_file_name("schemathesis"))
        .arg("--config-file")
        .arg(apps().join("schemathesis.toml"))
        .args(["run", &format!("http://{address}/openapi.json"), "--seed", "7", "--no-color"])
        .args(arguments)
        .env("STEMSON_TEST_KEY", KEY)
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", apps())
        .current_dir(folder.path("."))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{stderr}");
    generated(&said).unwrap_or_else(|| panic!("no number of cases in {said}"))
}

/// `12345 generated` of the summary.
fn generated(said: &str) -> Option<usize> {
    let before = said.split(" generated").next().filter(|before| before.len() < said.len())?;
    let number = before.rsplit(|c: char| !c.is_ascii_digit() && c != ',').next()?;
    number.replace(',', "").parse().ok()
}

#[test]
fn schemathesis_finds_nothing() {
    let short = ["--phases", "examples,coverage,fuzzing", "--max-examples", "3"];
    let made = [INFERENCE, ADMINISTRATION].map(|listener| schemathesis(false, listener, &short));
    assert!(made.iter().sum::<usize>() > 1_000, "{made:?}");
}

#[test]
fn schemathesis_finds_nothing_where_keys_are_asked_for() {
    let short = ["--phases", "examples"];
    let made = [INFERENCE, ADMINISTRATION].map(|listener| schemathesis(true, listener, &short));
    assert!(made.iter().sum::<usize>() > 500, "{made:?}");
}

fn for_long(asks_keys: bool, listener: Listener) {
    let made = schemathesis(asks_keys, listener, &["--max-examples", "200"]);
    assert!(made > 1_000, "{made}");
}

#[test]
#[ignore = "many minutes"]
fn schemathesis_finds_nothing_for_long() {
    for_long(false, INFERENCE);
}

#[test]
#[ignore = "many minutes"]
fn schemathesis_finds_nothing_for_long_in_administration() {
    for_long(false, ADMINISTRATION);
}

#[test]
#[ignore = "many minutes"]
fn schemathesis_finds_nothing_for_long_with_keys() {
    for_long(true, INFERENCE);
}

#[test]
#[ignore = "many minutes"]
fn schemathesis_finds_nothing_for_long_in_administration_with_keys() {
    for_long(true, ADMINISTRATION);
}

#[test]
fn the_protocols_own_schemas_hold() {
    let folder = Folder::new();
    let serving = serving(&folder, false);
    holds("oip_schemas.py", &[&serving.http], 40);
}
