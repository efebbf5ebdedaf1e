//! What build servers read: GitHub's workflow commands, GitLab's code quality, `JUnit`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{excuse, inside};
use crate::finding::{Finding, Report};
use crate::rule::Severity;

/// Workflow commands: GitHub shows them at the files of a pull request.
pub fn github(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let level = match finding.severity {
            _ if finding.suppressed.is_some() => "notice",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let inside = inside(finding);
        let message = match excuse(finding) {
            Some(why) => format!("{inside}{} ({why})", finding.message),
            None => format!("{inside}{}", finding.message),
        };
        let mut place = format!("file={}", property(&finding.path));
        if finding.line > 0 {
            // Writing to a string cannot fail, here and below.
            let _ = write!(
                place,
                ",line={},col={},endLine={}",
                finding.line, finding.column, finding.end_line
            );
        }
        let _ = writeln!(text, "::{level} {place},title={}::{}", finding.rule, escape(&message));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

/// GitLab's code quality report: open findings.
pub fn gitlab(report: &Report) -> Value {
    let severity = |finding: &Finding| match finding.severity {
        Severity::Error => "critical",
        Severity::Warning => "major",
        Severity::Note => "info",
    };
    let issue = |finding: &Finding| {
        json!({
            "type": "issue",
            "check_name": finding.rule.id,
            "description": format!("{}{}", inside(finding), finding.message),
            "categories": ["Bug Risk"],
            "severity": severity(finding),
            "fingerprint": finding.fingerprint,
            "location": {"path": finding.path, "lines": {"begin": finding.line.max(1)}},
        })
    };
    Value::Array(report.open().map(issue).collect())
}

/// `JUnit`: a test for each finding, failed where it is open, skipped where something lets it pass; one
/// that passes where there is none.
pub fn junit(report: &Report) -> String {
    let open = report.open().count();
    let allowed = report.findings.len() - open;
    let tests = report.findings.len().max(1);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"stemson\" tests=\"{tests}\" failures=\"{open}\">\n  <testsuite name=\"check\" tests=\"{tests}\" failures=\"{open}\" skipped=\"{allowed}\">"
    );
    if report.findings.is_empty() {
        text.push_str("    <testcase classname=\"stemson\" name=\"no findings\"/>\n");
    }
    for finding in &report.findings {
        let (path, rule) = (xml(&finding.path), finding.rule.id);
        let message = xml(&format!("{}{}", inside(finding), finding.message));
        let _ =
            writeln!(text, "    <testcase classname=\"{path}\" name=\"{rule}:{}\">", finding.line);
        let _ = match excuse(finding) {
            Some(why) => writeln!(text, "      <skipped message=\"{}\"/>", xml(&why)),
            None => writeln!(
                text,
                "      <failure type=\"{}\" message=\"{message}\">{}</failure>",
                finding.severity.as_str(),
                xml(&finding.chain.iter().fold(String::new(), |all, hop| {
                    format!("{all}{}:{} {}\n", hop.path, hop.line, hop.what)
                }))
            ),
        };
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Text of an element or attribute; what XML has no form for becomes a replacement character.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
