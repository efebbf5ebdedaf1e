//! Which path leads where, and the frame around a prediction that all protocols share.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use stemson_serving::Deployment;

use crate::cache::Looked;
use crate::coding::{self, Coded};
use crate::context::{self, Context};
use crate::error::Refusal;
use crate::face::Face;
use crate::front::Arrival;
use crate::intake;
use crate::json::Wire;
use crate::metrics::Traffic;
use crate::oip::extensions;
use crate::predict::{self, Answer, Call, Clock, Coming, Patience};
use crate::prediction_log::Tap;
use crate::statistics::{Statistics, Took};
use crate::{admin, health, log, mlflow, oip, openapi, v1};

/// What the inference listener answers.
pub(crate) fn inference(context: Arc<Context>) -> Router {
    let router = Router::new()
        .route("/", get(health::alive))
        .route("/v1/models", get(v1::list))
        .route("/v1/models/{model}", any(v1::model))
        .route("/invocations", post(mlflow::invocations))
        .route("/ping", get(mlflow::ping))
        .route("/v2", get(oip::server))
        .route("/v2/", get(oip::server))
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/v2/models/{model}", get(oip::model))
        .route("/v2/models/{model}/ready", get(oip::model_ready))
        .route("/v2/models/{model}/infer", post(oip::infer))
        .route("/v2/models/{model}/config", get(extensions::config))
        .route("/v2/models/{model}/versions/{version}/config", get(extensions::version_config))
        .route("/v2/models/{model}/versions/{version}", get(oip::model_version))
        .route("/v2/models/{model}/versions/{version}/ready", get(oip::model_version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(oip::infer_version))
        .route("/openapi.json", get(openapi::inference))
        .merge(extensions());
    finish(router, context)
}

/// The extensions of the Open Inference Protocol.
fn extensions() -> Router<Arc<Context>> {
    Router::new()
        .route("/v2/repository/index", post(extensions::index))
        .route("/v2/repository/models/{model}/load", post(extensions::load))
        .route("/v2/repository/models/{model}/unload", post(extensions::unload))
        .route("/v2/models/stats", get(extensions::stats))
        .route("/v2/models/{model}/stats", get(extensions::model_stats))
        .route("/v2/models/{model}/versions/{version}/stats", get(extensions::version_stats))
        .route("/v2/trace/setting", get(extensions::trace).post(extensions::set_trace))
        .route(
            "/v2/models/{model}/trace/setting",
            get(extensions::model_trace).post(extensions::set_model_trace),
        )
        .route("/v2/logging", get(extensions::log).post(extensions::set_log))
}

/// What the admin listener answers.
pub(crate) fn admin(context: Arc<Context>) -> Router {
    let router = Router::new()
        .route("/admin/models", get(admin::models))
        .route("/admin/models/{model}/swap", post(admin::swap))
        .route("/admin/models/{model}/rollback", post(admin::rollback))
        .route("/admin/models/{model}/canary", get(admin::show_rollout).post(admin::canary))
        .route("/admin/models/{model}/canary/promote", post(admin::promote))
        .route("/admin/models/{model}/canary/abort", post(admin::abort))
        .route("/admin/models/{model}/shadow", post(admin::shadow))
        .route("/admin/models/{model}/shadow/stop", post(admin::stop_shadow))
        .route("/admin/reload", post(admin::reload))
        .route("/admin/log", get(log::show).post(log::change))
        .route("/admin/models/{model}/revisions", get(admin::revisions))
        .route("/admin/models/{model}/revisions/{revision}/artifact", get(admin::artifact))
        .route("/openapi.json", get(openapi::admin));
    finish(router, context)
}

/// What both answer.
fn finish(router: Router<Arc<Context>>, context: Arc<Context>) -> Router {
    router
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/docs", get(openapi::page))
        .fallback(async |request: Request| unknown_route(&request))
        .method_not_allowed_fallback(async |request: Request| wrong_method(&request))
        .with_state(context)
}

/// Nothing stands here.
pub(crate) fn unknown_route(request: &Request) -> Refusal {
    Refusal::UnknownRoute { path: request.uri().path().to_owned() }
}

/// Something stands here, for another method.
pub(crate) fn wrong_method(request: &Request) -> Refusal {
    Refusal::WrongMethod {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
    }
}

/// Which prediction is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a str,
    /// None: the current one.
    pub(crate) version: Option<&'a str>,
    pub(crate) protocol: &'static str,
    pub(crate) arrival: Instant,
    /// The body, where it is still to come and its length is known.
    pub(crate) coming: Option<Coming>,
    /// The head of the request that it came with.
    pub(crate) parts: &'a Parts,
}

/// When the front saw the head.
pub(crate) fn arrival(parts: &Parts) -> Instant {
    parts.extensions.get::<Arrival>().map_or_else(Instant::now, |arrival| arrival.at)
}

