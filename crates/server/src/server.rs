//! The server as a whole: bind, deploy, run, drain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use stemson_serving::{Deployments, Swap};
use tokio::runtime;
use tokio::sync::{Notify, Semaphore, watch};

use crate::access::{self, Access};
use crate::auth::{Entrance, Visitor};
use crate::bench::Bench;
use crate::cache::PredictionCache;
use crate::config::{Config, GrpcListener, StartError};
use crate::context::{Context, SharedGate};
use crate::deploy_error::DeployError;
use crate::folder::ModelFolder;
use crate::front;
use crate::grpc;
use crate::intake::Budget;
use crate::lag;
use crate::lane::{Lane, LaneThreads};
use crate::linger::Marks;
use crate::listen::{Door, Phase};
use crate::live::{Live, Taker, Wanted};
use crate::loader::{Loader, Order, Place, Source};
use crate::metrics::Metrics;
use crate::models::Models;
use crate::notify;
use crate::otlp::Exporter;
use crate::prediction_log::PredictionLog;
use crate::request_id::RequestIds;
use crate::restore::restore;
use crate::routes;
use crate::settings::Settings;
use crate::shadow::Shadows;
use crate::shutdown::{ShutdownHandle, Signal, Signals};
use crate::store::Store;
use crate::tls::Tls;
use crate::upkeep::{Orders, Upkeep};
use crate::watch::Watch;

/// Tasks that run before the reactor looks again for what has come: each may take 0.1 ms, and who has
/// just asked shall not wait for many of them.
const TASKS_BETWEEN_EVENTS: u32 = 8;

