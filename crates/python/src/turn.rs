//! Turns: long work with the interpreter is cut into pieces, between which other threads, an event loop's above all, may have it.

use std::thread;
use std::time::{Duration, Instant};

use pyo3::Python;

/// The time since the interpreter was last left to others.
#[derive(Debug)]
pub(crate) struct Turn(Instant);

/// As long the interpreter may be kept.
const KEPT_MAX: Duration = Duration::from_micros(500);

/// As long another thread may take to wake up. One that only lets go has the interpreter back before
/// the other is awake, and wakes it for nothing each time.
const AWAKE: Duration = Duration::from_micros(20);

impl Turn {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Leaves the interpreter to whoever waits for it, where it was kept for long.
    pub(crate) fn give(&mut self, py: Python<'_>) {
        if self.0.elapsed() < KEPT_MAX {
            return;
        }
        py.detach(|| thread::sleep(AWAKE));
        self.0 = Instant::now();
    }
}
