//! `grpc.health.v1`: the server, this service, and each model by its name.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{SERVICE, status};
use crate::context::Context;
use crate::error::Refusal;

/// How often a watcher's answer is looked at again; when the server leaves, at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Watchers at a time.
const WATCHERS_MAX: usize = 1_024;

pub(super) fn service(context: Arc<Context>) -> HealthServer<impl Health> {
    HealthServer::new(Answerer { context, places: Arc::new(Semaphore::new(WATCHERS_MAX)) })
}

struct Answerer {
    context: Arc<Context>,
    /// For watchers.
    places: Arc<Semaphore>,
}

/// What is known of a service by its name: empty is the server itself.
fn look(context: &Context, name: &str) -> ServingStatus {
    if !name.is_empty() && name != SERVICE && context.deployment(name).is_err() {
        ServingStatus::ServiceUnknown
    } else if context.is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

#[tonic::async_trait]
impl Health for Answerer {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = &request.get_ref().service;
        match look(&self.context, name) {
            ServingStatus::ServiceUnknown => {
                Err(status::of(&Refusal::UnknownModel(name.chars().take(128).collect())))
            }
            found => Ok(Response::new(HealthCheckResponse { status: found.into() })),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// What it is now, and again when that changes. Ends with the drain: a watcher shall not hold
    /// it up.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (context, name) = (Arc::clone(&self.context), request.into_inner().service);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = Arc::new(place.map_err(|_| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} others watch: ask with Check"))
        })?);
        let stream = futures_util::stream::unfold(None, move |last| {
            let (context, name, place) = (Arc::clone(&context), name.clone(), Arc::clone(&place));
            async move {
                let _place = place;
                if last == Some(ServingStatus::NotServing) {
                    return None;
                }
                let mut found = look(&context, &name);
                while last == Some(found) {
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_INTERVAL) => {}
                        () = context.leaves.notified() => {}
                    }
                    found = look(&context, &name);
                    if found == ServingStatus::ServiceUnknown && !context.is_ready() {
                        return None;
                    }
                }
                Some((Ok(HealthCheckResponse { status: found.into() }), Some(found)))
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
