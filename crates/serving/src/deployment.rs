//! A name under which a model answers, and the models that did so before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stemson_mojo::{Digest, Model};

use crate::canary::{Alarm, Arm, Seen, Share, Trial, TrialLimits};
use crate::compat::{Difference, differences};
use crate::history::{
    DeploymentState, Event, EventKind, Journal, JournalError, KnownRevision, RevisionState,
};
use crate::name::ModelName;
use crate::published::Published;
use crate::revision::{Prepared, Revision};
use crate::selector::{Alias, ResolveError, Selector};

/// The revisions of one name: the current one answers, the previous one is kept warm, a canary may
/// answer a share, a shadow may be asked too.
///
/// Readers take one pointer and see revisions that belong together. Changes come one after another;
/// each is in the journal before anybody sees it.
#[derive(Debug)]
pub struct Deployment {
    name: ModelName,
    published: Published<Warm, ()>,
    journal: Arc<dyn Journal>,
}

/// The revisions that can answer.
#[derive(Debug, Clone)]
pub struct Warm {
    /// Answers those who ask for no version.
    pub current: Arc<Revision>,
    /// Answered before; one pointer away.
    pub previous: Option<Arc<Revision>>,
    /// Answers a share of those who ask for no version.
    pub canary: Option<Arc<Canary>>,
    /// Is asked too, and only compared.
    pub shadow: Option<Arc<Revision>>,
    /// Behind the pointer too, so that nobody who asks for it waits for a change, which takes the
    /// journal's time.
    past: Arc<Past>,
}

/// A revision on trial.
#[derive(Debug)]
pub struct Canary {
    revision: Arc<Revision>,
    share: Share,
    trial: Mutex<Trial>,
    /// From the alarm until the change is made, which takes the journal's time.
    is_stopped: AtomicBool,
}

impl Canary {
    fn new(revision: Arc<Revision>, share: Share, limits: TrialLimits) -> Self {
        let trial = Mutex::new(Trial::new(limits));
        Self { revision, share, trial, is_stopped: AtomicBool::new(false) }
    }

    /// The revision.
    pub fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// Its share of the requests.
    pub fn share(&self) -> Share {
        self.share
    }

    /// What was seen so far.
    pub fn trial(&self) -> Trial {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Trial> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes(&self, key: u64) -> bool {
        let digest = self.revision.digest();
        let salt = digest.as_bytes().iter().take(8);
        let salt = salt.fold(0, |salt, byte| salt << 8 | u64::from(*byte));
        !self.is_stopped.load(Ordering::Relaxed) && self.share.takes(key, salt)
    }
}

/// The revision that answers a request, and who wants to know what became of it.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Answers.
    pub revision: Arc<Revision>,
    /// Is to be asked too, and only compared.
    pub shadow: Option<Arc<Revision>>,
    trial: Option<(Arc<Canary>, Arm)>,
}

impl Chosen {
    /// A revision that the caller named: no trial, no shadow.
    pub fn named(revision: Arc<Revision>) -> Self {
        Self { revision, shadow: None, trial: None }
    }

    /// Whether [`Chosen::observe`] is worth the measuring.
    pub fn is_observed(&self) -> bool {
        self.trial.is_some()
    }

    /// Says what became of the request. The first alarm of a canary takes its share at once; whoever
    /// gets it calls [`Deployment::abort`] to make that last.
    pub fn observe(&self, seen: &Seen) -> Option<Alarm> {
        let (canary, arm) = self.trial.as_ref()?;
        let alarm = canary.lock().observe(*arm, seen)?;
        (!canary.is_stopped.swap(true, Ordering::Relaxed)).then_some(alarm)
    }

    /// The digest of the canary that the request is compared for.
    pub fn canary(&self) -> Option<Digest> {
        self.trial.as_ref().map(|(canary, _)| canary.revision.digest())
    }
}

