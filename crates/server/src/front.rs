//! The front of both listeners: what happens to every request, whatever its route.
//!
//! It gives the request its id, asks whether the caller may do this (`auth`), turns refusals into
//! answers that name it, keeps a panic to the one request that met it, and tells callers to go
//! elsewhere while the server drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use axum::body::{Bytes, HttpBody as Body};
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Response};
use axum::{BoxError, Router};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tower::Service as _;

use crate::auth::{Caller, Visitor, need};
use crate::context::Context;
use crate::error::Refusal;
use crate::grpc;
use crate::linger::Marks;
use crate::otlp::Answered;
use crate::pace::{Pace, Watch};
use crate::request_id::{self, RequestId};
use crate::settings::Traced;
use crate::trace::{self, TraceContext};

/// Bytes that are read over of a body that nobody wants, so that the connection can be kept: of bodies
/// of 400 kB, 2,000 a second, that still costs less than to end the connection and to take a new one.
const READ_OVER_BYTES_MAX: u64 = 512 << 10;

/// How long a body may stand still before its rate counts.
const BODY_GRACE: Duration = Duration::from_secs(10);

/// Of an answer: the caller is still sending, and is not read any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftUnread;

/// What is known of a request before its route is: the front leaves it to those who answer, in one
/// piece, as each costs memory.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// When its head was seen.
    pub(crate) at: Instant,
    /// Who is at the other end of the connection.
    pub(crate) peer: SocketAddr,
    pub(crate) id: RequestId,
    pub(crate) caller: Caller,
    /// Takes the word that the request is traced, where any is.
    pub(crate) traced: Option<Traced>,
}

/// Answers one request. `marks`: of its connection.
pub(crate) async fn answer<B>(
    context: Arc<Context>,
    router: Router,
    visitor: Arc<Visitor>,
    marks: Marks,
    mut request: Request<B>,
) -> Result<Response, Infallible>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let id = RequestId(context.ids.of(request.headers()));
    let mut trace = TraceContext::of(request.headers());
    trace.is_sampled |= context.exporter.as_ref().is_some_and(|it| id.falls_into(it.sample_ratio));
    let arrival = Instant::now();
    let version = request.version();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut line = Line { method, uri, arrival, trace, is_traced: false };
    let traced = context.settings.is_tracing().then(Traced::default);
    let caller = authorize(&context, &visitor, &request);
    let who = caller.as_ref().ok().cloned().unwrap_or_default();
    let (at, peer) = (arrival, visitor.peer);
    let allowed = caller.map(|caller| {
        let (id, traced) = (id.clone(), traced.clone());
        request.extensions_mut().insert(Arrival { at, peer, id, caller, traced });
    });
    let mut response = route(&context, router, allowed, &id, &marks, request).await;
    if traced.is_some_and(|traced| traced.is_set()) {
        line.is_traced = true;
        line.trace.is_sampled = true;
    }
    line.log(&context, &visitor, &who, &id, response.status());
    line.export(&context, &id, response.status());
    for (name, mut value) in [(trace::HEADER, line.trace.header()), (request_id::HEADER, id.0)] {
        // Never the same again: HTTP/2 keeps what is not sensitive, and compares it with all that
        // follows.
        value.set_sensitive(true);
        response.headers_mut().insert(name, value);
    }
    if !context.is_ready() && version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The answer of the router, or a refusal as all are rendered.
async fn route<B>(
    context: &Context,
    mut router: Router,
    allowed: Result<(), Refusal>,
    id: &RequestId,
    marks: &Marks,
    request: Request<B>,
) -> Response
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let (version, is_grpc) = (request.version(), grpc::is_grpc(request.headers()));
    let is_expecting = request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    // As the body is framed, whatever the head says beside that.
    let length = body.size_hint().exact();
    // A stream waits for what its caller will ask next.
    let is_stream = is_grpc && grpc::is_stream(head.uri.path());
    let least = context.limits().body_bytes_per_second_min;
    let bytes_per_second = if is_stream { 0 } else { least };
    let pace = Pace { grace: BODY_GRACE, bytes_per_second };
    let (lent, kept) = lend(body, pace);
    let mut response = match allowed {
        Ok(()) => {
            let request = Request::from_parts(head, lent);
            let routed = catch(async { router.call(request).await.into_response() }).await;
            routed.unwrap_or_else(|| Refusal::Panicked.into_response())
        }
        Err(refusal) => refusal.into_response(),
    };
    let Some(refusal) = refusal(&mut response) else {
        return response;
    };
    // In HTTP/2 a request that is answered early ends without harm; in HTTP/1.1 the connection ends
    // with it. Who waits to be asked for a body need not send it.
    let is_read = match version {
        Version::HTTP_2 => true,
        _ if is_expecting => kept.is_end_stream(),
        _ => {
            if let Some(length) = length.filter(|length| *length <= READ_OVER_BYTES_MAX) {
                marks.skip(length);
            }
            kept.read_over(READ_OVER_BYTES_MAX).await
        }
    };
    let allow = response.headers_mut().remove(header::ALLOW);
    let mut rendered =
        if is_grpc { grpc::status::render(&refusal) } else { refusal.render(id.as_str()) };
    if let Some(allow) = allow {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    if !is_read {
        rendered.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        rendered.extensions_mut().insert(LeftUnread);
    }
    rendered
}

