//! Where a model is made ready: load, verify, warm, keep, publish.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use stemson_mojo::{Batch, Cell, Digest, Kind, LoadOptions, Model, Options, Role};
use stemson_serving::{
    Candidate, Change, Cost, Deployment, Deployments, Journal, ModelName, Prepared, Revision,
    RevisionState, Swap, SwapRefusal,
};

use crate::artifact;
use crate::cache::PredictionCache;
use crate::deploy_error::DeployError;
use crate::face::Face;
use crate::live::SharedLive;
use crate::loader::{Order, Place, Source};
use crate::metrics::Metrics;
use crate::reference;
use crate::restore;
use crate::store::Store;

/// Rows that a model is asked at once while it is warmed.
const WARM_ROWS: usize = 32;

/// Rows without values, where nobody has asked anything yet.
const EMPTY_ROWS: usize = 8;

/// After this time a model is warm enough, whatever is left.
const WARM_TIME: Duration = Duration::from_secs(1);

/// An artifact, with rows that come with it and the answers that it must give: where they are from, and
/// their text.
struct Brought {
    digest: Digest,
    /// None: the store has it.
    bytes: Option<Bytes>,
    reference: Option<(String, Vec<u8>)>,
}

/// What making ready needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<Store>,
    pub(crate) cache: Option<Arc<PredictionCache>>,
    pub(crate) options: LoadOptions,
    pub(crate) live: SharedLive,
    /// Held while an artifact is brought: between its coming in and its being named by a
    /// deployment nobody shall clear it away.
    turn: Mutex<()>,
    /// Shared with the context, and the last field of both: when it is gone, nothing of the server's
    /// holds the data folder. Who asked for deployments may hold it on.
    pub(crate) presence: Arc<()>,
}

impl Bench {
    /// Without a deployment yet; changes go to the store first.
    pub(crate) fn new(
        store: &Arc<Store>,
        metrics: &Arc<Metrics>,
        cache: Option<Arc<PredictionCache>>,
        live: &SharedLive,
        options: LoadOptions,
    ) -> Self {
        let journal = Arc::clone(store) as Arc<dyn Journal>;
        Self {
            deployments: Arc::new(Deployments::with_journal(journal)),
            metrics: Arc::clone(metrics),
            store: Arc::clone(store),
            cache,
            live: Arc::clone(live),
            options,
            turn: Mutex::default(),
            presence: Arc::default(),
        }
    }

    /// Whether an artifact is being brought.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.turn.try_lock(), Err(TryLockError::WouldBlock))
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

