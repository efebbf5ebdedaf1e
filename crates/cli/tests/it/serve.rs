//! `stemson serve`: configuration, models at the start, the way up and down.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Folder, Run, case, command};

/// A server on free ports. Killed when dropped.
pub(crate) struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said until it listened.
    said: String,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) admin: String,
}

impl Serving {
    pub(crate) fn start(folder: &Folder, arguments: &[&str]) -> Self {
        Self::start_in(folder, arguments, &[])
    }

    pub(crate) fn start_in(
        folder: &Folder,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = command()
            .envs(environment.iter().copied())
            .current_dir(folder.0.path())
            .arg("serve")
            .args(arguments)
            .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, http, grpc, admin) = Default::default();
        let mut serving = Self { child, stderr, said, http, grpc, admin };
        while serving.admin.is_empty() {
            let mut line = String::new();
            let read = serving.stderr.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "it ended: {}", serving.said);
            serving.said.push_str(&line);
            for (place, words) in [
                (&mut serving.http, "http listens on "),
                (&mut serving.grpc, "grpc listens on "),
                (&mut serving.admin, "admin listens on "),
            ] {
                if let Some(address) = line.trim().strip_prefix(words) {
                    address.clone_into(place);
                }
            }
        }
        serving
    }

    /// Ends it as an orchestrator would, and gives what it had to say.
    fn terminate(self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.ended()
    }

    pub(crate) fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.child.id().to_string());
        assert!(Command::new("kill").args([&name, &id]).status().unwrap().success());
    }

    /// Its memory, by Linux.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }

    /// Waits for its end, and gives what it had to say.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One HTTP request on a connection of its own: status and body.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let n = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {n}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

fn serve(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = command();
    command.current_dir(folder.0.path()).arg("serve").args(arguments);
    command.envs(environment.iter().copied()).output().unwrap().into()
}

fn check(run: &Run, code: i32, words: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
    for words in words {
        assert!(run.stderr.contains(words), "no `{words}` in {}", run.stderr);
    }
}

#[test]
fn models_answer_under_the_names_of_their_files() {
    let folder = Folder::new();
    fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("churn.zip")).unwrap();
    let serving = Serving::start(&folder, &["churn.zip"]);
    assert!(serving.said.contains("churn: gbm, Binomial, 12 columns, digest "), "{}", serving.said);
    let body = br#"{"instances":[{"x1":1.1946681305558626,"c3":"green"},{}]}"#;
    let (status, answer) = ask(&serving.http, "POST", "/v1/models/churn:predict", body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 2);
    let (status, answer) = ask(&serving.http, "POST", "/v1/models/nobody:predict", body);
    assert_eq!(status, 404, "{answer}");
    let (code, rest) = serving.terminate();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
}

#[test]
fn the_highest_version_of_a_folder_answers_and_can_be_swapped() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("models/m")).unwrap();
    fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("models/m/2.zip")).unwrap();
    fs::copy(case("gbm_platt", "model.zip"), folder.path("models/m/10.zip")).unwrap();
    fs::copy(case("gbm_gaussian", "model.zip"), folder.path("models/r.zip")).unwrap();
    fs::write(folder.path("models/.half.zip"), "half").unwrap();
    fs::write(folder.path("models/notes.txt"), "notes").unwrap();
    let serving = Serving::start(&folder, &["--models", "models"]);
    let calibrated = |serving: &Serving| {
        let body = br#"{"instances":[{}]}"#;
        let (status, answer) = ask(&serving.http, "POST", "/v1/models/m:predict", body);
        assert_eq!(status, 200, "{answer}");
        answer["predictions"][0].get("calibrated").is_some()
    };
    assert!(calibrated(&serving));
    let artifact = fs::read(folder.path("models/m/2.zip")).unwrap();
    let (status, answer) = ask(&serving.admin, "POST", "/admin/models/m/swap", &artifact);
    assert_eq!(status, 200, "{answer}");
    assert!(!calibrated(&serving));
    let (status, answer) = ask(&serving.admin, "POST", "/admin/models/m/rollback", b"");
    assert_eq!(status, 200, "{answer}");
    assert!(calibrated(&serving));
}

