//! Models change under load: nobody notices but by the revision.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::ScopedJoinHandle;

use stemson_mojo::Digest;

use crate::wire::{Serving, artifact, config};

const SWAPS: usize = 20;

#[test]
fn every_answer_is_by_a_revision_that_was_current_meanwhile() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let artifacts = [artifact("gbm_bernoulli"), artifact("gbm_platt")];
    let digests = artifacts.each_ref().map(|bytes| Digest::of(bytes).to_string());
    // The n-th swap makes artifact n % 2 current; 0 was there at the beginning.
    let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    // One row is answered by the reactor, many by the lane.
    let small = r#"{"instances":[{"x1":1}]}"#.to_owned();
    let large = format!("{{\"instances\":[{}]}}", vec!["{\"x1\":1.5}"; 3_000].join(","));
    let load = |body: &str| {
        let mut client = serving.http();
        while !is_over.load(SeqCst) {
            let first = done.load(SeqCst);
            let answer = client.post("/v1/models/churn:predict", body).ok();
            let last = begun.load(SeqCst);
            let revision = answer["revision"].as_str().expect("a digest");
            assert!(
                (first..=last).any(|n| digests[n % 2] == revision),
                "{revision} was not current between swap {first} and {last}"
            );
            answered.fetch_add(1, SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let loads: Vec<_> = [&small, &small, &large].map(|body| scope.spawn(|| load(body))).into();
        let mut admin = serving.admin();
        for n in 1..=SWAPS {
            // The load must get its word in between.
            let before = answered.load(SeqCst);
            while answered.load(SeqCst) < before + 5
                && !loads.iter().any(ScopedJoinHandle::is_finished)
            {
                std::thread::yield_now();
            }
            begun.store(n, SeqCst);
            let reply = if n % 5 == 0 {
                admin.post("/admin/models/churn/rollback", "")
            } else {
                admin.post("/admin/models/churn/swap", &artifacts[n % 2])
            };
            assert_eq!(reply.ok()["revision"], digests[n % 2], "swap {n}");
            done.store(n, SeqCst);
        }
        is_over.store(true, SeqCst);
    });
    assert!(answered.load(SeqCst) >= SWAPS * 5);
    let metrics = serving.admin().get("/metrics").body;
    for line in metrics.lines().filter(|line| line.starts_with("stemson_requests_total{")) {
        assert!(line.contains("outcome=\"ok\""), "{line}");
    }
    assert_eq!(metrics.lines().filter(|l| l.starts_with("stemson_model_bytes{")).count(), 2);
}

#[test]
fn an_upload_that_is_long_in_coming_keeps_nobody_waiting() {
    let serving = Serving::start(config(), &[("churn", "gbm_bernoulli")]);
    let swap = "/admin/models/churn/swap";
    let (mut swapping, mut loading) = (serving.admin(), serving.http());
    swapping.begin_half(swap);
    loading.begin_half("/v2/repository/models/churn/load");
    serving.admin().post(swap, artifact("gbm_platt")).ok();
    let loaded = serving.http().post("/v2/repository/models/churn/load", "").ok();
    assert_eq!(loaded, serde_json::json!({}));
    // They are heard out all the same.
    let rest = format!("{}}}", " ".repeat(98));
    swapping.write(&rest);
    swapping.finish().refused(400, "bad_field");
    loading.write(&rest);
    loading.finish().ok();
}
