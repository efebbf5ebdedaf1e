//! Answers in Redis: asked for a few milliseconds at most, and never needed.
//!
//! Every failure is a miss. After some in a row Redis is left alone, and a sign of life in the background
//! finds out when it is back, so that no request pays for it. What is written goes into a queue
//! with an end; where the queue is full, or Redis refuses (it is full, or a replica), the answer is
//! not kept, and nobody waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::Client;
use stemson_serving::cache::{Breaker, BreakerState, Key, Namespace, Worth, opened, sealed};
use tokio::sync::mpsc;

use super::config::CacheConfig;
use super::pool::{Pool, PoolSize};

/// Failures in a row after which Redis is left alone.
const FAILURES_MAX: u32 = 5;

/// For how long, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How often the background looks whether there is something to do.
const TICK: Duration = Duration::from_millis(250);

/// How long a sign of life may take: longer than a question, as nobody waits for it.
const CHECK_MAX: Duration = Duration::from_millis(250);

/// Answers that may wait to be written, and their bytes.
const QUEUED_MAX: usize = 4_096;
const QUEUED_BYTES_MAX: usize = 16 << 20;

/// Answers that are written at once.
const WRITTEN_AT_ONCE: usize = 64;

/// How long writing them may take.
const WRITE_MAX: Duration = Duration::from_millis(500);

/// Keys in one question.
pub(super) const KEYS_MAX: usize = 512;

/// The store behind the network.
#[derive(Debug)]
pub(crate) struct Remote {
    pool: Arc<Pool>,
    budget: Duration,
    ttl: Duration,
    check_every: Duration,
    reads: Mutex<Breaker>,
    writes: Mutex<Breaker>,
    queue: mpsc::Sender<Written>,
    queued: Mutex<Option<mpsc::Receiver<Written>>>,
    queued_bytes: AtomicUsize,
    pub(crate) counts: Counts,
}

/// What happened, so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Questions that failed or came too late.
    pub(crate) failed: AtomicU64,
    /// Values that were no answers.
    pub(crate) damaged: AtomicU64,
    /// Answers written.
    pub(crate) written: AtomicU64,
    /// Answers that Redis did not take, or not in time.
    pub(crate) refused: AtomicU64,
    /// Answers that found no place in the queue.
    pub(crate) dropped: AtomicU64,
}

impl Counts {
    /// The words of the metric.
    pub(crate) fn outcomes(&self) -> [(&'static str, &AtomicU64); 5] {
        [
            ("failed", &self.failed),
            ("damaged", &self.damaged),
            ("written", &self.written),
            ("refused", &self.refused),
            ("dropped", &self.dropped),
        ]
    }
}

#[derive(Debug)]
struct Written {
    key: String,
    value: Vec<u8>,
}

/// Nothing was learned: Redis is left alone, has failed, or the pool is saturated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

impl Remote {
    /// Nothing is opened yet: see [`Remote::run`].
    pub(super) fn new(client: Client, config: &CacheConfig) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let breaker = || Mutex::new(Breaker::new(FAILURES_MAX, PAUSE.0, PAUSE.1));
        Self {
            pool: Arc::new(Pool::new(client, config.min_size, config.max_size)),
            budget: config.budget,
            ttl: config.ttl,
            check_every: config.check_every,
            reads: breaker(),
            writes: breaker(),
            queue,
            queued: Mutex::new(Some(queued)),
            queued_bytes: AtomicUsize::new(0),
            counts: Counts::default(),
        }
    }

    /// Whether it is asked now.
    pub(super) fn is_asked(&self) -> bool {
        lock(&self.reads).state() == BreakerState::Closed
    }

