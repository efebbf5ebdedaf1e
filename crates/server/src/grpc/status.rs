//! How a refusal is said in gRPC: its code, the text that HTTP says too, and when to come back.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use stemson_serving::ShedReason;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};

use crate::error::Refusal;

/// The refusal as a status. Its metadata has the word for it as `error-code`, and of what may be
/// tried again later the milliseconds as clients expect them.
pub(crate) fn of(refusal: &Refusal) -> Status {
    let (status, word) = refusal.status();
    let code = if is_hopeless(refusal) { Code::DeadlineExceeded } else { code(status) };
    let mut grpc = Status::new(code, refusal.message());
    let metadata = grpc.metadata_mut();
    metadata.insert("error-code", MetadataValue::from_static(word));
    if let Some((seconds, ms)) = refusal.retry_after() {
        let number = |value: HeaderValue| {
            value.to_str().ok().and_then(|text| text.parse::<MetadataValue<Ascii>>().ok())
        };
        for (name, value) in [
            ("grpc-retry-pushback-ms", number(ms.clone())),
            ("retry-after-ms", number(ms)),
            ("retry-after", number(seconds)),
        ] {
            if let Some(value) = value {
                metadata.insert(name, value);
            }
        }
    }
    grpc
}

/// Whether more time alone would help: nothing is queued, and the work by itself takes too long. Clients
/// try again what is `UNAVAILABLE`.
fn is_hopeless(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Shed { retry_after, reason: ShedReason::Deadline }
        if retry_after.as_millis() == 0)
}

/// The refusal as the whole answer.
pub(crate) fn render(refusal: &Refusal) -> Response {
    of(refusal).into_http::<Body>()
}

/// The answer of a service that has no mistakes of its own: what its library calls INTERNAL is a message
/// that it could not read.
pub(super) fn blame_caller(response: Response) -> Response {
    let mut response = response.map(|body| {
        Body::new(body.map_frame(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                blame(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }))
    });
    blame(response.headers_mut());
    response
}

fn blame(headers: &mut HeaderMap) {
    let status = headers.get_mut(Status::GRPC_STATUS);
    if let Some(status) = status.filter(|status| **status == number(Code::Internal)) {
        *status = number(Code::InvalidArgument);
    }
}

fn number(code: Code) -> HeaderValue {
    HeaderValue::from(code as i32)
}

fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_server_error() => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_text_and_says_when_to_come_back() {
        let shed = Refusal::Shed {
            retry_after: Duration::from_millis(1_500),
            reason: ShedReason::Deadline,
        };
        let status = of(&shed);
        let said = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(said("grpc-retry-pushback-ms"), Some("1500"));
        assert_eq!(said("retry-after"), Some("2"));
        assert_eq!(said("error-code"), Some("no_capacity"));
        let hopeless = Refusal::Shed { retry_after: Duration::ZERO, reason: ShedReason::Deadline };
        assert_eq!(of(&hopeless).code(), Code::DeadlineExceeded);
        let unknown = of(&Refusal::UnknownModel("é".to_owned()));
        assert_eq!(unknown.code(), Code::NotFound);
        assert!(unknown.message().contains('é'), "{}", unknown.message());
        assert_eq!(render(&shed).status(), StatusCode::OK);
    }
}
