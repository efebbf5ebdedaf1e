//! What the server counts: one list, from which the metrics are registered and documented.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric as Collected, Registry};
use stemson_mojo::Digest;
use stemson_serving::{Deployments, ModelName, Revision, ShedReason};

use crate::cache::Looked;
use crate::cache::metrics::{self as cache, CacheMetrics};

/// A metric that `/metrics` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As dashboards know it.
    pub name: &'static str,
    /// What it is for Prometheus.
    pub kind: Kind,
    /// Its labels, in the order in which they are shown.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// What a metric is for Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word: `counter`, `gauge`, `histogram`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const REQUESTS: Metric = Metric {
    name: "stemson_requests_total",
    kind: Kind::Counter,
    labels: &["model", "revision", "protocol", "outcome"],
    help: "Prediction requests. outcome: ok; refused (4xx); shed (503); late (504); failed (500); \
           cancelled (the caller went away)",
};
const REQUEST_SECONDS: Metric = Metric {
    name: "stemson_request_seconds",
    kind: Kind::Histogram,
    labels: &["model", "protocol"],
    help: "Time from the head of a prediction request to its answer, whatever the outcome",
};
const QUEUE_SECONDS: Metric = Metric {
    name: "stemson_queue_seconds",
    kind: Kind::Histogram,
    labels: &["model"],
    help: "Time that an admitted request waited for the compute lane",
};
const COMPUTE_SECONDS: Metric = Metric {
    name: "stemson_compute_seconds",
    kind: Kind::Histogram,
    labels: &["model"],
    help: "Processor time of scoring the rows of a request",
};
const ROWS: Metric = Metric {
    name: "stemson_rows_total",
    kind: Kind::Counter,
    labels: &["model", "revision"],
    help: "Rows that were answered, those too whose answers the cache had",
};
const SHED: Metric = Metric {
    name: "stemson_shed_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Requests refused before they were queued. reason: deadline, queue_full, \
           memory (bodies on their way)",
};
const DENIED: Metric = Metric {
    name: "stemson_denied_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Requests refused for who asks. reason: unauthorized (401), forbidden (403), \
           quota_exceeded (429)",
};
const SWAPS: Metric = Metric {
    name: "stemson_swaps_total",
    kind: Kind::Counter,
    labels: &["model", "outcome"],
    help: "Changes of a model. outcome: deployed, swapped, unchanged, rolled_back, \
           canary_started, promoted, aborted, shadow_started, shadow_stopped, refused",
};
const WARMED: Metric = Metric {
    name: "stemson_warmed_rows_total",
    kind: Kind::Counter,
    labels: &["model", "revision", "outcome"],
    help: "Rows that the revision before is asked most, which a new one was asked before it \
           answered. outcome: kept (its answer is in the cache), scored (it is not)",
};
const RELOADS: Metric = Metric {
    name: "stemson_reloads_total",
    kind: Kind::Counter,
    labels: &["what", "outcome"],
    help: "Files read again. what: keys, jwks, certificates, configuration; outcome: done, partly \
           (but for some models), refused (the old stays)",
};
const REACTOR_LAG: Metric = Metric {
    name: "stemson_reactor_lag_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "How late the reactor is when a timer wakes it, every 10 ms",
};
const CONNECTIONS: Metric = Metric {
    name: "stemson_connections",
    kind: Kind::Gauge,
    labels: &[],
    help: "Connections that are open now, of all listeners",
};
const CONNECTIONS_REFUSED: Metric = Metric {
    name: "stemson_connections_refused_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Connections that were not served. reason: limit ([limits] connections), handshake (TLS)",
};
const SHADOW_ROWS: Metric = Metric {
    name: "stemson_shadow_rows_total",
    kind: Kind::Counter,
    labels: &["model", "revision", "outcome"],
    help: "Rows that a shadow was asked too. outcome: same, different (from the answer that was \
           given), refused, dropped (it had no time), failed (a mistake of ours)",
};
const PREDICTION_LOG: Metric = Metric {
    name: "stemson_prediction_log_rows_total",
    kind: Kind::Counter,
    labels: &["outcome"],
    help: "Rows of the prediction log. outcome: written, dropped (the queue was full), failed (the \
           disk did not take them)",
};
const OTLP_SPANS: Metric = Metric {
    name: "stemson_otlp_spans_total",
    kind: Kind::Counter,
    labels: &["outcome"],
    help: "Spans of traces. outcome: sent, dropped (the queue was full), failed (the collector did not \
           take them)",
};
const MODEL_BYTES: Metric = Metric {
    name: "stemson_model_bytes",
    kind: Kind::Gauge,
    labels: &["model", "revision"],
    help: "Memory of each warm revision",
};

