//! `validate-event-loop` on real applications, with a real Redis and a real PostgreSQL.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Run, command, python};

pub(crate) fn apps() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/apps")
}

fn validate(arguments: &[&str], servers: &[(&str, String)]) -> Run {
    let mut command = command();
    command.arg("validate-event-loop").arg("--python").arg(python());
    command.arg("--app-dir").arg(apps()).args(arguments);
    command.envs(servers.iter().map(|(name, url)| (name, url)));
    command.output().unwrap().into()
}

/// A server of our own, ended with the test.
struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is a fast, clean end for both.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-INT", &pid]).status());
        drop(self.child.wait());
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn start(mut command: Command, port: u16, folder: tempfile::TempDir) -> Server {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Server { child: child.unwrap(), port, _folder: folder };
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < until, "{command:?} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn redis() -> Server {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--dir"]).arg(folder.path());
    start(command, port, folder)
}

/// Runs each application for so long and says which functions were named, and how.
fn named(event_loop: &str, seconds: &str, servers: &[(&str, String)]) -> BTreeMap<String, String> {
    let run = validate(
        &["--app", "planted:app", "--loop", event_loop, "--seconds", seconds, "--format", "json"],
        servers,
    );
    assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{}", run.stdout);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let name = |finding: &Value| {
        let route = finding["chain"].as_array().unwrap().last().unwrap_or(&finding["library"]);
        let kind = finding["kind"].as_str().unwrap();
        (route["function"].as_str().unwrap().to_owned(), kind.to_owned())
    };
    report["findings"].as_array().unwrap().iter().map(name).collect()
}

/// All seven are found, whatever holds the loop, and none of the five that give it back.
fn check(event_loop: &str, seconds: &str) {
    let (redis, database) =
        (redis(), stemson_validate::postgres::PrivatePostgres::start(&[]).unwrap());
    let servers = [
        ("REDIS_URL", format!("redis://127.0.0.1:{}/0", redis.port)),
        ("DATABASE_URL", database.url().to_owned()),
    ];
    let found = named(event_loop, seconds, &servers);
    let expected = [
        ("planted_c", "holds_gil"),
        ("planted_database", "sleeps"),
        ("planted_numpy", "releases_gil"),
        ("planted_predict", "holds_gil"),
        ("planted_python", "holds_gil"),
        ("planted_redis", "sleeps"),
        ("planted_sleep", "sleeps"),
    ];
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn finds_what_holds_asyncio() {
    check("asyncio", "8");
}

#[test]
fn finds_what_holds_uvloop() {
    check("uvloop", "15");
}

/// The long form: nothing missed, nobody blamed wrongly, on a machine that others keep busy.
#[test]
#[ignore = "takes minutes"]
fn finds_the_same_twenty_times_beside_others() {
    let mut other = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let outcome = std::panic::catch_unwind(|| {
        for round in 0..20 {
            check(if round % 2 == 0 { "asyncio" } else { "uvloop" }, "15");
        }
    });
    other.kill().unwrap();
    other.wait().unwrap();
    outcome.unwrap();
}

#[test]
fn an_application_that_gives_its_loop_back_is_accepted() {
    let run = validate(&["--app", "calm:app", "--seconds", "3"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("Synthesis   Accept:"), "{}", run.stdout);
    assert!(run.stdout.contains("POST /rows"), "{}", run.stdout);
}

#[test]
fn requests_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asked.jsonl");
    std::fs::write(&file, "{\"path\":\"/items/7?verbose=1\"}\n").unwrap();
    let file = file.to_str().unwrap();
    let run = validate(&["--app", "calm:app", "--seconds", "1", "--requests", file], &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.contains("GET /items/7"), "{}", run.stdout);
    std::fs::write(file, "{\"path\":\"items\"}\n").unwrap();
    let run = validate(&["--app", "calm:app", "--requests", file], &[]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("line 1: `path` is `items`"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_started_is_named() {
    for (arguments, expected) in [
        (&["--app", "calm"][..], "expected MODULE:ATTRIBUTE"),
        (&["--app", "nowhere:app"], "Could not import module \"nowhere\""),
        (&["--app", "calm:nothing"], "Attribute \"nothing\" not found"),
        (&["--app", "calm:bare"], "has no OpenAPI description"),
        (&["--app", "calm:app", "--threshold-ms", "0"], "expected more than 0"),
        (&["--app", "calm:app", "--requests", "/nowhere.jsonl"], "cannot read /nowhere.jsonl"),
    ] {
        let run = validate(arguments, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
    }
    let mut command = command();
    command.args(["validate-event-loop", "--app", "calm:app", "--python", "/nowhere/python"]);
    let run: Run = command.output().unwrap().into();
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--python"), "{}", run.stderr);
}
