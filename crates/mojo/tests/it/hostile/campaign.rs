//! Many cases of one algorithm: run, counted, judged, kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stemson_mojo::Digest;

use super::made;
use super::mutate;
use super::random::Random;
use super::trial::{self, Trial};
use super::zip::{self, Entry};
use super::{ALLOCATIONS_MAX, PEAK_BYTES_MAX};

/// One input may take so long, in the long form.
const TIME_MAX: Duration = Duration::from_secs(1);
/// Cases between two savings.
const SAVED_EVERY: u64 = 250;

/// `STEMSON_HOSTILE_SEED`, or 1.
pub(super) fn seed() -> u64 {
    let text = std::env::var("STEMSON_HOSTILE_SEED").unwrap_or_else(|_| "1".to_owned());
    text.parse().expect("STEMSON_HOSTILE_SEED is a whole number")
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo")
}

/// Case and algorithm of each model of the corpus.
fn index() -> Vec<(String, String)> {
    let text = fs::read_to_string(corpus().join("index.csv")).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let mut cells = line.split(',').map(str::to_owned);
        (cells.next().unwrap(), cells.next().unwrap())
    });
    rows.collect()
}

pub(super) fn algorithms() -> Vec<String> {
    let mut names: Vec<String> = index().into_iter().map(|(_, algorithm)| algorithm).collect();
    names.sort();
    names.dedup();
    names
}

/// The models of an algorithm, taken apart.
pub(super) fn models(algorithm: &str) -> Vec<(String, Vec<Entry>)> {
    if let Some(entries) = made::model(algorithm) {
        return vec![("made here".to_owned(), entries)];
    }
    let cases = index().into_iter().filter(|case| case.1 == algorithm);
    let models: Vec<_> = cases
        .map(|(case, _)| {
            let bytes = fs::read(corpus().join(&case).join("model.zip")).unwrap();
            (case, zip::read(&bytes))
        })
        .collect();
    assert!(!models.is_empty(), "no model of {algorithm}");
    models
}

/// Writes into `target/hostile`.
pub(super) fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let path = kept(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A half-written file is never seen.
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, &path).unwrap();
    path
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("hostile").join(name)
}

/// The largest of something, and whose it is.
#[derive(Clone, Copy, Default)]
struct Most {
    value: u64,
    case: u64,
}

impl Most {
    fn see(&mut self, value: u64, case: u64) {
        if value > self.value {
            *self = Self { value, case };
        }
    }
}

pub(super) struct Campaign {
    algorithm: String,
    inputs: u64,
    seed: u64,
    /// Cases that are done: all below.
    done: u64,
    /// By outcome.
    counts: BTreeMap<String, u64>,
    peak_bytes: Most,
    allocations: Most,
    micros: Most,
    failures: Vec<String>,
}

impl Campaign {
    pub(super) fn new(algorithm: &str, inputs: u64) -> Self {
        Self {
            algorithm: algorithm.to_owned(),
            inputs,
            seed: seed(),
            done: 0,
            counts: BTreeMap::new(),
            peak_bytes: Most::default(),
            allocations: Most::default(),
            micros: Most::default(),
            failures: Vec::new(),
        }
    }

