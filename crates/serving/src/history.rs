//! What a deployment remembers, and what of it must survive the process.

use std::fmt;
use std::time::SystemTime;

use stemson_mojo::Digest;

use crate::canary::Share;
use crate::name::ModelName;

/// A revision that the deployment had at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRevision {
    /// Its number: 1, 2, ...
    pub number: u64,
    /// Its identity.
    pub digest: Digest,
    /// What it does.
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
    /// Answers a share of the requests.
    Canary,
    /// Is asked too, and only compared.
    Shadow,
    /// Its memory is freed.
    Retired,
}

impl RevisionState {
    /// The word: `current`, `previous`, `canary`, `shadow`, `retired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Retired => "retired",
        }
    }
}

/// A change of what answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
    /// Number of the revision that did before what `to` does now, if there was one.
    pub from: Option<u64>,
    /// Number of the revision after.
    pub to: u64,
    /// Who.
    pub by: String,
    /// Why, where somebody said so.
    pub note: Option<String>,
}

/// How it changed what answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The deployment began.
    Deploy,
    /// An artifact was swapped in.
    Swap,
    /// A revision of before was made current again.
    Rollback,
    /// `to` got a share of the requests of `from`.
    Canary,
    /// The canary became current.
    Promote,
    /// The canary `from` lost its share; `to` answers everybody again.
    Abort,
    /// `to` is asked too.
    Shadow,
    /// The shadow `from` is asked no more.
    ShadowStop,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Deploy,
        Self::Swap,
        Self::Rollback,
        Self::Canary,
        Self::Promote,
        Self::Abort,
        Self::Shadow,
        Self::ShadowStop,
    ];

    /// The word: `deploy`, `swap`, `rollback`, `canary`, `promote`, `abort`, `shadow`,
    /// `shadow_stop`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Swap => "swap",
            Self::Rollback => "rollback",
            Self::Canary => "canary",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Shadow => "shadow",
            Self::ShadowStop => "shadow_stop",
        }
    }
}

/// What must survive of a deployment: which artifacts it knows, and what each does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentState {
    /// In the order of their numbers: number `n` stands at `n - 1`.
    pub known: Vec<KnownRevision>,
    /// Number of the revision that answers.
    pub current: u64,
    /// Number of the one before it.
    pub previous: Option<u64>,
    /// Number of the canary, and its share.
    pub canary: Option<(u64, Share)>,
    /// Number of the shadow.
    pub shadow: Option<u64>,
}

impl DeploymentState {
    /// A known revision by its number.
    pub fn revision(&self, number: u64) -> Option<&KnownRevision> {
        self.known.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// What the revision does.
    pub fn state(&self, number: u64) -> RevisionState {
        if number == self.current {
            RevisionState::Current
        } else if self.canary.is_some_and(|(canary, _)| canary == number) {
            RevisionState::Canary
        } else if self.shadow == Some(number) {
            RevisionState::Shadow
        } else if self.previous == Some(number) {
            RevisionState::Previous
        } else {
            RevisionState::Retired
        }
    }
}

/// Where changes are written before anybody sees them.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Keeps `state` and `event`, both or neither. Once this says `Ok`, they survive the process.
    fn record(
        &self,
        name: &ModelName,
        state: &DeploymentState,
        event: &Event,
    ) -> Result<(), JournalError>;
}

/// A change could not be kept, so it was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change cannot be kept, so it is not made: {0}")]
pub struct JournalError(pub String);

/// Keeps nothing: for those who begin anew each time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Volatile;

impl Journal for Volatile {
    fn record(&self, _: &ModelName, _: &DeploymentState, _: &Event) -> Result<(), JournalError> {
        Ok(())
    }
}
