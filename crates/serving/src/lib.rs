//! Decides which revision answers, and whether a request may start.
//!
//! Never reads a clock, never sleeps, never does I/O, has no threads: events and `now` come in,
//! verdicts and effects go out. `server` is the dull driver around it.
//!
//! - [`Deployments`] -> [`Deployment`] -> [`Revision`]: names under which models answer. A request
//!   takes one [`Revision`] and keeps it; a swap publishes a pointer.
//! - [`cache`]: which answers are kept, and who computes those that are not.
//! - [`Gate`]: admission by deadline, from the [`Cost`] that each revision has shown.
//! - [`Quota`]: how often one caller may ask.

pub mod cache;
mod compat;
mod cost;
mod deployment;
mod deployments;
mod gate;
mod name;
mod quota;
mod revision;
mod selector;

pub use compat::{Difference, differences};
pub use cost::Cost;
pub use deployment::{
    Candidate, Change, Deployment, Event, EventKind, KnownRevision, Outcome, RevisionState,
    RollbackRefusal, Swap, SwapRefusal, Warm,
};
pub use deployments::Deployments;
pub use gate::{Gate, ShedReason, Verdict, Work};
pub use name::{ModelName, ParseModelNameError};
pub use quota::Quota;
pub use revision::Revision;
pub use selector::{Alias, ParseSelectorError, ResolveError, Selector};
