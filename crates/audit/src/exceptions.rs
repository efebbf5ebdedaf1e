//! The documented way past the policy: `stemson-exceptions.toml`.
//!
//! ```toml
//! [[exception]]
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! rule = "pickle"
//! reason = "encoder of the old churn model, replaced in March"
//! approved_by = "ada@example.org"
//! expires = "2027-03-31"
//! ```
//!
//! An exception holds for one file, by its digest, and one rule, until the end of its last day.

use serde::Deserialize;

use crate::artifacts::ArtifactRule;
use crate::finding::{By, Finding, Report, Suppression};

/// Why an exceptions file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionsError {
    /// No TOML, or an unknown or missing key.
    #[error("{name}: {cause}")]
    Syntax {
        /// The file.
        name: String,
        /// What the parser says, with the line.
        cause: String,
    },
    /// A value that cannot be.
    #[error("{name}: exception {number}: `{key}` is `{found}`, expected {expected}")]
    Value {
        /// The file.
        name: String,
        /// Counted from 1.
        number: usize,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    exception: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sha256: String,
    rule: String,
    reason: String,
    approved_by: String,
    expires: Day,
}

/// A date of TOML, or the same as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Day {
    Date(toml::value::Datetime),
    Text(String),
}

/// Exceptions of one file, checked.
#[derive(Debug, Default)]
pub struct Exceptions {
    name: String,
    list: Vec<Exception>,
}

#[derive(Debug)]
struct Exception {
    sha256: String,
    rule: ArtifactRule,
    suppression: Suppression,
}

impl Exceptions {
    /// Reads the text of the file called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, ExceptionsError> {
        let document: Document = toml::from_str(text).map_err(|cause| ExceptionsError::Syntax {
            name: name.to_owned(),
            cause: cause.to_string().trim_end().to_owned(),
        })?;
        let list = document.exception.into_iter().enumerate();
        let list = list.map(|(index, written)| Exception::check(name, index + 1, written));
        Ok(Self { name: name.to_owned(), list: list.collect::<Result<_, _>>()? })
    }

    /// Marks what these exceptions let pass on the day `today` (`YYYY-MM-DD`). One that is over lets
    /// nothing pass and is a finding itself, if its file is still there.
    pub fn apply(&self, report: &mut Report, today: &str) {
        let mut expired = Vec::new();
        for exception in &self.list {
            let is_over = exception.suppression.expires.as_str() < today;
            let meant = report.findings.iter_mut().filter(|finding| {
                finding.sha256 == exception.sha256 && finding.rule.id == exception.rule.as_str()
            });
            for finding in meant {
                if !is_over {
                    finding.suppressed = Some(exception.suppression.clone());
                    continue;
                }
                let Suppression { approved_by, expires, .. } = &exception.suppression;
                let message = format!(
                    "the exception in {} for `{}`, approved by {approved_by}, ended on {expires}",
                    self.name, exception.rule
                );
                let page = ArtifactRule::ExceptionExpired.page();
                expired.push(Finding {
                    sha256: finding.sha256.clone(),
                    ..Finding::of_file(page, finding.path.clone(), message)
                });
            }
        }
        report.findings.extend(expired);
        report.settle();
    }
}

impl Exception {
    fn check(name: &str, number: usize, written: Written) -> Result<Self, ExceptionsError> {
        let bad = |key, found: &str, expected: &str| ExceptionsError::Value {
            name: name.to_owned(),
            number,
            key,
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        let sha256 = written.sha256.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad("sha256", &written.sha256, "the 64 hexadecimal digits of a SHA-256"));
        }
        let rule = ArtifactRule::parse(&written.rule)
            .filter(|rule| *rule != ArtifactRule::ExceptionExpired);
        let rule = rule.ok_or_else(|| {
            let words: Vec<&str> =
                ArtifactRule::ALL[..9].iter().map(|rule| rule.as_str()).collect();
            bad("rule", &written.rule, &format!("one of {}", words.join(", ")))
        })?;
        for (key, text) in [("reason", &written.reason), ("approved_by", &written.approved_by)] {
            if text.trim().is_empty() {
                return Err(bad(key, text, "a text that says so"));
            }
        }
        let expires = match written.expires {
            Day::Date(date) => date.to_string(),
            Day::Text(text) => text,
        };
        if !is_date(&expires) {
            return Err(bad("expires", &expires, "a day such as 2027-03-31"));
        }
        let (reason, approved_by) = (written.reason, written.approved_by);
        Ok(Self {
            sha256,
            rule,
            suppression: Suppression { by: By::Exception, reason, approved_by, expires },
        })
    }
}

/// `YYYY-MM-DD`, a day that exists.
fn is_date(text: &str) -> bool {
    let date: Result<toml::value::Datetime, _> = text.parse();
    date.is_ok_and(|it| it.date.is_some() && it.time.is_none()) && text.len() == 10
}

/// The day of a number of seconds after 1970, in UTC: `YYYY-MM-DD`.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub fn day(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[exception]]\n\
        sha256 = \"00000000000000000000000000000000000000000000000000000000000000aA\"\n\
        rule = \"pickle\"\nreason = \"old\"\napproved_by = \"ada\"\nexpires = 2027-03-31\n";

    fn report() -> Report {
        let finding = Finding {
            sha256: format!("{}aa", "0".repeat(62)),
            ..Finding::of_file(ArtifactRule::Pickle.page(), "a.pkl".to_owned(), String::new())
        };
        Report { findings: vec![finding], ..Report::default() }
    }

    #[test]
    fn holds_to_the_end_of_its_last_day() {
        let exceptions = Exceptions::parse("e.toml", GOOD).unwrap();
        for (today, good) in [("2026-11-26", true), ("2027-03-31", true), ("2027-04-01", false)] {
            let mut report = report();
            exceptions.apply(&mut report, today);
            assert_eq!(report.is_good(), good, "{today}");
            let expired = report.findings.iter().any(|it| it.rule.id == "exception_expired");
            assert_eq!(expired, !good);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (from, to, expected) in [
            ("rule = \"pickle\"", "rule = \"pickles\"", "exception 1: `rule` is `pickles`"),
            ("2027-03-31", "\"soon\"", "`expires` is `soon`"),
            ("2027-03-31", "\"2027-02-30\"", "`expires`"),
            ("\"old\"", "\" \"", "`reason`"),
            ("aA", "zz", "`sha256`"),
            ("reason", "reasons", "unknown field `reasons`"),
            ("approved_by = \"ada\"\n", "", "missing field `approved_by`"),
            ("[[", "[", "e.toml: "),
        ] {
            let error = Exceptions::parse("e.toml", &GOOD.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn days() {
        for (seconds, expected) in
            [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_795_651_200, "2026-11-26")]
        {
            assert_eq!(day(seconds), expected);
        }
    }
}
