//! A report for people and machines: text, JSON, SARIF 2.1.0, GitHub annotations, GitLab code quality,
//! `JUnit`.

mod ci;
mod sarif;
mod text;

use serde_json::{Value, json};

use crate::finding::{Finding, Report};
use crate::import;

pub use ci::{github, gitlab, junit};
pub use sarif::sarif;
pub use text::text;

/// For scripts. Keys may be added, none goes away.
pub fn json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "rule": finding.rule.id,
            "story": finding.rule.story,
            "severity": finding.severity.as_str(),
            "path": finding.path,
            "inside": finding.inside,
            "line": finding.line,
            "column": finding.column,
            "end_line": finding.end_line,
            "end_column": finding.end_column,
            "message": finding.message,
            "chain": finding.chain,
            "fix": finding.fix,
            "fingerprint": finding.fingerprint,
            "sha256": finding.sha256,
            "suppressed": finding.suppressed,
        })
    };
    json!({
        "good": report.is_good(),
        "files": report.files,
        "mojos": report.mojos,
        "links": report.links,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "remarks": report.remarks,
        "imported": report.imported.iter().map(import::json).collect::<Vec<_>>(),
    })
}

/// The way inside of the file, where there is one.
fn inside(finding: &Finding) -> String {
    finding.inside.iter().fold(String::new(), |way, member| format!("{way}{member}: "))
}

/// Why a suppressed finding passes.
fn excuse(finding: &Finding) -> Option<String> {
    let it = finding.suppressed.as_ref()?;
    let mut text = match it.by {
        crate::finding::By::Exception => format!("exception by {}", it.approved_by),
        crate::finding::By::Comment => "comment".to_owned(),
        crate::finding::By::Baseline => "baseline".to_owned(),
    };
    if !it.expires.is_empty() {
        text.extend([" until ", &it.expires]);
    }
    text.extend([": ", &it.reason]);
    Some(text)
}

/// Nothing that moves a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
