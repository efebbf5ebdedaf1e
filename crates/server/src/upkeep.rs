//! Files that are read again when they change: keys, certificates.
//!
//! One thread looks at them once a second, and at once when it is asked to. What cannot be read
//! then, or is not what it must be, changes nothing: the log says so, and what was there stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use crate::metrics::Metrics;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Something that is made from files.
pub(crate) struct Watched {
    /// For the log: `keys`, `certificates`.
    pub(crate) name: &'static str,
    pub(crate) files: Vec<PathBuf>,
    /// Looked at again after this time although no file has changed; for what is fetched.
    pub(crate) every: Option<Duration>,
    /// Reads them and puts the new in place of the old; else says why not.
    pub(crate) reload: Box<dyn FnMut() -> Result<String, String> + Send>,
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    orders: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a file looked like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Another file under the same name.
    inode: u64,
}

impl Upkeep {
    pub(crate) fn start(mut watched: Vec<Watched>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let mut seen: Vec<_> =
            watched.iter().map(|it| (stamps(&it.files), Duration::ZERO)).collect();
        let thread = thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
            loop {
                let is_ordered = match ordered.recv_timeout(PERIOD) {
                    Ok(()) => true,
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                for (it, (before, since)) in watched.iter_mut().zip(&mut seen) {
                    let now = stamps(&it.files);
                    *since += PERIOD;
                    let is_due = it.every.is_some_and(|every| *since >= every);
                    if is_ordered || is_due || now != *before {
                        (*before, *since) = (now, Duration::ZERO);
                        reload(it, &metrics);
                    }
                }
            }
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Everything is read again now.
    pub(crate) fn order(&self) {
        if let Some(orders) = &self.orders {
            // Were the thread gone, so would be the server.
            let _ = orders.send(());
        }
    }
}

fn reload(watched: &mut Watched, metrics: &Metrics) {
    let reloaded = (watched.reload)();
    metrics.reloaded(watched.name, if reloaded.is_ok() { "done" } else { "refused" });
    match reloaded {
        Ok(news) => tracing::info!(what = watched.name, "{news}"),
        Err(why) => tracing::error!(what = watched.name, "not reloaded, the old stays: {why}"),
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(file)).collect()
}

/// What the file looks like now; none if it is not there.
pub(crate) fn stamp(file: &Path) -> Option<Stamp> {
    let seen = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&seen);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Stamp { modified: seen.modified().ok(), bytes: seen.len(), inode })
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A reload that panicked has ended it already.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once_and_a_failure_does_not_end_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.toml");
        std::fs::write(&file, "1").expect("a file");
        let (sender, receiver) = mpsc::channel();
        let read = file.clone();
        let upkeep = Upkeep::start(
            vec![Watched {
                name: "test",
                files: vec![file.clone()],
                every: None,
                reload: Box::new(move || {
                    let text = std::fs::read_to_string(&read).map_err(|cause| cause.to_string());
                    sender.send(text.clone()).expect("the test waits");
                    text
                }),
            }],
            Arc::new(Metrics::new()),
        )
        .expect("a thread");
        std::fs::write(&file, "22").expect("a file");
        assert_eq!(receiver.recv().expect("a reload"), Ok("22".to_owned()));
        std::fs::remove_file(&file).expect("it is there");
        assert!(receiver.recv().expect("a reload").is_err());
        std::fs::write(&file, "333").expect("a file");
        assert_eq!(receiver.recv().expect("a reload"), Ok("333".to_owned()));
        upkeep.order();
        assert_eq!(receiver.recv().expect("a reload"), Ok("333".to_owned()));
        drop(upkeep);
        assert!(receiver.recv().is_err(), "not once more");
    }
}
