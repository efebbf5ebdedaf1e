//! `cargo xtask fuzz`: the targets of `fuzz/targets` under libFuzzer, one after the other.
//!
//! The compiler is the pinned one. Address sanitizer is the one thing that it does not have on a
//! stable channel, and `RUSTC_BOOTSTRAP=1` asks for it all the same; a nightly compiler is not
//! needed. Beside every run on stable the damaged corpus of `crates/mojo/tests/it/hostile` takes
//! the same parsers to task without libFuzzer.

use crate::setup;
use crate::step::{Failed, Step};

/// Inputs after which a target is done, before its time is up.
const RUNS: u64 = 10_000_000;

/// What came of a target.
#[derive(Default)]
struct Outcome {
    runs: u64,
    seconds: u64,
    /// Edges of the code that were reached, and edges by how often and with which values.
    edges: u64,
    features: u64,
    /// Inputs that reached something new.
    kept: u64,
}

/// Runs `targets`, or all of them, for at most so many seconds each.
pub(crate) fn run(seconds: &str, targets: &[&str]) -> Result<(), Failed> {
    if seconds.parse::<u32>().is_err() {
        return Err(Failed::new("fuzz", format!("`{seconds}` is no number of seconds")));
    }
    let all = all_targets()?;
    if let Some(unknown) = targets.iter().find(|it| !all.iter().any(|target| target == *it)) {
        let what = format!("`{unknown}` is no target, they are {}", all.join(", "));
        return Err(Failed::new("fuzz", what));
    }
    setup::fuzzer()?;
    let seeds = "cargo run --quiet --release --manifest-path fuzz/Cargo.toml --bin seeds";
    Step::new("seeds", seeds).run()?;
    // Each target is built when its turn comes: those that are not named are not.
    let chosen = all.iter().filter(|it| targets.is_empty() || targets.contains(&it.as_str()));
    let (mut table, mut failures) = (Vec::new(), Vec::new());
    for target in chosen {
        match one(target, seconds) {
            Ok(outcome) => table.push(outcome.row(target)),
            Err(failed) => failures.push(failed),
        }
    }
    eprintln!("\n| target | inputs | seconds | edges | features | kept |");
    eprintln!("| --- | ---: | ---: | ---: | ---: | ---: |\n{}", table.join("\n"));
    failures.into_iter().next().map_or(Ok(()), Err)
}

fn one(target: &str, seconds: &str) -> Result<Outcome, Failed> {
    // One allocation and all memory, the sanitizer's own included; seconds of one input by the clock
    // on the wall, on which others may have a share of the machine.
    let limits = "-malloc_limit_mb=512 -rss_limit_mb=2048 -timeout=30 -print_final_stats=1";
    let call =
        format!("cargo fuzz run {target} -- -runs={RUNS} -max_total_time={seconds} {limits}");
    let mut outcome = Outcome::default();
    Step::new("fuzz", &call).env("RUSTC_BOOTSTRAP", "1").listen(|line| outcome.hear(line))?;
    Ok(outcome)
}

impl Outcome {
    fn row(&self, target: &str) -> String {
        let Self { runs, seconds, edges, features, kept } = self;
        format!("| {target} | {runs} | {seconds} | {edges} | {features} | {kept} |")
    }

    /// `#8192 REDUCE cov: 812 ft: 3021 corp: 245/18Kb lim: 163 ...`, and the last lines of a run.
    fn hear(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let mut after = |key: &str| words.find(|word| *word == key).and_then(|_| words.next());
        let count = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        if line.starts_with('#') {
            if let (Some(edges), Some(features)) = (count(after("cov:")), count(after("ft:"))) {
                (self.edges, self.features) = (edges, features);
                let kept = after("corp:").and_then(|word| word.split('/').next());
                self.kept = count(kept).unwrap_or(self.kept);
            }
        } else if line.starts_with("Done ") {
            self.runs = count(after("Done")).unwrap_or(0);
            self.seconds = count(after("in")).unwrap_or(0);
        }
    }
}

fn all_targets() -> Result<Vec<String>, Failed> {
    let failed = |cause| Failed::new("fuzz", format!("fuzz/targets cannot be read: {cause}"));
    let files = std::fs::read_dir(crate::root().join("fuzz/targets")).map_err(failed)?;
    let stem = |file: std::fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(stem).collect();
    names.sort();
    Ok(names)
}
