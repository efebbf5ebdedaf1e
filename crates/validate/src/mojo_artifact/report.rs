//! The report: checks, figures, and the verdict built from them.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};
use stemson_mojo::Digest;

use super::{Request, Runtime};
use crate::verdict::Verdict;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Worth a look; changes no verdict.
    Note,
    /// There was nothing to compare with.
    NotCompared,
    /// The artifact may not be released.
    Bad,
}

impl Outcome {
    /// `good`, `note`, `not compared` or `bad`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::NotCompared => "not compared",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What: `load`, `structure`, `answers`, ...
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// With its figures.
    pub message: String,
}

/// What the model costs. Times are of this machine, now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// From the file to the first answer.
    pub cold_start_ms: f64,
    /// The loaded form, by its own count.
    pub model_bytes: u64,
    /// Growth of the process while loading; `None` where the system does not tell.
    pub resident_bytes: Option<u64>,
    /// Rows asked one by one.
    pub rows_asked: usize,
    /// Time of one row: half of them took no longer.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of a hundred.
    pub p99_us: f64,
    /// All.
    pub max_us: f64,
}

/// Entries by what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Structure {
    pub(super) entries: usize,
    pub(super) needed: usize,
    pub(super) known: Vec<String>,
    pub(super) foreign: Vec<String>,
}

/// Values compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answers {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) same: u64,
    pub(super) near: u64,
    pub(super) different: u64,
    /// Largest relative difference.
    pub(super) largest: f64,
    /// The first that is different, in words.
    pub(super) first: Option<String>,
}

/// All that is known of an artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    mojo: String,
    runtime: Runtime,
    digest: Digest,
    file_bytes: u64,
    pub(super) h2o_version: Option<String>,
    /// In the order of the work.
    pub checks: Vec<Check>,
    pub(super) structure: Option<Structure>,
    pub(super) answers: Option<Answers>,
    /// Zeros if the model cannot be loaded.
    pub figures: Figures,
    /// What follows.
    pub verdict: Verdict,
}

impl Report {
    pub(super) fn new(request: &Request, digest: Digest, file_bytes: u64) -> Self {
        let empty = String::new;
        Self {
            mojo: request.mojo.display().to_string(),
            runtime: request.runtime,
            digest,
            file_bytes,
            h2o_version: None,
            checks: Vec::new(),
            structure: None,
            answers: None,
            figures: Figures::default(),
            verdict: Verdict {
                good: false,
                thesis: empty(),
                antithesis: empty(),
                synthesis: empty(),
            },
        }
    }

    fn add(&mut self, name: &'static str, outcome: Outcome, message: impl Into<String>) {
        self.checks.push(Check { name, outcome, message: message.into() });
    }

    pub(super) fn good(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(name, Outcome::Good, message);
    }

    pub(super) fn note(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(name, Outcome::Note, message);
    }

    pub(super) fn skip(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(name, Outcome::NotCompared, message);
    }

    pub(super) fn bad(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(name, Outcome::Bad, message);
    }

    fn all(&self, outcome: Outcome) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.outcome == outcome)
    }

    pub(super) fn finished(mut self) -> Self {
        let figures = &self.figures;
        let digest = self.digest.short();
        let bad: Vec<&Check> = self.all(Outcome::Bad).collect();
        let loaded = self.structure.is_some();
        let thesis = if loaded {
            format!(
                "The MOJO {digest} loads without a JVM: first answer after {:.1} ms, {:.1} MiB in memory, \
                 a row in {:.1} us (p99 {:.1} us).",
                figures.cold_start_ms,
                figures.model_bytes as f64 / 1_048_576.0,
                figures.p50_us,
                figures.p99_us
            )
        } else {
            format!("The file {digest} of {} bytes claims to be a MOJO.", self.file_bytes)
        };
        let antithesis = match (bad.first(), &self.answers) {
            (Some(first), _) => format!(
                "{} of {} checks speak against it, the first: {}: {}.",
                bad.len(),
                self.checks.len(),
                first.name,
                first.message.trim_end_matches('.')
            ),
            (None, Some(answers)) => format!(
                "Of {} values in {} rows {} differ in the last places, by {:.1e} at most.",
                answers.same + answers.near,
                answers.rows,
                answers.near,
                answers.largest
            ),
            (None, None) => format!(
                "{} of {} checks had nothing to compare with, the answers among them.",
                self.all(Outcome::NotCompared).count(),
                self.checks.len()
            ),
        };
        let good = bad.is_empty();
        let synthesis = match (good, &self.answers) {
            (false, _) => {
                "Do not release it; export the model again, and validate what comes out.".to_owned()
            }
            (true, Some(answers)) => format!(
                "Release it under the digest {digest}: {} answers hold.",
                answers.same + answers.near
            ),
            (true, None) => format!(
                "Release it under the digest {digest} if its answers were judged elsewhere, or give \
                 `--reference` and `--expected`."
            ),
        };
        self.verdict = Verdict { good, thesis, antithesis, synthesis };
        self
    }

    /// For scripts. Keys may be added, none goes away.
    pub fn to_json(&self) -> Value {
        let check = |check: &Check| json!({"name": check.name, "outcome": check.outcome.as_str(), "message": check.message});
        let structure = self.structure.as_ref().map(|it| {
            json!({"entries": it.entries, "needed": it.needed, "known": it.known, "foreign": it.foreign})
        });
        let answers = self.answers.as_ref().map(|it| {
            json!({
                "rows": it.rows, "columns": it.columns, "same": it.same, "near": it.near,
                "different": it.different, "largest_relative_difference": it.largest, "first": it.first,
            })
        });
        let figures = self.structure.as_ref().map(|_| {
            let it = &self.figures;
            json!({
                "cold_start_ms": it.cold_start_ms, "model_bytes": it.model_bytes,
                "resident_bytes": it.resident_bytes, "rows_asked": it.rows_asked,
                "latency_us": {"p50": it.p50_us, "p90": it.p90_us, "p99": it.p99_us, "max": it.max_us},
            })
        });
        json!({
            "mojo": self.mojo,
            "digest": self.digest.to_string(),
            "file_bytes": self.file_bytes,
            "h2o_version": self.h2o_version,
            "runtime": {"asked": self.runtime.as_str(), "judged": "native"},
            "good": self.verdict.good,
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "structure": structure,
            "figures": figures,
            "answers": answers,
            "verdict": self.verdict.to_json(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nsha256 {}, {} bytes\n", self.mojo, self.digest, self.file_bytes)?;
        for check in &self.checks {
            let mut line = String::new();
            write!(line, "{:<12} {:<16} {}", check.outcome.as_str(), check.name, check.message)?;
            let clean: String =
                line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(f, "{}", clean.trim_end())?;
        }
        if self.structure.is_some() {
            let it = &self.figures;
            let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
            let resident = it.resident_bytes.map_or("unknown".to_owned(), mib);
            writeln!(
                f,
                "\ncold start   {:.1} ms from the file to the first answer",
                it.cold_start_ms
            )?;
            writeln!(
                f,
                "memory       {} by its own count, {resident} more resident",
                mib(it.model_bytes)
            )?;
            writeln!(
                f,
                "one row      p50 {:.1} us, p90 {:.1} us, p99 {:.1} us, max {:.1} us over {} rows",
                it.p50_us, it.p90_us, it.p99_us, it.max_us, it.rows_asked
            )?;
        }
        write!(f, "\n{}", self.verdict)
    }
}
