//! Swap and rollback, with real models.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stemson_mojo::{LoadOptions, Model};
use stemson_serving::{
    Candidate, Change, Deployments, Difference, ModelName, Outcome, Prepared, SwapRefusal,
    differences,
};

/// The bytes of a model of the corpus.
macro_rules! corpus {
    ($case:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/corpora/mojo/",
            $case,
            "/model.zip"
        ))
    };
}

pub(crate) use corpus;

/// Models whose callers need not know which one answers: A, B, C.
const A: &[u8] = corpus!("gbm_bernoulli");
const B: &[u8] = corpus!("gbm_platt");
const C: &[u8] = corpus!("gbm_isotonic");
/// Another category.
const REGRESSION: &[u8] = corpus!("gbm_gaussian");

fn model(bytes: &[u8]) -> Arc<Model> {
    Arc::new(Model::load(bytes, &LoadOptions::default()).expect("a corpus model loads"))
}

fn change(allow_schema_change: bool) -> Change {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Change { at, by: "test".to_owned(), allow_schema_change }
}

fn name() -> ModelName {
    "churn".parse().expect("a name")
}

enum Step {
    Swap(&'static [u8]),
    Force(&'static [u8]),
    Rollback,
    RollbackTo(&'static str),
}
use Step::{Force, Rollback, RollbackTo, Swap};

/// Runs a script over one deployment; each answer is `outcome current previous`, or the refusal.
#[track_caller]
fn check(script: &[(Step, &str)]) -> Deployments {
    let deployments = Deployments::new();
    for (line, (step, expected)) in script.iter().enumerate() {
        let swap = |bytes, allow| {
            let candidate = Candidate {
                model: model(bytes),
                ns_per_row: 1_000.0,
                prepared: Prepared::default(),
            };
            deployments.swap(&name(), candidate, change(allow)).map_err(|cause| cause.to_string())
        };
        let rollback = |to: Option<&str>| {
            let to = to.map(|text| text.parse().expect("a selector"));
            let deployment = deployments.find(&name()).expect("deployed");
            deployment.rollback(to.as_ref(), change(false)).map_err(|cause| cause.to_string())
        };
        let done = match *step {
            Swap(bytes) => swap(bytes, false),
            Force(bytes) => swap(bytes, true),
            Rollback => rollback(None),
            RollbackTo(to) => rollback(Some(to)),
        };
        let found = match done {
            Ok(swap) => {
                let previous = swap.warm.previous.as_ref();
                let previous = previous.map_or("-".to_owned(), |r| r.number().to_string());
                let retired = swap.retired.iter().map(|r| format!(" -{}", r.number()));
                let retired: String = retired.collect();
                let current = swap.warm.current.number();
                format!("{} {current} {previous}{retired}", swap.outcome.as_str())
            }
            Err(refusal) => refusal,
        };
        assert!(found.contains(expected), "line {line}: `{found}` instead of `{expected}`");
    }
    deployments
}

#[test]
fn the_same_artifact_keeps_its_number() {
    let deployments = check(&[
        (Swap(A), "deployed 1 -"),
        (Swap(A), "unchanged 1 -"),
        (Swap(B), "swapped 2 1"),
        (Swap(A), "swapped 1 2"),
        (Swap(C), "swapped 3 1 -2"),
        (Swap(B), "swapped 2 3 -1"),
        (Swap(A), "swapped 1 2 -3"),
    ]);
    let deployment = deployments.find(&name()).expect("deployed");
    let states: Vec<_> = deployment.revisions().iter().map(|r| r.state.as_str()).collect();
    assert_eq!(states, ["current", "previous", "retired"]);
    let events: Vec<_> =
        deployment.events().iter().map(|e| (e.kind.as_str(), e.from, e.to)).collect();
    assert_eq!(
        events,
        [
            ("deploy", None, 1),
            ("swap", Some(1), 2),
            ("swap", Some(2), 1),
            ("swap", Some(1), 3),
            ("swap", Some(3), 2),
            ("swap", Some(2), 1),
        ]
    );
}

#[test]
fn rolls_back_to_what_is_warm() {
    check(&[
        (Swap(A), "deployed 1 -"),
        (Rollback, "there is no previous revision"),
        (RollbackTo("1"), "unchanged 1 -"),
        (Swap(B), "swapped 2 1"),
        (Rollback, "rolled_back 1 2"),
        (Rollback, "rolled_back 2 1"),
        (RollbackTo("stable"), "unchanged 2 1"),
        (RollbackTo("1"), "rolled_back 1 2"),
        (Swap(C), "swapped 3 1 -2"),
        (RollbackTo("2"), "no longer warm"),
        (RollbackTo("7"), "no revision `7`"),
        (RollbackTo("canary"), "no revision `canary`"),
        (RollbackTo("000000000000"), "no revision `000000000000`"),
    ]);
}

#[test]
fn a_digest_names_a_revision() {
    let deployments = check(&[(Swap(A), "deployed 1"), (Swap(B), "swapped 2 1")]);
    let deployment = deployments.find(&name()).expect("deployed");
    let digest = model(A).digest().to_string();
    for digits in [&digest[..12], &digest[..30], &digest, &digest[..12].to_ascii_uppercase()] {
        let found = deployment.resolve(&digits.parse().expect("a selector")).expect("warm");
        assert_eq!(found.number(), 1, "{digits}");
    }
}

#[test]
fn callers_are_not_surprised_by_another_schema() {
    check(&[
        (Swap(A), "deployed 1 -"),
        (Swap(REGRESSION), "category Binomial becomes Regression"),
        (Swap(B), "swapped 2 1"),
        (Force(REGRESSION), "swapped 3 2 -1"),
        (Rollback, "rolled_back 2 3"),
    ]);
}

#[test]
fn every_difference_is_named() {
    let (gbm, iris) = (model(A), model(corpus!("sk_iris_gbm")));
    let found = differences(&gbm, &iris);
    assert!(found.iter().any(|d| matches!(d, Difference::Category { .. })), "{found:?}");
    let removed = found.iter().filter(|d| matches!(d, Difference::Removed { .. })).count();
    let added = found.iter().filter(|d| matches!(d, Difference::Added { .. })).count();
    assert_eq!(removed, gbm.schema().columns().len());
    assert_eq!(added, iris.schema().columns().len());
    assert!(found.iter().any(|d| matches!(d, Difference::Labels { .. })), "{found:?}");

    let offset = differences(&gbm, &model(corpus!("gbm_bernoulli_offset")));
    assert!(!offset.is_empty());
    assert_eq!(differences(&gbm, &model(A)), []);
}

#[test]
fn a_refused_model_leaves_no_trace() {
    let deployments = check(&[(Swap(A), "deployed 1 -")]);
    let candidate =
        Candidate { model: model(REGRESSION), ns_per_row: 1.0, prepared: Prepared::default() };
    let refused = deployments.swap(&name(), candidate, change(false));
    assert!(matches!(refused, Err(SwapRefusal::Schema(_))));
    let deployment = deployments.find(&name()).expect("deployed");
    assert_eq!(deployment.revisions().len(), 1);
    assert_eq!(deployment.events().len(), 1);
}

#[test]
fn a_request_keeps_its_revision_through_a_swap() {
    let deployments = check(&[(Swap(A), "deployed 1 -")]);
    let deployment = deployments.find(&name()).expect("deployed");
    let taken = deployment.current();
    for bytes in [B, C] {
        let candidate =
            Candidate { model: model(bytes), ns_per_row: 1.0, prepared: Prepared::default() };
        let swap = deployments.swap(&name(), candidate, change(false)).expect("swapped");
        assert_eq!(swap.outcome, Outcome::Swapped);
    }
    assert_eq!(taken.number(), 1);
    assert_eq!(taken.model().digest(), model(A).digest());
    assert_eq!(deployment.current().number(), 3);
}