#[test]
fn file_then_environment_then_flags() {
    let folder = Folder::new();
    let config = "[server]\nhttp = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:1\"\ncompute_threads = 1\n\
                  [limits]\nrows = 5\n\n[[model]]\nname = \"m\"\npath = \"m.zip\"\n";
    folder.write("stemson.toml", config);
    let arguments = ["--print-config", "--http", "127.0.0.1:3"];
    let environment = [
        ("STEMSON_SERVER_HTTP", "127.0.0.1:2"),
        ("STEMSON_SERVER_ADMIN", "127.0.0.1:2"),
        ("STEMSON_SERVER_PORT", "tcp://10.0.0.1:80"),
    ];
    let run = serve(&folder, &arguments, &environment);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for line in [
        "http = \"127.0.0.1:3\"",
        "admin = \"127.0.0.1:2\"",
        "compute_threads = 1",
        "rows = 5",
        "body_mib = 64",
        "name = \"m\"",
    ] {
        assert!(run.stdout.lines().any(|found| found == line), "no `{line}` in {}", run.stdout);
    }
    // What was printed is a configuration.
    folder.write("stemson.toml", &run.stdout);
    assert_eq!(serve(&folder, &["--print-config"], &[]).stdout, run.stdout);
}

#[test]
fn wrong_configurations_are_named() {
    let folder = Folder::new();
    for (config, words) in [
        ("[server]\nhtp = \"127.0.0.1:0\"\n", &["unknown key `htp` in [server]", "`http`"][..]),
        ("[limits]\nbody_mib = \"64\"\n", &["body_mib is \"64\", expected a whole number"]),
        ("[cash]\n", &["unknown key `cash`", "hint: "]),
        ("[[model]]\nname = \"m\"\npath = \"no.zip\"\n", &["cannot read", "no.zip"]),
        ("[[model]]\nname = \"a b\"\npath = \"model.zip\"\n", &["`a b` is no model name"]),
        ("[server\n", &["is no TOML", "line 1"]),
    ] {
        fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("model.zip")).unwrap();
        folder.write("c.toml", config);
        let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let arguments = [&["--config", "c.toml"][..], &ports].concat();
        check(&serve(&folder, &arguments, &[]), 2, words);
    }
    check(&serve(&folder, &["--config", "no.toml"], &[]), 2, &["cannot read no.toml"]);
    let environment = [("STEMSON_LIMITS_ROWS", "many")];
    check(&serve(&folder, &[], &environment), 2, &["STEMSON_LIMITS_ROWS is \"many\""]);
    let zero = [("STEMSON_LIMITS_ROWS", "0")];
    check(&serve(&folder, &[], &zero), 2, &["rows is 0, expected at least 1"]);
}

#[test]
fn wrong_models_are_named() {
    let folder = Folder::new();
    let model = case("gbm_bernoulli", "model.zip");
    fs::copy(&model, folder.path("m.zip")).unwrap();
    fs::create_dir_all(folder.path("other")).unwrap();
    fs::copy(&model, folder.path("other/m.zip")).unwrap();
    fs::create_dir_all(folder.path("empty")).unwrap();
    folder.write("text.zip", "text");
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for (arguments, words) in [
        (&["m.zip", "other/m.zip"][..], &["two models named `m`", "hint: "][..]),
        (&["m.zip", "--models", "other"], &["two models named `m`"]),
        (&["--models", "empty"], &["holds no models", "NAME.zip"]),
        (&["empty"], &["holds no versions"]),
        (&["--models", "nowhere"], &["cannot list nowhere"]),
        (&["text.zip"], &["text.zip: not a zip archive"]),
        (&["nowhere.zip"], &["cannot read nowhere.zip"]),
        (&["m.zip", "--keys", "nowhere.toml"], &["cannot read the keys", "hint: ", "[[key]]"]),
    ] {
        check(&serve(&folder, &[arguments, &ports].concat(), &[]), 2, words);
    }
}

#[test]
fn addresses_that_cannot_be_had() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["--http", &address, "--admin", "127.0.0.1:0"];
    check(&serve(&folder, &arguments, &[]), 3, &[&address, "in use", "hint: ", "--http"]);
    let arguments = ["--http", "0.0.0.0:0", "--admin", "127.0.0.1:0"];
    check(&serve(&folder, &arguments, &[]), 2, &["no keys are set", "--insecure"]);
    for flag in ["--http", "--admin", "--grpc"] {
        let words = [flag, "expected an address and port such as \"127.0.0.1:8080\""];
        check(&serve(&folder, &[flag, "localhost:8080"], &[]), 2, &words);
    }
}

#[test]
fn a_data_folder_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    let arguments = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", &file];
    check(&serve(&folder, &arguments, &[]), 3, &["cannot write to ", "hint: ", "--data-dir"]);
}
