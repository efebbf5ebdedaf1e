//! The deployments of before, as the data folder has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use stemson_serving::{Candidate, Deployment, DeploymentState, Event, EventKind, Journal};

use crate::bench::Bench;
use crate::config::StartError;
use crate::deploy_error::DeployError;
use crate::store::StoreError;

/// Brings back every deployment with the models that were warm, and says what could not come back.
///
/// A revision whose artifact cannot be loaded any more is left out; if it is the current one, the
/// previous one takes over, and the log of revisions says so.
pub(crate) fn restore(bench: &Bench) -> Result<Vec<String>, StartError> {
    let mut warnings = Vec::new();
    for (name, mut state, mut events) in bench.store.deployments()? {
        let mut models = BTreeMap::new();
        let mut causes = BTreeMap::new();
        for number in warm(&state) {
            match load(bench, &state, number) {
                Ok(candidate) => drop(models.insert(number, candidate)),
                Err(cause) => {
                    warnings.push(format!("{name}: revision {number} cannot come back: {cause}"));
                    causes.insert(number, cause);
                }
            }
        }
        let lost = state.current;
        if let Some(cause) = causes.remove(&lost) {
            let previous = state.previous.filter(|previous| models.contains_key(previous));
            let Some(previous) = previous else {
                return Err(StartError::Restore { model: name, number: lost, cause });
            };
            let event = fall_back(&mut state, previous, &cause);
            let kept = bench.store.record(&name, &state, &event);
            kept.map_err(|cause| StoreError::Database {
                path: "state.db".into(),
                cause: cause.to_string(),
            })?;
            warnings.push(format!("{name}: revision {previous} answers instead"));
            events.push(event);
        }
        let journal = Arc::clone(&bench.store) as Arc<dyn Journal>;
        let restored = Deployment::restore(name, state, events, models, bench.trial, journal);
        restored.into_iter().for_each(|deployment| bench.deployments.adopt(deployment));
    }
    Ok(warnings)
}

/// Numbers of the revisions that must be warm.
fn warm(state: &DeploymentState) -> Vec<u64> {
    let canary = state.canary.map(|(number, _)| number);
    let mut numbers = vec![state.current];
    for number in [state.previous, canary, state.shadow].into_iter().flatten() {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}

fn load(bench: &Bench, state: &DeploymentState, number: u64) -> Result<Candidate, DeployError> {
    let Some(known) = state.revision(number) else {
        let selector = stemson_serving::Selector::Number(number);
        return Err(DeployError::Known(stemson_serving::ResolveError::Unknown(selector)));
    };
    bench.load(&bench.store.artifact(&known.digest)?, None)
}

/// The previous revision takes over.
fn fall_back(state: &mut DeploymentState, previous: u64, cause: &DeployError) -> Event {
    let lost = state.current;
    state.current = previous;
    state.previous = None;
    state.canary = None;
    state.shadow = None;
    Event {
        at: SystemTime::now(),
        kind: EventKind::Rollback,
        from: Some(lost),
        to: previous,
        by: "start".to_owned(),
        note: Some(cause.to_string()),
    }
}
