//! The Open Inference Protocol over REST; its tensors, which gRPC has too.

mod data;
mod datatype;
mod encode;
pub(crate) mod extensions;
mod layout;
mod metadata;
mod raw;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::context::{self, Context};
use crate::error::Refusal;
use crate::health;
use crate::json::{self, JSON_BYTES, Wire};
use crate::predict::Call;
use crate::routes;
use crate::rows::{Rows, Scored};
pub(crate) use data::Values;
pub(crate) use datatype::Datatype;
pub(crate) use encode::{Output, OutputTensor};
pub(crate) use metadata::{Shown, TensorShape, features, inputs, outputs, versions};
use request::Bounds;
pub(crate) use request::{
    InferRequest, NO_SHARED_MEMORY, OUTPUTS_MAX, SHARED_MEMORY, Spot, Tensor, Terms, Wanted,
};

/// How the server calls itself, and the backend of its models.
pub(crate) const SERVER: &str = "stemson";

/// What its models are.
pub(crate) const PLATFORM: &str = "h2o_mojo";

/// What is served besides the protocol itself, in Triton's words.
pub(crate) const EXTENSIONS: &[&str] = &[
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "schedule_policy",
    "statistics",
    "trace",
];

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
    Ok(json::response(
        StatusCode::OK,
        metadata::model(&deployment, &revision, context.models.shown(name)),
    ))
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
    let is_ready = context.is_ready();
    body.extend_from_slice(format!(",\"ready\":{is_ready}}}").as_bytes());
    Ok(json::response(health::readiness(is_ready), body.into()))
}

/// `POST /v2/models/{m}/infer`.
pub(crate) async fn infer(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let call = Infer::new(&context, &name, request.headers())?;
    routes::predict(&context, &name, None, "oip", call, request).await
}

/// `POST /v2/models/{m}/versions/{v}/infer`.
pub(crate) async fn infer_version(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let call = Infer::new(&context, &name, request.headers())?;
    routes::predict(&context, &name, Some(&version), "oip", call, request).await
}

/// One infer request.
struct Infer {
    model: String,
    /// How many bytes of the body are JSON, if not all.
    json_bytes: Option<usize>,
    /// What a body without JSON is.
    shown: Shown,
    id: Option<String>,
    timeout: Option<Duration>,
    outputs: Vec<Output>,
}

impl Infer {
    fn new(context: &Context, model: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        let json_bytes = headers.get(JSON_BYTES).map(|value| {
            let bytes = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
            bytes.ok_or_else(|| {
                Refusal::BadHeader(format!("{JSON_BYTES} is {value:?}, expected a number of bytes"))
            })
        });
        Ok(Self {
            model: model.to_owned(),
            json_bytes: json_bytes.transpose()?,
            shown: context.models.shown(model),
            id: None,
            timeout: None,
            outputs: Vec::new(),
        })
    }
}

/// Puts the tensors of a request into `rows`, and says which outputs it wants: what is left to do
/// of every request of the protocol, once its tensors are known.
pub(crate) fn take(request: &InferRequest<'_>, rows: &mut Rows) -> Result<Vec<Output>, Refusal> {
    let mut ask = request.terms.ask;
    let wanted = request.outputs.as_deref();
    let outputs = Output::choose(rows.face(), wanted, request.terms, &mut ask)?;
    if ask != rows.ask() {
        rows.restart(ask)?;
    }
    layout::push(request, rows)?;
    Ok(outputs)
}

/// Elements of a tensor at most: one more row than allowed, so that it is the number of rows that
/// is complained about.
pub(crate) fn elements_max(rows: &Rows) -> usize {
    let limits = rows.limits();
    let columns = rows.model().schema().columns().len().max(1);
    limits.rows_max.saturating_add(1).saturating_mul(columns).min(limits.cells_max)
}

/// Inputs of a request at most: one for each column of the model, and some that it does not have.
pub(crate) fn inputs_max(rows: &Rows) -> usize {
    const OTHERS_MAX: usize = 1_024;
    rows.model().schema().columns().len() + OTHERS_MAX
}

impl Call for Infer {
    type Reply = Wire;

    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let elements = elements_max(rows);
        let request = match self.json_bytes {
            Some(0) => raw::read(body, rows, elements, self.shown)?,
            json_bytes => {
                let (depth, inputs) = (rows.limits().depth_max, inputs_max(rows));
                InferRequest::read(body, json_bytes, Bounds { depth, inputs, elements })?
            }
        };
        self.outputs = take(&request, rows)?;
        self.timeout = request.terms.timeout;
        self.id = request.id;
        Ok(())
    }

    fn peek(&mut self, body: &[u8]) {
        let json = body.get(..self.json_bytes.unwrap_or(body.len())).unwrap_or_default();
        self.timeout = request::peek_timeout(json);
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn encode(&self, scored: &Scored) -> Result<Wire, Refusal> {
        match scored.first_refused() {
            Some(refusal) => Err(refusal),
            None => Ok(encode::write(&self.model, self.id.as_deref(), &self.outputs, scored)),
        }
    }
}
