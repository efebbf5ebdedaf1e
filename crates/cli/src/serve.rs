//! `stemson serve`: models behind HTTP, until a signal says otherwise.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use stemson_mojo::Digest;
use stemson_server::{
    DeployError, GrpcListener, MetricsCompat, ModelFolder, Revision, RunError, Server,
    ShutdownHandle, StartError,
};

use crate::failure::{Failure, Verdict};
use crate::settings::{DATA_DIR, ModelEntry, Settings, address, grpc_listener};
use crate::terminal::{plural, say};
use crate::{model_file, reload};

/// Serves models over HTTP and gRPC: KServe V1, Open Inference Protocol, metrics, hot swap.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  stemson serve churn.zip
  stemson serve --models models --http 0.0.0.0:8080 --keys keys.toml
  curl -X POST localhost:8080/v1/models/churn:predict -d '{\"instances\":[{\"age\":31}]}'
  curl -X POST localhost:8082/admin/models/churn/swap --data-binary @churn-2.zip

The configuration file has the sections [server], [limits], [admin], [tls], [auth], [log],
[otlp], [prediction_log], [canary], [cache] and [[model]]; see
--print-config. Each key but those of [[model]] can be set as STEMSON_SECTION_KEY in the
environment. A flag outweighs the environment, which outweighs the file. Relative paths in the
file are counted from its folder.")]
pub(crate) struct Arguments {
    /// MOJO zip files; `churn.zip` answers under the name `churn`
    models: Vec<PathBuf>,
    /// The name of the one model, instead of its file's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A folder of models: DIR/churn.zip, or DIR/churn/3.zip, of which the highest number answers
    #[arg(long = "models", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A configuration file; by default stemson.toml, if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where inference, health and metrics listen
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    http: Option<SocketAddr>,
    /// Where inference and health listen over gRPC; `off`: nowhere. By default 127.0.0.1:8081, if
    /// it is free
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = grpc_listener)]
    grpc: Option<GrpcListener>,
    /// Where swap and rollback listen
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Where artifacts and state live; what was swapped in answers again after a restart
    /// [default: stemson-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that compute; 0 is one per core
    #[arg(long, value_name = "N")]
    compute_threads: Option<usize>,
    /// Metrics under the names of another server besides ours: triton or kserve
    #[arg(long, value_name = "SERVER", value_parser = compat)]
    metrics_compat: Option<MetricsCompat>,
    /// API keys: `[[key]]` with id, sha256, scopes; read again when it changes
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Listen on addresses that other machines reach, although there are no keys
    #[arg(long)]
    insecure: bool,
    /// Serve models that genmodel answers wrongly without a word, and answer as it does
    #[arg(long)]
    genmodel_quirks: bool,
    /// Show the configuration as it would be, and end
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let settings = settings(arguments)?;
    if arguments.print_config {
        let text = settings.render();
        let written = io::stdout().lock().write_all(text.as_bytes());
        return written.map(|()| Verdict::Good).map_err(|cause| Failure::stdout(&cause));
    }
    stemson_server::install_log(&settings.server.log).map_err(Failure::input)?;
    let (artifacts, started) = (artifacts(&settings.models)?, settings.clone());
    let grpc = settings.server.grpc;
    let server = Server::bind(settings.server).map_err(|error| not_started(&error))?;
    for warning in server.warnings() {
        say(format_args!("warning: {warning}"));
    }
    for (name, path) in &artifacts {
        deploy(&server, name, path)?;
    }
    for deployment in server.deployments().all() {
        show(deployment.name().as_str(), &deployment.current());
    }
    if server.deployments().all().is_empty() {
        say(format_args!(
            "warning: no models to serve: name one, or send one to \
             http://{}/admin/models/NAME/swap",
            server.addresses().admin
        ));
    }
    say(format_args!("http listens on {}", server.addresses().http));
    match (server.addresses().grpc, grpc) {
        (Some(address), _) => say(format_args!("grpc listens on {address}")),
        (None, GrpcListener::IfFree(address)) => say(format_args!(
            "warning: no gRPC: {address} is in use by another process; give it a place with --grpc"
        )),
        (None, _) => {}
    }
    say(format_args!("admin listens on {}", server.addresses().admin));
    server.reload_with(reload::source(arguments.clone(), started));
    server.run(&ShutdownHandle::with_signals()).map_err(|error| ended_badly(&error))?;
    Ok(Verdict::Good)
}

fn compat(text: &str) -> Result<MetricsCompat, String> {
    match text {
        "triton" => Ok(MetricsCompat::Triton),
        "kserve" => Ok(MetricsCompat::Kserve),
        _ => Err("expected triton or kserve".to_owned()),
    }
}

