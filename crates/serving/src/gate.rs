//! Admission: who cannot be served in time is told so at once.

use std::time::{Duration, Instant};

/// Decides by deadline whether work may be queued for the compute lane.
///
/// The queue is first in, first out, and every thread of the lane takes the next piece, so what
/// is admitted now begins after `queued / lanes`, and whoever comes later cannot delay it.
///
/// Every admission is ended by one [`Gate::leave`]; [`Gate::progress`] may come before it.
#[derive(Debug)]
pub struct Gate {
    lanes: u32,
    requests_max: usize,
    requests: usize,
    queued: Duration,
}

/// What is kept back of the time that is left: this part of the wait, by which the prediction of a
/// whole queue may be off. Without it a full queue is one of requests that end a moment too late,
/// many of them when they have been computed.
const WAIT_MARGIN: u32 = 4;

/// What a request asks of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Predicted compute time, of all pieces together.
    pub cost: Duration,
    /// Predicted time of its longest piece: no number of threads makes it shorter.
    pub piece: Duration,
}

/// The answer to an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It will be done in time.
    Admit,
    /// It cannot be done in time; nothing was queued.
    Shed {
        /// When what is queued now will be done.
        retry_after: Duration,
        /// Which bound was met.
        reason: ShedReason,
    },
}

/// Why a request was shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShedReason {
    /// It would end after its deadline.
    Deadline,
    /// As many requests as may wait are waiting.
    QueueFull,
    /// The bodies that are on their way take all the memory that there is for them.
    Memory,
}

impl ShedReason {
    /// The word: `deadline`, `queue_full`, `memory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::QueueFull => "queue_full",
            Self::Memory => "memory",
        }
    }
}

impl Work {
    /// Work that cannot be divided.
    pub fn whole(cost: Duration) -> Self {
        Self { cost, piece: cost }
    }
}

impl Gate {
    /// `lanes`: threads that compute, at least 1. `requests_max`: bound of the queue.
    pub fn new(lanes: u32, requests_max: usize) -> Self {
        Self { lanes: lanes.max(1), requests_max, requests: 0, queued: Duration::ZERO }
    }

    /// May this work start? If so, it is queued.
    pub fn offer(&mut self, now: Instant, work: Work, deadline: Instant) -> Verdict {
        let verdict = self.judge(now, work, deadline);
        if verdict == Verdict::Admit {
            self.requests += 1;
            self.queued = self.queued.saturating_add(work.cost);
        }
        verdict
    }

    /// What [`Gate::offer`] would say; nothing is queued.
    ///
    /// An empty gate admits whatever is not late already: a prediction may be wrong, and only a
    /// measurement can mend it.
    pub fn judge(&self, now: Instant, work: Work, deadline: Instant) -> Verdict {
        let wait = self.wait();
        let shed = |reason| Verdict::Shed { retry_after: wait, reason };
        if self.requests >= self.requests_max {
            return shed(ShedReason::QueueFull);
        }
        let left = deadline.saturating_duration_since(now);
        let own = work.piece.max(work.cost / self.lanes);
        let is_idle = self.requests == 0;
        let ends_after = wait.saturating_add(wait / WAIT_MARGIN).saturating_add(own);
        if left.is_zero() || (ends_after > left && !is_idle) {
            return shed(ShedReason::Deadline);
        }
        Verdict::Admit
    }

    /// A part of admitted work, predicted to take `cost`, is done or given up.
    pub fn progress(&mut self, cost: Duration) {
        self.queued = self.queued.saturating_sub(cost);
    }

    /// An admitted request is over; `rest` is what no `progress` has named of its cost.
    pub fn leave(&mut self, rest: Duration) {
        self.progress(rest);
        self.requests = self.requests.saturating_sub(1);
    }

    /// Time until all that is queued now will be done.
    pub fn wait(&self) -> Duration {
        self.queued / self.lanes
    }

    /// Requests that are admitted and not over.
    pub fn requests(&self) -> usize {
        self.requests
    }
}
