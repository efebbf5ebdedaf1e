//! A name under which a model answers, and the models that did so before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use stemson_mojo::{Digest, Model};

use crate::compat::{Difference, differences};
use crate::name::ModelName;
use crate::revision::Revision;
use crate::selector::{Alias, ResolveError, Selector};

/// The revisions of one name: the current one answers, the previous one is kept warm.
///
/// Readers take one pointer and see a current and a previous revision that belong together.
/// Changes come one after another.
#[derive(Debug)]
pub struct Deployment {
    name: ModelName,
    warm: ArcSwap<Warm>,
    history: Mutex<History>,
}

/// The revisions that can answer.
#[derive(Debug, Clone)]
pub struct Warm {
    /// Answers those who ask for no version.
    pub current: Arc<Revision>,
    /// Answered before; one pointer away.
    pub previous: Option<Arc<Revision>>,
}

#[derive(Debug, Default)]
struct History {
    /// In the order of their numbers: number `n` stands at `n - 1`.
    known: Vec<KnownRevision>,
    /// The newest last, at most [`EVENTS_MAX`].
    events: Vec<Event>,
}

/// Events that a deployment remembers.
const EVENTS_MAX: usize = 1_000;

/// A revision that the deployment had at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRevision {
    /// Its number: 1, 2, ...
    pub number: u64,
    /// Its identity.
    pub digest: Digest,
    /// Whether it can answer.
    pub state: RevisionState,
    /// When it was loaded last.
    pub loaded_at: SystemTime,
    /// Who brought it last.
    pub by: String,
}

/// What a revision does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionState {
    /// Answers.
    Current,
    /// Warm, for a rollback.
    Previous,
    /// Its memory is freed.
    Retired,
}

impl RevisionState {
    /// The word: `current`, `previous`, `retired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }
}

/// A change of the current revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
    /// Number of the revision before; none for the first one.
    pub from: Option<u64>,
    /// Number of the revision after.
    pub to: u64,
    /// Who.
    pub by: String,
}

/// How the current revision changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The deployment began.
    Deploy,
    /// An artifact was swapped in.
    Swap,
    /// A warm revision was made current again.
    Rollback,
}

impl EventKind {
    /// The word: `deploy`, `swap`, `rollback`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
        }
    }
}

/// A model that is loaded and warmed, about to be published.
#[derive(Debug)]
pub struct Candidate {
    /// The model.
    pub model: Arc<Model>,
    /// What a row took while it was warmed, in nanoseconds.
    pub ns_per_row: f64,
}

/// Who changes a deployment, and when.
#[derive(Debug, Clone)]
pub struct Change {
    /// Now.
    pub at: SystemTime,
    /// Who, for the log.
    pub by: String,
    /// Whether callers may have to send or read something else from now on.
    pub allow_schema_change: bool,
}

/// What came of a change.
#[derive(Debug)]
#[must_use = "the retired revision is freed by whoever holds it"]
pub struct Swap {
    /// Whether anything changed.
    pub outcome: Outcome,
    /// The revisions that are warm now.
    pub warm: Arc<Warm>,
    /// The revision that lost its place. Freeing it may take long: not on the reactor.
    pub retired: Option<Arc<Revision>>,
}

/// Whether a change changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The first revision of a new deployment.
    Deployed,
    /// Another revision is current now.
    Swapped,
    /// A warm revision is current again.
    RolledBack,
    /// The revision was current already.
    Unchanged,
}

impl Outcome {
    /// The word: `deployed`, `swapped`, `rolled_back`, `unchanged`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Swapped => "swapped",
            Self::RolledBack => "rolled_back",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a candidate is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapRefusal {
    /// Callers would have to change.
    #[error(
        "the new model is not a drop-in for the current one: {}; \
         say allow_schema_change if callers are ready for it",
        list(.0)
    )]
    Schema(Vec<Difference>),
}

/// Why nothing was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackRefusal {
    /// There was no swap yet.
    #[error("there is no previous revision to roll back to")]
    NoPrevious,
    /// The wanted revision cannot answer.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

