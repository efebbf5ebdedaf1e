//! Comments that let a finding pass: `# stemson: ignore[rule] until=2027-01-01 reason`.
//!
//! On the finding's line, or alone on the line above. `rule` is an id, a story or an area, or several;
//! a reason is demanded, an end is honoured. SQL writes `--` in place of `#`.

use crate::finding::{By, Remark, Report, Suppression};
use crate::rule::Rule;
use crate::source::Source;

const MARK: &str = "stemson: ignore[";

/// One comment.
struct Comment<'a> {
    /// The line that it speaks of.
    line: u32,
    /// Where it stands.
    own: u32,
    words: Vec<&'a str>,
    until: Option<&'a str>,
    reason: &'a str,
}

impl Comment<'_> {
    fn means(&self, rule: &Rule) -> bool {
        self.words.iter().any(|word| rule.answers_to(word))
    }
}

fn comments(source: &Source) -> Vec<Comment<'_>> {
    if !source.text.contains(MARK) {
        return Vec::new();
    }
    (1..=source.lines()).filter_map(|own| parse(source, own)).collect()
}

fn parse(source: &Source, own: u32) -> Option<Comment<'_>> {
    let text = source.line(own);
    let at = text.find(MARK)?;
    let before = text[..at].trim_end();
    let before = ["#", "--", "//"].iter().find_map(|mark| before.strip_suffix(mark))?;
    let (words, rest) = text[at + MARK.len()..].split_once(']')?;
    let rest = rest.trim();
    let (until, reason) = match rest.strip_prefix("until=") {
        Some(rest) => {
            let (until, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            (Some(until), reason.trim())
        }
        None => (None, rest),
    };
    let alone = before.trim().is_empty();
    Some(Comment {
        line: if alone { own + 1 } else { own },
        own,
        words: words.split(',').map(str::trim).collect(),
        until,
        reason,
    })
}

/// Lets pass what comments name, on the day `today` (`YYYY-MM-DD`), and tells of comments that are
/// wrong, over, or have nothing to say.
pub(crate) fn apply(report: &mut Report, sources: &[Source], today: &str) {
    for source in sources {
        for comment in comments(source) {
            let mut remark = |message: String| {
                let path = source.path.clone();
                report.remarks.push(Remark { path, line: comment.own, message });
            };
            if comment.reason.is_empty() {
                remark(
                    "this `stemson: ignore` lets nothing pass: say why, after the bracket"
                        .to_owned(),
                );
                continue;
            }
            if let Some(until) = comment.until.filter(|until| !is_day(until)) {
                remark(format!(
                    "this `stemson: ignore` lets nothing pass: `until={until}` is no day such as 2027-03-31"
                ));
                continue;
            }
            if let Some(until) = comment.until.filter(|until| *until < today) {
                remark(format!("this `stemson: ignore` ended on {until}"));
                continue;
            }
            let meant = report.findings.iter_mut().filter(|finding| {
                finding.path == source.path
                    && finding.line == comment.line
                    && comment.means(finding.rule)
            });
            let mut used = false;
            for finding in meant {
                used = true;
                finding.suppressed = Some(Suppression {
                    by: By::Comment,
                    reason: comment.reason.to_owned(),
                    approved_by: String::new(),
                    expires: comment.until.unwrap_or("").to_owned(),
                });
            }
            if !used {
                let path = source.path.clone();
                let message = format!(
                    "nothing to let pass here for `{}`: remove the comment",
                    comment.words.join(", ")
                );
                report.remarks.push(Remark { path, line: comment.own, message });
            }
        }
    }
}

fn is_day(text: &str) -> bool {
    let date: Result<toml::value::Datetime, _> = text.parse();
    text.len() == 10 && date.is_ok_and(|it| it.date.is_some() && it.time.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::rule::rule;
    use crate::source::Kind;

    /// The comment, whether the finding on line 2 passes, and what is told.
    #[track_caller]
    fn check(text: &str, passes: bool, told: Option<&str>) {
        let source = Source::new("a.py".to_owned(), Kind::Python, text.to_owned());
        let page = rule("pickle_load").unwrap();
        let finding =
            Finding { line: 2, ..Finding::of_file(page, "a.py".to_owned(), String::new()) };
        let mut report = Report { findings: vec![finding], ..Report::default() };
        apply(&mut report, &[source], "2026-11-26");
        assert_eq!(report.findings[0].suppressed.is_some(), passes, "{text}");
        let remark = report.remarks.first().map(|it| it.message.as_str());
        assert!(told.is_none_or(|told| remark.is_some_and(|it| it.contains(told))), "{remark:?}");
        assert_eq!(remark.is_some(), told.is_some(), "{remark:?}");
    }

    #[test]
    fn reasons_ends_and_places() {
        check("\nx  # stemson: ignore[pickle_load] old encoder\n", true, None);
        check("# stemson: ignore[pickle_load] until=2027-01-01 old encoder\nx\n", true, None);
        check("\nx  # stemson: ignore[LE-DEV-01, cache] old encoder\n", true, None);
        check("\nx  # stemson: ignore[pickle_load]\n", false, Some("say why"));
        check("\nx  # stemson: ignore[pickle_load] until=soon r\n", false, Some("no day"));
        check("\nx  # stemson: ignore[pickle_load] until=2026-11-25 r\n", false, Some("ended on"));
        check("\nx  # stemson: ignore[cache] r\n", false, Some("nothing to let pass"));
        check("\nx = 'stemson: ignore[pickle_load] r'\n", false, None);
    }
}
