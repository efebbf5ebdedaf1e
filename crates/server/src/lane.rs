//! The compute lane: threads that do what would hold up the reactor.
//!
//! Models share it by weight ([`FairQueue`]), and a model's work is done first in, first out. The
//! thread that fell asleep last is woken first, its caches are warm. Where they share a core with the
//! reactor they give way to it: see [`step_back`].
//! The queue has no bound of its own: nothing is put in it that `serving::Gate` has not admitted.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use stemson_serving::FairQueue;

/// A piece of work, about a millisecond long.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// A core that is computing is given to a thread that wakes up there when it has run for its share
/// of a time slice of some 3 ms: a third of a millisecond at this niceness, all of it at 0.
const COMPUTE_NICENESS: i32 = 10;

/// Of threads that load models, or ask them what no caller waits for: nicer than who computes, so that
/// they take no time from predictions where both want the same core.
const ASIDE_NICENESS: i32 = 15;

/// The queue. Clones are the same queue; tasks may hold one.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
}

/// The threads. Dropping them ends them after the tasks they are in; what is queued is forgotten.
///
/// Apart from [`Lane`], so that no task can be the one that drops, and waits for itself.
#[derive(Debug)]
pub(crate) struct LaneThreads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    queue: FairQueue<Task>,
    /// Threads that sleep, the last one to fall asleep last.
    asleep: Vec<Thread>,
    is_closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane of `lanes` threads, with a flow for each weight; none: one flow.
    pub(crate) fn start(
        lanes: usize,
        weights: &[NonZeroU32],
    ) -> std::io::Result<(Self, LaneThreads)> {
        let queue = FairQueue::new(weights);
        let state = State { queue, asleep: Vec::new(), is_closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let mut threads = LaneThreads { shared: Arc::clone(&shared), threads: Vec::new() };
        for index in 0..lanes {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("compute-{index}"));
            threads.threads.push(thread.spawn(move || {
                step_back(COMPUTE_NICENESS);
                shared.work();
            })?);
        }
        Ok((Self { shared }, threads))
    }

    /// Puts a task, predicted to take `cost`, at the end of its flow.
    pub(crate) fn push(&self, flow: usize, cost: Duration, task: Task) {
        self.put(|queue| queue.push_back(flow, cost, task));
    }

    /// Puts tasks in front of their flow, in their order: the rest of a request whose turn it is.
    pub(crate) fn push_front(&self, flow: usize, tasks: Vec<(Duration, Task)>) {
        self.put(|queue| {
            for (cost, task) in tasks.into_iter().rev() {
                queue.push_front(flow, cost, task);
            }
        });
    }

    fn put(&self, put: impl FnOnce(&mut FairQueue<Task>)) {
        let wake = {
            let mut state = self.shared.lock();
            if state.is_closed {
                return;
            }
            put(&mut state.queue);
            let n = state.queue.len().min(state.asleep.len());
            let keep = state.asleep.len() - n;
            state.asleep.split_off(keep)
        };
        for thread in wake.iter().rev() {
            thread.unpark();
        }
    }
}

impl Drop for LaneThreads {
    fn drop(&mut self) {
        let (asleep, forgotten) = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            (
                std::mem::take(&mut state.asleep),
                std::mem::replace(&mut state.queue, FairQueue::new(&[])),
            )
        };
        drop(forgotten);
        asleep.iter().for_each(Thread::unpark);
        for thread in self.threads.drain(..) {
            // It catches panics of its tasks and has none of its own.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            // A panic is a mistake of ours. Whoever waits for the task sees it vanish; the thread
            // lives on. The hook has printed it.
            drop(catch_unwind(AssertUnwindSafe(task)));
        }
    }

    /// The next task; none when the lane is closed.
    fn next(&self) -> Option<Task> {
        let me = thread::current();
        loop {
            let mut state = self.lock();
            if state.is_closed {
                return None;
            }
            if let Some(task) = state.queue.pop() {
                return Some(task);
            }
            // Parking may end without reason: the name is on the list once at most.
            if !state.asleep.iter().any(|thread| thread.id() == me.id()) {
                state.asleep.push(me.clone());
            }
            drop(state);
            thread::park();
        }
    }
}

/// Makes this thread nicer than all that callers wait for: see [`step_back`].
pub(crate) fn step_aside() {
    step_back(ASIDE_NICENESS);
}

/// Makes this thread nicer than those that answer callers. Where that is not possible for one thread
/// alone it stays as it is.
fn step_back(niceness: i32) {
    // Linux counts niceness by thread; elsewhere it is the process's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(niceness);
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn does_everything_once_and_survives_panics() {
        let (lane, _threads) = Lane::start(3, &[]).expect("threads");
        let (sender, receiver) = mpsc::channel();
        for n in 0..1_000 {
            let sender = sender.clone();
            lane.push(
                0,
                Duration::ZERO,
                Box::new(move || {
                    assert_ne!(n % 100, 7, "as a mistake of ours would");
                    sender.send(n).expect("somebody waits");
                }),
            );
        }
        drop(sender);
        let mut done: Vec<i32> = receiver.iter().collect();
        done.sort_unstable();
        let expected: Vec<i32> = (0..1_000).filter(|n| n % 100 != 7).collect();
        assert_eq!(done, expected);
    }

    #[test]
    fn keeps_the_order_and_lets_the_rest_of_a_request_go_first() {
        let (lane, _threads) = Lane::start(1, &[]).expect("a thread");
        let (sender, receiver) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let task = |n: u32| -> Task {
            let sender = sender.clone();
            Box::new(move || sender.send(n).expect("somebody waits"))
        };
        let (begun, has_begun) = mpsc::channel();
        lane.push(
            0,
            Duration::ZERO,
            Box::new(move || {
                begun.send(()).expect("somebody waits");
                let _ = gate.recv();
            }),
        );
        has_begun.recv().expect("the thread begins");
        lane.push(0, Duration::ZERO, task(3));
        lane.push(0, Duration::ZERO, task(4));
        lane.push_front(0, [task(1), task(2)].map(|task| (Duration::ZERO, task)).into());
        open.send(()).expect("the thread waits");
        let order: Vec<u32> = receiver.iter().take(4).collect();
        assert_eq!(order, [1, 2, 3, 4]);
    }
}
