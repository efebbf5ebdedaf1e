//! A new revision is warm before it answers: with the rows that are asked most.

use std::time::Duration;

use stemson_server::{CacheBackend, CacheConfig, Config};

use crate::wire::{Client, Serving, artifact, config};

const A: &str = "gbm_bernoulli";
const B: &str = "gbm_platt";
const PREDICT: &str = "/v1/models/churn:predict";

/// Rows that are asked; every eighth request leaves one, and eleven is prime to eight.
const ROWS: usize = 11;

fn serving(backend: CacheBackend, case: &str) -> Serving {
    // The models of the corpus are cheaper than looking.
    let cache = CacheConfig { backend, min_cost: Duration::ZERO, ..CacheConfig::default() };
    Serving::start(Config { cache, ..config() }, &[("churn", case)])
}

fn body(n: usize) -> String {
    format!("{{\"instances\":[{{\"x1\":{}}}]}}", n % ROWS)
}

/// A counter of one revision.
fn count(admin: &mut Client, metric: &str, revision: &str, outcome: &str) -> u64 {
    let line =
        format!("{metric}{{model=\"churn\",revision=\"{revision}\",outcome=\"{outcome}\"}} ");
    let metrics = admin.get("/metrics").body;
    metrics.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

/// How often the warmed rows of a revision were kept, and only scored.
fn warmed(admin: &mut Client, revision: &str) -> [u64; 2] {
    ["kept", "scored"].map(|outcome| count(admin, "stemson_warmed_rows_total", revision, outcome))
}

#[test]
fn a_swap_turns_no_hot_key_cold() {
    let serving = serving(CacheBackend::Memory, A);
    let uncached = self::serving(CacheBackend::None, B);
    let (mut http, mut admin) = (serving.http(), serving.admin());
    (0..8 * ROWS).for_each(|n| drop(http.post(PREDICT, body(n)).ok()));
    let swapped = admin.post("/admin/models/churn/swap", artifact(B)).ok();
    let revision = &swapped["revision"].as_str().expect("a digest")[..12];
    assert_eq!(warmed(&mut admin, revision), [ROWS as u64, 0]);
    for n in 0..ROWS {
        let expected = uncached.http().post(PREDICT, body(n)).ok();
        assert_eq!(http.post(PREDICT, body(n)).ok(), expected, "{n}");
    }
    let metric = "stemson_cache_requests_total";
    assert_eq!(count(&mut admin, metric, revision, "hit_memory"), ROWS as u64);
    assert_eq!(count(&mut admin, metric, revision, "miss"), 0);
    // Once more is no swap, and asks nothing.
    admin.post("/admin/models/churn/swap", artifact(B)).ok();
    assert_eq!(warmed(&mut admin, revision), [ROWS as u64, 0]);
}

#[test]
fn nothing_is_kept_of_a_shadow_or_without_a_cache() {
    for (backend, path) in [(CacheBackend::Memory, "shadow"), (CacheBackend::None, "swap")] {
        let serving = serving(backend, A);
        let (mut http, mut admin) = (serving.http(), serving.admin());
        (0..8 * ROWS).for_each(|n| drop(http.post(PREDICT, body(n)).ok()));
        admin.post(&format!("/admin/models/churn/{path}"), artifact(B)).ok();
        let digest = stemson_mojo::Digest::of(&artifact(B));
        assert_eq!(warmed(&mut admin, &digest.short()), [0, ROWS as u64], "{path}");
    }
}
