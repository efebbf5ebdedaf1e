//! Decides which revision answers, and whether a request may start.
//!
//! Never reads a clock, never sleeps, never does I/O, has no threads: events and `now` come in,
//! verdicts and effects go out. `server` is the dull driver around it.
//!
//! - [`Deployments`] -> [`Deployment`] -> [`Revision`]: names under which models answer. A request
//!   takes one [`Revision`] and keeps it; a swap writes to the [`Journal`], then publishes a pointer.
//! - [`Trial`]: whether a canary is as good as the current revision, by what both have answered.
//! - [`cache`]: which answers are kept, and who computes those that are not.
//! - [`Gate`]: admission by deadline, from the [`Cost`] that each revision has shown.
//! - [`FairQueue`]: the order in which admitted work of several models is done, by weight.
//! - [`Quota`]: how often one caller may ask.

pub mod cache;
mod canary;
mod compat;
mod cost;
mod deployment;
mod deployments;
mod fair;
mod gate;
mod history;
#[cfg(test)]
mod modelled;
mod name;
mod prediction;
mod published;
mod quota;
mod recent;
mod revision;
mod selector;

mod sync {
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    pub(crate) use arc_swap::ArcSwap as Pointer;
}

pub use canary::{Alarm, Answered, Arm, Counts, Seen, Share, Trial, TrialLimits};
pub use compat::{Difference, differences};
pub use cost::Cost;
pub use deployment::{
    Canary, Candidate, Change, Chosen, Deployment, EVENTS_MAX, Outcome, RollbackRefusal, Swap,
    SwapRefusal, Warm,
};
pub use deployments::Deployments;
pub use fair::FairQueue;
pub use gate::{Gate, ShedReason, Verdict, Work};
pub use history::{
    DeploymentState, Event, EventKind, Journal, JournalError, KnownRevision, RevisionState,
    Volatile,
};
pub use name::{ModelName, ParseModelNameError};
pub use prediction::{PredictionRecord, PredictionSink};
pub use quota::Quota;
pub use recent::Recent;
pub use revision::{Prepared, Revision};
pub use selector::{Alias, ParseSelectorError, ResolveError, Selector};
