//! One artifact inside a deployment.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use stemson_mojo::{Batch, Digest, Model, Options};

use crate::cost::Cost;
use crate::deployment::Candidate;
use crate::recent::Recent;

/// A loaded model with its place in a deployment, what it costs, and who brought it when.
///
/// A request takes one and keeps it to the end, whatever is swapped meanwhile.
#[derive(Debug)]
pub struct Revision {
    number: u64,
    model: Arc<Model>,
    digest: Digest,
    short: Arc<str>,
    loaded_at: SystemTime,
    by: String,
    has_unique_columns: bool,
    row_cost: Cost,
    /// With leaves or stages; with contributions.
    explained_costs: [Cost; 2],
    byte_cost: Cost,
    spare: Mutex<Vec<(Options, Batch)>>,
    prepared: Prepared,
    recent: Recent,
}

/// What a front made of a model, of a type that only the front knows.
#[derive(Default)]
pub struct Prepared(OnceLock<Box<dyn Any + Send + Sync>>);

impl Prepared {
    /// Made already: the first request need not wait for it.
    pub fn of<T: Any + Send + Sync>(made: T) -> Self {
        Self(OnceLock::from(Box::new(Arc::new(made)) as Box<dyn Any + Send + Sync>))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.0.get().is_some()).finish()
    }
}

/// First guesses of what explanations cost, in plain rows.
const EXPLAINED_ROWS: [f64; 2] = [4.0, 40.0];

/// Batches kept for later: enough for every thread that computes on common machines.
const SPARE_MAX: usize = 16;

/// A first guess for a body that is decoded, scored and answered on the compute lane.
const NS_PER_BODY_BYTE: f64 = 20.0;

impl Revision {
    pub(crate) fn new(
        number: u64,
        Candidate { model, ns_per_row, prepared }: Candidate,
        loaded_at: SystemTime,
        by: String,
    ) -> Self {
        let columns = model.schema().columns();
        let names: HashSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let has_unique_columns = names.len() == columns.len();
        let digest = model.digest();
        Self {
            number,
            digest,
            short: digest.short().into(),
            loaded_at,
            by,
            has_unique_columns,
            row_cost: Cost::new(ns_per_row),
            explained_costs: EXPLAINED_ROWS.map(|rows| Cost::new(rows * ns_per_row)),
            byte_cost: Cost::new(NS_PER_BODY_BYTE),
            spare: Mutex::default(),
            prepared,
            recent: Recent::default(),
            model,
        }
    }

    /// Its number in the deployment: 1, 2, ... The same artifact keeps its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// SHA-256 of its artifact: what it is identified by.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The first 12 hexadecimal digits of the digest, shared, for labels.
    pub fn short(&self) -> &Arc<str> {
        &self.short
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> SystemTime {
        self.loaded_at
    }

    /// Who brought it.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Whether no two columns of the model have one name.
    pub fn has_unique_columns(&self) -> bool {
        self.has_unique_columns
    }

    /// Time of scoring, for one row, without explanations.
    pub fn row_cost(&self) -> &Cost {
        &self.row_cost
    }

    /// Time of scoring, for one row under these options: explanations cost their own.
    pub fn cost_of(&self, options: Options) -> &Cost {
        let [leaves, contributions] = &self.explained_costs;
        if options.contributions {
            contributions
        } else if options.leaf_assignment.is_some() || options.staged {
            leaves
        } else {
            &self.row_cost
        }
    }

    /// What the front makes of the model once, and needs for every request. There is one front: of
    /// a second type every call would make its own.
    pub fn prepared<T: Any + Send + Sync>(&self, make: impl Fn(&Model) -> T) -> Arc<T> {
        let prepared = self.prepared.0.get_or_init(|| Box::new(Arc::new(make(&self.model))));
        let kept = prepared.downcast_ref::<Arc<T>>().map(Arc::clone);
        kept.unwrap_or_else(|| Arc::new(make(&self.model)))
    }

    /// Time of decoding, scoring and encoding, for one byte of a request's body.
    pub fn byte_cost(&self) -> &Cost {
        &self.byte_cost
    }

    /// Some of the rows that came lately.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// An empty batch of this model: one that was given back, or a new one.
    pub fn batch(&self, options: Options) -> Batch {
        let kept = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let at = spare.iter().rposition(|(kept, _)| *kept == options);
            at.map(|at| spare.swap_remove(at).1)
        };
        kept.unwrap_or_else(|| Batch::new(Arc::clone(&self.model), options))
    }

    /// Keeps the memory of a batch for the next request.
    pub fn give_back(&self, mut batch: Batch, options: Options) {
        batch.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push((options, batch));
        }
    }
}
