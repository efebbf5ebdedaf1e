//! The first response to a change: reject, accept with conditions, accept.
//!
//! Only what stands on changed lines decides: a finding, or a hop of its chain. What was there before is
//! counted and left alone. Each reason brings its rule's argument in three sentences.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::finding::{Finding, Report};
use crate::rule::{Rule, Severity};

/// Lines that a change touches, by file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    files: BTreeMap<String, Touched>,
}

/// Lines of one file as it stands after the change.
#[derive(Debug, PartialEq, Eq)]
enum Touched {
    All,
    /// First and last, counted from 1.
    Lines(Vec<(u32, u32)>),
}

impl Changes {
    /// Reads a unified diff (`git diff`, a patch of a pull request). What is no diff touches nothing.
    pub fn parse(diff: &str) -> Self {
        let mut changes = Self::default();
        let mut path: Option<String> = None;
        let (mut line, mut left, mut new_left) = (0_u32, 0_u32, 0_u32);
        let mut created = false;
        for text in diff.lines() {
            if left > 0 || new_left > 0 {
                match text.as_bytes().first() {
                    Some(b'+') => {
                        changes.touch(path.as_deref(), line, line);
                        (line, new_left) = (line + 1, new_left.saturating_sub(1));
                    }
                    Some(b'-') => {
                        // What stands where something was taken away is looked at, too.
                        changes.touch(path.as_deref(), line.saturating_sub(1).max(1), line);
                        left = left.saturating_sub(1);
                    }
                    Some(b'\\') => {}
                    _ => {
                        (line, left, new_left) =
                            (line + 1, left.saturating_sub(1), new_left.saturating_sub(1));
                    }
                }
            } else if text.starts_with("diff ") {
                (path, created) = (new_path(text), false);
            } else if text.starts_with("new file") {
                created = true;
            } else if text.starts_with("GIT binary patch") || text.starts_with("Binary files ") {
                path.iter().for_each(|it| changes.all(it));
            } else if let Some(name) = text.strip_prefix("+++ ") {
                path = named(name);
                path.iter().filter(|_| created).for_each(|it| changes.all(it));
            } else if let Some(hunk) = text.strip_prefix("@@ ") {
                (left, line, new_left) = sizes(hunk);
            }
        }
        changes
    }

    /// A file that is new as a whole.
    pub fn all(&mut self, path: &str) {
        self.files.insert(path.to_owned(), Touched::All);
    }

    fn touch(&mut self, path: Option<&str>, first: u32, last: u32) {
        let Some(path) = path else { return };
        let touched =
            self.files.entry(path.to_owned()).or_insert_with(|| Touched::Lines(Vec::new()));
        if let Touched::Lines(lines) = touched {
            match lines.last_mut() {
                Some(before) if before.1 + 1 >= first => before.1 = before.1.max(last),
                _ => lines.push((first, last)),
            }
        }
    }

    /// Files that are touched.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether lines of a file are touched; line 0 is the file as a whole.
    pub fn touches(&self, path: &str, first: u32, last: u32) -> bool {
        match self.files.get(path) {
            None => false,
            Some(Touched::All) => true,
            Some(Touched::Lines(lines)) => {
                first == 0 || lines.iter().any(|it| it.0 <= last.max(first) && first <= it.1)
            }
        }
    }
}

/// The second path of `diff --git a/x b/x`.
fn new_path(text: &str) -> Option<String> {
    let at = text.rfind(" b/")?;
    Some(text[at + 3..].trim_matches('"').to_owned())
}

/// The path of a `+++` line; `/dev/null` is none.
fn named(name: &str) -> Option<String> {
    let name = name.split('\t').next().unwrap_or(name).trim().trim_matches('"');
    (name != "/dev/null").then(|| name.strip_prefix("b/").unwrap_or(name).to_owned())
}

/// `-3,7 +4,9 @@`: old lines, first new line, new lines.
fn sizes(hunk: &str) -> (u32, u32, u32) {
    let mut words = hunk.split(' ');
    let mut read = |sign: char| -> (u32, u32) {
        let word = words.next().unwrap_or_default().trim_start_matches(sign);
        let (start, count) = word.split_once(',').unwrap_or((word, "1"));
        (start.parse().unwrap_or(0), count.parse().unwrap_or(0))
    };
    let (_, old) = read('-');
    let (start, new) = read('+');
    // Of a hunk that only takes away the start is the line before.
    (old, if new == 0 { start + 1 } else { start }, new)
}

