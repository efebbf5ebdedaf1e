//! Small things that the server itself asks for over HTTP or HTTPS: keys of tokens; and what it
//! tells others: traces, metrics. Blocks; never called on the reactor.

use std::io::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// For everything together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The body at `url`, at most `bytes_max` of it. Redirects are not followed.
pub(crate) fn get(url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let request = Request::get(url).body(Body::empty()).map_err(|bad| bad.to_string())?;
    call(request, bytes_max)
}

/// Sends `body` to `url`; good is any 2xx.
pub(crate) fn post(
    url: &str,
    headers: &[(String, String)],
    content_type: &str,
    body: Vec<u8>,
) -> Result<(), String> {
    let mut request = Request::post(url).header(header::CONTENT_TYPE, content_type);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body)).map_err(|bad| bad.to_string())?;
    call(request, 64 << 10).map(drop)
}

fn call(request: Request<Body>, bytes_max: usize) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| cause.to_string())?;
    let called = runtime
        .block_on(async { tokio::time::timeout(TIMEOUT, exchange(request, bytes_max)).await });
    runtime.shutdown_background();
    called.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

async fn exchange(mut request: Request<Body>, bytes_max: usize) -> Result<Vec<u8>, String> {
    let uri = request.uri().clone();
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("`{uri}` is no http:// or https:// address")),
    };
    let authority = uri.authority().ok_or_else(|| format!("`{uri}` names no host"))?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let host_header = authority.as_str().parse().map_err(|_| "a host that is none".to_owned())?;
    request.headers_mut().insert(header::HOST, host_header);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|bad| bad.to_string())?;

    let words = |cause: Error| format!("cannot reach {host}:{port}: {cause}");
    let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await.map_err(words)?;
    let response = if is_tls {
        let name = ServerName::try_from(host.clone()).map_err(|bad| bad.to_string())?;
        let connector = TlsConnector::from(client_tls()?);
        send(connector.connect(name, stream).await.map_err(words)?, request).await
    } else {
        send(stream, request).await
    }
    .map_err(words)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{host}:{port} answers {status}"));
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    let body: Bytes = body.map_err(|bad| format!("{host}:{port}: {bad}"))?.to_bytes();
    Ok(body.into())
}

async fn send<S>(
    stream: S,
    request: Request<Body>,
) -> Result<hyper::Response<hyper::body::Incoming>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(Error::other)
}

/// Trusts whom the system trusts.
fn client_tls() -> Result<Arc<rustls::ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority (SSL_CERT_FILE names one)".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|bad| bad.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}
