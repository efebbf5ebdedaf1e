//! Single-flight: of equal requests at the same time one leads, the others follow.
//!
//! Whoever leads promises a value, and owes it to whoever follows: not to itself. It may go away, if
//! its work goes on elsewhere with the [`Lead`] in it. A lead that is dropped without a value,
//! as when the work panics, tells so to all that follow. What failed is forgotten at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is being computed, by key.
///
/// Locks are held for a few instructions, never while something is computed or waited for.
#[derive(Debug)]
pub struct Flights<K, V> {
    shards: Vec<Mutex<HashMap<K, Arc<Flight<V>>>>>,
    hasher: RandomState,
}

/// One computation.
#[derive(Debug)]
struct Flight<V> {
    state: Mutex<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    outcome: Option<Result<V, Lost>>,
    /// Those who follow, by number; a waker once they wait.
    followers: Vec<(u64, Option<Waker>)>,
    next: u64,
}

/// A flight ended without a value: the work was dropped in the middle, as by a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the computation was dropped in the middle")]
pub struct Lost;

/// The part that somebody has in a key.
#[derive(Debug)]
pub enum Ticket<K: Eq + Hash + Clone, V: Clone> {
    /// There was a value already.
    Known(V),
    /// To compute it, and tell.
    Lead(Lead<K, V>),
    /// To wait for it.
    Follow(Follow<V>),
}

/// The duty to bring a value. Dropped without one, all that follow get [`Lost`].
#[derive(Debug)]
pub struct Lead<K: Eq + Hash + Clone, V: Clone> {
    flights: Arc<Flights<K, V>>,
    key: K,
    flight: Arc<Flight<V>>,
    is_over: bool,
}

/// A future of the leader's value; dropping it is free.
#[derive(Debug)]
pub struct Follow<V> {
    flight: Arc<Flight<V>>,
    number: u64,
}

/// Enough for a few dozen threads.
const SHARDS: usize = 16;

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// Nothing under way.
    pub fn new() -> Arc<Self> {
        Self::with_shards(SHARDS)
    }

    pub(super) fn with_shards(shards: usize) -> Arc<Self> {
        let shards = (0..shards).map(|_| Mutex::new(HashMap::new())).collect();
        Arc::new(Self { shards, hasher: RandomState::new() })
    }

    /// Follows the flight of a key, or leads a new one.
    ///
    /// `known` looks once more where values are kept. It is asked with the key locked, if nobody
    /// leads: a leader keeps its value before it lands, so that between a look into the store
    /// before this call and this one no value can slip through, and be computed twice.
    pub fn join(self: &Arc<Self>, key: K, known: impl FnOnce() -> Option<V>) -> Ticket<K, V> {
        let mut shard = self.shard(&key);
        match shard.entry(key.clone()) {
            Entry::Occupied(entry) => {
                let flight = Arc::clone(entry.get());
                let number = flight.follow();
                Ticket::Follow(Follow { flight, number })
            }
            Entry::Vacant(entry) => {
                if let Some(value) = known() {
                    return Ticket::Known(value);
                }
                let flight = Arc::new(Flight::new());
                entry.insert(Arc::clone(&flight));
                drop(shard);
                Ticket::Lead(Lead { flights: Arc::clone(self), key, flight, is_over: false })
            }
        }
    }

    /// Keys that are being computed.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether nothing is being computed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Arc<Flight<V>>>> {
        let place = self.hasher.hash_one(key) as usize % self.shards.len();
        lock(&self.shards[place])
    }
}

impl<V: Clone> Flight<V> {
    fn new() -> Self {
        let state = State { outcome: None, followers: Vec::new(), next: 0 };
        Self { state: Mutex::new(state) }
    }

    fn follow(&self) -> u64 {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.followers.push((number, None));
        number
    }

    fn end(&self, outcome: Result<V, Lost>) {
        let followers = {
            let mut state = lock(&self.state);
            state.outcome = Some(outcome);
            std::mem::take(&mut state.followers)
        };
        followers.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Lead<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// One more who follows: the leader itself, where the work goes on without it.
    pub fn follow(&self) -> Follow<V> {
        Follow { number: self.flight.follow(), flight: Arc::clone(&self.flight) }
    }

    /// How many wait for the value now.
    pub fn followers(&self) -> usize {
        lock(&self.flight.state).followers.len()
    }

    /// Brings the value. What shall be found later is kept already: see [`Flights::join`].
    pub fn land(mut self, value: V) {
        self.end(Ok(value));
    }

    /// Ends the flight if nobody follows; else the work has to go on, and the lead comes back.
    #[must_use]
    pub fn leave_if_alone(mut self) -> Option<Self> {
        let flights = Arc::clone(&self.flights);
        let mut shard = flights.shard(&self.key);
        // Nobody can join while the shard is locked.
        if !lock(&self.flight.state).followers.is_empty() {
            drop(shard);
            return Some(self);
        }
        shard.remove(&self.key);
        drop(shard);
        self.is_over = true;
        None
    }

    fn end(&mut self, outcome: Result<V, Lost>) {
        self.is_over = true;
        drop(self.flights.shard(&self.key).remove(&self.key));
        self.flight.end(outcome);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Lead<K, V> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Err(Lost));
        }
    }
}

impl<V: Clone> Future for Follow<V> {
    type Output = Result<V, Lost>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.flight.state);
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let place = state.followers.iter_mut().find(|(number, _)| *number == self.number);
        if let Some((_, waker)) = place {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl<V> Drop for Follow<V> {
    fn drop(&mut self) {
        let mut state = lock(&self.flight.state);
        state.followers.retain(|(number, _)| *number != self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