/// What is said to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Something on changed lines will break, or may not ship.
    Reject,
    /// Something on changed lines breaks under conditions that are not shown.
    AcceptWithConditions,
    /// Nothing.
    Accept,
}

impl Decision {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::AcceptWithConditions => "accept_with_conditions",
            Self::Accept => "accept",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Reject => "Reject",
            Self::AcceptWithConditions => "Accept with conditions",
            Self::Accept => "Accept",
        }
    }
}

/// The verdict over one change.
#[derive(Debug)]
pub struct Review<'r> {
    /// What is said.
    pub decision: Decision,
    /// What decides, the worst first.
    pub reasons: Vec<&'r Finding>,
    /// Findings that were there before.
    pub others: usize,
}

/// Judges what is open in a report by the lines of a change. Paths of both must be written alike.
pub fn review<'r>(report: &'r Report, changes: &Changes) -> Review<'r> {
    let decides = |finding: &&Finding| {
        changes.touches(&finding.path, finding.line, finding.end_line)
            || finding
                .chain
                .iter()
                .any(|hop| hop.line > 0 && changes.touches(&hop.path, hop.line, hop.line))
    };
    let (mut reasons, others): (Vec<&Finding>, Vec<&Finding>) = report.open().partition(decides);
    reasons.sort_by_key(|finding| finding.severity);
    let decision = match reasons.first().map(|finding| finding.severity) {
        Some(Severity::Error) => Decision::Reject,
        Some(Severity::Warning) => Decision::AcceptWithConditions,
        Some(Severity::Note) | None => Decision::Accept,
    };
    Review { decision, reasons, others: others.len() }
}

/// A rule's argument: the first sentence of thesis, antithesis and synthesis.
pub fn argument(rule: &Rule) -> [String; 3] {
    ["Thesis", "Antithesis", "Synthesis"].map(|section| first_sentence(&rule.gist(section)))
}

fn first_sentence(text: &str) -> String {
    let mut in_code = false;
    for (at, letter) in text.char_indices() {
        in_code ^= letter == '`';
        // A point inside of a number, a name or code ends no sentence.
        let ends = text.get(at + 1..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        if ends && !in_code && matches!(letter, '.' | ';' | '?') {
            return format!("{}.", &text[..at]);
        }
    }
    text.to_owned()
}

impl Review<'_> {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.decision.title());
        for finding in &self.reasons {
            let _ = writeln!(
                text,
                "\n{}: {}: {}: {}",
                place(finding),
                finding.severity.as_str(),
                finding.rule,
                finding.message
            );
            for hop in &finding.chain {
                let _ = writeln!(text, "    {}:{} {}", hop.path, hop.line, hop.what);
            }
            for (name, sentence) in
                ["thesis", "antithesis", "synthesis"].iter().zip(argument(finding.rule))
            {
                let _ = writeln!(text, "    {name}: {sentence}");
            }
            let _ = writeln!(text, "    fix: {}", finding.rule.gist("Fix"));
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// For a comment on a pull request.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.decision.title(), self.summary());
        for finding in &self.reasons {
            let _ = writeln!(
                text,
                "\n### `{}`: {} ({})\n\n{}",
                place(finding),
                finding.rule.title,
                finding.severity.as_str(),
                escape(&finding.message)
            );
            if !finding.chain.is_empty() {
                text.push('\n');
            }
            for (number, hop) in finding.chain.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "{}. `{}:{}` {}",
                    number + 1,
                    hop.path,
                    hop.line,
                    escape(&hop.what)
                );
            }
            let [thesis, antithesis, synthesis] = argument(finding.rule);
            let _ = writeln!(
                text,
                "\n> **Thesis.** {thesis}\n> **Antithesis.** {antithesis}\n> **Synthesis.** {synthesis}"
            );
            let _ = writeln!(
                text,
                "\nFix: {} (`stemson explain {}`, {})",
                finding.rule.gist("Fix"),
                finding.rule.id,
                finding.rule.story
            );
        }
        text
    }

    /// For scripts. Keys may be added, none goes away.
    pub fn json(&self) -> Value {
        let reason = |finding: &&Finding| {
            let [thesis, antithesis, synthesis] = argument(finding.rule);
            let mut value = serde_json::to_value(finding).unwrap_or_default();
            value["story"] = json!(finding.rule.story);
            value["argument"] = json!({"thesis": thesis, "antithesis": antithesis, "synthesis": synthesis, "fix": finding.rule.gist("Fix")});
            value
        };
        json!({
            "decision": self.decision.as_str(),
            "reasons": self.reasons.iter().map(reason).collect::<Vec<_>>(),
            "others": self.others,
        })
    }

    fn summary(&self) -> String {
        let count = |severity| self.reasons.iter().filter(|it| it.severity == severity).count();
        format!(
            "On changed lines: {} errors, {} warnings, {} notes. Elsewhere, and not decided on: {}.",
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Note),
            self.others
        )
    }
}

