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
    /// By what is asked of every row: contributions, leaves, stages, each of them or not.
    costs: [Cost; 8],
}

/// A first guess, in nanoseconds for one row.
const ROW_NS: f64 = 20_000.0;

/// The same where it is to be explained.
const EXPLAINED_ROW_NS: f64 = 150_000.0;

/// Longer than any deadline.
const YEAR_SECONDS: f64 = 31_557_600.0;

#[pymethods]
impl Admission {
    /// `threads`: that compute at the same time. `queue`: requests that may wait.
    #[new]
    fn new(threads: u32, queue: usize) -> Self {
        let first = |asked| if asked == 0 { ROW_NS } else { EXPLAINED_ROW_NS };
        let costs = std::array::from_fn(|asked| Cost::new(first(asked)));
        Self { gate: Mutex::new(Gate::new(threads, queue)), costs }
    }

    /// Offers work of so many rows that must be done within `seconds`; `asked`: a bit each for
    /// contributions, leaves and stages. Admitted: its predicted seconds, to be handed back to
    /// `leave`. Refused: the seconds to wait, negative.
    fn offer(&self, rows: usize, asked: usize, seconds: f64) -> f64 {
        let cost = self.cost(asked).predict(rows);
        let now = Instant::now();
        // What is no number leaves no time.
        let allowed = Duration::try_from_secs_f64(seconds.clamp(0.0, YEAR_SECONDS));
        let deadline = now.checked_add(allowed.unwrap_or_default()).unwrap_or(now);
        match self.gate().offer(0, now, Work::whole(cost), deadline) {
            Verdict::Admit => cost.as_secs_f64(),
            // Never -0.0, which would look admitted.
            Verdict::Shed { retry_after, .. } => -retry_after.as_secs_f64().max(1e-3),
        }
    }

    /// Ends admitted work: its predicted seconds, what it was offered as, and the seconds that it
    /// took, 0 if it was given up.
    fn leave(&self, predicted: f64, rows: usize, asked: usize, took: f64) {
        self.gate().leave(0, Duration::try_from_secs_f64(predicted).unwrap_or_default());
        if let Ok(took) = Duration::try_from_secs_f64(took)
            && !took.is_zero()
        {
            self.cost(asked).observe(rows, took);
        }
    }

    /// Requests that are admitted and not over.
    #[getter]
    fn requests(&self) -> usize {
        self.gate().requests()
    }
}

impl Admission {
    fn cost(&self, asked: usize) -> &Cost {
        &self.costs[asked % self.costs.len()]
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
