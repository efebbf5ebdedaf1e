//! `test-hot-swap` against our server, and against a proxy before it that spoils the swap.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::serve::Serving;
use crate::{Folder, Run, stemson};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../validate/models/glm.zip");
const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../validate/models/xgboost.zip");

/// What the proxy does to requests for inference once the model was swapped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// Answers 500 for a while.
    Fails,
    /// Closes the connection.
    Drops,
    /// Answers from a cache that knows nothing of models.
    Stale,
    /// Holds everybody for a while.
    Stalls,
    /// Answers something else.
    Wrong,
}

/// Passes requests on to a server's two listeners, and commits one fault.
struct Proxy {
    address: String,
}

struct Shared {
    http: String,
    admin: String,
    fault: Fault,
    swapped: Mutex<Option<Instant>>,
    cache: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

impl Proxy {
    fn start(server: &Serving, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            http: server.http.clone(),
            admin: server.admin.clone(),
            fault,
            swapped: Mutex::default(),
            cache: Mutex::default(),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address: format!("http://{address}") }
    }
}

/// The head and the body of a message; `None` at the end of the connection.
fn message(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut requests = BufReader::new(client.try_clone().ok()?);
        while let Some((head, body)) = message(&mut requests) {
            let is_admin = head.contains(" /admin/");
            let swapped = *self.swapped.lock().unwrap();
            let fresh = |time| swapped.is_some_and(|at: Instant| at.elapsed() < time);
            if head.contains("/infer ") {
                match self.fault {
                    Fault::Fails if fresh(Duration::from_millis(300)) => {
                        let said =
                            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
                        client.write_all(said).ok()?;
                        continue;
                    }
                    Fault::Drops if fresh(Duration::from_millis(300)) => return None,
                    Fault::Stalls if fresh(Duration::from_millis(500)) => {
                        std::thread::sleep(Duration::from_millis(700));
                    }
                    Fault::Stale => {
                        if let Some(known) = self.cache.lock().unwrap().get(&body) {
                            client.write_all(known).ok()?;
                            continue;
                        }
                    }
                    _ => {}
                }
            }
            let to = if is_admin { &self.admin } else { &self.http };
            let mut server = TcpStream::connect(to).ok()?;
            server.write_all(head.as_bytes()).ok()?;
            server.write_all(&body).ok()?;
            let (answer_head, mut answer) = message(&mut BufReader::new(server))?;
            if self.fault == Fault::Wrong && head.contains("/infer ") && swapped.is_some() {
                answer.iter_mut().filter(|byte| **byte == b'7').for_each(|byte| *byte = b'8');
            }
            let whole = [answer_head.as_bytes(), &answer].concat();
            client.write_all(&whole).ok()?;
            if head.contains("/swap ") {
                *self.swapped.lock().unwrap() = Some(Instant::now());
            } else if head.contains("/infer ") {
                self.cache.lock().unwrap().insert(body, whole);
            }
        }
        Some(())
    }
}

fn check(fault: Fault) -> (Run, Value) {
    let folder = Folder::new();
    std::fs::copy(V1, folder.path("churn.zip")).unwrap();
    let server = Serving::start(&folder, &["churn.zip"]);
    let proxy = Proxy::start(&server, fault);
    let run = stemson(&[
        "test-hot-swap",
        "--api-url",
        &proxy.address,
        "--admin-url",
        &proxy.address,
        "--load",
        "100",
        "--seconds",
        "1",
        "--model-v1",
        V1,
        "--model-v2",
        V2,
        "--format",
        "json",
    ]);
    let report = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run, report)
}

#[test]
fn our_server_swaps_unnoticed() {
    let folder = Folder::new();
    std::fs::copy(V1, folder.path("churn.zip")).unwrap();
    let server = Serving::start(&folder, &["churn.zip"]);
    let (api, admin) = (format!("http://{}", server.http), format!("http://{}", server.admin));
    let common = ["test-hot-swap", "--api-url", &api, "--admin-url", &admin, "--model-v2", V2];
    // The old model's answers are taken from the server.
    let run = stemson(&[&common[..], &["--seconds", "1"]].concat());
    assert_eq!(run.stderr, "");
    // Not the verdict: a busy machine may make anybody wait.
    for expected in [
        "churn at http://127.0.0.1",
        "changed by admin; the old model's answers from the server",
        "0 by 5xx, 0 by 4xx, 0 without an answer",
        "wrong       0; by a model that was not current 0",
        "seen in an answer after",
        "MiB before",
    ] {
        assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
    }
}

