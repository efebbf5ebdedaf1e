//! A caller's own limit of requests: a bucket that refills with time.

use std::time::{Duration, Instant};

/// Lets `rate` requests a second pass, and after a pause as many at once as a second refills.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Requests a second; above 0.
    rate: f64,
    /// Requests that may pass now, up to `burst`.
    left: f64,
    at: Instant,
}

impl Quota {
    /// A full bucket. `rate`: requests a second; what is no number above 0 counts as the least.
    pub fn new(rate: f64, now: Instant) -> Self {
        let rate = if rate > 0.0 { rate.min(1e9) } else { f64::MIN_POSITIVE };
        Self { rate, left: burst(rate), at: now }
    }

    /// Takes one request out; else how long until there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        const LONG: f64 = 86_400.0;
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.left = (self.left + passed.as_secs_f64() * self.rate).min(burst(self.rate));
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64(((1.0 - self.left) / self.rate).min(LONG)))
    }
}

/// What a second refills, and at least one request.
fn burst(rate: f64) -> f64 {
    rate.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line per request: comes at (ms) -> passes, or comes back after (ms).
    fn check(rate: f64, script: &[(u64, Option<u64>)]) {
        let start = base();
        let mut quota = Quota::new(rate, start);
        for (n, &(at, wait)) in script.iter().enumerate() {
            let found = quota.take(start + Duration::from_millis(at)).err();
            let found = found.map(|wait| (wait.as_secs_f64() * 1e3).round() as u64);
            assert_eq!(found, wait, "request {n} at {at} ms");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn lets_the_rate_pass_and_says_when_to_come_back() {
        check(2.0, &[(0, None), (0, None), (0, Some(500)), (500, None), (500, Some(500))]);
        // A pause of any length refills a second, not more.
        check(2.0, &[(60_000, None), (60_000, None), (60_000, Some(500))]);
        // Less than one a second: one at once.
        check(0.1, &[(0, None), (0, Some(10_000)), (9_000, Some(1_000)), (10_000, None)]);
    }

    #[test]
    fn a_clock_that_steps_back_and_odd_rates_do_no_harm() {
        check(1.0, &[(1_000, None), (0, Some(1_000)), (2_000, None)]);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut quota = Quota::new(rate, base());
            assert!(quota.take(base()).is_ok(), "{rate}");
        }
    }
}
