//! `[cache]` of the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{Client, ClientTlsConfig, TlsCertificates};

use crate::config::StartError;
use crate::fetch::shown_url;
use crate::tls;
use crate::tls_client::ClientTls;

/// Longer than this nobody wants to wait for what could be computed.
const BUDGET_MAX: Duration = Duration::from_secs(1);

/// Where answers are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// Where (`backend`).
    pub backend: CacheBackend,
    /// Bytes of memory, for all models together (`max_mib`).
    pub bytes_max: u64,
    /// How long an answer stays that nobody reads (`ttl_seconds`).
    pub ttl: Duration,
    /// Time of computing one row from which on its answer is kept: below it looking costs as much
    /// (`min_cost_us`).
    pub min_cost: Duration,
    /// Time of computing a request's rows from which on Redis is asked; without it, what a question
    /// takes at present (`redis_min_cost_us`, or `"auto"`).
    pub redis_min_cost: Option<Duration>,
    /// Whom to trust where Redis speaks TLS, and the certificate to show (`redis_ca`,
    /// `redis_certificate`, `redis_key`).
    pub redis_tls: ClientTls,
    /// How long a prediction waits for Redis at most (`budget_ms`).
    pub budget: Duration,
    /// Connections to Redis that are kept open (`min_size`).
    pub min_size: usize,
    /// Connections to Redis at most (`max_size`).
    pub max_size: usize,
    /// How often each connection is asked for a sign of life (`check_seconds`).
    pub check_every: Duration,
    /// Models whose answers are not kept (`[[model]] cache = false`).
    pub except: Vec<String>,
}

/// Where answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheBackend {
    /// Nowhere: `none`.
    None,
    /// In this process: `memory`.
    Memory,
    /// In this process, and behind it in a Redis that others may share: its URL.
    Redis(RedisUrl),
}

/// `redis://[user[:password]@]host[:port][/database]`, over TLS `rediss://`. Shown, it keeps its password to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            backend: CacheBackend::Memory,
            bytes_max: 256 << 20,
            ttl: Duration::from_hours(1),
            min_cost: Duration::from_micros(2),
            redis_min_cost: None,
            redis_tls: ClientTls::default(),
            budget: Duration::from_millis(3),
            min_size: 1,
            max_size: 8,
            check_every: Duration::from_secs(5),
            except: Vec::new(),
        }
    }
}

impl CacheConfig {
    pub(super) fn check(&self) -> Result<(), StartError> {
        let wrong =
            |key, message: &str| Err(StartError::Cache { key, message: message.to_owned() });
        if self.max_size == 0 || self.min_size > self.max_size {
            return wrong("max_size", "expected at least 1, and at least min_size");
        }
        if self.budget.is_zero() || self.budget > BUDGET_MAX {
            return wrong("budget_ms", "expected 1 to 1000: a prediction waits for it");
        }
        if self.ttl.is_zero() {
            return wrong("ttl_seconds", "expected at least 1; `backend = \"none\"` keeps nothing");
        }
        if self.check_every.is_zero() {
            return wrong("check_seconds", "expected at least 1");
        }
        Ok(())
    }
}

impl CacheBackend {
    /// `none`, `memory` or a URL of Redis; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "memory" => Self::Memory,
            url => {
                // What stands behind `#` would switch checks of certificates off.
                redis::parse_redis_url(url).filter(|_| !url.contains('#'))?;
                Self::Redis(RedisUrl(url.to_owned()))
            }
        })
    }
}

impl fmt::Display for CacheBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Memory => f.write_str("memory"),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

impl RedisUrl {
    /// Nothing is opened yet; files of certificates are read.
    pub(super) fn client(&self, config: &ClientTls) -> Result<Client, StartError> {
        let wrong = |key, message| StartError::Cache { key, message };
        let read = |key, file: &PathBuf| tls::read(file).map_err(|bad| wrong(key, bad));
        let root_cert = config.ca.as_ref().map(|file| read("redis_ca", file)).transpose()?;
        let client_tls = match (&config.certificate, &config.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientTlsConfig {
                client_cert: read("redis_certificate", certificate)?,
                client_key: read("redis_key", key)?,
            }),
            _ => {
                let why = "is needed together with redis_key".to_owned();
                return Err(wrong("redis_certificate", why));
            }
        };
        let is_said = root_cert.is_some() || client_tls.is_some();
        let client = match (self.0.starts_with("rediss://"), is_said) {
            (true, true) => {
                Client::build_with_tls(&*self.0, TlsCertificates { client_tls, root_cert })
            }
            (false, true) => {
                let why = "means something for a backend of rediss:// alone".to_owned();
                let key = if config.ca.is_some() { "redis_ca" } else { "redis_certificate" };
                return Err(wrong(key, why));
            }
            (_, false) => Client::open(&*self.0),
        };
        client.map_err(|error| wrong("backend", format!("{self}: {error}")))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_word_or_a_url_and_shows_no_password() {
        for (text, shown) in [
            ("none", Some("none")),
            ("memory", Some("memory")),
            ("redis://localhost", Some("redis://localhost")),
            ("redis://10.0.0.1:6380/2", Some("redis://10.0.0.1:6380/2")),
            ("redis://:geheim@cache:6379/0", Some("redis://:***@cache:6379/0")),
            ("redis://me:a:b@cache", Some("redis://me:***@cache")),
            ("redis+unix:///run/s?pass=geheim", Some("redis+unix:///run/s?pass=***")),
            ("rediss://:geheim@cache:6380/0", Some("rediss://:***@cache:6380/0")),
            ("rediss://cache/#insecure", None),
            ("off", None),
            ("http://localhost", None),
            ("", None),
        ] {
            let found = CacheBackend::parse(text).map(|backend| backend.to_string());
            assert_eq!(found.as_deref(), shown, "{text}");
        }
    }
}
