//! What a server is told before it starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stemson_mojo::LoadOptions;
use stemson_serving::{ModelName, PredictionSink, TrialLimits};

use crate::auth::{AuthConfig, KeysError};
use crate::cache::CacheConfig;
use crate::deploy_error::DeployError;
use crate::download::DownloadConfig;
use crate::folder::ModelFolder;
use crate::log::LogConfig;
use crate::metrics_compat::MetricsCompat;
use crate::models::ModelConfig;
use crate::otlp::OtlpConfig;
use crate::prediction_log::PredictionLogConfig;
use crate::store::StoreError;
use crate::tls::TlsConfig;

/// The configuration of a server, in the words of `stemson.toml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Inference, health, metrics. Port 0 takes a free one.
    pub http: SocketAddr,
    /// The same over gRPC.
    pub grpc: GrpcListener,
    /// Swap, rollback, revisions, health, metrics.
    pub admin: SocketAddr,
    /// Threads of the compute lane; 0 is one per core.
    pub compute_threads: usize,
    /// For how long requests in flight may take after the listeners have closed.
    pub drain: Duration,
    /// For how long connections are still accepted after readiness has turned false.
    pub drain_delay: Duration,
    /// Deadline of a request that names none.
    pub slo: Duration,
    /// What single models say otherwise (`[[model]]`).
    pub models: BTreeMap<String, ModelConfig>,
    /// Bounds.
    pub limits: Limits,
    /// Folders from which a swap may take an artifact by path.
    pub artifact_roots: Vec<PathBuf>,
    /// Hosts from which a swap may take an artifact by URL.
    pub downloads: DownloadConfig,
    /// Whom callers are known by.
    pub auth: AuthConfig,
    /// How listeners are encrypted.
    pub tls: TlsConfig,
    /// What is logged, where [`install_log`](crate::install_log) has begun a log.
    pub log: LogConfig,
    /// Whose metric names are shown besides ours (`metrics_compat`).
    pub metrics_compat: Option<MetricsCompat>,
    /// Where traces and metrics are sent.
    pub otlp: OtlpConfig,
    /// What is logged of predictions.
    pub prediction_log: PredictionLogConfig,
    /// Who else is told of what is logged.
    pub prediction_sinks: Vec<Arc<dyn PredictionSink>>,
    /// Whether listeners may be reached from other machines although there are no keys.
    pub insecure: bool,
    /// Which answers are kept.
    pub cache: CacheConfig,
    /// How artifacts are loaded.
    pub load_options: LoadOptions,
    /// What must survive the process; without it a temporary folder that goes with the server.
    pub data_dir: Option<PathBuf>,
    /// Artifacts of retired revisions that are kept for each model, for a rollback (`keep_revisions`).
    pub keep_revisions: usize,
    /// Folders that models come from: a file that is new there is swapped in.
    pub model_folders: Vec<ModelFolder>,
    /// Time between two looks at them; zero is never (`watch_ms`).
    pub watch_interval: Duration,
    /// What is tolerated of a canary (`[canary]`).
    pub trial: TrialLimits,
}

/// Where gRPC listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcListener {
    /// Nowhere.
    Off,
    /// There; nowhere if another process listens there. What nobody asked for stops nobody.
    IfFree(SocketAddr),
    /// There.
    At(SocketAddr),
}

impl GrpcListener {
    /// Where it shall listen, if anywhere.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::IfFree(address) | Self::At(address) => Some(address),
        }
    }
}