/// What there was.
#[derive(Debug)]
struct Past {
    /// By number.
    known: Vec<KnownRevision>,
    /// The newest last, at most [`EVENTS_MAX`].
    events: Vec<Event>,
}

/// Events that a deployment remembers.
pub const EVENTS_MAX: usize = 1_000;

/// A model that is loaded and warmed, about to be published.
#[derive(Debug)]
pub struct Candidate {
    /// The model.
    pub model: Arc<Model>,
    /// What a row took while it was warmed, in nanoseconds.
    pub ns_per_row: f64,
    /// What the front has made of it.
    pub prepared: Prepared,
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
#[must_use = "retired revisions are freed by whoever holds them"]
pub struct Swap {
    /// Whether anything changed.
    pub outcome: Outcome,
    /// The revisions that are warm now.
    pub warm: Arc<Warm>,
    /// Revisions that lost their place. Freeing them may take long: not on the reactor.
    pub retired: Vec<Arc<Revision>>,
}

/// Whether a change changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The first revision of a new deployment.
    Deployed,
    /// Another revision is current now.
    Swapped,
    /// A revision of before is current again.
    RolledBack,
    /// It was so already.
    Unchanged,
    /// A canary got its share.
    CanaryStarted,
    /// The canary is current now.
    Promoted,
    /// The canary lost its share.
    Aborted,
    /// A shadow is asked too.
    ShadowStarted,
    /// The shadow is asked no more.
    ShadowStopped,
}

