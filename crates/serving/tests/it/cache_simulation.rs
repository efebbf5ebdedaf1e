//! The cache under seeds: readers, computations, swaps, panics, disconnects, deadlines and expiry in
//! random orders. A failing seed is printed, and replays with `STEMSON_SEED=<seed>`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use stemson_serving::cache::{Breaker, BreakerState, Flights, Follow, Lead, Lost, Ticket};

const SEEDS: u64 = 10_000;

/// Revision and row.
type Key = (u64, u64);

/// What was computed: for which key, and by which computation.
type Value = (Key, u64);

fn seeds() -> Range<u64> {
    match std::env::var("STEMSON_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    }
}

/// `SplitMix64`.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Reader {
    key: Key,
    follow: Follow<Value>,
    woken: Arc<Flag>,
    deadline: u64,
}

struct Computation {
    lead: Lead<Key, Value>,
    begins: u64,
    ends: u64,
    has_begun: bool,
    panics: bool,
}

/// A server with one model, as far as its cache goes.
struct World {
    seed: u64,
    draws: Draws,
    now: u64,
    revision: u64,
    flights: Arc<Flights<Key, Value>>,
    kept: HashMap<Key, Value>,
    readers: Vec<Reader>,
    computations: Vec<Computation>,
    computing: BTreeSet<Key>,
    /// How often a key may have been computed: once, and once more for each time it was lost.
    allowed: BTreeMap<Key, u64>,
    computed: BTreeMap<Key, u64>,
    serial: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            draws: Draws(seed),
            now: 0,
            revision: 1,
            flights: Flights::new(),
            kept: HashMap::new(),
            readers: Vec::new(),
            computations: Vec::new(),
            computing: BTreeSet::new(),
            allowed: BTreeMap::new(),
            computed: BTreeMap::new(),
            serial: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..60 {
            self.now += self.draws.below(8);
            match self.draws.below(16) {
                0 => {
                    // A -> B -> A as well.
                    self.revision = 1 + self.draws.below(3);
                }
                1 => self.expire(),
                2 => self.disconnect(),
                _ => self.read(),
            }
            self.work();
            self.answer();
        }
        self.now += 1_000;
        self.work();
        self.answer();
        let seed = self.seed;
        assert!(self.readers.is_empty(), "seed {seed}: {} readers hang", self.readers.len());
        assert!(self.flights.is_empty(), "seed {seed}: flights are left");
    }

    fn read(&mut self) {
        let key = (self.revision, self.draws.below(3));
        if let Some(value) = self.kept.get(&key) {
            assert_eq!(value.0, key, "seed {}: an answer of another key", self.seed);
            return;
        }
        let follow = match self.flights.join(key, || self.kept.get(&key).copied()) {
            Ticket::Known(_) => unreachable!("nothing happens in between"),
            Ticket::Follow(follow) => follow,
            Ticket::Lead(lead) => {
                let follow = lead.follow();
                let begins = self.now + self.draws.below(30);
                let ends = begins + self.draws.below(30);
                let panics = self.draws.one_in(8);
                let has_begun = false;
                self.computations.push(Computation { lead, begins, ends, has_begun, panics });
                follow
            }
        };
        let deadline = self.now + 1 + self.draws.below(60);
        self.readers.push(Reader { key, follow, woken: Arc::default(), deadline });
    }

    fn expire(&mut self) {
        let mut keys: Vec<Key> = self.kept.keys().copied().collect();
        keys.sort_unstable();
        if !keys.is_empty() {
            let key = keys[self.draws.below(keys.len() as u64) as usize];
            self.kept.remove(&key);
            *self.allowed.entry(key).or_default() += 1;
        }
    }

    fn disconnect(&mut self) {
        if !self.readers.is_empty() {
            let place = self.draws.below(self.readers.len() as u64) as usize;
            self.readers.swap_remove(place);
        }
    }

    /// What is due of the computations, in the order of time.
    fn work(&mut self) {
        let (seed, now) = (self.seed, self.now);
        for mut computation in std::mem::take(&mut self.computations) {
            if !computation.has_begun && computation.begins <= now {
                let key = *computation.lead.key();
                let waits = self.readers.iter().any(|reader| reader.key == key);
                let Some(lead) = computation.lead.leave_if_alone() else {
                    assert!(!waits, "seed {seed}: dropped although somebody waits");
                    continue;
                };
                assert!(waits, "seed {seed}: nobody wants it");
                computation.lead = lead;
                computation.has_begun = true;
                assert!(self.computing.insert(key), "seed {seed}: {key:?} twice at a time");
            }
            if !computation.has_begun || computation.ends > now {
                self.computations.push(computation);
                continue;
            }
            let key = *computation.lead.key();
            self.computing.remove(&key);
            if computation.panics {
                drop(computation.lead);
                continue;
            }
            self.serial += 1;
            *self.computed.entry(key).or_default() += 1;
            let (computed, allowed) =
                (self.computed[&key], 1 + self.allowed.get(&key).copied().unwrap_or(0));
            assert!(computed <= allowed, "seed {seed}: {key:?} {computed} times, not {allowed}");
            let value = (key, self.serial);
            self.kept.insert(key, value);
            computation.lead.land(value);
        }
    }

    /// Readers are asked when they were woken, and for the first time; and at their deadline.
    fn answer(&mut self) {
        let (seed, now) = (self.seed, self.now);
        self.readers.retain_mut(|reader| {
            let waker = Waker::from(Arc::clone(&reader.woken));
            let was_woken = reader.woken.0.load(Ordering::Relaxed);
            let polled = Pin::new(&mut reader.follow).poll(&mut Context::from_waker(&waker));
            match polled {
                Poll::Ready(Ok((key, _))) => {
                    assert_eq!(key, reader.key, "seed {seed}: an answer of another key");
                    false
                }
                Poll::Ready(Err(Lost)) => false,
                Poll::Pending => {
                    assert!(!was_woken, "seed {seed}: woken for nothing");
                    reader.deadline > now
                }
            }
        });
    }
}

