//! A revision on trial: who gets it, what is counted, when it is stopped.
//!
//! Requests are dealt to two arms by a hash, so both arms see the same mixture of requests, and
//! what differs between them is the revision. Three things are compared, each with a bound of what
//! is tolerated and an allowance for chance of [`Z`] standard deviations: the rate of errors, the
//! time to the answer, the shares of the labels (or of ranges of values).

use std::fmt;
use std::time::Duration;

/// The share of the requests that a canary gets: more than none and less than all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    per_million: u32,
}

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// From a ratio between 0.000001 and 0.999999; none outside of it.
    pub fn from_ratio(ratio: f64) -> Option<Self> {
        let parts = (ratio * f64::from(Self::WHOLE)).round();
        let is_share = parts >= 1.0 && parts < f64::from(Self::WHOLE);
        is_share.then_some(Self { per_million: parts as u32 })
    }

    /// Between 0 and 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.per_million) / f64::from(Self::WHOLE)
    }

    /// Whether the request with this key belongs to the canary. The same key, the same answer;
    /// `salt` makes two canaries choose differently.
    pub(crate) fn takes(self, key: u64, salt: u64) -> bool {
        let place = (u128::from(mix(key ^ salt)) * u128::from(Self::WHOLE)) >> 64;
        place < u128::from(self.per_million)
    }
}

/// A bijection that spreads what differs in any bit over all of them. Source: the finalizer of
/// `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The current revision.
    Stable,
    /// The one on trial.
    Canary,
}

/// What is tolerated of a canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialLimits {
    /// Requests that each arm must have answered before anything is concluded.
    pub min_requests: u64,
    /// How much higher its rate of errors may be: 0.01 is one request more in a hundred.
    pub max_error_increase: f64,
    /// How many times as long it may take, in the geometric mean.
    pub max_latency_ratio: f64,
    /// Population stability index of the answers against those of the current revision.
    pub max_psi: f64,
}

impl Default for TrialLimits {
    fn default() -> Self {
        Self { min_requests: 100, max_error_increase: 0.01, max_latency_ratio: 1.5, max_psi: 0.2 }
    }
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Not answered, or the row refused by the algorithm. What the caller did wrong is not seen at all.
    pub is_error: bool,
    /// From the request's arrival to its answer.
    pub took: Duration,
    /// Of one of its rows: the rows of a request resemble each other, and must not count as many.
    pub answer: Option<Answered>,
}

/// What a row was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answered {
    /// Index of the label.
    Label(usize),
    /// A number.
    Value(f64),
}

/// Why a canary is stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alarm {
    /// Rates of errors.
    Errors {
        /// Of the current revision.
        stable: f64,
        /// Of the canary.
        canary: f64,
    },
    /// Geometric means of the time to the answer, in seconds.
    Latency {
        /// Of the current revision.
        stable: f64,
        /// Of the canary.
        canary: f64,
    },
    /// Population stability index of the answers.
    Answers {
        /// The index.
        psi: f64,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { stable, canary } => write!(
                f,
                "errors: {:.2} % of its requests, {:.2} % of the current revision's",
                canary * 100.0,
                stable * 100.0
            ),
            Self::Latency { stable, canary } => write!(
                f,
                "latency: {:.3} ms in the geometric mean, {:.3} ms by the current revision",
                canary * 1e3,
                stable * 1e3
            ),
            Self::Answers { psi } => {
                write!(
                    f,
                    "answers: population stability index {psi:.3} against the current revision's"
                )
            }
        }
    }
}

/// Standard deviations of allowance: by chance alone one look in 30,000 goes beyond.
const Z: f64 = 4.0;

/// After a look without a finding the canary must have answered so many times more requests: forty
/// looks in a million requests, so a canary that is as good is stopped in one trial of some hundred.
const NEXT_LOOK: f64 = 1.25;

/// Ranges that values are counted in: tenths of the current revision's first ones.
const RANGES: usize = 10;

/// Labels that are counted apart; the rest counts as one.
const LABELS_MAX: usize = 256;

/// The counts of a trial.
#[derive(Debug, Clone)]
pub struct Trial {
    limits: TrialLimits,
    arms: [Counts; 2],
    shares: Shares,
    next_look: u64,
}

/// Counts of one arm, for those who want to see them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Those with an error.
    pub errors: u64,
    /// Mean of the logarithm of the seconds of those without.
    ln_mean: f64,
    /// Sum of squared distances from it.
    ln_squares: f64,
}

impl Counts {
    /// Seconds to the answer, geometric mean; NaN before the first.
    pub fn seconds(&self) -> f64 {
        if self.answered() == 0 { f64::NAN } else { self.ln_mean.exp() }
    }

    fn answered(&self) -> u64 {
        self.requests - self.errors
    }

    fn add(&mut self, seen: &Seen) {
        self.requests += 1;
        if seen.is_error {
            self.errors += 1;
            return;
        }
        // Welford's recurrence.
        let ln = seen.took.as_secs_f64().max(1e-9).ln();
        let before = ln - self.ln_mean;
        self.ln_mean += before / self.answered() as f64;
        self.ln_squares += before * (ln - self.ln_mean);
    }

    fn error_rate(&self) -> f64 {
        self.errors as f64 / self.requests as f64
    }

    /// Variance of the mean of the logarithms.
    fn ln_variance_of_mean(&self) -> f64 {
        let n = self.answered() as f64;
        self.ln_squares / (n - 1.0) / n
    }
}

