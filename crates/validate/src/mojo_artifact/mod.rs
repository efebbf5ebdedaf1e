//! `validate-mojo-artifact`: whether a MOJO may be released.
//!
//! Structure, schema, versions, answers against others' and what it costs to load and to ask, measured
//! in this process with the runtime that will serve it. A file that is no good is a report, not an
//! error; errors are what keeps the work from being done.

mod answers;
mod cluster;
mod figures;
mod report;
mod structure;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use stemson_mojo::{Digest, LoadError, LoadOptions, Model};

pub use report::{Check, Figures, Outcome, Report};

/// What is to be validated, and against what.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The artifact.
    pub mojo: PathBuf,
    /// Rows to score: CSV with a header.
    pub reference: Option<PathBuf>,
    /// Answers to them, with the columns that `stemson score` writes.
    pub expected: Option<PathBuf>,
    /// Version of the h2o Python client that is pinned.
    pub client_version: Option<String>,
    /// What scores.
    pub runtime: Runtime,
    /// H2O's Java library, for [`Runtime::Genmodel`].
    pub genmodel_jar: Option<PathBuf>,
    /// An H2O cluster, as `http://host:54321`.
    pub cluster: Option<String>,
    /// Relative or absolute difference that is allowed, beyond that of the exactness contract.
    pub tolerance: f64,
}

/// What scores the rows. Our own runtime always does, and its verdict counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Our own.
    #[default]
    Native,
    /// H2O's Java library as well, as the judge of the answers.
    Genmodel,
    /// H2O's C++ library, which cannot load MOJOs of H2O-3.
    Daimojo,
}

impl Runtime {
    /// `native`, `genmodel` or `daimojo`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Genmodel => "genmodel",
            Self::Daimojo => "daimojo",
        }
    }
}

/// Why the work could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Rows or answers are not what they should be.
    #[error("{0}")]
    Rows(String),
    /// Java or the cluster did not do its part.
    #[error("{0}")]
    Outside(String),
}

/// Validates an artifact.
///
/// # Errors
/// A file cannot be read, rows cannot be compared, or something outside failed. What is wrong with
/// the artifact stands in the report.
pub fn validate(request: &Request) -> Result<Report, ArtifactError> {
    let read = |path: &PathBuf| {
        let shown = path.display().to_string();
        std::fs::read(path).map_err(|cause| ArtifactError::Read { path: shown, cause })
    };
    let bytes = read(&request.mojo)?;
    let mut report = Report::new(request, Digest::of(&bytes), bytes.len() as u64);
    if request.runtime == Runtime::Daimojo {
        report.note(
            "runtime",
            "daimojo loads the MOJO 2 of Driverless AI (a `pipeline.mojo` in Protocol Buffers, with a \
             licence key), not the `model.ini` and trees of H2O-3: it cannot load this file; native \
             goes on, and its verdict counts",
        );
    }
    let Some((model, entries)) = load(&bytes, &mut report) else { return Ok(report.finished()) };
    structure::check(&bytes, &model, &entries, &mut report);
    check_versions(request, &model, &mut report)?;
    let model = Arc::new(model);
    report.figures = figures::measure(&request.mojo, &model)?;
    answers::check(request, &model, &mut report)?;
    Ok(report.finished())
}

/// Loads strictly, and where that fails for a silent trap alone, as genmodel does.
fn load(bytes: &[u8], report: &mut Report) -> Option<(Model, Vec<stemson_mojo::Entry>)> {
    let strict = LoadOptions::default();
    let loaded = match Model::load_with_entries(bytes, &strict) {
        Err(LoadError::Quirk { reason }) => {
            report.bad("silent trap", reason);
            Model::load_with_entries(bytes, &LoadOptions { genmodel_quirks: true, ..strict })
        }
        loaded => loaded,
    };
    match loaded {
        Ok(loaded) => {
            let model = &loaded.0;
            report.good(
                "load",
                format!(
                    "{} {}, MOJO {}",
                    model.algorithm(),
                    model.category(),
                    model.mojo_version()
                ),
            );
            Some(loaded)
        }
        Err(cause) => {
            report.bad("load", format!("{} ({})", cause, cause.kind()));
            None
        }
    }
}

/// LE-DEV-03: one version for the client, the cluster and the artifact.
fn check_versions(
    request: &Request,
    model: &Model,
    report: &mut Report,
) -> Result<(), ArtifactError> {
    let artifact = model.h2o_version();
    report.h2o_version = Some(artifact.to_owned());
    match &request.client_version {
        Some(client) if client == artifact => {
            report.good("client version", format!("{client}, as the artifact's"));
        }
        Some(client) => report.bad(
            "client version",
            format!("the client is pinned to {client}, the artifact was written by H2O {artifact}; pin one version"),
        ),
        None => report.skip("client version", format!("not compared: the artifact is of H2O {artifact} (`--client-version`)")),
    }
    let Some(url) = &request.cluster else {
        report.skip("cluster version", "not compared (`--cluster`)");
        return Ok(());
    };
    let cloud = cluster::read(url)?;
    let wanted = request.client_version.as_deref().unwrap_or(artifact);
    let name = &cloud.name;
    if cloud.version != wanted {
        let found = &cloud.version;
        report.bad(
            "cluster version",
            format!("cluster `{name}` runs H2O {found}, {wanted} is wanted"),
        );
    } else if !cloud.healthy {
        report
            .bad("cluster version", format!("cluster `{name}` runs {wanted}, but is not healthy"));
    } else {
        report.good(
            "cluster version",
            format!("cluster `{name}` runs {wanted}, {} members", cloud.size),
        );
    }
    Ok(())
}