/// Every metric, in the order in which it is documented.
pub const METRICS: &[Metric] = &[
    REQUESTS,
    REQUEST_SECONDS,
    QUEUE_SECONDS,
    COMPUTE_SECONDS,
    ROWS,
    SHED,
    DENIED,
    SWAPS,
    WARMED,
    RELOADS,
    REACTOR_LAG,
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    cache::REQUESTS,
    cache::BYTES,
    cache::ENTRIES,
    cache::EVICTIONS,
    cache::REDIS,
    cache::LOOKUP_SECONDS,
    cache::BREAKER,
    cache::CONNECTIONS,
    cache::WAITS,
    cache::SATURATED,
    SHADOW_ROWS,
    PREDICTION_LOG,
    OTLP_SPANS,
    MODEL_BYTES,
];

/// The list as a table in Markdown.
pub fn render_reference() -> String {
    let mut table = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for Metric { name, kind, labels, help } in METRICS {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to memory cannot fail.
        let _ =
            writeln!(table, "| `{name}` | {} | {} | {help} |", kind.as_str(), labels.join(", "));
    }
    table
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    model: Arc<str>,
    revision: Arc<str>,
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    model: Arc<str>,
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RevisionLabels {
    model: Arc<str>,
    revision: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SwapLabels {
    model: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeByRevision {
    model: Arc<str>,
    revision: Arc<str>,
    outcome: &'static str,
}

/// The counters of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<TimeLabels, Histogram>,
    queue_seconds: Family<ModelLabels, Histogram>,
    compute_seconds: Family<ModelLabels, Histogram>,
    rows: Family<RevisionLabels, Counter>,
    shed: Family<ReasonLabels, Counter>,
    denied: Family<ReasonLabels, Counter>,
    swaps: Family<SwapLabels, Counter>,
    warmed: Family<OutcomeByRevision, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    reactor_lag: Histogram,
    connections: Gauge,
    connections_refused: Family<ReasonLabels, Counter>,
    pub(crate) cache: CacheMetrics,
    shadow_rows: Family<OutcomeByRevision, Counter>,
    prediction_log: Family<OutcomeLabels, Counter>,
    otlp_spans: Family<OutcomeLabels, Counter>,
    model_bytes: Family<RevisionLabels, Gauge>,
    /// Revisions that are shown, by model; the one that was warm last stands at the end.
    shown: Mutex<BTreeMap<Arc<str>, Vec<Arc<str>>>>,
}

/// Revisions of a model that are shown, those included that answer no more: whoever looks later
/// shall see what became of a rollout, and not of all that ever were.
const SHOWN_MAX: usize = 16;

/// Every word for what becomes of a request.
const OUTCOMES: [&str; 6] = ["ok", "refused", "shed", "late", "failed", "cancelled"];

/// Every word for how one comes.
const PROTOCOLS: [&str; 4] = ["v1", "oip", "invocations", "grpc"];

/// Every word for what a shadow makes of a row.
const COMPARISONS: [&str; 5] = ["same", "different", "refused", "dropped", "failed"];

/// Finer where it is decided whether the reactor keeps its promise of a millisecond.
const LAGS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05,
    0.1, 1.0,
];

/// 10 us to 10 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-5, 2.0, 21))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        Self {
            requests: register(&mut registry, REQUESTS, Family::default()),
            request_seconds: register(
                &mut registry,
                REQUEST_SECONDS,
                Family::new_with_constructor(seconds as fn() -> Histogram),
            ),
            queue_seconds: register(
                &mut registry,
                QUEUE_SECONDS,
                Family::new_with_constructor(seconds as fn() -> Histogram),
            ),
            compute_seconds: register(
                &mut registry,
                COMPUTE_SECONDS,
                Family::new_with_constructor(seconds as fn() -> Histogram),
            ),
            rows: register(&mut registry, ROWS, Family::default()),
            shed: register(&mut registry, SHED, Family::default()),
            denied: register(&mut registry, DENIED, Family::default()),
            swaps: register(&mut registry, SWAPS, Family::default()),
            warmed: register(&mut registry, WARMED, Family::default()),
            reloads: register(&mut registry, RELOADS, Family::default()),
            reactor_lag: register(&mut registry, REACTOR_LAG, Histogram::new(LAGS)),
            connections: register(&mut registry, CONNECTIONS, Gauge::default()),
            connections_refused: register(&mut registry, CONNECTIONS_REFUSED, Family::default()),
            cache: CacheMetrics::register(&mut registry),
            shadow_rows: register(&mut registry, SHADOW_ROWS, Family::default()),
            prediction_log: register(&mut registry, PREDICTION_LOG, Family::default()),
            otlp_spans: register(&mut registry, OTLP_SPANS, Family::default()),
            model_bytes: register(&mut registry, MODEL_BYTES, Family::default()),
            shown: Mutex::default(),
            registry,
        }
    }

    /// A prediction request begins.
    pub(crate) fn begin(
        self: &Arc<Self>,
        model: &ModelName,
        revision: &Arc<Revision>,
        protocol: &'static str,
        arrival: Instant,
    ) -> Traffic {
        let (metrics, model) = (Arc::clone(self), model.to_shared());
        Traffic { metrics, model, revision: Arc::clone(revision.short()), protocol, arrival }
    }

    pub(crate) fn shed(&self, reason: ShedReason) {
        self.shed.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// A caller was refused for who he is. `reason`: the refusal's code.
    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Files were read again, or could not be.
    pub(crate) fn reloaded(&self, what: &'static str, outcome: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { what, outcome }).inc();
    }

    /// What became of rows of the prediction log.
    pub(crate) fn logged(&self, outcome: &'static str, rows: usize) {
        self.prediction_log.get_or_create(&OutcomeLabels { outcome }).inc_by(rows as u64);
    }

    /// What became of spans.
    pub(crate) fn exported(&self, outcome: &'static str, spans: usize) {
        self.otlp_spans.get_or_create(&OutcomeLabels { outcome }).inc_by(spans as u64);
    }

    /// The reactor was so late.
    pub(crate) fn reactor_lag(&self, lag: Duration) {
        self.reactor_lag.observe(lag.as_secs_f64());
    }

    /// A connection begins; it counts until the answer is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> Open {
        self.connections.inc();
        Open(Arc::clone(self))
    }

    /// A connection is not served.
    pub(crate) fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A model was changed, or was not.
    pub(crate) fn swap(&self, model: &ModelName, outcome: &'static str) {
        self.swaps.get_or_create(&SwapLabels { model: model.to_shared(), outcome }).inc();
    }

    /// A revision was asked some rows before it answers.
    pub(crate) fn warmed(
        &self,
        model: &ModelName,
        revision: Digest,
        outcome: &'static str,
        rows: usize,
    ) {
        let (model, revision) = (model.to_shared(), revision.short().into());
        let labels = OutcomeByRevision { model, revision, outcome };
        self.warmed.get_or_create(&labels).inc_by(rows as u64);
    }

    /// A shadow was asked.
    pub(crate) fn shadow(&self, model: &ModelName, revision: &Arc<str>, outcome: &'static str) {
        let (model, revision) = (model.to_shared(), Arc::clone(revision));
        self.shadow_rows.get_or_create(&OutcomeByRevision { model, revision, outcome }).inc();
    }

    /// What `/metrics` answers: the text, and its content type.
    pub(crate) fn render(
        &self,
        deployments: &Deployments,
        is_open_metrics: bool,
    ) -> (String, &'static str) {
        self.measure_models(deployments);
        let mut open_metrics = String::new();
        // Writing to memory cannot fail.
        let _ = text::encode(&mut open_metrics, &self.registry);
        if is_open_metrics {
            (open_metrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        } else {
            (to_prometheus(&open_metrics), "text/plain; version=0.0.4; charset=utf-8")
        }
    }

    /// Forgets the revisions that were warm longest ago, once there are many. To be called whenever
    /// one has come.
    pub(crate) fn forget_retired(&self, deployments: &Deployments) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for deployment in deployments.all() {
            let (model, warm) = (deployment.name().to_shared(), deployment.warm());
            let known = shown.entry(Arc::clone(&model)).or_default();
            for revision in warm.revisions() {
                known.retain(|other| other != revision.short());
                known.push(Arc::clone(revision.short()));
            }
            // The warm ones stand at the end, and are fewer.
            let n = known.len().saturating_sub(SHOWN_MAX);
            for revision in known.drain(..n) {
                self.forget(&model, &revision);
            }
        }
    }

    fn forget(&self, model: &Arc<str>, revision: &Arc<str>) {
        let both = || (Arc::clone(model), Arc::clone(revision));
        for protocol in PROTOCOLS {
            for outcome in OUTCOMES {
                let (model, revision) = both();
                self.requests.remove(&RequestLabels { model, revision, protocol, outcome });
            }
        }
        for outcome in COMPARISONS {
            let (model, revision) = both();
            self.shadow_rows.remove(&OutcomeByRevision { model, revision, outcome });
        }
        let (model, revision) = both();
        self.cache.forget(&model, &revision);
        self.rows.remove(&RevisionLabels { model, revision });
    }

    /// Revisions that have left are no longer shown.
    fn measure_models(&self, deployments: &Deployments) {
        self.forget_retired(deployments);
        self.model_bytes.clear();
        for deployment in deployments.all() {
            for revision in deployment.warm().revisions() {
                let labels = RevisionLabels {
                    model: deployment.name().to_shared(),
                    revision: Arc::clone(revision.short()),
                };
                let bytes = revision.model().size().memory_bytes;
                self.model_bytes
                    .get_or_create(&labels)
                    .set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
    }
}

pub(crate) fn register<M: Collected + Clone>(
    registry: &mut Registry,
    metric: Metric,
    family: M,
) -> M {
    // The registry writes the suffix of counters itself.
    let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    registry.register(name, metric.help, family.clone());
    family
}

/// The older text form: families of counters are called as their samples are.
fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => {}
            (Some("#"), Some(word), Some(name), Some(rest)) if counters.contains(&name) => {
                let _ = writeln!(text, "# {word} {name}_total {rest}");
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// A prediction request under way. Ends by [`Traffic::end`], or as cancelled when it is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    metrics: Arc<Metrics>,
    model: Arc<str>,
    revision: Arc<str>,
    protocol: &'static str,
    arrival: Instant,
}

impl Traffic {
    /// The request's rows waited for the compute lane.
    pub(crate) fn queued(&self, waited: Duration) {
        let labels = ModelLabels { model: Arc::clone(&self.model) };
        self.metrics.queue_seconds.get_or_create(&labels).observe(waited.as_secs_f64());
    }

    /// The request's rows were scored.
    pub(crate) fn computed(&self, rows: usize, took: Duration) {
        let labels = ModelLabels { model: Arc::clone(&self.model) };
        self.metrics.compute_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let labels =
            RevisionLabels { model: Arc::clone(&self.model), revision: Arc::clone(&self.revision) };
        self.metrics.rows.get_or_create(&labels).inc_by(rows as u64);
    }

    /// What the cache did for the request's rows.
    pub(crate) fn looked(&self, looked: &Looked) {
        self.metrics.cache.looked(&self.model, &self.revision, looked);
    }

    /// The request is answered.
    pub(crate) fn end(mut self, outcome: &'static str) {
        self.count(outcome);
        // Nothing is left for `drop` to count.
        self.protocol = "";
    }

    fn count(&self, outcome: &'static str) {
        let Self { model, revision, protocol, .. } = self;
        let labels = RequestLabels {
            model: Arc::clone(model),
            revision: Arc::clone(revision),
            protocol,
            outcome,
        };
        self.metrics.requests.get_or_create(&labels).inc();
        let labels = TimeLabels { model: Arc::clone(model), protocol };
        let took = self.arrival.elapsed().as_secs_f64();
        self.metrics.request_seconds.get_or_create(&labels).observe(took);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        if !self.protocol.is_empty() {
            self.count(if std::thread::panicking() { "failed" } else { "cancelled" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheBackend, CacheConfig, PredictionCache};

    /// The list is what is registered: names and types, in the same order. The size of models is
    /// the last one, and there is none here to have a size.
    #[test]
    fn every_metric_is_listed_and_every_listed_one_exists() {
        let metrics = Arc::new(Metrics::new());
        let traffic = Traffic {
            metrics: Arc::clone(&metrics),
            model: "churn".into(),
            revision: "3f543eb55c3d".into(),
            protocol: "v1",
            arrival: Instant::now(),
        };
        traffic.queued(Duration::ZERO);
        traffic.computed(1, Duration::ZERO);
        traffic.end("ok");
        metrics.shed(ShedReason::Deadline);
        metrics.denied("forbidden");
        traffic_of_the_cache(&metrics);
        metrics.swap(&"churn".parse().expect("a name"), "swapped");
        metrics.warmed(&"churn".parse().expect("a name"), Digest::of(b""), "kept", 1);
        metrics.reloaded("keys", "done");
        metrics.connection_refused("limit");
        metrics.shadow(&"churn".parse().expect("a name"), &"3f543eb55c3d".into(), "same");
        metrics.logged("written", 1);
        metrics.exported("sent", 1);
        let (text, _) = metrics.render(&Deployments::new(), false);
        let shown: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let listed: Vec<(&str, &str)> =
            METRICS.iter().map(|metric| (metric.name, metric.kind.as_str())).collect();
        assert_eq!(shown, listed[..listed.len() - 1]);
        assert_eq!(listed.last(), Some(&("stemson_model_bytes", "gauge")));
    }

    #[test]
    fn a_revision_that_is_forgotten_leaves_no_series() {
        let metrics = Arc::new(Metrics::new());
        let (model, revision): (Arc<str>, Arc<str>) = ("churn".into(), "3f543eb55c3d".into());
        for protocol in PROTOCOLS {
            for outcome in OUTCOMES {
                let traffic = Traffic {
                    metrics: Arc::clone(&metrics),
                    model: Arc::clone(&model),
                    revision: Arc::clone(&revision),
                    protocol,
                    arrival: Instant::now(),
                };
                traffic.computed(1, Duration::ZERO);
                traffic.end(outcome);
            }
        }
        for outcome in COMPARISONS {
            metrics.shadow(&"churn".parse().expect("a name"), &revision, outcome);
        }
        metrics.cache.looked(&model, &revision, &Looked { hit_memory: 1, ..Looked::default() });
        metrics.forget(&model, &revision);
        let (text, _) = metrics.render(&Deployments::new(), false);
        assert!(!text.contains("3f543eb55c3d"), "{text}");
    }

    fn traffic_of_the_cache(metrics: &Metrics) {
        let looked = Looked { hit_memory: 1, ..Looked::default() };
        metrics.cache.looked(&"churn".into(), &"3f543eb55c3d".into(), &looked);
        let backend = CacheBackend::parse("redis://127.0.0.1:1").expect("a URL");
        let config = CacheConfig { backend, ..CacheConfig::default() };
        let cache = PredictionCache::new(&config, false).expect("nothing is opened yet");
        metrics.cache.measure(&cache.expect("there is one"));
    }

    #[test]
    fn the_reference_page_is_what_the_list_says() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/reference/metrics.md");
        let wanted = format!(
            "# Metrics\n\nWritten by `cargo xtask generate` from the list in `stemson-server`. A request \
             counts when its answer is ready.\n\n{}",
            render_reference()
        );
        if std::env::var_os("STEMSON_GENERATE").is_some() {
            std::fs::write(&page, &wanted).expect("the page can be written");
        }
        let stale = std::fs::read_to_string(&page).unwrap_or_default() != wanted;
        assert!(!stale, "docs/reference/metrics.md is stale: `cargo xtask generate`");
    }

    #[test]
    fn both_text_forms_name_a_counter_as_their_readers_expect() {
        let metrics = Metrics::new();
        metrics.shed(ShedReason::Deadline);
        let (open, _) = metrics.render(&Deployments::new(), true);
        assert!(open.contains("# TYPE stemson_shed counter\n"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
        let (classic, _) = metrics.render(&Deployments::new(), false);
        assert!(classic.contains("# TYPE stemson_shed_total counter\n"), "{classic}");
        assert!(classic.contains("stemson_shed_total{reason=\"deadline\"} 1\n"), "{classic}");
        assert!(!classic.contains("# EOF"), "{classic}");
    }
}
