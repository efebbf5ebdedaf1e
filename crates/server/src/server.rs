//! The server as a whole: bind, deploy, run, drain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use stemson_serving::{Deployments, Gate, Swap};
use tokio::runtime;
use tokio::sync::{Semaphore, watch};

use crate::access;
use crate::auth::Entrance;
use crate::config::{Config, StartError};
use crate::context::{Context, SharedGate};
use crate::lane::{Lane, LaneThreads};
use crate::listen::{Door, Phase};
use crate::loader::{Bench, DeployError, Loader, Order, Source};
use crate::metrics::Metrics;
use crate::request_id::RequestIds;
use crate::routes;
use crate::shutdown::{ShutdownHandle, Signal, Signals};
use crate::upkeep::Upkeep;

/// A server whose listeners are open; callers wait until it runs.
#[derive(Debug)]
pub struct Server {
    http: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
    context: Arc<Context>,
    bench: Arc<Bench>,
    drain: Duration,
    drain_delay: Duration,
    upkeep: Upkeep,
    // After the context: the last tasks may hold parts of it.
    _lane: LaneThreads,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Inference, health, metrics.
    pub http: SocketAddr,
    /// Swap, rollback, revisions, health, metrics.
    pub admin: SocketAddr,
}

/// Why a server ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system does not give what a running server needs.
    #[error("cannot run the server")]
    Runtime(#[source] io::Error),
    /// The drain took longer than it may, and what was left was cut off.
    #[error("requests were still in flight {} s after the listeners closed", .0.as_secs())]
    DrainTooLong(Duration),
}

impl Server {
    /// Opens the listeners and starts the threads.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let http = listen("http", config.http)?;
        let admin = listen("admin", config.admin)?;
        let addresses = Addresses {
            http: http.local_addr().map_err(|cause| bind_error("http", config.http, cause))?,
            admin: admin.local_addr().map_err(|cause| bind_error("admin", config.admin, cause))?,
        };
        let (auth, watched) = access::open(&config)?;
        let lanes = config.lanes();
        let (lane, lane_threads) = Lane::start(lanes).map_err(StartError::Thread)?;
        let gate =
            Gate::new(u32::try_from(lanes).unwrap_or(u32::MAX), config.limits.queued_requests_max);
        let (deployments, metrics) = (Arc::new(Deployments::new()), Arc::new(Metrics::new()));
        let upkeep = Upkeep::start(watched, Arc::clone(&metrics)).map_err(StartError::Thread)?;
        let bench = Arc::new(Bench {
            deployments: Arc::clone(&deployments),
            metrics: Arc::clone(&metrics),
            options: config.load_options,
            artifact_roots: config.artifact_roots,
            artifact_bytes_max: config.limits.artifact_bytes_max,
        });
        let loader = Loader::start(Arc::clone(&bench)).map_err(StartError::Thread)?;
        let context = Arc::new(Context {
            deployments,
            gate: SharedGate::new(gate),
            lane,
            loader,
            uploads: Semaphore::new(1),
            metrics,
            auth,
            limits: config.limits,
            slo: config.slo,
            ids: RequestIds::new(),
            is_draining: AtomicBool::new(false),
        });
        let (drain, drain_delay) = (config.drain, config.drain_delay);
        Ok(Self {
            http,
            admin,
            addresses,
            context,
            bench,
            drain,
            drain_delay,
            upkeep,
            _lane: lane_threads,
        })
    }

    /// Where it listens; ports that were 0 are known now.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The models that answer.
    pub fn deployments(&self) -> &Arc<Deployments> {
        &self.context.deployments
    }

    /// Makes an artifact answer under `name`, as a swap by the admin route would; on this thread.
    ///
    /// `by`: who, for the log of revisions.
    pub fn deploy(
        &self,
        name: &str,
        artifact: impl Into<Bytes>,
        by: &str,
    ) -> Result<Swap, DeployError> {
        let source = Source::Bytes(artifact.into());
        let (name, by) = (name.parse()?, by.to_owned());
        self.bench.swap(Order { name, source, sha256: None, by, allow_schema_change: false })
    }

    /// Serves until `shutdown` has begun and the last request is answered. Blocks; this thread is
    /// the reactor.
    pub fn run(self, shutdown: &ShutdownHandle) -> Result<(), RunError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RunError::Runtime)?;
        let served = runtime.block_on(self.serve(shutdown));
        // A swap under way shall not hold up the end.
        runtime.shutdown_background();
        served
    }

    async fn serve(self, shutdown: &ShutdownHandle) -> Result<(), RunError> {
        let mut signals = Signals::new(shutdown.has_signals()).map_err(RunError::Runtime)?;
        let (phase, phases) = watch::channel(Phase::Serving);
        let door = |listener: TcpListener, entrance, router| -> io::Result<_> {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let door = Door { listener, entrance, router, context: Arc::clone(&self.context) };
            Ok(tokio::spawn(door.serve(phases.clone())))
        };
        let http =
            door(self.http, Entrance::Inference, routes::inference(Arc::clone(&self.context)));
        let mut http = http.map_err(RunError::Runtime)?;
        let admin = door(self.admin, Entrance::Admin, routes::admin(Arc::clone(&self.context)));
        let mut admin = admin.map_err(RunError::Runtime)?;

        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                signal = signals.next() => match signal {
                    Signal::End => break,
                    Signal::Reload => self.upkeep.order(),
                },
            }
        }
        self.context.is_draining.store(true, Ordering::Relaxed);
        tokio::select! {
            () = tokio::time::sleep(self.drain_delay) => {}
            () = signals.end() => {}
        }
        phase.send_replace(Phase::Closing);
        let both = async {
            // A door that panicked has closed too.
            drop((&mut http).await);
            drop((&mut admin).await);
        };
        tokio::select! {
            () = both => return Ok(()),
            () = tokio::time::sleep(self.drain) => {}
            () = signals.end() => {}
        }
        http.abort();
        admin.abort();
        Err(RunError::DrainTooLong(self.drain))
    }
}

fn listen(name: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|cause| bind_error(name, address, cause))
}

fn bind_error(listener: &'static str, address: SocketAddr, cause: io::Error) -> StartError {
    if cause.kind() == io::ErrorKind::AddrInUse {
        StartError::InUse { listener, address }
    } else {
        StartError::Bind { listener, address, cause }
    }
}
