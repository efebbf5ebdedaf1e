//! Why a request is not answered as asked, and how that is said.
//!
//! The inner rooms name what happened; here, in one `match`, it becomes a status and a code.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use stemson_mojo::RowErrorKind;
use stemson_serving::{ResolveError, RollbackRefusal, ShedReason, SwapRefusal};

use crate::deploy_error::DeployError;
use crate::download::DownloadError;
use crate::json;
use crate::oip::NO_SHARED_MEMORY;
use crate::store::StoreError;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// Nothing stands at this path.
    UnknownRoute { path: String },
    /// Something stands at this path, for another method.
    WrongMethod { method: String, path: String },
    /// The path or the query cannot be read.
    BadUrl,
    /// Nobody knows the caller; says why.
    Unauthorized(String),
    /// The caller is known, and may not do this.
    Forbidden(String),
    /// The caller has asked as often as he may.
    QuotaExceeded { retry_after: Duration },
    /// A page of another site asks, in somebody's browser.
    CrossOrigin { origin: String },
    /// The name cannot be one.
    BadName(String),
    /// No model answers to the name.
    UnknownModel(String),
    /// The model has no such revision, or not any more.
    UnknownVersion(String),
    /// The body is no JSON; says where.
    MalformedJson(String),
    /// The body is JSON, but a part of it is not what it must be; says which.
    BadField(String),
    /// Something is asked for that the model does not have.
    NotOffered(String),
    /// The protocol has it, this server does not.
    NotImplemented(String),
    /// The server is about to leave.
    Draining,
    /// A header is not what it must be.
    BadHeader(String),
    /// A row cannot be scored; for protocols that refuse the request for it.
    Row { row: usize, kind: RowErrorKind, column: Option<String>, message: String, is_strict: bool },
    /// The body has not come in whole.
    BodyIncomplete(String),
    /// The body comes too slowly.
    BodyTooSlow(String),
    /// The body passes its limit.
    BodyTooLarge { bytes_max: u64, limit: &'static str },
    /// The rows pass a limit.
    TooManyRows { rows_max: usize, limit: &'static str },
    /// The body is of a type that the route does not read.
    MediaType(String),
    /// There is no capacity before the deadline.
    Shed { retry_after: Duration, reason: ShedReason },
    /// Admitted, but not done in time.
    DeadlineMissed { timeout: Duration },
    /// An artifact is not taken.
    Deploy(DeployError),
    /// Nothing is rolled back.
    Rollback(RollbackRefusal),
    /// Files were read again, and some of them are not right.
    Reload(String),
    /// A mistake of ours.
    Panicked,
}

pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Where to look for what is not at `path`.
fn instead_of(path: &str) -> &'static str {
    let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    if begins(&["/admin/"]) {
        "GET /openapi.json at the address of --admin lists what is"
    } else if begins(&["/v2/systemsharedmemory/", "/v2/cudasharedmemory/"]) {
        NO_SHARED_MEMORY
    } else {
        "GET /openapi.json lists what is"
    }
}

