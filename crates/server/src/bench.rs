//! Where a model is made ready: load, verify, warm, keep, publish.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use axum::body::Bytes;
use stemson_mojo::{Batch, Cell, Digest, Kind, LoadOptions, Model, Options, Role};
use stemson_serving::{
    Candidate, Change, Deployment, Deployments, ModelName, Revision, Swap, SwapRefusal, TrialLimits,
};

use crate::artifact;
use crate::config::Config;
use crate::deploy_error::DeployError;
use crate::loader::{Order, Place, Source};
use crate::metrics::Metrics;
use crate::reference;
use crate::store::Store;

/// What making ready needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<Store>,
    pub(crate) options: LoadOptions,
    pub(crate) artifact_roots: Vec<PathBuf>,
    pub(crate) artifact_bytes_max: u64,
    /// Artifacts of retired revisions that are kept for each model.
    pub(crate) keep_revisions: usize,
    pub(crate) trial: TrialLimits,
    /// Held while an artifact is brought: between its coming in and its being named by a
    /// deployment nobody shall clear it away.
    pub(crate) turn: Mutex<()>,
}

impl Bench {
    pub(crate) fn new(
        deployments: Arc<Deployments>,
        metrics: Arc<Metrics>,
        store: Arc<Store>,
        config: &Config,
    ) -> Self {
        Self {
            deployments,
            metrics,
            store,
            options: config.load_options,
            artifact_roots: config.artifact_roots.clone(),
            artifact_bytes_max: config.limits.artifact_bytes_max,
            keep_revisions: config.keep_revisions,
            trial: config.trial,
            turn: Mutex::default(),
        }
    }

    /// Load, verify, warm, keep, publish; here and now, on this thread.
    pub(crate) fn bring(&self, order: Order) -> Result<Swap, DeployError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let name = order.name.clone();
        let swap = self.try_bring(order);
        let outcome = swap.as_ref().map_or("refused", |swap| swap.outcome.as_str());
        self.metrics.swap(&name, outcome);
        self.metrics.forget_retired(&self.deployments);
        self.clear_away();
        drop(turn);
        swap
    }

    /// What the configuration names for a model: swapped in if it names another artifact than last
    /// time, for what was changed since by a swap or a rollback shall stand.
    pub(crate) fn configure(&self, order: Order) -> Result<Swap, DeployError> {
        let Order { name, source: Source::Bytes(bytes), .. } = &order else {
            return self.bring(order);
        };
        let (name, digest) = (name.clone(), Digest::of(bytes));
        let deployment = self.deployments.find(&name);
        let swap = match deployment {
            Some(deployment) if self.store.configured(&name)? == Some(digest) => {
                let (outcome, warm) = (stemson_serving::Outcome::Unchanged, deployment.warm());
                return Ok(Swap { outcome, warm, retired: Vec::new() });
            }
            _ => self.bring(order)?,
        };
        self.store.set_configured(&name, &digest)?;
        Ok(swap)
    }

    /// Ends a canary for an alarm.
    pub(crate) fn abort(
        &self,
        name: &ModelName,
        canary: Digest,
        why: String,
    ) -> Vec<Arc<Revision>> {
        let Some(deployment) = self.deployments.find(name) else {
            return Vec::new();
        };
        let change =
            Change { at: SystemTime::now(), by: "canary".to_owned(), allow_schema_change: false };
        // Whoever has promoted or aborted it meanwhile has decided.
        let Ok(swap) = deployment.abort(Some(canary), Some(why), change) else {
            return Vec::new();
        };
        self.metrics.swap(name, swap.outcome.as_str());
        swap.retired
    }

    fn try_bring(&self, order: Order) -> Result<Swap, DeployError> {
        let Order { name, source, place, reference, sha256, by, allow_schema_change } = order;
        let mut reference = reference.map(|text| ("the reference".to_owned(), text));
        let deployment = self.deployments.find(&name);
        let (bytes, digest) = match source {
            Source::Bytes(bytes) => {
                let digest = Digest::of(&bytes);
                (Some(bytes), digest)
            }
            Source::Path(path) => {
                let read = |path: &Path| {
                    artifact::read(path, &self.artifact_roots, self.artifact_bytes_max)
                };
                let bytes = read(&path)?;
                let beside = reference::beside(&path);
                match read(&beside) {
                    Ok(text) => reference = Some((beside.display().to_string(), text)),
                    Err(DeployError::NotFound { .. }) => {}
                    Err(cause) => return Err(cause),
                }
                let digest = Digest::of(&bytes);
                (Some(Bytes::from(bytes)), digest)
            }
            Source::Known(selector) => {
                let deployment = deployment.as_ref().ok_or(SwapRefusal::NoCurrent)?;
                (None, deployment.known(&selector)?.digest)
            }
        };
        if let Some(expected) = sha256.filter(|expected| *expected != digest) {
            return Err(DeployError::Digest { found: digest, expected });
        }
        let warm = deployment.as_ref().map(|deployment| deployment.warm());
        let candidate = match warm.as_ref().and_then(|warm| warm.find(&digest)) {
            Some(revision) => {
                // It may have been lost: whoever brings it again mends that.
                bytes.map_or(Ok(()), |bytes| self.store.keep(&digest, &bytes))?;
                let ns_per_row = revision.row_cost().ns_per_unit();
                Candidate { model: Arc::clone(revision.model()), ns_per_row }
            }
            None => {
                let bytes = match bytes {
                    Some(bytes) => bytes,
                    None => self.store.artifact(&digest)?.into(),
                };
                let candidate = self.load(&bytes, warm.as_ref().map(|warm| &*warm.current))?;
                let embedded = Model::attached(&bytes, reference::EMBEDDED, &self.options)?;
                if let Some(text) = embedded {
                    reference::verify(&candidate.model, &text, reference::EMBEDDED)?;
                }
                self.store.keep(&digest, &bytes)?;
                candidate
            }
        };
        if let Some((origin, text)) = &reference {
            reference::verify(&candidate.model, text, origin)?;
        }
        let change = Change { at: SystemTime::now(), by, allow_schema_change };
        Ok(self.publish(&name, deployment.as_deref(), place, candidate, change)?)
    }

    fn publish(
        &self,
        name: &ModelName,
        deployment: Option<&Deployment>,
        place: Place,
        candidate: Candidate,
        change: Change,
    ) -> Result<Swap, SwapRefusal> {
        match (place, deployment) {
            (Place::Current, _) => self.deployments.swap(name, candidate, change),
            (Place::Back, Some(deployment)) => deployment.bring_back(candidate, change),
            (Place::Canary(share), Some(deployment)) => {
                deployment.start_canary(candidate, share, self.trial, change)
            }
            (Place::Shadow, Some(deployment)) => deployment.start_shadow(candidate, change),
            (Place::Back | Place::Canary(_) | Place::Shadow, None) => Err(SwapRefusal::NoCurrent),
        }
    }

    /// A model that is ready to answer. `current`: what answers now.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        current: Option<&Revision>,
    ) -> Result<Candidate, DeployError> {
        let model = Arc::new(Model::load(bytes, &self.options)?);
        let ns_per_row = warm(&model, current);
        Ok(Candidate { model, ns_per_row })
    }

    /// Removes artifacts that no deployment names any more, one that is unloaded included: of each,
    /// those of its warm revisions stay, and those that were loaded last.
    fn clear_away(&self) {
        let mut wanted = BTreeSet::new();
        for deployment in self.deployments.all().into_iter().chain(self.deployments.parked()) {
            let state = deployment.state();
            let mut known: Vec<_> = state.known.iter().collect();
            known.sort_by_key(|known| std::cmp::Reverse((known.loaded_at, known.number)));
            wanted.extend(known.iter().take(self.keep_revisions).map(|known| known.digest));
            wanted.extend(deployment.warm().revisions().map(|revision| revision.digest()));
        }
        self.store.retain(&wanted);
    }
}

