//! Requests at a steady rate, and what became of them.
//!
//! Open loop: a request is due at its time whether or not the one before was answered, and its
//! latency counts from then. A server that stalls is seen to stall.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use crate::client::Client;

/// What to ask, how often.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) per_second: u32,
    pub(crate) connections: usize,
}

/// One request's fate.
pub(crate) struct Event {
    /// Which of the bodies.
    pub(crate) body: usize,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// Since it was due.
    pub(crate) latency: Duration,
    /// The answer, or what went wrong.
    pub(crate) answer: Result<Value, String>,
}

impl Event {
    /// When it was due.
    pub(crate) fn due(&self) -> Instant {
        self.ended.checked_sub(self.latency).unwrap_or(self.began)
    }
}

/// A load under way.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Event>>>,
}

impl Load {
    /// Begins to ask.
    pub(crate) fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU32::new(0));
        let load = Arc::new(self);
        let began = Instant::now();
        let task = |_| {
            let (load, stop, next) = (Arc::clone(&load), Arc::clone(&stop), Arc::clone(&next));
            tokio::spawn(async move { load.ask(began, &stop, &next).await })
        };
        let tasks = (0..load.connections).map(task).collect();
        Running { stop, tasks }
    }

    /// One connection: takes the next request that is due until the load stops.
    async fn ask(&self, began: Instant, stop: &AtomicBool, next: &AtomicU32) -> Vec<Event> {
        let mut events = Vec::new();
        let mut client = None;
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = began + Duration::from_secs(1) * number / self.per_second;
            tokio::time::sleep_until(due.into()).await;
            let body = number as usize % self.bodies.len();
            let started = Instant::now();
            let answer = self.request(&mut client, body).await;
            let ended = Instant::now();
            let latency = ended.duration_since(due);
            events.push(Event { body, began: started, ended, latency, answer });
        }
        events
    }

    async fn request(&self, client: &mut Option<Client>, body: usize) -> Result<Value, String> {
        let mut open = match client.take() {
            Some(open) => open,
            None => Client::connect(self.address).await.map_err(|cause| cause.to_string())?,
        };
        let answer =
            open.send(Method::POST, &self.path, &self.headers, self.bodies[body].clone()).await;
        let answer = answer.map_err(|cause| cause.to_string())?;
        *client = Some(open);
        let text = String::from_utf8_lossy(&answer.body);
        if !answer.status.is_success() {
            return Err(format!("{} {text}", answer.status));
        }
        serde_json::from_str(&text).map_err(|cause| format!("answer is not JSON: {cause}"))
    }
}

impl Running {
    /// Waits for the requests in flight and hands over all events, in the order of their end.
    pub(crate) async fn stop(self) -> Vec<Event> {
        self.stop.store(true, Ordering::Relaxed);
        let mut events = Vec::new();
        for task in self.tasks {
            // A task that panicked lost its events; the panic was printed.
            events.extend(task.await.unwrap_or_default());
        }
        events.sort_by_key(|event| event.ended);
        events
    }
}

/// Latency below which the given share of `events` stayed.
pub(crate) fn quantile<'e>(events: impl IntoIterator<Item = &'e Event>, share: f64) -> Duration {
    let mut latencies: Vec<Duration> = events.into_iter().map(|event| event.latency).collect();
    latencies.sort_unstable();
    let place = (latencies.len() as f64 * share).ceil() as usize;
    latencies.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

/// How many answers each revision gave, by its digest.
pub(crate) fn by_revision(events: &[Event]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        if let Ok(answer) = &event.answer {
            *counts.entry(answer["revision"].as_str().unwrap_or_default()).or_default() += 1;
        }
    }
    counts
}
