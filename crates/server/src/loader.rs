//! The thread that changes models, off the reactor.
//!
//! One thread does it, so changes come one after another, and big models are freed there too.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use axum::body::Bytes;
use stemson_mojo::Digest;
use stemson_serving::{ModelName, Outcome, Revision, Selector, Share, Swap, Warm};
use tokio::sync::oneshot;

use crate::bench::Bench;
use crate::deploy_error::DeployError;
use crate::error::Refusal;
use crate::lane;

/// Where an artifact comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The caller sent it.
    Bytes(Bytes),
    /// The caller named it.
    Path(PathBuf),
    /// The deployment had it before.
    Known(Selector),
}

/// What the artifact is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Answer from now on.
    Current,
    /// Answer again, as it did before.
    Back,
    /// Answer a share of the requests.
    Canary(Share),
    /// Be asked too.
    Shadow,
}

/// A change that was asked for.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) name: ModelName,
    pub(crate) source: Source,
    pub(crate) place: Place,
    /// Rows with the answers that it must give.
    pub(crate) reference: Option<Vec<u8>>,
    /// The digest that the caller expects.
    pub(crate) sha256: Option<Digest>,
    pub(crate) by: String,
    pub(crate) allow_schema_change: bool,
}

/// What a finished change leaves: what is current, and what stands beside it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) current: Arc<Revision>,
    pub(crate) previous: Option<Arc<Revision>>,
    pub(crate) canary: Option<(Arc<Revision>, Share)>,
    pub(crate) shadow: Option<Arc<Revision>>,
}

impl Done {
    pub(crate) fn of(outcome: Outcome, warm: &Warm) -> Self {
        let canary = warm.canary.as_ref();
        Self {
            outcome,
            current: Arc::clone(&warm.current),
            previous: warm.previous.clone(),
            canary: canary.map(|canary| (Arc::clone(canary.revision()), canary.share())),
            shadow: warm.shadow.clone(),
        }
    }
}

impl From<&Swap> for Done {
    fn from(swap: &Swap) -> Self {
        Self::of(swap.outcome, &swap.warm)
    }
}

/// What the thread is told.
enum Job {
    /// Bring an artifact, and say what came of it.
    Bring(Order, oneshot::Sender<Result<Done, DeployError>>),
    /// Make an alarm last.
    Abort(ModelName, Digest, String),
    /// Free these once nobody computes with them any more.
    Retire(Vec<Arc<Revision>>),
}

/// The way to the loading thread.
#[derive(Debug, Clone)]
pub(crate) struct Loader {
    jobs: mpsc::Sender<Job>,
}

/// How often the thread looks whether a retired model is in use still.
const RETIRE_INTERVAL: Duration = Duration::from_millis(100);

impl Loader {
    /// Starts the thread. It ends when the loader is dropped.
    pub(crate) fn start(bench: Arc<Bench>) -> std::io::Result<Self> {
        let (jobs, receiver) = mpsc::channel();
        thread::Builder::new().name("loader".to_owned()).spawn(move || {
            lane::step_aside();
            work(&bench, &receiver);
        })?;
        Ok(Self { jobs })
    }

    /// Has the thread do it. The change goes on if nobody waits for it any more.
    pub(crate) async fn bring(&self, order: Order) -> Result<Done, Refusal> {
        let (sender, receiver) = oneshot::channel();
        if self.jobs.send(Job::Bring(order, sender)).is_err() {
            return Err(Refusal::Panicked);
        }
        receiver.await.map_err(|_| Refusal::Panicked)?.map_err(Refusal::Deploy)
    }

    /// Takes the share of a canary away for good. Never waits.
    pub(crate) fn abort(&self, name: ModelName, canary: Digest, why: String) {
        // Without the thread the server is ending.
        drop(self.jobs.send(Job::Abort(name, canary, why)));
    }

    /// Frees revisions elsewhere than here.
    pub(crate) fn retire(&self, revisions: Vec<Arc<Revision>>) {
        if !revisions.is_empty() {
            drop(self.jobs.send(Job::Retire(revisions)));
        }
    }
}

fn work(bench: &Bench, jobs: &mpsc::Receiver<Job>) {
    let mut retired: Vec<Arc<Revision>> = Vec::new();
    loop {
        let next = if retired.is_empty() {
            jobs.recv().map_err(RecvTimeoutError::from)
        } else {
            jobs.recv_timeout(RETIRE_INTERVAL)
        };
        match next {
            Ok(job) => {
                // A panic is a mistake of ours: the caller sees the answer vanish.
                let run = std::panic::AssertUnwindSafe(|| execute(bench, job));
                retired.extend(std::panic::catch_unwind(run).unwrap_or_default());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Whoever still computes with one holds it too; the last to let go frees it, and that
        // shall be this thread.
        retired.retain(|revision| Arc::strong_count(revision) > 1);
    }
}

/// Does a job; gives what it leaves to be freed.
fn execute(bench: &Bench, job: Job) -> Vec<Arc<Revision>> {
    match job {
        Job::Bring(order, answer) => {
            let brought = bench.bring(order);
            let (done, retired) = match brought {
                Ok(swap) => (Ok(Done::from(&swap)), swap.retired),
                Err(cause) => (Err(cause), Vec::new()),
            };
            // The caller may have gone; the change stands.
            drop(answer.send(done));
            retired
        }
        Job::Abort(name, canary, why) => bench.abort(&name, canary, why),
        Job::Retire(revisions) => revisions,
    }
}
