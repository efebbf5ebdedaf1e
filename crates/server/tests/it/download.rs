//! Artifacts that a swap names by URL: from a host that is allowed, over TLS or with a digest, and from
//! nowhere else.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use stemson_mojo::Digest;
use stemson_server::{ClientTls, Config, DownloadConfig, Limits};

use crate::tls::{Authority, Card};
use crate::wire::{Reply, Serving, artifact, config};

const A: &str = "gbm_bernoulli";
const B: &str = "gbm_platt";

/// A store of artifacts, over TLS if there is a card. Its threads end with the process.
struct Store {
    port: u16,
}

impl Store {
    fn start(card: Option<&Card>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let tls = card.map(|card| {
            let chain = CertificateDer::from_pem_slice(card.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(card.key.as_bytes()).expect("a key");
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ServerConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().expect("versions");
            let builder = builder.with_no_client_auth();
            let config = builder.with_single_cert(vec![chain.expect("PEM")], key);
            Arc::new(config.expect("they fit"))
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tls = tls.clone();
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).expect("a connection");
                        drop(serve(StreamOwned::new(connection, stream)));
                    }
                    None => drop(serve(stream)),
                });
            }
        });
        Self { port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }
}

/// Answers one request, by its path.
fn serve(stream: impl Read + Write) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let stream = stream.get_mut();
    let mut say = |status: &str, header: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\n{header}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()
    };
    let to = |location: &str| format!("location: {location}\r\ncontent-length: 0\r\n");
    match path.split('?').next().unwrap_or_default() {
        "/models/b.zip" => {
            let body = artifact(B);
            say("200 OK", &format!("content-length: {}\r\n", body.len()), &body)
        }
        "/models/moved.zip" => say("302 Found", &to("b.zip?signature=secret"), b""),
        "/moved.zip" => say("308 Permanent Redirect", &to("/models/moved.zip"), b""),
        "/away.zip" => say("302 Found", &to("http://169.254.169.254/latest?secret"), b""),
        "/loop.zip" => say("302 Found", &to("/loop.zip"), b""),
        "/nowhere.zip" => say("302 Found", "content-length: 0\r\n", b""),
        "/huge.zip" => say("200 OK", "content-length: 99999999999\r\n", b"PK"),
        "/endless.zip" => loop {
            say("200 OK", "", &vec![0; 1 << 16])?;
        },
        "/cut.zip" => say("200 OK", "content-length: 1000\r\n", b"PK"),
        "/text.zip" => say("200 OK", "content-length: 5\r\n", b"hello"),
        "/silent.zip" => Ok(()),
        _ => say("404 Not Found", "content-length: 0\r\n", b""),
    }
}

fn swap(serving: &Serving, body: &Value) -> Reply {
    let headers = [("content-type", "application/json")];
    let path = "/admin/models/churn/swap";
    serving.admin().send("POST", path, &headers, body.to_string().as_bytes())
}

fn digest() -> String {
    Digest::of(&artifact(B)).to_string()
}

fn allowing(hosts: &[String], allow_private_addresses: bool) -> Serving {
    let hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect();
    let downloads = DownloadConfig { hosts, allow_private_addresses, tls: ClientTls::default() };
    let limits = Limits { artifact_bytes_max: 1 << 20, ..Limits::default() };
    Serving::start(Config { downloads, limits, ..config() }, &[("churn", A)])
}

#[test]
fn an_artifact_is_fetched_from_where_it_may_be() {
    let store = Store::start(None);
    let serving = allowing(&[format!("http://localhost:{}", store.port)], true);
    for path in ["/models/b.zip", "/moved.zip?signature=secret"] {
        let answer = swap(&serving, &json!({"url": store.url(path), "sha256": digest()})).ok();
        assert_eq!((&answer["outcome"], &answer["number"]), (&json!("swapped"), &json!(2)));
        assert_eq!(answer["revision"], digest());
        serving.admin().post("/admin/models/churn/rollback", "").ok();
    }
    // A canary is brought in the same way.
    let body = json!({"url": store.url("/models/b.zip"), "sha256": digest()}).to_string();
    let canary = serving.admin().post("/admin/models/churn/canary?share=0.1", body).ok();
    assert_eq!(canary["canary"]["revision"], digest());
}

