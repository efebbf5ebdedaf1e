//! All names under which models answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::deployment::{Candidate, Change, Deployment, Outcome, Swap, SwapRefusal};
use crate::name::ModelName;

/// The deployments of a server, by name.
///
/// Looking one up takes no lock; names come seldom, so the whole map is replaced for a new one.
#[derive(Debug, Default)]
pub struct Deployments {
    by_name: ArcSwap<BTreeMap<ModelName, Arc<Deployment>>>,
    /// Held while the map is replaced.
    writer: Mutex<()>,
}

impl Deployments {
    /// No deployment yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The deployment of a name.
    pub fn find(&self, name: &ModelName) -> Option<Arc<Deployment>> {
        self.by_name.load().get(name).cloned()
    }

    /// All deployments, by name.
    pub fn all(&self) -> Vec<Arc<Deployment>> {
        self.by_name.load().values().cloned().collect()
    }

    /// Makes `candidate` answer under `name`: swaps it in, or begins a deployment with it.
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
        let deployment = Arc::new(Deployment::new(name.clone(), candidate, change));
        let warm = deployment.warm();
        let mut by_name = BTreeMap::clone(&self.by_name.load());
        by_name.insert(name.clone(), deployment);
        self.by_name.store(Arc::new(by_name));
        Ok(Swap { outcome: Outcome::Deployed, warm, retired: None })
    }
}
