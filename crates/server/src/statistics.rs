//! What each revision did so far, as the statistics extension shows it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use stemson_serving::{Deployment, Revision};

use crate::cache::Looked;
use crate::context::{self, Context};
use crate::error::Refusal;
use crate::face::Face;

/// Sizes of batches that are told apart; others are counted with the largest.
const SIZES_MAX: usize = 256;

/// How often, and how long altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spent {
    pub(crate) count: u64,
    pub(crate) ns: u64,
}

/// The parts of a request's time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    pub(crate) whole: Duration,
    pub(crate) queued: Duration,
    pub(crate) decoding: Duration,
    pub(crate) scoring: Duration,
    pub(crate) encoding: Duration,
    /// What the cache did, if it was asked.
    pub(crate) looked: Option<Looked>,
}

/// Of all requests to one revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct InferenceStats {
    pub(crate) success: Spent,
    pub(crate) fail: Spent,
    pub(crate) queue: Spent,
    pub(crate) compute_input: Spent,
    pub(crate) compute_infer: Spent,
    pub(crate) compute_output: Spent,
    pub(crate) cache_hit: Spent,
    pub(crate) cache_miss: Spent,
}

/// Of all requests with so many rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct BatchStats {
    pub(crate) batch_size: u64,
    pub(crate) compute_input: Spent,
    pub(crate) compute_infer: Spent,
    pub(crate) compute_output: Spent,
}

/// Memory of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct MemoryUsage {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) id: i64,
    pub(crate) byte_size: u64,
}

/// One revision in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ModelStats {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Milliseconds since 1970; 0: never.
    pub(crate) last_inference: u64,
    /// Rows.
    pub(crate) inference_count: u64,
    /// Requests.
    pub(crate) execution_count: u64,
    pub(crate) inference_stats: InferenceStats,
    /// For models that answer a request more than once, which none does.
    pub(crate) response_stats: BTreeMap<String, InferenceStats>,
    pub(crate) batch_stats: Vec<BatchStats>,
    pub(crate) memory_usage: Vec<MemoryUsage>,
}

#[derive(Debug, Default)]
struct Counts {
    last_inference_ms: u64,
    rows: u64,
    executions: u64,
    stats: InferenceStats,
    by_size: BTreeMap<u64, BatchStats>,
}

/// The counters of one revision, from its loading on.
#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<Counts>);

impl Spent {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

impl Statistics {
    /// A request with so many rows was answered.
    pub(crate) fn success(&self, rows: usize, took: Took) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut counts = self.counts();
        counts.last_inference_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let cached = took.looked.map_or(0, |looked| looked.cached());
        counts.rows += (rows as u64).saturating_sub(cached);
        let stats = &mut counts.stats;
        stats.success.add(took.whole);
        // Of a request that was computed in part, the part counts as a miss.
        match took.looked {
            Some(looked) if rows > 0 && cached == rows as u64 => {
                return stats.cache_hit.add(looked.looking);
            }
            Some(looked) => stats.cache_miss.add(looked.looking),
            None => {}
        }
        counts.executions += 1;
        let stats = &mut counts.stats;
        stats.queue.add(took.queued);
        stats.compute_input.add(took.decoding);
        stats.compute_infer.add(took.scoring);
        stats.compute_output.add(took.encoding);
        let mut size = rows as u64;
        if counts.by_size.len() >= SIZES_MAX && !counts.by_size.contains_key(&size) {
            size = counts.by_size.keys().next_back().copied().unwrap_or(size);
        }
        let batch = counts.by_size.entry(size).or_default();
        batch.batch_size = size;
        batch.compute_input.add(took.decoding);
        batch.compute_infer.add(took.scoring);
        batch.compute_output.add(took.encoding);
    }

    /// A request was refused, or failed.
    pub(crate) fn fail(&self, whole: Duration) {
        self.counts().stats.fail.add(whole);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, name: &str, revision: &Revision) -> ModelStats {
        let counts = self.counts();
        ModelStats {
            name: name.to_owned(),
            version: revision.number().to_string(),
            last_inference: counts.last_inference_ms,
            inference_count: counts.rows,
            execution_count: counts.executions,
            inference_stats: counts.stats,
            response_stats: BTreeMap::new(),
            batch_stats: counts.by_size.values().copied().collect(),
            memory_usage: vec![MemoryUsage {
                kind: "CPU",
                id: 0,
                byte_size: revision.model().size().memory_bytes,
            }],
        }
    }
}

/// The statistics of all warm revisions, of those of one model, or of one of them.
pub(crate) fn of(
    context: &Context,
    model: Option<&str>,
    version: Option<&str>,
) -> Result<Vec<ModelStats>, Refusal> {
    let show = |deployment: &Deployment, revision: &Revision| {
        let face = revision.prepared(Face::new);
        face.statistics.show(deployment.name().as_str(), revision)
    };
    let Some(model) = model else {
        let mut all = Vec::new();
        for deployment in context.deployments.all() {
            all.extend(deployment.warm().revisions().map(|revision| show(&deployment, revision)));
        }
        return Ok(all);
    };
    let deployment = context.deployment(model)?;
    if version.is_some() {
        let revision = context::revision(&deployment, version)?;
        return Ok(vec![show(&deployment, &revision)]);
    }
    let warm = deployment.warm();
    Ok(warm.revisions().map(|revision| show(&deployment, revision)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_an_end() {
        let statistics = Statistics::default();
        for rows in 1..=SIZES_MAX + 50 {
            statistics.success(rows, Took { scoring: Duration::from_nanos(3), ..Took::default() });
        }
        statistics.fail(Duration::from_nanos(5));
        let counts = statistics.counts();
        assert_eq!(counts.by_size.len(), SIZES_MAX);
        assert_eq!(counts.by_size[&(SIZES_MAX as u64)].compute_infer, Spent { count: 51, ns: 153 });
        assert_eq!(counts.stats.fail, Spent { count: 1, ns: 5 });
        assert_eq!(counts.executions as usize, SIZES_MAX + 50);
    }
}
