//! Alive, ready, and how it goes: on both listeners, whatever the load.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::context::Context;
use crate::{json, metrics_compat};

/// `GET /healthz`, `GET /v2/health/live`: the process runs. Never depends on a model.
pub(crate) async fn live() -> Response {
    json::response(StatusCode::OK, "{\"live\":true}".into())
}

/// `GET /`: the process runs, in the words of `KServe` V1.
pub(crate) async fn alive() -> Response {
    json::response(StatusCode::OK, "{\"status\":\"alive\"}".into())
}

/// `GET /readyz`, `GET /v2/health/ready`: false from the beginning of the drain. Whatever is
/// deployed is ready.
pub(crate) async fn ready(State(context): State<Arc<Context>>) -> Response {
    let is_ready = context.is_ready();
    let body = if is_ready { "{\"ready\":true}" } else { "{\"ready\":false}" };
    json::response(readiness(is_ready), body.into())
}

/// The status that says whether something is ready.
pub(crate) fn readiness(is_ready: bool) -> StatusCode {
    if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// `GET /metrics`: the Prometheus text, or `OpenMetrics` for those who ask for it.
pub(crate) async fn metrics(State(context): State<Arc<Context>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_open_metrics = accept.is_some_and(|accept| accept.contains("openmetrics-text"));
    if let Some(cache) = &context.cache {
        context.metrics.cache.measure(cache);
    }
    let (mut text, content_type) = context.metrics.render(&context.deployments, is_open_metrics);
    if let Some(compat) = context.metrics_compat.filter(|_| !is_open_metrics) {
        text.push_str(&metrics_compat::render(&context, compat));
    }
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