impl Outcome {
    /// The word: `deployed`, `swapped`, `rolled_back`, `unchanged`, `canary_started`, `promoted`,
    /// `aborted`, `shadow_started`, `shadow_stopped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Swapped => "swapped",
            Self::RolledBack => "rolled_back",
            Self::Unchanged => "unchanged",
            Self::CanaryStarted => "canary_started",
            Self::Promoted => "promoted",
            Self::Aborted => "aborted",
            Self::ShadowStarted => "shadow_started",
            Self::ShadowStopped => "shadow_stopped",
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
    /// It answers everybody already.
    #[error("revision {number} ({digest}) is current: there is nothing to compare it with")]
    AlreadyCurrent {
        /// Its number in the deployment.
        number: u64,
        /// Its digest.
        digest: Digest,
    },
    /// There is nothing that it could be compared with.
    #[error("the model has no current revision yet: swap one in first")]
    NoCurrent,
    /// The change cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why nothing was rolled back, promoted or stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackRefusal {
    /// There was no swap yet.
    #[error("there is no previous revision to roll back to")]
    NoPrevious,
    /// No revision is on trial.
    #[error("the model has no canary")]
    NoCanary,
    /// No revision is compared.
    #[error("the model has no shadow")]
    NoShadow,
    /// The wanted revision cannot answer.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The change cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn list(differences: &[Difference]) -> String {
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// A change that is decided and not yet made.
struct Plan {
    warm: Warm,
    known: Vec<KnownRevision>,
    outcome: Outcome,
    kind: EventKind,
    from: Option<u64>,
    to: u64,
    note: Option<String>,
}

impl Deployment {
    /// A deployment whose first revision is `candidate`.
    pub fn new(
        name: ModelName,
        candidate: Candidate,
        change: Change,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, JournalError> {
        let mut known = Vec::new();
        let current = Arc::new(admit(&mut known, candidate, &change));
        let event = event(EventKind::Deploy, None, current.number(), None, change);
        let mut warm = Warm::only(current);
        let state = warm.state(known);
        journal.record(&name, &state, &event)?;
        warm.past = Arc::new(Past { known: state.known, events: vec![event] });
        Ok(Self { name, published: Published::new(warm, ()), journal })
    }

    /// A deployment as the journal had it last. `models`: by number, those that can be warm again;
    /// none without that of the current revision.
    pub fn restore(
        name: ModelName,
        state: DeploymentState,
        events: Vec<Event>,
        mut models: BTreeMap<u64, Candidate>,
        limits: TrialLimits,
        journal: Arc<dyn Journal>,
    ) -> Option<Self> {
        let mut revision = |number: u64, warm: Option<&Warm>| {
            if let Some(found) = warm.and_then(|warm| warm.numbered(number)) {
                return Some(found);
            }
            let candidate = models.remove(&number)?;
            let known = state.revision(number)?;
            let (at, by) = (known.loaded_at, known.by.clone());
            Some(Arc::new(Revision::new(number, candidate, at, by)))
        };
        let mut warm = Warm::only(revision(state.current, None)?);
        warm.previous = state.previous.and_then(|number| revision(number, Some(&warm)));
        warm.canary = state.canary.and_then(|(number, share)| {
            Some(Arc::new(Canary::new(revision(number, Some(&warm))?, share, limits)))
        });
        warm.shadow = state.shadow.and_then(|number| revision(number, Some(&warm)));
        let known = warm.state(state.known).known;
        warm.past = Arc::new(Past { known, events });
        Some(Self { name, published: Published::new(warm, ()), journal })
    }

    /// The name.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// The revision that answers now.
    pub fn current(&self) -> Arc<Revision> {
        self.published.with(|warm| Arc::clone(&warm.current))
    }

    /// The revisions that can answer now.
    pub fn warm(&self) -> Arc<Warm> {
        self.published.load()
    }

    /// The revision for a request that names none. `key`: a hash of what names the request; equal
    /// keys meet the same revision while the canary stays the same.
    pub fn choose(&self, key: u64) -> Chosen {
        self.published.with(|warm| {
            let shadow = warm.shadow.clone();
            let Some(canary) = &warm.canary else {
                return Chosen { revision: Arc::clone(&warm.current), shadow, trial: None };
            };
            let (revision, arm) = if canary.takes(key) {
                (&canary.revision, Arm::Canary)
            } else {
                (&warm.current, Arm::Stable)
            };
            let trial = Some((Arc::clone(canary), arm));
            Chosen { revision: Arc::clone(revision), shadow, trial }
        })
    }

    /// The warm revision that a caller names.
    pub fn resolve(&self, selector: &Selector) -> Result<Arc<Revision>, ResolveError> {
        let warm = self.published.load();
        if let Selector::Number(number) = selector
            && let Some(found) = warm.numbered(*number)
        {
            return Ok(found);
        }
        if let Selector::Alias(alias) = selector {
            let found = match alias {
                Alias::Stable => Some(&warm.current),
                Alias::Canary => warm.canary.as_ref().map(|canary| &canary.revision),
                Alias::Shadow => warm.shadow.as_ref(),
            };
            return found.cloned().ok_or_else(|| ResolveError::Unknown(selector.clone()));
        }
        drop(warm);
        let found = self.known(selector)?;
        let retired = ResolveError::Retired { number: found.number, digest: found.digest };
        self.published.with(|warm| warm.find(&found.digest)).ok_or(retired)
    }

    /// The revision that a caller names, warm or not.
    pub fn known(&self, selector: &Selector) -> Result<KnownRevision, ResolveError> {
        if let Selector::Alias(_) = selector {
            let digest = self.resolve(selector)?.digest();
            return self.known(&Selector::Digest(digest.to_string()));
        }
        let past = self.past();
        let mut meant =
            past.known.iter().filter(|known| selector.means(known.number, &known.digest));
        let found = meant.next().ok_or_else(|| ResolveError::Unknown(selector.clone()))?;
        if meant.next().is_some() {
            return Err(ResolveError::Ambiguous(selector.clone()));
        }
        Ok(found.clone())
    }

    /// Makes `candidate` current, and keeps what was current warm. A canary has nothing left to be
    /// compared with, and ends.
    ///
    /// A candidate whose digest is current changes nothing. One whose digest is known keeps its
    /// number: A, B, A is 1, 2, 1.
    pub fn swap(&self, candidate: Candidate, change: Change) -> Result<Swap, SwapRefusal> {
        self.bring(candidate, EventKind::Swap, change)
    }

    /// Makes `candidate`, a revision of before, current again; no questions asked of its schema.
    pub fn bring_back(&self, candidate: Candidate, change: Change) -> Result<Swap, SwapRefusal> {
        self.bring(candidate, EventKind::Rollback, change)
    }

    fn bring(
        &self,
        candidate: Candidate,
        kind: EventKind,
        change: Change,
    ) -> Result<Swap, SwapRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        if candidate.model.digest() == before.current.digest() {
            return Ok(Swap::unchanged(before));
        }
        if kind == EventKind::Swap {
            drop_in(&before, &candidate, &change)?;
        }
        let mut known = before.past.known.clone();
        let current = before.or_admit(&mut known, candidate, &change);
        Ok(self.commit(turn, &before, before.succeed(current, known, kind), change)?)
    }

