//! What was there before: a file of fingerprints that are let pass, so that only new findings count.
//!
//! A fingerprint holds the path, the rule and the line's own text, so a finding is known again when lines
//! above it come and go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::{By, Remark, Report, Suppression};

/// A baseline file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    findings: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    rule: String,
    path: String,
}

impl Baseline {
    /// Of all that is open in a report.
    pub fn of(report: &Report) -> Self {
        let entry = |finding: &crate::Finding| Entry {
            fingerprint: finding.fingerprint.clone(),
            rule: finding.rule.id.to_owned(),
            path: finding.path.clone(),
        };
        Self { version: 1, findings: report.open().map(entry).collect() }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
        if read.version != 1 {
            return Err(format!("`version` is {}, expected 1", read.version));
        }
        Ok(read)
    }

    /// The file's text.
    pub fn render(&self) -> String {
        // A list of texts always renders.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Findings in it.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether it lets nothing pass.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Lets pass what is in it, and tells how much of it is gone. `name`: how the file is called.
    pub fn apply(&self, report: &mut Report, name: &str) {
        let known: BTreeSet<&str> = self.findings.iter().map(|it| &*it.fingerprint).collect();
        let mut seen = BTreeSet::new();
        for finding in report.findings.iter_mut().filter(|it| it.suppressed.is_none()) {
            if let Some(known) = known.get(&*finding.fingerprint) {
                seen.insert(*known);
                finding.suppressed = Some(Suppression {
                    by: By::Baseline,
                    reason: format!("in {name}"),
                    approved_by: String::new(),
                    expires: String::new(),
                });
            }
        }
        let gone = known.len() - seen.len();
        if gone > 0 {
            let message = format!("{gone} of its findings are gone: write it again");
            report.remarks.push(Remark { path: name.to_owned(), line: 0, message });
        }
    }
}
