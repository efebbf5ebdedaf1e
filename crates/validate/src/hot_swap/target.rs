//! A server under test: where it listens, what it serves, how its model is changed.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use base64::Engine as _;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::answers::{Answer, observed};
use super::{HotSwapError, Settings};
use crate::client::{Answer as Reply, Client};

/// Where swaps are asked for unless somebody says otherwise.
const ADMIN_PORT: u16 = 8082;

/// `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    is_tls: bool,
    host: String,
    port: u16,
}

/// A text is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no address of a server: expected http://HOST:PORT{hint}")]
pub struct ParseUrlError {
    found: String,
    hint: &'static str,
}

impl FromStr for Url {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = |hint| ParseUrlError { found: text.to_owned(), hint };
        let (is_tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(failed(" or https://HOST:PORT")),
            None => (false, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(failed(", without a path"));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| failed(""))?),
            None => (rest, if is_tls { 443 } else { 80 }),
        };
        if host.is_empty() {
            return Err(failed(""));
        }
        Ok(Self { is_tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Url {
    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name that its certificate must have.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    pub(crate) fn resolve(&self) -> Result<SocketAddr, HotSwapError> {
        let unreachable =
            |cause: String| HotSwapError::Unreachable { url: self.to_string(), cause };
        let mut found = (self.host(), self.port)
            .to_socket_addrs()
            .map_err(|cause| unreachable(cause.to_string()))?;
        found.next().ok_or_else(|| unreachable("the name has no address".to_owned()))
    }
}

/// How the model is changed where no command does.
enum Way {
    /// `POST /admin/models/{m}/swap` and `/rollback`.
    Admin(SocketAddr),
    /// `POST /v2/repository/models/{m}/load` with the file in it.
    Repository,
}

/// A server, asked what it is.
pub(super) struct Target {
    pub(super) api: SocketAddr,
    pub(super) model: String,
    pub(super) metadata: Value,
    pub(super) headers: Vec<(String, String)>,
    way: Way,
}

impl Target {
    pub(super) async fn find(settings: &Settings) -> Result<Self, HotSwapError> {
        let api = settings.api.resolve()?;
        let key = settings.api_key.iter();
        let headers: Vec<_> =
            key.map(|key| ("authorization".to_owned(), format!("Bearer {key}"))).collect();
        let mut client = Client::connect(api).await?;
        let model = match &settings.model {
            Some(model) => model.clone(),
            None => only_model(&mut client, &headers, &settings.api).await?,
        };
        let path = format!("/v2/models/{model}");
        let reply = client.send(Method::GET, &path, &headers, Bytes::new()).await?;
        let metadata = accept(&settings.api, &format!("GET {path}"), &reply)?;
        let admin = match &settings.admin {
            Some(admin) => Some(admin.clone()),
            None => Some(Url { port: ADMIN_PORT, ..settings.api.clone() }),
        };
        let mut way = Way::Repository;
        if let Some(admin) = admin
            && settings.commands.is_none()
        {
            match admin_of(&admin, &model, &headers).await {
                Ok(address) => way = Way::Admin(address),
                Err(cause) if settings.admin.is_some() => return Err(cause),
                Err(_) => {}
            }
        }
        Ok(Self { api, model, metadata, headers, way })
    }

    pub(super) fn infer_path(&self) -> String {
        format!("/v2/models/{}/infer", self.model)
    }

    pub(super) fn way(&self, settings: &Settings) -> &'static str {
        match &self.way {
            _ if settings.commands.is_some() => "command",
            Way::Admin(_) => "admin",
            Way::Repository => "repository",
        }
    }

    /// What the server answers now.
    pub(super) async fn observe(&self, bodies: &[Bytes]) -> Result<Vec<Answer>, HotSwapError> {
        let url = Url { is_tls: false, host: self.api.ip().to_string(), port: self.api.port() };
        let mut client = Client::connect(self.api).await?;
        let mut answers = Vec::new();
        for body in bodies {
            let reply =
                client.send(Method::POST, &self.infer_path(), &self.headers, body.clone()).await?;
            let what = format!("POST {}", self.infer_path());
            let answer = accept(&url, &what, &reply)?;
            answers.push(observed(&answer).ok_or_else(|| HotSwapError::Refused {
                url: url.to_string(),
                status: reply.status.as_u16(),
                what,
                said: format!("no outputs that can be compared: {answer}"),
            })?);
        }
        Ok(answers)
    }

    /// The error is what the server says.
    pub(super) async fn swap(&self, settings: &Settings) -> Result<(), String> {
        match (&self.way, &settings.commands) {
            (_, Some([swap, _])) => run(swap).await,
            (Way::Admin(admin), None) => {
                let path = format!("/admin/models/{}/swap", self.model);
                self.post(*admin, &path, "application/zip", settings.v2.clone().into()).await
            }
            (Way::Repository, None) => self.load(&settings.v2).await,
        }
    }

    pub(super) async fn roll_back(&self, settings: &Settings) -> Result<(), String> {
        match (&self.way, &settings.commands, &settings.v1) {
            (_, Some([_, roll_back]), _) => run(roll_back).await,
            (Way::Admin(admin), None, _) => {
                let path = format!("/admin/models/{}/rollback", self.model);
                self.post(*admin, &path, "application/json", Bytes::new()).await
            }
            (Way::Repository, None, Some(v1)) => self.load(v1).await,
            (Way::Repository, None, None) => {
                Err("the repository extension has no rollback: give the old artifact with \
                     --model-v1, to be loaded again"
                    .to_owned())
            }
        }
    }

    async fn load(&self, artifact: &[u8]) -> Result<(), String> {
        let file = base64::engine::general_purpose::STANDARD.encode(artifact);
        let body = json!({"parameters": {"file:1/model.zip": file}}).to_string();
        let path = format!("/v2/repository/models/{}/load", self.model);
        self.post(self.api, &path, "application/json", body.into()).await
    }

    async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<(), String> {
        let mut headers = self.headers.clone();
        headers.push(("content-type".to_owned(), kind.to_owned()));
        let mut client = Client::connect(address).await.map_err(|cause| cause.to_string())?;
        let reply = client.send(Method::POST, path, &headers, body).await;
        let reply = reply.map_err(|cause| cause.to_string())?;
        if reply.status.is_success() {
            return Ok(());
        }
        Err(format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)))
    }
}

