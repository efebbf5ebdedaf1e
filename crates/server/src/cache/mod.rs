//! The prediction cache of a server: what `stemson_serving::cache` decides, with a clock and a Redis.
//!
//! The way of a row: memory; then its flight, where somebody computes it already; then Redis, if
//! computing is dearer than asking; then the compute lane. What comes back is the answer as bytes,
//! and the batch that takes them cannot be told from one that was scored.

mod config;
mod counts;
mod flown;
#[cfg(test)]
mod herd;
pub(crate) mod metrics;
mod pool;
mod remote;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stemson_mojo::{Batch, Options, RowError};
use stemson_serving::cache::{AnswerStore, Flights, Key, Namespace, StoreSize, Worth};
use stemson_serving::{Cost, ModelName, ShedReason};

pub use config::{CacheBackend, CacheConfig, RedisUrl};
pub(crate) use counts::Looked;
pub(crate) use flown::{Flown, Lacking, Landed};
pub(crate) use remote::Remote;

use crate::config::StartError;
use crate::rows::Rows;

/// One per server.
#[derive(Debug)]
pub(crate) struct PredictionCache {
    store: AnswerStore,
    flights: Arc<Flights<Key, Outcome>>,
    worth: Worth,
    remote: Option<Remote>,
    except: HashSet<String>,
    has_quirks: bool,
}

/// What became of a row that somebody computed, or looked for.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Its answer, and whether it came from Redis.
    Answer { bytes: Arc<[u8]>, is_remote: bool },
    /// The model does not answer this row.
    Refused(Arc<RowError>),
    /// There was no capacity before the leader's deadline.
    Shed { retry_after: Duration, reason: ShedReason },
    /// Its turn came too late for the leader's deadline.
    Late,
}

/// The cache as one request uses it: all its rows are asked the same of one revision.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    cache: Arc<PredictionCache>,
    namespace: Arc<Namespace>,
    /// Whether Redis is asked as well.
    has_remote: bool,
}

impl PredictionCache {
    /// None where nothing shall be kept.
    ///
    /// # Errors
    /// A key of the configuration makes no sense.
    pub(crate) fn new(
        config: &CacheConfig,
        has_quirks: bool,
    ) -> Result<Option<Arc<Self>>, StartError> {
        config.check()?;
        let remote = match &config.backend {
            CacheBackend::None => return Ok(None),
            CacheBackend::Memory => None,
            CacheBackend::Redis(url) => Some(Remote::new(url.client(&config.redis_tls)?, config)),
        };
        Ok(Some(Arc::new(Self {
            store: AnswerStore::new(config.bytes_max, config.ttl),
            flights: Flights::new(),
            worth: Worth::new(config.min_cost, config.redis_min_cost),
            remote,
            except: config.except.iter().cloned().collect(),
            has_quirks,
        })))
    }

    /// How a request uses the cache; none if it computes as if there were none: the model is
    /// cheaper than looking, its answers are not repeatable, or somebody said so.
    pub(crate) fn ask(self: &Arc<Self>, model: &ModelName, rows: &Rows) -> Option<Asked> {
        let (revision, options, cost) = (rows.revision(), rows.ask().options, rows.cost());
        if !self.worth.keeps(cost)
            || !revision.model().has_repeatable_answers()
            || self.except.contains(model.as_str())
        {
            return None;
        }
        let is_up = self.remote.as_ref().is_some_and(Remote::is_asked);
        let has_remote = is_up && self.worth.tiers(cost, rows.len()).remote;
        let namespace =
            || Arc::new(Namespace::new(model, revision.digest(), options, self.has_quirks));
        let namespace = if options == Options::default() {
            Arc::clone(rows.face().namespace.get_or_init(namespace))
        } else {
            namespace()
        };
        Some(Asked { cache: Arc::clone(self), namespace, has_remote })
    }

    /// Keeps the answers of rows that were scored before anybody asks for them, where such answers
    /// are kept; says how many. `cost`: of a row.
    pub(crate) fn fill(&self, name: &ModelName, batch: &Batch, cost: &Cost) -> usize {
        let model = batch.model();
        if !self.worth.keeps(cost) || self.except.contains(name.as_str()) {
            return 0;
        }
        let has_remote = self.worth.tiers(cost, 1).remote;
        let remote = self.remote.as_ref().filter(|_| has_remote);
        let namespace = Namespace::new(name, model.digest(), Options::default(), self.has_quirks);
        let now = Instant::now();
        let keep = |row: &usize| {
            let Some(key) = namespace.key(batch, *row) else { return false };
            let mut bytes = Vec::new();
            if !batch.write_answer(*row, &mut bytes) {
                return false;
            }
            if let Some(remote) = remote {
                remote.keep(&namespace, &key, &bytes);
            }
            self.store.keep(key, bytes.into(), now);
            true
        };
        (0..batch.len()).filter(keep).count()
    }

    /// What goes on in the background, for as long as the server runs.
    pub(crate) async fn run(self: Arc<Self>) {
        if let Some(remote) = &self.remote {
            remote.run(&self.worth).await;
        }
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    pub(crate) fn size(&self) -> StoreSize {
        self.store.size()
    }

    /// What a question to Redis takes at present.
    pub(crate) fn lookup_time(&self) -> Duration {
        self.worth.lookup()
    }
}

impl Asked {
    /// The answer in memory, if it is one for this batch.
    fn find(&self, key: &Key, batch: &Batch, now: Instant) -> Option<Outcome> {
        let bytes = self.cache.store.find(key, now).filter(|bytes| batch.fits_answer(bytes))?;
        Some(Outcome::Answer { bytes, is_remote: false })
    }

    /// Keeps the answer of a row that was scored, if it has one.
    fn keep(&self, key: &Key, batch: &Batch, row: usize, now: Instant) -> Option<Arc<[u8]>> {
        let mut bytes = Vec::new();
        batch.write_answer(row, &mut bytes).then(|| {
            let answer: Arc<[u8]> = bytes.into();
            self.cache.store.keep(*key, Arc::clone(&answer), now);
            answer
        })
    }
}
