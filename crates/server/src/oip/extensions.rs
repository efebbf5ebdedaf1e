//! The routes of the protocol's extensions: repository, statistics, settings, configuration.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::metadata;
use crate::auth::Caller;
use crate::context::{self, Context};
use crate::error::Refusal;
use crate::{admin, intake, json, repository, settings, statistics};

/// Bytes of a body that has no artifact in it.
const SMALL_BODY_BYTES: u64 = 64 << 10;

fn show(value: &impl Serialize) -> Response {
    // What is shown here has no key that is no text.
    let body = serde_json::to_vec(value).unwrap_or_default();
    json::response(StatusCode::OK, body.into())
}

/// `POST /v2/repository/index`.
pub(crate) async fn index(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let budget = Some(&context.bodies);
    let body = intake::read(&parts.headers, body, SMALL_BODY_BYTES, "body_mib", budget).await?;
    let ready_only = repository::read_index(&body)?;
    let caller = Caller::of(&parts.extensions);
    Ok(show(&repository::index(&context, ready_only, &caller)))
}

/// `POST /v2/repository/models/{m}/load`.
pub(crate) async fn load(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    admin::refuse_other_sites(&request)?;
    let by = admin::by(&request);
    // Base64 takes four bytes for three.
    let bytes_max = context.limits().artifact_bytes_max / 3 * 4 + SMALL_BODY_BYTES;
    let body = intake::artifact(&context, request, bytes_max).await?;
    let _turn = context.turn().await?;
    let parameters = if body.len() as u64 > SMALL_BODY_BYTES {
        let read = tokio::task::spawn_blocking(move || repository::read_load(&body));
        read.await.map_err(|_| Refusal::Panicked)??
    } else {
        repository::read_load(&body)?
    };
    repository::load(&context, &name, parameters, by).await?;
    Ok(show(&json!({})))
}

/// `POST /v2/repository/models/{m}/unload`.
pub(crate) async fn unload(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    admin::refuse_other_sites(&request)?;
    let body = intake::whole(request, SMALL_BODY_BYTES, "body_mib").await?;
    // `unload_dependents`: no model depends on another.
    if !body.trim_ascii().is_empty() {
        let read = serde_json::from_slice::<Map<String, Value>>(&body);
        read.map_err(|cause| json::refusal(&cause))?;
    }
    repository::unload(&context, &name)?;
    Ok(show(&json!({})))
}

/// `GET /v2/models/stats`.
pub(crate) async fn stats(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = Caller::of(request.extensions());
    let mut stats = statistics::of(&context, None, None)?;
    stats.retain(|stats| caller.sees(&stats.name));
    Ok(show(&json!({ "model_stats": stats })))
}

/// `GET /v2/models/{m}/stats`.
pub(crate) async fn model_stats(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    show_stats(&context, &name, None)
}

/// `GET /v2/models/{m}/versions/{v}/stats`.
pub(crate) async fn version_stats(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    show_stats(&context, &name, Some(&version))
}

fn show_stats(context: &Context, model: &str, version: Option<&str>) -> Result<Response, Refusal> {
    let stats = statistics::of(context, Some(model), version)?;
    Ok(show(&json!({ "model_stats": stats })))
}

/// `GET /v2/models/{m}/config`.
pub(crate) async fn config(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    show_config(&context, &name, None)
}

/// `GET /v2/models/{m}/versions/{v}/config`.
pub(crate) async fn version_config(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    show_config(&context, &name, Some(&version))
}

fn show_config(context: &Context, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    let deployment = context.deployment(name)?;
    let revision = context::revision(&deployment, version)?;
    Ok(show(&metadata::config(&deployment, &revision, context.models.shown(name))))
}

/// `GET /v2/trace/setting`.
pub(crate) async fn trace(State(context): State<Arc<Context>>) -> Response {
    show(&context.settings.trace(None))
}

/// `GET /v2/models/{m}/trace/setting`.
pub(crate) async fn model_trace(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    context.deployment(&name)?;
    Ok(show(&context.settings.trace(Some(&name))))
}

/// `POST /v2/trace/setting`.
pub(crate) async fn set_trace(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    admin::refuse_other_sites(&request)?;
    let changes = changes(request).await?;
    Ok(show(&context.set_trace(None, &changes)?))
}

/// `POST /v2/models/{m}/trace/setting`.
pub(crate) async fn set_model_trace(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    admin::refuse_other_sites(&request)?;
    context.deployment(&name)?;
    let changes = changes(request).await?;
    Ok(show(&context.set_trace(Some(&name), &changes)?))
}

/// `GET /v2/logging`.
pub(crate) async fn log() -> Response {
    show(&settings::show_log())
}

/// `POST /v2/logging`.
pub(crate) async fn set_log(request: Request) -> Result<Response, Refusal> {
    admin::refuse_other_sites(&request)?;
    let changes = changes(request).await?;
    Ok(show(&settings::set_log(&changes)?))
}

async fn changes(request: Request) -> Result<Map<String, Value>, Refusal> {
    let body = intake::whole(request, SMALL_BODY_BYTES, "body_mib").await?;
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    json::object(&body)
}
