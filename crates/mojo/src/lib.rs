//! H2O MOJO models in pure Rust, with the answers of h2o-genmodel.
//!
//! A MOJO is read once from its bytes into an immutable [`Model`]; rows go through a [`Batch`]:
//!
//! ```no_run
//! use std::sync::Arc;
//! use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options, Output};
//!
//! let bytes = std::fs::read("churn.zip")?;
//! let model = Arc::new(Model::load(&bytes, &LoadOptions::default())?);
//! let mut batch = Batch::new(Arc::clone(&model), Options::default());
//! // One cell per column of `model.schema().columns()`, in that order.
//! let row: Vec<Cell> = model.schema().columns().iter().map(|_| Cell::Absent).collect();
//! batch.push(&row);
//! batch.score();
//! match batch.output(0) {
//!     Ok(Output::Classes { index, p, .. }) => println!("{} {p:?}", model.labels()[index]),
//!     other => println!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a row: [`Cell`]s as the caller has them -> the *raw row*, `f64` in model order
//! (`encode`) -> *preds*, genmodel's output array of `score0` (`gbm`, `drf`, `xgboost`, `glm`) ->
//! [`Output`]. Forward only, nothing is parsed twice.
//!
//! [`manual`] says what is in a MOJO and how each algorithm scores: the format has no other
//! description.
//!
//! # Invariants
//!
//! - Nothing here opens files, starts threads, reads clocks or keeps global state: bytes come in.
//! - Parsers are total: any byte string gives a model or a [`LoadError`], within [`Limits`].
//! - Answers do not depend on the platform, the number of threads or the size of a batch: sums run
//!   in genmodel's order, and `exp`, `log`, `pow` are our own ([`math`]).

mod answer;
mod archive;
mod batch;
mod calibration;
mod coxph;
mod cursor;
#[cfg(test)]
mod damage;
mod deeplearning;
mod details;
mod digest;
mod drf;
mod encode;
mod ensemble;
mod error;
mod explain;
mod extisofor;
mod gam;
mod gbm;
mod glm;
mod glrm;
mod head;
mod ini;
mod isofor;
mod isotonic;
mod java;
mod kernel;
mod klime;
mod kmeans;
mod label;
mod levels;
mod limits;
mod link;
pub mod manual;
pub mod math;
#[cfg(test)]
#[path = "../tests/it/hostile/memory.rs"]
mod memory;
mod model;
mod output;
mod part;
mod pca;
mod pipeline;
mod quirk;
mod reader;
mod rows;
mod rulefit;
mod schema;
mod scorer;
mod submodels;
mod svm;
mod target_encoder;
mod tree;
mod uplift;
mod widest;
mod word2vec;
mod xgboost;

pub use archive::ArchiveError;
pub use batch::{Batch, Converted, LeafAssignment, Options};
pub use details::VariableImportance;
pub use digest::{Digest, ParseDigestError};
pub use encode::Cell;
pub use error::{LoadError, RowError, RowErrorKind, Warning};
pub use explain::{LeafPaths, Offers, rank_contributions};
pub use head::Category;
pub use java::{parse_double, read_decimal};
pub use limits::Limits;
pub use model::{Entry, LoadOptions, Model, Size};
pub use output::Output;
pub use part::{NotOffered, Part, PartKind, Values};
pub use rows::{Found, Rows};
pub use schema::{Column, Kind, Role, Schema};
