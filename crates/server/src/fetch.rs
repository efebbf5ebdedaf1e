//! Small things that the server itself asks for over HTTP or HTTPS: keys of tokens; and what it
//! tells others: traces, metrics. Blocks; never called on the reactor.

use std::io::Error;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::tls_client::ClientTls;
use crate::turns::Turns;

/// For everything together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether nobody between here and there could answer in place of `url`: `https`, or `http` to this
/// machine.
pub(crate) fn is_confidential(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_this_machine),
        _ => false,
    }
}

/// Whether a host is called as only this machine calls itself: `localhost`, a loopback address.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |it| it.to_canonical().is_loopback())
}

/// A URL as it may be shown: without what stands for a password in it.
pub fn shown_url(url: &str) -> String {
    const SECRETS: [&str; 5] = ["pass", "token", "key", "secret", "sig"];
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut shown = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    match place.rsplit_once('@') {
        Some((user, place)) => {
            // A name alone may be a token.
            let name = user.split_once(':').map_or("", |(name, _)| name);
            let colon = if user.contains(':') { ":" } else { "" };
            shown.extend([name, colon, "***@", place]);
        }
        None => shown.push_str(place),
    }
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_secret = SECRETS.iter().any(|word| name.to_ascii_lowercase().contains(word));
        shown.push(if index == 0 { '?' } else { '&' });
        shown.extend([name, "=", if is_secret { "***" } else { value }]);
    }
    shown
}

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

/// Sends a request over a stream of its own.
pub(crate) async fn send<S>(
    stream: S,
    request: Request<Body>,
) -> Result<hyper::Response<hyper::body::Incoming>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(Turns::new(stream));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(Error::other)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(Error::other)
}

/// Trusts whom the system trusts.
fn client_tls() -> Result<Arc<rustls::ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let config = ClientTls::default().read()?;
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for (url, fine) in [
            ("https://id.example/jwks.json", true),
            ("http://localhost:8000/jwks.json", true),
            ("http://127.0.0.1/jwks", true),
            ("http://[::1]:80/jwks", true),
            ("http://id.example/jwks.json", false),
            ("http://localhost.example/jwks.json", false),
            ("http://10.0.0.1/jwks", false),
            ("ftp://localhost/jwks", false),
            ("http://", false),
        ] {
            assert_eq!(is_confidential(url), fine, "{url}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("https://id.example/jwks.json", "https://id.example/jwks.json"),
            ("https://me:geheim@id.example/a", "https://me:***@id.example/a"),
            ("https://geheim@id.example/a", "https://***@id.example/a"),
            ("redis+unix:///s?pass=geheim&db=1", "redis+unix:///s?pass=***&db=1"),
            ("http://c:4318/?api_key=geheim", "http://c:4318/?api_key=***"),
            ("http://c:4318/?a&b=2", "http://c:4318/?a=&b=2"),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
        }
    }
}
