//! The admin listener: swap, rollback, canary, shadow, revisions.

mod reload;
mod rollout;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use stemson_mojo::Digest;
use stemson_serving::{
    Change, Deployment, KnownRevision, ModelName, Outcome, ResolveError, Revision, RollbackRefusal,
    Selector, Swap,
};

use crate::auth::Caller;
use crate::context::Context;
use crate::deploy_error::DeployError;
use crate::error::Refusal;
use crate::front::Arrival;
use crate::intake;
use crate::json;
use crate::loader::{Done, Order, Place, Source};
use crate::settings;

pub(crate) use reload::reload;
pub(crate) use rollout::{abort, canary, promote, shadow, show_rollout, stop_shadow};

/// Bytes of a body that is not an artifact.
const SMALL_BODY_BYTES: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
pub(crate) struct SwapQuery {
    #[serde(default)]
    allow_schema_change: Option<String>,
}

impl SwapQuery {
    fn allow_schema_change(&self) -> Result<bool, Refusal> {
        match self.allow_schema_change.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => Err(Refusal::BadField(format!(
                "allow_schema_change is `{other}`, expected true or false"
            ))),
        }
    }
}

/// A swap's body, if it is no artifact: where there is one, or a revision of before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwapBody {
    path: Option<PathBuf>,
    url: Option<String>,
    revision: Option<Version>,
    sha256: Option<String>,
    /// Rows with the answers that it must give.
    reference: Option<Vec<serde_json::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    to: Option<Version>,
}

/// A version as callers write it: a number or text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Version {
    Number(#[serde(deserialize_with = "whole")] u64),
    Text(String),
}

/// As everywhere in JSON, 3.0 is 3.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = settings::whole(&Value::deserialize(from)?);
    let number = number.and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| D::Error::custom("not a whole number"))
}