/// A prediction over HTTP, from its head to its answer.
pub(crate) async fn predict<C: Call<Reply = Wire>>(
    context: &Context,
    model: &str,
    version: Option<&str>,
    protocol: &'static str,
    call: C,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes_max = context.limits().body_bytes_max;
    let call = Coded::new(call, &parts.headers, bytes_max)?;
    let patience = Patience { timeout: context::timeout(&parts.headers)?, stream: None };
    let length = intake::content_length(&parts.headers).and_then(|it| usize::try_from(it).ok());
    let coming = length.filter(|length| *length <= bytes_max).map(|length| {
        let weight = coding::weight(&parts.headers, length);
        Coming { bytes: length, weight, patience }
    });
    let arrival = arrival(&parts);
    let asked = Asked { model, version, protocol, arrival, coming, parts: &parts };
    let body = async {
        let (limit, budget) = (bytes_max as u64, Some(&context.bodies));
        Ok((intake::read(&parts.headers, body, limit, "body_mib", budget).await?, patience))
    };
    Ok(answer(context, asked, call, body).await?.into_response())
}

/// Has a request traced whose turn it is by the trace settings of its model.
fn sample(context: &Context, deployment: &Deployment, parts: &Parts) {
    if context.settings.sample(deployment.name().as_str())
        && let Some(Arrival { traced: Some(traced), .. }) = parts.extensions.get()
    {
        traced.set();
    }
}

/// Counts an answer where answers are counted.
fn count<R>(
    context: &Context,
    statistics: &Statistics,
    traffic: &Traffic,
    answer: &Answer<R>,
    arrival: Instant,
) {
    let took = Took {
        whole: arrival.elapsed(),
        queued: answer.queued.unwrap_or_default(),
        decoding: answer.decoding,
        scoring: answer.computed,
        encoding: answer.encoding,
        looked: answer.looked,
    };
    statistics.success(answer.rows, took);
    if let Some(queued) = answer.queued {
        traffic.queued(queued);
    }
    traffic.computed(answer.rows, answer.computed);
    match &answer.looked {
        Some(looked) => traffic.looked(looked),
        None if context.cache.is_some() => traffic.looked(&Looked::bypassed(answer.rows)),
        None => {}
    }
}

/// A prediction, whatever it came by: find the revision, take the body, predict, count.
///
/// `body`: the bytes, and how long the caller waits.
pub(crate) async fn answer<C: Call>(
    context: &Context,
    asked: Asked<'_>,
    call: C,
    body: impl Future<Output = Result<(Bytes, Patience), Refusal>>,
) -> Result<C::Reply, Refusal> {
    let Asked { model, version, protocol, arrival, coming, parts } = asked;
    let front = parts.extensions.get::<Arrival>();
    if let Some(Arrival { caller, .. }) = front {
        caller.check_model(model)?;
    }
    let deployment = context.deployment(model)?;
    let chosen = context.choose(&deployment, version, &parts.headers)?;
    let revision = Arc::clone(&chosen.revision);
    let traffic = context.metrics.begin(deployment.name(), &revision, protocol, arrival);
    sample(context, &deployment, parts);
    let face = revision.prepared(Face::new);
    let id = front.map(|front| front.id.clone()).unwrap_or_default();
    let tap = context.prediction_log.tap(&id, deployment.name(), &revision, protocol);
    let call = Tap::wrap(tap.as_ref(), call);
    let answer = async {
        let (slo, wants_raw) = (context.slo(deployment.name().as_str()), chosen.shadow.is_some());
        let clock =
            |patience| Clock { arrival, complete: Instant::now(), patience, slo, wants_raw };
        let place = predict::reserve(context, deployment.name(), &revision, coming, clock)?;
        let ((body, patience), place) = predict::hold(place, body).await?;
        let clock = clock(patience);
        predict::predict(context, deployment.name(), revision, call, (body, place), clock).await
    };
    let answer = answer.await;
    let statistics = &face.statistics;
    match answer {
        Ok(answer) => {
            count(context, statistics, &traffic, &answer, arrival);
            context.observe(&deployment, &chosen, arrival, Ok(answer.first));
            if let Some(tap) = tap {
                let cached =
                    answer.looked.is_some_and(|looked| looked.cached() == answer.rows as u64);
                tap.finish(&context.prediction_log, answer.computed, cached);
            }
            traffic.end("ok");
            Ok(answer.reply)
        }
        Err(refusal) => {
            context.observe(&deployment, &chosen, arrival, Err(&refusal));
            if let Refusal::Shed { reason, .. } = refusal {
                context.metrics.shed(reason);
            }
            statistics.fail(arrival.elapsed());
            traffic.end(refusal.outcome());
            Err(refusal)
        }
    }
}
