//! `POST /invocations` of `MLflow` and `SageMaker`, and `GET /ping`: tables in, tables out.

mod decode;
mod encode;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, header};
use axum::response::Response;

use crate::ask::Ask;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::Refusal;
use crate::json::Wire;
use crate::predict::Call;
use crate::rows::{Rows, Scored};
use crate::tabular::{Csv, ask_of_query, of_query};
use crate::{health, routes};

/// Names the model where there are several: `SageMaker`'s endpoints of many models.
const TARGET_MODEL: HeaderName = HeaderName::from_static("x-amzn-sagemaker-target-model");

/// `GET /ping`: ready for invocations.
pub(crate) async fn ping(state: State<Arc<Context>>) -> Response {
    health::ready(state).await
}

/// `POST /invocations`.
pub(crate) async fn invocations(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants_csv = accept.is_some_and(|accept| {
        accept.split(',').any(|item| item.trim().to_ascii_lowercase().starts_with("text/csv"))
    });
    let call =
        Invocation { csv: Csv::of(headers), ask: ask_of_query(request.uri().query())?, wants_csv };
    let model = target(&context, &request)?;
    routes::predict(&context, &model, None, "invocations", call, request).await
}

/// The model that is meant: the only one, or the one that is named.
fn target(context: &Context, request: &Request) -> Result<String, Refusal> {
    if let Some(named) = request.headers().get(TARGET_MODEL) {
        let name = named.to_str().unwrap_or_default();
        return Ok(name.strip_suffix(".zip").unwrap_or(name).to_owned());
    }
    if let Some(name) = of_query(request.uri().query(), "model") {
        return Ok(name.into_owned());
    }
    let caller = Caller::of(request.extensions());
    let mut deployments = context.deployments.all();
    deployments.retain(|deployment| caller.sees(deployment.name().as_str()));
    match &deployments[..] {
        [only] => Ok(only.name().to_string()),
        [] => Err(Refusal::UnknownModel("default".to_owned())),
        several => {
            let names: Vec<&str> = several.iter().map(|other| other.name().as_str()).collect();
            Err(Refusal::BadField(format!(
                "there are {} models: name one with ?model= or the header {TARGET_MODEL}: {}",
                names.len(),
                names.join(", ")
            )))
        }
    }
}

/// One invocation.
struct Invocation {
    csv: Option<Csv>,
    /// Options of the query.
    ask: Ask,
    wants_csv: bool,
}

impl Call for Invocation {
    type Reply = Wire;

    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        match self.csv {
            Some(csv) => {
                rows.restart(self.ask)?;
                csv.read(body, rows)
            }
            None => decode::read(body, self.ask, rows),
        }
    }

    fn encode(&self, scored: &Scored) -> Result<Wire, Refusal> {
        if scored.ask().options.strict
            && let Some(refusal) = scored.first_refused()
        {
            return Err(refusal.strictly());
        }
        if self.wants_csv { encode::csv(scored) } else { Ok(encode::json(scored)) }
    }
}