    /// The state of the breaker, as a word.
    pub(crate) fn breaker(&self) -> &'static str {
        lock(&self.reads).state().as_str()
    }

    pub(crate) fn pool_size(&self) -> PoolSize {
        self.pool.size()
    }

    /// Questions that waited for a connection, and that were given up for want of one.
    pub(crate) fn pool_counts(&self) -> (u64, u64) {
        let Pool { waits, saturated, .. } = &*self.pool;
        (waits.load(Ordering::Relaxed), saturated.load(Ordering::Relaxed))
    }

    /// The answers of some keys, at most [`KEYS_MAX`], in their order.
    pub(super) async fn find(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        worth: &Worth,
    ) -> Result<Vec<Option<Arc<[u8]>>>, Unanswered> {
        if !self.is_asked() {
            return Err(Unanswered);
        }
        let begun = Instant::now();
        let deadline = begun + self.budget;
        let Some(mut lease) = self.pool.lease(deadline).await else {
            // Too many questions are no failure of Redis, if it answers the others.
            return Err(Unanswered);
        };
        let mut question = redis::cmd("MGET");
        keys.iter().for_each(|key| {
            question.arg(namespace.text(key));
        });
        let answer = question.query_async::<Vec<Option<Vec<u8>>>>(&mut lease.connection);
        let answer = tokio::time::timeout_at(deadline.into(), answer).await;
        drop(lease);
        worth.observe_lookup(begun.elapsed());
        match answer {
            Ok(Ok(values)) if values.len() == keys.len() => {
                lock(&self.reads).succeeded();
                let pairs = keys.iter().zip(values);
                Ok(pairs.map(|(key, value)| self.open(key, &value?)).collect())
            }
            _ => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                lock(&self.reads).failed(Instant::now());
                Err(Unanswered)
            }
        }
    }

    fn open(&self, key: &Key, value: &[u8]) -> Option<Arc<[u8]>> {
        let answer = opened(key, value).ok();
        if answer.is_none() {
            self.counts.damaged.fetch_add(1, Ordering::Relaxed);
        }
        answer.map(Arc::from)
    }

    /// Keeps an answer, sometime, if there is room; never waits.
    pub(super) fn keep(&self, namespace: &Namespace, key: &Key, answer: &[u8]) {
        if !self.is_asked() || lock(&self.writes).state() == BreakerState::Open {
            return;
        }
        let written = Written { key: namespace.text(key), value: sealed(key, answer) };
        let bytes = written.bytes();
        let is_full = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > QUEUED_BYTES_MAX;
        if is_full || self.queue.try_send(written).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What goes on in the background: writing, and signs of life. Does not end.
    pub(super) async fn run(&self, worth: &Worth) {
        let queued = lock(&self.queued).take();
        match queued {
            Some(queued) => tokio::join!(self.write(queued), self.check(worth)).0,
            None => self.check(worth).await,
        }
    }

    async fn check(&self, worth: &Worth) {
        let mut checked_at: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let is_due = checked_at.is_none_or(|at| now.duration_since(at) >= self.check_every);
            let is_closed = self.is_asked();
            // While it is left alone, this is the one who finds out.
            if (is_closed && is_due) || (!is_closed && lock(&self.reads).admits(now)) {
                let checked = self.pool.check(CHECK_MAX).await;
                checked_at = Some(Instant::now());
                match checked {
                    Ok(took) => {
                        worth.observe_lookup(took);
                        lock(&self.reads).succeeded();
                    }
                    Err(_) => {
                        lock(&self.reads).failed(Instant::now());
                    }
                }
            }
            tokio::time::sleep(TICK.min(self.check_every)).await;
        }
    }

    async fn write(&self, mut queued: mpsc::Receiver<Written>) {
        let mut batch = Vec::with_capacity(WRITTEN_AT_ONCE);
        while queued.recv_many(&mut batch, WRITTEN_AT_ONCE).await > 0 {
            let bytes = batch.iter().map(Written::bytes).sum();
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let n = batch.len() as u64;
            // Half open, these are the question.
            let is_asked = lock(&self.writes).admits(Instant::now());
            let count = if is_asked && self.is_asked() {
                let is_written = self.write_all(&batch).await;
                let mut writes = lock(&self.writes);
                if is_written {
                    writes.succeeded();
                } else {
                    writes.failed(Instant::now());
                }
                if is_written { &self.counts.written } else { &self.counts.refused }
            } else {
                &self.counts.dropped
            };
            count.fetch_add(n, Ordering::Relaxed);
            batch.clear();
        }
    }

    async fn write_all(&self, batch: &[Written]) -> bool {
        let deadline = Instant::now() + WRITE_MAX;
        let Some(mut lease) = self.pool.lease(deadline).await else { return false };
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut pipe = redis::pipe();
        for Written { key, value } in batch {
            pipe.cmd("SET").arg(key).arg(value.as_slice()).arg("PX").arg(ttl_ms).ignore();
        }
        let written = pipe.query_async::<()>(&mut lease.connection);
        matches!(tokio::time::timeout_at(deadline.into(), written).await, Ok(Ok(())))
    }
}

impl Written {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
