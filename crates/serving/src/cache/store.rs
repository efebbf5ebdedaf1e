//! Answers in memory: bounded in bytes, forgotten by how seldom they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::key::Key;

/// Answers by key, within a bound of bytes.
///
/// What is read rarely makes room first (S3-FIFO). An answer that nobody reads for the time to live
/// is gone; one that is read in the last tenth of it stays for another: it cannot be stale, and hot
/// keys never run out under their readers.
#[derive(Debug)]
pub struct AnswerStore {
    answers: Cache<Key, Kept, Bytes, RandomState, Evictions>,
    evictions: Arc<AtomicU64>,
    bytes_max: u64,
    ttl: Duration,
}

#[derive(Debug, Clone)]
struct Kept {
    answer: Arc<[u8]>,
    expires: Instant,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize {
    /// Answers, expired ones included that nobody has asked for since.
    pub entries: usize,
    /// Bytes of memory, all that belongs to an entry included.
    pub bytes: u64,
    /// Entries that made room for others, so far.
    pub evictions: u64,
}

/// Bytes of an entry beside its answer: twice the place in the list, as lists grow by doubling, and
/// its part of the table of places.
const ENTRY_BYTES: usize = 2 * (size_of::<Key>() + size_of::<Kept>() + 16) + 32;

/// Counters in front of shared bytes, and what the allocator adds and rounds up.
const SHARED_BYTES: usize = 32;

/// A guess, by which is laid out how many keys are remembered that have left.
const ANSWER_BYTES: u64 = 1_024;

/// Keys that are remembered, as a share of the entries there would be of that size.
const REMEMBERED: f64 = 0.25;

/// The part of the bound that they take.
const REMEMBERED_PART: u64 = 16;

impl AnswerStore {
    /// Of at most `bytes_max` bytes. `ttl`: how long an answer stays that nobody reads.
    pub fn new(bytes_max: u64, ttl: Duration) -> Self {
        let evictions = Arc::<AtomicU64>::default();
        // Building fails without a capacity only.
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes_max / ANSWER_BYTES) as usize)
            .ghost_allocation(REMEMBERED)
            .weight_capacity(bytes_max - bytes_max / REMEMBERED_PART)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are said"));
        let lifecycle = Evictions(Arc::clone(&evictions));
        let answers = Cache::with_options(options, Bytes, RandomState::default(), lifecycle);
        Self { answers, evictions, bytes_max, ttl }
    }

    /// The answer of a key.
    pub fn find(&self, key: &Key, now: Instant) -> Option<Arc<[u8]>> {
        let Kept { answer, expires } = self.answers.get(key)?;
        let left = expires.saturating_duration_since(now);
        if left.is_zero() {
            drop(self.answers.remove_if(key, |kept| kept.expires <= now));
            return None;
        }
        if left < self.ttl / 10 {
            self.keep(*key, Arc::clone(&answer), now);
        }
        Some(answer)
    }

    /// Keeps an answer, unless it is larger than a store of this size has places for.
    pub fn keep(&self, key: Key, answer: Arc<[u8]>, now: Instant) {
        // A time that the clock cannot hold is one that nobody lives to see.
        if let Some(expires) = now.checked_add(self.ttl) {
            self.answers.insert(key, Kept { answer, expires });
        }
    }

    /// What it holds now.
    pub fn size(&self) -> StoreSize {
        StoreSize {
            entries: self.answers.len(),
            bytes: self.answers.weight(),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    /// Bytes that it may hold.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Key, Kept> for Bytes {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        (ENTRY_BYTES + SHARED_BYTES + kept.answer.len()) as u64
    }
}

#[derive(Debug, Clone)]
struct Evictions(Arc<AtomicU64>);

impl Lifecycle<Key, Kept> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, _: Kept) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::some_time;

    const HOUR: Duration = Duration::from_hours(1);

    fn answer(len: usize) -> Arc<[u8]> {
        vec![7; len].into()
    }

    #[test]
    fn never_holds_more_bytes_than_it_may() {
        let store = AnswerStore::new(1 << 20, HOUR);
        let now = some_time();
        for n in 0..20_000_u64 {
            store.keep(Key::of(1, n), answer((n % 700) as usize), now);
            assert!(store.size().bytes <= store.bytes_max(), "{:?}", store.size());
        }
        let size = store.size();
        assert!(size.evictions > 10_000, "{size:?}");
        assert!(size.bytes > store.bytes_max() * 8 / 10, "and uses what it may: {size:?}");
        store.keep(Key::of(2, 0), answer(2 << 20), now);
        assert_eq!(store.find(&Key::of(2, 0), now), None, "larger than the store");
        assert!(store.size().bytes <= store.bytes_max());
    }

    #[test]
    fn keys_that_are_read_outlast_those_that_come_once() {
        let store = AnswerStore::new(1 << 20, HOUR);
        let now = some_time();
        let hot = |n| Key::of(1, n);
        (0..200).for_each(|n| store.keep(hot(n), answer(100), now));
        for n in 0..50_000 {
            store.keep(Key::of(2, n), answer(100), now);
            store.find(&hot(n % 200), now);
        }
        let left = (0..200).filter(|n| store.find(&hot(*n), now).is_some()).count();
        assert!(left > 190, "{left} of 200 hot keys have survived a scan of 50,000");
    }

    /// One line per read: seconds, and whether the answer is there.
    #[test]
    fn an_answer_goes_when_nobody_reads_it_and_stays_while_somebody_does() {
        let start = some_time();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (reads, left) in [
            (&[(0, true), (3_599, true)][..], true),
            (&[(3_600, false)][..], false),
            (&[(100, true), (3_700, false)][..], false),
            (&[(3_300, true), (6_800, true), (10_300, true), (14_000, false)][..], false),
        ] {
            let store = AnswerStore::new(1 << 20, HOUR);
            store.keep(Key::of(1, 1), answer(8), start);
            for (seconds, expected) in reads {
                let found = store.find(&Key::of(1, 1), at(*seconds)).is_some();
                assert_eq!(found, *expected, "{reads:?}: at {seconds}");
            }
            assert_eq!(store.size().entries, usize::from(left), "{reads:?}");
        }
    }
}
