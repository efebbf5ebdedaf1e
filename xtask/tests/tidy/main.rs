//! The house rules, one test each: rooms and their dependencies, manifests, sizes, links.
//!
//! A rule that is broken says which file and what to do. The rules themselves are functions from
//! text to findings, so that tests beside them show that they can fail.

mod lengths;
mod links;
mod rooms;
mod tree;

use tree::Tree;

/// Fails with all findings at once, one line each.
#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} finding(s):\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_source_file_says_what_it_promises() {
    let tree = Tree::read();
    let silent = tree.texts("rs").filter(|(_, text)| !text.starts_with("//!"));
    let findings: Vec<_> =
        silent.map(|(path, _)| format!("{path}: the first line must be a `//!`")).collect();
    none(&findings);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let tree = Tree::read();
    let crates = tree.texts("toml").filter(|(path, text)| {
        path.ends_with("Cargo.toml") && text.lines().any(|line| line.trim() == "[package]")
    });
    let lax = crates.filter(|(_, text)| !text.contains("[lints]\nworkspace = true\n"));
    let findings: Vec<_> =
        lax.map(|(path, _)| format!("{path}: add `[lints]` with `workspace = true`")).collect();
    none(&findings);
}

#[test]
fn big_files_are_data() {
    const BYTES_MAX: u64 = 256 * 1024;
    let allowed = |path: &str| {
        path == "Cargo.lock"
            || ["tests/corpora/", "benches/models/", "api/"].iter().any(|it| path.starts_with(it))
            || ((path.starts_with("crates/") || path.starts_with("examples/"))
                && path.contains("/models/"))
    };
    let tree = Tree::read();
    let big = tree.files().filter(|file| file.bytes > BYTES_MAX && !allowed(&file.path));
    let findings: Vec<_> =
        big.map(|it| format!("{}: {} bytes, at most {BYTES_MAX}", it.path, it.bytes)).collect();
    none(&findings);
}

/// The repository stands alone: it names no folder of the machine it was written on.
#[test]
fn nothing_points_outside_the_repository() {
    let outside = [concat!("../", "shared"), concat!("/", "work/"), concat!("/tmp", "/h2o")];
    let tree = Tree::read();
    let mut findings = Vec::new();
    for (path, text) in tree.texts("") {
        for (number, line) in text.lines().enumerate() {
            for place in outside.iter().filter(|place| line.contains(**place)) {
                findings.push(format!("{path}:{}: names `{place}`", number + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn files_and_functions_stay_short() {
    let tree = Tree::read();
    let mut findings = Vec::new();
    for (path, text) in tree.texts("rs") {
        let lines = text.lines().count();
        findings.extend(lengths::judge(path, "file", lines, lengths::FILE_LINES_MAX));
        for function in lengths::functions(text) {
            let (name, lines) = (&function.name, function.lines);
            findings.extend(lengths::judge(path, name, lines, lengths::FUNCTION_LINES_MAX));
        }
    }
    none(&findings);
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let tree = Tree::read();
    let findings: Vec<_> = tree
        .texts("md")
        .flat_map(|(path, text)| links::dead(path, text, |target| tree.holds(target)))
        .collect();
    none(&findings);
}

#[test]
fn crates_know_only_the_rooms_below_them() {
    none(&rooms::wrong_edges(&rooms::metadata()));
}

#[test]
fn the_runtime_stands_on_little() {
    none(&rooms::forbidden_below("stemson-mojo", &["tokio", "tracing", "rand", "chrono"]));
}
