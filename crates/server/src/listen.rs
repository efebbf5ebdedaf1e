//! Accepting connections, and letting go of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Version;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::auth::{Entrance, Visitor};
use crate::config::{Limits, is_loopback};
use crate::context::Context;
use crate::front;
use crate::linger::{Lingering, Marks, OnSocket};
use crate::pace::{Pace, Patient};
use crate::streams::Streams;
use crate::tls::{self, Tls};
use crate::turns::Turns;

/// For the handshake of an encrypted connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller may leave an answer, or the next piece of it, unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Requests that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 256;

/// Streams of one connection that were opened and taken back, and not yet seen to: a flood of them
/// ends the connection (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;

/// An HTTP/2 connection that does not answer a ping is gone.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Callers beyond the limit of connections who are told so at a time; others are just cut off.
const TURNED_AWAY_MAX: usize = 64;

/// How long a connection that has not asked yet may still do so when the server leaves: its request
/// is on the way.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// Wait before accepting again when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener with what it answers: HTTP/1.1 and HTTP/2, gRPC too.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) entrance: Entrance,
    /// None: as it comes.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) router: Router,
    pub(crate) context: Arc<Context>,
}

/// How far the end of the server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Open.
    Serving,
    /// No new connections; those that are there end with the request they are in.
    Closing,
}

