//! KServe V1: one JSON object per row.
//!
//! `POST /v1/models/{m}:predict`, `POST /v1/models/{m}:explain`, `GET /v1/models`, `GET /v1/models/{m}`.

mod decode;
mod encode;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stemson_mojo::Category;

use crate::ask::Ask;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::Refusal;
use crate::health;
use crate::json::{self, Wire};
use crate::predict::Call;
use crate::routes;
use crate::rows::{Rows, Scored};
use crate::tabular::{Csv, ask_of_query};

pub(crate) use decode::{CellValue, Instances, Line, Position, Value, read_instance};
pub(crate) use encode::predictions;

/// `{m}:{verb}`, which no router can take apart.
fn split(segment: &str) -> Option<(&str, &str)> {
    segment.rsplit_once(':')
}

/// `GET /v1/models`.
pub(crate) async fn list(State(context): State<Arc<Context>>, request: Request) -> Response {
    let caller = Caller::of(request.extensions());
    let mut seen = context.deployments.all();
    seen.retain(|deployment| caller.sees(deployment.name().as_str()));
    let mut body = b"{\"models\":[".to_vec();
    json::write_list(&mut body, seen, |out, deployment| {
        json::write_str(out, deployment.name().as_str());
    });
    body.extend_from_slice(b"]}");
    json::response(StatusCode::OK, body.into())
}

/// `GET /v1/models/{m}`, `POST /v1/models/{m}:predict`, `:explain`.
pub(crate) async fn model(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let verb = split(&segment);
    let allow = match (verb, request.method()) {
        (None, &Method::GET | &Method::HEAD) => return show(&context, &segment),
        (None, _) => "GET,HEAD",
        (Some((name, verb @ ("predict" | "explain"))), &Method::POST) => {
            return predict(&context, name, verb, request).await;
        }
        (Some((_, "predict" | "explain")), _) => "POST",
        (Some(_), _) => return Err(routes::unknown_route(&request)),
    };
    let mut response = routes::wrong_method(&request).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    Ok(response)
}

fn show(context: &Context, name: &str) -> Result<Response, Refusal> {
    let deployment = context.deployment(name)?;
    let (revision, is_ready) = (deployment.current(), context.is_ready());
    let mut body = b"{\"name\":".to_vec();
    json::write_str(&mut body, deployment.name().as_str());
    let rest = format!(
        ",\"ready\":{is_ready},\"revision\":\"{}\",\"number\":{}}}",
        revision.digest(),
        revision.number()
    );
    body.extend_from_slice(rest.as_bytes());
    Ok(json::response(health::readiness(is_ready), body.into()))
}

async fn predict(
    context: &Context,
    name: &str,
    verb: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let call = Predict {
        model: name.to_owned(),
        is_explain: verb == "explain",
        csv: Csv::of(request.headers()),
        ask: ask_of_query(request.uri().query())?,
    };
    routes::predict(context, name, None, "v1", call, request).await
}

/// One `:predict` or `:explain`.
struct Predict {
    model: String,
    is_explain: bool,
    csv: Option<Csv>,
    /// Options of the query; those of the body come over them.
    ask: Ask,
}

impl Call for Predict {
    type Reply = Wire;

    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let mut ask = self.ask;
        // As JSON Lines do: all that the model has.
        ask.options.reconstruct = rows.model().category() == Category::DimReduction;
        ask.options.contributions |= self.is_explain;
        if let Some(csv) = self.csv {
            rows.restart(ask)?;
            return csv.read(body, rows);
        }
        let asked = decode::read(body, ask, self.is_explain, rows)?;
        if asked != rows.ask() {
            // Options stood behind the instances; a row must know them when it is encoded.
            rows.restart(asked)?;
            decode::read(body, asked, self.is_explain, rows)?;
        }
        Ok(())
    }

    fn encode(&self, scored: &Scored) -> Result<Wire, Refusal> {
        if scored.ask().options.strict
            && let Some(refusal) = scored.first_refused()
        {
            return Err(refusal.strictly());
        }
        Ok(Wire::json(encode::write(&self.model, scored, self.is_explain)))
    }
}
