//! Admission by deadline, for applications that score in their own process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use stemson_serving::{Cost, Gate, Verdict, Work};

/// Decides whether work can be done before its deadline, as the server does: from the work that is
/// queued and from what a row has taken so far.
#[pyclass(frozen, module = "stemson._native")]
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Mutex<Gate>,
    cost: Cost,
}

/// A first guess, in nanoseconds for one row.
const ROW_NS: f64 = 20_000.0;

#[pymethods]
impl Admission {
    /// `threads`: that compute at the same time. `queue`: requests that may wait.
    #[new]
    fn new(threads: u32, queue: usize) -> Self {
        Self { gate: Mutex::new(Gate::new(threads, queue)), cost: Cost::new(ROW_NS) }
    }

    /// The seconds that so many rows will take on one thread.
    fn cost(&self, rows: usize) -> f64 {
        self.cost.predict(rows).as_secs_f64()
    }

    /// Offers work of so many rows that must be done within `seconds`. Admitted: its predicted
    /// seconds, to be handed back to `leave`. Refused: the seconds to wait, negative.
    fn offer(&self, rows: usize, seconds: f64) -> f64 {
        let cost = self.cost.predict(rows);
        let now = Instant::now();
        let allowed = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let deadline = now.checked_add(allowed).unwrap_or(now);
        match self.gate().offer(now, Work::whole(cost), deadline) {
            Verdict::Admit => cost.as_secs_f64(),
            // Never -0.0, which would look admitted.
            Verdict::Shed { retry_after, .. } => -retry_after.as_secs_f64().max(1e-3),
        }
    }

    /// Ends admitted work: its predicted seconds, its rows, and the seconds that it took, 0 if it
    /// was given up.
    fn leave(&self, predicted: f64, rows: usize, took: f64) {
        self.gate().leave(Duration::try_from_secs_f64(predicted).unwrap_or_default());
        if let Ok(took) = Duration::try_from_secs_f64(took)
            && !took.is_zero()
        {
            self.cost.observe(rows, took);
        }
    }

    /// Requests that are admitted and not over.
    #[getter]
    fn requests(&self) -> usize {
        self.gate().requests()
    }
}

impl Admission {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
