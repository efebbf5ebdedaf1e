//! Early refresh of answers that age.
//!
//! Most answers do not: a key holds the digest of the model and the bits of the row, so what is kept
//! under it stays right, and its time to live is a bound on memory. An answer ages where it depends on
//! more than its key, as when features are looked up somewhere else.

use std::time::{Duration, Instant};

/// Whether a reader computes an answer anew although it has not expired, so that of many readers a
/// few do it early and the others never wait: `now - cost * beta * ln(draw) >= expires`.
///
/// `cost`: how long it takes to compute. `beta`: 1 is best where readers come independently; more is
/// earlier. `draw`: uniform in (0, 1). With `beta` = 1 a reader that comes `gap` before the end
/// refreshes with probability `e^(-gap / cost)`.
///
/// Source: Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention,
/// VLDB 2015.
pub fn is_early_refresh(
    now: Instant,
    expires: Instant,
    cost: Duration,
    beta: f64,
    draw: f64,
) -> bool {
    let left = expires.saturating_duration_since(now).as_secs_f64();
    let ahead = -draw.ln() * beta * cost.as_secs_f64();
    // Not a number if the draw was not between 0 and 1: no refresh.
    ahead >= left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::some_time;

    /// The share of readers that refresh, by the distance from the end in costs.
    #[test]
    fn the_probability_falls_with_the_distance_from_the_end() {
        let start = some_time();
        let cost = Duration::from_millis(50);
        let draws = 20_000;
        for (gap, expected) in [(0.0, 1.0), (1.0, 0.3679), (2.0, 0.1353), (4.0, 0.0183)] {
            let expires = start + cost.mul_f64(gap);
            let refreshed = (0..draws)
                .map(|n| (f64::from(n) + 0.5) / f64::from(draws))
                .filter(|draw| is_early_refresh(start, expires, cost, 1.0, *draw))
                .count();
            let share = refreshed as f64 / f64::from(draws);
            assert!((share - expected).abs() < 1e-3, "{gap} costs before the end: {share}");
        }
        assert!(!is_early_refresh(start, start + cost, cost, 1.0, -1.0), "no draw at all");
        assert!(is_early_refresh(start + cost, start, cost, 1.0, 0.999), "it has expired");
    }
}
