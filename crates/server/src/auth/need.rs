//! What a request needs, read from its method and path.
//!
//! Whatever is not named here needs more, not less: a route that somebody adds is closed until it
//! is opened. Literal segments of a path are compared as they were sent, as the router does, so a
//! path that is read differently here leads nowhere there.

use std::borrow::Cow;

use axum::http::Method;

use super::{Entrance, Identity};
use crate::error::Refusal;
use crate::grpc;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Health, and a page that says nothing of the models: anybody, whatever happens.
    Nothing,
    /// What a model looks like, how it does: `read` or `predict`.
    Metadata,
    /// `read`, on listeners that other machines reach.
    Metrics,
    /// `predict`.
    Predict,
    /// `admin`.
    Admin,
}

impl Need {
    /// Does this caller have it?
    pub(super) fn check(self, identity: &Identity) -> Result<(), Refusal> {
        let scopes = identity.scopes;
        let (has, word) = match self {
            Self::Nothing => (true, ""),
            Self::Metadata => (scopes.read || scopes.predict, "read` or `predict"),
            Self::Metrics => (scopes.read, "read"),
            Self::Predict => (scopes.predict, "predict"),
            Self::Admin => (scopes.admin, "admin"),
        };
        if has {
            return Ok(());
        }
        let (id, found) = (&identity.id, scopes.to_string());
        Err(Refusal::Forbidden(format!(
            "this needs the scope `{word}`, the key `{id}` has {found}"
        )))
    }
}

/// What the request needs, and the model that its path names.
pub(crate) fn of<'p>(
    entrance: Entrance,
    method: &Method,
    path: &'p str,
) -> (Need, Option<Cow<'p, str>>) {
    let is_read = method == Method::GET || method == Method::HEAD;
    let is_grpc = entrance == Entrance::Inference && method == Method::POST;
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let need = match segments.as_slice() {
        ["" | "healthz" | "readyz" | "ping" | "docs"] | ["v2", "health", "live" | "ready"]
            if is_read =>
        {
            Need::Nothing
        }
        ["metrics"] if is_read => Need::Metrics,
        ["grpc.health.v1.Health", _] if is_grpc => Need::Nothing,
        [service, method] if is_grpc && service == &grpc::SERVICE => match *method {
            "ServerLive" | "ServerReady" => Need::Nothing,
            "ModelInfer" | "ModelStreamInfer" => Need::Predict,
            "ModelReady" | "ServerMetadata" | "ModelMetadata" | "ModelConfig"
            | "ModelStatistics" | "RepositoryIndex" => Need::Metadata,
            // Those of settings change them where they carry any, and then ask for more.
            "TraceSetting" | "LogSettings" => Need::Metadata,
            _ => Need::Admin,
        },
        [service, _] if is_grpc && service.starts_with("grpc.reflection.") => Need::Metadata,
        _ if entrance == Entrance::Admin => Need::Admin,
        ["v2", "repository", "index"] => Need::Metadata,
        ["v2", "repository", ..] => Need::Admin,
        ["v2", .., "trace", "setting"] | ["v2", "logging"] if !is_read => Need::Admin,
        _ if is_read => Need::Metadata,
        _ if method == Method::POST => Need::Predict,
        _ => Need::Admin,
    };
    (need, model(&segments))
}

/// `/v1/models/{m}:verb`, `/v2/models/{m}/...`, `/v2/repository/models/{m}/...`,
/// `/admin/models/{m}/...`.
fn model<'p>(segments: &[&'p str]) -> Option<Cow<'p, str>> {
    let segment = match segments {
        ["v1", "models", model] => model.rsplit_once(':').map_or(*model, |(model, _)| model),
        ["v2", "models", "stats"] => return None,
        ["v2" | "admin", "models", model, ..] | ["v2", "repository", "models", model, ..] => model,
        _ => return None,
    };
    Some(percent_decode(segment)).filter(|model| !model.is_empty())
}

/// As the router does; what is no UTF-8 is refused there.
fn percent_decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| (*bytes.get(at + offset)? as char).to_digit(16);
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_needs_what_it_does() {
        use Need::{Admin, Metadata, Metrics, Nothing, Predict};
        for (method, path, inference, admin, model) in [
            ("GET", "/healthz", Nothing, Nothing, None),
            ("GET", "/v2/health/ready", Nothing, Nothing, None),
            ("POST", "/healthz", Predict, Admin, None),
            ("GET", "/docs", Nothing, Nothing, None),
            ("GET", "/openapi.json", Metadata, Admin, None),
            ("GET", "/metrics", Metrics, Metrics, None),
            ("GET", "/v1/models", Metadata, Admin, None),
            ("GET", "/v1/models/churn", Metadata, Admin, Some("churn")),
            ("POST", "/v1/models/ch%75rn:predict", Predict, Admin, Some("churn")),
            ("POST", "/v1/models/a:b:explain", Predict, Admin, Some("a:b")),
            ("POST", "/v2/models/churn/versions/1/infer", Predict, Admin, Some("churn")),
            ("GET", "/v2/models/stats", Metadata, Admin, None),
            ("POST", "/invocations", Predict, Admin, None),
            ("POST", "/v2/repository/index", Metadata, Admin, None),
            ("POST", "/grpc.health.v1.Health/Check", Nothing, Admin, None),
            ("POST", "/inference.GRPCInferenceService/ServerReady", Nothing, Admin, None),
            ("POST", "/inference.GRPCInferenceService/ModelInfer", Predict, Admin, None),
            ("POST", "/inference.GRPCInferenceService/ModelConfig", Metadata, Admin, None),
            ("POST", "/inference.GRPCInferenceService/RepositoryModelLoad", Admin, Admin, None),
            ("POST", "/inference.GRPCInferenceService/Guess", Admin, Admin, None),
            ("POST", "/grpc.reflection.v1.ServerReflection/X", Metadata, Admin, None),
            ("POST", "/v2/repository/models/m/load", Admin, Admin, Some("m")),
            ("GET", "/v2/logging", Metadata, Admin, None),
            ("POST", "/v2/logging", Admin, Admin, None),
            ("POST", "/v2/models/m/trace/setting", Admin, Admin, Some("m")),
            ("POST", "/admin/models/m/swap", Predict, Admin, Some("m")),
            ("DELETE", "/v2/models/m", Admin, Admin, Some("m")),
            ("POST", "/v1/models/%zz%", Predict, Admin, Some("%zz%")),
            ("GET", "", Metadata, Admin, None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            for (entrance, need) in [(Entrance::Inference, inference), (Entrance::Admin, admin)] {
                let found = of(entrance, &method, path);
                assert_eq!((found.0, found.1.as_deref()), (need, model), "{method} {path}");
            }
        }
    }
}
