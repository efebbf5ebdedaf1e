//! What a trial concludes, by seed.

use std::time::Duration;

use stemson_serving::{Alarm, Answered, Arm, Seen, Share, Trial, TrialLimits};

use crate::simulation::Random;

const SEEDS: u64 = 10_000;

/// How an arm answers.
#[derive(Clone, Copy)]
struct Nature {
    errors: f64,
    /// Median, in ms.
    ms: f64,
    labels: [f64; 3],
    /// Mean of values, where it answers values.
    value: Option<f64>,
}

const GOOD: Nature = Nature { errors: 0.02, ms: 2.0, labels: [0.7, 0.2, 0.1], value: None };

impl Nature {
    fn answer(&self, random: &mut Random) -> Seen {
        let is_error = random.unit() < self.errors;
        // Twelve uniform ones are a normal one for our purposes.
        let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let took = Duration::from_secs_f64(self.ms / 1e3 * (0.5 * normal).exp());
        let answer = match self.value {
            Some(mean) => Answered::Value(mean + normal),
            None => {
                let (place, [first, second, _]) = (random.unit(), self.labels);
                let label = usize::from(place >= first) + usize::from(place >= first + second);
                Answered::Label(label)
            }
        };
        Seen { is_error, took, answer: (!is_error).then_some(answer) }
    }
}

/// The first alarm in so many requests, and at which request it came.
fn trial(
    seed: u64,
    share: f64,
    stable: Nature,
    canary: Nature,
    n: usize,
) -> Option<(Alarm, usize)> {
    let mut random = Random(seed);
    let mut trial = Trial::new(TrialLimits::default());
    for request in 0..n {
        let (arm, nature) =
            if random.unit() < share { (Arm::Canary, canary) } else { (Arm::Stable, stable) };
        let seen = nature.answer(&mut random);
        if let Some(alarm) = trial.observe(arm, &seen) {
            return Some((alarm, request));
        }
    }
    None
}

#[test]
fn a_canary_that_is_as_good_is_hardly_ever_stopped() {
    let shares = [0.1, 0.3, 0.5, 0.8];
    let values = Nature { value: Some(5.0), ..GOOD };
    let mut stopped = Vec::new();
    for seed in 0..SEEDS {
        let share = shares[seed as usize % shares.len()];
        let nature = if seed % 3 == 0 { values } else { GOOD };
        if let Some((alarm, request)) = trial(seed, share, nature, nature, 1_200) {
            stopped.push(format!("seed {seed}, request {request}: {alarm}"));
        }
    }
    // One in 200 is what the guide promises.
    assert!(stopped.len() <= 50, "{} stopped: {:?}", stopped.len(), &stopped[..5]);
}

#[test]
fn one_that_is_worse_is_stopped_for_what_is_wrong_with_it() {
    let values = |mean| Nature { value: Some(mean), ..GOOD };
    for (stable, canary, kind) in [
        (GOOD, Nature { errors: 0.2, ..GOOD }, "errors"),
        (GOOD, Nature { errors: 1.0, ..GOOD }, "errors"),
        (GOOD, Nature { ms: 6.0, ..GOOD }, "latency"),
        (GOOD, Nature { labels: [0.1, 0.2, 0.7], ..GOOD }, "answers"),
        (GOOD, Nature { labels: [1.0, 0.0, 0.0], ..GOOD }, "answers"),
        (values(0.0), values(2.0), "answers"),
    ] {
        for seed in 0..200 {
            let found = trial(seed, 0.2, stable, canary, 20_000);
            let found = found.map(|(alarm, _)| alarm.to_string()).unwrap_or_default();
            assert!(found.starts_with(kind), "seed {seed}: `{found}` instead of {kind}");
        }
    }
}

#[test]
fn little_differences_are_tolerated() {
    let worse = Nature { errors: 0.025, ms: 2.4, labels: [0.65, 0.23, 0.12], ..GOOD };
    for seed in 0..200 {
        let found = trial(seed, 0.5, GOOD, worse, 5_000);
        assert!(found.is_none(), "seed {seed}: {found:?}");
    }
}

#[test]
fn nothing_is_concluded_from_few() {
    let broken = Nature { errors: 1.0, ms: 100.0, labels: [0.0, 0.0, 1.0], value: None };
    for seed in 0..200 {
        assert_eq!(trial(seed, 0.5, GOOD, broken, 150), None, "seed {seed}");
        let (_, request) = trial(seed, 0.5, GOOD, broken, 1_000).expect("it is broken");
        assert!(request < 350, "seed {seed}: stopped only at request {request}");
    }
}

#[test]
fn a_share_is_more_than_none_and_less_than_all() {
    for (ratio, expected) in [(0.1, Some(0.1)), (1e-6, Some(1e-6)), (0.999_999, Some(0.999_999))] {
        assert_eq!(Share::from_ratio(ratio).map(Share::ratio), expected);
    }
    for ratio in [0.0, 1.0, -0.5, 2.0, 1e-9, f64::NAN, f64::INFINITY] {
        assert_eq!(Share::from_ratio(ratio), None, "{ratio}");
    }
}
