//! Fixes: what each file's text is after the safe ones.

use std::collections::BTreeMap;

use crate::finding::{Edit, Report};

/// Files with safe fixes of open findings: path, how many, and all edits, last first.
pub fn fixes(report: &Report) -> BTreeMap<&str, (usize, Vec<&Edit>)> {
    let mut files: BTreeMap<&str, (usize, Vec<&Edit>)> = BTreeMap::new();
    for finding in report.open() {
        let Some(fix) = finding.fix.as_ref().filter(|fix| fix.safe) else { continue };
        let (count, edits) = files.entry(&finding.path).or_default();
        // Two fixes of one place: the second run mends the second.
        let free =
            |edit: &Edit| edits.iter().all(|it| edit.end <= it.start || it.end <= edit.start);
        if fix.edits.iter().all(free) {
            edits.extend(&fix.edits);
            *count += 1;
        }
    }
    for (_, edits) in files.values_mut() {
        edits.sort_by_key(|edit| std::cmp::Reverse((edit.start, edit.end)));
    }
    files
}

/// A text after edits that go from the last to the first; nothing if it is another text than was read.
pub fn mended(text: &str, edits: &[&Edit]) -> Option<String> {
    let mut mended = text.to_owned();
    for edit in edits {
        let range = edit.start as usize..edit.end as usize;
        mended.get(range.clone())?;
        mended.replace_range(range, &edit.text);
    }
    Some(mended)
}

/// The lines that differ, as `diff -u` shows them, with three lines around. Edits never join or split
/// more lines than they hold.
pub fn diff(path: &str, before: &str, after: &str) -> String {
    let text = similar::TextDiff::from_lines(before, after);
    text.unified_diff()
        .context_radius(3)
        .header(&format!("a/{path}"), &format!("b/{path}"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_last_to_the_first() {
        let edit = |start, end, text: &str| Edit { start, end, text: text.to_owned() };
        let (a, b) = (edit(4, 5, "xyz"), edit(0, 1, ""));
        assert_eq!(mended("abcdef", &[&a, &b]).unwrap(), "bcdxyzf");
        assert_eq!(mended("abc", &[&a]), None);
        assert_eq!(mended("\u{e4}bcde", &[&edit(1, 2, "")]), None);
        assert!(diff("a.py", "a\nb\n", "a\nc\n").contains("-b\n+c\n"));
    }
}
