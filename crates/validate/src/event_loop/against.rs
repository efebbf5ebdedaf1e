//! Static findings held against what was seen: confirmed, or not seen.
//!
//! Reads SARIF of any tool that says where (`stemson check --format sarif`, ruff, flake8-async). Not seen
//! does not mean wrong: the route may not have been asked, or the input was kind.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Finding, Report};

/// What becomes of static findings.
#[derive(Debug, Default, Serialize)]
pub struct Against {
    /// Seen to hold the loop.
    pub confirmed: Vec<Static>,
    /// Not seen in this run.
    pub not_seen: Vec<Static>,
    /// Places that held the loop and that no static finding names: `path:line function`.
    pub not_predicted: Vec<String>,
}

/// A result of a static tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Static {
    /// The tool's word for the rule.
    pub rule: String,
    /// The file, as the tool names it.
    pub path: String,
    /// From 1.
    pub line: i64,
    /// What it says.
    pub message: String,
    /// Other places that it names: the steps of its code flows.
    #[serde(skip)]
    places: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: String,
    first: i64,
    last: i64,
}

impl Place {
    fn of(location: &Value) -> Option<Self> {
        let physical = &location["physicalLocation"];
        let path = physical["artifactLocation"]["uri"].as_str()?;
        let path = path.strip_prefix("file://").unwrap_or(path).replace("%20", " ");
        let first = physical["region"]["startLine"].as_i64()?;
        let last = physical["region"]["endLine"].as_i64().unwrap_or(first);
        Some(Self { path, first, last })
    }

    /// The same file, from wherever the two look at it, and a line in it.
    fn holds(&self, path: &str, line: i64) -> bool {
        let below = |long: &str, short: &str| {
            long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        (self.first..=self.last).contains(&line)
            && (below(&self.path, path) || below(path, &self.path))
    }
}

/// Reads what SARIF says about blocking: of our rules those of LE-PROC-01 and LE-PROC-02, of other tools
/// `ASYNC...` and all whose name speaks of async.
///
/// # Errors
/// It is no SARIF; says why.
pub fn read(sarif: &str) -> Result<Vec<Static>, String> {
    let root: Value =
        serde_json::from_str(sarif).map_err(|cause| format!("is no JSON: {cause}"))?;
    let runs = root["runs"].as_array().ok_or("is no SARIF: it has no `runs`")?;
    let results = runs.iter().flat_map(|run| run["results"].as_array().into_iter().flatten());
    Ok(results
        .filter(|result| is_about_blocking(result["ruleId"].as_str().unwrap_or_default()))
        .filter_map(one)
        .collect())
}

fn is_about_blocking(rule: &str) -> bool {
    match stemson_audit::rule(rule) {
        Some(rule) => matches!(rule.story, "LE-PROC-01" | "LE-PROC-02"),
        None => rule.to_ascii_lowercase().contains("async"),
    }
}

fn one(result: &Value) -> Option<Static> {
    let first = Place::of(&result["locations"][0])?;
    let flows = result["codeFlows"].as_array().into_iter().flatten();
    let steps = flows
        .flat_map(|flow| flow["threadFlows"].as_array().into_iter().flatten())
        .flat_map(|flow| flow["locations"].as_array().into_iter().flatten());
    let related = result["relatedLocations"].as_array().into_iter().flatten();
    let others =
        steps.filter_map(|step| Place::of(&step["location"])).chain(related.filter_map(Place::of));
    Some(Static {
        rule: result["ruleId"].as_str().unwrap_or_default().to_owned(),
        path: first.path.clone(),
        line: first.first,
        message: result["message"]["text"].as_str().unwrap_or_default().to_owned(),
        places: std::iter::once(first).chain(others).collect(),
    })
}

/// Holds static findings against a run: confirmed is what names the innermost line of the application that
/// held the loop.
pub fn judge(report: &Report, list: Vec<Static>) -> Against {
    let names = |it: &Static, finding: &Finding| {
        let innermost = finding.chain.first();
        innermost.is_some_and(|hop| it.places.iter().any(|place| place.holds(&hop.path, hop.line)))
    };
    let not_predicted =
        report.findings.iter().filter(|finding| !list.iter().any(|it| names(it, finding)));
    let not_predicted = not_predicted
        .filter_map(|finding| finding.chain.first())
        .map(|hop| format!("{}:{} {}", hop.path, hop.line, hop.function))
        .collect();
    let (confirmed, not_seen) =
        list.into_iter().partition(|it| report.findings.iter().any(|finding| names(it, finding)));
    Against { confirmed, not_seen, not_predicted }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, list) in [("confirmed", &self.confirmed), ("not seen ", &self.not_seen)] {
            for it in list {
                writeln!(f, "{word}  {}:{} {}: {}", it.path, it.line, it.rule, it.message)?;
            }
        }
        for place in &self.not_predicted {
            writeln!(f, "new        {place}: no static finding names it")?;
        }
        writeln!(
            f,
            "static findings: {} confirmed, {} not seen; {} places that none named",
            self.confirmed.len(),
            self.not_seen.len(),
            self.not_predicted.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sarif(rule: &str, uri: &str, line: i64) -> String {
        let location = serde_json::json!({"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line, "endLine": line + 1}}});
        serde_json::json!({"version": "2.1.0", "runs": [{"results": [{"ruleId": rule, "message": {"text": "m"}, "locations": [location]}]}]}).to_string()
    }

    #[test]
    fn reads_what_is_about_blocking() {
        assert_eq!(read(&sarif("ASYNC210", "a.py", 3)).unwrap().len(), 1);
        assert_eq!(read(&sarif("aioredis", "a.py", 3)).unwrap().len(), 1);
        assert_eq!(read(&sarif("pickle", "a.py", 3)).unwrap().len(), 0);
        assert!(
            read("{").unwrap_err().contains("no JSON")
                && read("{}").unwrap_err().contains("no `runs`")
        );
    }

    #[test]
    fn the_same_line_from_wherever_it_is_seen() {
        let place = &read(&sarif("ASYNC210", "src/app/main.py", 3)).unwrap()[0].places[0].clone();
        for (path, line, expected) in [
            ("app/main.py", 3, true),
            ("/x/src/app/main.py", 4, true),
            ("main.py", 5, false),
            ("pp/main.py", 3, false),
            ("other.py", 3, false),
        ] {
            assert_eq!(place.holds(path, line), expected, "{path}:{line}");
        }
    }
}
