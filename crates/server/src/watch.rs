//! Folders of models, looked at again and again: what is new there is swapped in.
//!
//! By looking, not by the system's notices: those do not come from other machines on a shared volume,
//! nor when Kubernetes turns the link under a mounted folder. A file counts when two looks have seen
//! the same one, so that what is still being copied is left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stemson_serving::Outcome;

use crate::bench::Bench;
use crate::folder::ModelFolder;
use crate::lane;
use crate::loader::Loader;
use crate::upkeep::{Stamp, stamp};

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks every `interval`; never if that is zero. The folders may change.
    pub(crate) fn start(
        folders: &Arc<Mutex<Vec<ModelFolder>>>,
        interval: Duration,
        bench: &Arc<Bench>,
        loader: &Loader,
    ) -> std::io::Result<Self> {
        if interval.is_zero() {
            return Ok(Self { stop: None, thread: None });
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let (folders, bench, loader) = (Arc::clone(folders), Arc::clone(bench), loader.clone());
        let mut look = Look { folders, bench, loader, seen: BTreeMap::new(), trouble: None };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || {
            lane::step_aside();
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                look.look();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A look that panicked has ended it already.
            drop(thread.join());
        }
    }
}

struct Look {
    folders: Arc<Mutex<Vec<ModelFolder>>>,
    bench: Arc<Bench>,
    loader: Loader,
    /// By name of the model.
    seen: BTreeMap<String, Seen>,
    /// What was last complained about.
    trouble: Option<String>,
}

struct Seen {
    file: PathBuf,
    stamp: Stamp,
    /// It has been brought, or refused: until it changes there is nothing to do.
    is_done: bool,
}

impl Look {
    fn look(&mut self) {
        let mut files = BTreeMap::new();
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for folder in &folders {
            match folder.models() {
                Ok(models) => files.extend(models),
                Err(cause) => {
                    let trouble = format!("{folder:?} cannot be read: {cause}");
                    if self.trouble.as_ref() != Some(&trouble) {
                        tracing::error!("{trouble}; its models answer on");
                        self.trouble = Some(trouble);
                    }
                    return;
                }
            }
        }
        self.trouble = None;
        for (name, file) in files {
            let Some(stamp) = stamp(&file) else {
                continue;
            };
            match self.seen.get_mut(&name) {
                Some(seen) if seen.file == file && seen.stamp == stamp => {
                    if !seen.is_done {
                        seen.is_done = true;
                        self.bring(&name, &file);
                    }
                }
                _ => {
                    self.seen.insert(name, Seen { file, stamp, is_done: false });
                }
            }
        }
    }

    fn bring(&self, name: &str, file: &Path) {
        match self.bench.configure_file(name, file, "watch") {
            Ok(swap) => {
                if swap.outcome != Outcome::Unchanged {
                    let number = swap.warm.current.number();
                    tracing::info!(model = name, number, "{} is current", file.display());
                }
                self.loader.retire(swap.retired);
            }
            Err(cause) => {
                tracing::error!(model = name, "{} is not taken: {cause}", file.display());
            }
        }
    }
}
