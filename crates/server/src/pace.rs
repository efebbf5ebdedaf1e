//! Callers who are too slow: they hold a connection, and a few thousand of them all connections.
//!
//! A body must come at a least rate after a time of grace, and who does not read his answer is let
//! go. The head of the first request has its own limit, in `listen`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What callers must keep up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) grace: Duration,
    /// 0: none.
    pub(crate) bytes_per_second: u64,
}

/// The body comes slower than it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body comes slower than {bytes_per_second} bytes a second")]
pub(crate) struct TooSlow {
    pub(crate) bytes_per_second: u64,
}

/// Watches how fast a body comes. The timer is made when the first wait begins: most bodies are
/// there already.
#[derive(Debug)]
pub(crate) struct Watch {
    pace: Pace,
    bytes: u64,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, bytes: 0, since: None, timer: None }
    }

    /// More has come.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Called while nothing comes: ready when that has lasted too long.
    pub(crate) fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        let Pace { grace, bytes_per_second } = self.pace;
        if bytes_per_second == 0 {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let earned = Duration::from_secs_f64(self.bytes as f64 / bytes_per_second as f64);
        // A year stands for ever, and is a time that the clock can hold.
        let due = since + grace + earned.min(Duration::from_hours(24 * 365));
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        timer.as_mut().reset(due);
        ready!(timer.as_mut().poll(context));
        Poll::Ready(TooSlow { bytes_per_second })
    }
}

/// A stream whose other end must take what is written: within `patience`, some of it.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, timer: None }
    }

    /// Lets what is written pass, and counts the time in which nothing is.
    fn limit<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limit(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limit(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_must_keep_its_rate_after_the_grace() {
        let pace = Pace { grace: Duration::from_millis(10), bytes_per_second: 100_000 };
        let mut watch = Watch::new(pace);
        let start = Instant::now();
        watch.came(2_000);
        let late = std::future::poll_fn(|context| watch.poll_late(context)).await;
        assert_eq!(late, TooSlow { bytes_per_second: 100_000 });
        assert!(start.elapsed() >= Duration::from_millis(30), "10 ms, and 20 ms that were earned");
        let mut never = Watch::new(Pace { bytes_per_second: 0, ..pace });
        let late = std::future::poll_fn(|context| never.poll_late(context));
        assert!(tokio::time::timeout(Duration::from_millis(20), late).await.is_err());
    }

    #[tokio::test]
    async fn who_does_not_read_is_let_go() {
        let (ours, theirs) = tokio::io::duplex(4);
        let mut ours = Patient::new(ours, Duration::from_millis(10));
        let written = ours.write_all(b"more than four").await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }
}
