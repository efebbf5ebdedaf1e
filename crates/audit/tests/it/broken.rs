//! Every example of every page, cut off and garbled: an audit of all of it ends, with remarks at most.

use std::fs;

use stemson_audit::{Options, audit, rules};

use crate::pages::examples;

/// What stands in the middle of a text in place of a few bytes.
const GARBAGE: [&str; 8] = ["", "{{", "'", "((((", "&a *a", "\u{e9}\0", "<<EOF", "$${"];

#[test]
fn no_text_breaks_an_audit() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    for (number, rule) in rules().iter().enumerate() {
        for section in ["Finds", "Silent"] {
            for example in examples(rule.section(section)) {
                for (path, bytes) in &example.files {
                    for (cut, garbage) in GARBAGE.iter().enumerate() {
                        let at = bytes.len() * cut / GARBAGE.len();
                        let rest = bytes.get(at + 3..).filter(|_| cut % 2 == 1).unwrap_or_default();
                        let broken = [&bytes[..at], garbage.as_bytes(), rest].concat();
                        let file = folder.path().join(format!("{number}/{cut}")).join(path);
                        fs::create_dir_all(file.parent().unwrap()).unwrap();
                        fs::write(file, broken).unwrap();
                        files += 1;
                    }
                }
            }
        }
    }
    let report = audit(&[folder.path().to_owned()], &Options::default()).unwrap();
    assert!(files > 1_000 && report.files > 500, "{files} files, {} of them read", report.files);
    assert!(!report.remarks.iter().any(|it| it.message.contains("SQL could not be read")));
}
