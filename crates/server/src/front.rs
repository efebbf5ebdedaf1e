//! The front of both listeners: what happens to every request, whatever its route.
//!
//! It gives the request its id, turns refusals into answers that name it, keeps a panic to the one
//! request that met it, and tells callers to go elsewhere while the server drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use tower::Service as _;

use crate::admin::Peer;
use crate::context::Context;
use crate::error::Refusal;
use crate::request_id;
use crate::routes::Arrival;

/// Answers one request.
pub(crate) async fn answer(
    context: Arc<Context>,
    mut router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let id = context.ids.of(request.headers());
    let version = request.version();
    request.extensions_mut().insert(Arrival(Instant::now()));
    request.extensions_mut().insert(Peer(peer));
    let routed = catch(async { router.call(request).await.into_response() }).await;
    let mut response = routed.unwrap_or_else(|| Refusal::Panicked.into_response());
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = refusal.render(id.to_str().unwrap_or("-"));
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    response.headers_mut().insert(request_id::HEADER, id);
    if !context.is_ready() && version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The future's value; none if it panics.
async fn catch<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        // After a panic the future is not polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_request_only() {
        assert_eq!(catch(async { 1 }).await, Some(1));
        let mistake = async {
            tokio::task::yield_now().await;
            panic!("as a mistake of ours would");
        };
        assert_eq!(catch::<_>(mistake).await, None::<()>);
    }
}