/// What callers may ask for at most. Each bound is a key of `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body on the inference listener (`body_mib`); those that are on their way
    /// may have sixteen times as many together.
    pub body_bytes_max: usize,
    /// Bytes of an artifact (`artifact_mib`).
    pub artifact_bytes_max: u64,
    /// Rows of a request (`rows`).
    pub rows_max: usize,
    /// Places of all rows of a request and their answers: rows times the width of both (`cells`).
    pub cells_max: usize,
    /// Levels of nesting in a JSON body (`depth`).
    pub depth_max: usize,
    /// Bytes of a request's head (`header_kib`).
    pub header_bytes_max: usize,
    /// Connections of a listener (`connections`).
    pub connections_max: usize,
    /// How long a new connection may take for the head of its first request (`head_seconds`).
    pub head: Duration,
    /// How long a connection may take for a later head, and so how long it may idle
    /// (`idle_seconds`).
    pub idle: Duration,
    /// Bytes a second that a body must come with, after ten seconds of grace; 0: none
    /// (`body_bytes_per_second`).
    pub body_bytes_per_second_min: u64,
    /// Requests that are queued for the compute lane or computed there (`queued_requests`).
    pub queued_requests_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            grpc: GrpcListener::IfFree(SocketAddr::from(([127, 0, 0, 1], 8081))),
            admin: SocketAddr::from(([127, 0, 0, 1], 8082)),
            compute_threads: 0,
            drain: Duration::from_secs(20),
            drain_delay: Duration::ZERO,
            slo: Duration::from_secs(1),
            models: BTreeMap::new(),
            limits: Limits::default(),
            artifact_roots: Vec::new(),
            downloads: DownloadConfig::default(),
            auth: AuthConfig::default(),
            tls: TlsConfig::default(),
            log: LogConfig::default(),
            metrics_compat: None,
            otlp: OtlpConfig::default(),
            prediction_log: PredictionLogConfig::default(),
            prediction_sinks: Vec::new(),
            insecure: false,
            cache: CacheConfig::default(),
            load_options: LoadOptions::default(),
            data_dir: None,
            keep_revisions: 10,
            model_folders: Vec::new(),
            watch_interval: Duration::from_secs(1),
            trial: TrialLimits::default(),
        }
    }
}

impl Limits {
    /// Bytes of all bodies together that are on their way: as much as sixteen of the largest.
    pub(crate) fn bodies_bytes_max(&self) -> usize {
        self.body_bytes_max.saturating_mul(16)
    }

    /// Bytes of all artifacts together that are on their way: as much as the largest in base64.
    pub(crate) fn uploads_bytes_max(&self) -> usize {
        let bytes = self.artifact_bytes_max.div_ceil(3).saturating_mul(4).saturating_add(1 << 20);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 20,
            artifact_bytes_max: 4096 << 20,
            rows_max: 100_000,
            cells_max: 1 << 26,
            depth_max: 32,
            header_bytes_max: 32 << 10,
            connections_max: 4096,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_bytes_per_second_min: 240,
            queued_requests_max: 1024,
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address belongs to somebody else.
    #[error("{listener}: {address} is in use by another process")]
    InUse {
        /// The listener: `http`, `grpc`, `admin`.
        listener: &'static str,
        /// Where it should listen.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{listener}: cannot listen on {address}")]
    Bind {
        /// The listener.
        listener: &'static str,
        /// Where it should listen.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Anybody on the network could use the server.
    #[error("{listener}: {address} can be reached from other machines, and no keys are set")]
    PublicWithoutKeys {
        /// The listener.
        listener: &'static str,
        /// Where it should listen.
        address: SocketAddr,
    },
    /// A bound of the configuration makes no sense.
    #[error("[limits] {key} is {found}, expected at least {least}")]
    Limit {
        /// The key.
        key: &'static str,
        /// Its value.
        found: usize,
        /// The smallest one that works.
        least: usize,
    },
    /// The key file is not one.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys of tokens are not to be had.
    #[error("[auth] jwks = \"{source_name}\": {message}")]
    Jwks {
        /// The file or URL.
        source_name: String,
        /// What is wrong.
        message: String,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model of before cannot answer again, and there is none to take its place.
    #[error("{model}: revision {number}, which answered before, cannot come back")]
    Restore {
        /// Its name.
        model: ModelName,
        /// Number of the revision.
        number: u64,
        /// Why.
        #[source]
        cause: DeployError,
    },
    /// The prediction log has nowhere to go.
    #[error("[prediction_log] dir: cannot write to {}", .dir.display())]
    PredictionLog {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Certificates cannot be used.
    #[error("[tls] {0}")]
    Tls(String),
    /// Nobody can be asked for artifacts as it is said.
    #[error("[admin] {0}")]
    Downloads(String),
    /// The cache cannot be used as it is said.
    #[error("[cache] {key}: {message}")]
    Cache {
        /// The key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The system gives no threads.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "address_in_use",
            Self::Bind { .. } => "cannot_listen",
            Self::PublicWithoutKeys { .. } => "public_without_keys",
            Self::Limit { .. } => "bad_limit",
            Self::Keys(_) => "bad_keys",
            Self::Jwks { .. } => "bad_jwks",
            Self::Store(cause) => cause.kind(),
            Self::Restore { .. } => "cannot_restore",
            Self::Tls(_) => "bad_tls",
            Self::Downloads(_) => "bad_hosts",
            Self::Cache { .. } => "bad_cache",
            Self::PredictionLog { .. } => "no_prediction_log",
            Self::Thread(_) => "no_thread",
        }
    }

    /// What to do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { listener, .. } => {
                Some(format!("give another address with --{listener}, or port 0 for any free one"))
            }
            Self::Bind { listener, .. } => {
                Some(format!("give an address of this machine with --{listener}"))
            }
            Self::PublicWithoutKeys { listener, .. } => Some(format!(
                "name a key file with [auth] keys_file, listen on 127.0.0.1 with --{listener}, or say \
                 --insecure if the network is trusted"
            )),
            Self::Keys(KeysError::Malformed { .. }) => Some(
                "each [[key]] has an id, a sha256 (printf %s \"$KEY\" | sha256sum) and scopes"
                    .to_owned(),
            ),
            Self::Store(StoreError::Locked { .. }) => {
                Some("end the other server, or give this one a --data-dir of its own".to_owned())
            }
            Self::Restore { .. } => Some(
                "put its artifact back into the data folder, or begin anew with another --data-dir"
                    .to_owned(),
            ),
            Self::Store(StoreError::Write { .. }) => {
                Some("name a folder that may be written with --data-dir".to_owned())
            }
            Self::Keys(KeysError::Read { .. }) => Some(
                "--keys or [auth] keys_file names a file of [[key]]: id, sha256, scopes".to_owned(),
            ),
            Self::Store(_) => None,
            Self::Jwks { .. } | Self::Tls(_) | Self::PredictionLog { .. } => None,
            Self::Limit { .. } | Self::Downloads(_) | Self::Cache { .. } | Self::Thread(_) => None,
        }
    }
}

impl Config {
    /// Refuses what would be found out only later.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.tls.check().map_err(StartError::Tls)?;
        let is_open = !self.insecure && !self.auth.is_on() && !self.tls.requires_certificates();
        let grpc = self.grpc.address().map(|address| ("grpc", address));
        for (listener, address) in
            [("http", self.http), ("admin", self.admin)].into_iter().chain(grpc)
        {
            if is_open && !is_loopback(address) {
                return Err(StartError::PublicWithoutKeys { listener, address });
            }
        }
        let Limits { rows_max, depth_max, header_bytes_max, connections_max, .. } = self.limits;
        for (key, found, least) in [
            ("rows", rows_max, 1),
            // {"inputs":[{"data":[[...]]}]}
            ("depth", depth_max, 5),
            ("header_kib", header_bytes_max >> 10, 8),
            ("connections", connections_max, 1),
            ("head_seconds", self.limits.head.as_secs() as usize, 1),
            ("idle_seconds", self.limits.idle.as_secs() as usize, 1),
            ("queued_requests", self.limits.queued_requests_max, 1),
        ] {
            if found < least {
                return Err(StartError::Limit { key, found, least });
            }
        }
        Ok(())
    }