impl Door {
    /// Accepts until the phase changes, then waits until the last connection is gone.
    ///
    /// Dropping the future cuts the connections off.
    pub(crate) async fn serve(self, phase: watch::Receiver<Phase>) {
        let Self { listener, entrance, tls, router, context } = self;
        let is_public = listener.local_addr().is_ok_and(|address| !is_loopback(address));
        let slots = Arc::new(Semaphore::new(context.limits().connections_max));
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let builder = builder(context.limits());
        let connection = |stream, peer| Connection {
            stream,
            visitor: Visitor { peer, entrance, is_public, certificates: Vec::new() },
            tls: tls.clone(),
            router: router.clone(),
            context: Arc::clone(&context),
        };
        let mut connections = JoinSet::new();
        let mut end = phase.clone();
        let mut end = std::pin::pin!(async move { closing(&mut end).await });
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => break,
                accepted = listener.accept() => accepted,
            };
            match (accepted, Arc::clone(&slots).try_acquire_owned()) {
                (Ok((stream, peer)), Ok(slot)) => {
                    let connection = connection(stream, peer);
                    let (builder, phase) = (builder.clone(), phase.clone());
                    connections.spawn(async move {
                        connection.serve(builder, phase).await;
                        drop(slot);
                    });
                }
                (Ok((stream, _)), Err(_)) => {
                    context.metrics.connection_refused("limit");
                    if let Ok(turn) = Arc::clone(&turned_away).try_acquire_owned()
                        && tls.is_none()
                    {
                        connections.spawn(async move {
                            turn_away(stream).await;
                            drop(turn);
                        });
                    }
                }
                (Err(_), _) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
        // Whoever is in the system's queue already is served too. The system itself is asked: the
        // reactor has not heard yet of those who came last.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, peer)) = listener.accept() {
                let stream =
                    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    connections
                        .spawn(connection(stream, peer).serve(builder.clone(), phase.clone()));
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

/// Says in the caller's own protocol that there are too many, and waits a moment for him to read it.
async fn turn_away(mut stream: TcpStream) {
    const BODY: &str = "{\"error\":\"too many connections ([limits] connections)\",\
        \"code\":\"no_capacity\",\"request_id\":\"-\"}";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         retry-after-ms: 1000\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with something unread would take the answer back.
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever neither reads nor leaves is cut off.
    drop(tokio::time::timeout(Duration::from_secs(1), said).await);
}

async fn closing(phase: &mut watch::Receiver<Phase>) {
    // The sender outlives the doors; were it gone, the end would have come too.
    drop(phase.wait_for(|phase| *phase == Phase::Closing).await);
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(HANDSHAKE_TIMEOUT)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

struct Connection {
    stream: TcpStream,
    visitor: Visitor,
    tls: Option<Arc<Tls>>,
    router: Router,
    context: Arc<Context>,
}

impl Connection {
    async fn serve(mut self, builder: auto::Builder<TokioExecutor>, phase: watch::Receiver<Phase>) {
        let context = Arc::clone(&self.context);
        let _open = context.metrics.connection();
        // Small answers shall not wait for more to send.
        drop(self.stream.set_nodelay(true));
        let Some(tls) = self.tls.take() else {
            let (stream, rest) = self.split();
            return rest.talk(stream, builder, phase).await;
        };
        let (stream, mut rest) = self.split();
        let handshake = tls.acceptor().accept(stream);
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else {
            return context.metrics.connection_refused("handshake");
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let own = certificates.and_then(|chain| chain.first());
        rest.visitor.certificates = own.map(tls::names).unwrap_or_default();
        rest.talk(stream, builder, phase).await;
    }

    fn split(self) -> (TcpStream, Talk) {
        let Self { stream, visitor, router, context, .. } = self;
        (stream, Talk { visitor, router, context })
    }
}

/// What is left of a connection without its stream.
struct Talk {
    visitor: Visitor,
    router: Router,
    context: Arc<Context>,
}

impl Talk {
    /// Answers requests until one side ends it.
    async fn talk<S>(
        self,
        stream: S,
        builder: auto::Builder<TokioExecutor>,
        mut phase: watch::Receiver<Phase>,
    ) where
        S: AsyncRead + AsyncWrite + OnSocket + Send + Unpin + 'static,
    {
        let Self { visitor, router, context } = self;
        let (visitor, streams) = (Arc::new(visitor), Arc::<Streams>::default());
        let Limits { head, idle, body_bytes_per_second_min, .. } = context.limits();
        let has_asked = Arc::new(AtomicBool::new(false));
        let (asked, counted) = (Arc::clone(&has_asked), Arc::clone(&streams));
        let marks = Marks::default();
        let stream = Lingering::new(stream, marks.clone());
        let kept = marks.clone();
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            marks.asked(request.version());
            let stream = (request.version() == Version::HTTP_2).then(|| counted.begin());
            let (context, router, visitor) =
                (Arc::clone(&context), router.clone(), Arc::clone(&visitor));
            let marks = marks.clone();
            // HTTP/2 moves what it is given six times.
            Box::pin(async move {
                let answer = front::answer(context, router, visitor, marks.clone(), request).await;
                answer.map(|response| {
                    if response.extensions().get::<front::LeftUnread>().is_some() {
                        marks.unread();
                    }
                    match stream {
                        Some(stream) => response.map(|body| stream.give(body)),
                        None => response,
                    }
                })
            })
        });
        let pace = Pace { grace: WRITE_PATIENCE, bytes_per_second: body_bytes_per_second_min };
        let stream = TokioIo::new(Turns::new(Patient::new(stream, pace)));
        let connection = builder.serve_connection(stream, service);
        let mut connection = std::pin::pin!(connection);
        let lost = lost(&streams, &has_asked, head);
        let mut lost = std::pin::pin!(lost);
        // Looked at when one of them wakes up, and not with every request.
        let ends = ends(lost.as_mut(), streams.idle(idle), &mut phase);
        let mut ends: FuturesUnordered<_> = std::iter::once(ends).collect();
        // The connection first: what has come in is answered, whatever else there is. Its errors are
        // the caller's going away in the middle of something.
        let end = tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            end = ends.next() => end.flatten(),
        };
        drop(ends);
        let Some(is_idle) = end else { return };
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = last_chance(has_asked.load(Ordering::Relaxed) && !kept.has_come()) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = connection.as_mut() => {}
            () = lost => {}
            // Who does not take leave when he is told to.
            () = tokio::time::sleep(WRITE_PATIENCE), if is_idle => {}
        }
    }
}

/// Waits until a connection is to end. None: at once; else whether it is for being idle.
async fn ends(
    lost: impl Future<Output = ()>,
    idle: impl Future<Output = ()>,
    phase: &mut watch::Receiver<Phase>,
) -> Option<bool> {
    tokio::select! {
        biased;
        () = lost => None,
        () = idle => Some(true),
        () = closing(phase) => Some(false),
    }
}

/// Waits until a caller has lost his place: who connects and asks nothing holds one that others
/// need, and so does who takes no answer.
async fn lost(streams: &Streams, has_asked: &AtomicBool, head: Duration) {
    let silent = async {
        tokio::time::sleep(head).await;
        if has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = streams.stuck(WRITE_PATIENCE) => {}
        () = silent => {}
    }
}

/// Waits for a request that is on its way. One that the system has and the reactor does not know of
/// yet came in time; of those who have not asked at all, or are in the middle of a head, it may be
/// further away.
async fn last_chance(is_between: bool) {
    if is_between {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(LAST_CHANCE).await;
    }
}