/// A server whose listeners are open; callers wait until it runs.
#[derive(Debug)]
pub struct Server {
    http: TcpListener,
    grpc: Option<TcpListener>,
    admin: TcpListener,
    addresses: Addresses,
    context: Arc<Context>,
    /// For [`Server::answer`].
    routers: OnceLock<[Router; 2]>,
    bench: Arc<Bench>,
    folders: Arc<Mutex<Vec<ModelFolder>>>,
    warnings: Vec<String>,
    drain: Duration,
    drain_delay: Duration,
    tls: Option<Arc<Tls>>,
    upkeep: Upkeep,
    _watch: Watch,
    // After the context: the last tasks may hold parts of it.
    _lane: LaneThreads,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Inference, health, metrics.
    pub http: SocketAddr,
    /// Inference and health over gRPC; none: off, or another process listens there.
    pub grpc: Option<SocketAddr>,
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
        let (http, grpc, admin, addresses) = open_listeners(&config)?;
        let Access { auth, tls, watched } = access::open(&config)?;
        let live = Live::new(&config).map_err(StartError::Downloads)?;
        let live = Arc::new(ArcSwap::from_pointee(live));
        let lanes = config.lanes();
        let models = Models::new(config.models.clone());
        let (lane, lane_threads) =
            Lane::start(lanes, models.weights()).map_err(StartError::Thread)?;
        let gate = models.gate(lanes, config.limits.queued_requests_max);
        let store = Arc::new(Store::open(config.data_dir.as_deref())?);
        let metrics = Arc::new(Metrics::new());
        let prediction_log = Arc::new(PredictionLog::open(&config, &metrics)?);
        let upkeep = Upkeep::start(watched, Arc::clone(&metrics)).map_err(StartError::Thread)?;
        let cache = PredictionCache::new(&config.cache, config.load_options.genmodel_quirks)?;
        let bench = Bench::new(&store, &metrics, cache.clone(), &live, config.load_options);
        let bench = Arc::new(bench);
        let deployments = Arc::clone(&bench.deployments);
        let exporter = Exporter::start(&config.otlp, &metrics, &deployments);
        let exporter = exporter.map_err(StartError::Thread)?.map(Arc::new);
        let warnings = restore(&bench)?;
        let loader = Loader::start(Arc::clone(&bench)).map_err(StartError::Thread)?;
        let folders = Arc::new(Mutex::new(config.model_folders));
        let watch = Watch::start(&folders, config.watch_interval, &bench, &loader);
        let watch = watch.map_err(StartError::Thread)?;
        let shadows = Shadows::start(Arc::clone(&metrics)).map_err(StartError::Thread)?;
        let context = Arc::new(Context {
            deployments,
            shadows,
            store,
            gate: SharedGate::new(gate),
            lane,
            loader,
            turns: Arc::new(Semaphore::new(1)),
            uploads: Budget::new(config.limits.uploads_bytes_max()),
            metrics,
            metrics_compat: config.metrics_compat,
            auth,
            prediction_log,
            exporter,
            settings: Settings::default(),
            live,
            upkeep: upkeep.orders().clone(),
            cache,
            models,
            bodies: Budget::new(config.limits.bodies_bytes_max()),
            ids: RequestIds::new(),
            is_draining: AtomicBool::new(false),
            leaves: Notify::new(),
            presence: Arc::clone(&bench.presence),
        });
        Ok(Self {
            http,
            grpc,
            admin,
            addresses,
            context,
            routers: OnceLock::new(),
            bench,
            folders,
            warnings,
            drain: config.drain,
            drain_delay: config.drain_delay,
            tls,
            upkeep,
            _watch: watch,
            _lane: lane_threads,
        })
    }

    /// Where it listens; ports that were 0 are known now.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Answers one request that did not come over a socket, to the inference listener or, if it speaks
    /// gRPC, to that one: what a caller on this machine would be told. The server need not run.
    pub async fn answer(&self, request: axum::http::Request<Bytes>) -> axum::response::Response {
        let visitor = Visitor {
            peer: SocketAddr::from(([127, 0, 0, 1], 0)),
            entrance: Entrance::Inference,
            is_public: false,
            certificates: Vec::new(),
        };
        let context = Arc::clone(&self.context);
        let is_grpc = grpc::is_grpc(request.headers());
        let [rest, over_grpc] = self.routers.get_or_init(|| {
            let rest = routes::inference(Arc::clone(&context));
            [rest.clone(), grpc::router(&context).unwrap_or(rest)]
        });
        let router = if is_grpc { over_grpc } else { rest }.clone();
        let request = request.map(http_body_util::Full::new);
        let (visitor, marks) = (Arc::new(visitor), Marks::default());
        let answered = front::answer(context, router, visitor, marks, request).await;
        answered.unwrap_or_else(|never| match never {})
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The models that answer.
    pub fn deployments(&self) -> &Arc<Deployments> {
        &self.context.deployments
    }

    /// What of the state of before could not come back.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
        self.bench.bring(order(name, artifact.into(), by)?)
    }

    /// Says which artifact the configuration names for `name`. It is swapped in if it is another
    /// one than last time; else what was swapped in or rolled back to since stands.
    /// `reference`: rows with the answers that it must give, as [`crate::read_beside`] finds them.
    pub fn configure(
        &self,
        name: &str,
        artifact: impl Into<Bytes>,
        reference: Option<Vec<u8>>,
        by: &str,
    ) -> Result<Swap, DeployError> {
        self.bench.configure(Order { reference, ..order(name, artifact.into(), by)? })
    }

    /// Has SIGHUP and `POST /admin/reload` take up a new configuration too: `read` says what it is now,
    /// or in words what is wrong with it. It is called on a thread of its own, and told whether what it
    /// said the last time was taken.
    pub fn reload_with(&self, read: impl FnMut(bool) -> Result<Wanted, String> + Send + 'static) {
        let taker = Taker {
            live: Arc::clone(&self.context.live),
            bench: Arc::clone(&self.bench),
            loader: self.context.loader.clone(),
            deployments: Arc::clone(&self.context.deployments),
            folders: Arc::clone(&self.folders),
        };
        self.upkeep.orders().watch(taker.watched(read));
    }

    /// Serves until `shutdown` has begun and the last request is answered. Blocks; this thread is
    /// the reactor.
    pub fn run(self, shutdown: &ShutdownHandle) -> Result<(), RunError> {
        #[cfg(target_os = "linux")]
        if let Err(cause) = crate::timeslice::shorten() {
            tracing::debug!("the reactor keeps ordinary slices of time: {cause}");
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_BETWEEN_EVENTS)
            .build()
            .map_err(RunError::Runtime)?;
        let prediction_log = Arc::clone(&self.context.prediction_log);
        let exporter = self.context.exporter.clone();
        let (folder, bench) = (Arc::downgrade(&self.context.presence), Arc::downgrade(&self.bench));
        let served = runtime.block_on(self.serve(shutdown));
        // A swap under way shall not hold up the end.
        runtime.shutdown_background();
        let_go(&folder, &bench);
        prediction_log.close();
        if let Some(exporter) = exporter {
            exporter.close();
        }
        served
    }

    async fn serve(self, shutdown: &ShutdownHandle) -> Result<(), RunError> {
        let mut signals = Signals::new(shutdown.has_signals()).map_err(RunError::Runtime)?;
        let metrics = Arc::clone(&self.context.metrics);
        lag::watch(move |lag| metrics.reactor_lag(lag)).map_err(RunError::Runtime)?;
        if let Some(cache) = &self.context.cache {
            tokio::spawn(Arc::clone(cache).run());
        }
        let (phase, phases) = watch::channel(Phase::Serving);
        let door = |listener: TcpListener, entrance, router| -> io::Result<_> {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let door = Door {
                listener,
                entrance,
                tls: self.tls.clone(),
                router,
                context: Arc::clone(&self.context),
            };
            Ok(tokio::spawn(door.serve(phases.clone())))
        };
        let http =
            door(self.http, Entrance::Inference, routes::inference(Arc::clone(&self.context)));
        let http = http.map_err(RunError::Runtime)?;
        let grpc = match self.grpc {
            Some(listener) => {
                let router = grpc::router(&self.context);
                let router = router.map_err(|cause| RunError::Runtime(io::Error::other(cause)))?;
                Some(door(listener, Entrance::Inference, router).map_err(RunError::Runtime)?)
            }
            None => None,
        };
        let admin = door(self.admin, Entrance::Admin, routes::admin(Arc::clone(&self.context)));
        let admin = admin.map_err(RunError::Runtime)?;

        notify::say("READY=1");
        let period = notify::watchdog();
        loop {
            let alive = tokio::time::sleep(period.unwrap_or(Duration::MAX));
            tokio::select! {
                () = alive, if period.is_some() => notify::say("WATCHDOG=1"),
                () = shutdown.begun() => break,
                signal = signals.next() => match signal {
                    Signal::End => break,
                    Signal::Reload => reload(self.upkeep.orders()),
                },
            }
        }
        notify::say("STOPPING=1");
        self.context.is_draining.store(true, Ordering::Relaxed);
        self.context.leaves.notify_waiters();
        tokio::select! {
            () = tokio::time::sleep(self.drain_delay) => {}
            () = signals.end() => {}
        }
        phase.send_replace(Phase::Closing);
        let mut doors: Vec<_> = [Some(http), grpc, Some(admin)].into_iter().flatten().collect();
        let all = async {
            for door in &mut doors {
                // A door that panicked has closed too.
                drop(door.await);
            }
        };
        tokio::select! {
            () = all => return Ok(()),
            () = tokio::time::sleep(self.drain) => {}
            () = signals.end() => {}
        }
        doors.iter().for_each(tokio::task::JoinHandle::abort);
        Err(RunError::DrainTooLong(self.drain))
    }
}