fn list(differences: &[Difference]) -> String {
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl Deployment {
    /// A deployment whose first revision is `candidate`.
    pub fn new(name: ModelName, candidate: Candidate, change: Change) -> Self {
        let mut history = History::default();
        let current = Arc::new(history.admit(candidate, &change));
        history.record(EventKind::Deploy, None, current.number(), change);
        let warm = ArcSwap::from_pointee(Warm { current, previous: None });
        Self { name, warm, history: Mutex::new(history) }
    }

    /// The name.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// The revision that answers now.
    pub fn current(&self) -> Arc<Revision> {
        Arc::clone(&self.warm.load().current)
    }

    /// The revisions that can answer now.
    pub fn warm(&self) -> Arc<Warm> {
        self.warm.load_full()
    }

    /// The warm revision that a caller names.
    pub fn resolve(&self, selector: &Selector) -> Result<Arc<Revision>, ResolveError> {
        let warm = self.warm.load();
        if *selector == Selector::Alias(Alias::Stable) {
            return Ok(Arc::clone(&warm.current));
        }
        if let Selector::Number(number) = selector
            && let Some(found) = warm.revisions().find(|revision| revision.number() == *number)
        {
            return Ok(Arc::clone(found));
        }
        let history = self.history();
        let mut meant =
            history.known.iter().filter(|known| selector.means(known.number, &known.digest));
        let found = meant.next().ok_or_else(|| ResolveError::Unknown(selector.clone()))?;
        if meant.next().is_some() {
            return Err(ResolveError::Ambiguous(selector.clone()));
        }
        warm.find(&found.digest)
            .ok_or(ResolveError::Retired { number: found.number, digest: found.digest })
    }

    /// Makes `candidate` current, and keeps what was current warm.
    ///
    /// A candidate whose digest is current changes nothing. One whose digest is known keeps its
    /// number: A, B, A is 1, 2, 1.
    pub fn swap(&self, candidate: Candidate, change: Change) -> Result<Swap, SwapRefusal> {
        let mut history = self.history();
        let before = self.warm.load_full();
        let digest = candidate.model.digest();
        if digest == before.current.digest() {
            return Ok(Swap { outcome: Outcome::Unchanged, warm: before, retired: None });
        }
        if !change.allow_schema_change {
            let found = differences(before.current.model(), &candidate.model);
            if !found.is_empty() {
                return Err(SwapRefusal::Schema(found));
            }
        }
        let current = match before.find(&digest) {
            Some(warm) => warm,
            None => Arc::new(history.admit(candidate, &change)),
        };
        Ok(self.publish(&mut history, &before, current, Outcome::Swapped, change))
    }

    /// Makes a warm revision current again: the previous one, or the one that `to` names.
    ///
    /// If it is current already, nothing changes.
    pub fn rollback(&self, to: Option<&Selector>, change: Change) -> Result<Swap, RollbackRefusal> {
        let wanted = match to {
            Some(selector) => Some(self.resolve(selector)?),
            None => None,
        };
        let mut history = self.history();
        let before = self.warm.load_full();
        let wanted = match wanted {
            // Resolved before the lock: it may have been retired since.
            Some(wanted) => before.find(&wanted.digest()).ok_or(ResolveError::Retired {
                number: wanted.number(),
                digest: wanted.digest(),
            })?,
            None => before.previous.clone().ok_or(RollbackRefusal::NoPrevious)?,
        };
        if wanted.digest() == before.current.digest() {
            return Ok(Swap { outcome: Outcome::Unchanged, warm: before, retired: None });
        }
        Ok(self.publish(&mut history, &before, wanted, Outcome::RolledBack, change))
    }

    /// All revisions that the deployment ever had, by number.
    pub fn revisions(&self) -> Vec<KnownRevision> {
        let history = self.history();
        let warm = self.warm.load();
        let mut known = history.known.clone();
        for revision in &mut known {
            revision.state = warm.state(&revision.digest);
        }
        known
    }

    /// The changes of the current revision, the newest last.
    pub fn events(&self) -> Vec<Event> {
        self.history().events.clone()
    }

    fn publish(
        &self,
        history: &mut History,
        before: &Warm,
        current: Arc<Revision>,
        outcome: Outcome,
        change: Change,
    ) -> Swap {
        let kind = match outcome {
            Outcome::RolledBack => EventKind::Rollback,
            Outcome::Deployed => EventKind::Deploy,
            Outcome::Swapped | Outcome::Unchanged => EventKind::Swap,
        };
        history.record(kind, Some(before.current.number()), current.number(), change);
        let is_current = |revision: &Arc<Revision>| revision.digest() == current.digest();
        let retired = before.previous.clone().filter(|previous| !is_current(previous));
        let previous = Some(Arc::clone(&before.current));
        let warm = Arc::new(Warm { current, previous });
        self.warm.store(Arc::clone(&warm));
        Swap { outcome, warm, retired }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warm {
    /// Both, the current one first.
    pub fn revisions(&self) -> impl Iterator<Item = &Arc<Revision>> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    fn find(&self, digest: &Digest) -> Option<Arc<Revision>> {
        self.revisions().find(|revision| revision.digest() == *digest).cloned()
    }

    fn state(&self, digest: &Digest) -> RevisionState {
        if self.current.digest() == *digest {
            RevisionState::Current
        } else if self.find(digest).is_some() {
            RevisionState::Previous
        } else {
            RevisionState::Retired
        }
    }
}

impl History {
    /// Gives the candidate its number: the one it had, or the next.
    fn admit(&mut self, candidate: Candidate, change: &Change) -> Revision {
        let digest = candidate.model.digest();
        let at = match self.known.iter().position(|known| known.digest == digest) {
            Some(at) => at,
            None => {
                self.known.push(KnownRevision {
                    number: self.known.len() as u64 + 1,
                    digest,
                    state: RevisionState::Retired,
                    loaded_at: change.at,
                    by: String::new(),
                });
                self.known.len() - 1
            }
        };
        let known = &mut self.known[at];
        known.loaded_at = change.at;
        known.by.clone_from(&change.by);
        let Candidate { model, ns_per_row } = candidate;
        Revision::new(known.number, model, ns_per_row, change.at, change.by.clone())
    }

    fn record(&mut self, kind: EventKind, from: Option<u64>, to: u64, change: Change) {
        if self.events.len() == EVENTS_MAX {
            self.events.remove(0);
        }
        let Change { at, by, allow_schema_change: _ } = change;
        self.events.push(Event { at, kind, from, to, by });
    }
}
