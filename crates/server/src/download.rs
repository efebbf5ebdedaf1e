//! Artifacts that a caller names by URL.
//!
//! A server that fetches what it is told is a way into its network. So it fetches from the hosts of
//! `[admin] allowed_hosts` alone; a name is looked up once, its addresses are judged, and what was
//! judged is what is connected to; redirects stay at the host; there is an end to bytes and to time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::uri::PathAndQuery;
use axum::http::{Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::fetch;
use crate::tls_client::ClientTls;

/// For a connection, for the head of an answer, and for each next part of a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// For all together.
const TIME_MAX: Duration = Duration::from_mins(15);

const REDIRECTS_MAX: usize = 5;

/// Bytes that are set aside because an answer says that they will come.
const BELIEVED_BYTES: u64 = 64 << 20;

/// What a URL looks like.
const EXPECTED: &str = "expected https://HOST/PATH";

/// Where artifacts may be fetched from. Each field is a key of `[admin]`.
#[derive(Debug, Clone, Default)]
pub struct DownloadConfig {
    /// The hosts (`allowed_hosts`).
    pub hosts: Vec<Origin>,
    /// Whether their names may lead into private networks, or to this machine
    /// (`allow_private_addresses`).
    pub allow_private_addresses: bool,
    /// Who signs their certificates (`hosts_ca`), where it is not whom the system trusts.
    pub tls: ClientTls,
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_tls: bool,
    /// In lower case, without brackets.
    host: String,
    port: u16,
}

/// Why there is no artifact at a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// It names no place on the network.
    #[error("`url`: {0}")]
    Malformed(&'static str),
    /// Nobody vouches for the bytes.
    #[error("`sha256` must stand beside a `url` of http: on the way anybody may change the bytes")]
    NoDigest,
    /// The configuration does not name the host.
    #[error("{0} is not among [admin] allowed_hosts")]
    Host(Origin),
    /// The host's name leads where it should not.
    #[error(
        "{origin} leads to {address}, {what}: [admin] allow_private_addresses lets names lead into \
         private networks, and allowed_hosts may name an address itself"
    )]
    Address {
        /// The host.
        origin: Origin,
        /// Its address.
        address: IpAddr,
        /// What sort of address that is.
        what: &'static str,
    },
    /// The host sends us elsewhere.
    #[error("{origin} sends us on to {to}, which is not followed: name the last address")]
    Redirect {
        /// The host.
        origin: Origin,
        /// Where to.
        to: String,
    },
    /// The host does not answer, or not whole.
    #[error("cannot fetch from {origin}: {cause}")]
    Unreachable {
        /// The host.
        origin: Origin,
        /// Why.
        cause: String,
    },
    /// The host says no.
    #[error("{origin} answers {status}")]
    Status {
        /// The host.
        origin: Origin,
        /// Its status.
        status: u16,
    },
    /// Beyond the limit.
    #[error("the artifact at {origin} is larger than {bytes_max} bytes ([limits] artifact_mib)")]
    TooLarge {
        /// The host.
        origin: Origin,
        /// The limit.
        bytes_max: u64,
    },
}

impl DownloadError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "bad_url",
            Self::NoDigest => "digest_missing",
            Self::Host(_) => "host_not_allowed",
            Self::Address { .. } => "address_not_allowed",
            Self::Redirect { .. } => "redirect_not_allowed",
            Self::Unreachable { .. } => "url_unreachable",
            Self::Status { .. } => "url_refused",
            Self::TooLarge { .. } => "artifact_too_large",
        }
    }
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, DownloadError> {
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(DownloadError::Malformed(EXPECTED)),
        };
        let authority = uri.authority().ok_or(DownloadError::Malformed("it names no host"))?;
        if authority.as_str().contains('@') {
            let why = "a name and a password have no place in it";
            return Err(DownloadError::Malformed(why));
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        if host.is_empty() || port == 0 {
            return Err(DownloadError::Malformed("it names no host"));
        }
        Ok(Self { is_tls, host, port })
    }

    /// The address itself, if the host is one.
    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_tls, host, port } = self;
        let scheme = if *is_tls { "https" } else { "http" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl FromStr for Origin {
    type Err = DownloadError;

    /// `HOST` or `HOST:PORT` for https, or `http://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: Uri = whole.parse().map_err(|_| DownloadError::Malformed(EXPECTED))?;
        if !matches!(uri.path_and_query().map(PathAndQuery::as_str), None | Some("/" | "")) {
            return Err(DownloadError::Malformed("expected a host without a path"));
        }
        Self::of(&uri)
    }
}

/// Fetches artifacts.
#[derive(Debug)]
pub(crate) struct Downloads {
    hosts: Vec<Origin>,
    allow_private_addresses: bool,
    /// What is wrong with whom the system trusts is said when somebody is to be trusted.
    tls: Result<Arc<ClientConfig>, String>,
}