#[test]
fn single_flight_under_seeds() {
    seeds().for_each(|seed| World::new(seed).run());
}

#[expect(clippy::disallowed_methods, reason = "there is no other way to a first point in time")]
fn some_time() -> Instant {
    Instant::now()
}

/// A server that goes and comes, and callers that ask it as often as the breaker lets them.
#[test]
fn breaker_under_seeds() {
    const MS: Duration = Duration::from_millis(1);
    let start = some_time();
    for seed in seeds() {
        let mut draws = Draws(seed);
        let (failures_max, pause, pause_max) = (1 + draws.below(5) as u32, 50 * MS, 400 * MS);
        let mut breaker = Breaker::new(failures_max, pause, pause_max);
        let (mut now, mut is_up, mut wasted) = (start, true, 0);
        let (mut down_since, mut up_since) = (start, start);
        for _ in 0..200 {
            now += MS * draws.below(20) as u32;
            if draws.one_in(40) {
                is_up = !is_up;
                if is_up {
                    up_since = now;
                } else {
                    (down_since, wasted) = (now, 0);
                }
            }
            if !breaker.admits(now) {
                assert_ne!(breaker.state(), BreakerState::Closed, "seed {seed}");
                if is_up {
                    let for_long = now - up_since > pause_max;
                    assert!(!for_long, "seed {seed}: up for long, and not asked");
                }
                continue;
            }
            if is_up {
                breaker.succeeded();
                assert_eq!(breaker.state(), BreakerState::Closed, "seed {seed}");
            } else {
                wasted += 1;
                breaker.failed(now);
                let pauses = ((now - down_since).as_millis() / pause.as_millis()) as u32;
                assert!(wasted <= failures_max + pauses, "seed {seed}: {wasted} questions wasted");
            }
        }
    }
}