/// Flags over environment over file over defaults.
pub(crate) fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("STEMSON_"));
    let mut settings = Settings::resolve(arguments.config.as_deref(), environment)?;
    let server = &mut settings.server;
    server.http = arguments.http.unwrap_or(server.http);
    server.grpc = arguments.grpc.unwrap_or(server.grpc);
    server.admin = arguments.admin.unwrap_or(server.admin);
    server.compute_threads = arguments.compute_threads.unwrap_or(server.compute_threads);
    server.metrics_compat = arguments.metrics_compat.or(server.metrics_compat);
    if let Some(keys) = &arguments.keys {
        server.auth.keys_file = Some(keys.clone());
    }
    server.data_dir = arguments
        .data_dir
        .clone()
        .or(server.data_dir.take())
        .or_else(|| Some(PathBuf::from(DATA_DIR)));
    server.insecure = arguments.insecure;
    server.load_options.genmodel_quirks = arguments.genmodel_quirks;

    only_once(&settings.models)?;
    let mut named: Vec<ModelEntry> = Vec::new();
    if arguments.name.is_some() && arguments.models.len() != 1 {
        return Err(Failure::input("--name stands for one model").hint("name one MOJO before it"));
    }
    for path in &arguments.models {
        let by_file = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = arguments.name.clone().unwrap_or_else(by_file);
        named.push(ModelEntry { name, path: path.clone() });
    }
    if let Some(folder) = &arguments.folder {
        named.extend(in_folder(folder)?);
    }
    only_once(&named)?;
    // The command line outweighs the file, model by model.
    settings.models.retain(|model| named.iter().all(|other| other.name != model.name));
    settings.models.extend(named);
    let folders = &mut settings.server.model_folders;
    folders.extend(arguments.folder.clone().map(ModelFolder::All));
    folders.extend(settings.models.iter().filter_map(versions));
    Ok(settings)
}

fn only_once(models: &[ModelEntry]) -> Result<(), Failure> {
    for (i, model) in models.iter().enumerate() {
        if let Some(twin) = models[..i].iter().find(|twin| twin.name == model.name) {
            return Err(Failure::input(format!(
                "two models named `{}`: {} and {}",
                model.name,
                twin.path.display(),
                model.path.display()
            ))
            .hint("rename one of them, or give it another name with [[model]] in stemson.toml"));
        }
    }
    Ok(())
}

/// The models of a folder: zip files, and folders of versions.
fn in_folder(folder: &Path) -> Result<Vec<ModelEntry>, Failure> {
    let models = list(&ModelFolder::All(folder.to_owned()), folder)?;
    if models.is_empty() {
        return Err(Failure::input(format!("{} holds no models", folder.display()))
            .hint("expected are NAME.zip, or NAME/1.zip, NAME/2.zip and so on"));
    }
    Ok(models.into_iter().map(|(name, path)| ModelEntry { name, path }).collect())
}

fn list(models: &ModelFolder, folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    models.models().map_err(|cause| {
        Failure::input(format!("cannot list {}", folder.display())).because(&cause)
    })
}

/// Which file answers for each model.
pub(crate) fn artifacts(models: &[ModelEntry]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let file = |model: &ModelEntry| match versions(model) {
        None => Ok((model.name.clone(), model.path.clone())),
        Some(versions) => list(&versions, &model.path)?.pop().ok_or_else(|| {
            Failure::input(format!("{} holds no versions", model.path.display()))
                .hint("expected are 1.zip, 2.zip and so on; or name the MOJO itself")
        }),
    };
    models.iter().map(file).collect()
}

/// The folder that the model's versions come from, if it is one.
fn versions(model: &ModelEntry) -> Option<ModelFolder> {
    let ModelEntry { name, path } = model;
    path.is_dir().then(|| ModelFolder::One { name: name.clone(), folder: path.clone() })
}

fn deploy(server: &Server, name: &str, path: &Path) -> Result<(), Failure> {
    let bytes = model_file::read(path)?;
    let digest = Digest::of(&bytes);
    let reference = stemson_server::read_beside(path).map_err(|cause| {
        Failure::input(format!("cannot read the reference beside {}", path.display()))
            .because(&cause)
    })?;
    let swap = server.configure(name, bytes, reference, "start").map_err(|error| match error {
        DeployError::Load(cause) => model_file::refused(path, &cause),
        DeployError::Name(cause) => Failure::input(format!("{}: {cause}", path.display()))
            .hint("give it a name with [[model]] in stemson.toml, or rename the file"),
        DeployError::Store(cause) => Failure::outside(cause.to_string()),
        other => Failure::input(format!("{}: {other}", path.display())),
    })?;
    let current = &swap.warm.current;
    if current.digest() != digest {
        say(format_args!(
            "{name}: revision {} stands, which was made current after {} was configured",
            current.number(),
            path.display()
        ));
        return Ok(());
    }
    for warning in current.model().warnings() {
        say(format_args!("warning: {}: {}", path.display(), warning.message));
    }
    Ok(())
}

fn show(name: &str, current: &Revision) {
    let model = current.model();
    say(format_args!(
        "{name}: {}, {}, {}, digest {}",
        model.algorithm(),
        model.category(),
        plural(model.schema().columns().len() as u64, "column"),
        model.digest().short()
    ));
}

pub(crate) fn not_started(error: &StartError) -> Failure {
    let message = error.to_string();
    let failure = match error {
        StartError::InUse { .. }
        | StartError::Bind { .. }
        | StartError::Store(_)
        | StartError::Restore { .. }
        | StartError::Thread(_) => Failure::outside(message),
        StartError::PublicWithoutKeys { .. }
        | StartError::Limit { .. }
        | StartError::Keys(_)
        | StartError::Jwks { .. }
        | StartError::Tls(_)
        | StartError::Downloads(_)
        | StartError::Cache { .. }
        | StartError::PredictionLog { .. } => Failure::input(message),
    };
    let failure = match std::error::Error::source(error) {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn ended_badly(error: &RunError) -> Failure {
    let message = error.to_string();
    match error {
        RunError::Runtime(cause) => Failure::outside(message).because(cause),
        RunError::DrainTooLong(_) => {
            Failure::verdict(message).hint("[server] drain_seconds says how long they may take")
        }
    }
}
