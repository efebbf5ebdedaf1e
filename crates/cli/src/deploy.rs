//! `stemson deploy`, `rollback`, `promote`, `abort`, `canary`, `models`: a running server is told, or
//! asked.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use stemson_mojo::Digest;
use stemson_server::ClientTls;
use stemson_validate::hot_swap::Url;
use stemson_validate::remote::{Call, RemoteError};

use crate::failure::{Failure, Verdict};
use crate::model_file;
use crate::terminal::Format;

/// Brings a MOJO to a running server, where it answers from then on.
///
/// The server loads, checks and warms it while the old model answers. Bringing what answers already
/// changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson deploy churn-v2.zip --name churn
  stemson deploy churn-v2.zip --name churn --canary 0.05
  stemson deploy https://store.example/churn-v2.zip --name churn --sha256 $DIGEST
  STEMSON_API_KEY=... stemson deploy churn-v2.zip --name churn --server https://models:8082 --ca ca.pem

An address is not fetched here but by the server, from hosts that its [admin] allowed_hosts names.

Exit codes: 0 it answers; 1 the server refuses it; 2 wrong usage or unreadable file; 3 no server.")]
pub(crate) struct DeployArguments {
    /// The MOJO zip file, or the https:// address that the server fetches it from
    model: PathBuf,
    /// The artifact's digest: whatever else the bytes are is refused
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
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

/// Makes the canary answer everybody.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson deploy churn-v2.zip --name churn --canary 0.05
  stemson canary churn                    what both have answered so far
  stemson promote churn

Exit codes: 0 it answers; 1 the server refuses, as where there is no canary; 2 wrong usage; 3 no server.")]
pub(crate) struct PromoteArguments {
    /// The model's name
    model: String,
    #[command(flatten)]
    server: Server,
}

/// Takes the canary's share away, or asks the shadow no more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson abort churn                     the current revision answers everybody again
  stemson abort churn --shadow            ends the shadow, and leaves a canary alone

Exit codes: 0 done; 1 the server refuses, as where there is none; 2 wrong usage; 3 no server.")]
pub(crate) struct AbortArguments {
    /// The model's name
    model: String,
    /// End the shadow
    #[arg(long)]
    shadow: bool,
    #[command(flatten)]
    server: Server,
}

/// Shows what the canary and the current revision have answered so far.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson canary churn
  stemson canary churn --format json | jq .psi

`psi` is the population stability index of the canary's answers against the current revision's.

Exit codes: 0 shown; 1 the server refuses, as where there is no canary; 2 wrong usage; 3 no server.")]
pub(crate) struct CanaryArguments {
    /// The model's name
    model: String,
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
    /// Who signs the server's certificate, PEM [default: whom this machine trusts]
    #[arg(long, value_name = "FILE", env = "STEMSON_CA")]
    ca: Option<PathBuf>,
    /// A certificate to show to the server, PEM
    #[arg(long, value_name = "FILE", env = "STEMSON_CLIENT_CERT", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", env = "STEMSON_CLIENT_KEY", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn deploy(arguments: &DeployArguments) -> Result<Verdict, Failure> {
    let DeployArguments { name, canary, shadow, allow_schema_change, server, .. } = arguments;
    let (content_type, body) = arguments.body()?;
    let mut path = format!("/admin/models/{}", segment(name));
    match canary {
        Some(share) => path.extend(["/canary?share=", &share.to_string(), "&"]),
        None => path.push_str(if *shadow { "/shadow?" } else { "/swap?" }),
    }
    path.push_str(if *allow_schema_change { "allow_schema_change=true" } else { "" });
    let path = path.trim_end_matches(['?', '&']);
    let answer = server.call("POST", path, content_type, body)?;
    server.show(&answer, |out| {
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "warning: {}", text(warning));
        }
        describe(out, &answer);
    })
}

