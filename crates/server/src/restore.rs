//! The deployments of before, as the data folder has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use stemson_serving::{
    Candidate, Deployment, DeploymentState, Event, EventKind, Journal, ModelName, ResolveError,
    Selector,
};

use crate::bench::Bench;
use crate::config::StartError;
use crate::deploy_error::DeployError;
use crate::store::StoreError;

/// Brings back every deployment with the models that were warm, and says what could not come back.
pub(crate) fn restore(bench: &Bench) -> Result<Vec<String>, StartError> {
    let mut warnings = Vec::new();
    for (name, state, events) in bench.store.deployments()? {
        let number = state.current;
        let deployment = revive(bench, name.clone(), state, events, &mut warnings);
        let deployment =
            deployment.map_err(|cause| StartError::Restore { model: name, number, cause })?;
        bench.deployments.adopt(Arc::new(deployment));
    }
    Ok(warnings)
}

/// Brings back one deployment.
///
/// A revision whose artifact cannot be loaded any more is left out; if it is the current one, the
/// previous one takes over, and the log of revisions says so.
pub(crate) fn revive(
    bench: &Bench,
    name: ModelName,
    mut state: DeploymentState,
    mut events: Vec<Event>,
    warnings: &mut Vec<String>,
) -> Result<Deployment, DeployError> {
    let mut models = BTreeMap::new();
    let mut causes = BTreeMap::new();
    for number in warm(&state) {
        match load(bench, &name, &state, number) {
            Ok(candidate) => drop(models.insert(number, candidate)),
            Err(cause) => {
                warnings.push(format!("{name}: revision {number} cannot come back: {cause}"));
                causes.insert(number, cause);
            }
        }
    }
    if let Some(cause) = causes.remove(&state.current) {
        let previous = state.previous.filter(|previous| models.contains_key(previous));
        let previous = previous.ok_or_else(|| cause.clone())?;
        let event = fall_back(&mut state, previous, &cause);
        let kept = bench.store.record(&name, &state, &event);
        kept.map_err(|cause| StoreError::Database {
            path: "state.db".into(),
            cause: cause.to_string(),
        })?;
        warnings.push(format!("{name}: revision {previous} answers instead"));
        events.push(event);
    }
    let (journal, current) = (Arc::clone(&bench.store) as Arc<dyn Journal>, state.current);
    let revived =
        Deployment::restore(name, state, events, models, bench.live.load().trial, journal);
    revived.ok_or(DeployError::Known(ResolveError::Unknown(Selector::Number(current))))
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

fn load(
    bench: &Bench,
    name: &ModelName,
    state: &DeploymentState,
    number: u64,
) -> Result<Candidate, DeployError> {
    let Some(known) = state.revision(number) else {
        return Err(DeployError::Known(ResolveError::Unknown(Selector::Number(number))));
    };
    bench.load(name, &bench.store.artifact(&known.digest)?)
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