/// Scores what is asked often, or rows without values: brings the model into the caches, and gives
/// a first idea of what a row costs, in nanoseconds.
fn warm(model: &Arc<Model>, current: Option<&Revision>) -> f64 {
    const ROWS: usize = 8;
    let recent = current.map(|current| (current.model(), current.recent().rows()));
    let mut batch = Batch::new(Arc::clone(model), Options::default());
    let mut ns_per_row = 0.0;
    for _ in 0..3 {
        batch.clear();
        if let Some((old, rows)) = &recent {
            rows.iter().for_each(|row| push(&mut batch, row, 0.0, old));
        }
        if batch.is_empty() {
            (0..ROWS).for_each(|_| push_empty(&mut batch));
        }
        let begun = Instant::now();
        batch.score();
        ns_per_row = begun.elapsed().as_nanos() as f64 / batch.len() as f64;
    }
    ns_per_row
}

/// Pushes a row without values.
fn push_empty(batch: &mut Batch) {
    let model = Arc::clone(batch.model());
    if model.schema().is_open() {
        batch.push_words(&[("word", Cell::Text(""))]);
    } else {
        batch.push(&vec![Cell::Absent; model.schema().columns().len()]);
    }
}

/// Pushes a raw row of another model with its offset, column by column; levels go by their names.
pub(crate) fn push(batch: &mut Batch, raw: &[f64], offset: f64, old: &Model) {
    let (model, columns) = (Arc::clone(batch.model()), old.schema().columns());
    // With another encoding than `Enum` the raw row does not stand for the columns.
    let is_open = model.schema().is_open() || old.schema().is_open();
    if is_open || old.raw_len() != raw.len() || raw.len() > columns.len() {
        return;
    }
    let cell = |name: &str| {
        let at = old.schema().index_of(name).filter(|at| *at < raw.len());
        let Some((column, value)) = at.map(|at| (&columns[at], raw[at])) else {
            return Cell::Absent;
        };
        match column.kind {
            _ if value.is_nan() => Cell::Absent,
            Kind::Numeric => Cell::Number(value),
            Kind::Categorical => {
                column.levels.get(value as usize).map_or(Cell::Absent, |level| Cell::Text(level))
            }
        }
    };
    let cells = model.schema().columns().iter().map(|column| match column.role {
        Role::Offset => Cell::Number(offset),
        Role::Feature => cell(&column.name),
    });
    batch.push(&cells.collect::<Vec<_>>());
}
