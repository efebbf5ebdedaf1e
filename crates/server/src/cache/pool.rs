//! Connections to Redis: as few as do, never more than allowed, each looked at now and then.
//!
//! A connection carries several questions at a time, answered in their order. Where all carry as many
//! as they may and there are as many as may be, a question waits for a place as long as its own time
//! allows, and is then given up: the pool is saturated, and whoever asked computes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use tokio::sync::Notify;

/// Questions that one connection carries at a time.
const SHARED_MAX: usize = 16;

/// An idle connection beyond `min_size` is closed after this time.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// How long a connection may take to open. The question that meets it waits no longer than it
/// would anyway.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long an answer may take before its connection is taken for dead. Whoever asked has gone by
/// then; a connection that only was slow lives on.
const RESPONSE_MAX: Duration = Duration::from_secs(1);

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    client: Client,
    min_size: usize,
    max_size: usize,
    state: Mutex<Vec<Slot>>,
    freed: Notify,
    /// Questions that had to wait for a place.
    pub(super) waits: AtomicU64,
    /// Questions that were given up since no place became free in time.
    pub(super) saturated: AtomicU64,
}

struct Slot {
    number: u64,
    connection: ConnectionManager,
    in_use: usize,
    idle_since: Instant,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A place on a connection, given back when dropped.
pub(super) struct Lease {
    pool: Arc<Pool>,
    number: u64,
    pub(super) connection: ConnectionManager,
}

/// Connections, and how many of them carry a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PoolSize {
    pub(crate) in_use: usize,
    pub(crate) idle: usize,
}

impl Pool {
    pub(super) fn new(client: Client, min_size: usize, max_size: usize) -> Self {
        Self {
            client,
            min_size,
            max_size: max_size.max(1),
            state: Mutex::default(),
            freed: Notify::new(),
            waits: AtomicU64::new(0),
            saturated: AtomicU64::new(0),
        }
    }

    /// A place on a connection; `None` if there is none until `deadline`.
    pub(super) async fn lease(self: &Arc<Self>, deadline: Instant) -> Option<Lease> {
        if let Some(lease) = self.try_lease() {
            return Some(lease);
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        loop {
            let freed = self.freed.notified();
            // It may have become free before anybody would have told.
            if let Some(lease) = self.try_lease() {
                return Some(lease);
            }
            if tokio::time::timeout_at(deadline.into(), freed).await.is_err() {
                self.saturated.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
    }

    fn try_lease(self: &Arc<Self>) -> Option<Lease> {
        let mut slots = self.slots();
        let least = slots.iter_mut().min_by_key(|slot| slot.in_use);
        let is_full = least.as_ref().is_none_or(|slot| slot.in_use >= SHARED_MAX);
        if is_full && slots.len() < self.max_size {
            let slot = self.open(&slots)?;
            slots.push(slot);
        }
        let least = slots.iter_mut().min_by_key(|slot| slot.in_use)?;
        (least.in_use < SHARED_MAX).then(|| {
            least.in_use += 1;
            let (number, connection) = (least.number, least.connection.clone());
            Lease { pool: Arc::clone(self), number, connection }
        })
    }

    /// A connection, which opens itself when it is used first.
    fn open(&self, slots: &[Slot]) -> Option<Slot> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(RESPONSE_MAX))
            // The next question tries again; when there is one is the breaker's affair.
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(SHARED_MAX);
        let connection =
            ConnectionManager::new_lazy_with_config(self.client.clone(), config).ok()?;
        let number = slots.iter().map(|slot| slot.number + 1).max().unwrap_or(0);
        Some(Slot { number, connection, in_use: 0, idle_since: Instant::now() })
    }

    /// Opens what is missing of `min_size`, closes what has been idle for long beyond it, and asks
    /// each connection for a sign of life. The time that the quickest took, or the last error.
    pub(super) async fn check(self: &Arc<Self>, allowed: Duration) -> Result<Duration, RedisError> {
        let connections = {
            let mut slots = self.slots();
            let now = Instant::now();
            let mut spare = slots.len().saturating_sub(self.min_size);
            slots.retain(|slot| {
                let is_idle = slot.in_use == 0 && now.duration_since(slot.idle_since) > IDLE_MAX;
                let goes = is_idle && spare > 0;
                spare -= usize::from(goes);
                !goes
            });
            while slots.len() < self.min_size.max(1) {
                let Some(slot) = self.open(&slots) else { break };
                slots.push(slot);
            }
            slots.iter().map(|slot| slot.connection.clone()).collect::<Vec<_>>()
        };
        let mut quickest: Result<Duration, RedisError> =
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        for mut connection in connections {
            let begun = Instant::now();
            let ping = redis::cmd("PING");
            let asked = tokio::time::timeout(allowed, ping.query_async::<()>(&mut connection));
            match asked.await {
                Ok(Ok(())) => {
                    let took = begun.elapsed();
                    quickest = Ok(quickest.map_or(took, |other| other.min(took)));
                }
                Ok(Err(error)) if quickest.is_err() => quickest = Err(error),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        quickest
    }

    pub(super) fn size(&self) -> PoolSize {
        let slots = self.slots();
        let in_use = slots.iter().filter(|slot| slot.in_use > 0).count();
        PoolSize { in_use, idle: slots.len() - in_use }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = self.pool.slots();
        if let Some(slot) = slots.iter_mut().find(|slot| slot.number == self.number) {
            slot.in_use -= 1;
            if slot.in_use == 0 {
                slot.idle_since = Instant::now();
            }
        }
        drop(slots);
        self.pool.freed.notify_one();
    }
}