    /// Makes a warm revision current again: the previous one, or the one that `to` names. A canary
    /// has nothing left to be compared with, and ends.
    ///
    /// If it is current already, nothing changes.
    pub fn rollback(&self, to: Option<&Selector>, change: Change) -> Result<Swap, RollbackRefusal> {
        let wanted = match to {
            Some(selector) => Some(self.resolve(selector)?),
            None => None,
        };
        let turn = self.published.notes();
        let before = self.published.load();
        let wanted = match wanted {
            // Resolved before the lock: it may have been retired since.
            Some(wanted) => before.find(&wanted.digest()).ok_or(ResolveError::Retired {
                number: wanted.number(),
                digest: wanted.digest(),
            })?,
            None => before.previous.clone().ok_or(RollbackRefusal::NoPrevious)?,
        };
        if wanted.digest() == before.current.digest() {
            return Ok(Swap::unchanged(before));
        }
        let known = before.past.known.clone();
        let plan = before.succeed(wanted, known, EventKind::Rollback);
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// Gives `candidate` a share of the requests; takes the place of a canary that is there.
    pub fn start_canary(
        &self,
        candidate: Candidate,
        share: Share,
        limits: TrialLimits,
        change: Change,
    ) -> Result<Swap, SwapRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        let known = before.past.known.clone();
        let (revision, known) = before.admit_beside(known, candidate, &change)?;
        let to = revision.number();
        let canary = Some(Arc::new(Canary::new(revision, share, limits)));
        let plan = Plan {
            warm: Warm { canary, ..Warm::clone(&before) },
            known,
            outcome: Outcome::CanaryStarted,
            kind: EventKind::Canary,
            from: Some(before.current.number()),
            to,
            note: Some(format!("share {}", share.ratio())),
        };
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// Makes the canary current.
    pub fn promote(&self, change: Change) -> Result<Swap, RollbackRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        let canary = before.canary.as_ref().ok_or(RollbackRefusal::NoCanary)?;
        let known = before.past.known.clone();
        let plan = before.succeed(Arc::clone(&canary.revision), known, EventKind::Promote);
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// Takes the canary's share away.
    ///
    /// `digest`: whom the caller means; another canary that has come meanwhile is left alone.
    pub fn abort(
        &self,
        digest: Option<Digest>,
        why: Option<String>,
        change: Change,
    ) -> Result<Swap, RollbackRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        let canary = before.canary.as_ref().ok_or(RollbackRefusal::NoCanary)?;
        if digest.is_some_and(|digest| digest != canary.revision.digest()) {
            return Err(RollbackRefusal::NoCanary);
        }
        let plan = Plan {
            warm: Warm { canary: None, ..Warm::clone(&before) },
            known: before.past.known.clone(),
            outcome: Outcome::Aborted,
            kind: EventKind::Abort,
            from: Some(canary.revision.number()),
            to: before.current.number(),
            note: why,
        };
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// Has `candidate` asked too; takes the place of a shadow that is there.
    pub fn start_shadow(&self, candidate: Candidate, change: Change) -> Result<Swap, SwapRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        let known = before.past.known.clone();
        let (revision, known) = before.admit_beside(known, candidate, &change)?;
        let plan = Plan {
            known,
            outcome: Outcome::ShadowStarted,
            kind: EventKind::Shadow,
            from: before.shadow.as_ref().map(|shadow| shadow.number()),
            to: revision.number(),
            note: None,
            warm: Warm { shadow: Some(revision), ..Warm::clone(&before) },
        };
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// Asks the shadow no more.
    pub fn stop_shadow(&self, change: Change) -> Result<Swap, RollbackRefusal> {
        let turn = self.published.notes();
        let before = self.published.load();
        let shadow = before.shadow.as_ref().ok_or(RollbackRefusal::NoShadow)?;
        let plan = Plan {
            warm: Warm { shadow: None, ..Warm::clone(&before) },
            known: before.past.known.clone(),
            outcome: Outcome::ShadowStopped,
            kind: EventKind::ShadowStop,
            from: Some(shadow.number()),
            to: before.current.number(),
            note: None,
        };
        Ok(self.commit(turn, &before, plan, change)?)
    }

    /// All revisions that the deployment ever had, by number.
    pub fn revisions(&self) -> Vec<KnownRevision> {
        self.past().known.clone()
    }

    /// What must survive of it.
    pub fn state(&self) -> DeploymentState {
        let warm = self.warm();
        warm.state(warm.past.known.clone())
    }

    /// The changes, the newest last.
    pub fn events(&self) -> Vec<Event> {
        self.past().events.clone()
    }

    /// Journal first, pointer second: whoever has seen a revision answer finds it there again after
    /// a crash.
    fn commit(
        &self,
        turn: MutexGuard<'_, ()>,
        before: &Warm,
        plan: Plan,
        change: Change,
    ) -> Result<Swap, JournalError> {
        let Plan { mut warm, known, outcome, kind, from, to, note } = plan;
        let state = warm.state(known);
        let event = event(kind, from, to, note, change);
        let is_retired = |old: &&Arc<Revision>| warm.find(&old.digest()).is_none();
        let retired = before.revisions().filter(is_retired).cloned().collect();
        let old = &before.past.events;
        let mut events = old[old.len().saturating_sub(EVENTS_MAX - 1)..].to_vec();
        events.push(event.clone());
        let known = state.known.clone();
        warm.past = Arc::new(Past { known, events });
        let write = |(): &mut ()| self.journal.record(&self.name, &state, &event);
        let warm = self.published.publish(turn, warm, write)?;
        Ok(Swap { outcome, warm, retired })
    }

    fn past(&self) -> Arc<Past> {
        self.published.with(|warm| Arc::clone(&warm.past))
    }
}

impl Swap {
    fn unchanged(warm: Arc<Warm>) -> Self {
        Self { outcome: Outcome::Unchanged, warm, retired: Vec::new() }
    }
}

impl Warm {
    fn only(current: Arc<Revision>) -> Self {
        let past = Arc::new(Past { known: Vec::new(), events: Vec::new() });
        Self { current, previous: None, canary: None, shadow: None, past }
    }

