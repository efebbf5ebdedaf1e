//! Engines that score the same rows in turns, each a process of its own.
//!
//! An engine writes `ready N` when model and rows are loaded and the code is warm, then answers
//! each line that it reads with a number on a line:
//!
//! ```text
//! round C N       scores N rows, C in a call, every call on other rows -> processor time in ns
//! answers FILE    scores all rows into FILE, little-endian doubles     -> 0
//! ```
//!
//! Engines: `ours.rs`, `rivals/Genmodel.java`, `rivals/peers.py`. What they print to standard error
//! is shown.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Failure;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Processor time of a round.
    pub(crate) round_ns: f64,
    /// A look, not a measurement: nothing is kept.
    pub(crate) quick: bool,
}

impl Effort {
    /// Short rounds, many of them: where a core is shared with another's thread for seconds, some
    /// round of each engine still has it alone.
    pub(crate) const FULL: Self = Self { rounds: 14, round_ns: 30e6, quick: false };
    pub(crate) const QUICK: Self = Self { rounds: 2, round_ns: 15e6, quick: true };
}

/// A process that takes turns. Ended when dropped.
pub(crate) struct Engine {
    pub(crate) name: String,
    /// What it said of its start: of genmodel, processor time of the first load, in ns.
    pub(crate) first: f64,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Engine {
    /// Starts `command` and waits until it is ready.
    ///
    /// # Errors
    /// If it ends before; the reason stands on standard error.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| format!("{name}: {cause}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{name}: no pipes").into());
        };
        let output = BufReader::new(output);
        let mut engine = Self { name: name.to_owned(), first: 0.0, child, input, output };
        let line = engine.line()?;
        let first = line.strip_prefix("ready ").and_then(|it| it.parse().ok());
        engine.first = first.ok_or_else(|| format!("{name}: `{line}` instead of `ready`"))?;
        Ok(engine)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{} ended", self.name).into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, request: &str) -> Result<f64, Failure> {
        writeln!(self.input, "{request}")?;
        let line = self.line()?;
        line.parse().map_err(|_| format!("{}: `{line}` is no number", self.name).into())
    }

    /// All answers, row-major.
    pub(crate) fn answers(&mut self, scratch: &Path) -> Result<Vec<f64>, Failure> {
        let file = scratch.join("answers.f64");
        self.ask(&format!("answers {}", file.display()))?;
        let bytes = fs::read(&file)?;
        fs::remove_file(&file)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|it| f64::from_le_bytes(*it)).collect())
    }

    /// Processor time of one round, in ns.
    pub(crate) fn round(&mut self, per_call: u64, rows: u64) -> Result<f64, Failure> {
        self.ask(&format!("round {per_call} {rows}"))
    }
}

/// Lets all engines take turns; the least processor time per row of each, in ns.
pub(crate) fn turns(
    engines: &mut [Engine],
    per_call: u64,
    effort: Effort,
) -> Result<Vec<f64>, Failure> {
    let mut rows = Vec::new();
    for engine in engines.iter_mut() {
        rows.push(enough(engine, per_call, effort)?);
    }
    let mut least = vec![f64::INFINITY; engines.len()];
    for _ in 0..effort.rounds {
        for (place, engine) in engines.iter_mut().enumerate() {
            let spent = engine.round(per_call, rows[place])? / rows[place] as f64;
            least[place] = least[place].min(spent);
        }
    }
    Ok(least)
}

/// Rows that keep an engine busy for a round: whole calls, doubled until they can be measured.
fn enough(engine: &mut Engine, per_call: u64, effort: Effort) -> Result<u64, Failure> {
    // The first call makes what all later ones use.
    engine.round(per_call, per_call)?;
    let mut calls = 1;
    loop {
        let spent = engine.round(per_call, calls * per_call)?;
        if spent >= effort.round_ns / 4.0 {
            let more = (calls as f64 * effort.round_ns / spent).ceil() as u64;
            return Ok(more.max(1) * per_call);
        }
        calls *= 2;
    }
}

/// How two lists of answers differ: a ratio of speed says nothing without it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    answers: usize,
    equal: usize,
    ulps: u64,
    absolute: f64,
}

impl Difference {
    pub(crate) fn of(ours: &[f64], theirs: &[f64]) -> Result<Self, Failure> {
        if ours.len() != theirs.len() || ours.is_empty() {
            return Err(format!("{} answers against {}", ours.len(), theirs.len()).into());
        }
        let mut found = Self { answers: ours.len(), equal: 0, ulps: 0, absolute: 0.0 };
        for (a, b) in ours.iter().zip(theirs) {
            if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() {
                found.equal += 1;
                continue;
            }
            let ordered = |x: f64| x.to_bits().cast_signed() ^ (i64::MAX & -i64::from(x < 0.0));
            found.ulps = found.ulps.max(ordered(*a).abs_diff(ordered(*b)));
            found.absolute = found.absolute.max((a - b).abs());
        }
        Ok(found)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.equal == self.answers
    }

    /// Whether all answers lie within `ulps` of each other.
    pub(crate) fn within(&self, ulps: u64) -> bool {
        self.ulps <= ulps
    }

    /// For a table: `equal`, or by how much.
    pub(crate) fn words(&self) -> String {
        if self.is_none() {
            "equal".to_owned()
        } else if self.within(16) {
            let share = 100.0 * self.equal as f64 / self.answers as f64;
            format!("{share:.2} % equal, the rest within {} ulp", self.ulps)
        } else {
            format!("up to {:.1e} apart", self.absolute)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let next = 1.0 + f64::EPSILON;
        let cases: [(&[f64], &[f64], &str); 5] = [
            (&[1.0, f64::NAN], &[1.0, f64::NAN], "equal"),
            (&[1.0, 2.0], &[next, 2.0], "50.00 % equal, the rest within 1 ulp"),
            (&[-1.0, 2.0], &[-next, 2.0], "50.00 % equal, the rest within 1 ulp"),
            (&[1.0], &[1.5], "up to 5.0e-1 apart"),
            // Zero has two signs.
            (&[5e-324], &[-5e-324], "0.00 % equal, the rest within 3 ulp"),
        ];
        for (ours, theirs, expected) in cases {
            assert_eq!(Difference::of(ours, theirs).unwrap().words(), expected);
        }
        assert!(Difference::of(&[1.0], &[]).is_err());
    }
}
