//! Canary and shadow.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stemson_mojo::{Digest, LoadOptions, Model};
use stemson_server::{Config, ModelFolder};

use crate::wire::{Client, Reply, Serving, artifact, config};

const A: &str = "gbm_bernoulli";
const B: &str = "gbm_platt";
const C: &str = "gbm_isotonic";
const ROW: &str = r#"{"instances":[{"x1":1}]}"#;

/// Number of the revision that answers a request with this id.
fn answered_by(client: &mut Client, id: &str) -> String {
    let reply =
        client.send("POST", "/v1/models/churn:predict", &[("x-request-id", id)], ROW.as_bytes());
    reply.ok()["revision"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_canary_gets_its_share_and_the_same_requests_each_time() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let answer = admin.post("/admin/models/churn/canary?share=0.3", artifact(B)).ok();
    assert_eq!(answer["outcome"], "canary_started");
    assert_eq!((&answer["number"], &answer["canary"]["number"]), (&json!(1), &json!(2)));
    let ids: Vec<String> = (0..400).map(|n| format!("user-{n}")).collect();
    let first: Vec<String> = ids.iter().map(|id| answered_by(&mut http, id)).collect();
    let again: Vec<String> = ids.iter().map(|id| answered_by(&mut http, id)).collect();
    assert_eq!(first, again);
    let canary = answer["canary"]["revision"].as_str().expect("a digest");
    let share = first.iter().filter(|revision| *revision == canary).count();
    // 120 expected; six standard deviations are 55.
    assert!((65..=175).contains(&share), "{share} of 400");
    let seen = admin.get("/admin/models/churn/canary").ok();
    let count = |arm: &str| seen[arm]["requests"].as_u64().expect("a count");
    assert_eq!(count("stable") + count("canary"), 800);
    assert_eq!(count("canary"), 2 * share as u64);

    let promoted = admin.post("/admin/models/churn/canary/promote", "").ok();
    assert_eq!(promoted["outcome"], "promoted");
    assert_eq!((&promoted["number"], &promoted["previous"]["number"]), (&json!(2), &json!(1)));
    assert!(ids.iter().all(|id| answered_by(&mut http, id) == canary));
    admin.post("/admin/models/churn/canary/promote", "").refused(409, "no_canary");
}

#[test]
fn aliases_name_what_stands_there() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    let version = |alias: &str| -> Option<Value> {
        let body = r#"{"inputs":[{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}]}"#;
        let reply = serving.http().post(&format!("/v2/models/churn/versions/{alias}/infer"), body);
        (reply.status == 200).then(|| reply.ok()["model_version"].clone())
    };
    assert_eq!(version("canary"), None);
    admin.post("/admin/models/churn/canary", artifact(B)).ok();
    let shadowed = admin.post("/admin/models/churn/shadow", artifact(C)).ok();
    assert_eq!(
        (&shadowed["outcome"], &shadowed["shadow"]["number"]),
        (&json!("shadow_started"), &json!(3))
    );
    let found: Vec<_> = ["stable", "canary", "shadow"].map(version).into();
    assert_eq!(found, [Some(json!("1")), Some(json!("2")), Some(json!("3"))]);
    let aborted = admin.post("/admin/models/churn/canary/abort", "").ok();
    assert_eq!((&aborted["outcome"], &aborted["number"]), (&json!("aborted"), &json!(1)));
    admin.post("/admin/models/churn/shadow/stop", "").ok();
    admin.post("/admin/models/churn/shadow/stop", "").refused(409, "no_shadow");
    assert_eq!(version("shadow"), None);
    let log = admin.get("/admin/models/churn/revisions").ok();
    let events: Vec<_> =
        log["events"].as_array().expect("a list").iter().map(|e| e["event"].clone()).collect();
    assert_eq!(events, ["deploy", "canary", "shadow", "abort", "shadow_stop"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    admin.post("/admin/models/churn/canary", artifact(A)).refused(409, "already_current");
    admin.post("/admin/models/nobody/canary", artifact(A)).refused(409, "no_current");
    admin
        .post("/admin/models/churn/canary", artifact("gbm_gaussian"))
        .refused(409, "schema_mismatch");
    for share in ["0", "1", "-1", "NaN", "half"] {
        let path = format!("/admin/models/churn/canary?share={share}");
        admin.post(&path, artifact(B)).refused(400, "bad_field");
    }
    admin.post("/admin/models/churn/canary/abort", "").refused(409, "no_canary");
    admin.get("/admin/models/churn/canary").refused(409, "no_canary");
}

#[test]
fn a_swap_and_a_rollback_end_the_canary() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let mut admin = serving.admin();
    admin.post("/admin/models/churn/canary", artifact(B)).ok();
    let swapped = admin.post("/admin/models/churn/swap", artifact(C)).ok();
    assert_eq!(swapped.get("canary"), None, "{swapped}");
    admin.post("/admin/models/churn/canary", artifact(B)).ok();
    let back = admin.post("/admin/models/churn/rollback", "").ok();
    assert_eq!(back.get("canary"), None, "{back}");
    let notes: BTreeMap<_, _> = admin.get("/admin/models/churn/revisions").ok()["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|e| Some((e["event"].to_string(), e.get("note")?.to_string())))
        .collect();
    assert_eq!(notes["\"rollback\""], "\"ends the canary 2\"");
}

/// Asks again until `found` says something.
#[track_caller]
fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_canary_that_fails_loses_its_share() {
    let v1 = ("/v1/models/churn:predict", ROW);
    let columns = r#"{"inputs":[{"name":"x1","shape":[1],"datatype":"FP64","data":[1]}]}"#;
    // The one says it in the row's place, the other refuses the request.
    for (path, body) in [v1, ("/v2/models/churn/infer", columns)] {
        let mut config = config();
        config.trial.min_requests = 20;
        let serving = Serving::start(config, &[("churn", "glm_binomial")]);
        let (mut http, mut admin) = (serving.http(), serving.admin());
        // It does not score rows without its categories.
        let start = "/admin/models/churn/canary?share=0.5";
        admin.post(start, artifact("glm_binomial_skip")).ok();
        let refused = |reply: Reply| reply.body.contains("categorical value out of range");
        let refused = (0..200).filter(|_| refused(http.post(path, body))).count();
        assert!((10..100).contains(&refused), "{refused} of 200 were refused");
        let abort = wait_for(|| {
            let log = admin.get("/admin/models/churn/revisions").ok();
            log["events"].as_array()?.iter().find(|event| event["event"] == "abort").cloned()
        });
        assert_eq!(abort["by"], "canary");
        let note = abort["note"].as_str().expect("why");
        assert!(note.starts_with("errors: 100.00 % of its requests, 0.00 %"), "{note}");
        assert_eq!(admin.get("/admin/models").ok()["models"][0].get("canary"), None);
        let metrics = admin.get("/metrics").body;
        assert!(metrics.contains("stemson_swaps_total{model=\"churn\",outcome=\"aborted\"} 1\n"));
    }
}

#[test]
fn a_callers_mistakes_are_not_the_canarys() {
    let mut config = config();
    config.trial.min_requests = 20;
    config.limits.rows_max = 10;
    let serving = Serving::start(config, &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let canary = admin.post("/admin/models/churn/canary?share=0.5", artifact(B)).ok();
    let canary = canary["canary"]["revision"].as_str().expect("a digest");
    let ids = (0..).map(|n| format!("caller-{n}"));
    let mut ids = ids.filter(|id| answered_by(&mut http, id) == canary);
    let id = ids.next().expect("one of two");
    drop(ids);
    let count = |admin: &mut Client| {
        let seen = admin.get("/admin/models/churn/canary").ok();
        let requests = |arm: &str| seen[arm]["requests"].as_u64().expect("a count");
        requests("stable") + requests("canary")
    };
    let before = count(&mut admin);
    let rows = format!("{{\"instances\":[{}]}}", ["{}"; 11].join(","));
    let (v1, oip) = ("/v1/models/churn:predict", "/v2/models/churn/infer");
    for (path, body, status) in [
        (v1, "{\"instances\":[{\"x1\":", 400),
        (v1, r#"{"instances":1}"#, 400),
        (v1, r#"{"instances":[{"x1":"abc"}],"strict":true}"#, 422),
        (v1, &*rows, 413),
        (oip, r#"{"inputs":[{"name":"no","shape":[1],"datatype":"FP64","data":[1]}]}"#, 400),
        (oip, r#"{"inputs":[{"name":"x1","shape":[2],"datatype":"FP64","data":[1]}]}"#, 400),
    ] {
        for _ in 0..50 {
            let reply = http.send("POST", path, &[("x-request-id", &id)], body.as_bytes());
            assert_eq!(reply.status, status, "{}", reply.body);
        }
    }
    assert_eq!(count(&mut admin), before, "only what was right is compared");
    assert_eq!(answered_by(&mut http, &id), canary, "it has its share still");
}

#[test]
fn a_shadow_is_asked_too_and_changes_nothing() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let shadowed = admin.post("/admin/models/churn/shadow", artifact(B)).ok();
    let shadow = &shadowed["shadow"]["revision"].as_str().expect("a digest")[..12];
    for n in 0..50 {
        let body = format!("{{\"instances\":[{{\"x1\":{n}}}]}}");
        let answer = http.post("/v1/models/churn:predict", body).ok();
        assert_eq!(answer["revision"], shadowed["revision"]);
    }
    // Both have the same trees.
    wait_for(|| (compared(&mut admin, shadow) == [50, 0, 0]).then_some(()));
}

/// Rows that a shadow answered alike, answered otherwise, and was not asked.
fn compared(admin: &mut Client, shadow: &str) -> [u64; 3] {
    let metrics = admin.get("/metrics").body;
    ["same", "different", "dropped"].map(|outcome| {
        let line = format!(
            "stemson_shadow_rows_total{{model=\"churn\",revision=\"{shadow}\",outcome=\"{outcome}\"}} "
        );
        metrics.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    })
}

#[test]
fn a_shadow_sees_the_offset() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli_offset")]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    // The same model in another file: a comment of one letter behind the archive.
    let mut same = artifact("gbm_bernoulli_offset");
    let length = same.len() - 2;
    assert_eq!(same.split_off(length), [0, 0]);
    same.extend([1, 0, b'x']);
    let shadowed = admin.post("/admin/models/churn/shadow", same).ok();
    let shadow = &shadowed["shadow"]["revision"].as_str().expect("a digest")[..12];
    let metadata = http.get("/v2/models/churn").ok();
    let inputs = metadata["inputs"].as_array().expect("a list");
    let offset = inputs.last().expect("one")["name"].as_str().expect("a name");
    for n in 1..=20 {
        let body = json!({ "instances": [{ offset: n }] });
        http.post("/v1/models/churn:predict", body.to_string()).ok();
    }
    wait_for(|| (compared(&mut admin, shadow)[0] == 20).then_some(()));
}

#[test]
fn a_revision_with_two_roles_is_listed_once() {
    let serving = Serving::start(config(), &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    admin.post("/admin/models/churn/swap", artifact(B)).ok();
    admin.post("/admin/models/churn/canary?share=0.5", artifact(A)).ok();
    assert_eq!(http.get("/v2/models/churn").ok()["versions"], json!(["1", "2"]));
    let stats = http.get("/v2/models/churn/stats").ok();
    assert_eq!(stats["model_stats"].as_array().map(Vec::len), Some(2));
}

#[test]
fn reference_rows_must_be_answered_as_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { artifact_roots: vec![folder.path().to_owned()], ..config() };
    let serving = Serving::start(config, &[("churn", A)]);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let answer = http.post("/v1/models/churn:predict", ROW).ok();
    let out = &answer["predictions"][0];
    let out = json!({ "label": out["label"], "index": out["index"] });
    let mut swap = |body: Value| {
        let headers = [("content-type", "application/json")];
        admin.send("POST", "/admin/models/churn/swap", &headers, body.to_string().as_bytes())
    };
    let right = json!({ "row": { "x1": 1 }, "out": out });
    let wrong = json!({ "row": { "x1": 1 }, "out": { "index": 7 } });
    fs::write(folder.path().join("b.zip"), artifact(B)).expect("a file");
    let refused = swap(json!({ "path": "b.zip", "reference": [&right, &wrong] }));
    let message = refused.refused(409, "reference_mismatch");
    assert!(message.contains("line 2") && message.contains("expected 7"), "{message}");
    let beside = folder.path().join("b.reference.jsonl");
    fs::write(&beside, format!("{right}\n{wrong}\n")).expect("a file");
    let message = swap(json!({ "path": "b.zip" })).refused(409, "reference_mismatch");
    assert!(message.contains("b.reference.jsonl line 2"), "{message}");
    fs::write(&beside, "{}\n").expect("a file");
    swap(json!({ "path": "b.zip" })).refused(409, "bad_reference");
    assert_eq!(http.get("/v1/models/churn").ok()["number"], 1);
    fs::write(&beside, format!("{right}\n")).expect("a file");
    assert_eq!(swap(json!({ "path": "b.zip" })).ok()["number"], 2);
    let attached = |name: &str| Model::attached(&artifact(A), name, &LoadOptions::default());
    assert!(attached("model.ini").expect("a zip").is_some());
    assert_eq!(attached("reference.jsonl").expect("a zip"), None);
}

#[test]
fn what_is_new_in_a_folder_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    fs::create_dir_all(models.join("other")).expect("a folder");
    let put = |name: &str, case: &str| {
        fs::write(models.join(".partial"), artifact(case)).expect("a file");
        fs::rename(models.join(".partial"), models.join(name)).expect("renamed");
    };
    let config = Config {
        model_folders: vec![ModelFolder::All(models.clone())],
        watch_interval: Duration::from_millis(10),
        ..config()
    };
    let serving = Serving::start(config, &[("churn", A)]);
    let digest = |case: &str| json!(Digest::of(&artifact(case)).to_string());
    let answers = |name: &str, case: &str| {
        let mut admin = serving.admin();
        wait_for(|| {
            let shown = admin.get("/admin/models").ok();
            let found = shown["models"].as_array()?.iter().find(|m| m["model"] == name)?.clone();
            (found["revision"] == digest(case)).then_some(found)
        })
    };
    put("churn.zip", B);
    assert_eq!(answers("churn", B)["by"], "watch");
    put("other/9.zip", A);
    answers("other", A);
    put("other/10.zip", C);
    answers("other", C);
    // What is no model is left alone, and the one that answers stays.
    fs::write(models.join("broken.zip"), "PK").expect("a file");
    fs::write(models.join("churn.zip"), "PK").expect("a file");
    put("other/11.zip", B);
    answers("other", B);
    assert_eq!(answers("churn", B)["number"], 2);
    // A rollback stands: the folder says nothing new.
    serving.admin().post("/admin/models/other/rollback", "").ok();
    put("third.zip", A);
    answers("third", A);
    assert_eq!(answers("other", C)["number"], 2);
}