    /// Threads of the compute lane, at least 1.
    pub(crate) fn lanes(&self) -> usize {
        match self.compute_threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        }
    }
}

/// Whether only this machine reaches the address.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_keys() {
        for (address, fine) in [
            ("127.0.0.1:0", true),
            ("127.8.8.8:0", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("10.0.0.1:0", false),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            let config = Config { admin: address, ..Config::default() };
            assert_eq!(config.check().is_ok(), fine, "{address}");
            assert!(Config { insecure: true, ..config }.check().is_ok(), "{address}");
        }
    }

    #[test]
    fn a_certificate_that_nobody_can_check_opens_nothing() {
        let file = |is_there: bool| is_there.then(|| PathBuf::from("some.pem"));
        for (certificate, key, client_ca, fine) in [
            (false, false, false, false),
            (true, true, false, false),
            (false, false, true, false),
            (true, false, true, false),
            (true, true, true, true),
        ] {
            let tls = TlsConfig {
                certificate: file(certificate),
                key: file(key),
                client_ca: file(client_ca),
                client_certificate_required: true,
            };
            let http = SocketAddr::from(([0, 0, 0, 0], 0));
            let checked = Config { http, tls: tls.clone(), ..Config::default() }.check();
            assert_eq!(checked.is_ok(), fine, "{tls:?}");
            if let Err(error) = checked {
                assert_eq!(error.kind(), "bad_tls", "{tls:?}");
            }
            // Without it, the authority alone is no lock.
            let tls = TlsConfig { client_certificate_required: false, ..tls };
            let error = Config { http, tls, ..Config::default() }.check().expect_err("it is open");
            assert_eq!(error.kind(), "public_without_keys");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_named() {
        let limits = Limits { rows_max: 0, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.check().expect_err("no rows");
        assert_eq!(error.kind(), "bad_limit");
        assert!(error.to_string().contains("rows is 0"), "{error}");
    }
}
