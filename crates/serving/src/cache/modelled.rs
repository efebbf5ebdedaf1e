//! [`flight`] under a scheduler that decides which thread goes on at each lock: orders of events that
//! a test on real threads meets once a year.

use std::collections::HashMap;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use flight::{Flights, Lost, Ticket};
use sync::{Arc, Mutex};

mod sync {
    pub(super) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}

#[path = "flight.rs"]
#[expect(unreachable_pub, dead_code, reason = "the same file is the module of the crate")]
#[allow(clippy::duplicate_mod, reason = "so that what is tested is what is used")]
mod flight;

const ORDERS: usize = 1_000;
const READERS: usize = 3;

/// A world with one key, or two: what is kept, what is under way, and how often was computed.
struct World {
    flights: Arc<Flights<u32, u32>>,
    kept: Mutex<HashMap<u32, u32>>,
    computed: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        let (kept, computed) = (Mutex::new(HashMap::new()), AtomicUsize::new(0));
        Arc::new(Self { flights: Flights::with_shards(1), kept, computed })
    }

    fn find(&self, key: u32) -> Option<u32> {
        self.kept.lock().expect("no panic").get(&key).copied()
    }

    /// A reader as the server is one; `fails`: its work panics.
    fn read(&self, key: u32, fails: bool) -> Result<u32, Lost> {
        if let Some(value) = self.find(key) {
            return Ok(value);
        }
        match self.flights.join(key, || self.find(key)) {
            Ticket::Known(value) => Ok(value),
            Ticket::Follow(follow) => block_on(follow),
            Ticket::Lead(lead) if fails => {
                drop(lead);
                Err(Lost)
            }
            Ticket::Lead(lead) => {
                self.computed.fetch_add(1, Ordering::SeqCst);
                self.kept.lock().expect("no panic").insert(key, key + 100);
                lead.land(key + 100);
                Ok(key + 100)
            }
        }
    }
}

#[test]
fn each_key_is_computed_once_whatever_the_order() {
    let run = || {
        let world = World::new();
        let readers = (0..READERS * 2).map(|n| {
            let (world, key) = (Arc::clone(&world), (n % 2) as u32);
            thread::spawn(move || assert_eq!(world.read(key, false), Ok(key + 100)))
        });
        readers.collect::<Vec<_>>().into_iter().for_each(|reader| reader.join().expect("no panic"));
        assert_eq!(world.computed.load(Ordering::SeqCst), 2);
        assert!(world.flights.is_empty());
    };
    shuttle::check_random(run, ORDERS);
    shuttle::check_pct(run, ORDERS, 3);
}

#[test]
fn a_lost_flight_is_told_to_all_that_follow_and_forgotten() {
    let run = || {
        let world = World::new();
        let readers = (0..READERS).map(|n| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read(1, n == 0))
        });
        let readers: Vec<_> = readers.collect();
        for reader in readers {
            let found = reader.join().expect("no panic");
            assert!(found == Ok(101) || found == Err(Lost), "{found:?}");
        }
        assert!(world.flights.is_empty());
        assert_eq!(world.read(1, false), Ok(101), "nothing is left of the failure");
    };
    shuttle::check_random(run, ORDERS);
}

#[test]
fn a_leader_leaves_only_while_nobody_follows() {
    let run = || {
        let world = World::new();
        let Ticket::Lead(lead) = world.flights.join(1, || None) else {
            unreachable!("nobody else")
        };
        let follower = {
            let world = Arc::clone(&world);
            thread::spawn(move || match world.flights.join(1, || None) {
                Ticket::Follow(follow) => assert_eq!(block_on(follow), Ok(101)),
                Ticket::Lead(lead) => lead.land(101),
                Ticket::Known(_) => unreachable!("nothing is kept"),
            })
        };
        if let Some(lead) = lead.leave_if_alone() {
            lead.land(101);
        }
        follower.join().expect("no panic");
        assert!(world.flights.is_empty());
    };
    shuttle::check_random(run, ORDERS);
}

#[test]
fn a_follower_may_go_at_any_time() {
    let run = || {
        let world = World::new();
        let Ticket::Lead(lead) = world.flights.join(1, || None) else {
            unreachable!("nobody else")
        };
        let gone = {
            let world = Arc::clone(&world);
            thread::spawn(move || drop(world.flights.join(1, || Some(0))))
        };
        let waits = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read(1, false))
        };
        lead.land(101);
        gone.join().expect("no panic");
        assert_eq!(waits.join().expect("no panic"), Ok(101));
        assert!(world.flights.is_empty());
    };
    shuttle::check_random(run, ORDERS);
}
