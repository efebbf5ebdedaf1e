//! How late the reactor is: a thread of its own asks it, and measures how long it takes to answer.
//!
//! From outside, because a reactor that is held up cannot say so itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::metrics::Metrics;

/// Time between two questions: what holds the reactor up for longer is seen.
const PERIOD: Duration = Duration::from_millis(10);

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Asks the reactor behind `handle`, until dropped.
    pub(crate) fn start(handle: Handle, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = thread::Builder::new().name("lag-probe".to_owned()).spawn(move || {
            let (answer, answered) = mpsc::channel();
            while !is_over.load(Ordering::Relaxed) {
                let (asked_at, answer) = (Instant::now(), answer.clone());
                handle.spawn(async move {
                    // The thread may have ended.
                    let _ = answer.send(asked_at.elapsed());
                });
                // A reactor that has ended answers no more: then it is time to look at `stop`.
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(lag) = answered.recv_timeout(Duration::from_millis(100)) {
                        metrics.reactor_lag(lag);
                        break;
                    }
                }
                thread::park_timeout(PERIOD);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has no panics of its own.
            drop(thread.join());
        }
    }
}