    /// The same of a file, with what lies beside it.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn configure_file(&self, name: &str, file: &Path, by: &str) -> Result<Swap, String> {
        let bytes = fs::read(file).map_err(|cause| cause.to_string())?;
        let order = Order {
            name: name.parse().map_err(|cause| format!("{cause}"))?,
            source: Source::Bytes(bytes.into()),
            place: Place::Current,
            reference: reference::read_beside(file).map_err(|cause| cause.to_string())?,
            sha256: None,
            by: by.to_owned(),
            allow_schema_change: false,
        };
        self.configure(order).map_err(|cause| cause.to_string())
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
        let answering = self.deployments.find(&name);
        let parked = if answering.is_none() { self.revive(&name)? } else { None };
        let deployment = answering.or_else(|| parked.clone());
        let mut brought = self.take(source, deployment.as_deref())?;
        let reference = reference.map(|text| ("the reference".to_owned(), text));
        brought.reference = brought.reference.or(reference);
        if let Some(expected) = sha256.filter(|expected| *expected != brought.digest) {
            return Err(DeployError::Digest { found: brought.digest, expected });
        }
        let warm = deployment.as_ref().map(|deployment| deployment.warm());
        let known = warm.as_ref().and_then(|warm| warm.find(&brought.digest));
        let model = match &known {
            Some(revision) => {
                // It may have been lost: whoever brings it again mends that.
                let bytes = brought.bytes.as_ref();
                bytes.map_or(Ok(()), |bytes| self.store.keep(&brought.digest, bytes))?;
                Arc::clone(revision.model())
            }
            None => self.read(brought.bytes, &brought.digest)?,
        };
        if let Some((origin, text)) = &brought.reference {
            reference::verify(&model, text, origin)?;
        }
        let current = warm.as_ref().map(|warm| &*warm.current);
        let ns_per_row = match &known {
            Some(known) if warm.as_ref().is_some_and(|it| Arc::ptr_eq(&it.current, known)) => {
                known.row_cost().ns_per_unit()
            }
            _ => self.warm(&name, &model, current, !matches!(place, Place::Shadow)),
        };
        let prepared = Prepared::of(Face::new(&model));
        let candidate = Candidate { model, ns_per_row, prepared };
        let change = Change { at: SystemTime::now(), by, allow_schema_change };
        let swap = self.publish(&name, deployment.as_deref(), place, candidate, change)?;
        if let Some(parked) = parked {
            self.deployments.adopt(parked);
        }
        Ok(swap)
    }

    /// A parked deployment with its models; it does not answer yet. None: it is not parked.
    fn revive(&self, name: &ModelName) -> Result<Option<Arc<Deployment>>, DeployError> {
        if !self.deployments.parked().contains_key(name) {
            return Ok(None);
        }
        let mut kept = self.store.deployments()?.into_iter();
        let Some((name, state, events)) = kept.find(|(kept, ..)| kept == name) else {
            return Ok(None);
        };
        let mut warnings = Vec::new();
        let revived = restore::revive(self, name, state, events, &mut warnings);
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        revived.map(|deployment| Some(Arc::new(deployment)))
    }

    /// Takes up the artifact that an order means.
    fn take(
        &self,
        source: Source,
        deployment: Option<&Deployment>,
    ) -> Result<Brought, DeployError> {
        Ok(match source {
            Source::Bytes(bytes) => {
                Brought { digest: Digest::of(&bytes), bytes: Some(bytes), reference: None }
            }
            Source::Path(path) => {
                let live = self.live.load();
                let read = |path: &Path| {
                    artifact::read(path, &live.artifact_roots, live.limits.artifact_bytes_max)
                };
                let bytes = read(&path)?;
                let beside = reference::beside(&path);
                let reference = match read(&beside) {
                    Ok(text) => Some((beside.display().to_string(), text)),
                    Err(DeployError::NotFound { .. }) => None,
                    Err(cause) => return Err(cause),
                };
                Brought { digest: Digest::of(&bytes), bytes: Some(bytes.into()), reference }
            }
            Source::Known(selector) => {
                let deployment = deployment.ok_or(SwapRefusal::NoCurrent)?;
                let digest = deployment.known(&selector)?.digest;
                Brought { digest, bytes: None, reference: None }
            }
        })
    }

    /// Loads an artifact, asks it what it says itself that it must answer, and keeps it.
    fn read(&self, bytes: Option<Bytes>, digest: &Digest) -> Result<Arc<Model>, DeployError> {
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.store.artifact(digest)?.into(),
        };
        let model = Arc::new(Model::load(&bytes, &self.options)?);
        let embedded = Model::attached(&bytes, reference::EMBEDDED, &self.options)?;
        if let Some(text) = embedded {
            reference::verify(&model, &text, reference::EMBEDDED)?;
        }
        self.store.keep(digest, &bytes)?;
        Ok(model)
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
            (Place::Current, Some(deployment)) => deployment.swap(candidate, change),
            (Place::Current, None) => self.deployments.swap(name, candidate, change),
            (Place::Back, Some(deployment)) => deployment.bring_back(candidate, change),
            (Place::Canary(share), Some(deployment)) => {
                deployment.start_canary(candidate, share, self.live.load().trial, change)
            }
            (Place::Shadow, Some(deployment)) => deployment.start_shadow(candidate, change),
            (Place::Back | Place::Canary(_) | Place::Shadow, None) => Err(SwapRefusal::NoCurrent),
        }
    }

    /// A model of before that is ready to answer again, at the start.
    pub(crate) fn load(&self, name: &ModelName, bytes: &[u8]) -> Result<Candidate, DeployError> {
        let model = Arc::new(Model::load(bytes, &self.options)?);
        let ns_per_row = self.warm(name, &model, None, true);
        let prepared = Prepared::of(Face::new(&model));
        Ok(Candidate { model, ns_per_row, prepared })
    }

    /// Asks a model what `current` is asked most, or rows without values: brings it into the
    /// processor's caches, gives a first idea of what a row costs, in nanoseconds, and keeps the
    /// answers if it `is_read`, so that a swap turns no hot key cold.
    fn warm(
        &self,
        name: &ModelName,
        model: &Arc<Model>,
        current: Option<&Revision>,
        is_read: bool,
    ) -> f64 {
        let begun = Instant::now();
        let hot = current.map(|current| current.recent().rows()).unwrap_or_default();
        let mut batch = Batch::new(Arc::clone(model), Options::default());
        let mut chunks = hot.chunks(WARM_ROWS);
        let first = chunks.next().unwrap_or_default();
        let (mut asked, mut ns_per_row) = ask(&mut batch, first, current);
        // The first time everything is cold, and at any time another process may have its turn.
        for _ in 0..2 {
            ns_per_row = ask(&mut batch, first, current).1.min(ns_per_row);
        }
        let cost = Cost::new(ns_per_row);
        while asked > 0 {
            let cache = self.cache.as_ref().filter(|_| is_read);
            let kept = cache.map_or(0, |cache| cache.fill(name, &batch, &cost));
            self.metrics.warmed(name, model.digest(), "kept", kept);
            self.metrics.warmed(name, model.digest(), "scored", asked - kept);
            let next = chunks.next().filter(|_| begun.elapsed() < WARM_TIME);
            asked = next.map_or(0, |rows| ask(&mut batch, rows, current).0);
        }
        ns_per_row
    }

    /// Removes artifacts that no deployment names any more, parked or not: of each, those of its warm
    /// revisions stay, and those that were loaded last.
    fn clear_away(&self) {
        let (mut wanted, keep) = (BTreeSet::new(), self.live.load().keep_revisions);
        let states = self.deployments.all().into_iter().map(|deployment| deployment.state());
        for state in states.chain(self.deployments.parked().into_values()) {
            let mut known: Vec<_> = state.known.iter().collect();
            known.sort_by_key(|known| std::cmp::Reverse((known.loaded_at, known.number)));
            wanted.extend(known.iter().take(keep).map(|known| known.digest));
            let warm = known.iter().filter(|known| known.state != RevisionState::Retired);
            wanted.extend(warm.map(|known| known.digest));
        }
        self.store.retain(&wanted);
    }
}

/// Scores rows of `current`, or some without values where there are none that the model can read. How
/// many of the rows it has scored, and what one took, in nanoseconds.
fn ask(batch: &mut Batch, rows: &[Box<[f64]>], current: Option<&Revision>) -> (usize, f64) {
    batch.clear();
    if let Some(current) = current {
        rows.iter().for_each(|row| push(batch, row, 0.0, current.model()));
    }
    let asked = batch.len();
    if batch.is_empty() {
        (0..EMPTY_ROWS).for_each(|_| push_empty(batch));
    }
    let begun = Instant::now();
    batch.score();
    (asked, begun.elapsed().as_nanos() as f64 / batch.len() as f64)
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