#[test]
fn faults_are_seen() {
    let (_, report) = check(Fault::None);
    assert_eq!(report["v1_from"], "artifact");
    for counter in ["server_errors", "transport_errors", "refused", "stale", "wrong"] {
        assert_eq!(report[counter], 0, "{counter}: {report}");
    }
    for (fault, counter) in [
        (Fault::Fails, "server_errors"),
        (Fault::Drops, "transport_errors"),
        (Fault::Stale, "stale"),
        (Fault::Wrong, "wrong"),
    ] {
        let (run, report) = check(fault);
        assert_eq!(run.code, 1, "{fault:?}: {}{}", run.stdout, run.stderr);
        assert!(report[counter].as_u64() > Some(0), "{fault:?}: {report}");
        assert_eq!(report["verdict"]["good"], false);
    }
    let (run, report) = check(Fault::Stalls);
    assert_eq!(run.code, 1, "{report}");
    assert!(report["verdict"]["synthesis"].as_str().unwrap().contains("waited"), "{report}");
}

#[test]
fn answers_and_calls_may_be_given() {
    let folder = Folder::new();
    std::fs::copy(V1, folder.path("churn.zip")).unwrap();
    let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/../validate/models/rows.jsonl");
    for (model, answers) in [(V1, "v1.jsonl"), (V2, "v2.jsonl")] {
        let answers = folder.path(answers);
        let run =
            stemson(&["score", model, "--input", rows, "--output", &answers, "--format", "jsonl"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    let server = Serving::start(&folder, &["churn.zip"]);
    let curl = |path: &str, body: &str| {
        let admin = &server.admin;
        format!("curl -sf {body} -X POST http://{admin}/admin/models/churn/{path} >/dev/null")
    };
    let run = stemson(&[
        "test-hot-swap",
        "--api-url",
        &server.http,
        "--seconds",
        "1",
        "--model-v2",
        V2,
        "--requests",
        rows,
        "--expected-v1",
        &folder.path("v1.jsonl"),
        "--expected-v2",
        &folder.path("v2.jsonl"),
        "--swap-command",
        &curl("swap", &format!("--data-binary @{V2}")),
        "--rollback-command",
        &curl("rollback", ""),
    ]);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.contains("0 by 5xx, 0 by 4xx, 0 without an answer"), "{}", run.stdout);
    assert!(run.stdout.contains("changed by command; the old model's answers from the file"));
}

#[test]
fn what_cannot_be_tested_is_named() {
    let folder = Folder::new();
    std::fs::copy(V1, folder.path("churn.zip")).unwrap();
    let server = Serving::start(&folder, &["churn.zip"]);
    let (api, admin) = (format!("http://{}", server.http), format!("http://{}", server.admin));
    let nobody = "http://127.0.0.1:9";
    let text = folder.write("text.zip", "no model");
    let no_rows = folder.write("rows.jsonl", "[1]\n");
    for (arguments, code, expected) in [
        (&["--api-url", nobody, "--model-v2", V2][..], 3, "127.0.0.1:9 does not answer"),
        (&["--api-url", "https://x", "--model-v2", V2], 2, "TLS is not spoken here"),
        (&["--api-url", &api, "--model-v2", "/nowhere.zip"], 2, "cannot read /nowhere.zip"),
        (&["--api-url", &api, "--model-v2", &text], 2, "--model-v2"),
        (&["--api-url", &api, "--model-v2", V2, "--model", "other"], 3, "404"),
        (
            &["--api-url", &api, "--model-v2", V2, "--requests", &no_rows],
            2,
            "line 1: expected a JSON",
        ),
        (&["--api-url", &api, "--admin-url", nobody, "--model-v2", V2], 3, "127.0.0.1:9"),
        (
            &["--api-url", &api, "--admin-url", &admin, "--model-v2", V1],
            2,
            "both models give the same answers",
        ),
    ] {
        let run = stemson(&[&["test-hot-swap"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
    }
}
