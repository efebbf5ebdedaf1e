//! For people: the line, what is wrong with it, the way there, and how to mend it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{excuse, one_line};
use crate::finding::{Finding, Report};
use crate::rule::Severity;

struct Paint {
    red: &'static str,
    yellow: &'static str,
    blue: &'static str,
    grey: &'static str,
    plain: &'static str,
}

const COLOURS: Paint = Paint {
    red: "\x1b[31m",
    yellow: "\x1b[33m",
    blue: "\x1b[34m",
    grey: "\x1b[2m",
    plain: "\x1b[0m",
};

const NONE: Paint = Paint { red: "", yellow: "", blue: "", grey: "", plain: "" };

/// For people. `colour`: for a terminal.
pub fn text(report: &Report, colour: bool) -> String {
    let paint = if colour { COLOURS } else { NONE };
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for finding in &report.findings {
        match excuse(finding) {
            Some(why) => allowed(&mut text, finding, &why, &paint),
            None if finding.line == 0 => blocked(&mut text, finding, &paint),
            None => open(&mut text, finding, told.insert(finding.rule.id), &paint),
        }
    }
    for it in report.imported.iter().filter(|it| !it.suppressed) {
        let (severity, place) = (it.severity.as_str(), format!("{}:{}", it.path, it.line));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "{severity}[{}/{}] {place}: {}",
            it.tool,
            it.rule,
            one_line(&it.message)
        );
    }
    for remark in &report.remarks {
        let place = if remark.line == 0 {
            remark.path.clone()
        } else {
            format!("{}:{}", remark.path, remark.line)
        };
        let _ = writeln!(
            text,
            "{}note{}: {}: {}",
            paint.blue,
            paint.plain,
            one_line(&place),
            one_line(&remark.message)
        );
    }
    summary(&mut text, report);
    text
}

fn summary(text: &mut String, report: &Report) {
    let count = |severity| report.open().filter(|it| it.severity == severity).count();
    let open = report.open().count();
    let _ = write!(
        text,
        "{} files: {open} findings ({} errors, {} warnings, {} notes), {} allowed, {} MOJOs good, {} links not followed",
        report.files,
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        report.findings.len() - open,
        report.mojos,
        report.links
    );
    if !report.imported.is_empty() {
        let _ = write!(text, ", {} of other tools", report.imported.len());
    }
    text.push('\n');
}

/// The file and the way inside of it, the line and column.
fn place(finding: &Finding) -> String {
    let mut place = finding.path.clone();
    for member in &finding.inside {
        place.push_str(" > ");
        place.push_str(member);
    }
    if finding.line > 0 {
        let _ = write!(place, ":{}:{}", finding.line, finding.column);
    }
    one_line(&place)
}

fn allowed(text: &mut String, finding: &Finding, why: &str, paint: &Paint) {
    let (place, message) = (place(finding), one_line(&finding.message));
    let _ = writeln!(
        text,
        "{}allowed {} {place}: {}: {message}",
        paint.grey, paint.plain, finding.rule
    );
    let _ = writeln!(text, "         {}", one_line(why));
}

/// An artifact.
fn blocked(text: &mut String, finding: &Finding, paint: &Paint) {
    let (place, message) = (place(finding), one_line(&finding.message));
    let mark = if finding.severity == Severity::Error { "blocked " } else { "warning " };
    let _ =
        writeln!(text, "{}{mark}{} {place}: {}: {message}", paint.red, paint.plain, finding.rule);
    if !finding.sha256.is_empty() {
        let _ = writeln!(text, "         {}sha256 {}{}", paint.grey, finding.sha256, paint.plain);
    }
}

fn open(text: &mut String, finding: &Finding, first: bool, paint: &Paint) {
    let (blue, plain) = (paint.blue, paint.plain);
    let colour = if finding.severity == Severity::Error { paint.red } else { paint.yellow };
    let severity = finding.severity.as_str();
    let message = one_line(&finding.message);
    let _ = writeln!(text, "{colour}{severity}[{}]{plain}: {message}", finding.rule);
    let number = finding.line.to_string();
    let pad = " ".repeat(number.len());
    let _ = writeln!(text, "{pad}{blue}-->{plain} {}", place(finding));
    if !finding.excerpt.is_empty() {
        let _ = writeln!(text, "{pad} {blue}|{plain}");
        let _ = writeln!(text, "{blue}{number} |{plain} {}", one_line(&finding.excerpt));
    }
    let width =
        finding.chain.iter().map(|hop| hop.path.len() + hop.line.to_string().len() + 1).max();
    for hop in &finding.chain {
        let at = format!("{}:{}", hop.path, hop.line);
        let width = width.unwrap_or(0);
        let _ = writeln!(
            text,
            "{pad} {blue}={plain} {:<width$}  {}",
            one_line(&at),
            one_line(&hop.what)
        );
    }
    // What helps is said once for each rule.
    if first {
        let help = finding.rule.gist("Fix");
        let _ = writeln!(text, "{pad} {blue}={plain} help: {}", one_line(&help));
        let _ = writeln!(text, "{pad} {blue}={plain} why:  stemson explain {}", finding.rule);
    }
    if let Some(fix) = &finding.fix {
        let safe = if fix.safe { "--fix" } else { "by hand" };
        let _ = writeln!(text, "{pad} {blue}={plain} fix ({safe}): {}", one_line(&fix.what));
    }
    text.push('\n');
}
