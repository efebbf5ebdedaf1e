//! What `/metrics` shows of the prediction cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::remote::Counts;
use super::{Looked, PredictionCache, Remote};
use crate::metrics::{Kind, Metric, register};

pub(crate) const REQUESTS: Metric = Metric {
    name: "stemson_cache_requests_total",
    kind: Kind::Counter,
    labels: &["model", "revision", "outcome"],
    help: "Rows by where their answers came from. outcome: hit_memory; hit_redis; coalesced (computed \
           for another request at the same time); miss; error (computed, since Redis did not answer); \
           bypass (not looked for: cheaper to compute, not repeatable, refused, or switched off)",
};
pub(crate) const BYTES: Metric = Metric {
    name: "stemson_cache_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Memory of the answers that are kept",
};
pub(crate) const ENTRIES: Metric = Metric {
    name: "stemson_cache_entries",
    kind: Kind::Gauge,
    labels: &[],
    help: "Answers that are kept in memory",
};
pub(crate) const EVICTIONS: Metric = Metric {
    name: "stemson_cache_evictions_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Answers in memory that made room for others",
};
pub(crate) const REDIS: Metric = Metric {
    name: "stemson_cache_redis_total",
    kind: Kind::Counter,
    labels: &["outcome"],
    help: "Redis. outcome: failed (questions without an answer in time); damaged (values that were no \
           answers); written (answers); refused (answers that it did not take); dropped (answers that \
           found no place in the queue)",
};
pub(crate) const LOOKUP_SECONDS: Metric = Metric {
    name: "stemson_cache_lookup_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "What a question to Redis takes, a running mean: it is asked where computing takes longer",
};
pub(crate) const BREAKER: Metric = Metric {
    name: "stemson_cache_breaker",
    kind: Kind::Gauge,
    labels: &["state"],
    help: "Whether Redis is asked: 1 for the state that holds, of closed (asked), open (left alone), \
           half_open (a sign of life is awaited)",
};
pub(crate) const CONNECTIONS: Metric = Metric {
    name: "stemson_cache_pool_connections",
    kind: Kind::Gauge,
    labels: &["state"],
    help: "Connections to Redis. state: in_use, idle",
};
pub(crate) const WAITS: Metric = Metric {
    name: "stemson_cache_pool_waits_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Questions that waited for a place on a connection",
};
pub(crate) const SATURATED: Metric = Metric {
    name: "stemson_cache_pool_saturated_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Questions that were given up for want of a place: their rows were computed",
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookedLabels {
    model: Arc<str>,
    revision: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// The cache's part of the registry. Without a Redis all that is said of one is 0.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    requests: Family<LookedLabels, Counter>,
    bytes: Family<NoLabels, Gauge>,
    entries: Family<NoLabels, Gauge>,
    evictions: Family<NoLabels, Counter>,
    redis: Family<OutcomeLabels, Counter>,
    lookup_seconds: Family<NoLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    breaker: Family<StateLabels, Gauge>,
    connections: Family<StateLabels, Gauge>,
    waits: Family<NoLabels, Counter>,
    saturated: Family<NoLabels, Counter>,
}

impl CacheMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        Self {
            requests: register(registry, REQUESTS, Family::default()),
            bytes: register(registry, BYTES, Family::default()),
            entries: register(registry, ENTRIES, Family::default()),
            evictions: register(registry, EVICTIONS, Family::default()),
            redis: register(registry, REDIS, Family::default()),
            lookup_seconds: register(registry, LOOKUP_SECONDS, Family::default()),
            breaker: register(registry, BREAKER, Family::default()),
            connections: register(registry, CONNECTIONS, Family::default()),
            waits: register(registry, WAITS, Family::default()),
            saturated: register(registry, SATURATED, Family::default()),
        }
    }

    /// A request's rows.
    pub(crate) fn looked(&self, model: &Arc<str>, revision: &Arc<str>, looked: &Looked) {
        for (outcome, rows) in looked.outcomes() {
            if rows > 0 {
                let (model, revision) = (Arc::clone(model), Arc::clone(revision));
                let labels = LookedLabels { model, revision, outcome };
                self.requests.get_or_create(&labels).inc_by(rows);
            }
        }
    }

    /// A revision is no longer shown.
    pub(crate) fn forget(&self, model: &Arc<str>, revision: &Arc<str>) {
        for (outcome, _) in Looked::default().outcomes() {
            let (model, revision) = (Arc::clone(model), Arc::clone(revision));
            self.requests.remove(&LookedLabels { model, revision, outcome });
        }
    }

    /// What the cache holds and has counted itself.
    pub(crate) fn measure(&self, cache: &PredictionCache) {
        let (size, none) = (cache.size(), NoLabels {});
        self.bytes.get_or_create(&none).set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
        self.entries.get_or_create(&none).set(size.entries as i64);
        counted(&self.evictions, &none, size.evictions);
        let remote = cache.remote();
        let no_counts = Counts::default();
        let counts = remote.map_or(&no_counts, |remote| &remote.counts);
        for (outcome, count) in counts.outcomes() {
            counted(&self.redis, &OutcomeLabels { outcome }, count.load(Ordering::Relaxed));
        }
        let lookup = remote.map_or(0.0, |_| cache.lookup_time().as_secs_f64());
        self.lookup_seconds.get_or_create(&none).set(lookup);
        for state in ["closed", "open", "half_open"] {
            let is_so = remote.is_some_and(|remote| remote.breaker() == state);
            self.breaker.get_or_create(&StateLabels { state }).set(i64::from(is_so));
        }
        let pool = remote.map(Remote::pool_size).unwrap_or_default();
        for (state, connections) in [("in_use", pool.in_use), ("idle", pool.idle)] {
            self.connections.get_or_create(&StateLabels { state }).set(connections as i64);
        }
        let (waits, saturated) = remote.map(Remote::pool_counts).unwrap_or_default();
        counted(&self.waits, &none, waits);
        counted(&self.saturated, &none, saturated);
    }
}

/// A counter that is counted elsewhere.
fn counted<L>(family: &Family<L, Counter>, labels: &L, count: u64)
where
    L: Clone + std::hash::Hash + Eq,
{
    family.get_or_create(labels).inner().store(count, Ordering::Relaxed);
}