async fn only_model(
    client: &mut Client,
    headers: &[(String, String)],
    url: &Url,
) -> Result<String, HotSwapError> {
    let listed = client.send(Method::GET, "/v1/models", headers, Bytes::new()).await?;
    let mut names: Vec<String> = names(&listed, |list| list["models"].as_array().cloned());
    if names.is_empty() {
        let path = "/v2/repository/index";
        let listed = client.send(Method::POST, path, headers, Bytes::from_static(b"{}")).await?;
        names = self::names(&listed, |list| list.as_array().cloned());
    }
    let found = match names.as_slice() {
        [only] => return Ok(only.clone()),
        [] => "no model that it tells of".to_owned(),
        some => format!("the models {}", some.join(", ")),
    };
    Err(HotSwapError::WhichModel { url: url.to_string(), found })
}

fn names(reply: &Reply, list: impl Fn(&Value) -> Option<Vec<Value>>) -> Vec<String> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let name = |item: &Value| item.as_str().or_else(|| item["name"].as_str()).map(str::to_owned);
    list(&body).unwrap_or_default().iter().filter_map(name).collect()
}

async fn admin_of(
    admin: &Url,
    model: &str,
    headers: &[(String, String)],
) -> Result<SocketAddr, HotSwapError> {
    let address = admin.resolve()?;
    let mut client = Client::connect(address).await?;
    let path = format!("/admin/models/{model}/revisions");
    let reply = client.send(Method::GET, &path, headers, Bytes::new()).await?;
    accept(admin, &format!("GET {path}"), &reply)?;
    Ok(address)
}

fn accept(url: &Url, what: &str, reply: &Reply) -> Result<Value, HotSwapError> {
    let parsed = serde_json::from_slice(&reply.body);
    match parsed {
        Ok(value) if reply.status.is_success() => Ok(value),
        _ => Err(HotSwapError::Refused {
            url: url.to_string(),
            status: reply.status.as_u16(),
            what: what.to_owned(),
            said: String::from_utf8_lossy(&reply.body).chars().take(300).collect(),
        }),
    }
}

/// Runs a line of the shell.
async fn run(line: &str) -> Result<(), String> {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line]);
    let done = tokio::task::spawn_blocking(move || command.output()).await;
    let output = done.map_err(|cause| cause.to_string())?.map_err(|cause| cause.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`{line}` ended with {}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("http://localhost:8000", Ok("http://localhost:8000")),
            ("localhost:8000/", Ok("http://localhost:8000")),
            ("http://host", Ok("http://host:80")),
            ("http://[::1]:9", Ok("http://[::1]:9")),
            ("https://host:1", Ok("https://host:1")),
            ("https://host", Ok("https://host:443")),
            ("http://host:x", Err("expected http://HOST:PORT")),
            ("http://host:1/v2", Err("without a path")),
            ("ftp://host", Err("expected http://HOST:PORT")),
            ("", Err("expected http://HOST:PORT")),
        ] {
            match (text.parse::<Url>(), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.to_string(), expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