impl Downloads {
    /// # Errors
    /// In words: the file of the authority cannot be used.
    pub(crate) fn open(config: &DownloadConfig) -> Result<Self, String> {
        let is_tls = config.hosts.iter().any(|host| host.is_tls);
        let tls = if is_tls { config.tls.read() } else { Err("no https".to_owned()) };
        if let (Err(why), true, Some(_)) = (&tls, is_tls, &config.tls.ca) {
            return Err(format!("hosts_ca: {why}"));
        }
        let hosts = config.hosts.clone();
        let allow_private_addresses = config.allow_private_addresses;
        Ok(Self { hosts, allow_private_addresses, tls })
    }

    /// The bytes at `url`, at most `bytes_max`. `has_digest`: the caller says what they must be.
    pub(crate) async fn get(
        &self,
        url: &str,
        has_digest: bool,
        bytes_max: u64,
    ) -> Result<Bytes, DownloadError> {
        let mut uri: Uri = url.parse().map_err(|_| DownloadError::Malformed(EXPECTED))?;
        let origin = Origin::of(&uri)?;
        if !self.hosts.contains(&origin) {
            return Err(DownloadError::Host(origin));
        }
        if !origin.is_tls && !has_digest {
            return Err(DownloadError::NoDigest);
        }
        let fetch = async {
            for _ in 0..=REDIRECTS_MAX {
                let response = self.ask(&origin, &uri).await?;
                match response.status() {
                    status if status.is_success() => {
                        return read(&origin, response, bytes_max).await;
                    }
                    status if status.is_redirection() => uri = next(&origin, &uri, &response)?,
                    status => {
                        let (origin, status) = (origin.clone(), status.as_u16());
                        return Err(DownloadError::Status { origin, status });
                    }
                }
            }
            let to = "itself, again and again".to_owned();
            Err(DownloadError::Redirect { origin: origin.clone(), to })
        };
        let late = |_| unreachable(&origin, format!("not whole within {TIME_MAX:?}"));
        timeout(TIME_MAX, fetch).await.map_err(late)?
    }

    /// Sends the request, and gives the head of its answer.
    async fn ask(&self, origin: &Origin, uri: &Uri) -> Result<Response<Incoming>, DownloadError> {
        let failed = |cause: &dyn fmt::Display| unreachable(origin, cause.to_string());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("stemson/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/zip, application/octet-stream, */*")
            .body(Body::empty())
            .map_err(|bad| failed(&bad))?;
        let answer = async {
            let stream = self.connect(origin).await?;
            if !origin.is_tls {
                return fetch::send(stream, request).await.map_err(|cause| failed(&cause));
            }
            let tls = self.tls.as_ref().map_err(|why| failed(why))?;
            let name = ServerName::try_from(origin.host.clone()).map_err(|bad| failed(&bad))?;
            let connector = TlsConnector::from(Arc::clone(tls));
            let stream = connector.connect(name, stream).await.map_err(|cause| failed(&cause))?;
            fetch::send(stream, request).await.map_err(|cause| failed(&cause))
        };
        timeout(PATIENCE, answer).await.map_err(|_| failed(&"no answer within 30 s"))?
    }

    /// Looks the name up, judges what it leads to, and connects to that.
    async fn connect(&self, origin: &Origin) -> Result<TcpStream, DownloadError> {
        let failed = |cause: std::io::Error| unreachable(origin, cause.to_string());
        if let Some(address) = origin.address() {
            // The configuration names the address itself.
            return TcpStream::connect((address, origin.port)).await.map_err(failed);
        }
        let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
        let found: Vec<SocketAddr> = found.map_err(failed)?.collect();
        for address in &found {
            if let Some(what) = forbidden(address.ip(), self.allow_private_addresses) {
                let (origin, address) = (origin.clone(), address.ip());
                return Err(DownloadError::Address { origin, address, what });
            }
        }
        TcpStream::connect(&*found).await.map_err(failed)
    }
}

