//! A report as text, JSON, SARIF 2.1.0 and GitHub annotations.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::finding::{Finding, Report};
use crate::rule::{Rule, rules};

/// For people. `colour`: for a terminal.
pub fn text(report: &Report, colour: bool) -> String {
    let (red, grey, plain) = if colour { ("\x1b[31m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut text = String::new();
    for finding in &report.findings {
        let (paint, mark) =
            if finding.suppressed.is_some() { (grey, "allowed ") } else { (red, "blocked ") };
        let mut place = place(finding);
        if finding.line > 0 {
            let _ = write!(place, ":{}:{}", finding.line, finding.column);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{paint}{mark}{plain} {place}: {}: {}",
            finding.rule,
            one_line(&finding.message)
        );
        match &finding.suppressed {
            Some(it) => {
                let _ = writeln!(
                    text,
                    "         exception by {} until {}: {}",
                    it.approved_by, it.expires, it.reason
                );
            }
            None if !finding.sha256.is_empty() => {
                let _ = writeln!(text, "         {grey}sha256 {}{plain}", finding.sha256);
            }
            None => {}
        }
    }
    let open = report.open().count();
    let allowed = report.findings.len() - open;
    let _ = writeln!(
        text,
        "{} files: {open} findings, {allowed} allowed by exceptions, {} MOJOs good, {} links not followed",
        report.files, report.mojos, report.links
    );
    text
}

/// For scripts. Keys may be added, none goes away.
pub fn json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let suppressed = finding.suppressed.as_ref().map(
            |it| json!({"reason": it.reason, "approved_by": it.approved_by, "expires": it.expires}),
        );
        json!({
            "path": finding.path,
            "inside": finding.inside,
            "rule": finding.rule.id,
            "story": finding.rule.story,
            "severity": finding.severity.as_str(),
            "line": finding.line,
            "column": finding.column,
            "end_line": finding.end_line,
            "message": finding.message,
            "chain": finding.chain,
            "fix": finding.fix,
            "fingerprint": finding.fingerprint,
            "sha256": finding.sha256,
            "suppressed": suppressed,
        })
    };
    json!({
        "good": report.is_good(),
        "files": report.files,
        "mojos": report.mojos,
        "links": report.links,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// SARIF 2.1.0: for code scanning. Suppressed results carry their exception.
pub fn sarif(report: &Report) -> Value {
    let rule = |rule: &Rule| {
        json!({
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "defaultConfiguration": {"level": rule.severity.as_str()},
        })
    };
    let result = |finding: &Finding| {
        let index = rules().iter().position(|rule| rule == finding.rule).unwrap_or(0);
        let inside = inside(finding);
        let mut result = json!({
            "ruleId": finding.rule.id,
            "ruleIndex": index,
            "level": "error",
            "message": {"text": format!("{inside}{}", finding.message)},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&finding.path)}}}],
            "partialFingerprints": {"sha256Rule/v1": format!("{}:{}", finding.sha256, finding.rule)},
        });
        if let Some(it) = &finding.suppressed {
            let why =
                format!("{} (approved by {}, until {})", it.reason, it.approved_by, it.expires);
            result["suppressions"] =
                json!([{"kind": "external", "status": "accepted", "justification": why}]);
        }
        result
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stemson",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules().iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

/// A path as a URI: relative paths stay so, what a URI may not hold is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            b'\\' => uri.push('/'),
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    if uri.is_empty() { ".".to_owned() } else { uri }
}

/// Workflow commands: GitHub shows them at the files of a pull request.
pub fn github(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let level = if finding.suppressed.is_some() { "notice" } else { "error" };
        let inside = inside(finding);
        let message = match &finding.suppressed {
            Some(it) => format!(
                "{inside}{} (exception by {} until {}: {})",
                finding.message, it.approved_by, it.expires, it.reason
            ),
            None => format!("{inside}{}", finding.message),
        };
        let file = escape(&finding.path).replace(':', "%3A").replace(',', "%2C");
        let _ =
            writeln!(text, "::{level} file={file},title={}::{}", finding.rule, escape(&message));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The file and the way inside of it.
fn place(finding: &Finding) -> String {
    let mut place = finding.path.clone();
    for member in &finding.inside {
        place.push_str(" > ");
        place.push_str(member);
    }
    one_line(&place)
}

/// Nothing that moves a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The way inside of the file, where there is one.
fn inside(finding: &Finding) -> String {
    finding.inside.iter().fold(String::new(), |way, member| format!("{way}{member}: "))
}
