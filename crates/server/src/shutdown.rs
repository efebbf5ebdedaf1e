//! How a server is told to end, or to read its files again.

use std::io;

use tokio::sync::watch;

/// Ends the server that runs with it, from any thread; clones are the same handle.
#[derive(Debug, Clone)]
pub struct ShutdownHandle {
    begun: watch::Sender<bool>,
    has_signals: bool,
}

impl ShutdownHandle {
    /// A handle that only [`ShutdownHandle::begin`] triggers.
    pub fn new() -> Self {
        Self { begun: watch::Sender::new(false), has_signals: false }
    }

    /// A handle that SIGTERM and SIGINT trigger too, from the time that the server runs.
    ///
    /// A second signal ends the drain at once.
    pub fn with_signals() -> Self {
        Self { has_signals: true, ..Self::new() }
    }

    /// Begins the end: readiness turns false, requests in flight are answered, then the server
    /// leaves. Saying it twice is saying it once.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    pub(crate) fn has_signals(&self) -> bool {
        self.has_signals
    }

    /// Waits until somebody has begun the end.
    pub(crate) async fn begun(&self) {
        // The sender lives in `self`, so this cannot fail.
        drop(self.begun.subscribe().wait_for(|begun| *begun).await);
    }
}

impl Default for ShutdownHandle {
    fn default() -> Self {
        Self::new()
    }
}

/// SIGTERM, SIGINT and SIGHUP, if they are listened to.
pub(crate) struct Signals {
    #[cfg(unix)]
    all: Option<[tokio::signal::unix::Signal; 3]>,
    #[cfg(not(unix))]
    is_on: bool,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new(is_on: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let all = if is_on {
            Some([
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            ])
        } else {
            None
        };
        Ok(Self { all })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn new(is_on: bool) -> io::Result<Self> {
        Ok(Self { is_on })
    }

    /// Waits for the next one: to end, or to read files again.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Signal {
        match &mut self.all {
            Some([terminate, interrupt, hangup]) => tokio::select! {
                _ = terminate.recv() => Signal::End,
                _ = interrupt.recv() => Signal::End,
                _ = hangup.recv() => Signal::Reload,
            },
            None => std::future::pending().await,
        }
    }

    /// Waits for the next one.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Signal {
        if self.is_on {
            drop(tokio::signal::ctrl_c().await);
            Signal::End
        } else {
            std::future::pending().await
        }
    }

    /// Waits until one says that this is the end.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Signal::End {}
    }
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM, SIGINT.
    End,
    /// SIGHUP.
    #[cfg_attr(not(unix), expect(dead_code, reason = "unix only"))]
    Reload,
}
