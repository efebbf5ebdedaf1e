//! One keep-alive connection of HTTP/1.1, encrypted or as it comes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What went wrong below the level of status codes.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {cause}")]
pub(crate) struct TransportError {
    address: SocketAddr,
    cause: String,
}

impl TransportError {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// A connection that stays open between requests.
pub(crate) struct Client {
    address: SocketAddr,
    /// As the server is called.
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, TransportError> {
        Self::over(open(address).await?, address, address.to_string()).await
    }

    /// Over TLS; `host`: the name that the server's certificate must have.
    pub(crate) async fn connect_tls(
        address: SocketAddr,
        host: &str,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, TransportError> {
        let failed = |cause: String| TransportError { address, cause };
        let name = ServerName::try_from(host.to_owned()).map_err(|bad| failed(bad.to_string()))?;
        let stream = TlsConnector::from(tls).connect(name, open(address).await?).await;
        let stream = stream.map_err(|cause| failed(cause.to_string()))?;
        Self::over(stream, address, format!("{host}:{}", address.port())).await
    }

    async fn over<S>(stream: S, address: SocketAddr, host: String) -> Result<Self, TransportError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|cause| TransportError { address, cause: cause.to_string() })?;
        // Ends with the connection; what goes wrong there also fails the request.
        tokio::spawn(connection);
        Ok(Self { address, host, sender })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, TransportError> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, TransportError> {
        self.send(Method::POST, path, &[], body).await
    }

    /// Sends a request with these headers and `host`.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Answer, TransportError> {
        let failed = |cause: String| TransportError { address: self.address, cause };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .header("host", &self.host)
            .body(Full::new(body))
            .map_err(|cause| failed(cause.to_string()))?;
        self.sender.ready().await.map_err(|cause| failed(cause.to_string()))?;
        let answer =
            self.sender.send_request(request).await.map_err(|cause| failed(cause.to_string()))?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|cause| failed(cause.to_string()))?.to_bytes();
        Ok(Answer { status, body })
    }
}

async fn open(address: SocketAddr) -> Result<TcpStream, TransportError> {
    let failed = |cause: std::io::Error| TransportError { address, cause: cause.to_string() };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}
