//! `stemson check` over a repository: formats, suppressions, baselines, fixes, selections.

use std::process::Command;

use serde_json::Value;

use crate::{Folder, Run, command};

const APP: &str = "import asyncio\nimport time\n\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\
    @app.get(\"/\")\nasync def root():\n    time.sleep(0.1)\n";

/// Runs in the folder, with a cache of its own beside what it looks at.
fn check(folder: &Folder, arguments: &[&str]) -> Run {
    let mut command = command();
    command.arg("check").args(arguments).current_dir(folder.path(""));
    command.env("XDG_CACHE_HOME", folder.path(".git/cache")).output().unwrap().into()
}

fn json(folder: &Folder, arguments: &[&str]) -> (i32, Value) {
    let run = check(folder, &[&["--format", "json"], arguments].concat());
    let report = serde_json::from_str(&run.stdout);
    (run.code, report.unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr)))
}

fn sample() -> Folder {
    let folder = Folder::new();
    folder.write("app.py", APP);
    folder
}

#[test]
fn findings_have_place_story_and_chain_and_the_cache_gives_the_same() {
    let folder = sample();
    let (code, first) = json(&folder, &[]);
    assert_eq!(code, 1);
    let finding = &first["findings"][0];
    for (key, expected) in [
        ("rule", "blocking_wait"),
        ("story", "LE-PROC-01"),
        ("severity", "error"),
        ("path", "app.py"),
    ] {
        assert_eq!(finding[key], expected);
    }
    assert_eq!((finding["line"].as_u64(), finding["column"].as_u64()), (Some(10), Some(5)));
    assert_eq!(finding["chain"][0]["line"], 9);
    assert_eq!(finding["fingerprint"].as_str().map(str::len), Some(32));
    assert_eq!(json(&folder, &[]), (1, first.clone()), "from the cache");
    assert_eq!(json(&folder, &["--no-cache"]), (1, first));
    folder.write("app.py", APP.replace("time.sleep", "await asyncio.sleep"));
    assert_eq!(json(&folder, &[]).0, 0, "the cache knows that the text is another");
}

#[test]
fn every_format_tells_the_line() {
    let folder = sample();
    for (format, expected) in [
        ("text", "--> app.py:10:5"),
        ("sarif", "\"startLine\": 10"),
        ("github", "::error file=app.py,line=10,col=5,endLine=10,title=blocking_wait::"),
        ("gitlab", "\"begin\": 10"),
        ("junit", "<testcase classname=\"app.py\" name=\"blocking_wait:10\">"),
    ] {
        let run = check(&folder, &["--format", format]);
        assert_eq!(run.code, 1);
        assert!(run.stdout.contains(expected), "{format}: {}", run.stdout);
    }
}