    /// All of them, the current one first, each once: a previous one may be on trial, too.
    pub fn revisions(&self) -> impl Iterator<Item = &Arc<Revision>> {
        let canary = self.canary.as_ref().map(|canary| &canary.revision);
        let all = [Some(&self.current), self.previous.as_ref(), canary, self.shadow.as_ref()];
        let is_first = move |at: usize, revision: &Arc<Revision>| {
            all[..at].iter().flatten().all(|other| other.number() != revision.number())
        };
        let each = all.into_iter().enumerate();
        each.filter_map(move |(at, revision)| revision.filter(|revision| is_first(at, revision)))
    }

    /// The warm revision with this digest.
    pub fn find(&self, digest: &Digest) -> Option<Arc<Revision>> {
        self.revisions().find(|revision| revision.digest() == *digest).cloned()
    }

    /// What of it must survive.
    fn state(&self, known: Vec<KnownRevision>) -> DeploymentState {
        let mut state = DeploymentState {
            known,
            current: self.current.number(),
            previous: self.previous.as_ref().map(|previous| previous.number()),
            canary: self.canary.as_ref().map(|canary| (canary.revision.number(), canary.share)),
            shadow: self.shadow.as_ref().map(|shadow| shadow.number()),
        };
        for at in 0..state.known.len() {
            state.known[at].state = state.state(state.known[at].number);
        }
        state
    }

