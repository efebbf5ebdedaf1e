//! The Open Inference Protocol over REST, with JSON tensors.

mod data;
mod datatype;
mod encode;
mod layout;
mod metadata;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::context::{self, Context};
use crate::error::Refusal;
use crate::json;
use crate::predict::Call;
use crate::routes;
use crate::rows::{Rows, Scored};
use encode::OutputTensor;
use request::InferRequest;

/// Name of the one input of the layout `matrix`.
const INPUT: &str = "input";

/// Name of the one input of the layout `rows`.
const ROW: &str = "row";

/// `GET /v2`.
pub(crate) async fn server() -> Response {
    json::response(StatusCode::OK, metadata::server())
}

/// `GET /v2/models/{m}`.
pub(crate) async fn model(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    show_model(&context, &name, None)
}

/// `GET /v2/models/{m}/versions/{v}`.
pub(crate) async fn model_version(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    show_model(&context, &name, Some(&version))
}

fn show_model(context: &Context, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    let deployment = context.deployment(name)?;
    let revision = context::revision(&deployment, version)?;
    Ok(json::response(StatusCode::OK, metadata::model(&deployment, &revision)))
}

/// `GET /v2/models/{m}/ready`.
pub(crate) async fn model_ready(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    show_ready(&context, &name, None)
}

/// `GET /v2/models/{m}/versions/{v}/ready`.
pub(crate) async fn model_version_ready(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    show_ready(&context, &name, Some(&version))
}

fn show_ready(context: &Context, name: &str, version: Option<&str>) -> Result<Response, Refusal> {
    let deployment = context.deployment(name)?;
    context::revision(&deployment, version)?;
    let mut body = b"{\"name\":".to_vec();
    json::write_str(&mut body, name);
    body.extend_from_slice(b",\"ready\":true}");
    Ok(json::response(StatusCode::OK, body.into()))
}

/// `POST /v2/models/{m}/infer`.
pub(crate) async fn infer(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let call = Infer::new(&name);
    routes::predict(&context, &name, None, "oip", call, request).await
}

/// `POST /v2/models/{m}/versions/{v}/infer`.
pub(crate) async fn infer_version(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let call = Infer::new(&name);
    routes::predict(&context, &name, Some(&version), "oip", call, request).await
}

/// One infer request.
struct Infer {
    model: String,
    id: Option<String>,
    timeout: Option<Duration>,
    outputs: Vec<OutputTensor>,
}

impl Infer {
    fn new(model: &str) -> Self {
        Self { model: model.to_owned(), id: None, timeout: None, outputs: Vec::new() }
    }
}

impl Call for Infer {
    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let limits = rows.limits();
        let columns = rows.model().schema().columns().len().max(1);
        // One more row than allowed, so that it is the number of rows that is complained about.
        let elements_max = limits.rows_max.saturating_add(1).saturating_mul(columns);
        let elements_max = elements_max.min(limits.cells_max);
        let request = InferRequest::read(body, limits.depth_max, elements_max)?;
        self.outputs = OutputTensor::choose(rows.model(), request.outputs.as_deref())?;
        let mut options = rows.options();
        options.strict = request.strict;
        rows.restart(options);
        layout::push(&request, rows)?;
        self.timeout = request.timeout;
        self.id = request.id;
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn encode(&self, scored: &Scored) -> Result<Bytes, Refusal> {
        match scored.first_refused() {
            Some(refusal) => Err(refusal),
            None => Ok(encode::write(&self.model, self.id.as_deref(), &self.outputs, scored)),
        }
    }
}
