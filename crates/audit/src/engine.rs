//! One run over a repository: artifacts, facts, checks, in that order.

use std::io;
use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::artifacts::Limits;
use crate::facts::Facts;
use crate::finding::Report;
use crate::python::Program;
use crate::rules::{CHECKS, Findings, PROGRAM_CHECKS};
use crate::{source, walk};

/// What a run looks at, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Of the artifact policy.
    pub limits: Limits,
    /// 0: one per core.
    pub threads: usize,
}

/// Judges artifacts and audits sources at and below `paths`.
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
    let facts = Facts::new(sources, std::mem::take(&mut report.findings), threads);
    report.findings = judge(&facts);
    report.findings.extend(facts.artifacts);
    report.remarks.extend(remarks);
    report.remarks.extend(facts.remarks);
    report.settle();
    Ok(report)
}

/// What all checks find.
fn judge(facts: &Facts) -> Vec<crate::finding::Finding> {
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