    fn numbered(&self, number: u64) -> Option<Arc<Revision>> {
        self.revisions().find(|revision| revision.number() == number).cloned()
    }

    /// The warm revision with the candidate's digest; else the candidate becomes one.
    fn or_admit(
        &self,
        known: &mut Vec<KnownRevision>,
        candidate: Candidate,
        change: &Change,
    ) -> Arc<Revision> {
        match self.find(&candidate.model.digest()) {
            Some(warm) => warm,
            None => Arc::new(admit(known, candidate, change)),
        }
    }

    /// A revision that will stand beside the current one.
    fn admit_beside(
        &self,
        mut known: Vec<KnownRevision>,
        candidate: Candidate,
        change: &Change,
    ) -> Result<(Arc<Revision>, Vec<KnownRevision>), SwapRefusal> {
        let digest = candidate.model.digest();
        if digest == self.current.digest() {
            return Err(SwapRefusal::AlreadyCurrent { number: self.current.number(), digest });
        }
        drop_in(self, &candidate, change)?;
        Ok((self.or_admit(&mut known, candidate, change), known))
    }

    /// What it becomes when `current` takes over.
    fn succeed(&self, current: Arc<Revision>, known: Vec<KnownRevision>, kind: EventKind) -> Plan {
        let (from, to) = (Some(self.current.number()), current.number());
        let is_other = |revision: &Arc<Revision>| revision.number() != to;
        let ends = self.canary.as_ref().filter(|canary| is_other(&canary.revision));
        let note = ends.map(|canary| format!("ends the canary {}", canary.revision.number()));
        let outcome = match kind {
            EventKind::Rollback => Outcome::RolledBack,
            EventKind::Promote => Outcome::Promoted,
            _ => Outcome::Swapped,
        };
        let warm = Self {
            current,
            previous: Some(Arc::clone(&self.current)),
            canary: None,
            shadow: self.shadow.clone().filter(is_other),
            past: Arc::clone(&self.past),
        };
        Plan { warm, known, outcome, kind, from, to, note }
    }
}

/// Whether callers need not know which of the two answers.
fn drop_in(before: &Warm, candidate: &Candidate, change: &Change) -> Result<(), SwapRefusal> {
    if change.allow_schema_change {
        return Ok(());
    }
    let found = differences(before.current.model(), &candidate.model);
    if found.is_empty() { Ok(()) } else { Err(SwapRefusal::Schema(found)) }
}

/// Gives the candidate its number: the one it had, or the next.
fn admit(known: &mut Vec<KnownRevision>, candidate: Candidate, change: &Change) -> Revision {
    let digest = candidate.model.digest();
    let at = match known.iter().position(|known| known.digest == digest) {
        Some(at) => at,
        None => {
            known.push(KnownRevision {
                number: known.len() as u64 + 1,
                digest,
                state: RevisionState::Current,
                loaded_at: change.at,
                by: String::new(),
            });
            known.len() - 1
        }
    };
    let known = &mut known[at];
    known.loaded_at = change.at;
    known.by.clone_from(&change.by);
    Revision::new(known.number, candidate, change.at, change.by.clone())
}

fn event(
    kind: EventKind,
    from: Option<u64>,
    to: u64,
    note: Option<String>,
    change: Change,
) -> Event {
    let Change { at, by, allow_schema_change: _ } = change;
    Event { at, kind, from, to, by, note }
}
