//! Links in Markdown: those that stay in the repository must lead to a file.

/// One line for each relative link of `text` (at `path`) whose target `exists` denies.
pub(crate) fn dead(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        for target in targets(line) {
            let file = target.split(['#', ' ']).next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !resolve(path, file).is_some_and(|it| exists(&it)) {
                findings.push(format!("{path}:{}: `{target}` leads nowhere", number + 1));
            }
        }
    }
    findings
}

/// What stands in the brackets of `[text](target)`, outside of code.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let outside_code = line.split('`').step_by(2);
    outside_code.flat_map(|part| {
        part.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(it, _)| it))
    })
}

/// `link` as seen from the file `from`, as a path from the root; `None` if it leaves it.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if let Some(link) = link.strip_prefix('/') {
        return Some(link.to_owned());
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, lines: &[&str]) {
        let exists = |path: &str| ["docs/a.md", "docs", "b.md"].contains(&path);
        let expected: Vec<_> =
            lines.iter().map(|it| format!("docs/page.md:{it} leads nowhere")).collect();
        assert_eq!(dead("docs/page.md", text, exists), expected);
    }

    #[test]
    fn finds_what_leads_nowhere() {
        check("[a](a.md) and [b](../b.md#part), [all](../docs/)", &[]);
        check("see\n[x](b.md) or [y](../../b.md)", &["2: `b.md`", "2: `../../b.md`"]);
        check("[`code`](missing.md)", &["1: `missing.md`"]);
    }

    #[test]
    fn leaves_the_web_and_code_alone() {
        check("[a](https://example.org/a.md) [b](#part) [c](mailto:a@example.org)", &[]);
        check("`[x](y)`\n```\n[x](y)\n```\n    [x](y)", &[]);
    }
}