    /// Runs what is left; `rest` is called now and then.
    pub(super) fn run(&mut self, rest: impl Fn(&Self)) {
        let models = models(&self.algorithm);
        for (name, entries) in models.iter().filter(|_| self.done == 0) {
            let trial = trial::run(0, &zip::pack(entries), true);
            assert_eq!(trial.outcome, "answered", "{name}, undamaged");
        }
        for case in self.done..self.inputs {
            let mut random = Random::of(self.seed, &self.algorithm, case);
            let (bytes, what) = mutate::damage(&models, &mut random);
            let (trial, time) = timed(case, &bytes);
            self.count(case, &what, &trial);
            self.micros.see(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), case);
            self.done = case + 1;
            if self.done.is_multiple_of(SAVED_EVERY) {
                rest(self);
            }
        }
    }

    fn count(&mut self, case: u64, what: &str, trial: &Trial) {
        let usage = trial.usage;
        self.peak_bytes.see(usage.peak_bytes as u64, case);
        self.allocations.see(usage.allocations, case);
        let word = if trial.panicked { "PANIC" } else { &trial.outcome };
        *self.counts.entry(word.to_owned()).or_default() += 1;
        let algorithm = &self.algorithm;
        let mut fail = |why: String| {
            self.failures.push(format!("{algorithm}:{case}: {why} [{what}]"));
        };
        if trial.panicked {
            fail(trial.outcome.clone());
        }
        if usage.peak_bytes > PEAK_BYTES_MAX {
            fail(format!("{} bytes at once", usage.peak_bytes));
        }
        if usage.allocations > ALLOCATIONS_MAX {
            fail(format!("{} allocations", usage.allocations));
        }
    }

    /// Nothing that holds of one input on any machine was broken.
    pub(super) fn judge(&self) {
        println!("{}", self.report());
        let shown: Vec<&str> = self.failures.iter().take(25).map(String::as_str).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} inputs, seed {}; STEMSON_HOSTILE_CASE and `hostile::replay` run one alone\n{}",
            self.failures.len(),
            self.done,
            self.seed,
            shown.join("\n")
        );
    }

    pub(super) fn judge_time(&self) {
        let Most { value, case } = self.micros;
        assert!(
            u128::from(value) <= TIME_MAX.as_micros(),
            "{}:{case} took {value} us, at most {TIME_MAX:?}",
            self.algorithm
        );
    }

    /// What is kept: first what the run was, then what came of it.
    fn report(&self) -> String {
        let mut text = self.identity();
        let mut line = |key: &str, value: String| writeln!(text, "{key} = {value}").unwrap();
        line("done", self.done.to_string());
        let mosts = [
            ("peak_bytes", self.peak_bytes),
            ("allocations", self.allocations),
            ("micros", self.micros),
        ];
        for (key, most) in mosts {
            line(key, format!("{} of case {}", most.value, most.case));
        }
        for (outcome, count) in &self.counts {
            line(&format!("count {outcome}"), count.to_string());
        }
        for failure in &self.failures {
            line("failure", failure.replace('\n', " "));
        }
        text
    }

    /// Results of another build, seed or length are no results.
    fn identity(&self) -> String {
        let build = fs::read(std::env::current_exe().unwrap()).unwrap();
        format!(
            "algorithm = {}\nseed = {}\ninputs = {}\nbuild = {}\n",
            self.algorithm,
            self.seed,
            self.inputs,
            Digest::of(&build)
        )
    }

    pub(super) fn save(&self) {
        keep(&format!("{}.txt", self.algorithm), self.report().as_bytes());
    }

    /// Takes up what an earlier run of the same build has saved.
    pub(super) fn resume(&mut self) {
        let text = fs::read_to_string(kept(&format!("{}.txt", self.algorithm)));
        let Ok(text) = text else { return };
        let Some(results) = text.strip_prefix(&self.identity()) else { return };
        let most = |value: &str| {
            let (value, case) = value.split_once(" of case ").unwrap();
            Most { value: value.parse().unwrap(), case: case.parse().unwrap() }
        };
        for line in results.lines() {
            let (key, value) = line.split_once(" = ").unwrap();
            match key {
                "done" => self.done = value.parse().unwrap(),
                "peak_bytes" => self.peak_bytes = most(value),
                "allocations" => self.allocations = most(value),
                "micros" => self.micros = most(value),
                "failure" => self.failures.push(value.to_owned()),
                _ => {
                    let outcome = key.strip_prefix("count ").unwrap().to_owned();
                    self.counts.insert(outcome, value.parse().unwrap());
                }
            }
        }
    }
}

/// Runs a case; again if it was slow, for the machine may have been busy.
#[expect(clippy::disallowed_methods, reason = "the long form holds inputs to a time")]
fn timed(case: u64, bytes: &[u8]) -> (Trial, Duration) {
    let once = || {
        let start = Instant::now();
        let trial = trial::run(case, bytes, case.is_multiple_of(2));
        (trial, start.elapsed())
    };
    let mut best = once();
    for _ in 0..2 {
        if best.1 <= TIME_MAX {
            break;
        }
        let again = once();
        best.1 = best.1.min(again.1);
    }
    best
}
