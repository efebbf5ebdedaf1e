//! One keep-alive connection of HTTP/1.1.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

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
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, TransportError> {
        let failed = |cause: String| TransportError { address, cause };
        let stream =
            TcpStream::connect(address).await.map_err(|cause| failed(cause.to_string()))?;
        stream.set_nodelay(true).map_err(|cause| failed(cause.to_string()))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|cause| failed(cause.to_string()))?;
        // Ends with the connection; what goes wrong there also fails the request.
        tokio::spawn(connection);
        Ok(Self { address, sender })
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
            .header("host", self.address.to_string())
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