impl Version {
    fn selector(&self, field: &str) -> Result<Selector, Refusal> {
        self.to_string().parse().map_err(|cause| Refusal::BadField(format!("`{field}`: {cause}")))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// `POST /admin/models/{m}/swap`: load, verify, warm, publish; begins a deployment if there is none.
pub(crate) async fn swap(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Query(query): Query<SwapQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let allow_schema_change = query.allow_schema_change()?;
    bring(&context, &name, Place::Current, allow_schema_change, request).await
}

/// Brings the artifact of a request's body to its place.
async fn bring(
    context: &Arc<Context>,
    name: &str,
    place: Place,
    allow_schema_change: bool,
    request: Request,
) -> Result<Response, Refusal> {
    refuse_other_sites(&request)?;
    let name = parse_name(name)?;
    let by = by(&request);
    let is_json = media_type(&request).as_deref() == Some("application/json");
    let is_artifact = matches!(
        media_type(&request).as_deref(),
        Some("application/zip" | "application/octet-stream")
    );
    let bytes_max = if is_json { SMALL_BODY_BYTES } else { context.limits().artifact_bytes_max };
    let body = intake::artifact(context, request, bytes_max).await?;
    let Meant { from, reference, sha256 } = if is_artifact || body.starts_with(b"PK") {
        Meant { from: Where::Here(Source::Bytes(body)), reference: None, sha256: None }
    } else if is_json || body.trim_ascii_start().starts_with(b"{") {
        json::object::<SwapBody>(&body)?.meant()?
    } else {
        return Err(Refusal::MediaType(
            "expected a MOJO (application/zip), or {\"path\" or \"url\", \"sha256\"} (application/json)"
                .to_owned(),
        ));
    };
    let (shown, context) = (name.clone(), Arc::clone(context));
    let turn = context.turn().await?;
    // Fetching takes its time: it goes on if the caller does not wait for it.
    let brought = tokio::spawn(async move {
        let source = match from {
            Where::Here(source) => source,
            Where::Url(url) => {
                let live = context.live.load_full();
                let bytes_max = live.limits.artifact_bytes_max;
                let fetched = live.downloads.get(&url, sha256.is_some(), bytes_max).await;
                Source::Bytes(fetched.map_err(|cause| {
                    tracing::warn!(model = %name, "not fetched: {cause}");
                    context.metrics.swap(&name, "refused");
                    Refusal::Deploy(cause.into())
                })?)
            }
        };
        let order = Order { name, source, place, reference, sha256, by, allow_schema_change };
        let done = context.loader.bring(order).await;
        drop(turn);
        done
    });
    let done = brought.await.map_err(|_| Refusal::Panicked)??;
    Ok(show_done(&shown, &done))
}

/// Where an artifact is.
enum Where {
    Here(Source),
    Url(String),
}

/// The artifact that a body means.
struct Meant {
    from: Where,
    /// Rows with the answers that it must give.
    reference: Option<Vec<u8>>,
    /// The digest that the caller expects.
    sha256: Option<Digest>,
}

impl SwapBody {
    fn meant(self) -> Result<Meant, Refusal> {
        let from = match (self.path, self.url, self.revision) {
            (Some(path), None, None) => Where::Here(Source::Path(path)),
            (None, Some(url), None) => Where::Url(url),
            (None, None, Some(revision)) => {
                Where::Here(Source::Known(revision.selector("revision")?))
            }
            _ => {
                return Err(Refusal::BadField(
                    "expected one of `path`, a file under [admin] artifact_roots, `url`, at a host \
                     of [admin] allowed_hosts, and `revision`, one of before"
                        .to_owned(),
                ));
            }
        };
        let sha256 = self.sha256.map(|text| text.parse::<Digest>()).transpose();
        let sha256 = sha256.map_err(|cause| Refusal::BadField(format!("`sha256`: {cause}")))?;
        let reference = self.reference.map(|lines| {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            lines.join("\n").into_bytes()
        });
        Ok(Meant { from, reference, sha256 })
    }
}

/// `POST /admin/models/{m}/rollback`.
pub(crate) async fn rollback(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    refuse_other_sites(&request)?;
    let deployment = context.deployment(&name)?;
    let by = by(&request);
    let body = intake::whole(request, SMALL_BODY_BYTES, "rollback").await?;
    let asked = if body.trim_ascii().is_empty() {
        RollbackBody::default()
    } else {
        json::object::<RollbackBody>(&body)?
    };
    let to = asked.to.map(|version| version.selector("to")).transpose()?;
    // A revision that is not warm is loaded again, which takes its time and its turn.
    if let Some(selector) = to.clone()
        && matches!(deployment.resolve(&selector), Err(ResolveError::Retired { .. }))
    {
        let order = Order {
            name: deployment.name().clone(),
            source: Source::Known(selector),
            place: Place::Back,
            reference: None,
            sha256: None,
            by,
            allow_schema_change: true,
        };
        return Ok(show_done(deployment.name(), &context.loader.bring(order).await?));
    }
    change(&context, deployment, by, move |deployment, change| {
        deployment.rollback(to.as_ref(), change)
    })
    .await
}

/// Changes a deployment without loading anything, and shows what came of it.
async fn change(
    context: &Context,
    deployment: Arc<Deployment>,
    by: String,
    change: impl FnOnce(&Deployment, Change) -> Result<Swap, RollbackRefusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let changed = Arc::clone(&deployment);
    // It waits for the disk, and for a swap that compares schemas: not on the reactor.
    let swap = tokio::task::spawn_blocking(move || {
        let at = SystemTime::now();
        change(&changed, Change { at, by, allow_schema_change: true })
    });
    let swap = swap.await.map_err(|_| Refusal::Panicked)?;
    let outcome = swap.as_ref().map_or("refused", |swap| swap.outcome.as_str());
    context.metrics.swap(deployment.name(), outcome);
    let swap = swap.map_err(Refusal::Rollback)?;
    let done = Done::from(&swap);
    context.loader.retire(swap.retired);
    Ok(show_done(deployment.name(), &done))
}

/// `GET /admin/models`: what answers, and what stands beside it.
pub(crate) async fn models(State(context): State<Arc<Context>>, request: Request) -> Response {
    let caller = Caller::of(request.extensions());
    let mut seen = context.deployments.all();
    seen.retain(|deployment| caller.sees(deployment.name().as_str()));
    let mut out = b"{\"models\":[".to_vec();
    json::write_list(&mut out, seen, |out, deployment| {
        let warm = deployment.warm();
        out.extend_from_slice(b"{\"model\":");
        json::write_str(out, deployment.name().as_str());
        let rest = format!(
            ",{},\"loaded_at\":\"{}\",\"by\":",
            identity(&warm.current),
            Rfc3339(warm.current.loaded_at())
        );
        out.extend_from_slice(rest.as_bytes());
        json::write_str(out, warm.current.by());
        show_beside(out, &Done::of(Outcome::Unchanged, &warm));
        out.push(b'}');
    });
    out.extend_from_slice(b"]}");
    json::response(StatusCode::OK, out.into())
}

/// `GET /admin/models/{m}/revisions`.
pub(crate) async fn revisions(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let deployment = context.deployment(&name)?;
    let mut out = b"{\"model\":".to_vec();
    json::write_str(&mut out, deployment.name().as_str());
    out.extend_from_slice(b",\"revisions\":[");
    let state = deployment.state();
    json::write_list(&mut out, &state.known, |out, known| {
        let head = format!(
            "{{\"number\":{},\"revision\":\"{}\",\"state\":\"{}\",\"loaded_at\":\"{}\",\"by\":",
            known.number,
            known.digest,
            known.state.as_str(),
            Rfc3339(known.loaded_at),
        );
        out.extend_from_slice(head.as_bytes());
        json::write_str(out, &known.by);
        out.push(b'}');
    });
    out.extend_from_slice(b"],\"events\":[");
    let digest = |number: u64| {
        state.revision(number).map_or(String::new(), |known| known.digest.to_string())
    };
    json::write_list(&mut out, deployment.events(), |out, event| {
        let from = event.from.map_or("null".to_owned(), |number| number.to_string());
        let head = format!(
            "{{\"at\":\"{}\",\"event\":\"{}\",\"from\":{from},\"to\":{},\"revision\":\"{}\",\"by\":",
            Rfc3339(event.at),
            event.kind.as_str(),
            event.to,
            digest(event.to),
        );
        out.extend_from_slice(head.as_bytes());
        json::write_str(out, &event.by);
        if let Some(note) = &event.note {
            out.extend_from_slice(b",\"note\":");
            json::write_str(out, note);
        }
        out.push(b'}');
    });
    out.extend_from_slice(b"]}");
    Ok(json::response(StatusCode::OK, out.into()))
}

/// `GET /admin/models/{m}/revisions/{r}/artifact`: the bytes that were deployed.
pub(crate) async fn artifact(
    State(context): State<Arc<Context>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let deployment = context.deployment(&name)?;
    let selector: Selector =
        version.parse().map_err(|cause: _| Refusal::UnknownVersion(ToString::to_string(&cause)))?;
    let known = deployment.known(&selector).map_err(|cause| Refusal::Deploy(cause.into()))?;
    let KnownRevision { digest, number, .. } = known;
    let _turn = context.turn().await?;
    let store = Arc::clone(&context.store);
    let bytes = tokio::task::spawn_blocking(move || store.artifact(&digest)).await;
    let bytes = bytes.map_err(|_| Refusal::Panicked)?;
    let bytes = bytes.map_err(|cause| Refusal::Deploy(DeployError::Store(cause)))?;
    let mut response = Response::new(axum::body::Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let file = format!("attachment; filename=\"{}-{number}.zip\"", deployment.name());
    if let Ok(value) = HeaderValue::from_str(&file) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn identity(revision: &Revision) -> String {
    format!("\"number\":{},\"revision\":\"{}\"", revision.number(), revision.digest())
}

/// Previous revision, canary and shadow; the last two only if they are there.
fn show_beside(out: &mut Vec<u8>, done: &Done) {
    let previous = done.previous.as_ref();
    let previous =
        previous.map_or("null".to_owned(), |previous| format!("{{{}}}", identity(previous)));
    out.extend_from_slice(format!(",\"previous\":{previous}").as_bytes());
    if let Some((canary, share)) = &done.canary {
        let (canary, share) = (identity(canary), share.ratio());
        let canary = format!(",\"canary\":{{{canary},\"share\":{share}}}");
        out.extend_from_slice(canary.as_bytes());
    }
    if let Some(shadow) = &done.shadow {
        out.extend_from_slice(format!(",\"shadow\":{{{}}}", identity(shadow)).as_bytes());
    }
}

fn show_done(name: &ModelName, done: &Done) -> Response {
    let mut out = b"{\"model\":".to_vec();
    json::write_str(&mut out, name.as_str());
    let (outcome, current) = (done.outcome.as_str(), identity(&done.current));
    out.extend_from_slice(format!(",\"outcome\":\"{outcome}\",{current}").as_bytes());
    show_beside(&mut out, done);
    out.extend_from_slice(b",\"warnings\":[");
    // Warnings belong to what was brought, not to what has stood for long.
    let is_new = matches!(done.outcome, Outcome::Deployed | Outcome::Swapped);
    let warnings = done.current.model().warnings().iter().filter(|_| is_new);
    json::write_list(&mut out, warnings, |out, warning| json::write_str(out, &warning.message));
    out.extend_from_slice(b"]}");
    json::response(StatusCode::OK, out.into())
}

pub(crate) fn parse_name(name: &str) -> Result<ModelName, Refusal> {
    name.parse()
        .map_err(|cause: stemson_serving::ParseModelNameError| Refusal::BadName(cause.to_string()))
}

/// The media type without parameters, in lower case.
fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// Who asks, for the log.
pub(crate) fn by(request: &Request) -> String {
    let arrival = request.extensions().get::<Arrival>();
    let caller = arrival.and_then(|arrival| arrival.caller.id()).unwrap_or("admin");
    let peer = arrival.map(|arrival| arrival.peer.ip());
    peer.map_or_else(|| caller.to_owned(), |peer| format!("{caller} {peer}"))
}

/// A browser names the site whose page sends a request. Without keys, any page that somebody on
/// this machine looks at could otherwise bring its own model.
pub(crate) fn refuse_other_sites(request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("another site");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = host.is_some() && origin.split_once("://").map(|(_, site)| site) == host;
    // A page may give its own name the address of this server. With a key it does not matter: no
    // browser sends one by itself.
    let has_key = Caller::of(request.extensions()).id().is_some();
    if is_own && (has_key || host.is_some_and(names_no_site)) {
        Ok(())
    } else {
        Err(Refusal::CrossOrigin { origin: origin.to_owned() })
    }
}

/// Whether a host with its port is none that anybody could have registered: `localhost`, an address.
fn names_no_site(host: &str) -> bool {
    let Some(bracketed) = host.strip_prefix('[') else {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        return name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok();
    };
    bracketed.split_once(']').is_some_and(|(name, _)| name.parse::<Ipv6Addr>().is_ok())
}

/// A time as `2026-11-23T08:00:00Z`.
pub(crate) struct Rfc3339(pub(crate) SystemTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days are counted from 0000-03-01, so that the leap day ends a year; 146,097 days are
        // 400 years.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year_of_era + next;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_of_this_machine_may_drive_it() {
        for (origin, host, fine) in [
            ("http://localhost:8082", "localhost:8082", true),
            ("http://127.0.0.1:8082", "127.0.0.1:8082", true),
            ("http://[::1]:8082", "[::1]:8082", true),
            ("http://10.0.0.7", "10.0.0.7", true),
            ("http://localhost:8083", "localhost:8082", false),
            ("http://rebound.example:8082", "rebound.example:8082", false),
            ("http://127.0.0.1.example", "127.0.0.1.example", false),
            ("http://[::1].example", "[::1.example", false),
            ("null", "localhost", false),
        ] {
            let request = axum::http::Request::post("/admin/models/m/swap")
                .header(header::ORIGIN, origin)
                .header(header::HOST, host)
                .body(axum::body::Body::empty())
                .expect("a request");
            assert_eq!(refuse_other_sites(&request).is_ok(), fine, "{origin} {host}");
        }
    }

    #[test]
    fn times_are_written_as_everybody_writes_them() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Rfc3339(time).to_string(), expected);
        }
    }
}
