//! One run over a repository: artifacts, texts, facts, checks, suppressions, in that order.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::thread::{self, available_parallelism};

use crate::artifacts::Limits;
use crate::cache::Cache;
use crate::facts::Facts;
use crate::finding::{Finding, Remark, Report};
use crate::python::{Program, STACK_BYTES};
use crate::rules::{CHECKS, Findings, PROGRAM_CHECKS};
use crate::select::Selection;
use crate::source::{self, Source};
use crate::{suppress, walk};

/// What a run looks at, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of the artifact policy.
    pub limits: Limits,
    /// 0: one per core.
    pub threads: usize,
    /// Which rules count.
    pub selection: Selection,
    /// Day against which suppressions in comments are held, `YYYY-MM-DD`.
    pub today: String,
    /// Only findings of these files, as they are shown, or with a step of their chain in them.
    pub only: Option<BTreeSet<String>>,
    /// Folder for what is kept until the texts change, and what tells this build from another.
    pub cache: Option<(PathBuf, String)>,
}

/// Judges artifacts and audits texts at and below `paths`.
///
/// # Errors
/// One of `paths` does not exist.
pub fn audit(paths: &[PathBuf], options: &Options) -> io::Result<Report> {
    let mut report = walk::check(paths, &options.limits, options.threads)?;
    let threads = match options.threads {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (sources, remarks) = source::read(paths, threads);
    report.remarks.extend(remarks);
    let cache = options.cache.as_ref();
    let cache = cache
        .map(|(folder, program)| Cache::new(folder, program, paths, &sources, &report.findings));
    let (findings, remarks, sources) = match cache.as_ref().and_then(Cache::read) {
        Some(kept) => (kept.findings, kept.remarks, sources),
        None => {
            let (findings, facts) = judge(sources, report.findings.clone(), threads);
            if let Some(cache) = &cache {
                cache.write(&findings, &facts.remarks);
            }
            (findings, facts.remarks, facts.sources)
        }
    };
    report.findings.extend(findings);
    report.remarks.extend(remarks);
    report.strict = options.selection.is_strict();
    // Before anything is left out, so that a fingerprint does not depend on what is chosen.
    report.settle();
    report.findings.retain(|finding| options.selection.wants(finding.rule));
    suppress::apply(&mut report, &sources, &options.today);
    if let Some(only) = &options.only {
        let within = |finding: &Finding| {
            only.contains(&finding.path) || finding.chain.iter().any(|hop| only.contains(&hop.path))
        };
        report.findings.retain(within);
        report.remarks.retain(|remark| only.contains(&remark.path));
    }
    Ok(report)
}

/// What the rules find in texts that were read elsewhere, and what does not parse; nothing is chosen or
/// suppressed.
pub fn audit_sources(sources: Vec<Source>) -> (Vec<Finding>, Vec<Remark>) {
    let (findings, facts) = judge(sources, Vec::new(), 1);
    (findings, facts.remarks)
}

/// What all checks find, and the facts.
fn judge(sources: Vec<Source>, artifacts: Vec<Finding>, threads: usize) -> (Vec<Finding>, Facts) {
    let mut facts = Facts::new(sources, artifacts, threads);
    // Expressions are walked as deep as they are: on a stack that holds the deepest.
    let findings = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        let checks = thread.spawn_scoped(scope, || run(&facts));
        checks.ok().and_then(|checks| checks.join().ok())
    });
    let Some(findings) = findings else {
        let message = "the checks broke off; please report this repository".to_owned();
        facts.remarks.push(Remark { path: String::new(), line: 0, message });
        return (Vec::new(), facts);
    };
    (findings, facts)
}

fn run(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::new(facts);
    for check in CHECKS {
        check(facts, &mut findings);
    }
    let program = Program::new(facts);
    for check in PROGRAM_CHECKS {
        check(&program, &mut findings);
    }
    findings.list
}