impl DeployArguments {
    /// What the server is sent: the artifact, or where it is.
    fn body(&self) -> Result<(&'static str, Vec<u8>), Failure> {
        let expected = self.sha256.as_ref().map(|text| text.parse::<Digest>()).transpose();
        let expected = expected.map_err(|bad| Failure::input(format!("--sha256: {bad}")))?;
        let url = self
            .model
            .to_str()
            .filter(|text| ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)));
        if let Some(url) = url {
            let mut body = json!({ "url": url });
            if let Some(digest) = expected {
                body["sha256"] = digest.to_string().into();
            }
            return Ok(("application/json", body.to_string().into_bytes()));
        }
        let artifact = model_file::read(&self.model)?;
        let found = Digest::of(&artifact);
        match expected.filter(|expected| *expected != found) {
            Some(expected) => Err(Failure::verdict(format!(
                "{}: the SHA-256 is {found}, expected {expected}",
                self.model.display()
            ))),
            None => Ok(("application/zip", artifact)),
        }
    }
}

pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<Verdict, Failure> {
    let RollbackArguments { model, to, server } = arguments;
    let path = format!("/admin/models/{}/rollback", segment(model));
    let body = to.as_ref().map_or(String::new(), |to| json!({ "to": to }).to_string());
    let answer = server.call("POST", &path, "application/json", body.into_bytes())?;
    server.show(&answer, |out| describe(out, &answer))
}

pub(crate) fn promote(arguments: &PromoteArguments) -> Result<Verdict, Failure> {
    arguments.server.change(&arguments.model, "canary/promote")
}

pub(crate) fn abort(arguments: &AbortArguments) -> Result<Verdict, Failure> {
    let AbortArguments { model, shadow, server } = arguments;
    server.change(model, if *shadow { "shadow/stop" } else { "canary/abort" })
}

pub(crate) fn canary(arguments: &CanaryArguments) -> Result<Verdict, Failure> {
    let CanaryArguments { model, server } = arguments;
    let path = format!("/admin/models/{}/canary", segment(model));
    let answer = server.call("GET", &path, "", Vec::new())?;
    server.show(&answer, |out| {
        let share = answer["share"].as_f64().unwrap_or_default() * 100.0;
        let (name, revision) = (text(&answer["model"]), revision(&answer));
        let _ = writeln!(out, "{name}: canary {revision} with {share} %");
        for arm in ["stable", "canary"] {
            let counts = &answer[arm];
            let _ =
                write!(out, "{arm}: {} requests, {} errors", counts["requests"], counts["errors"]);
            if let Some(seconds) = counts["seconds"].as_f64() {
                let _ = write!(out, ", {:.3} ms in the geometric mean", seconds * 1e3);
            }
            out.push('\n');
        }
        let psi = answer["psi"].as_f64();
        let psi = psi.map_or("not known yet".to_owned(), |psi| format!("{psi:.3}"));
        let _ = writeln!(out, "population stability index of the answers: {psi}");
    })
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
        let tls = ClientTls {
            ca: self.ca.clone(),
            certificate: self.client_cert.clone(),
            key: self.client_key.clone(),
        };
        let call = Call {
            server: &self.url,
            tls: &tls,
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
            RemoteError::Tls(_) => Failure::input(cause.to_string()),
            RemoteError::Unreachable { .. } | RemoteError::Foreign { .. } => {
                let hint = if cause.to_string().contains("certificate") {
                    "--ca names the file of who has signed the server's certificate, \
                     --client-cert and --client-key one to show"
                } else {
                    "--server names the admin listener, http://127.0.0.1:8082 by default; \
                     https:// where it speaks TLS"
                };
                Failure::outside(cause.to_string()).hint(hint)
            }
        })
    }

    /// A change that needs nothing but its name.
    fn change(&self, model: &str, what: &str) -> Result<Verdict, Failure> {
        let path = format!("/admin/models/{}/{what}", segment(model));
        let answer = self.call("POST", &path, "", Vec::new())?;
        self.show(&answer, |out| describe(out, &answer))
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
