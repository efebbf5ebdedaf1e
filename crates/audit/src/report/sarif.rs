//! SARIF 2.1.0: for code scanning.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{excuse, inside};
use crate::finding::{By, Finding, Fix, Hop, Report};
use crate::rule::{Rule, rules};

/// SARIF 2.1.0. Suppressed results carry why; chains are code flows; runs of other tools follow ours.
pub fn sarif(report: &Report) -> Value {
    let mut runs = vec![json!({
        "tool": {"driver": {
            "name": "stemson",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules().iter().map(rule).collect::<Vec<_>>(),
        }},
        "columnKind": "unicodeCodePoints",
        "results": report.findings.iter().map(result).collect::<Vec<_>>(),
    })];
    runs.extend(report.imported_runs.iter().cloned());
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": runs,
    })
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.gist("Synthesis")},
        "help": {"text": rule.gist("Fix"), "markdown": rule.section("Fix")},
        "defaultConfiguration": {"level": rule.severity.as_str()},
        "properties": {"tags": [rule.story, rule.area]},
    })
}

fn result(finding: &Finding) -> Value {
    let index = rules().iter().position(|rule| rule == finding.rule).unwrap_or(0);
    let inside = inside(finding);
    let mut result = json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": finding.severity.as_str(),
        "message": {"text": format!("{inside}{}", finding.message)},
        "locations": [{"physicalLocation": place(finding)}],
        "partialFingerprints": {"stemson/v1": finding.fingerprint},
    });
    if !finding.chain.is_empty() {
        let steps: Vec<Value> = finding.chain.iter().map(step).collect();
        result["codeFlows"] = json!([{"threadFlows": [{"locations": steps}]}]);
    }
    if let Some(fix) = &finding.fix {
        result["fixes"] = json!([changes(finding, fix)]);
    }
    if let (Some(it), Some(why)) = (&finding.suppressed, excuse(finding)) {
        let kind = if it.by == By::Comment { "inSource" } else { "external" };
        result["suppressions"] =
            json!([{"kind": kind, "status": "accepted", "justification": why}]);
    }
    result
}

fn place(finding: &Finding) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.path)}});
    if finding.line > 0 {
        place["region"] = json!({
            "startLine": finding.line,
            "startColumn": finding.column,
            "endLine": finding.end_line,
            "endColumn": finding.end_column,
            "snippet": {"text": finding.excerpt},
        });
    }
    place
}

fn step(hop: &Hop) -> Value {
    json!({"location": {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&hop.path)},
            "region": {"startLine": hop.line.max(1)},
        },
        "message": {"text": hop.what},
    }})
}

fn changes(finding: &Finding, fix: &Fix) -> Value {
    let replacements: Vec<Value> = fix
        .edits
        .iter()
        .map(|edit| {
            json!({
                "deletedRegion": {"byteOffset": edit.start, "byteLength": edit.end - edit.start},
                "insertedContent": {"text": edit.text},
            })
        })
        .collect();
    json!({
        "description": {"text": fix.what},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(&finding.path)},
            "replacements": replacements,
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
                // Writing to a string cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    if uri.is_empty() { ".".to_owned() } else { uri }
}
