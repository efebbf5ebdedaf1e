//! gRPC: the Open Inference Protocol with Triton's additions, health, reflection.
//!
//! Predictions take the way of those over HTTP: `request` reads a message into the tensors that
//! `oip` knows, `reply` writes the answer, `frame` cuts both from and to the wire. A refusal is
//! one of HTTP's; `status` says it in gRPC.

mod extensions;
mod frame;
mod health;
mod infer;
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unreachable_pub,
    reason = "generated, of the whole protocol"
)]
#[rustfmt::skip]
mod messages;
mod reply;
mod request;
mod service;
pub(crate) mod status;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;

use crate::context::{self, Context};
use crate::error::Refusal;

/// The protocol's service.
pub(crate) const SERVICE: &str = "inference.GRPCInferenceService";

/// What reflection tells of `api/inference.proto`.
const DESCRIBED: &[u8] = include_bytes!("inference.fds");

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What the gRPC listener answers.
///
/// # Errors
/// What is generated cannot be read: a mistake of ours.
pub(crate) fn router(context: &Arc<Context>) -> Result<Router, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIBED)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let ready_made = Router::new()
        .route_service("/grpc.health.v1.Health/{method}", health::service(Arc::clone(context)))
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", reflection().build_v1()?)
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            reflection().build_v1alpha()?,
        )
        .layer(map_response(async |response| status::blame_caller(response)));
    Ok(Router::new()
        .route("/inference.GRPCInferenceService/{method}", any(call))
        .merge(ready_made)
        .fallback(async |request: Request| not_here(&request))
        .with_state(Arc::clone(context)))
}

/// Whether a request speaks gRPC, so that its answer must too.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let rest = content_type.and_then(|value| value.strip_prefix("application/grpc"));
    // `application/grpc-web` is another protocol.
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Whether the callers of a method send for as long as they like.
pub(crate) fn is_stream(path: &str) -> bool {
    path.ends_with("/ModelStreamInfer") || path.ends_with("/ServerReflectionInfo")
}

fn not_here(request: &Request) -> Refusal {
    if is_grpc(request.headers()) {
        let path = request.uri().path();
        Refusal::NotImplemented(format!("no service here has the method {path}"))
    } else {
        let why = "this listener speaks gRPC (content-type application/grpc): REST is at --http";
        Refusal::MediaType(why.to_owned())
    }
}

async fn call(
    State(context): State<Arc<Context>>,
    Path(method): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    if !is_grpc(request.headers()) {
        return Err(not_here(&request));
    }
    match method.as_str() {
        "ModelInfer" => infer::unary(&context, request).await,
        "ModelStreamInfer" => infer::stream(context, request),
        method => match Box::pin(service::call(&context, method, request)).await {
            Some(answer) => answer,
            None => {
                let method: String = method.chars().take(128).collect();
                Err(Refusal::NotImplemented(format!("{SERVICE} has no method {method}")))
            }
        },
    }
}

/// The time that the caller's metadata allow.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let other = context::timeout(headers)?;
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(other);
    };
    let own = value.to_str().ok().and_then(parse_timeout).ok_or_else(|| {
        Refusal::BadHeader(format!(
            "{TIMEOUT} is {value:?}, expected up to 8 digits and one of H M S m u n"
        ))
    })?;
    Ok(Some(other.map_or(own, |other| other.min(own))))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0m", Some(Duration::ZERO)),
            ("123456789m", None),
            ("m", None),
            ("", None),
            ("-1S", None),
            ("1s", None),
            ("1.5S", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }
}
