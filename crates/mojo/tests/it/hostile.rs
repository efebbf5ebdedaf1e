//! Damaged MOJOs: never a panic, never more than 512 MB, never unbounded work.
//!
//! Files of the corpus are taken apart, damaged inside, and put together with right checksums, so
//! that the damage reaches the parsers. What loads is scored with all explanations. A case is
//! decided by seed, algorithm and number; a failure names it, and this runs it alone:
//!
//! ```text
//! STEMSON_HOSTILE_CASE=gbm:17 cargo test -p stemson-mojo hostile::replay -- --ignored --nocapture
//! ```
//!
//! `STEMSON_HOSTILE_SEED` chooses another seed than 1. The short form runs with every change; the
//! long one (`--ignored`) keeps its results in `target/hostile/<algorithm>.txt` and goes on where
//! it stopped, as long as it is the same build.

mod campaign;
mod claims;
mod exercise;
mod made;
mod memory;
mod mutate;
mod random;
mod strangers;
mod trial;
pub(super) mod zip;

use campaign::{Campaign, seed};

/// Held at the same time while a file is loaded and scored.
const PEAK_BYTES_MAX: usize = 512 << 20;
/// Stands for bounded work where time cannot: a decent model of the corpus takes some thousands.
const ALLOCATIONS_MAX: u64 = 20_000_000;

const SHORT: u64 = 300;
const LONG: u64 = 5_000;
/// For the formats with trees.
const LONG_TREES: u64 = 20_000;

macro_rules! campaigns {
    ($($algorithm:ident $long:ident),* $(,)?) => {
        /// Names as in the corpus' `index.csv`.
        const ALGORITHMS: &[&str] = &[$(stringify!($algorithm)),*];

        mod short {
            $(#[test]
            fn $algorithm() {
                super::short(stringify!($algorithm));
            })*
        }

        mod long {
            $(#[test]
            #[ignore = "minutes"]
            fn $algorithm() {
                super::long(stringify!($algorithm), super::$long);
            })*
        }
    };
}

campaigns! {
    coxph LONG,
    deeplearning LONG,
    drf LONG_TREES,
    extendedisolationforest LONG_TREES,
    gam LONG,
    gbm LONG_TREES,
    glm LONG,
    glrm LONG,
    isolationforest LONG_TREES,
    isotonicregression LONG,
    klime LONG,
    kmeans LONG,
    pca LONG,
    pipeline LONG,
    rulefit LONG,
    stackedensemble LONG,
    svm LONG,
    targetencoder LONG,
    upliftdrf LONG_TREES,
    word2vec LONG,
    xgboost LONG_TREES,
}

#[test]
fn every_algorithm_of_the_corpus_has_a_campaign() {
    let mut without = campaign::algorithms();
    without.retain(|algorithm| !ALGORITHMS.contains(&algorithm.as_str()));
    assert!(without.is_empty(), "add a campaign for {without:?}");
}

/// Taking apart and putting together loses nothing: otherwise nothing but the zip is tested.
#[test]
fn what_is_packed_again_is_read_again() {
    for algorithm in ["gbm", "stackedensemble"] {
        for (name, entries) in campaign::models(algorithm) {
            let mut entries: Vec<_> =
                entries.iter().map(|entry| zip::Entry::new(&entry.name, &entry.data)).collect();
            for deflated in [false, true] {
                if deflated {
                    entries.iter_mut().for_each(zip::Entry::deflate);
                }
                let trial = trial::run(0, &zip::pack(&entries), true);
                assert_eq!(trial.outcome, "answered", "{name}, deflated: {deflated}");
            }
        }
    }
}

fn short(algorithm: &str) {
    let mut campaign = Campaign::new(algorithm, SHORT);
    campaign.run(|_| ());
    campaign.judge();
}

fn long(algorithm: &str, inputs: u64) {
    let mut campaign = Campaign::new(algorithm, inputs);
    campaign.resume();
    campaign.run(Campaign::save);
    campaign.save();
    campaign.judge();
    campaign.judge_time();
}

/// One case, told in full: `STEMSON_HOSTILE_CASE=gbm:17`. Leaves the file behind.
#[test]
#[ignore = "for one case of a failed campaign"]
fn replay() {
    let Ok(wanted) = std::env::var("STEMSON_HOSTILE_CASE") else { return };
    let (algorithm, case) = wanted.split_once(':').expect("ALGORITHM:NUMBER");
    let case: u64 = case.parse().expect("ALGORITHM:NUMBER");
    let (bytes, what) = mutate::damage(
        &campaign::models(algorithm),
        &mut random::Random::of(seed(), algorithm, case),
    );
    println!("{wanted}: {what}");
    println!("kept as {}", campaign::keep(&format!("{algorithm}-{case}.zip"), &bytes).display());
    let trial = trial::run(case, &bytes, case.is_multiple_of(2));
    println!("{}, {:?}", trial.outcome, trial.usage);
    assert!(!trial.panicked, "{}", trial.outcome);
}
