//! Many readers of one key at the same time, with the lane held shut: how often is computed, and who
//! is answered. Computations are counted, not timed.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

use crate::config::Limits;
use crate::overload::{Held, MODEL, Reply, hold, make_dear, runtime};

const OTHER: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/corpora/mojo/gbm_platt/model.zip"
));

const READERS: usize = 1_000;

/// Rows by outcome, of all revisions.
fn rows(held: &Held, outcome: &str) -> u64 {
    let (text, _) = held.context.metrics.render(&held.context.deployments, false);
    let label = format!("outcome=\"{outcome}\"}} ");
    let lines = text.lines().filter(|line| line.starts_with("stemson_cache_requests_total{"));
    lines.filter_map(|line| line.split_once(&label)?.1.parse::<u64>().ok()).sum()
}

fn flights(held: &Held) -> usize {
    held.context.cache.as_ref().expect("the default").flights.len()
}

/// So many ask for the same row; the lane opens when all of them wait.
async fn herd(held: &Rc<Held>, readers: usize) -> Vec<Reply> {
    let let_go = hold(&held.context);
    let tasks = set_out(held, readers, "600000").await;
    drop(let_go);
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.expect("no panic"));
    }
    replies
}

/// Starts readers, each of which has joined its flight when this is over.
async fn set_out(
    held: &Rc<Held>,
    readers: usize,
    timeout_ms: &'static str,
) -> Vec<JoinHandle<Reply>> {
    let reader = |_| {
        let held = Rc::clone(held);
        spawn_local(async move { held.ask(1, timeout_ms).await })
    };
    let tasks = (0..readers).map(reader).collect();
    // Their bodies are in memory: a few turns bring each as far as it comes.
    for _ in 0..20 {
        yield_now().await;
    }
    tasks
}

fn check(work: impl AsyncFnOnce(Rc<Held>)) {
    let mut held = Held::new(Limits::default());
    make_dear(&held);
    held.let_go();
    runtime().block_on(LocalSet::new().run_until(work(Rc::new(held))));
}

#[test]
fn each_swap_costs_one_computation_per_key() {
    check(async |held| {
        for (swap, artifact) in
            [None, Some(OTHER), Some(MODEL), Some(OTHER)].into_iter().enumerate()
        {
            if let Some(artifact) = artifact {
                held.swap(artifact);
                make_dear(&held);
            }
            let replies = herd(&held, READERS).await;
            assert!(replies.iter().all(|reply| reply.status == 200), "{:?}", replies[0].body);
            assert!(replies.windows(2).all(|pair| pair[0].body == pair[1].body));
            let digest = held.context.deployments.all()[0].current().digest().to_string();
            assert_eq!(replies[0].body["revision"], digest, "the current revision answers");
            // The way back finds the answers that were kept.
            let computed = [1, 2, 2, 2][swap];
            let waited = (READERS as u64 - 1) * computed;
            assert_eq!((rows(&held, "miss"), rows(&held, "coalesced")), (computed, waited));
            assert_eq!(rows(&held, "hit_memory"), (swap as u64 + 1 - computed) * READERS as u64);
            assert_eq!(flights(&held), 0);
        }
    });
}

#[test]
fn the_leaders_caller_goes_away_and_the_others_are_answered() {
    check(async |held| {
        let let_go = hold(&held.context);
        let mut tasks = set_out(&held, 3, "600000").await;
        tasks.remove(0).abort();
        yield_now().await;
        drop(let_go);
        for task in tasks {
            assert_eq!(task.await.expect("no panic").status, 200);
        }
        assert_eq!((rows(&held, "miss"), rows(&held, "coalesced")), (0, 2), "nobody led them");
        assert_eq!(held.context.cache.as_ref().expect("the default").size().entries, 1);
    });
}

#[test]
fn nothing_is_computed_when_all_have_gone() {
    check(async |held| {
        let let_go = hold(&held.context);
        for task in set_out(&held, 3, "600000").await {
            task.abort();
        }
        yield_now().await;
        drop(let_go);
        let patience = Instant::now() + Duration::from_secs(30);
        while flights(&held) > 0 || held.context.gate.requests() > 0 {
            assert!(Instant::now() < patience, "the lane drops what nobody waits for");
            yield_now().await;
        }
        assert_eq!(held.context.cache.as_ref().expect("the default").size().entries, 0);
    });
}

#[test]
fn whoever_follows_has_a_deadline_of_his_own() {
    check(async |held| {
        let let_go = hold(&held.context);
        let leader = set_out(&held, 1, "600000").await;
        for task in set_out(&held, 3, "50").await {
            assert_eq!(task.await.expect("no panic").status, 504, "the lane is shut");
        }
        drop(let_go);
        for task in leader {
            assert_eq!(task.await.expect("no panic").status, 200);
        }
    });
}

/// Alone it was admitted, however long it is said to take; by now others wait behind it.
#[test]
fn what_would_be_late_is_computed_for_others_only() {
    for (readers, status, kept) in [(&["60000"][..], 504, 0), (&["60000", "600000000"], 200, 1)] {
        check(async |held| {
            let revision = held.context.deployments.all()[0].current();
            while revision.row_cost().predict(1) < Duration::from_mins(2) {
                revision.row_cost().observe(1, Duration::from_hours(1));
            }
            let let_go = hold(&held.context);
            let mut tasks = Vec::new();
            for timeout_ms in readers {
                tasks.extend(set_out(&held, 1, timeout_ms).await);
            }
            let _other = held.occupy(Duration::ZERO);
            drop(let_go);
            for task in tasks {
                assert_eq!(task.await.expect("no panic").status, status, "{readers:?}");
            }
            assert_eq!(held.context.cache.as_ref().expect("the default").size().entries, kept);
        });
    }
}

#[test]
fn whoever_is_not_admitted_is_told_so() {
    check(async |held| {
        let _occupied = held.occupy(Duration::from_mins(10));
        for task in set_out(&held, 3, "1000").await {
            assert_eq!(task.await.expect("no panic").status, 503);
        }
        assert_eq!(flights(&held), 0);
    });
}
