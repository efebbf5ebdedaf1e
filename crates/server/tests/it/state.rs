//! What survives a server.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stemson_mojo::Digest;
use stemson_server::{Config, Server, ShutdownHandle, StartError};

use crate::wire::{Serving, artifact, config};

const A: &str = "gbm_bernoulli";
const B: &str = "gbm_platt";
const C: &str = "gbm_isotonic";

fn in_folder(folder: &Path) -> Config {
    Config { data_dir: Some(folder.to_owned()), ..config() }
}

fn digest(case: &str) -> String {
    Digest::of(&artifact(case)).to_string()
}

/// `number: state` of every revision, and the words of the events.
fn log(serving: &Serving) -> (Vec<String>, Vec<String>) {
    let log = serving.admin().get("/admin/models/churn/revisions").ok();
    let list = |key: &str, word: fn(&Value) -> String| -> Vec<String> {
        log[key].as_array().expect("a list").iter().map(word).collect()
    };
    (
        list("revisions", |r| format!("{}: {}", r["number"], r["state"].as_str().unwrap_or(""))),
        list("events", |e| e["event"].as_str().unwrap_or_default().to_owned()),
    )
}

fn current(serving: &Serving) -> Value {
    serving.http().get("/v1/models/churn").ok()["number"].clone()
}

#[test]
fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(in_folder(folder.path()), &[("churn", A)]);
    let mut admin = serving.admin();
    for case in [B, C] {
        admin.post("/admin/models/churn/swap", artifact(case)).ok();
    }
    admin.post("/admin/models/churn/rollback", "").ok();
    admin.post("/admin/models/churn/canary?share=0.25", artifact(A)).ok();
    let before = log(&serving);
    assert_eq!(before.0, ["1: canary", "2: current", "3: previous"]);
    assert_eq!(before.1, ["deploy", "swap", "swap", "rollback", "canary"]);
    let shown = admin.get("/admin/models/churn/revisions").ok();
    drop(serving);

    let serving = Serving::start(in_folder(folder.path()), &[]);
    let mut admin = serving.admin();
    assert_eq!(admin.get("/admin/models/churn/revisions").ok(), shown);
    let canary = admin.get("/admin/models/churn/canary").ok();
    assert_eq!((&canary["number"], &canary["share"]), (&json!(1), &json!(0.25)));
    assert_eq!(current(&serving), 2);
    // The previous one is warm still, and numbers go on.
    assert_eq!(admin.post("/admin/models/churn/rollback", "").ok()["number"], 3);
    let next = admin.post("/admin/models/churn/swap", artifact("gbm_bernoulli_offset"));
    next.refused(409, "schema_mismatch");
}

#[test]
fn an_unloaded_model_keeps_its_artifact() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = [("churn", A), ("other", B)];
    let serving = Serving::start(in_folder(folder.path()), &models);
    serving.http().post("/v2/repository/models/churn/unload", "").ok();
    serving.admin().post("/admin/models/other/swap", artifact(C)).ok();
    drop(serving);
    let serving = Serving::start(in_folder(folder.path()), &[]);
    assert_eq!(current(&serving), 1);
}

#[test]
fn an_artifact_that_was_lost_is_kept_again_when_it_comes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(in_folder(folder.path()), &[("churn", A)]);
    let kept = folder.path().join("artifacts").join(format!("{}.zip", digest(A)));
    fs::remove_file(&kept).expect("it is there");
    assert_eq!(serving.admin().post("/admin/models/churn/swap", artifact(A)).ok()["number"], 1);
    assert_eq!(fs::read(&kept).expect("kept"), artifact(A));
}

#[test]
fn the_configuration_is_heard_when_it_names_something_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |case: &str| -> Value {
        let server = Server::bind(in_folder(folder.path())).expect("free");
        drop(server.configure("churn", artifact(case), None, "start").expect(case));
        let (http, shutdown) = (server.addresses().admin, ShutdownHandle::new());
        let handle = shutdown.clone();
        let thread = std::thread::spawn(move || server.run(&handle));
        let mut admin = crate::wire::Client::connect(http);
        let found = admin.get("/admin/models/churn/revisions").ok();
        // Somebody makes C current by hand.
        admin.post("/admin/models/churn/swap", artifact(C)).ok();
        shutdown.begin();
        thread.join().expect("no panic").expect("a good end");
        let revisions = found["revisions"].as_array().expect("a list");
        let current = revisions.iter().find(|r| r["state"] == "current").expect("one");
        current["revision"].clone()
    };
    assert_eq!(start(A), digest(A));
    assert_eq!(start(A), digest(C), "the same file: what was swapped in stands");
    assert_eq!(start(B), digest(B), "another file: it is swapped in");
    assert_eq!(start(B), digest(C));
}

