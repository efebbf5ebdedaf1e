//! Whether a store is worth asking: not where computing is cheaper than looking.

use std::time::Duration;

use crate::cost::Cost;

/// What looking costs, as measured, beside what computing costs.
///
/// Shared by all threads.
#[derive(Debug)]
pub struct Worth {
    memory_from: Duration,
    remote_from: Option<Duration>,
    /// A question to the store behind the network, whatever the number of keys in it.
    lookup: Cost,
}

/// Which stores are asked about a request's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// The store in memory.
    pub memory: bool,
    /// The store behind the network.
    pub remote: bool,
}

/// A first guess for a question over a loopback.
const NS_PER_LOOKUP: f64 = 100_000.0;

impl Worth {
    /// `memory_from`: time of computing one row from which on it is kept at all. `remote_from`: time
    /// of computing a request from which on the store behind the network is asked; without it, what
    /// asking takes.
    pub fn new(memory_from: Duration, remote_from: Option<Duration>) -> Self {
        Self { memory_from, remote_from, lookup: Cost::new(NS_PER_LOOKUP) }
    }

    /// Whether rows of this cost are kept at all.
    pub fn keeps(&self, row_cost: &Cost) -> bool {
        row_cost.predict(1) >= self.memory_from
    }

    /// Where to look for `rows` rows. A request is one question to the store behind the network,
    /// and it is asked if computing all of the rows takes longer.
    pub fn tiers(&self, row_cost: &Cost, rows: usize) -> Tiers {
        let memory = self.keeps(row_cost);
        let remote_from = self.remote_from.unwrap_or_else(|| self.lookup());
        let remote = memory && row_cost.predict(rows) >= remote_from;
        Tiers { memory, remote }
    }

    /// What a question to the store behind the network takes.
    pub fn lookup(&self) -> Duration {
        self.lookup.predict(1)
    }

    /// A question took this long; one without an answer counts as long as was waited.
    pub fn observe_lookup(&self, took: Duration) {
        self.lookup.observe(1, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn a_store_is_asked_where_computing_is_dearer() {
        let worth = Worth::new(us(2), None);
        for _ in 0..100 {
            worth.observe_lookup(us(50));
        }
        for (ns_per_row, rows, memory, remote) in [
            (500.0, 1, false, false),
            (500.0, 1_000, false, false),
            (1_999.0, 1, false, false),
            (2_000.0, 1, true, false),
            (20_000.0, 1, true, false),
            (20_000.0, 3, true, true),
            (5_000_000.0, 1, true, true),
        ] {
            let found = worth.tiers(&Cost::new(ns_per_row), rows);
            assert_eq!(found, Tiers { memory, remote }, "{rows} rows of {ns_per_row} ns");
        }
        for _ in 0..100 {
            worth.observe_lookup(us(3_000));
        }
        assert!(!worth.tiers(&Cost::new(20_000.0), 3).remote, "it has become slow");
        assert!(worth.tiers(&Cost::new(5_000_000.0), 1).remote, "and is still worth this much");
        let always = Worth::new(us(2), Some(us(0)));
        assert!(always.tiers(&Cost::new(2_000.0), 1).remote, "somebody said so");
        assert!(
            !always.tiers(&Cost::new(1_000.0), 1).remote,
            "but what is not kept is not asked for"
        );
    }
}
