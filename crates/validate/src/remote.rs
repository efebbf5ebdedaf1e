//! One call to a running server's admin listener.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use stemson_server::ClientTls;

use crate::client::Client;
use crate::hot_swap::{HotSwapError, Url};

/// What an admin listener is asked.
#[derive(Debug)]
pub struct Call<'a> {
    /// The admin listener.
    pub server: &'a Url,
    /// Whom to trust where the server speaks TLS, and the certificate to show.
    pub tls: &'a ClientTls,
    /// A key with the scope that the call needs.
    pub api_key: Option<&'a str>,
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Empty for none.
    pub content_type: &'a str,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nobody answers there.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        cause: String,
    },
    /// A file of certificates or keys is not right.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server says no.
    #[error("the server refuses: {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its code, for scripts.
        code: String,
        /// Its words.
        message: String,
    },
    /// Something else than our server answers there.
    #[error("{server} answers {status}, and not as Stemson does")]
    Foreign {
        /// The server.
        server: String,
        /// Its status.
        status: u16,
    },
}

impl Call<'_> {
    /// Sends it, and gives the JSON of a good answer.
    pub fn send(self) -> Result<Value, RemoteError> {
        let server = self.server.to_string();
        let unreachable =
            |cause: String| RemoteError::Unreachable { server: server.clone(), cause };
        let address = self.server.resolve().map_err(|cause| match cause {
            HotSwapError::Unreachable { cause, .. } => unreachable(cause),
            other => unreachable(other.to_string()),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| unreachable(cause.to_string()))?;
        let method = if self.method == "GET" { Method::GET } else { Method::POST };
        let mut headers = Vec::new();
        if let Some(key) = self.api_key {
            headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        if !self.content_type.is_empty() {
            headers.push(("content-type".to_owned(), self.content_type.to_owned()));
        }
        let tls = self.server.is_tls().then(|| self.tls.read()).transpose();
        let tls = tls.map_err(RemoteError::Tls)?;
        let answer = runtime.block_on(async {
            let mut client = match tls {
                Some(tls) => Client::connect_tls(address, self.server.host(), tls).await?,
                None => Client::connect(address).await?,
            };
            client.send(method, self.path, &headers, Bytes::from(self.body)).await
        });
        let answer = answer.map_err(|cause| unreachable(cause.to_string()))?;
        let status = answer.status.as_u16();
        let foreign = || RemoteError::Foreign { server: server.clone(), status };
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| foreign())?;
        if answer.status.is_success() {
            return Ok(body);
        }
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let (Some(code), Some(message)) = (text("code"), text("error")) else {
            return Err(foreign());
        };
        Err(RemoteError::Refused { status, code, message })
    }
}
