//! Turns: long work with the interpreter is cut into pieces, between which other threads, an event loop's above all, may have it.

use std::thread;
use std::time::{Duration, Instant};

use pyo3::Python;

/// The time since the interpreter was last left to others.
#[derive(Debug)]
pub(crate) struct Turn {
    since: Instant,
    /// Objects that were read since the time was looked at.
    objects: usize,
}

/// As long the interpreter may be kept.
const KEPT_MAX: Duration = Duration::from_micros(500);

/// As long another thread may take to wake up. One that only lets go has the interpreter back before
/// the other is awake, and wakes it for nothing each time.
const AWAKE: Duration = Duration::from_micros(20);

/// Objects that are read before the time is looked at: some 20 us.
const OBJECTS_AT_ONCE: usize = 1024;

impl Turn {
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now(), objects: 0 }
    }

    /// Counts objects that were read, and gives when they are many.
    #[inline]
    pub(crate) fn spend(&mut self, py: Python<'_>, objects: usize) {
        self.objects += objects;
        if self.objects >= OBJECTS_AT_ONCE {
            self.objects = 0;
            self.give(py);
        }
    }

    /// Leaves the interpreter to whoever waits for it, where it was kept for long.
    pub(crate) fn give(&mut self, py: Python<'_>) {
        if self.since.elapsed() < KEPT_MAX {
            return;
        }
        py.detach(|| thread::sleep(AWAKE));
        self.since = Instant::now();
    }
}

/// Frees what is large while others have the interpreter: a million answers take milliseconds.
pub(crate) fn free<T: Send>(large: T) {
    // Where there is no interpreter any more it is freed all the same.
    Python::try_attach(|py| py.detach(|| drop(large)));
}
