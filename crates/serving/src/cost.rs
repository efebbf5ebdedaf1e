//! What a unit of work costs, as measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A running mean of the time that one unit (a row, a byte) takes; weights fall by an eighth with
/// each measurement.
///
/// Shared by all threads; a lost update is one measurement less, nothing more.
#[derive(Debug)]
pub struct Cost {
    /// Bits of an `f64`: nanoseconds for one unit.
    ns_per_unit: AtomicU64,
}

/// Share of a new measurement.
const WEIGHT: f64 = 1.0 / 8.0;

/// A single measurement counts for at most this many times the mean: a thread that lost its
/// processor in the middle must not make the model look a thousand times dearer.
const SURPRISE_MAX: f64 = 4.0;

/// Below this a mean says nothing, and a surprise is counted from here.
const NS_PER_UNIT_MIN: f64 = 1.0;

impl Cost {
    /// Starts from a first guess, in nanoseconds for one unit.
    pub fn new(ns_per_unit: f64) -> Self {
        Self { ns_per_unit: AtomicU64::new(sane(ns_per_unit).to_bits()) }
    }

    /// The mean, in nanoseconds for one unit.
    pub fn ns_per_unit(&self) -> f64 {
        f64::from_bits(self.ns_per_unit.load(Ordering::Relaxed))
    }

    /// The time that `units` will take.
    pub fn predict(&self, units: usize) -> Duration {
        Duration::from_nanos((self.ns_per_unit() * units as f64) as u64)
    }

    /// `units` took `took`.
    pub fn observe(&self, units: usize, took: Duration) {
        if units == 0 {
            return;
        }
        let mean = self.ns_per_unit();
        let seen = took.as_nanos() as f64 / units as f64;
        let seen = seen.min(mean * SURPRISE_MAX);
        let next = sane(mean + (seen - mean) * WEIGHT);
        self.ns_per_unit.store(next.to_bits(), Ordering::Relaxed);
    }

    /// How many units fit into `time`, at least 1.
    pub fn units_within(&self, time: Duration) -> usize {
        let units = time.as_nanos() as f64 / self.ns_per_unit();
        (units as usize).max(1)
    }
}

fn sane(ns: f64) -> f64 {
    if ns.is_finite() { ns.max(NS_PER_UNIT_MIN) } else { NS_PER_UNIT_MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn follows_what_it_sees() {
        let cost = Cost::new(1_000.0);
        assert_eq!(cost.predict(50), us(50));
        for _ in 0..100 {
            cost.observe(10, us(200));
        }
        assert_eq!(cost.predict(1).as_micros(), 19, "20 us a row, from below");
        assert_eq!(cost.units_within(us(1_000)), 50);
    }

    #[test]
    fn one_long_pause_does_not_shut_the_door() {
        let cost = Cost::new(1_000.0);
        cost.observe(1, Duration::from_secs(1));
        assert!(cost.predict(1) < us(2), "{cost:?}");
    }

    #[test]
    fn nonsense_is_one_nanosecond() {
        for guess in [f64::NAN, f64::INFINITY, -5.0, 0.0] {
            let cost = Cost::new(guess);
            cost.observe(0, us(5));
            assert_eq!(cost.ns_per_unit(), 1.0);
        }
    }
}
