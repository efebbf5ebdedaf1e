//! A revision beside the current one: canary and shadow.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use stemson_serving::{Arm, Change, Deployment, RollbackRefusal, Share, Swap};

use super::{SwapQuery, bring, by, change, refuse_other_sites};
use crate::context::Context;
use crate::error::Refusal;
use crate::json;
use crate::loader::Place;

/// Without a share said: one request in ten.
const SHARE: f64 = 0.1;

#[derive(Debug, Deserialize)]
pub(crate) struct CanaryQuery {
    share: Option<String>,
    #[serde(flatten)]
    swap: SwapQuery,
}

/// `POST /admin/models/{m}/canary?share=0.1`: the artifact of the body, or the revision that it
/// names, answers a share of the requests.
pub(crate) async fn canary(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Query(query): Query<CanaryQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let ratio = match &query.share {
        None => Some(SHARE),
        Some(text) => text.parse().ok(),
    };
    let share = ratio.and_then(Share::from_ratio).ok_or_else(|| {
        let found = query.share.as_deref().unwrap_or_default();
        Refusal::BadField(format!(
            "share is `{found}`, expected more than 0 and less than 1, such as 0.1"
        ))
    })?;
    let allow_schema_change = query.swap.allow_schema_change()?;
    bring(&context, &name, Place::Canary(share), allow_schema_change, request).await
}

/// `POST /admin/models/{m}/canary/promote`: the canary becomes current.
pub(crate) async fn promote(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    change_now(&context, &name, request, Deployment::promote).await
}

/// `POST /admin/models/{m}/canary/abort`: the current revision answers everybody again.
pub(crate) async fn abort(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    change_now(&context, &name, request, |deployment, change| deployment.abort(None, None, change))
        .await
}

/// `POST /admin/models/{m}/shadow`: the artifact of the body, or the revision that it names, is
/// asked too.
pub(crate) async fn shadow(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Query(query): Query<SwapQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let allow_schema_change = query.allow_schema_change()?;
    bring(&context, &name, Place::Shadow, allow_schema_change, request).await
}

/// `POST /admin/models/{m}/shadow/stop`.
pub(crate) async fn stop_shadow(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    change_now(&context, &name, request, Deployment::stop_shadow).await
}

/// What a request without a body asks for.
async fn change_now(
    context: &Context,
    name: &str,
    request: Request,
    what: impl FnOnce(&Deployment, Change) -> Result<Swap, RollbackRefusal> + Send + 'static,
) -> Result<Response, Refusal> {
    refuse_other_sites(&request)?;
    let deployment = context.deployment(name)?;
    change(context, deployment, by(&request), what).await
}

/// `GET /admin/models/{m}/canary`: what both arms have answered so far.
pub(crate) async fn show_rollout(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let deployment = context.deployment(&name)?;
    let warm = deployment.warm();
    let canary = warm.canary.as_ref();
    let canary = canary.ok_or(Refusal::Rollback(RollbackRefusal::NoCanary))?;
    let trial = canary.trial();
    let number = |value: f64| if value.is_finite() { value.to_string() } else { "null".to_owned() };
    let arm = |arm: Arm| {
        let counts = trial.counts(arm);
        format!(
            "{{\"requests\":{},\"errors\":{},\"seconds\":{}}}",
            counts.requests,
            counts.errors,
            number(counts.seconds())
        )
    };
    let mut out = b"{\"model\":".to_vec();
    json::write_str(&mut out, deployment.name().as_str());
    let revision = canary.revision();
    let rest = format!(
        ",\"number\":{},\"revision\":\"{}\",\"share\":{},\"stable\":{},\"canary\":{},\"psi\":{}}}",
        revision.number(),
        revision.digest(),
        canary.share().ratio(),
        arm(Arm::Stable),
        arm(Arm::Canary),
        number(trial.psi()),
    );
    out.extend_from_slice(rest.as_bytes());
    Ok(json::response(StatusCode::OK, out.into()))
}