async fn read(
    origin: &Origin,
    response: Response<Incoming>,
    bytes_max: u64,
) -> Result<Bytes, DownloadError> {
    let too_large = || DownloadError::TooLarge { origin: origin.clone(), bytes_max };
    let mut body = response.into_body();
    let promised = body.size_hint().lower();
    if promised > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(promised.min(BELIEVED_BYTES) as usize);
    loop {
        let frame = timeout(PATIENCE, body.frame()).await;
        let frame = frame.map_err(|_| unreachable(origin, "it stalls".to_owned()))?;
        let Some(frame) = frame else { return Ok(bytes.into()) };
        let frame = frame.map_err(|cause| unreachable(origin, cause.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
}

fn unreachable(origin: &Origin, cause: String) -> DownloadError {
    DownloadError::Unreachable { origin: origin.clone(), cause }
}

/// Where a redirect leads, if it stays at the host. Its query is a secret, and not shown.
fn next(origin: &Origin, from: &Uri, response: &Response<Incoming>) -> Result<Uri, DownloadError> {
    let status = response.status().as_u16();
    let refused = || DownloadError::Status { origin: origin.clone(), status };
    let location = response.headers().get(header::LOCATION).ok_or_else(refused)?;
    let location = location.to_str().map_err(|_| refused())?;
    let uri = resolved(from, location).ok_or_else(refused)?;
    match Origin::of(&uri) {
        Ok(to) if to == *origin => Ok(uri),
        Ok(to) => Err(DownloadError::Redirect { origin: origin.clone(), to: to.to_string() }),
        Err(_) => Err(refused()),
    }
}

/// What a reference means that was found at `from` (RFC 3986): whole, or from the host, the folder or
/// the query on.
fn resolved(from: &Uri, reference: &str) -> Option<Uri> {
    Url::parse(&from.to_string()).ok()?.join(reference).ok()?.as_str().parse().ok()
}

/// What sort of address it is, if nothing shall be fetched from there.
fn forbidden(address: IpAddr, is_private_fine: bool) -> Option<&'static str> {
    let (what, is_private) = match address.to_canonical() {
        IpAddr::V4(v4) => special_v4(v4)?,
        IpAddr::V6(v6) => special_v6(v6)?,
    };
    (!(is_private && is_private_fine)).then_some(what)
}

/// What an address is if it is not one of the public network, and whether that is a private network or
/// this machine. Source: IANA's registry of special-purpose addresses.
fn special_v4(address: Ipv4Addr) -> Option<(&'static str, bool)> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (127, _, _) => ("this machine", true),
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) => ("a private network", true),
        (100, 64..=127, _) => ("a network of a provider", true),
        // Where clouds tell a machine its secrets.
        (169, 254, _) => ("a link-local address", false),
        (0, _, _) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            ("a reserved address", false)
        }
        (224.., _, _) => ("a multicast or reserved address", false),
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<(&'static str, bool)> {
    let [a, b, ..] = address.segments();
    let [.., w, x, y, z] = address.octets();
    if address.is_loopback() {
        return Some(("this machine", true));
    }
    match (a, b) {
        // Addresses of the old kind inside: translated (RFC 6052), compatible.
        (0x64, 0xff9b) | (0, 0) => {
            special_v4(Ipv4Addr::new(w, x, y, z)).or(Some(("a reserved address", false)))
        }
        (0x2002, _) => Some(("a tunnel's address", false)),
        (0x2001, 0..=0x1ff | 0xdb8) => Some(("a reserved address", false)),
        (0xfc00..=0xfdff, _) => Some(("a private network", true)),
        (0xfe80..=0xfeff, _) => Some(("a link-local address", false)),
        (0xff00.., _) => Some(("a multicast address", false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_host_and_a_port() {
        for (text, expected) in [
            ("models.example", Ok("https://models.example:443")),
            ("Models.Example:8443", Ok("https://models.example:8443")),
            ("https://models.example/", Ok("https://models.example:443")),
            ("http://minio:9000", Ok("http://minio:9000")),
            ("10.0.0.7:9000", Ok("https://10.0.0.7:9000")),
            ("[::1]:9000", Ok("https://[::1]:9000")),
            ("https://models.example/a", Err("without a path")),
            ("https://user:secret@models.example", Err("password")),
            ("ftp://models.example", Err("expected https://")),
            ("", Err("expected https://")),
            ("a b", Err("expected https://")),
        ] {
            match (text.parse::<Origin>(), expected) {
                (Ok(origin), Ok(expected)) => assert_eq!(origin.to_string(), expected),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_redirect_is_resolved() {
        let from = Uri::from_static("https://models.example/a/b.zip?x=1");
        for (reference, whole) in [
            ("c.zip", "https://models.example/a/c.zip"),
            (
                "c.zip?from=http://other.example/d",
                "https://models.example/a/c.zip?from=http://other.example/d",
            ),
            ("?sign=s://t", "https://models.example/a/b.zip?sign=s://t"),
            ("../c.zip", "https://models.example/c.zip"),
            ("/c.zip?u=h://i", "https://models.example/c.zip?u=h://i"),
            ("//other.example/c", "https://other.example/c"),
            ("http://other.example:80/c", "http://other.example/c"),
        ] {
            assert_eq!(
                resolved(&from, reference).map(|uri| uri.to_string()).as_deref(),
                Some(whole)
            );
        }
        assert_eq!(resolved(&from, "https://"), None);
    }

    #[test]
    fn names_lead_to_the_public_network_alone() {
        for (address, in_public, in_private) in [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("127.0.0.1", false, true),
            ("127.8.8.8", false, true),
            ("10.1.2.3", false, true),
            ("172.31.255.255", false, true),
            ("172.32.0.1", true, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("::1", false, true),
            ("fd00::1", false, true),
            ("::ffff:10.0.0.1", false, true),
            ("64:ff9b::a00:1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
            ("2002:a00:1::", false, false),
            ("198.18.0.1", false, false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(forbidden(address, false).is_none(), in_public, "{address}");
            assert_eq!(forbidden(address, true).is_none(), in_private, "{address}");
        }
    }
}
