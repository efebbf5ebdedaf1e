//! Canary and shadow.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::{Client, Serving, artifact, config};

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
