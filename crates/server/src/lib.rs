//! The protocols: KServe V1 and the Open Inference Protocol over HTTP and gRPC, admin, health,
//! metrics.
//!
//! [`Server::bind`] opens the listeners, [`Server::run`] serves until a [`ShutdownHandle`] says
//! otherwise. In between and meanwhile, models come in by [`Server::deploy`] or by the admin routes.
//!
//! # The way of one prediction
//!
//! body -> decode (`v1`, `oip`) into the rows of a batch -> admission (`serving::Gate`) -> inline
//! if it is cheap, else the compute `lane` -> encode. `predict` is that path, the same for every
//! protocol; a protocol is a decoder and an encoder.
//!
//! # Invariants
//!
//! - The reactor, one thread, never computes for more than a millisecond: rows that cost more,
//!   big bodies and the loading of models are done elsewhere.
//! - What cannot be done before its deadline is refused at once. Every queue has an end.
//! - The content of a request never causes a 5xx; a panic is one answer 500, not a dead process.
//! - Whether a caller may ask is decided before anything of the body is read (`auth`).
//! - A request is answered by one revision, taken when it began.

mod access;
mod admin;
mod artifact;
mod ask;
mod auth;
mod bench;
mod cache;
mod coding;
mod config;
mod context;
mod deploy_error;
mod download;
mod error;
mod face;
mod fetch;
mod folder;
mod front;
mod grpc;
mod health;
mod intake;
mod json;
mod lag;
mod lane;
mod linger;
mod listen;
mod live;
mod loader;
mod log;
pub mod metrics;
mod metrics_compat;
mod mlflow;
mod models;
mod notify;
mod oip;
mod openapi;
mod otlp;
#[cfg(test)]
mod overload;
mod pace;
mod predict;
mod prediction_log;
mod reference;
mod repository;
mod request_id;
mod restore;
mod routes;
mod rows;
mod server;
mod settings;
mod shadow;
mod shutdown;
mod state;
mod statistics;
mod store;
mod streams;
mod tabular;
mod timeslice;
mod tls;
mod tls_client;
mod trace;
mod turns;
mod upkeep;
mod v1;
mod watch;

pub use auth::{AuthConfig, JwksSource, KeysError, TokenConfig};
pub use cache::{CacheBackend, CacheConfig, RedisUrl};
pub use config::{Config, GrpcListener, Limits, StartError};
pub use deploy_error::DeployError;
pub use download::{DownloadConfig, DownloadError, Origin};
pub use fetch::shown_url;
pub use folder::ModelFolder;
pub use live::Wanted;
pub use log::{LogConfig, check_level as check_log_level, install as install_log};
pub use metrics_compat::MetricsCompat;
pub use models::{ModelConfig, OipDatatype, OipLayout};
pub use otlp::OtlpConfig;
pub use prediction_log::{PredictionLogConfig, PredictionLogFormat};
pub use reference::{ReferenceError, read_beside};
pub use server::{Addresses, RunError, Server};
pub use shutdown::ShutdownHandle;
pub use stemson_serving::Revision;
pub use store::StoreError;
pub use tls::TlsConfig;
pub use tls_client::ClientTls;
