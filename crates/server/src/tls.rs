//! Encryption of the listeners by rustls, and callers known by a certificate.
//!
//! One certificate for all listeners, read again when its files change; a handshake takes the one
//! that is there when it begins. A client certificate that the configured authority has signed gives
//! names; `auth` looks for a key with one of them as its id.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Where certificates are. Each field is a key of `[tls]`.
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// The server's certificate and those between it and its authority, in PEM (`certificate`).
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM (`key`).
    pub key: Option<PathBuf>,
    /// Who signs certificates of callers, in PEM (`client_ca`).
    pub client_ca: Option<PathBuf>,
    /// Whether callers without a certificate are turned away in the handshake
    /// (`client_certificate_required`).
    pub client_certificate_required: bool,
}

/// What handshakes are made with.
#[derive(Debug)]
pub(crate) struct Tls(ArcSwap<ServerConfig>);

impl TlsConfig {
    pub(crate) fn is_on(&self) -> bool {
        self.certificate.is_some() || self.key.is_some() || self.client_ca.is_some()
    }

    /// Refuses a demand that nothing could enforce.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.client_certificate_required && !self.requires_certificates() {
            return Err(
                "`client_certificate_required` needs `client_ca`, who signs certificates of \
                        callers, and `certificate` and `key` of the server"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Whether nobody comes in without a certificate that the authority has signed.
    pub(crate) fn requires_certificates(&self) -> bool {
        let can_check =
            self.certificate.is_some() && self.key.is_some() && self.client_ca.is_some();
        self.client_certificate_required && can_check
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        [&self.certificate, &self.key, &self.client_ca].into_iter().flatten().cloned().collect()
    }

    /// Reads the files; says which one is wrong, and how.
    fn read(&self) -> Result<ServerConfig, String> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Err("`certificate` and `key` are needed together".to_owned());
        };
        let chain = certificates(certificate)?;
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|bad| format!("{}: no private key in PEM: {bad}", key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|bad| bad.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|bad| format!("{}: {bad}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = if self.client_certificate_required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier.build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|bad| format!("{}: {bad}", path.display()))?,
                )
            }
        };
        let mut config = builder.with_single_cert(chain, secret).map_err(|bad| {
            format!("{} and {} do not fit: {bad}", certificate.display(), key.display())
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|bad| format!("{}: no certificate in PEM: {bad}", path.display()))?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate in PEM", path.display()));
    }
    Ok(chain)
}

impl Tls {
    pub(crate) fn open(config: &TlsConfig) -> Result<Self, String> {
        Ok(Self(ArcSwap::from_pointee(config.read()?)))
    }

    /// Takes what the files hold now; else everything stays as it was.
    pub(crate) fn reload(&self, config: &TlsConfig) -> Result<(), String> {
        self.0.store(Arc::new(config.read()?));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// The names that a verified certificate gives its owner: DNS names and URIs of the extension, then
/// the common name of the subject, which older tools write.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let mut names: Vec<String> = parsed.valid_dns_names().map(str::to_owned).collect();
    names.extend(parsed.valid_uri_names().map(str::to_owned));
    names.extend(common_name(certificate));
    names
}

/// One element of DER: its tag, what is in it, what stands behind it. Lengths of up to four bytes.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The last common name (2.5.4.3) of the subject.
fn common_name(certificate: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 0x04, 0x03];
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, mut subject, _) = element(rest)? else {
        return None;
    };
    let mut found = None;
    while let Some((_, set, behind)) = element(subject) {
        subject = behind;
        let (_, attribute, _) = element(set)?;
        if let Some(value) = attribute.strip_prefix(COMMON_NAME) {
            let (_, text, _) = element(value)?;
            found = std::str::from_utf8(text).ok().map(str::to_owned);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[&str], common: &str) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    #[test]
    fn a_certificate_names_its_owner() {
        let long = "x".repeat(300);
        for (dns, common) in
            [(&["shop.example", "b.example"][..], "shop"), (&[], &long), (&[], "é")]
        {
            let mut expected: Vec<&str> = dns.to_vec();
            expected.push(common);
            assert_eq!(names(&certificate(dns, common)), expected);
        }
        assert_eq!(names(&CertificateDer::from(vec![0x30, 0x84])), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn damaged_certificates_do_no_harm(at in 0..500_usize, byte: u8, cut in 0..600_usize) {
            let mut bytes = certificate(&["a.example"], "shop").to_vec();
            let place = at % bytes.len();
            bytes[place] = byte;
            bytes.truncate(cut);
            drop(common_name(&bytes));
        }
    }

    #[test]
    fn what_is_wrong_with_the_files_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            Some(path)
        };
        let (one, other) =
            (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let pem = params.self_signed(&one).expect("a certificate").pem();
        let good = write("good.pem", &pem);
        for (certificate, key, words) in [
            (good.clone(), None, "needed together"),
            (good.clone(), write("empty", ""), "no private key"),
            (write("none.pem", "hello"), write("key", &one.serialize_pem()), "no certificate"),
            (good.clone(), write("other", &other.serialize_pem()), "do not fit"),
            (good, Some(folder.path().join("nowhere")), "nowhere"),
        ] {
            let config = TlsConfig { certificate, key, ..TlsConfig::default() };
            let error = Tls::open(&config).expect_err(words);
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
