//! Accepting connections, and letting go of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::auth::{Entrance, Visitor};
use crate::config::is_loopback;
use crate::context::Context;
use crate::front;

/// How long a connection may take for the head of its next request, and so how long it may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Wait before accepting again when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener with what it answers: HTTP/1.1 and HTTP/2, gRPC too.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) entrance: Entrance,
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
    pub(crate) async fn serve(self, mut phase: watch::Receiver<Phase>) {
        let Self { listener, entrance, router, context } = self;
        let is_public = listener.local_addr().is_ok_and(|address| !is_loopback(address));
        let visitor = |peer| Visitor { peer, entrance, is_public, certificate: None };
        let slots = Arc::new(Semaphore::new(context.limits.connections_max));
        let builder = builder(context.limits.header_bytes_max);
        let mut connections = JoinSet::new();
        let mut end = phase.clone();
        let mut end = std::pin::pin!(async move { closing(&mut end).await });
        loop {
            // With all slots taken, new connections wait in the system's queue.
            let slot = tokio::select! {
                biased;
                () = &mut end => break,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let accepted = tokio::select! {
                biased;
                () = &mut end => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        stream,
                        visitor: visitor(peer),
                        router: router.clone(),
                        context: Arc::clone(&context),
                    };
                    let (builder, phase) = (builder.clone(), phase.clone());
                    connections.spawn(async move {
                        connection.serve(builder, phase).await;
                        drop(slot);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
        // Whoever was in the system's queue already is served too.
        while let Some(Ok((stream, peer))) = pending(&listener).await {
            let connection = Connection {
                stream,
                visitor: visitor(peer),
                router: router.clone(),
                context: Arc::clone(&context),
            };
            connections.spawn(connection.serve(builder.clone(), phase.clone()));
        }
        drop(listener);
        phase.mark_unchanged();
        while connections.join_next().await.is_some() {}
    }
}

/// A connection that has come in already.
async fn pending(listener: &TcpListener) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match listener.poll_accept(context) {
            std::task::Poll::Ready(accepted) => Some(accepted),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn closing(phase: &mut watch::Receiver<Phase>) {
    // The sender outlives the doors; were it gone, the end would have come too.
    drop(phase.wait_for(|phase| *phase == Phase::Closing).await);
}

fn builder(header_bytes_max: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX));
    builder
}

struct Connection {
    stream: TcpStream,
    visitor: Visitor,
    router: Router,
    context: Arc<Context>,
}

impl Connection {
    async fn serve(self, builder: auto::Builder<TokioExecutor>, mut phase: watch::Receiver<Phase>) {
        let Self { stream, visitor, router, context } = self;
        let visitor = Arc::new(visitor);
        // Small answers shall not wait for more to send.
        drop(stream.set_nodelay(true));
        let service = service_fn(move |request| {
            front::answer(Arc::clone(&context), router.clone(), Arc::clone(&visitor), request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // Errors are the caller's going away in the middle of something.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = closing(&mut phase) => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}
