//! The product through its binary: what goes in as files and flags, what comes out.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod artifact;
mod check;
mod columnar;
mod corpus;
mod deploy;
mod event_loop;
mod grpc;
mod h2;
mod hot_swap;
mod inspect;
mod jsonb_index;
mod manifests;
mod mcp;
mod memory_split;
#[path = "../../../server/src/grpc/messages.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unreachable_pub,
    reason = "generated, of the whole protocol"
)]
#[rustfmt::skip]
mod messages;
mod openapi;
mod reload;
mod rest;
mod review;
mod score;
mod serve;
mod survive;
mod unload;
mod wrong_input;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run of the binary left behind.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stemson"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEMSON_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn stemson(arguments: &[&str]) -> Run {
    command().args(arguments).output().unwrap().into()
}

/// With something on standard input.
fn stemson_fed(arguments: &[&str], input: &str) -> Run {
    let mut command = command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// The environment that `cargo xtask test` makes for applications and files.
fn python() -> PathBuf {
    python_of("tests-python")
}

/// An environment that `cargo xtask test` makes.
fn python_of(environment: &str) -> PathBuf {
    let built = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let python = built.with_file_name(environment).join("bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo")
}

/// A file of a case of the corpus.
fn case(id: &str, file: &str) -> String {
    corpus().join(id).join(file).to_str().unwrap().to_owned()
}

/// A folder for one test's files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
