//! What of the configuration changes while the server runs, and how a new one is taken up.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use stemson_serving::{Deployments, ModelName, Outcome, TrialLimits};

use crate::bench::Bench;
use crate::config::{Config, Limits};
use crate::download::Downloads;
use crate::folder::ModelFolder;
use crate::loader::Loader;
use crate::log;
use crate::upkeep::{News, Watched};

/// The part of the configuration that may change.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) limits: Limits,
    pub(crate) slo: Duration,
    /// Share of the requests that get a line in the log.
    pub(crate) access_ratio: f64,
    pub(crate) keep_revisions: usize,
    pub(crate) trial: TrialLimits,
    /// Folders from which models are loaded by name.
    pub(crate) artifact_roots: Vec<PathBuf>,
    /// Fetches models that are named by URL.
    pub(crate) downloads: Downloads,
}

/// The pointer to it; clones are the same.
pub(crate) type SharedLive = Arc<ArcSwap<Live>>;

/// A configuration that is to take the place of the one before.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// As a whole; what cannot change is left as it is.
    pub config: Config,
    /// Models with the file that answers for each.
    pub models: Vec<(String, PathBuf)>,
    /// Models that the configuration named before, and does not any more.
    pub removed: Vec<String>,
    /// Keys whose values have changed and take effect, for the log.
    pub changed: Vec<String>,
    /// Keys whose values have changed and take effect at the next start.
    pub needs_restart: Vec<String>,
}

impl Live {
    /// # Errors
    /// In words: hosts cannot be asked as it is said.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            limits: config.limits,
            slo: config.slo,
            access_ratio: config.log.access_ratio,
            keep_revisions: config.keep_revisions,
            trial: config.trial,
            artifact_roots: config.artifact_roots.clone(),
            downloads: Downloads::open(&config.downloads)?,
        })
    }
}

/// What a new configuration is taken up into.
pub(crate) struct Taker {
    pub(crate) live: SharedLive,
    pub(crate) bench: Arc<Bench>,
    pub(crate) loader: Loader,
    pub(crate) deployments: Arc<Deployments>,
    /// The folders that are looked at for models.
    pub(crate) folders: Arc<Mutex<Vec<ModelFolder>>>,
}

impl Taker {
    /// How the configuration is read again: `read` says what it is now, or what is wrong with it, and is
    /// told whether what it said the last time was taken.
    pub(crate) fn watched(
        self,
        mut read: impl FnMut(bool) -> Result<Wanted, String> + Send + 'static,
    ) -> Watched {
        let mut was_taken = false;
        Watched {
            name: "configuration",
            files: Vec::new(),
            every: None,
            reload: Box::new(move || {
                let wanted = read(was_taken)?;
                was_taken = false;
                let news = self.take_up(wanted)?;
                was_taken = true;
                Ok(news)
            }),
        }
    }

    /// All of it or, if it is not right, nothing; models each for itself.
    fn take_up(&self, wanted: Wanted) -> Result<News, String> {
        let Wanted { config, models, removed, changed, needs_restart } = wanted;
        config.check().map_err(|bad| bad.to_string())?;
        let live = Live::new(&config).map_err(|bad| format!("[admin] {bad}"))?;
        log::set_level(&config.log.level)?;
        self.live.store(Arc::new(live));
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.clone_from(&config.model_folders);
        drop(folders);
        let mut news = News { needs_restart, ..News::default() };
        let mut told: BTreeSet<String> = changed.into_iter().collect();
        for (name, file) in &models {
            match self.bench.configure_file(name, file, "reload") {
                Ok(swap) => {
                    if swap.outcome != Outcome::Unchanged {
                        let number = swap.warm.current.number();
                        told.insert(format!("{name}: revision {number} is current"));
                    }
                    self.loader.retire(swap.retired);
                }
                Err(cause) => {
                    news.problems.push(format!("{name}: {} is not taken: {cause}", file.display()));
                }
            }
        }
        for name in &removed {
            let parsed = name.parse::<ModelName>().ok();
            if let Some(revisions) = parsed.and_then(|name| self.deployments.park(&name)) {
                self.loader.retire(revisions);
                told.insert(format!("{name}: unloaded"));
            }
        }
        let told: Vec<String> = told.into_iter().collect();
        news.text =
            if told.is_empty() { "nothing has changed".to_owned() } else { told.join("; ") };
        Ok(news)
    }
}
