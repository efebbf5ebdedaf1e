//! Answers that nobody takes, and connections of HTTP/2 that nobody uses.
//!
//! Over HTTP/1.1 the socket says whether a caller reads (`pace`), and hyper lets go of who asks
//! nothing. Over HTTP/2 a caller who opens no window keeps an answer in our memory while the socket
//! is well, and no timer of hyper's ends a connection without requests. So each request is counted
//! here, and each answer is given piece by piece: what is not taken shows.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Bytes of an answer that are given at a time; each is to be taken within the patience.
const PIECE_BYTES: usize = 64 << 10;

/// How often a connection is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// The requests of one connection of HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests whose answers are not at their ends.
    open: usize,
    /// When the last one began or ended; none: there was none.
    used_at: Option<Instant>,
    next: u64,
    /// Answers whose next piece waits for the caller, and since when.
    offered: BTreeMap<u64, Instant>,
}

/// One request, until its answer is at its end or given up.
#[derive(Debug)]
pub(crate) struct Stream {
    streams: Arc<Streams>,
    number: u64,
}

impl Streams {
    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Stream {
        let mut state = self.lock();
        state.open += 1;
        state.used_at = Some(Instant::now());
        state.next += 1;
        Stream { streams: Arc::clone(self), number: state.next }
    }

    /// Waits until some answer has not been taken for so long.
    pub(crate) async fn stuck(&self, patience: Duration) {
        while !self.is_stuck(Instant::now(), patience) {
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Waits until there has been no request for so long.
    pub(crate) async fn idle(&self, patience: Duration) {
        while !self.is_idle(Instant::now(), patience) {
            tokio::time::sleep(patience.min(LOOK_PERIOD)).await;
        }
    }

    fn is_stuck(&self, now: Instant, patience: Duration) -> bool {
        let state = self.lock();
        state.offered.values().any(|since| now.saturating_duration_since(*since) > patience)
    }

    fn is_idle(&self, now: Instant, patience: Duration) -> bool {
        let state = self.lock();
        let is_long = |used_at| now.saturating_duration_since(used_at) > patience;
        state.open == 0 && state.used_at.is_some_and(is_long)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// The answer as it is given to the caller.
    pub(crate) fn give(self, body: Body) -> Body {
        // Without a window nobody asks for the first piece.
        self.is_offered(!body.is_end_stream());
        Body::new(Given { body, rest: Bytes::new(), stream: self })
    }

    /// Whether it is the caller's turn, or ours.
    fn is_offered(&self, is_offered: bool) {
        let mut state = self.streams.lock();
        if is_offered {
            state.offered.insert(self.number, Instant::now());
        } else {
            state.offered.remove(&self.number);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        state.open -= 1;
        state.used_at = Some(Instant::now());
        state.offered.remove(&self.number);
    }
}

/// An answer that is given in pieces.
struct Given {
    body: Body,
    /// Of the frame that is given now.
    rest: Bytes,
    stream: Stream,
}

impl HttpBody for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => {
                        self.stream.is_offered(true);
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                },
                // It ends, or has to wait for us.
                other => {
                    self.stream.is_offered(false);
                    return other;
                }
            }
        }
        let len = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(len);
        self.stream.is_offered(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use http_body_util::BodyExt as _;
    use hyper::client::conn::http2 as client;
    use hyper::server::conn::http2 as server;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const ANSWER_BYTES: usize = 1 << 20;

    /// A connection whose caller opens a window of so many bytes, and the answer over it.
    async fn ask(
        streams: &Arc<Streams>,
        window: u32,
    ) -> (Response<hyper::body::Incoming>, client::SendRequest<Body>) {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let counted = Arc::clone(streams);
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let stream = counted.begin();
            async move { Ok::<_, Infallible>(Response::new(stream.give(vec![7; ANSWER_BYTES].into()))) }
        });
        let serve = server::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(ours), service);
        tokio::spawn(serve);
        let mut builder = client::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(theirs)).await.expect("a connection");
        tokio::spawn(connection);
        let request = Request::get("http://x/").body(Body::empty()).expect("a request");
        (sender.send_request(request).await.expect("an answer"), sender)
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_shows() {
        let later = || Instant::now() + PATIENCE + LOOK_PERIOD;
        for window in [0, 1, 100_000] {
            let streams = Arc::<Streams>::default();
            let (response, _sender) = ask(&streams, window).await;
            assert!(!streams.is_stuck(Instant::now(), PATIENCE), "{window}: it is not late yet");
            assert!(streams.is_stuck(later(), PATIENCE), "{window}: nobody reads");
            assert!(!streams.is_idle(later(), PATIENCE), "{window}: it is answered still");
            drop(response);
        }
        let streams = Arc::<Streams>::default();
        let (response, _sender) = ask(&streams, 1 << 16).await;
        let body = response.into_body().collect().await.expect("the whole body").to_bytes();
        assert_eq!((body.len(), body.iter().all(|byte| *byte == 7)), (ANSWER_BYTES, true));
        while streams.lock().open > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!streams.is_stuck(later(), PATIENCE));
        assert!(streams.is_idle(later(), PATIENCE));
    }

    #[tokio::test]
    async fn a_stream_that_waits_for_us_is_not_stuck() {
        let streams = Arc::<Streams>::default();
        let never = futures_util::stream::pending::<Result<Bytes, Infallible>>();
        let mut body = streams.begin().give(Body::from_stream(never));
        let later = Instant::now() + PATIENCE + LOOK_PERIOD;
        assert!(streams.is_stuck(later, PATIENCE), "nobody has asked for anything yet");
        let polled = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
        assert!(polled.is_err() && !streams.is_stuck(later, PATIENCE));
        drop(body);
        assert!(!streams.is_stuck(later, PATIENCE) && streams.lock().open == 0);
    }
}