fn place(finding: &Finding) -> String {
    if finding.line == 0 {
        finding.path.clone()
    } else {
        format!("{}:{}", finding.path, finding.line)
    }
}

/// Nothing that ends a paragraph or begins a tag.
fn escape(text: &str) -> String {
    text.replace('<', "&lt;").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/app.py b/app.py\nindex 1..2 100644\n--- a/app.py\n+++ b/app.py\n@@ -3,2 +3,3 @@ def x():\n same\n+new\n same\n@@ -20 +21,0 @@\n-gone\n\
        diff --git a/n.sql b/n.sql\nnew file mode 100644\n--- /dev/null\n+++ b/n.sql\n@@ -0,0 +1,2 @@\n+--- a comment\n++++ b/trap\n\
        diff --git a/m.pkl b/m.pkl\nnew file mode 100644\nBinary files /dev/null and b/m.pkl differ\n\
        diff --git a/old b/old\n--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";

    #[test]
    fn reads_diffs() {
        let changes = Changes::parse(DIFF);
        assert_eq!(changes.paths().collect::<Vec<_>>(), ["app.py", "m.pkl", "n.sql"]);
        for (path, first, last, expected) in [
            ("app.py", 4, 4, true),
            ("app.py", 3, 3, false),
            ("app.py", 1, 9, true),
            ("app.py", 22, 22, true),
            ("app.py", 30, 30, false),
            ("app.py", 0, 0, true),
            ("n.sql", 77, 77, true),
            ("m.pkl", 0, 0, true),
            ("old", 1, 1, false),
            ("other", 1, 1, false),
        ] {
            assert_eq!(changes.touches(path, first, last), expected, "{path} {first}");
        }
        assert_eq!(Changes::parse("no diff\n@@ x\n+a"), Changes::default());
    }

    fn finding(rule: &str, line: u32) -> Finding {
        let rule = crate::rule::rule(rule).unwrap();
        Finding {
            line,
            end_line: line,
            ..Finding::of_file(rule, "app.py".to_owned(), "m".to_owned())
        }
    }

    #[test]
    fn only_changed_lines_decide() {
        let changes = Changes::parse(DIFF);
        for (findings, decision, others) in [
            (vec![], Decision::Accept, 0),
            (vec![finding("pickle", 3)], Decision::Accept, 1),
            (vec![finding("pickle", 4)], Decision::Reject, 0),
            (
                vec![finding("no_primary_key", 4), finding("pickle", 9)],
                Decision::AcceptWithConditions,
                1,
            ),
            (vec![finding("image_root", 4)], Decision::Accept, 0),
        ] {
            let report = Report { findings, ..Report::default() };
            let review = review(&report, &changes);
            assert_eq!((review.decision, review.others), (decision, others));
            assert!(
                review.markdown().starts_with("## ")
                    && review.json()["decision"] == decision.as_str()
            );
        }
    }

    #[test]
    fn a_hop_on_a_changed_line_decides() {
        let mut far = finding("pickle", 90);
        far.chain.push(crate::finding::Hop {
            path: "app.py".to_owned(),
            line: 4,
            what: "calls it".to_owned(),
        });
        let report = Report { findings: vec![far], ..Report::default() };
        assert_eq!(review(&report, &Changes::parse(DIFF)).decision, Decision::Reject);
    }

    #[test]
    fn an_argument_is_three_sentences() {
        assert_eq!(first_sentence("At 3.46 it is. So."), "At 3.46 it is.");
        assert_eq!(first_sentence("No end"), "No end");
        assert_eq!(first_sentence("`COPY . .` takes all. So."), "`COPY . .` takes all.");
        for rule in crate::rule::rules() {
            assert!(argument(rule).iter().all(|sentence| sentence.len() > 10), "{rule}");
        }
    }
}
