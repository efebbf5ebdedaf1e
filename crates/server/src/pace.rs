//! Callers who are too slow: they hold a connection, and a few thousand of them all connections.
//!
//! A body must come at a least rate after a time of grace, and who does not read his answer is let
//! go. The head of the first request has its own limit, in `listen`; what HTTP/2 adds is in `streams`.

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

impl Pace {
    /// The time that so many bytes may take; none: any.
    fn earned(self, bytes: u64) -> Option<Duration> {
        // A year stands for ever, and is a time that the clock can hold.
        const YEAR: Duration = Duration::from_hours(24 * 365);
        let seconds =
            (self.bytes_per_second > 0).then(|| bytes as f64 / self.bytes_per_second as f64)?;
        Some(Duration::from_secs_f64(seconds.min(YEAR.as_secs_f64())))
    }
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
        let Some(earned) = self.pace.earned(self.bytes) else {
            return Poll::Pending;
        };
        let due = *self.since.get_or_insert_with(Instant::now) + grace + earned;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        timer.as_mut().reset(due);
        ready!(timer.as_mut().poll(context));
        Poll::Ready(TooSlow { bytes_per_second })
    }
}

/// A stream whose other end must take what is written: within the grace some of it, and then at
/// the rate.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    pace: Pace,
    /// None: all that was written has been taken.
    wait: Option<Wait>,
}

/// Something that is written, and not yet taken.
#[derive(Debug)]
struct Wait {
    since: Instant,
    /// When some of it was taken last.
    taken_at: Instant,
    bytes: u64,
    timer: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, wait: None }
    }

    /// Lets what is written pass, and counts the time in which nothing or too little is.
    fn limit<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let (now, grace) = (Instant::now(), self.pace.grace);
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: now,
            taken_at: now,
            bytes: 0,
            timer: Box::pin(tokio::time::sleep(grace)),
        });
        let mut due = wait.taken_at + grace;
        if let Some(earned) = self.pace.earned(wait.bytes) {
            due = due.min(wait.since + grace + earned);
        }
        wait.timer.as_mut().reset(due);
        ready!(wait.timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn limit_bytes(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(wait)) = (&written, &mut self.wait) {
            wait.bytes += *bytes as u64;
            wait.taken_at = Instant::now();
        }
        self.limit(context, written)
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
        self.limit_bytes(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.limit_bytes(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.wait = None;
        }
        self.limit(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limit(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
        let pace = Pace { grace: Duration::from_millis(10), bytes_per_second: 0 };
        let mut ours = Patient::new(ours, pace);
        let written = ours.write_all(b"more than four").await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn who_reads_a_byte_now_and_then_is_let_go() {
        // Of the rate alone: a byte each ten milliseconds or later is slower than one a millisecond.
        for (grace, bytes_per_second, is_let_go) in [
            (Duration::from_mins(1), 0, false),
            (Duration::from_mins(1), 1, false),
            (Duration::from_millis(50), 1_000, true),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(4);
            let mut ours = Patient::new(ours, Pace { grace, bytes_per_second });
            let reader = async {
                let mut byte = [0];
                while theirs.read(&mut byte).await.is_ok_and(|n| n > 0) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let writer = async {
                let written = ours.write_all(&[7; 50]).await;
                drop(ours);
                written
            };
            let (written, ()) = tokio::join!(writer, reader);
            assert_eq!(written.is_err(), is_let_go, "{bytes_per_second}");
        }
    }
}