/// Has files read again, and systemd know until when.
fn reload(orders: &Orders) {
    notify::reloading();
    let reloaded = orders.reload();
    tokio::spawn(async move {
        drop(reloaded.await);
        notify::say("READY=1");
    });
}

fn order(name: &str, artifact: Bytes, by: &str) -> Result<Order, DeployError> {
    Ok(Order {
        name: name.parse()?,
        source: Source::Bytes(artifact),
        place: Place::Current,
        reference: None,
        sha256: None,
        by: by.to_owned(),
        allow_schema_change: false,
    })
}

/// Opens what the configuration names, and says where each of them listens.
fn open_listeners(
    config: &Config,
) -> Result<(TcpListener, Option<TcpListener>, TcpListener, Addresses), StartError> {
    let http = listen("http", config.http)?;
    let admin = listen("admin", config.admin)?;
    let grpc = listen_grpc(config.grpc)?;
    let grpc_address = grpc.as_ref().map(TcpListener::local_addr).transpose();
    let addresses = Addresses {
        http: http.local_addr().map_err(|cause| bind_error("http", config.http, cause))?,
        grpc: grpc_address.map_err(|cause| bind_error("grpc", config.http, cause))?,
        admin: admin.local_addr().map_err(|cause| bind_error("admin", config.admin, cause))?,
    };
    Ok((http, grpc, admin, addresses))
}

/// Waits until the loading thread, which ends by itself, has let go of the data folder: whoever starts
/// anew at once shall find it free. On a busy machine that thread, the nicest of all, may be long in
/// getting there. A swap under way holds up the end for a moment only.
fn let_go(folder: &Weak<()>, bench: &Weak<Bench>) {
    const PATIENCE: Duration = Duration::from_secs(30);
    const OF_A_SWAP: Duration = Duration::from_secs(1);
    let begun = Instant::now();
    while folder.strong_count() > 0 {
        let swaps = bench.upgrade().is_some_and(|bench| bench.is_busy());
        if begun.elapsed() > if swaps { OF_A_SWAP } else { PATIENCE } {
            if !swaps {
                tracing::error!("the data folder is still held, and is not waited for any longer");
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn listen(name: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|cause| bind_error(name, address, cause))
}

fn listen_grpc(at: GrpcListener) -> Result<Option<TcpListener>, StartError> {
    match at {
        GrpcListener::Off => Ok(None),
        GrpcListener::At(address) => listen("grpc", address).map(Some),
        GrpcListener::IfFree(address) => match listen("grpc", address) {
            Err(StartError::InUse { .. }) => Ok(None),
            other => other.map(Some),
        },
    }
}

fn bind_error(listener: &'static str, address: SocketAddr, cause: io::Error) -> StartError {
    if cause.kind() == io::ErrorKind::AddrInUse {
        StartError::InUse { listener, address }
    } else {
        StartError::Bind { listener, address, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_deployment_does_not_hold_up_the_end() {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let grpc = GrpcListener::Off;
        let config = Config { http: any_port, admin: any_port, grpc, ..Config::default() };
        let server = Server::bind(config).expect("free ports");
        drop(server.deploy("churn", crate::overload::MODEL, "test").expect("a model"));
        let (held, presence) =
            (server.deployments().all(), Arc::downgrade(&server.context.presence));
        let shutdown = ShutdownHandle::new();
        shutdown.begin();
        server.run(&shutdown).expect("it ends well");
        assert_eq!(presence.strong_count(), 0, "the end did not wait to no purpose");
        assert_eq!(held.len(), 1);
    }
}
