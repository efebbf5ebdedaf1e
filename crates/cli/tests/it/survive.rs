//! A server that is killed, ended, or given other models while it is asked.
#![expect(clippy::print_stderr, reason = "figures, for those who run the long forms")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::serve::{Serving, ask};
use crate::{Folder, case};

const ROW: &str = r#"{"instances":[{"x1":1}]}"#;
const PREDICT: &str = "/v1/models/m:predict";
const SWAP: &str = "/admin/models/m/swap";

fn artifacts() -> [Vec<u8>; 2] {
    ["gbm_bernoulli", "gbm_platt"].map(|id| fs::read(case(id, "model.zip")).unwrap())
}

fn folder() -> Folder {
    let folder = Folder::new();
    fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("m.zip")).unwrap();
    folder
}

/// A connection that is kept; `None` where the server does not answer.
struct Client {
    stream: BufReader<TcpStream>,
}

/// Status, whether this was the connection's last answer, and the body.
type Answer = (u16, bool, Vec<u8>);

impl Client {
    fn connect(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
        Some(Self { stream: BufReader::new(stream) })
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Option<Answer> {
        let n = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {n}\r\n\r\n");
        let whole = [head.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&whole).ok()?;
        let (mut status, mut length, mut is_last) = (0, 0, false);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(' ') {
                Some(("http/1.1", rest)) => status = rest.split(' ').next()?.parse().ok()?,
                Some(("content-length:", n)) => length = n.parse().ok()?,
                Some(("connection:", "close")) => is_last = true,
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((status, is_last, body))
    }
}

fn revision(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap();
    answer["revision"].as_str().unwrap().to_owned()
}

/// Kills the server with SIGKILL while it swaps, again and again at another moment.
fn killed_while_it_swaps(times: u32) {
    let (folder, artifacts) = (folder(), artifacts());
    let digests: Vec<String> = {
        let serving = Serving::start(&folder, &["m.zip"]);
        let swap = |n: usize| ask(&serving.admin, "POST", SWAP, &artifacts[n]).1;
        let second = swap(1)["revision"].as_str().unwrap().to_owned();
        vec![swap(0)["revision"].as_str().unwrap().to_owned(), second]
    };
    let mut old = digests[0].clone();
    let mut possible = BTreeSet::from([old.clone()]);
    let mut took = Duration::from_millis(20);
    let mut new = 0;
    for round in 0..times {
        let serving = Serving::start(&folder, &["m.zip"]);
        let (status, answer) = ask(&serving.http, "POST", PREDICT, ROW.as_bytes());
        assert_eq!(status, 200, "round {round}: {answer}");
        let found = answer["revision"].as_str().unwrap().to_owned();
        assert!(possible.contains(&found), "round {round}: {found} is neither {possible:?}");
        new += u32::from(possible.len() == 2 && found != old);
        old.clone_from(&found);
        let next = digests.iter().position(|digest| *digest != found).unwrap();
        let (artifact, admin) = (artifacts[next].clone(), serving.admin.clone());
        let swap = std::thread::spawn(move || {
            let begun = Instant::now();
            let answer = Client::connect(&admin)?.post(SWAP, &artifact)?;
            Some((answer.0, begun.elapsed()))
        });
        // From before the first byte arrives to after the answer has gone.
        std::thread::sleep(took * 5 / 4 * round / times.max(1));
        drop(serving);
        possible = BTreeSet::from([found, digests[next].clone()]);
        if let Some((status, needed)) = swap.join().unwrap() {
            assert_eq!(status, 200, "round {round}");
            // What was answered is kept.
            possible = BTreeSet::from([digests[next].clone()]);
            took = needed;
        }
    }
    eprintln!("{times} kills, after {new} of which the new revision came back unannounced");
    let left = fs::read_dir(folder.path("stemson-data/artifacts")).unwrap();
    assert!(left.count() <= 3, "two artifacts, and at most what the last kill has left");
}

#[test]
fn a_kill_in_the_middle_of_a_swap_leaves_the_old_or_the_new() {
    killed_while_it_swaps(10);
}

#[test]
#[ignore = "long: 100 kills"]
fn a_hundred_kills_in_the_middle_of_a_swap() {
    killed_while_it_swaps(100);
}

#[test]
fn whoever_ends_it_loses_no_request() {
    let folder = folder();
    folder.write("stemson.toml", "[server]\ndrain_delay_seconds = 1\n");
    let serving = Serving::start(&folder, &["m.zip"]);
    let (answered, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(&serving.http).unwrap();
                loop {
                    let (status, is_last, _) =
                        client.post(PREDICT, ROW.as_bytes()).expect("a request is dropped");
                    assert_eq!(status, 200);
                    answered.fetch_add(1, SeqCst);
                    if is_last {
                        told.fetch_add(1, SeqCst);
                        return;
                    }
                }
            });
        }
        while answered.load(SeqCst) < 100 {
            std::thread::yield_now();
        }
        serving.signal("TERM");
    });
    assert_eq!(told.load(SeqCst), 4, "every caller was told to go elsewhere");
    let (code, rest) = serving.ended();
    let is_silent = rest.lines().all(|line| line.contains(" INFO access: answered"));
    assert!(code == Some(0) && is_silent, "{code:?} {rest}");
}

