//! What the cache did for the rows of a request.

use std::time::Duration;

/// Rows by where their answers came from, and the time of computing those that came from nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Found in memory.
    pub(crate) hit_memory: u64,
    /// Found in Redis.
    pub(crate) hit_redis: u64,
    /// Computed already for somebody else at the same time.
    pub(crate) coalesced: u64,
    /// Looked for, and computed.
    pub(crate) missed: u64,
    /// Computed, since Redis did not answer.
    pub(crate) failed: u64,
    /// Not looked for.
    pub(crate) bypassed: u64,
    /// Time of looking into memory.
    pub(crate) looking: Duration,
    /// Time of scoring.
    pub(crate) computed: Duration,
}

impl Looked {
    /// The words of the metric, and how many rows each stands for.
    pub(crate) fn outcomes(&self) -> [(&'static str, u64); 6] {
        [
            ("hit_memory", self.hit_memory),
            ("hit_redis", self.hit_redis),
            ("coalesced", self.coalesced),
            ("miss", self.missed),
            ("error", self.failed),
            ("bypass", self.bypassed),
        ]
    }

    /// Rows that were not looked for.
    pub(crate) fn bypassed(rows: usize) -> Self {
        Self { bypassed: rows as u64, ..Self::default() }
    }

    /// Rows that this request did not compute.
    pub(crate) fn cached(&self) -> u64 {
        self.hit_memory + self.hit_redis + self.coalesced
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.hit_memory += other.hit_memory;
        self.hit_redis += other.hit_redis;
        self.coalesced += other.coalesced;
        self.missed += other.missed;
        self.failed += other.failed;
        self.bypassed += other.bypassed;
        self.looking += other.looking;
        self.computed += other.computed;
    }
}
