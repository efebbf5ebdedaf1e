//! What the last run found, for a repository whose texts have not changed.
//!
//! The key is a digest of every text, of the rules and of this program, so nothing that is kept can be
//! stale; artifacts are judged each time. One file for each set of folders.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::finding::{Finding, Remark, hex};
use crate::rule::rules;
use crate::source::Source;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    key: String,
    pub(crate) findings: Vec<Finding>,
    pub(crate) remarks: Vec<Remark>,
}

/// A place for what is kept, and the key of these texts.
#[derive(Debug)]
pub(crate) struct Cache {
    file: PathBuf,
    key: String,
}

impl Cache {
    /// In `folder`. `program`: what tells one build of this program from another.
    /// `artifacts`: what the artifact policy found, which rules ask for, too.
    pub(crate) fn new(
        folder: &Path,
        program: &str,
        paths: &[PathBuf],
        sources: &[Source],
        artifacts: &[Finding],
    ) -> Self {
        let mut roots = Sha256::new();
        for path in paths {
            let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
            roots.update(whole.to_string_lossy().as_bytes());
            roots.update([0]);
            // How paths are shown depends on how they were given.
            roots.update(path.to_string_lossy().as_bytes());
            roots.update([0]);
        }
        let mut key = Sha256::new();
        key.update(program.as_bytes());
        for rule in rules() {
            key.update(rule.body.as_bytes());
        }
        for source in sources {
            for part in [&source.path, &source.text] {
                key.update((part.len() as u64).to_le_bytes());
                key.update(part.as_bytes());
            }
        }
        for finding in artifacts {
            for part in [&finding.path, &finding.message, &finding.sha256] {
                key.update((part.len() as u64).to_le_bytes());
                key.update(part.as_bytes());
            }
        }
        let name = format!("check-{}.json", hex(&roots.finalize()[..12]));
        Self { file: folder.join(name), key: hex(&key.finalize()) }
    }

    /// What is kept for these texts.
    pub(crate) fn read(&self) -> Option<Kept> {
        let text = fs::read(&self.file).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        (kept.key == self.key).then_some(kept)
    }

    /// Keeps it. A cache that cannot be written is none.
    pub(crate) fn write(&self, findings: &[Finding], remarks: &[Remark]) {
        let kept =
            Kept { key: self.key.clone(), findings: findings.to_vec(), remarks: remarks.to_vec() };
        let Ok(text) = serde_json::to_vec(&kept) else { return };
        let beside = self.file.with_extension(format!("{}.tmp", std::process::id()));
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&beside, text))
            .and_then(|()| fs::rename(&beside, &self.file));
        if written.is_err() {
            drop(fs::remove_file(&beside));
        }
    }
}
