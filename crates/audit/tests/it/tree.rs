//! Folders: what is looked at, what is not, and exceptions.

use std::fs;

use stemson_audit::{Exceptions, Limits, check};

use crate::pickles;

#[test]
fn hidden_and_ignored_files_are_looked_at_and_git_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let pickle = pickles::call(2, "os", "system", "true");
    for place in [".hidden", "dist", ".git/objects"] {
        fs::create_dir_all(root.join(place)).unwrap();
        fs::write(root.join(place).join("model.txt"), &pickle).unwrap();
    }
    fs::write(root.join(".gitignore"), "dist\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("dist/model.txt"), root.join("link")).unwrap();
    let report = check(&[root.to_owned()], &Limits::default(), 2).unwrap();
    let paths: Vec<_> = report.findings.iter().map(|it| it.path.clone()).collect();
    let expected = [".hidden/model.txt", "dist/model.txt"];
    assert_eq!(paths, expected.map(|it| root.join(it).to_str().unwrap().to_owned()));
    assert_eq!((report.files, report.links), (3, u64::from(cfg!(unix))));
    // A file named by the caller is looked at wherever it lies.
    let named = check(&[root.join(".git/objects/model.txt")], &Limits::default(), 1).unwrap();
    assert!(!named.is_good());
}

#[test]
fn large_files_are_known_by_head_and_tail() {
    let folder = tempfile::tempdir().unwrap();
    let noise = crate::clean::noise(3, 300_000);
    let zip = crate::wrap::zip(crate::forge::Forged::stored(
        "m",
        &pickles::call(2, "os", "system", "true"),
    ));
    fs::write(folder.path().join("a.bin"), [&b"\x7fELF"[..], &noise, &zip].concat()).unwrap();
    fs::write(folder.path().join("b.bin"), [&b"\x7fELF"[..], &noise].concat()).unwrap();
    let report = check(&[folder.path().to_owned()], &Limits::default(), 1).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].path.ends_with("a.bin"));
    assert_eq!(report.findings[0].rule.id, "pickle_code");
}

#[test]
fn an_exception_is_for_one_file_and_one_rule() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.pkl"), b"(lp0\n.").unwrap();
    let mut report = check(&[folder.path().to_owned()], &Limits::default(), 1).unwrap();
    let sha256 = report.findings[0].sha256.clone();
    let text = |rule: &str| {
        format!(
            "[[exception]]\nsha256 = \"{sha256}\"\nrule = \"{rule}\"\nreason = \"r\"\n\
             approved_by = \"a\"\nexpires = \"2027-01-01\"\n"
        )
    };
    Exceptions::parse("e", &text("pojo")).unwrap().apply(&mut report, "2026-11-26");
    assert!(!report.is_good());
    Exceptions::parse("e", &text("pickle")).unwrap().apply(&mut report, "2026-11-26");
    assert!(report.is_good());
    assert!(stemson_audit::report::text(&report, false).contains("allowed  "));
}
