//! Every page of a rule is a test: each example is built as a small repository, and found is exactly
//! what the page marks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stemson_audit::{Exceptions, Options, Rule, audit, rules};

/// One `###` of a page.
pub(crate) struct Example {
    heading: String,
    /// Path and bytes.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Path and line, 0 for the file as a whole.
    expected: BTreeSet<(String, u32)>,
}

pub(crate) fn examples(section: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut fence: Option<(String, String, bool, String)> = None;
    for line in section.lines() {
        match &mut fence {
            None if line.starts_with("### ") => examples.push(Example {
                heading: line[4..].to_owned(),
                files: Vec::new(),
                expected: BTreeSet::new(),
            }),
            None if line.starts_with("```") => {
                let mut words = line[3..].split(' ');
                let (language, path) = (words.next().unwrap(), words.next().unwrap());
                let found = words.next() == Some("found");
                fence = Some((language.to_owned(), path.to_owned(), found, String::new()));
            }
            None => {}
            Some((language, path, found, text)) if line == "```" => {
                let example = examples.last_mut().expect("a fence stands under a heading");
                if *found {
                    example.expected.insert((path.clone(), 0));
                }
                let bytes = if language == "base64" {
                    STANDARD.decode(text.replace('\n', "")).expect("base64")
                } else {
                    text.clone().into_bytes()
                };
                example.files.push((path.clone(), bytes));
                fence = None;
            }
            Some((_, path, _, text)) => {
                let (line, found) = match line.trim_end().strip_suffix("<-- found") {
                    Some(line) => (line.trim_end(), true),
                    None => (line, false),
                };
                text.push_str(line);
                text.push('\n');
                if found {
                    let number = text.lines().count() as u32;
                    let example = examples.last_mut().expect("a fence stands under a heading");
                    example.expected.insert((path.clone(), number));
                }
            }
        }
    }
    examples
}

/// What the rule finds in the example: path and line.
fn found(rule: &Rule, example: &Example) -> BTreeSet<(String, u32)> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (path, bytes) in &example.files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let options = Options { threads: 1, ..Options::default() };
    let mut report = audit(&[root.to_owned()], &options).unwrap();
    if let Ok(text) = fs::read_to_string(root.join("stemson-exceptions.toml")) {
        Exceptions::parse("e", &text).unwrap().apply(&mut report, "2026-11-26");
    }
    for remark in &report.remarks {
        assert!(!remark.message.contains("does not parse"), "{}: {remark:?}", example.heading);
    }
    let ours = report.findings.iter().filter(|finding| finding.rule == rule);
    ours.map(|finding| (below(root, &finding.path), finding.line)).collect()
}

fn below(root: &Path, path: &str) -> String {
    Path::new(path).strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_example_of_every_page() {
    let mut failed = Vec::new();
    for rule in rules() {
        if !rule.without_examples.is_empty() {
            continue;
        }
        let (finds, silent) = (examples(rule.section("Finds")), examples(rule.section("Silent")));
        if finds.len() < 3 || silent.len() < 3 {
            failed.push(format!("{rule}: {} found, {} silent", finds.len(), silent.len()));
        }
        for (example, must) in
            finds.iter().map(|it| (it, true)).chain(silent.iter().map(|it| (it, false)))
        {
            let name = format!("{rule}, {}", example.heading);
            if example.expected.is_empty() == must || example.files.is_empty() {
                failed.push(format!("{name}: marks do not fit the section"));
            }
            let found = found(rule, example);
            if found != example.expected {
                failed.push(format!("{name}: found {found:?}, marked {:?}", example.expected));
            }
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
