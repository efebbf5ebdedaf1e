//! The prediction cache: which answers are kept, for how long, and who computes those that are not.
//!
//! - [`Namespace`] and [`Key`]: a key is the digest of the artifact, what was asked, and the bits of
//!   the raw row. A new revision has new keys, so nothing is ever flushed and nothing is ever stale.
//! - [`AnswerStore`]: answers in memory, within a bound of bytes.
//! - [`sealed`] and [`opened`]: answers on their way through a store that may lie.
//! - [`Flights`]: of equal requests at the same time one computes, the others wait for it.
//! - [`Breaker`], [`Worth`]: when a store is not asked at all, since it is down or dearer than
//!   computing.
//! - [`is_early_refresh`]: when an answer that ages is computed anew before it expires.

mod breaker;
mod early;
mod flight;
mod key;
mod seal;
mod store;
mod worth;

pub use breaker::{Breaker, BreakerState};
pub use early::is_early_refresh;
pub use flight::{Flights, Follow, Lead, Lost, Ticket};
pub use key::{Key, Namespace};
pub use seal::{Damaged, opened, sealed};
pub use store::{AnswerStore, StoreSize};
pub use worth::{Tiers, Worth};

/// What [`flight`] shares between threads; its tests put a scheduler in this place.
mod sync {
    pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
}

#[cfg(test)]
mod modelled;

/// A point in time to count from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "there is no other way to a first one")]
fn some_time() -> std::time::Instant {
    std::time::Instant::now()
}
