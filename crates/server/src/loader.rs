//! Loading, checking, warming and publishing of models, off the reactor.
//!
//! One thread does it, so swaps come one after another, and big models are freed there too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use stemson_mojo::{Batch, Cell, Digest, LoadError, LoadOptions, Model, Options};
use stemson_serving::{
    Candidate, Change, Deployments, ModelName, Outcome, ParseModelNameError, Revision, Swap,
    SwapRefusal,
};
use tokio::sync::oneshot;

use crate::artifact;
use crate::error::Refusal;
use crate::metrics::Metrics;

/// Why an artifact is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeployError {
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] ParseModelNameError),
    /// The path lies outside of what the configuration allows.
    #[error("{} lies under none of the folders in [admin] artifact_roots", path.display())]
    NotAllowed {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// A folder or something odder.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// With every link followed.
        path: PathBuf,
    },
    /// Beyond the limit.
    #[error("{} is larger than {bytes_max} bytes ([limits] artifact_mib)", path.display())]
    TooLarge {
        /// With every link followed.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The system does not let us.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// With every link followed.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// Other bytes than the caller meant.
    #[error("the artifact's SHA-256 is {found}, expected {expected}")]
    Digest {
        /// Of the bytes.
        found: Digest,
        /// As the caller gave it.
        expected: Digest,
    },
    /// No model, or one that cannot be scored here.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model, but not one for this name.
    #[error(transparent)]
    Swap(#[from] SwapRefusal),
}

impl DeployError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "bad_name",
            Self::NotAllowed { .. } => "path_not_allowed",
            Self::NotFound { .. } => "artifact_not_found",
            Self::NotAFile { .. } => "artifact_not_a_file",
            Self::TooLarge { .. } => "artifact_too_large",
            Self::Read { .. } => "artifact_unreadable",
            Self::Digest { .. } => "digest_mismatch",
            Self::Load(cause) => cause.kind(),
            Self::Swap(SwapRefusal::Schema(_)) => "schema_mismatch",
        }
    }

    pub(crate) fn read(path: &Path, cause: &std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), cause: cause.to_string() }
    }
}

/// Where an artifact comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The caller sent it.
    Bytes(Bytes),
    /// The caller named it.
    Path(PathBuf),
}

/// A swap that was asked for.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) name: ModelName,
    pub(crate) source: Source,
    /// The digest that the caller expects.
    pub(crate) sha256: Option<Digest>,
    pub(crate) by: String,
    pub(crate) allow_schema_change: bool,
}

/// What a finished swap leaves: what is current, and what was.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) current: Arc<Revision>,
    pub(crate) previous: Option<Arc<Revision>>,
}

/// The way to the loading thread.
#[derive(Debug)]
pub(crate) struct Loader {
    orders: mpsc::Sender<(Order, oneshot::Sender<Result<Done, DeployError>>)>,
}

/// What loading needs to know.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) options: LoadOptions,
    pub(crate) artifact_roots: Vec<PathBuf>,
    pub(crate) artifact_bytes_max: u64,
}

/// How often the thread looks whether a retired model is in use still.
const RETIRE_INTERVAL: Duration = Duration::from_millis(100);

impl Loader {
    /// Starts the thread. It ends when the loader is dropped.
    pub(crate) fn start(bench: Arc<Bench>) -> std::io::Result<Self> {
        let (orders, receiver) =
            mpsc::channel::<(Order, oneshot::Sender<Result<Done, DeployError>>)>();
        let work = move || {
            let mut retired: Vec<Arc<Revision>> = Vec::new();
            loop {
                let next = if retired.is_empty() {
                    receiver.recv().map_err(RecvTimeoutError::from)
                } else {
                    receiver.recv_timeout(RETIRE_INTERVAL)
                };
                match next {
                    Ok((order, answer)) => {
                        // A panic is a mistake of ours: the caller sees the answer vanish.
                        let swap = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            bench.swap(order)
                        }));
                        if let Ok(swap) = swap {
                            let done = swap.map(|swap| {
                                retired.extend(swap.retired.iter().cloned());
                                Done::from(&swap)
                            });
                            // The caller may have gone; the swap stands.
                            drop(answer.send(done));
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // Whoever still computes with one holds it too; the last to let go frees it, and
                // that shall be this thread.
                retired.retain(|revision| Arc::strong_count(revision) > 1);
            }
        };
        thread::Builder::new().name("loader".to_owned()).spawn(work)?;
        Ok(Self { orders })
    }

    /// Has the thread do it. The swap goes on if nobody waits for it any more.
    pub(crate) async fn swap(&self, order: Order) -> Result<Done, Refusal> {
        let (sender, receiver) = oneshot::channel();
        if self.orders.send((order, sender)).is_err() {
            return Err(Refusal::Panicked);
        }
        receiver.await.map_err(|_| Refusal::Panicked)?.map_err(Refusal::Deploy)
    }
}

impl From<&Swap> for Done {
    fn from(swap: &Swap) -> Self {
        Self {
            outcome: swap.outcome,
            current: Arc::clone(&swap.warm.current),
            previous: swap.warm.previous.clone(),
        }
    }
}

impl Bench {
    /// Load, verify, warm, publish; here and now, on this thread.
    pub(crate) fn swap(&self, order: Order) -> Result<Swap, DeployError> {
        let name = order.name.clone();
        let swap = self.try_swap(order);
        let outcome = swap.as_ref().map_or("refused", |swap| swap.outcome.as_str());
        self.metrics.swap(&name, outcome);
        swap
    }

    /// A revision that need not be loaded, for it is warm.
    fn warm(&self, name: &ModelName, digest: &Digest) -> Option<Arc<Revision>> {
        let warm = self.deployments.find(name)?.warm();
        warm.revisions().find(|revision| revision.digest() == *digest).cloned()
    }

    fn try_swap(&self, order: Order) -> Result<Swap, DeployError> {
        let Order { name, source, sha256, by, allow_schema_change } = order;
        let bytes = match source {
            Source::Bytes(bytes) => bytes,
            Source::Path(path) => {
                artifact::read(&path, &self.artifact_roots, self.artifact_bytes_max)?.into()
            }
        };
        let found = Digest::of(&bytes);
        if let Some(expected) = sha256.filter(|expected| *expected != found) {
            return Err(DeployError::Digest { found, expected });
        }
        let (model, ns_per_row) = match self.warm(&name, &found) {
            Some(revision) => (Arc::clone(revision.model()), revision.row_cost().ns_per_unit()),
            None => {
                let model = Arc::new(Model::load(&bytes, &self.options)?);
                let ns_per_row = warm(&model);
                (model, ns_per_row)
            }
        };
        let change = Change { at: SystemTime::now(), by, allow_schema_change };
        Ok(self.deployments.swap(&name, Candidate { model, ns_per_row }, change)?)
    }
}

/// Scores rows without values: brings the model into the caches, and gives a first idea of what
/// a row costs, in nanoseconds.
fn warm(model: &Arc<Model>) -> f64 {
    const ROWS: usize = 8;
    let cells = vec![Cell::Absent; model.schema().columns().len()];
    let mut batch = Batch::new(Arc::clone(model), Options::default());
    let mut ns_per_row = 0.0;
    for _ in 0..3 {
        batch.clear();
        for _ in 0..ROWS {
            if model.schema().is_open() {
                batch.push_words(&[("word", Cell::Text(""))]);
            } else {
                batch.push(&cells);
            }
        }
        let begun = Instant::now();
        batch.score();
        ns_per_row = begun.elapsed().as_nanos() as f64 / ROWS as f64;
    }
    ns_per_row
}
