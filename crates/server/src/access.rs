//! Who callers are and how listeners are encrypted: made from the configuration, and kept up while
//! its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Auth, JwksSource, Keyring, TokenConfig, Tokens, read_bounded};
use crate::config::{Config, StartError, is_loopback};
use crate::fetch::{self, shown_url};
use crate::tls::{Tls, TlsConfig};
use crate::upkeep::Watched;

/// How often keys of tokens are fetched again.
const JWKS_PERIOD: Duration = Duration::from_mins(5);

/// Bytes of a JWKS that is taken.
const JWKS_BYTES_MAX: usize = 1 << 20;

/// What the files of the configuration say of callers.
pub(crate) struct Access {
    pub(crate) auth: Arc<Auth>,
    pub(crate) tls: Option<Arc<Tls>>,
    /// How all of it is read again.
    pub(crate) watched: Vec<Watched>,
}

/// Reads keys and certificates for the first time, and says how they are read again.
pub(crate) fn open(config: &Config) -> Result<Access, StartError> {
    let listeners = [Some(config.http), config.grpc.address(), Some(config.admin)];
    let is_all_loopback = listeners.into_iter().flatten().all(is_loopback);
    let auth = Arc::new(Auth::new(config.auth.is_on(), is_all_loopback));
    let mut watched = Vec::new();
    if let Some(path) = &config.auth.keys_file {
        auth.set_keys(Keyring::read(path)?);
        watched.push(keys(&auth, path));
    }
    let tokens = &config.auth.tokens;
    if let Some(source) = &tokens.jwks {
        if let JwksSource::Url(url) = source
            && !fetch::is_confidential(url)
        {
            let source_name = shown_url(url);
            let message =
                "keys that anybody on the way could exchange: expected https://, or http:// \
                           to this machine"
                    .to_owned();
            return Err(StartError::Jwks { source_name, message });
        }
        match (source, read_tokens(tokens, source)) {
            (_, Ok(read)) => auth.set_tokens(read),
            // Whoever gives out tokens may be away for now; without them, nobody gets in by one.
            (JwksSource::Url(url), Err(why)) => {
                let url = shown_url(url);
                tracing::error!(what = "jwks", "{url}: {why}; tried again every five minutes");
            }
            (JwksSource::File(path), Err(message)) => {
                let source_name = path.display().to_string();
                return Err(StartError::Jwks { source_name, message });
            }
        }
        watched.push(jwks(&auth, tokens, source));
    }
    let tls = if config.tls.is_on() {
        let tls = Arc::new(Tls::open(&config.tls).map_err(StartError::Tls)?);
        watched.push(certificates(&tls, &config.tls));
        Some(tls)
    } else {
        None
    };
    Ok(Access { auth, tls, watched })
}

fn keys(auth: &Arc<Auth>, path: &Path) -> Watched {
    let (auth, path) = (Arc::clone(auth), path.to_owned());
    Watched {
        name: "keys",
        files: vec![path.clone()],
        every: None,
        reload: Box::new(move || {
            let keys = Keyring::read(&path).map_err(|bad| crate::error::with_source(&bad))?;
            let news = format!("{} keys read from {}", keys.len(), path.display());
            auth.set_keys(keys);
            Ok(news.into())
        }),
    }
}

fn jwks(auth: &Arc<Auth>, tokens: &TokenConfig, source: &JwksSource) -> Watched {
    let (auth, tokens, source) = (Arc::clone(auth), tokens.clone(), source.clone());
    let (files, every) = match &source {
        JwksSource::File(path) => (vec![path.clone()], None),
        JwksSource::Url(_) => (Vec::new(), Some(JWKS_PERIOD)),
    };
    Watched {
        name: "jwks",
        files,
        every,
        reload: Box::new(move || {
            auth.set_tokens(read_tokens(&tokens, &source)?);
            Ok("keys of tokens read".to_owned().into())
        }),
    }
}

fn certificates(tls: &Arc<Tls>, config: &TlsConfig) -> Watched {
    let (tls, config) = (Arc::clone(tls), config.clone());
    Watched {
        name: "certificates",
        files: config.files(),
        every: None,
        reload: Box::new(move || {
            tls.reload(&config)?;
            Ok("certificates read".to_owned().into())
        }),
    }
}

fn read_tokens(config: &TokenConfig, source: &JwksSource) -> Result<Tokens, String> {
    let text = match source {
        JwksSource::File(path) => read_bounded(path).map_err(|cause| cause.to_string())?,
        JwksSource::Url(url) => {
            let body = fetch::get(url, JWKS_BYTES_MAX)?;
            String::from_utf8(body).map_err(|_| "the answer is no UTF-8".to_owned())?
        }
    };
    Tokens::parse(config, &text)
}
