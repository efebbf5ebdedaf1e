//! Encrypted listeners, certificates that change, callers known by theirs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stemson_server::{AuthConfig, Config, TlsConfig};

use crate::wire::{Serving, config};

const MODELS: &[(&str, &str)] = &[("churn", "gbm_bernoulli")];

/// Signs certificates for servers and callers.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both in PEM.
pub(crate) struct Card {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn card(&self, dns: &[&str], common: &str) -> Card {
        let names: Vec<String> = dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        Card { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A caller who trusts this authority, with a certificate or without.
    fn caller(&self, card: Option<&Card>, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let pem = self.pem();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match card {
            None => builder.with_no_client_auth(),
            Some(card) => {
                let chain = CertificateDer::from_pem_slice(card.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(card.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![chain.expect("PEM")], key).expect("they fit")
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(card: &Card, client_ca: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        files.write(card);
        fs::write(files.path("ca.pem"), client_ca).expect("a file");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, card: &Card) {
        let put = |name: &str, text: &str| {
            fs::write(self.path("next"), text).expect("a file");
            fs::rename(self.path("next"), self.path(name)).expect("the same folder");
        };
        put("key.pem", &card.key);
        put("cert.pem", &card.certificate);
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.path("cert.pem")),
            key: Some(self.path("key.pem")),
            ..TlsConfig::default()
        }
    }
}

/// The first line of the answer to one request; else why there is none.
fn ask(address: SocketAddr, caller: &Arc<ClientConfig>, path: &str) -> Result<String, String> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(caller), name).expect("a client");
    let stream = TcpStream::connect(address).map_err(|cause| cause.to_string())?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout");
    let mut stream = StreamOwned::new(connection, stream);
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(|cause| cause.to_string())?;
    let mut answer = String::new();
    // A caller whose certificate is missed hears of it when he reads.
    stream.read_to_string(&mut answer).map_err(|cause| cause.to_string())?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn all_listeners_are_encrypted_and_certificates_change_while_they_serve() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old.card(&["localhost"], "server"), &old.pem());
    let serving = Serving::start(Config { tls: files.tls(), ..config() }, MODELS);
    let (by_old, by_new) = (old.caller(None, "http/1.1"), new.caller(None, "http/1.1"));
    for address in [serving.addresses.http, serving.addresses.admin] {
        assert_eq!(ask(address, &by_old, "/healthz"), Ok("HTTP/1.1 200 OK".to_owned()));
        assert!(ask(address, &by_new, "/healthz").is_err(), "another authority");
    }
    // Who speaks in the clear hears nothing.
    let mut plain = TcpStream::connect(serving.addresses.http).expect("it listens");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    files.write(&new.card(&["localhost"], "server"));
    let deadline = Instant::now() + Duration::from_mins(1);
    while ask(serving.addresses.http, &by_new, "/healthz").is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not taken");
    }
    assert!(ask(serving.addresses.http, &by_old, "/healthz").is_err());
}

#[test]
fn http_2_is_spoken_with_whoever_offers_it() {
    let authority = Authority::new();
    let files = Files::new(&authority.card(&["localhost"], "server"), &authority.pem());
    let serving = Serving::start(Config { tls: files.tls(), ..config() }, MODELS);
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(authority.caller(None, "h2"), name).expect("a client");
    let stream = TcpStream::connect(serving.addresses.http).expect("it listens");
    let mut stream = StreamOwned::new(connection, stream);
    // The preface and empty settings; the server's settings come back.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("written");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS: {frame:?}");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
}

fn keys(folder: &Path) -> AuthConfig {
    let path = folder.join("keys.toml");
    fs::write(&path, "[[key]]\nid = \"shop\"\nscopes = [\"read\"]\n").expect("a file");
    AuthConfig { keys_file: Some(path), ..AuthConfig::default() }
}

#[test]
fn a_client_certificate_is_a_key() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.card(&["localhost"], "server"), &authority.pem());
    let tls = TlsConfig { client_ca: Some(files.path("ca.pem")), ..files.tls() };
    let auth = keys(files.folder.path());
    let serving = Serving::start(Config { tls, auth, ..config() }, MODELS);
    let shop = authority.card(&[], "shop");
    let by_name = authority.card(&["other.example", "shop"], "x");
    let nobody = authority.card(&["nobody.example"], "nobody");
    for (card, path, expected) in [
        (Some(&shop), "/v2/models/churn", "HTTP/1.1 200 OK"),
        (Some(&by_name), "/v2/models/churn", "HTTP/1.1 200 OK"),
        (Some(&nobody), "/v2/models/churn", "HTTP/1.1 401 Unauthorized"),
        (None, "/v2/models/churn", "HTTP/1.1 401 Unauthorized"),
        (None, "/healthz", "HTTP/1.1 200 OK"),
    ] {
        let caller = authority.caller(card, "http/1.1");
        let found = ask(serving.addresses.http, &caller, path);
        assert_eq!(found.as_deref(), Ok(expected), "{path}");
    }
    // Signed by somebody else.
    let forged = stranger.card(&[], "shop");
    let caller = authority.caller(Some(&forged), "http/1.1");
    assert!(ask(serving.addresses.http, &caller, "/healthz").is_err());
}

#[test]
fn a_certificate_can_be_asked_of_everybody() {
    let authority = Authority::new();
    let files = Files::new(&authority.card(&["localhost"], "server"), &authority.pem());
    let client_ca = Some(files.path("ca.pem"));
    let tls = TlsConfig { client_ca, client_certificate_required: true, ..files.tls() };
    let serving = Serving::start(Config { tls, ..config() }, MODELS);
    let card = authority.card(&[], "anybody");
    let with = authority.caller(Some(&card), "http/1.1");
    assert_eq!(ask(serving.addresses.http, &with, "/v1/models"), Ok("HTTP/1.1 200 OK".to_owned()));
    let without = authority.caller(None, "http/1.1");
    assert!(ask(serving.addresses.http, &without, "/healthz").is_err());
}
