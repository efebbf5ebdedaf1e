//! All names under which models answer.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::deployment::{Candidate, Change, Deployment, Outcome, Swap, SwapRefusal};
use crate::history::{DeploymentState, Journal, Volatile};
use crate::name::ModelName;
use crate::revision::Revision;

/// The deployments of a server, by name.
///
/// Looking one up takes no lock; names come seldom, so the whole map is replaced for a new one.
#[derive(Debug)]
pub struct Deployments {
    by_name: ArcSwap<BTreeMap<ModelName, Arc<Deployment>>>,
    /// Held while the map is replaced.
    writer: Mutex<()>,
    /// Taken out of answering: what they have had, without the models.
    parked: Mutex<BTreeMap<ModelName, DeploymentState>>,
    journal: Arc<dyn Journal>,
}

impl Default for Deployments {
    fn default() -> Self {
        Self::new()
    }
}

impl Deployments {
    /// No deployment yet, and nothing survives.
    pub fn new() -> Self {
        Self::with_journal(Arc::new(Volatile))
    }

    /// No deployment yet; changes go to the journal first.
    pub fn with_journal(journal: Arc<dyn Journal>) -> Self {
        Self {
            by_name: ArcSwap::default(),
            writer: Mutex::default(),
            parked: Mutex::default(),
            journal,
        }
    }

    /// The deployment of a name; of a text that is no name there is none.
    pub fn find<N>(&self, name: &N) -> Option<Arc<Deployment>>
    where
        N: Ord + ?Sized,
        ModelName: Borrow<N>,
    {
        self.by_name.load().get(name).cloned()
    }

    /// All deployments, by name.
    pub fn all(&self) -> Vec<Arc<Deployment>> {
        self.by_name.load().values().cloned().collect()
    }

    /// Takes in a deployment that was there before: before the process, or before it was parked.
    pub fn adopt(&self, deployment: Arc<Deployment>) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.parked_names().remove(deployment.name());
        self.insert(deployment);
    }

    /// Makes `candidate` answer under `name`: swaps it in, or begins a deployment with it. One that is
    /// parked is to be adopted first.
    pub fn swap(
        &self,
        name: &ModelName,
        candidate: Candidate,
        change: Change,
    ) -> Result<Swap, SwapRefusal> {
        if let Some(deployment) = self.find(name) {
            return deployment.swap(candidate, change);
        }
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(deployment) = self.find(name) {
            drop(writer);
            return deployment.swap(candidate, change);
        }
        let journal = Arc::clone(&self.journal);
        let deployment = Arc::new(Deployment::new(name.clone(), candidate, change, journal)?);
        let warm = deployment.warm();
        self.insert(deployment);
        Ok(Swap { outcome: Outcome::Deployed, warm, retired: Vec::new() })
    }

    /// Takes a deployment out of answering. Its revisions, each once, are to be freed by the caller;
    /// the journal knows how to bring it back. None: there is none.
    pub fn park(&self, name: &ModelName) -> Option<Vec<Arc<Revision>>> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = BTreeMap::clone(&self.by_name.load());
        let deployment = by_name.remove(name)?;
        self.parked_names().insert(name.clone(), deployment.state());
        self.by_name.store(Arc::new(by_name));
        let mut revisions: Vec<Arc<Revision>> = deployment.warm().revisions().cloned().collect();
        revisions.sort_by_key(|revision| revision.number());
        revisions.dedup_by_key(|revision| revision.number());
        Some(revisions)
    }

    /// The names that are parked, with what their deployments have had.
    pub fn parked(&self) -> BTreeMap<ModelName, DeploymentState> {
        self.parked_names().clone()
    }

    fn parked_names(&self) -> MutexGuard<'_, BTreeMap<ModelName, DeploymentState>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called by whoever is the writer.
    fn insert(&self, deployment: Arc<Deployment>) {
        let mut by_name = BTreeMap::clone(&self.by_name.load());
        by_name.insert(deployment.name().clone(), deployment);
        self.by_name.store(Arc::new(by_name));
    }
}
