//! Traces and metrics to a collector: OTLP over HTTP, protobuf.
//!
//! A thread of its own sends what waits in a bounded queue, once a second; whoever answers requests
//! never waits for the collector. What it does not take is dropped and counted: a trace is worth less
//! than the prediction.

mod convert;
mod messages;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use stemson_serving::Deployments;

use crate::fetch;
use crate::metrics::Metrics;
use crate::trace::TraceContext;
use messages::{KeyValue, Resource, ResourceMetrics, ResourceSpans, Scope, ScopeMetrics};
use messages::{ScopeSpans, Span, Status};

/// Where traces and metrics go. Each field is a key of `[otlp]`.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// The collector (`endpoint`), such as `http://localhost:4318`; none: nothing is sent.
    pub endpoint: Option<String>,
    /// `name=value`, sent with each call (`headers`).
    pub headers: Vec<String>,
    /// Share of the requests whose span is sent although the caller does not trace (`sample_ratio`).
    pub sample_ratio: f64,
    /// Time between two states of the metrics (`metrics_seconds`); 0: none are sent.
    pub metrics_period: Duration,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            sample_ratio: 0.0,
            metrics_period: Duration::from_secs(15),
        }
    }
}

/// Spans that may wait.
const QUEUE_SPANS: usize = 4_096;

/// Spans of one call.
const BATCH_SPANS: usize = 512;

const PERIOD: Duration = Duration::from_secs(1);

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) trace: TraceContext,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) request_id: String,
    pub(crate) took: Duration,
}

/// The thread that sends. Dropping it sends what waits.
#[derive(Debug)]
pub(crate) struct Exporter {
    spans: Mutex<Option<SyncSender<Answered>>>,
    pub(crate) sample_ratio: f64,
    /// After so many spans they are sent before the second is over.
    batch_spans: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    pub(crate) fn start(
        config: &OtlpConfig,
        metrics: &Arc<Metrics>,
        deployments: &Arc<Deployments>,
    ) -> std::io::Result<Option<Self>> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let (spans, queued) = mpsc::sync_channel(QUEUE_SPANS);
        let batch_spans = Arc::new(AtomicUsize::new(BATCH_SPANS));
        let sender = Sender {
            batch_spans: Arc::clone(&batch_spans),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            headers: config.headers.iter().filter_map(|it| it.split_once('=')).map(owned).collect(),
            metrics_period: config.metrics_period,
            metrics: Arc::clone(metrics),
            deployments: Arc::clone(deployments),
            started: SystemTime::now(),
        };
        let thread =
            thread::Builder::new().name("otlp".to_owned()).spawn(move || sender.run(&queued))?;
        Ok(Some(Self {
            spans: Mutex::new(Some(spans)),
            sample_ratio: config.sample_ratio,
            batch_spans,
            metrics: Arc::clone(metrics),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Takes a span, or drops it if too many wait.
    pub(crate) fn offer(&self, answered: Answered) {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.as_ref().is_none_or(|spans| spans.try_send(answered).is_err()) {
            self.metrics.exported("dropped", 1);
        }
    }

    /// Sends whenever so many spans wait, not only once a second; 0: as ever.
    pub(crate) fn send_after(&self, spans: usize) {
        let spans = if spans == 0 { BATCH_SPANS } else { spans.min(BATCH_SPANS) };
        self.batch_spans.store(spans, Ordering::Relaxed);
    }

    /// Sends what waits; the server ends.
    pub(crate) fn close(&self) {
        *self.spans.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has no panics of its own.
            drop(thread.join());
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.close();
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.trim().to_owned(), value.trim().to_owned())
}

struct Sender {
    batch_spans: Arc<AtomicUsize>,
    endpoint: String,
    headers: Vec<(String, String)>,
    metrics_period: Duration,
    metrics: Arc<Metrics>,
    deployments: Arc<Deployments>,
    started: SystemTime,
}

impl Sender {
    fn run(&self, queued: &Receiver<Answered>) {
        let mut spans = Vec::new();
        let (mut sent_at, mut metrics_at) = (Instant::now(), Instant::now());
        loop {
            let is_over = match queued.recv_timeout(PERIOD.saturating_sub(sent_at.elapsed())) {
                Ok(answered) => {
                    spans.push(span(answered));
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if is_over
                || spans.len() >= self.batch_spans.load(Ordering::Relaxed)
                || sent_at.elapsed() >= PERIOD
            {
                self.send_spans(std::mem::take(&mut spans));
                sent_at = Instant::now();
            }
            let has_metrics = !self.metrics_period.is_zero();
            if has_metrics && (is_over || metrics_at.elapsed() >= self.metrics_period) {
                self.send_metrics();
                metrics_at = Instant::now();
            }
            if is_over {
                return;
            }
        }
    }

    fn send_spans(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let n = spans.len();
        let scopes = vec![ScopeSpans { scope: Some(scope()), spans }];
        let resources = vec![ResourceSpans { resource: Some(resource()), scopes }];
        let sent = self.send("/v1/traces", messages::Traces { resources }.encode_to_vec());
        self.metrics.exported(if sent { "sent" } else { "failed" }, n);
    }

    fn send_metrics(&self) {
        let (text, _) = self.metrics.render(&self.deployments, true);
        let span =
            convert::Span { start_ns: unix_ns(self.started), time_ns: unix_ns(SystemTime::now()) };
        let metrics = convert::metrics(&text, span);
        let scopes = vec![ScopeMetrics { scope: Some(scope()), metrics }];
        let resources = vec![ResourceMetrics { resource: Some(resource()), scopes }];
        self.send("/v1/metrics", messages::Metrics { resources }.encode_to_vec());
    }

    fn send(&self, path: &str, body: Vec<u8>) -> bool {
        let url = format!("{}{path}", self.endpoint);
        let sent = fetch::post(&url, &self.headers, "application/x-protobuf", body);
        if let Err(why) = &sent {
            tracing::warn!("the collector does not take {path}: {why}");
        }
        sent.is_ok()
    }
}

fn span(answered: Answered) -> Span {
    let Answered { trace, method, path, status, request_id, took } = answered;
    let end_ns = unix_ns(SystemTime::now());
    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Span {
        trace_id: trace.trace.to_be_bytes().to_vec(),
        id: trace.span.to_be_bytes().to_vec(),
        parent_span_id: trace.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: format!("{method} {path}"),
        kind: 2,
        start_ns: end_ns.saturating_sub(took),
        end_ns,
        attributes: vec![
            KeyValue::text("http.request.method", method),
            KeyValue::text("url.path", path),
            KeyValue::whole("http.response.status_code", i64::from(status)),
            KeyValue::text("request.id", request_id),
        ],
        status: (status >= 500).then_some(Status { code: 2 }),
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![
            KeyValue::text("service.name", "stemson"),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
        ],
    }
}

fn scope() -> Scope {
    Scope { name: "stemson-server".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

fn unix_ns(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