#[test]
fn what_is_wrong_with_a_url_is_named_and_changes_nothing() {
    let store = Store::start(None);
    let serving = allowing(&[format!("http://localhost:{}", store.port)], true);
    let url = |path: &str| store.url(path);
    let port = store.port;
    for (url, status, code, words) in [
        (url("/away.zip"), 409, "redirect_not_allowed", "sends us on to http://169.254.169.254"),
        (url("/loop.zip"), 409, "redirect_not_allowed", "again and again"),
        (url("/nowhere.zip"), 409, "url_refused", "answers 302"),
        (url("/none.zip"), 409, "url_refused", "answers 404"),
        (url("/huge.zip"), 413, "artifact_too_large", "larger than 1048576 bytes"),
        (url("/endless.zip"), 413, "artifact_too_large", "artifact_mib"),
        (url("/cut.zip"), 409, "url_unreachable", "cannot fetch from http://localhost"),
        (url("/silent.zip"), 409, "url_unreachable", "cannot fetch from http://localhost"),
        (url("/text.zip"), 409, "digest_mismatch", "expected"),
        ("http://localhost:1/b.zip".to_owned(), 403, "host_not_allowed", "allowed_hosts"),
        (format!("https://localhost:{port}/b.zip"), 403, "host_not_allowed", "https://localhost"),
        (format!("http://127.0.0.1:{port}/b.zip"), 403, "host_not_allowed", "127.0.0.1"),
        (format!("http://localhost.:{port}/b.zip"), 403, "host_not_allowed", "localhost."),
        (format!("http://localhost:{port}@evil.example/b.zip"), 400, "bad_url", "password"),
        ("http://169.254.169.254/latest".to_owned(), 403, "host_not_allowed", "169.254"),
        ("file:///etc/passwd".to_owned(), 400, "bad_url", "https://HOST"),
        ("/models/b.zip".to_owned(), 400, "bad_url", "https://HOST"),
        (String::new(), 400, "bad_url", "https://HOST"),
    ] {
        let message =
            swap(&serving, &json!({"url": url, "sha256": digest()})).refused(status, code);
        assert!(message.contains(words), "{url}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let bare = json!({"url": store.url("/models/b.zip")});
    swap(&serving, &bare).refused(400, "digest_missing");
    let both = json!({"url": store.url("/models/b.zip"), "path": "b.zip"});
    swap(&serving, &both).refused(400, "bad_field");
    let model = &serving.admin().get("/admin/models").ok()["models"][0];
    assert_eq!((&model["number"], &model["previous"]), (&json!(1), &Value::Null));
}

#[test]
fn a_name_that_leads_inside_is_not_followed() {
    let store = Store::start(None);
    let body = json!({"url": store.url("/models/b.zip"), "sha256": digest()});
    let named = allowing(&[format!("http://localhost:{}", store.port)], false);
    let message = swap(&named, &body).refused(403, "address_not_allowed");
    assert!(message.contains("this machine"), "{message}");
    // Who names the address itself means it.
    let meant = allowing(&[format!("http://127.0.0.1:{}", store.port)], false);
    let url = format!("http://127.0.0.1:{}/models/b.zip", store.port);
    swap(&meant, &json!({"url": url, "sha256": digest()})).ok();
    // And nobody at all is asked unless somebody is named.
    let nobody = Serving::start(config(), &[("churn", A)]);
    swap(&nobody, &body).refused(403, "host_not_allowed");
}

#[test]
fn over_tls_the_host_is_who_its_certificate_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: String| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, pem).expect("a file");
        path
    };
    let store = Store::start(Some(&authority.card(&["localhost"], "store")));
    let trusting = |ca: PathBuf| {
        let downloads = DownloadConfig {
            hosts: vec![format!("localhost:{}", store.port).parse().expect("a host")],
            allow_private_addresses: true,
            tls: ClientTls { ca: Some(ca), ..ClientTls::default() },
        };
        Serving::start(Config { downloads, ..config() }, &[("churn", A)])
    };
    let url = format!("https://localhost:{}/models/b.zip", store.port);
    let serving = trusting(file("ca.pem", authority.pem()));
    let wrong = json!({"url": url, "sha256": "0".repeat(64)});
    swap(&serving, &wrong).refused(409, "digest_mismatch");
    // The certificate vouches for the bytes, so a digest may be left out.
    assert_eq!(swap(&serving, &json!({"url": url})).ok()["revision"], digest());
    let serving = trusting(file("stranger.pem", stranger.pem()));
    let message = swap(&serving, &json!({"url": url})).refused(409, "url_unreachable");
    assert!(message.contains("certificate"), "{message}");

    let missing = DownloadConfig {
        hosts: vec!["store.example".parse().expect("a host")],
        tls: ClientTls { ca: Some(folder.path().join("none.pem")), ..ClientTls::default() },
        ..DownloadConfig::default()
    };
    let error = stemson_server::Server::bind(Config { downloads: missing, ..config() });
    let error = error.expect_err("there is no such file");
    assert_eq!(error.kind(), "bad_hosts");
    assert!(error.to_string().contains("none.pem"), "{error}");
}
