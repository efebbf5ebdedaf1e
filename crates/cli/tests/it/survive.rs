//! A server that is killed, ended, or given other models while it is asked.
#![expect(clippy::print_stderr, reason = "figures, for those who run the long forms")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::serve::{Serving, ask};
use crate::{Folder, case, h2};

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

/// Asks once on a connection that is kept, and says which revision has answered.
type Ask = Box<dyn FnMut() -> Result<String, String>>;

/// How a caller connects, with its name.
type Way = (&'static str, fn(&Serving) -> Ask);

const CALLERS: [Way; 4] =
    [("rest", rest), ("rest", rest), ("grpc", unary), ("grpc stream", stream)];

fn rest(serving: &Serving) -> Ask {
    let mut client = Client::connect(&serving.http).unwrap();
    Box::new(move || match client.post(PREDICT, ROW.as_bytes()) {
        Some((200, _, body)) => Ok(revision(&body)),
        other => Err(format!("{other:?}")),
    })
}

fn unary(serving: &Serving) -> Ask {
    Box::new(h2::unary(&serving.grpc))
}

fn stream(serving: &Serving) -> Ask {
    Box::new(h2::stream(&serving.grpc))
}

/// What a caller has seen.
struct Seen {
    way: &'static str,
    /// Before the first swap, and from then on.
    latencies: [Vec<Duration>; 2],
    wrong: Vec<String>,
}

/// How far the swaps are: the n-th makes artifact n % 2 current.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    done: AtomicUsize,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Progress {
    /// Asks once every `period`, and judges each answer.
    fn ask(&self, way: &'static str, mut ask: Ask, period: Duration, digests: &[String]) -> Seen {
        let mut seen = Seen { way, latencies: Default::default(), wrong: Vec::new() };
        let mut due = Instant::now();
        while !self.is_over.load(SeqCst) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let first = self.done.load(SeqCst);
            let answer = ask();
            let last = self.begun.load(SeqCst);
            seen.latencies[usize::from(last > 0)].push(due.elapsed());
            due += period;
            let is_right = answer
                .as_ref()
                .is_ok_and(|revision| (first..=last).any(|n| digests[n % 2] == *revision));
            if !is_right {
                seen.wrong.push(format!("{way}, between swap {first} and {last}: {answer:?}"));
            }
            self.answered.fetch_add(1, SeqCst);
        }
        seen
    }
}

/// Two callers by REST and two by gRPC ask `per_second` times a second on connections that they
/// keep.
fn swaps_under_load(swaps: usize, per_second: u32, undisturbed: usize) {
    let (folder, artifacts) = (folder(), artifacts());
    let serving = Serving::start(&folder, &["m.zip"]);
    let mut digests = vec![String::new(); 2];
    for n in [1, 0] {
        let (status, answer) = ask(&serving.admin, "POST", SWAP, &artifacts[n]);
        assert_eq!(status, 200, "{answer}");
        answer["revision"].as_str().unwrap().clone_into(&mut digests[n]);
    }
    let progress = Progress::default();
    let period = Duration::from_secs(CALLERS.len() as u64) / per_second;
    let load = |(way, connect): Way| progress.ask(way, connect(&serving), period, &digests);
    let (seen, before, after) = std::thread::scope(|scope| {
        let loads: Vec<_> = CALLERS.map(|caller| scope.spawn(move || load(caller))).into();
        while progress.answered.load(SeqCst) < undisturbed {
            assert!(!loads.iter().any(ScopedJoinHandle::is_finished), "a caller has panicked");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut before = 0;
        let mut admin = Client::connect(&serving.admin).unwrap();
        for n in 1..=swaps {
            if n == swaps / 4 {
                // The first swaps fill caches and buffers.
                before = serving.resident_kib();
            }
            // The callers must get their word in between.
            let answered = progress.answered.load(SeqCst);
            while progress.answered.load(SeqCst) < answered + CALLERS.len()
                && !loads.iter().any(ScopedJoinHandle::is_finished)
            {
                std::thread::yield_now();
            }
            progress.begun.store(n, SeqCst);
            let (status, _, body) = admin.post(SWAP, &artifacts[n % 2]).expect("an answer");
            assert_eq!(status, 200, "swap {n}: {}", String::from_utf8_lossy(&body));
            progress.done.store(n, SeqCst);
        }
        let after = serving.resident_kib();
        progress.is_over.store(true, SeqCst);
        let seen: Vec<Seen> = loads.into_iter().map(|load| load.join().unwrap()).collect();
        (seen, before, after)
    });
    let requests: usize = seen.iter().flat_map(|seen| &seen.latencies).map(Vec::len).sum();
    let wrong: Vec<&String> = seen.iter().flat_map(|seen| &seen.wrong).collect();
    let n = wrong.len();
    eprintln!("{swaps} swaps, {requests} requests, {n} wrong");
    eprintln!("resident {before} KiB after a quarter of them, {after} KiB at the end");
    for seen in &seen {
        let p99 = seen.latencies.each_ref().map(|latencies| quantile(latencies, 0.99));
        let median = seen.latencies.each_ref().map(|latencies| quantile(latencies, 0.5));
        let way = seen.way;
        eprintln!("{way}: median {median:?}, p99 {p99:?} [before the first swap, during them]");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    if swaps >= 1_000 {
        assert!(after * 20 <= before * 21, "{before} KiB became {after} KiB");
    }
}

/// How long the given share of them took at most.
fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut latencies = latencies.to_vec();
    latencies.sort_unstable();
    let at = (latencies.len() as f64 * share) as usize;
    latencies.get(at.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[test]
fn swaps_are_not_noticed() {
    swaps_under_load(20, 200, 20);
}

#[test]
#[ignore = "long: 1,000 swaps at 500 requests per second"]
fn a_thousand_swaps_are_not_noticed() {
    swaps_under_load(1_000, 500, 5_000);
}
