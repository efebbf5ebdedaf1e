//! What all requests share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use stemson_serving::{
    Chosen, Deployment, Deployments, Gate, ModelName, Revision, Seen, Selector, Verdict, Work,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::auth::Auth;
use crate::cache::{Asked, PredictionCache};
use crate::config::Limits;
use crate::error::Refusal;
use crate::intake::Budget;
use crate::lane::Lane;
use crate::live::SharedLive;
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::metrics_compat::MetricsCompat;
use crate::models::Models;
use crate::otlp::Exporter;
use crate::prediction_log::PredictionLog;
use crate::request_id::RequestIds;
use crate::rows::{First, Rows};
use crate::settings::Settings;
use crate::shadow::Shadows;
use crate::store::Store;
use crate::upkeep::Orders;

/// One per server, behind an `Arc`.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) store: Arc<Store>,
    pub(crate) gate: SharedGate,
    pub(crate) lane: Lane,
    pub(crate) loader: Loader,
    pub(crate) shadows: Shadows,
    /// Whose turn it is to have a whole artifact in memory.
    pub(crate) turns: Arc<Semaphore>,
    /// For the artifacts that are on their way: as much as the biggest takes.
    pub(crate) uploads: Budget,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) metrics_compat: Option<MetricsCompat>,
    /// Shared with the thread that reads keys again.
    pub(crate) auth: Arc<Auth>,
    pub(crate) settings: Settings,
    /// What may change while the server runs.
    pub(crate) live: SharedLive,
    /// Has files read again.
    pub(crate) upkeep: Orders,
    /// None: no answer is kept.
    pub(crate) cache: Option<Arc<PredictionCache>>,
    pub(crate) prediction_log: Arc<PredictionLog>,
    pub(crate) exporter: Option<Arc<Exporter>>,
    pub(crate) models: Models,
    /// For the bodies that are on their way.
    pub(crate) bodies: Budget,
    pub(crate) ids: RequestIds,
    pub(crate) is_draining: AtomicBool,
    /// Wakes those who wait for that.
    pub(crate) leaves: Notify,
    /// See [`crate::bench::Bench`].
    pub(crate) presence: Arc<()>,
}

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");

impl Context {
    /// Whether new work is welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_draining.load(Ordering::Relaxed)
    }

    /// Changes trace settings, of the server or of a model, and shows them.
    pub(crate) fn set_trace(
        &self,
        model: Option<&str>,
        changes: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let shown = self.settings.set_trace(model, changes)?;
        if let Some(exporter) = &self.exporter {
            exporter.send_after(self.settings.log_frequency());
        }
        Ok(shown)
    }

    /// Waits until nobody else has an artifact in memory.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Refusal::Panicked)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.live.load().limits
    }

    /// Deadline of a request of the model that names none.
    pub(crate) fn slo(&self, model: &str) -> Duration {
        self.models.slo(model).unwrap_or_else(|| self.live.load().slo)
    }

    /// How a request uses the prediction cache, if it does.
    pub(crate) fn asked(&self, model: &ModelName, rows: &Rows) -> Option<Asked> {
        self.cache.as_ref()?.ask(model, rows)
    }

    pub(crate) fn deployment(&self, name: &str) -> Result<Arc<Deployment>, Refusal> {
        let found = self.deployments.find(name);
        found.ok_or_else(|| Refusal::UnknownModel(name.chars().take(128).collect()))
    }

    /// The revision for a request: the one that its path names, else the current one or the canary.
    /// Requests with one id meet the same.
    pub(crate) fn choose(
        &self,
        deployment: &Deployment,
        version: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Chosen, Refusal> {
        match version {
            Some(_) => Ok(Chosen::named(revision(deployment, version)?)),
            None => Ok(deployment.choose(self.ids.key(headers))),
        }
    }

    /// Tells the canary's trial and the shadow what became of a request. An alarm ends the canary.
    pub(crate) fn observe(
        &self,
        deployment: &Deployment,
        chosen: &Chosen,
        arrival: Instant,
        seen: Result<First, &Refusal>,
    ) {
        let (is_error, answer) = match seen {
            // What never reached a revision says nothing about it, nor does a caller's mistake: whoever
            // sends the same wrong body again and again under one id always meets the same arm.
            Err(refusal) if refusal.outcome() == "shed" || refusal.is_callers_mistake() => return,
            Err(_) => (true, None),
            Ok(first) => {
                let seen = (first.is_refused, first.answered);
                self.shadows.ask(deployment.name(), chosen, first);
                seen
            }
        };
        if !chosen.is_observed() {
            return;
        }
        let alarm = chosen.observe(&Seen { is_error, took: arrival.elapsed(), answer });
        if let Some((alarm, canary)) = alarm.zip(chosen.canary()) {
            self.loader.abort(deployment.name().clone(), canary, alarm.to_string());
        }
    }
}

/// The revision that a path names; the current one without a version.
pub(crate) fn revision(
    deployment: &Deployment,
    version: Option<&str>,
) -> Result<Arc<Revision>, Refusal> {
    let Some(version) = version else {
        return Ok(deployment.current());
    };
    let selector: Selector = version.parse().map_err(|cause: _| unknown_version(&cause))?;
    deployment.resolve(&selector).map_err(|cause| unknown_version(&cause))
}

fn unknown_version(cause: &dyn std::error::Error) -> Refusal {
    Refusal::UnknownVersion(cause.to_string())
}

/// The time that the caller's header allows; 0 is as if it were not there.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    let ms = ms.ok_or_else(|| {
        Refusal::BadHeader(format!("{TIMEOUT} is {value:?}, expected whole milliseconds"))
    })?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

/// The gate as threads share it.
#[derive(Debug, Clone)]
pub(crate) struct SharedGate(Arc<Mutex<Gate>>);

/// A place behind the gate, given up when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    gate: SharedGate,
    /// Of the lane; see `Models::flow`.
    pub(crate) flow: usize,
    rest: Mutex<Duration>,
}

impl SharedGate {
    pub(crate) fn new(gate: Gate) -> Self {
        Self(Arc::new(Mutex::new(gate)))
    }

    pub(crate) fn offer(
        &self,
        flow: usize,
        now: Instant,
        work: Work,
        deadline: Instant,
    ) -> Result<Admitted, Refusal> {
        match self.with(|gate| gate.offer(flow, now, work, deadline)) {
            Verdict::Admit => {
                Ok(Admitted { gate: self.clone(), flow, rest: Mutex::new(work.cost) })
            }
            Verdict::Shed { retry_after, reason } => Err(Refusal::Shed { retry_after, reason }),
        }
    }

    /// Requests that are admitted and not over.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> usize {
        self.with(|gate| gate.requests())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Gate) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Admitted {
    /// The time that the work will take, if others wait too; alone it may be tried, however long it
    /// is said to take.
    pub(crate) fn time_in_company(&self) -> Duration {
        let rest = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate
            .with(|gate| if gate.requests() > 1 { rest / gate.lanes() } else { Duration::ZERO })
    }

    /// So much is left of the work, as is known now that its body is read.
    pub(crate) fn amend(&self, cost: Duration) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate.with(|gate| gate.amend(self.flow, *rest, cost));
        *rest = cost;
    }

    /// A part of the work is done.
    pub(crate) fn progress(&self, cost: Duration) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let part = cost.min(*rest);
        *rest -= part;
        self.gate.with(|gate| gate.progress(self.flow, part));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let rest = *self.rest.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.gate.with(|gate| gate.leave(self.flow, rest));
    }
}
