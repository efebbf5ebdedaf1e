//! Admission: who cannot be served in time is told so at once.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Decides by deadline whether work may be queued for the compute lane.
///
/// Work belongs to a flow. With one flow the queue is first in, first out, and every thread of the
/// lane takes the next piece, so what is admitted now begins after `queued / lanes`, and whoever
/// comes later cannot delay it. Several flows share the lane by weight
/// ([`FairQueue`](crate::FairQueue)): a flow waits for its own work, and of another's for as much as
/// falls to it meanwhile. So does the number of requests that may wait: each flow has its share of it.
///
/// Every admission is ended by one [`Gate::leave`]; [`Gate::progress`] may come before it.
#[derive(Debug)]
pub struct Gate {
    lanes: u32,
    requests_max: usize,
    requests: usize,
    flows: Vec<Flow>,
}

#[derive(Debug)]
struct Flow {
    weight: NonZeroU32,
    requests: usize,
    requests_max: usize,
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
        Self::weighted(lanes, requests_max, &[])
    }

    /// The same with a flow for each weight; none: one flow.
    pub fn weighted(lanes: u32, requests_max: usize, weights: &[NonZeroU32]) -> Self {
        let weights = if weights.is_empty() { &[NonZeroU32::MIN] } else { weights };
        let all: u64 = weights.iter().map(|weight| u64::from(weight.get())).sum();
        let flow = |&weight: &NonZeroU32| {
            let share = requests_max as u128 * u128::from(weight.get()) / u128::from(all);
            let requests_max = usize::try_from(share).unwrap_or(requests_max).max(1);
            Flow { weight, requests: 0, requests_max, queued: Duration::ZERO }
        };
        let flows = weights.iter().map(flow).collect();
        Self { lanes: lanes.max(1), requests_max, requests: 0, flows }
    }

    /// May this work of a flow start?
    ///
    /// An empty gate admits whatever is not late already: a prediction may be wrong, and only a
    /// measurement can mend it.
    pub fn offer(&mut self, flow: usize, now: Instant, work: Work, deadline: Instant) -> Verdict {
        let wait = self.wait(flow, work.cost);
        let shed = |reason| Verdict::Shed { retry_after: wait, reason };
        let (lanes, is_idle, is_full) =
            (self.lanes, self.requests == 0, self.requests >= self.requests_max);
        let Some(own) = self.flow(flow) else { return shed(ShedReason::QueueFull) };
        if is_full || own.requests >= own.requests_max {
            return shed(ShedReason::QueueFull);
        }
        let left = deadline.saturating_duration_since(now);
        let takes = work.piece.max(work.cost / lanes);
        let ends_after = wait.saturating_add(wait / WAIT_MARGIN).saturating_add(takes);
        if left.is_zero() || (ends_after > left && !is_idle) {
            return shed(ShedReason::Deadline);
        }
        own.requests += 1;
        own.queued = own.queued.saturating_add(work.cost);
        self.requests += 1;
        Verdict::Admit
    }

    /// What is left of admitted work takes `now_known` and not `rest`, as could be told only later.
    pub fn amend(&mut self, flow: usize, rest: Duration, now_known: Duration) {
        if let Some(own) = self.flow(flow) {
            own.queued = own.queued.saturating_sub(rest).saturating_add(now_known);
        }
    }

    /// A part of admitted work, predicted to take `cost`, is done or given up.
    pub fn progress(&mut self, flow: usize, cost: Duration) {
        if let Some(own) = self.flow(flow) {
            own.queued = own.queued.saturating_sub(cost);
        }
    }

    /// An admitted request is over; `rest` is what no `progress` has named of its cost.
    pub fn leave(&mut self, flow: usize, rest: Duration) {
        self.progress(flow, rest);
        if let Some(own) = self.flow(flow) {
            own.requests = own.requests.saturating_sub(1);
        }
        self.requests = self.requests.saturating_sub(1);
    }

    /// Time until all that is before new work of this cost will be done.
    pub fn wait(&self, flow: usize, cost: Duration) -> Duration {
        let flow = self.index(flow);
        let Some(own) = self.flows.get(flow) else { return Duration::ZERO };
        let until_done = own.queued.saturating_add(cost);
        let others = self.flows.iter().enumerate().filter(|(index, _)| *index != flow);
        let theirs = others.map(|(_, other)| {
            let share = until_done.saturating_mul(other.weight.get()) / own.weight.get();
            other.queued.min(share)
        });
        theirs.fold(own.queued, Duration::saturating_add) / self.lanes
    }

    /// Threads that compute.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Requests that are admitted and not over.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// One that does not exist is the first one.
    fn index(&self, flow: usize) -> usize {
        if flow < self.flows.len() { flow } else { 0 }
    }

    fn flow(&mut self, flow: usize) -> Option<&mut Flow> {
        let flow = self.index(flow);
        self.flows.get_mut(flow)
    }
}
