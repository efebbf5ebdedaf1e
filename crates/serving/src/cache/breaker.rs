//! When to leave a server alone that does not answer.

use std::time::{Duration, Instant};

/// Counts failures of one server: closed, it is asked; open, it is not; half open, one question
/// finds out whether it is back.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause_min: Duration,
    pause_max: Duration,
    pause: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { since: Instant },
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// One question.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The word: `closed`, `half_open`, `open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl Breaker {
    /// Opens after so many failures in a row, for `pause`; each time that the one question fails
    /// for twice as long, up to `pause_max`.
    pub fn new(failures_max: u32, pause: Duration, pause_max: Duration) -> Self {
        let state = State::Closed { failures: 0 };
        let failures_max = failures_max.max(1);
        Self { failures_max, pause_min: pause, pause_max, pause, state }
    }

    /// May the server be asked now? Whoever is told so reports how it went.
    ///
    /// A question that nobody reports on counts as forgotten after a pause.
    pub fn admits(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } if now < until => false,
            State::HalfOpen { since } if now.saturating_duration_since(since) < self.pause => false,
            State::Open { .. } | State::HalfOpen { .. } => {
                self.state = State::HalfOpen { since: now };
                true
            }
        }
    }

    /// The server has answered.
    pub fn succeeded(&mut self) {
        // While it is open this is the late answer to an older question: it shows that the server
        // lives, too.
        self.pause = self.pause_min;
        self.state = State::Closed { failures: 0 };
    }

    /// The server has not answered, or not in time. True if it is left alone from now on, and was
    /// not before.
    pub fn failed(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { failures } if failures + 1 < self.failures_max => {
                self.state = State::Closed { failures: failures + 1 };
                false
            }
            State::Closed { .. } => {
                self.state = State::Open { until: now + self.pause };
                true
            }
            State::HalfOpen { .. } => {
                self.pause = (self.pause * 2).min(self.pause_max);
                self.state = State::Open { until: now + self.pause };
                false
            }
            // A question from before it opened.
            State::Open { .. } => false,
        }
    }

    /// What it would say now.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::some_time;

    /// One line per event: ms, `ask`, `ok` or `fail`, and the breaker's word for it after that.
    fn check(script: &[(u64, &str, &str)]) {
        let start = some_time();
        let (second, most) = (Duration::from_secs(1), Duration::from_secs(4));
        let mut breaker = Breaker::new(3, second, most);
        for (line, (at, event, expected)) in script.iter().enumerate() {
            let now = start + Duration::from_millis(*at);
            let found = match *event {
                "ask" if breaker.admits(now) => "yes",
                "ask" => "no",
                "ok" => {
                    breaker.succeeded();
                    breaker.state().as_str()
                }
                _ => {
                    breaker.failed(now);
                    breaker.state().as_str()
                }
            };
            assert_eq!(found, *expected, "line {line}: {at} {event}");
        }
    }

    #[test]
    fn failures_in_a_row_open_it() {
        check(&[
            (0, "fail", "closed"),
            (0, "fail", "closed"),
            (0, "ok", "closed"),
            (0, "fail", "closed"),
            (0, "fail", "closed"),
            (1, "ask", "yes"),
            (2, "fail", "open"),
            (3, "ask", "no"),
            (1_001, "ask", "no"),
            (1_002, "ask", "yes"),
            (1_003, "ask", "no"),
            (1_004, "ok", "closed"),
            (1_005, "ask", "yes"),
        ]);
    }

    #[test]
    fn each_failed_question_doubles_the_pause_up_to_its_bound() {
        check(&[
            (0, "fail", "closed"),
            (0, "fail", "closed"),
            (0, "fail", "open"),
            (1_000, "ask", "yes"),
            (1_000, "fail", "open"),
            (2_999, "ask", "no"),
            (3_000, "ask", "yes"),
            (3_000, "fail", "open"),
            (7_000, "ask", "yes"),
            (7_000, "fail", "open"),
            (10_999, "ask", "no"),
            (11_000, "ask", "yes"),
            (11_000, "ok", "closed"),
        ]);
    }

    #[test]
    fn a_question_that_nobody_reports_on_is_forgotten() {
        check(&[
            (0, "fail", "closed"),
            (0, "fail", "closed"),
            (0, "fail", "open"),
            (1_000, "ask", "yes"),
            (1_500, "ask", "no"),
            (2_000, "ask", "yes"),
        ]);
    }
}