impl Refusal {
    /// Status and code. No wildcard: a new refusal does not compile until it has both.
    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownRoute { .. } => (StatusCode::NOT_FOUND, "unknown_route"),
            Self::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
            Self::BadUrl => (StatusCode::BAD_REQUEST, "bad_url"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::QuotaExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"),
            Self::CrossOrigin { .. } => (StatusCode::FORBIDDEN, "cross_origin"),
            Self::BadName(_) => (StatusCode::BAD_REQUEST, "bad_name"),
            Self::UnknownModel(_) => (StatusCode::NOT_FOUND, "unknown_model"),
            Self::UnknownVersion(_) => (StatusCode::NOT_FOUND, "unknown_version"),
            Self::MalformedJson(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::BadField(_) => (StatusCode::BAD_REQUEST, "bad_field"),
            Self::NotOffered(_) => (StatusCode::BAD_REQUEST, "not_offered"),
            Self::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "not_implemented"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Self::BadHeader(_) => (StatusCode::BAD_REQUEST, "bad_header"),
            Self::Row { kind, is_strict: false, .. } => (StatusCode::BAD_REQUEST, kind.as_str()),
            Self::Row { kind, is_strict: true, .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, kind.as_str())
            }
            Self::BodyIncomplete(_) => (StatusCode::BAD_REQUEST, "body_incomplete"),
            Self::BodyTooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooManyRows { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_rows"),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type"),
            Self::Shed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "no_capacity"),
            Self::DeadlineMissed { .. } => (StatusCode::GATEWAY_TIMEOUT, "deadline_missed"),
            Self::Deploy(cause) => match cause {
                DeployError::Name(_) => (StatusCode::BAD_REQUEST, cause.kind()),
                DeployError::NotAllowed { .. } => (StatusCode::FORBIDDEN, cause.kind()),
                DeployError::NotFound { .. } => (StatusCode::NOT_FOUND, cause.kind()),
                DeployError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, cause.kind()),
                DeployError::Download(cause) => download_status(cause),
                DeployError::NotAFile { .. }
                | DeployError::Read { .. }
                | DeployError::Digest { .. }
                | DeployError::Load(_)
                | DeployError::Reference(_)
                | DeployError::Swap(
                    SwapRefusal::Schema(_)
                    | SwapRefusal::AlreadyCurrent { .. }
                    | SwapRefusal::NoCurrent,
                )
                | DeployError::Known(ResolveError::Retired { .. } | ResolveError::Ambiguous(_)) => {
                    (StatusCode::CONFLICT, cause.kind())
                }
                DeployError::Known(ResolveError::Unknown(_)) => {
                    (StatusCode::NOT_FOUND, cause.kind())
                }
                DeployError::Swap(SwapRefusal::Journal(_)) => {
                    (StatusCode::INSUFFICIENT_STORAGE, cause.kind())
                }
                DeployError::Store(cause) => store_status(cause),
            },
            Self::Rollback(cause) => rollback_status(cause),
            Self::Reload(_) => (StatusCode::CONFLICT, "reload_refused"),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Whether the request was wrong whoever had answered it. A row that the algorithm itself refuses
    /// (`model`) is not: another revision might answer it.
    pub(crate) fn is_callers_mistake(&self) -> bool {
        match self {
            Self::Row { kind, .. } => *kind != RowErrorKind::Model,
            other => other.status().0.is_client_error(),
        }
    }

    /// A refused row of a request that asked for strictness.
    pub(crate) fn strictly(self) -> Self {
        match self {
            Self::Row { row, kind, column, message, .. } => {
                Self::Row { row, kind, column, message, is_strict: true }
            }
            other => other,
        }
    }

    /// What went wrong, where, and what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::UnknownRoute { path } => format!("nothing is at {path}: {}", instead_of(path)),
            Self::WrongMethod { method, path } => {
                format!("{path} does not take {method}: see the header `allow`")
            }
            Self::BadUrl => "the path or the query cannot be read: UTF-8 expected".to_owned(),
            Self::CrossOrigin { origin } => {
                format!("a page of {origin} may not drive this server")
            }
            Self::UnknownModel(name) => {
                format!("no model is called `{name}`: GET /v1/models lists them")
            }
            Self::QuotaExceeded { retry_after } => format!(
                "the key's own limit is reached (rate_per_second): try again in {} ms",
                retry_after.as_millis().max(1)
            ),
            Self::Unauthorized(text)
            | Self::Forbidden(text)
            | Self::BadName(text)
            | Self::UnknownVersion(text)
            | Self::MalformedJson(text)
            | Self::BadField(text)
            | Self::NotOffered(text)
            | Self::NotImplemented(text)
            | Self::BadHeader(text)
            | Self::Reload(text)
            | Self::MediaType(text) => text.clone(),
            Self::Row { row, message, .. } => format!("row {row}: {message}"),
            Self::BodyTooSlow(late) => format!("{late} ([limits] body_bytes_per_second)"),
            Self::BodyIncomplete(cause) => format!("the body did not come in whole: {cause}"),
            Self::BodyTooLarge { bytes_max, limit } => format!(
                "the body is larger than {bytes_max} bytes ([limits] {limit}): send it in parts"
            ),
            Self::TooManyRows { rows_max, limit } => format!(
                "more than {rows_max} rows in one request ([limits] {limit}): send them in parts"
            ),
            Self::Shed { retry_after, reason: ShedReason::Deadline } => format!(
                "no capacity before the deadline: {} ms of work are queued; try again later or \
                 allow more time with x-request-timeout",
                retry_after.as_millis()
            ),
            Self::Shed { reason: ShedReason::QueueFull, .. } => {
                "the queue is full ([limits] queued_requests): try again later".to_owned()
            }
            Self::Shed { reason: ShedReason::Memory, .. } => {
                "other bodies take all memory that there is for them ([limits] body_mib, of uploads \
                 artifact_mib): try again later"
                    .to_owned()
            }
            Self::DeadlineMissed { timeout } => format!(
                "not done within {} ms: send fewer rows or allow more time with x-request-timeout",
                timeout.as_millis()
            ),
            Self::Draining => "the server leaves: connect again, to another".to_owned(),
            Self::Deploy(cause) => with_source(cause),
            Self::Rollback(cause) => cause.to_string(),
            Self::Panicked => "a mistake of the server; its log has more".to_owned(),
        }
    }

    /// How the request counts in `stemson_requests_total`.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.status().0 {
            StatusCode::SERVICE_UNAVAILABLE => "shed",
            StatusCode::GATEWAY_TIMEOUT => "late",
            status if status.is_server_error() => "failed",
            _ => "refused",
        }
    }

    /// When to come back, for what another time may bring: whole seconds, and milliseconds.
    pub(crate) fn retry_after(&self) -> Option<(HeaderValue, HeaderValue)> {
        match self {
            Self::Shed { retry_after, .. } | Self::QuotaExceeded { retry_after } => {
                Some(retry_after_headers(*retry_after))
            }
            Self::Draining => Some(retry_after_headers(Duration::from_secs(1))),
            _ => None,
        }
    }

    /// The whole answer. `request_id`: visible ASCII.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let (status, code) = self.status();
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(b"{\"error\":");
        json::write_str(&mut body, &self.message());
        body.extend_from_slice(b",\"code\":");
        json::write_str(&mut body, code);
        body.extend_from_slice(b",\"request_id\":");
        json::write_str(&mut body, request_id);
        if let Self::Row { row, column, .. } = self {
            body.extend_from_slice(format!(",\"row\":{row}").as_bytes());
            if let Some(column) = column {
                body.extend_from_slice(b",\"column\":");
                json::write_str(&mut body, column);
            }
        }
        body.push(b'}');
        let mut response = json::response(status, body.into());
        if let Self::Unauthorized(_) = self {
            let scheme = HeaderValue::from_static("Bearer realm=\"stemson\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some((seconds, ms)) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response.headers_mut().insert(RETRY_AFTER_MS, ms);
        }
        response
    }
}

