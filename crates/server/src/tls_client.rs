//! Encryption of what we ask of others: whom we trust, and who we say that we are.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::tls::{certificates, read};

/// Whom a client trusts, and the certificate that it shows. All files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Who signs certificates of servers; without it, whom the system trusts (`SSL_CERT_FILE`
    /// names a file of them).
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to whoever asks for one.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// In words: which file is wrong, and how.
    pub fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|bad| format!("{}: {bad}", path.display()))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let why =
                        "this machine trusts no certificate authority (SSL_CERT_FILE names one)";
                    return Err(why.to_owned());
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|bad| bad.to_string())?
            .with_root_certificates(roots);
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
                    .map_err(|bad| format!("{}: no private key in PEM: {bad}", key.display()))?;
                builder.with_client_auth_cert(chain, secret).map_err(|bad| {
                    format!("{} and {} do not fit: {bad}", certificate.display(), key.display())
                })?
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err("a client certificate and its key are needed together".to_owned());
            }
        };
        Ok(Arc::new(config))
    }
}
