//! A queue that several flows share by weight.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): each flow has a clock that its work
//! moves by cost over weight, and the flow whose clock is behind is served. A flow that was idle
//! begins where the others are: it saves nothing up. One flow alone is first in, first out.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

/// Items of several flows, in the order in which they are due.
#[derive(Debug)]
pub struct FairQueue<T> {
    flows: Vec<Flow<T>>,
    /// Where the clock of the flow stood that was served last.
    now: u128,
    len: usize,
}

#[derive(Debug)]
struct Flow<T> {
    items: VecDeque<(Duration, T)>,
    weight: NonZeroU32,
    clock: u128,
}

/// Parts of a nanosecond that a clock counts, so that weights divide small costs too.
const PARTS: u128 = 1 << 20;

impl<T> FairQueue<T> {
    /// A flow for each weight, at least one of weight 1.
    pub fn new(weights: &[NonZeroU32]) -> Self {
        let weights = if weights.is_empty() { &[NonZeroU32::MIN] } else { weights };
        let flow = |&weight| Flow { items: VecDeque::new(), weight, clock: 0 };
        Self { flows: weights.iter().map(flow).collect(), now: 0, len: 0 }
    }

    /// Puts an item behind its flow's others. A flow that does not exist is the first one.
    pub fn push_back(&mut self, flow: usize, cost: Duration, item: T) {
        if let Some(flow) = self.wake(flow) {
            flow.items.push_back((cost, item));
            self.len += 1;
        }
    }

    /// Puts an item in front of its flow's others.
    pub fn push_front(&mut self, flow: usize, cost: Duration, item: T) {
        if let Some(flow) = self.wake(flow) {
            flow.items.push_front((cost, item));
            self.len += 1;
        }
    }

    fn wake(&mut self, flow: usize) -> Option<&mut Flow<T>> {
        let flow = if flow < self.flows.len() { flow } else { 0 };
        let flow = self.flows.get_mut(flow)?;
        if flow.items.is_empty() {
            flow.clock = flow.clock.max(self.now);
        }
        Some(flow)
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<T> {
        let waiting = self.flows.iter_mut().filter(|flow| !flow.items.is_empty());
        let flow = waiting.min_by_key(|flow| flow.clock)?;
        let (cost, item) = flow.items.pop_front()?;
        self.now = flow.clock;
        // What is free would be served for ever.
        let cost = cost.as_nanos().max(1);
        flow.clock = flow.clock.saturating_add(cost * PARTS / u128::from(flow.weight.get()));
        self.len -= 1;
        Some(item)
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
