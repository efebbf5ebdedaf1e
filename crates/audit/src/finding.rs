//! What is found: findings, the chain that leads to each, and the verdict over all of them.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use crate::import::Imported;
use crate::rule::{Rule, Severity};

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    #[serde(deserialize_with = "by_id")]
    pub rule: &'static Rule,
    /// How bad it is here: the rule's severity, or less.
    pub severity: Severity,
    /// The file, as the caller named it or as it was found below.
    pub path: String,
    /// Members on the way to what was found, outermost first; empty for the file itself.
    pub inside: Vec<String>,
    /// Counted from 1; 0 is the file as a whole.
    pub line: u32,
    /// In characters, counted from 1; 0 where `line` is.
    pub column: u32,
    /// Last line of what was found.
    pub end_line: u32,
    /// Its end, one past the last character.
    pub end_column: u32,
    /// What was found.
    pub message: String,
    /// How it comes to this, from the entry to the place; empty where there is no way to show.
    pub chain: Vec<Hop>,
    /// A mechanical mending, where there is one.
    pub fix: Option<Fix>,
    /// The line itself, without its indentation.
    pub excerpt: String,
    /// SHA-256 of the file, for artifacts; else empty.
    pub sha256: String,
    /// Stays when lines above change: path, rule, the line's text, and its number among equals.
    pub fingerprint: String,
    /// What lets it pass.
    pub suppressed: Option<Suppression>,
}

fn by_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Rule, D::Error> {
    let id = String::deserialize(deserializer)?;
    crate::rule::rule(&id).ok_or_else(|| serde::de::Error::custom("no such rule"))
}

/// One step on the way to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The file.
    pub path: String,
    /// Counted from 1.
    pub line: u32,
    /// What happens there.
    pub what: String,
}

/// Text to put in place of other text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// What it does, in a few words.
    pub what: String,
    /// Whether the program means the same afterwards but for the fault.
    pub safe: bool,
    /// From the last to the first, without overlap.
    pub edits: Vec<Edit>,
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// First byte in the file.
    pub start: u32,
    /// One past the last.
    pub end: u32,
    /// What stands there instead.
    pub text: String,
}

/// Who let a finding pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `stemson-exceptions.toml`.
    Exception,
    /// A comment beside it.
    Comment,
    /// It was there when the baseline was written.
    Baseline,
}

/// Who let a finding pass, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Who.
    pub by: By,
    /// Why.
    pub reason: String,
    /// Who signed; empty but for exceptions.
    pub approved_by: String,
    /// Last day, `YYYY-MM-DD`; empty where it has none.
    pub expires: String,
}

/// Something that is no finding: a file that does not parse, a suppression without use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Remark {
    /// The file.
    pub path: String,
    /// Counted from 1; 0 is the file as a whole.
    pub line: u32,
    /// What is to be said.
    pub message: String,
}

/// All that a run found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By path, line, then rule.
    pub findings: Vec<Finding>,
    /// By path.
    pub remarks: Vec<Remark>,
    /// Files that were looked at.
    pub files: u64,
    /// MOJOs that may ship.
    pub mojos: u64,
    /// Symbolic links, which are not followed.
    pub links: u64,
    /// Findings of other tools.
    pub imported: Vec<Imported>,
    /// Their runs, as SARIF has them.
    pub imported_runs: Vec<serde_json::Value>,
    /// Whether warnings make the verdict bad.
    pub strict: bool,
}

impl Finding {
    /// A finding about a file as a whole.
    pub fn of_file(rule: &'static Rule, path: String, message: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            path,
            inside: Vec::new(),
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            message,
            chain: Vec::new(),
            fix: None,
            excerpt: String::new(),
            sha256: String::new(),
            fingerprint: String::new(),
            suppressed: None,
        }
    }

    fn key(&self) -> (&str, u32, u32, &str, &str) {
        (&self.path, self.line, self.column, self.rule.id, &self.message)
    }
}

impl Report {
    /// Whether nothing was found that is bad enough and that nothing lets pass: errors, and warnings
    /// where the report is strict.
    pub fn is_good(&self) -> bool {
        let worst = if self.strict { Severity::Warning } else { Severity::Error };
        let imported = self.imported.iter().filter(|it| !it.suppressed).map(|it| it.severity);
        self.open().map(|finding| finding.severity).chain(imported).all(|it| it > worst)
    }

    /// Names files below `root` as seen from there.
    pub fn make_relative(&mut self, root: &str) {
        let relative = |path: &mut String| {
            if let Some(rest) = path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) {
                *path = rest.to_owned();
            }
        };
        for finding in &mut self.findings {
            relative(&mut finding.path);
            finding.chain.iter_mut().for_each(|hop| relative(&mut hop.path));
        }
        self.remarks.iter_mut().for_each(|remark| relative(&mut remark.path));
    }

    /// Findings that nothing lets pass.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.suppressed.is_none())
    }

    /// Brings findings and remarks into their order and gives each finding its fingerprint.
    /// Paths of the caller may overlap, so equal ones become one.
    pub(crate) fn settle(&mut self) {
        self.findings.sort_by(|a, b| a.key().cmp(&b.key()));
        self.findings.dedup();
        self.remarks.sort();
        self.remarks.dedup();
        let mut before: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        for finding in &mut self.findings {
            let line: Vec<&str> = finding.excerpt.split_whitespace().collect();
            let what = if line.is_empty() { finding.inside.join(">") } else { line.join(" ") };
            let content = format!("{}\n{}\n{what}", finding.path, finding.rule.id);
            let number = before.entry(content.clone()).or_default();
            let content = if *number == 0 { content } else { format!("{content}\n{number}") };
            *number += 1;
            finding.fingerprint = hex(&Sha256::digest(content.as_bytes())[..16]);
        }
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