#[test]
fn rules_are_chosen_by_flag_and_file() {
    let folder = sample();
    assert_eq!(json(&folder, &["--select", "LE-PROC-02"]).0, 0);
    assert_eq!(json(&folder, &["--ignore", "event_loop"]).0, 0);
    assert_eq!(json(&folder, &["--profile", "mage"]).0, 0);
    let wrong = check(&folder, &["--select", "LE-PROC-99"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`LE-PROC-99`"), "{}", wrong.stderr);
    folder.write("stemson.toml", "[check]\nignore = [\"blocking_wait\"]\n");
    assert_eq!(json(&folder, &[]).0, 0);
    folder.write("stemson.toml", "[check]\nignored = []\n");
    let wrong = check(&folder, &[]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`check.ignored`"), "{}", wrong.stderr);
}

#[test]
fn comments_and_baselines_let_pass_what_is_known() {
    let folder = sample();
    let base = check(&folder, &["--write-baseline", "base.json"]);
    assert_eq!(base.code, 0, "{}", base.stderr);
    // Lines above come and go.
    folder.write("app.py", format!("# one\n# two\n{APP}"));
    let (code, report) = json(&folder, &["--baseline", "base.json"]);
    assert_eq!((code, &report["findings"][0]["suppressed"]["by"]), (0, &Value::from("baseline")));
    folder.write("app.py", format!("{APP}    time.sleep(0.2)\n"));
    assert_eq!(json(&folder, &["--baseline", "base.json"]).0, 1, "a new one");
    let why = "time.sleep(0.1)  # stemson: ignore[blocking_wait] until=2999-01-01 a demo";
    folder.write("app.py", APP.replace("time.sleep(0.1)", why));
    let (code, report) = json(&folder, &[]);
    assert_eq!((code, &report["findings"][0]["suppressed"]["reason"]), (0, &Value::from("a demo")));
    let bare = "time.sleep(0.1)  # stemson: ignore[blocking_wait]";
    folder.write("app.py", APP.replace("time.sleep(0.1)", bare));
    let (code, report) = json(&folder, &[]);
    assert_eq!(code, 1);
    assert!(report["remarks"][0]["message"].as_str().unwrap().contains("say why"));
    folder.write("base.json", "{}");
    assert_eq!(check(&folder, &["--baseline", "base.json"]).code, 2);
}

#[test]
fn fixes_are_shown_and_made() {
    let folder = sample();
    let diff = check(&folder, &["--diff"]);
    assert_eq!(diff.code, 0);
    assert!(
        diff.stdout.contains("-    time.sleep(0.1)\n+    await asyncio.sleep(0.1)\n"),
        "{}",
        diff.stdout
    );
    assert_eq!(check(&folder, &["--fix"]).code, 1, "the report is from before");
    assert_eq!(check(&folder, &[]).code, 0);
    let text = std::fs::read_to_string(folder.path("app.py")).unwrap();
    assert_eq!(text, APP.replace("time.sleep", "await asyncio.sleep"));
}

#[test]
fn only_what_differs_from_a_commit() {
    let folder = sample();
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let run =
            Command::new("git").args(identity).args(words).current_dir(folder.path("")).output();
        assert!(run.unwrap().status.success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "app.py"]);
    git(&["commit", "-qm", "app"]);
    assert_eq!(json(&folder, &["--changed-since", "HEAD"]).0, 0);
    folder.write("other.py", APP);
    let (code, report) = json(&folder, &["--changed-since", "HEAD"]);
    assert_eq!(code, 1);
    let paths: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["other.py"]);
    assert_eq!(check(&folder, &["--changed-since", "nowhere"]).code, 2);
}

#[test]
fn other_tools_findings_stand_in_the_same_report() {
    let folder = Folder::new();
    folder.write(
        "other.sarif",
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"checkov"}},"results":[
            {"ruleId":"CKV_1","level":"error","message":{"text":"root"},"locations":[{"physicalLocation":
            {"artifactLocation":{"uri":"Dockerfile"},"region":{"startLine":3}}}]}]}]}"#,
    );
    let run = check(&folder, &["--import", "other.sarif"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("error[checkov/CKV_1] Dockerfile:3: root"), "{}", run.stdout);
    let sarif = check(&folder, &["--import", "other.sarif", "--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&sarif.stdout).unwrap();
    assert_eq!(sarif["runs"].as_array().unwrap().len(), 2);
    folder.write("other.sarif", "{}");
    assert_eq!(check(&folder, &["--import", "other.sarif"]).code, 2);
}

#[test]
fn rules_are_listed_and_explained() {
    let list = crate::stemson(&["rules", "LE-PROC-01"]);
    assert!(list.code == 0 && list.stdout.contains("blocking_predict"), "{}", list.stdout);
    let page = crate::stemson(&["explain", "blocking_predict"]);
    assert!(page.code == 0 && page.stdout.contains("## Antithesis"), "{}", page.stdout);
    let wrong = crate::stemson(&["explain", "blocking_predicts"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`blocking_predict`?"), "{}", wrong.stderr);
}
