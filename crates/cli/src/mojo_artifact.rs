//! `stemson validate-mojo-artifact`: whether a MOJO may be released.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use stemson_validate::mojo_artifact::{self, ArtifactError, Request};

use crate::failure::{Failure, Verdict};
use crate::model_file;
use crate::terminal::Format;

/// Validates a MOJO before it is released: structure, schema, versions, answers, cold start, memory,
/// latency.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson validate-mojo-artifact --mojo model.zip --client-version 3.46.0.11
  stemson validate-mojo-artifact --mojo model.zip --reference inputs.csv --expected preds.csv
  stemson validate-mojo-artifact --mojo model.zip --reference inputs.csv --runtime genmodel --genmodel-jar h2o-genmodel.jar

As a script: python scripts/validate_mojo_artifact.py --mojo model.zip --runtime daimojo --reference test_inputs.csv")]
pub(crate) struct Arguments {
    /// The MOJO zip file
    #[arg(long, value_name = "FILE")]
    mojo: PathBuf,
    /// Rows to score: CSV with a header
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Answers to these rows, with the columns that `stemson score` writes
    #[arg(long, value_name = "FILE", requires = "reference")]
    expected: Option<PathBuf>,
    /// Version of the h2o Python client that is pinned: must be the artifact's
    #[arg(long, value_name = "VERSION")]
    client_version: Option<String>,
    /// What scores: our runtime; H2O's Java library beside it; or daimojo, which cannot load MOJOs
    #[arg(long, value_enum, default_value_t = Runtime::Native)]
    runtime: Runtime,
    /// H2O's Java library, for `--runtime genmodel`
    #[arg(long, value_name = "FILE", required_if_eq("runtime", "genmodel"))]
    genmodel_jar: Option<PathBuf>,
    /// A running H2O cluster, whose version is compared
    #[arg(long, value_name = "http://HOST:PORT")]
    cluster: Option<String>,
    /// Difference that is allowed, relative or absolute, beyond that of the exactness contract
    #[arg(long, default_value_t = 0.0, value_parser = parse_tolerance)]
    tolerance: f64,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runtime {
    Native,
    Genmodel,
    Daimojo,
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.parse();
    number
        .ok()
        .filter(|it| it.is_finite() && *it >= 0.0)
        .ok_or("expected a number from 0 on".to_owned())
}

pub(crate) fn run(arguments: Arguments) -> Result<Verdict, Failure> {
    let request = Request {
        mojo: arguments.mojo,
        reference: arguments.reference,
        expected: arguments.expected,
        client_version: arguments.client_version,
        runtime: match arguments.runtime {
            Runtime::Native => mojo_artifact::Runtime::Native,
            Runtime::Genmodel => mojo_artifact::Runtime::Genmodel,
            Runtime::Daimojo => mojo_artifact::Runtime::Daimojo,
        },
        genmodel_jar: arguments.genmodel_jar,
        cluster: arguments.cluster,
        tolerance: arguments.tolerance,
    };
    let report =
        mojo_artifact::validate(&request).map_err(|cause| failure(&cause, &request.mojo))?;
    let text = match arguments.format {
        Format::Text => report.to_string(),
        Format::Json => {
            let json = serde_json::to_string_pretty(&report.to_json());
            json.map_err(|cause| Failure::input("cannot render JSON").because(&cause))? + "\n"
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if report.verdict.good { Verdict::Good } else { Verdict::Bad })
}

fn failure(cause: &ArtifactError, mojo: &Path) -> Failure {
    match cause {
        ArtifactError::Read { path, cause } if Path::new(path) == mojo => {
            model_file::unread(mojo, cause)
        }
        ArtifactError::Read { cause: why, .. } => Failure::input(cause.to_string()).because(why),
        ArtifactError::Rows(_) => Failure::input(cause.to_string()),
        ArtifactError::Outside(_) => Failure::outside(cause.to_string()),
    }
}