#[test]
fn a_retired_revision_comes_back_from_its_artifact() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { keep_revisions: 2, ..in_folder(folder.path()) };
    let serving = Serving::start(config, &[("churn", A)]);
    let mut admin = serving.admin();
    for case in [B, C] {
        admin.post("/admin/models/churn/swap", artifact(case)).ok();
    }
    // 1 is retired and beyond what is kept.
    admin.post("/admin/models/churn/rollback", "{\"to\":1}").refused(409, "artifact_gone");
    admin.get("/admin/models/churn/revisions/1/artifact").refused(409, "artifact_gone");
    admin.post("/admin/models/churn/swap", artifact(A)).ok();
    assert_eq!(log(&serving).0, ["1: current", "2: retired", "3: previous"]);
    admin.post("/admin/models/churn/rollback", "{\"to\":2}").refused(409, "artifact_gone");
    let files = fs::read_dir(folder.path().join("artifacts")).expect("a folder").count();
    assert_eq!(files, 2);
    drop(serving);

    let serving = Serving::start(in_folder(folder.path()), &[]);
    let mut admin = serving.admin();
    admin.post("/admin/models/churn/swap", artifact(B)).ok();
    assert_eq!(log(&serving).0, ["1: previous", "2: current", "3: retired"]);
    let back = admin.post("/admin/models/churn/rollback", "{\"to\":3}").ok();
    assert_eq!((&back["outcome"], &back["number"]), (&json!("rolled_back"), &json!(3)));
    let swapped = admin.send(
        "POST",
        "/admin/models/churn/swap",
        &[("content-type", "application/json")],
        format!("{{\"revision\":\"{}\"}}", &digest(A)[..12]).as_bytes(),
    );
    assert_eq!(swapped.ok()["number"], 1);
    let third = admin.get(&format!("/admin/models/churn/revisions/{}/artifact", digest(C)));
    assert_eq!((third.status, third.header("content-type")), (200, Some("application/zip")));
    assert_eq!(Digest::of(&third.raw).to_string(), digest(C));
    admin.get("/admin/models/churn/revisions/9/artifact").refused(404, "unknown_version");
}

#[test]
fn a_damaged_artifact_lets_the_one_before_it_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(in_folder(folder.path()), &[("churn", A)]);
    serving.admin().post("/admin/models/churn/swap", artifact(B)).ok();
    drop(serving);
    let damage = |case: &str| {
        let path = folder.path().join(format!("artifacts/{}.zip", digest(case)));
        fs::write(path, "damaged").expect("a file");
    };
    damage(B);
    let serving = Serving::start(in_folder(folder.path()), &[]);
    assert_eq!(current(&serving), 1);
    assert_eq!(log(&serving).1, ["deploy", "swap", "rollback"]);
    drop(serving);
    damage(A);
    let refused = Server::bind(in_folder(folder.path())).expect_err("nothing is left");
    assert!(matches!(refused, StartError::Restore { number: 1, .. }), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("--data-dir")), "{refused}");
}

#[test]
fn one_server_per_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = Server::bind(in_folder(folder.path())).expect("free");
    let refused = Server::bind(in_folder(folder.path())).expect_err("taken");
    assert_eq!(refused.kind(), "data_dir_in_use");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
}

#[test]
fn what_cannot_be_kept_is_not_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(in_folder(folder.path()), &[("churn", A)]);
    let mut admin = serving.admin();
    fs::remove_dir_all(folder.path().join("artifacts")).expect("removed");
    admin.post("/admin/models/churn/swap", artifact(B)).refused(507, "data_dir_not_writable");
    assert_eq!(current(&serving), 1);
    assert_eq!(log(&serving).0, ["1: current"]);
    fs::create_dir(folder.path().join("artifacts")).expect("made");
    admin.post("/admin/models/churn/swap", artifact(B)).ok();
    assert_eq!(current(&serving), 2);
}
