//! How a server is told to end.

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