impl Trial {
    /// A trial in which nothing was seen yet.
    pub fn new(limits: TrialLimits) -> Self {
        let next_look = limits.min_requests;
        Self { limits, arms: Default::default(), shares: Shares::default(), next_look }
    }

    /// The counts of an arm.
    pub fn counts(&self, arm: Arm) -> Counts {
        self.arms[arm as usize]
    }

    /// Population stability index of the canary's answers; NaN before there are any.
    pub fn psi(&self) -> f64 {
        self.shares.psi().map_or(f64::NAN, |(psi, _)| psi)
    }

    /// Counts a request, and says whether the canary must stop.
    pub fn observe(&mut self, arm: Arm, seen: &Seen) -> Option<Alarm> {
        self.arms[arm as usize].add(seen);
        if let Some(answer) = seen.answer {
            self.shares.add(arm, answer, self.limits.min_requests as usize);
        }
        let [stable, canary] = &self.arms;
        if canary.requests < self.next_look || stable.requests < self.limits.min_requests {
            return None;
        }
        self.next_look = (canary.requests as f64 * NEXT_LOOK).ceil() as u64;
        self.errors().or_else(|| self.latency()).or_else(|| self.answers())
    }

    /// One-sided test of two proportions, pooled under the hypothesis that they are equal.
    fn errors(&self) -> Option<Alarm> {
        let [stable, canary] = &self.arms;
        let (rate, own) = (stable.error_rate(), canary.error_rate());
        let (n, m) = (stable.requests as f64, canary.requests as f64);
        let pooled = (stable.errors + canary.errors) as f64 / (n + m);
        let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        // Half a request of correction, for counts are whole.
        let increase = own - rate - 0.5 * (1.0 / n + 1.0 / m);
        let is_bad = own - rate > self.limits.max_error_increase && increase > Z * deviation;
        is_bad.then_some(Alarm::Errors { stable: rate, canary: own })
    }

    /// Welch's statistic on logarithms: the ratio is beyond the bound, chance allowed for.
    fn latency(&self) -> Option<Alarm> {
        let [stable, canary] = &self.arms;
        if stable.answered() < self.limits.min_requests
            || canary.answered() < self.limits.min_requests
        {
            return None;
        }
        let deviation = (stable.ln_variance_of_mean() + canary.ln_variance_of_mean()).sqrt();
        let least = canary.ln_mean - stable.ln_mean - Z * deviation;
        (least > self.limits.max_latency_ratio.ln())
            .then(|| Alarm::Latency { stable: stable.seconds(), canary: canary.seconds() })
    }

    fn answers(&self) -> Option<Alarm> {
        let (psi, noise) = self.shares.psi()?;
        let has_enough =
            self.shares.totals().iter().all(|total| *total >= self.limits.min_requests);
        (has_enough && psi - noise > self.limits.max_psi).then_some(Alarm::Answers { psi })
    }
}

/// How often which answer was given, by arm.
#[derive(Debug, Clone, Default)]
struct Shares {
    /// The current revision's first values, until there are enough to cut ranges.
    sample: Vec<f64>,
    /// Upper bounds of the ranges but the last.
    bounds: Vec<f64>,
    counts: [Vec<u64>; 2],
}

impl Shares {
    fn add(&mut self, arm: Arm, answer: Answered, sample_len: usize) {
        let cell = match answer {
            Answered::Label(index) => index.min(LABELS_MAX),
            Answered::Value(value) if self.bounds.is_empty() => {
                if arm == Arm::Stable && !value.is_nan() {
                    self.sample.push(value);
                }
                if self.sample.len() >= sample_len.max(RANGES) {
                    self.cut();
                }
                return;
            }
            Answered::Value(value) if value.is_nan() => RANGES,
            Answered::Value(value) => self.bounds.partition_point(|bound| *bound < value),
        };
        for counts in &mut self.counts {
            if counts.len() <= cell {
                counts.resize(cell + 1, 0);
            }
        }
        self.counts[arm as usize][cell] += 1;
    }

    fn cut(&mut self) {
        self.sample.sort_unstable_by(f64::total_cmp);
        let n = self.sample.len();
        self.bounds = (1..RANGES).map(|tenth| self.sample[tenth * n / RANGES]).collect();
        self.sample = Vec::new();
    }

    fn totals(&self) -> [u64; 2] {
        self.counts.each_ref().map(|counts| counts.iter().sum())
    }

    /// The index, and what chance alone may make of it: where both arms answer alike, the index
    /// times `nm / (n + m)` is distributed as chi-square with `cells - 1` degrees of freedom.
    fn psi(&self) -> Option<(f64, f64)> {
        let [n, m] = self.totals().map(|total| total as f64);
        if n == 0.0 || m == 0.0 {
            return None;
        }
        let pairs = || self.counts[0].iter().zip(&self.counts[1]).filter(|(a, b)| *a + *b > 0);
        let cells = pairs().count() as f64;
        // Half a count everywhere, so that a cell that one arm never saw is finite.
        let share = |count: u64, total: f64| (count as f64 + 0.5) / (total + 0.5 * cells);
        let psi = pairs().map(|(&a, &b)| {
            let (stable, canary) = (share(a, n), share(b, m));
            (canary - stable) * (canary / stable).ln()
        });
        let freedom = cells - 1.0;
        let noise = (1.0 / n + 1.0 / m) * (freedom + Z * (2.0 * freedom).sqrt());
        Some((psi.sum(), noise))
    }
}