fn rollback_status(cause: &RollbackRefusal) -> (StatusCode, &'static str) {
    match cause {
        RollbackRefusal::NoPrevious => (StatusCode::CONFLICT, "no_previous"),
        RollbackRefusal::Resolve(ResolveError::Unknown(_)) => {
            (StatusCode::NOT_FOUND, "unknown_version")
        }
        RollbackRefusal::Resolve(ResolveError::Retired { .. }) => {
            (StatusCode::CONFLICT, "revision_retired")
        }
        RollbackRefusal::Resolve(ResolveError::Ambiguous(_)) => {
            (StatusCode::CONFLICT, "ambiguous_revision")
        }
        RollbackRefusal::NoCanary => (StatusCode::CONFLICT, "no_canary"),
        RollbackRefusal::NoShadow => (StatusCode::CONFLICT, "no_shadow"),
        RollbackRefusal::Journal(_) => (StatusCode::INSUFFICIENT_STORAGE, "state_not_written"),
    }
}

/// That another host does not answer is no fault of this one: the swap is refused.
fn download_status(cause: &DownloadError) -> (StatusCode, &'static str) {
    let status = match cause {
        DownloadError::Malformed(_) | DownloadError::NoDigest => StatusCode::BAD_REQUEST,
        DownloadError::Host(_) | DownloadError::Address { .. } => StatusCode::FORBIDDEN,
        DownloadError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        DownloadError::Redirect { .. }
        | DownloadError::Unreachable { .. }
        | DownloadError::Status { .. } => StatusCode::CONFLICT,
    };
    (status, cause.kind())
}

/// The disk's trouble is not the caller's, and not a mistake of ours.
fn store_status(cause: &StoreError) -> (StatusCode, &'static str) {
    let status = match cause {
        StoreError::Gone { .. } | StoreError::Altered { .. } => StatusCode::CONFLICT,
        StoreError::Locked { .. }
        | StoreError::Write { .. }
        | StoreError::Read { .. }
        | StoreError::Database { .. } => StatusCode::INSUFFICIENT_STORAGE,
    };
    (status, cause.kind())
}

/// The error and its source in one line.
pub(crate) fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Whole seconds, rounded up, at least 1; and the milliseconds.
fn retry_after_headers(retry_after: Duration) -> (HeaderValue, HeaderValue) {
    let ms = u64::try_from(retry_after.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1);
    (HeaderValue::from(ms.div_ceil(1_000)), HeaderValue::from(ms))
}

impl IntoResponse for Refusal {
    /// Carries the refusal to the front, which knows the request's id and renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status().0;
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shed_request_is_told_when_to_come_back() {
        for (ms, seconds, expected_ms) in [
            (0, "1", "1"),
            (1, "1", "1"),
            (999, "1", "999"),
            (1_000, "1", "1000"),
            (1_001, "2", "1001"),
        ] {
            let (found, found_ms) = retry_after_headers(Duration::from_millis(ms));
            assert_eq!(
                (found, found_ms),
                (HeaderValue::from_static(seconds), HeaderValue::from_static(expected_ms)),
                "{ms}"
            );
        }
    }
}