/// What the log says of a request: never its query, headers or body.
struct Line {
    method: Method,
    uri: Uri,
    arrival: Instant,
    trace: TraceContext,
    /// Chosen by the trace settings.
    is_traced: bool,
}

impl Line {
    /// The request's span, where the caller or our share of requests asks for it.
    fn export(&self, context: &Context, id: &RequestId, status: StatusCode) {
        if let Some(exporter) = context.exporter.as_ref().filter(|_| self.trace.is_sampled) {
            exporter.offer(Answered {
                trace: self.trace,
                method: self.method.to_string(),
                path: self.uri.path().to_owned(),
                status: status.as_u16(),
                request_id: id.as_str().to_owned(),
                took: self.arrival.elapsed(),
            });
        }
    }

    fn log(
        &self,
        context: &Context,
        visitor: &Visitor,
        caller: &Caller,
        id: &RequestId,
        status: StatusCode,
    ) {
        let is_mistake = status == StatusCode::INTERNAL_SERVER_ERROR;
        if !is_mistake && !self.is_traced && !id.falls_into(context.live.load().access_ratio) {
            return;
        }
        let Self { method, uri, arrival, trace, .. } = self;
        let (request_id, key) = (id.as_str(), caller.id().unwrap_or("-"));
        let ms = arrival.elapsed().as_micros() as f64 / 1e3;
        let (path, peer, status) = (uri.path(), visitor.peer.ip(), status.as_u16());
        if is_mistake {
            tracing::error!(
                target: "access", request_id, %method, path, status, ms, %peer, key, %trace,
                "a mistake of the server"
            );
        } else {
            tracing::info!(
                target: "access", request_id, %method, path, status, ms, %peer, key, %trace,
                "answered"
            );
        }
    }
}

/// Before anything is read of the body.
fn authorize<B>(
    context: &Context,
    visitor: &Visitor,
    request: &Request<B>,
) -> Result<Caller, Refusal> {
    let (need, model) = need::of(visitor.entrance, request.method(), request.uri().path());
    let allowed = context.auth.authorize(request.headers(), visitor, need, model.as_deref());
    if let Err(refusal) = &allowed {
        context.metrics.denied(refusal.status().1);
    }
    allowed
}

/// Why the request is refused, if it is.
fn refusal(response: &mut Response) -> Option<Refusal> {
    let refusal = response.extensions_mut().remove::<Refusal>();
    // Our own answers are JSON; text is the router's, about a path or a query that is no UTF-8.
    let is_routers = response.status().is_client_error()
        && response.headers().get(header::CONTENT_TYPE).is_none_or(|t| t != "application/json");
    refusal.or_else(|| is_routers.then_some(Refusal::BadUrl))
}

/// A body that its reader may leave unread, and somebody else then reads over; it must keep pace.
struct Lent<B>(Arc<Mutex<Paced<B>>>);

struct Paced<B> {
    body: B,
    watch: Watch,
}

fn lend<B>(body: B, pace: Pace) -> (Lent<B>, Lent<B>) {
    let body = Arc::new(Mutex::new(Paced { body, watch: Watch::new(pace) }));
    (Lent(Arc::clone(&body)), Lent(body))
}

impl<B> Lent<B> {
    fn lock(&self) -> MutexGuard<'_, Paced<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Lent<B> {
    /// Reads over what is left, if that is not more. Whether the body is over.
    async fn read_over(mut self, bytes_max: u64) -> bool {
        let mut bytes = 0;
        while bytes + self.size_hint().lower() <= bytes_max {
            match self.frame().await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len) as u64,
                Some(Err(_)) => return false,
                None => return true,
            }
        }
        false
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Paced { body, watch } = &mut *self.lock();
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Pending => watch.poll_late(context).map(|late| Some(Err(late.into()))),
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                watch.came(data.map_or(0, Bytes::len));
                polled.map(|frame| Some(frame?.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
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
