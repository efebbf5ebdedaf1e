//! [`published`] under a scheduler that decides which thread goes on at each step: orders of events
//! that a test on real threads meets once a year.

use shuttle::thread;

use published::Published;
use sync::{Arc, Mutex};

mod sync {
    pub(super) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;

    /// What `ArcSwap` promises: a reader gets the whole value before or after.
    #[derive(Debug)]
    pub(super) struct Pointer<T>(Mutex<Arc<T>>);

    impl<T> Pointer<T> {
        pub(super) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(super) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().expect("no panic"))
        }

        pub(super) fn load(&self) -> Arc<T> {
            self.load_full()
        }

        pub(super) fn store(&self, value: Arc<T>) {
            *self.0.lock().expect("no panic") = value;
        }
    }
}

#[path = "published.rs"]
#[expect(dead_code, reason = "the same file is the module of the crate")]
#[allow(clippy::duplicate_mod, reason = "so that what is tested is what is used")]
mod published;

const ORDERS: usize = 2_000;

/// A deployment in small: current and previous, and all that was written down.
type World = Published<(u32, Option<u32>), Vec<(u32, Option<u32>)>>;

/// As `Deployment::swap`: `next` takes over.
fn swap(world: &World, next: u32, is_kept: bool) {
    let notes = world.notes();
    let (current, _) = *world.load();
    if current == next {
        return;
    }
    let value = (next, Some(current));
    let write = |notes: &mut Vec<_>| {
        if !is_kept {
            return Err(());
        }
        notes.push(value);
        Ok(())
    };
    assert_eq!(world.publish(notes, value, write).is_ok(), is_kept);
}

/// As `Deployment::rollback`: the previous one takes over.
fn roll_back(world: &World) {
    let notes = world.notes();
    if let (current, Some(previous)) = *world.load() {
        let value = (previous, Some(current));
        let write = |notes: &mut Vec<_>| -> Result<(), ()> {
            notes.push(value);
            Ok(())
        };
        world.publish(notes, value, write).expect("it is kept");
    }
}

#[test]
fn what_is_seen_is_whole_and_written_down_whatever_the_order() {
    let run = || {
        let world = Arc::new(World::new((1, None), vec![(1, None)]));
        let last = Arc::new(Mutex::new(0));
        let mut threads = Vec::new();
        let changes: [fn(&World); 4] = [
            |world| swap(world, 2, true),
            |world| swap(world, 3, true),
            |world| swap(world, 4, false),
            roll_back,
        ];
        for change in changes {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || change(&world)));
        }
        for _ in 0..2 {
            let (world, last) = (Arc::clone(&world), Arc::clone(&last));
            threads.push(thread::spawn(move || {
                for _ in 0..2 {
                    let seen = *world.load();
                    let notes = world.notes();
                    let at = notes.iter().rposition(|note| *note == seen);
                    assert!(at.is_some(), "{seen:?} answers and is not in {notes:?}");
                    drop(notes);
                    assert_ne!(seen.0, 4, "what cannot be kept is not seen");
                    *last.lock().expect("no panic") += 1;
                }
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let notes = world.notes();
        assert_eq!(notes.last(), Some(&*world.load()), "the last note is what answers");
        for pair in notes.windows(2) {
            assert_eq!(
                pair[1].1,
                Some(pair[0].0),
                "each change knows the one before it: {notes:?}"
            );
        }
        assert_eq!(*last.lock().expect("no panic"), 4);
    };
    shuttle::check_random(run, ORDERS);
    shuttle::check_pct(run, ORDERS, 3);
}