/// What callers have seen.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    wrong: Vec<String>,
}

/// Four callers ask `per_second` times a second on connections that they keep.
fn swaps_under_load(swaps: usize, per_second: u32) {
    let (folder, artifacts) = (folder(), artifacts());
    let serving = Serving::start(&folder, &["m.zip"]);
    let mut digests = vec![String::new(); 2];
    for n in [1, 0] {
        let (status, answer) = ask(&serving.admin, "POST", SWAP, &artifacts[n]);
        assert_eq!(status, 200, "{answer}");
        answer["revision"].as_str().unwrap().clone_into(&mut digests[n]);
    }
    // The n-th swap makes artifact n % 2 current.
    let (begun, done, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let period = Duration::from_secs(4) / per_second;
    let load = || {
        let mut client = Client::connect(&serving.http).unwrap();
        let (mut seen, mut due) = (Seen::default(), Instant::now());
        while !is_over.load(SeqCst) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let first = done.load(SeqCst);
            let answer = client.post(PREDICT, ROW.as_bytes());
            let last = begun.load(SeqCst);
            seen.latencies.push(due.elapsed());
            due += period;
            let is_right = answer.is_some_and(|(status, _, body)| {
                status == 200 && (first..=last).any(|n| digests[n % 2] == revision(&body))
            });
            if !is_right {
                seen.wrong.push(format!("between swap {first} and {last}"));
            }
        }
        seen
    };
    let (seen, before, after) = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let mut before = 0;
        let mut admin = Client::connect(&serving.admin).unwrap();
        for n in 1..=swaps {
            if n == swaps / 4 {
                // The first swaps fill caches and buffers.
                before = serving.resident_kib();
            }
            begun.store(n, SeqCst);
            let (status, _, body) = admin.post(SWAP, &artifacts[n % 2]).expect("an answer");
            assert_eq!(status, 200, "swap {n}: {}", String::from_utf8_lossy(&body));
            done.store(n, SeqCst);
        }
        let after = serving.resident_kib();
        is_over.store(true, SeqCst);
        let seen: Vec<Seen> = loads.into_iter().map(|load| load.join().unwrap()).collect();
        (seen, before, after)
    });
    let wrong: Vec<&String> = seen.iter().flat_map(|seen| &seen.wrong).collect();
    let mut latencies: Vec<Duration> =
        seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    eprintln!(
        "{swaps} swaps, {} requests, {} wrong, p99 {:?}; resident {before} KiB, then {after} KiB",
        latencies.len(),
        wrong.len(),
        latencies[latencies.len() * 99 / 100]
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    if swaps >= 1_000 {
        assert!(after * 20 <= before * 21, "{before} KiB became {after} KiB");
    }
}

#[test]
fn swaps_are_not_noticed() {
    swaps_under_load(20, 200);
}

#[test]
#[ignore = "long: 1,000 swaps at 500 requests per second"]
fn a_thousand_swaps_are_not_noticed() {
    swaps_under_load(1_000, 500);
}
