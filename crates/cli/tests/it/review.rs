//! `review` and `skill install`: real repositories, real patches.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{Run, command};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "init.defaultBranch=main",
    ]);
    let output = git.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with one old mistake, committed.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schema.sql"), "CREATE TABLE old (doc jsonb);\n").unwrap();
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-qm", "base"]);
    folder
}

fn review(folder: &Path, arguments: &[&str]) -> Run {
    command().arg("review").args(arguments).current_dir(folder).output().unwrap().into()
}

const BAD: &str = "limits.yaml";
const MANIFEST: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: h2o}\nspec:\n  containers:\n  - name: h2o\n    image: h2oai/h2o-open-source-k8s:3.46.0.11\n    args: [-Xmx64g]\n    resources: {limits: {memory: 64Gi}}\n";

#[test]
fn what_was_there_before_does_not_decide() {
    let folder = repository();
    let run = review(folder.path(), &[]);
    assert_eq!((run.code, run.stdout.lines().next()), (0, Some("Accept")), "{}", run.stderr);
    assert!(run.stdout.contains("not decided on: 1"), "{}", run.stdout);
}

#[test]
fn an_error_rejects_and_a_warning_makes_conditions() {
    let folder = repository();
    fs::write(folder.path().join("new.sql"), "CREATE TABLE fresh (doc jsonb);\n").unwrap();
    let run = review(folder.path(), &["--format", "json"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, json["decision"].as_str()), (0, Some("accept_with_conditions")));
    fs::write(folder.path().join(BAD), MANIFEST).unwrap();
    let run = review(folder.path(), &["--diff", "main", "--format", "json"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, json["decision"].as_str()), (1, Some("reject")), "{}", run.stdout);
    let first = &json["reasons"][0];
    assert_eq!((first["rule"].as_str(), first["line"].as_u64()), (Some("heap_share"), Some(8)));
    for part in ["thesis", "antithesis", "synthesis", "fix"] {
        assert!(first["argument"][part].as_str().unwrap().len() > 10);
    }
    let markdown = review(folder.path(), &["--format", "markdown"]).stdout;
    assert!(
        markdown.starts_with("## Reject\n") && markdown.contains("### `limits.yaml:8`"),
        "{markdown}"
    );
}

#[test]
fn a_patch_is_judged_before_and_after_it_is_applied() {
    let folder = repository();
    fs::write(folder.path().join(BAD), MANIFEST).unwrap();
    git(folder.path(), &["add", "-N", "."]);
    let outside = tempfile::tempdir().unwrap();
    let patch = outside.path().join("17.patch");
    fs::write(&patch, git(folder.path(), &["diff"])).unwrap();
    let patch = patch.to_str().unwrap();
    let applied = review(folder.path(), &["--pr", patch]);
    git(folder.path(), &["reset", "-q", "--hard"]);
    let pending = review(folder.path(), &["--pr", patch]);
    assert_eq!((applied.code, pending.code), (1, 1), "{}{}", applied.stderr, pending.stderr);
    assert_eq!(applied.stdout, pending.stdout);
    assert!(!folder.path().join(BAD).exists(), "the working tree stays as it is");
}

#[test]
fn what_cannot_be_reviewed_says_why() {
    let folder = repository();
    fs::write(folder.path().join("no.patch"), "hello\n").unwrap();
    for (arguments, words) in [
        (&["--diff", "nowhere"][..], "cannot compare with `nowhere`"),
        (&["--pr", "missing.patch"], "cannot read missing.patch"),
        (&["--pr", "no.patch"], "is no patch"),
        (&["--diff", "main", "--pr", "no.patch"], "cannot be used with"),
    ] {
        let run = review(folder.path(), arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn the_skill_is_installed_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let install = |more: &[&str]| -> Run {
        command()
            .args(["skill", "install", "--dir"])
            .arg(folder.path())
            .args(more)
            .output()
            .unwrap()
            .into()
    };
    assert_eq!(install(&[]).code, 0);
    let skill = folder.path().join("lead-engineer/SKILL.md");
    assert!(fs::read_to_string(&skill).unwrap().starts_with("---\nname: lead-engineer\n"));
    assert!(folder.path().join("lead-engineer/checklists/physical_view_lead_engineer.md").exists());
    assert_eq!(install(&[]).code, 0, "what is the same is no conflict");
    fs::write(&skill, "mine").unwrap();
    let refused = install(&[]);
    assert!(refused.code == 1 && refused.stderr.contains("SKILL.md"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&skill).unwrap(), "mine");
    assert_eq!(install(&["--force"]).code, 0);
    assert_ne!(fs::read_to_string(&skill).unwrap(), "mine");
}
