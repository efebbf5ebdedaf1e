//! Findings of other tools: SARIF files that are taken into one report, so that nobody writes again what
//! checkov, hadolint or ruff find.

use serde_json::{Value, json};

use crate::rule::Severity;

/// One result of another tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The tool's name.
    pub tool: String,
    /// Its rule.
    pub rule: String,
    /// Its level.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// Counted from 1; 0 is the file as a whole.
    pub line: u32,
    /// What it says.
    pub message: String,
    /// Whether the tool itself lets it pass.
    pub suppressed: bool,
}

/// Reads a SARIF 2.1.0 file: its results, and its runs to be handed on as they are.
///
/// # Errors
/// What is wrong with it.
pub fn sarif(text: &str) -> Result<(Vec<Imported>, Vec<Value>), String> {
    let log: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|cause| format!("is no JSON: {cause}"))?;
    let runs = log["runs"].as_array().ok_or("has no `runs`: is it SARIF 2.1.0?")?;
    let mut all = Vec::new();
    for run in runs {
        let driver = &run["tool"]["driver"];
        let tool = driver["name"].as_str().unwrap_or("another tool");
        for result in run["results"].as_array().into_iter().flatten() {
            all.push(read(tool, driver, result));
        }
    }
    Ok((all, runs.clone()))
}

fn read(tool: &str, driver: &Value, result: &Value) -> Imported {
    let index = result["ruleIndex"].as_u64().or_else(|| result["rule"]["index"].as_u64());
    let described = index.map_or(&Value::Null, |index| &driver["rules"][index as usize]);
    let rule = result["ruleId"].as_str().or_else(|| described["id"].as_str()).unwrap_or("");
    let level = result["level"].as_str();
    let level = level.or_else(|| described["defaultConfiguration"]["level"].as_str());
    let place = &result["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap_or("");
    Imported {
        tool: tool.to_owned(),
        rule: rule.to_owned(),
        severity: level.and_then(Severity::parse).unwrap_or(match level {
            Some("none") => Severity::Note,
            _ => Severity::Warning,
        }),
        path: uri.trim_start_matches("file://").trim_start_matches("./").to_owned(),
        line: place["region"]["startLine"].as_u64().unwrap_or(0) as u32,
        message: result["message"]["text"].as_str().unwrap_or("").to_owned(),
        suppressed: result["suppressions"].as_array().is_some_and(|list| !list.is_empty()),
    }
}

/// As in our own JSON.
pub(crate) fn json(it: &Imported) -> Value {
    json!({
        "tool": it.tool,
        "rule": it.rule,
        "severity": it.severity.as_str(),
        "path": it.path,
        "line": it.line,
        "message": it.message,
        "suppressed": it.suppressed,
    })
}
