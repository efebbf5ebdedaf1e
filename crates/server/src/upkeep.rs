//! Files that are read again when they change: keys, certificates.
//!
//! One thread looks at them once a second, and at once when it is asked to. What cannot be read
//! then, or is not what it must be, changes nothing: the log says so, and what was there stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::lane;
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
    pub(crate) reload: Box<dyn FnMut() -> Result<News, String> + Send>,
}

/// What a reload has brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// For people.
    pub(crate) text: String,
    /// Parts that were not taken, though the rest was.
    pub(crate) problems: Vec<String>,
    /// Keys of the configuration whose change waits for a restart.
    pub(crate) needs_restart: Vec<String>,
}

impl From<String> for News {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// What came of one thing that was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) what: &'static str,
    pub(crate) outcome: Result<News, String>,
}

impl Report {
    /// The word: `done`, `partly`, `refused`.
    pub(crate) fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(news) if news.problems.is_empty() => "done",
            Ok(_) => "partly",
            Err(_) => "refused",
        }
    }
}

/// What the thread is told.
enum Told {
    /// Everything is read again now; who asked hears what came of it.
    Reload(oneshot::Sender<Vec<Report>>),
    /// One thing more to look at.
    Watch(Watched),
    End,
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Orders(Sender<Told>);

/// What a file looked like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Another file under the same name.
    inode: u64,
}

impl Upkeep {
    pub(crate) fn start(watched: Vec<Watched>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let mut rounds: Vec<Round> = watched.into_iter().map(Round::new).collect();
        let thread = thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
            // A new configuration may bring models.
            lane::step_aside();
            loop {
                let who = match ordered.recv_timeout(PERIOD) {
                    Ok(Told::Reload(who)) => Some(who),
                    Ok(Told::Watch(watched)) => {
                        rounds.push(Round::new(watched));
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => None,
                    Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => return,
                };
                let reports = rounds.iter_mut().filter_map(|it| it.look(who.is_some(), &metrics));
                let reports = reports.collect();
                if let Some(who) = who {
                    // Nobody may be left to hear it.
                    drop(who.send(reports));
                }
            }
        })?;
        Ok(Self { orders: Orders(orders), thread: Some(thread) })
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }
}

impl Orders {
    /// Everything is read again now. What came of it, once it is done.
    pub(crate) fn reload(&self) -> oneshot::Receiver<Vec<Report>> {
        let (who, reports) = oneshot::channel();
        // Were the thread gone, so would be the server.
        drop(self.0.send(Told::Reload(who)));
        reports
    }

    /// From now on this is read again too.
    pub(crate) fn watch(&self, watched: Watched) {
        drop(self.0.send(Told::Watch(watched)));
    }
}

/// Something that is watched, and how it was when it was read last.
struct Round {
    watched: Watched,
    before: Vec<Option<Stamp>>,
    since: Duration,
}

impl Round {
    fn new(watched: Watched) -> Self {
        Self { before: stamps(&watched.files), since: Duration::ZERO, watched }
    }

    /// Reads it again if it is ordered or due, or another file is there.
    fn look(&mut self, is_ordered: bool, metrics: &Metrics) -> Option<Report> {
        let now = stamps(&self.watched.files);
        self.since += PERIOD;
        let is_due = self.watched.every.is_some_and(|every| self.since >= every);
        if !(is_ordered || is_due || now != self.before) {
            return None;
        }
        (self.before, self.since) = (now, Duration::ZERO);
        let report = Report { what: self.watched.name, outcome: (self.watched.reload)() };
        metrics.reloaded(report.what, report.word());
        match &report.outcome {
            Ok(News { text, problems, needs_restart }) => {
                tracing::info!(what = report.what, "{text}");
                problems.iter().for_each(|it| tracing::error!(what = report.what, "{it}"));
                needs_restart.iter().for_each(|key| {
                    tracing::warn!(what = report.what, "{key} has changed and needs a restart");
                });
            }
            Err(why) => {
                tracing::error!(what = report.what, "not reloaded, the old stays: {why}");
            }
        }
        Some(report)
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
        drop(self.orders.0.send(Told::End));
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
                    text.map(News::from)
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
        let reports = upkeep.orders().reload();
        assert_eq!(receiver.recv().expect("a reload"), Ok("333".to_owned()));
        let reports = reports.blocking_recv().expect("they come");
        assert_eq!((reports[0].what, reports[0].word()), ("test", "done"));
        drop(upkeep);
        assert!(receiver.recv().is_err(), "not once more");
    }
}
