//! Walks folders and judges every file in them, on all cores.
//!
//! A gate must see what ships, so hidden files and those that `.gitignore` names are looked at, too;
//! only `.git` itself is not. Symbolic links are counted and not followed: what they lead to is
//! looked at where it lies.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};
use sha2::{Digest as _, Sha256};

use crate::artifacts::{self, ArtifactRule, Fault, Judgement, Limits};
use crate::finding::{Finding, Report, hex};
use crate::source::shown;

/// Judges all files at and below `paths`. `threads` 0: one per core.
///
/// A file that cannot be read is a finding.
///
/// # Errors
/// One of `paths` does not exist.
pub fn check(paths: &[PathBuf], limits: &Limits, threads: usize) -> io::Result<Report> {
    for path in paths {
        path.metadata().map_err(|cause| {
            io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
        })?;
    }
    let Some((first, others)) = paths.split_first() else { return Ok(Report::default()) };
    let mut walk = WalkBuilder::new(first);
    for path in others {
        walk.add(path);
    }
    walk.standard_filters(false).follow_links(false).threads(threads);
    walk.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    let report = Mutex::new(Report::default());
    walk.build_parallel().run(|| {
        Box::new(|entry| {
            let found = visit(entry, limits);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.files += found.files;
            report.links += found.links;
            report.mojos += found.mojos;
            report.findings.extend(found.findings);
            WalkState::Continue
        })
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.settle();
    Ok(report)
}

fn visit(entry: Result<DirEntry, ignore::Error>, limits: &Limits) -> Report {
    let entry = match entry {
        Ok(entry) => entry,
        Err(cause) => {
            return Report {
                findings: vec![unreadable(String::new(), &cause)],
                ..Report::default()
            };
        }
    };
    // A link that the caller names stands for what it leads to.
    let named = entry.depth() == 0 && entry.path().is_file();
    let kind = entry.file_type();
    if kind.is_some_and(|kind| kind.is_symlink()) && !named {
        return Report { links: 1, ..Report::default() };
    }
    if !named && !kind.is_some_and(|kind| kind.is_file()) {
        return Report::default();
    }
    judge(entry.path(), limits)
}

fn judge(path: &Path, limits: &Limits) -> Report {
    let shown = shown(path);
    // Whatever a reader of somebody's bytes does wrong must not open the gate for all others.
    let judged =
        catch_unwind(AssertUnwindSafe(|| artifacts::judge_file(&mut File::open(path)?, limits)));
    let judged = judged.unwrap_or_else(|_| {
        let message = "looking into it broke off; please report this file".to_owned();
        let fault = Fault { inside: Vec::new(), rule: ArtifactRule::Opaque, message };
        Ok(Judgement { faults: vec![fault], mojos: 0 })
    });
    let mut report = Report { files: 1, ..Report::default() };
    match judged {
        Ok(judgement) => {
            report.mojos = judgement.mojos;
            if !judgement.faults.is_empty() {
                let sha256 = digest(path).unwrap_or_default();
                report.findings = judgement
                    .faults
                    .into_iter()
                    .map(|fault| Finding {
                        inside: fault.inside,
                        sha256: sha256.clone(),
                        ..Finding::of_file(fault.rule.page(), shown.clone(), fault.message)
                    })
                    .collect();
            }
        }
        Err(cause) => report.findings.push(unreadable(shown, &cause)),
    }
    report
}

fn unreadable(path: String, cause: &dyn std::error::Error) -> Finding {
    let message = format!("cannot be read: {cause}");
    Finding::of_file(ArtifactRule::Unreadable.page(), path, message)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => sha256.update(&chunk[..read]),
        }
    }
    Ok(hex(&sha256.finalize()))
}
