//! `stemson deploy`, `rollback`, `models`: a running server is told, or asked.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;
use stemson_validate::hot_swap::Url;
use stemson_validate::remote::{Call, RemoteError};

use crate::failure::{Failure, Verdict};
use crate::model_file;

/// Brings a MOJO to a running server, where it answers from then on.
///
/// The server loads, checks and warms it while the old model answers. Bringing what answers already
/// changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson deploy churn-v2.zip --name churn
  stemson deploy churn-v2.zip --name churn --canary 0.05
  STEMSON_API_KEY=... stemson deploy churn-v2.zip --name churn --server http://models:8082

Exit codes: 0 it answers; 1 the server refuses it; 2 wrong usage or unreadable file; 3 no server.")]
pub(crate) struct DeployArguments {
    /// The MOJO zip file
    model: PathBuf,
    /// The name that it answers under
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Give it this share of the requests, and the rest to the model that answers now
    #[arg(long, value_name = "SHARE", conflicts_with = "shadow")]
    canary: Option<f64>,
    /// Ask it too, and only compare its answers
    #[arg(long)]
    shadow: bool,
    /// Take it although callers have to send or read something else from now on
    #[arg(long)]
    allow_schema_change: bool,
    #[command(flatten)]
    server: Server,
}

/// Makes a revision of before answer again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson rollback churn                  to the revision before this one
  stemson rollback churn --to 3           a number, an alias, or 12 digits of a digest

Exit codes: 0 it answers; 1 the server refuses; 2 wrong usage; 3 no server.")]
pub(crate) struct RollbackArguments {
    /// The model's name
    model: String,
    /// The revision; without it the one before
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Lists the models of a running server, and which revision of each answers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson models
  stemson models --format json | jq '.models[].model'

Exit codes: 0 listed; 1 the server refuses; 2 wrong usage; 3 no server.")]
pub(crate) struct ModelsArguments {
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Server {
    /// The server's admin listener
    #[arg(long = "server", value_name = "URL", default_value = "http://127.0.0.1:8082")]
    url: Url,
    /// A key with the scope admin
    #[arg(long, value_name = "KEY", env = "STEMSON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn deploy(arguments: &DeployArguments) -> Result<Verdict, Failure> {
    let DeployArguments { model, name, canary, shadow, allow_schema_change, server } = arguments;
    let artifact = model_file::read(model)?;
    let mut path = format!("/admin/models/{}", segment(name));
    match canary {
        Some(share) => path.extend(["/canary?share=", &share.to_string(), "&"]),
        None => path.push_str(if *shadow { "/shadow?" } else { "/swap?" }),
    }
    path.push_str(if *allow_schema_change { "allow_schema_change=true" } else { "" });
    let path = path.trim_end_matches(['?', '&']);
    let answer = server.call("POST", path, "application/zip", artifact)?;
    server.show(&answer, |out| {
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "warning: {}", text(warning));
        }
        describe(out, &answer);
    })
}

pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<Verdict, Failure> {
    let RollbackArguments { model, to, server } = arguments;
    let path = format!("/admin/models/{}/rollback", segment(model));
    let body = to.as_ref().map_or(String::new(), |to| serde_json::json!({ "to": to }).to_string());
    let answer = server.call("POST", &path, "application/json", body.into_bytes())?;
    server.show(&answer, |out| describe(out, &answer))
}

pub(crate) fn models(arguments: &ModelsArguments) -> Result<Verdict, Failure> {
    let server = &arguments.server;
    let answer = server.call("GET", "/admin/models", "", Vec::new())?;
    server.show(&answer, |out| {
        for model in answer["models"].as_array().into_iter().flatten() {
            let _ = write!(out, "{}: {}", text(&model["model"]), revision(model));
            let _ = write!(out, ", since {} by {}", text(&model["loaded_at"]), text(&model["by"]));
            beside(out, model);
        }
    })
}

/// A name as one part of a path.
fn segment(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            part.push(char::from(byte));
        } else {
            // Writing to memory cannot fail.
            let _ = write!(part, "%{byte:02X}");
        }
    }
    part
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn revision(of: &Value) -> String {
    let digest = text(&of["revision"]);
    format!("revision {} ({})", of["number"], digest.get(..12).unwrap_or(digest))
}

/// `churn: swapped, revision 2 (3f543eb55c3d) answers`.
fn describe(out: &mut String, answer: &Value) {
    let outcome = text(&answer["outcome"]).replace('_', " ");
    let _ = write!(out, "{}: {outcome}, {} answers", text(&answer["model"]), revision(answer));
    beside(out, answer);
}

/// What stands beside it, to the end of the line.
fn beside(out: &mut String, of: &Value) {
    if of["previous"].is_object() {
        let _ = write!(out, "; before: {}", revision(&of["previous"]));
    }
    if of["canary"].is_object() {
        let share = of["canary"]["share"].as_f64().unwrap_or_default() * 100.0;
        let _ = write!(out, "; canary: {} with {share} %", revision(&of["canary"]));
    }
    if of["shadow"].is_object() {
        let _ = write!(out, "; shadow: {}", revision(&of["shadow"]));
    }
    out.push('\n');
}

impl Server {
    fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, Failure> {
        let call = Call {
            server: &self.url,
            api_key: self.api_key.as_deref(),
            method,
            path,
            content_type,
            body,
        };
        call.send().map_err(|cause| match &cause {
            RemoteError::Refused { status: 401, .. } => Failure::verdict(cause.to_string())
                .hint("name a key of the server with STEMSON_API_KEY"),
            RemoteError::Refused { status, .. } if *status < 500 => {
                Failure::verdict(cause.to_string())
            }
            RemoteError::Refused { .. } => Failure::outside(cause.to_string()),
            RemoteError::Unreachable { .. } | RemoteError::Foreign { .. } => {
                Failure::outside(cause.to_string())
                    .hint("--server names the admin listener, http://127.0.0.1:8082 by default")
            }
        })
    }

    fn show(&self, answer: &Value, text: impl FnOnce(&mut String)) -> Result<Verdict, Failure> {
        let mut out = String::new();
        match self.format {
            Format::Text => text(&mut out),
            Format::Json => out = format!("{answer:#}\n"),
        }
        let written = io::stdout().lock().write_all(out.as_bytes());
        written.map(|()| Verdict::Good).map_err(|cause| Failure::stdout(&cause))
    }
}
