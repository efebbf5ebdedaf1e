//! Who may do what: keys, tokens, client certificates, quotas.
//!
//! [`Auth::authorize`] is the one question, whatever the protocol: the headers (gRPC: the metadata,
//! which are headers too), who is at the other end, what the request [`Need`]s, and the model where
//! it is known. Its answer is the [`Caller`], or a [`Refusal`] 401, 403 or 429. HTTP asks it in
//! `front`, from [`need::of`]; gRPC asks it per method. Whoever learns the model only later asks
//! [`Caller::check_model`] then: `routes::predict` does so for every prediction over HTTP.
//!
//! Without keys, tokens and certificate authorities everybody is the anonymous caller, who may do
//! everything, except that the admin routes of the inference listeners answer him only while every
//! listener is on loopback.
//!
//! A secret is never kept: `keys.toml` holds SHA-256 digests, which are compared in constant time.

mod jwt;
mod jwt_ring;
mod keys;
pub(crate) mod need;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwapOption;
use axum::http::{Extensions, HeaderMap, HeaderName, header};
use stemson_serving::Quota;

use crate::error::Refusal;
use crate::front::Arrival;
pub(crate) use jwt::Tokens;
pub use jwt::{JwksSource, TokenConfig};
pub use keys::KeysError;
pub(crate) use keys::{Keyring, read_bounded};
pub(crate) use need::Need;

/// Where callers are known from. Each field is a key of `[auth]`.
#[derive(Debug, Clone, Default)]
pub struct AuthConfig {
    /// API keys (`keys_file`); read again when it changes.
    pub keys_file: Option<PathBuf>,
    /// Tokens (`jwks`, `issuer`, `audience`, ...).
    pub tokens: TokenConfig,
}

impl AuthConfig {
    /// Whether callers must be known.
    pub(crate) fn is_on(&self) -> bool {
        self.keys_file.is_some() || self.tokens.jwks.is_some()
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes {
    pub(crate) predict: bool,
    pub(crate) read: bool,
    pub(crate) admin: bool,
}

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// `--http` and `--grpc`.
    Inference,
    /// `--admin`.
    Admin,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Entrance,
    /// Whether other machines reach the listener.
    pub(crate) is_public: bool,
    /// The names that a verified client certificate gives him: one may be a key's id.
    pub(crate) certificates: Vec<String>,
}

/// Somebody who was recognised.
#[derive(Debug, PartialEq)]
pub(crate) struct Identity {
    /// The key's id, or `sub` of a token.
    pub(crate) id: Arc<str>,
    pub(crate) scopes: Scopes,
    /// None: all models.
    pub(crate) models: Option<Vec<String>>,
    /// Seconds since 1970 from which it is worth nothing.
    pub(crate) expires: Option<u64>,
    pub(crate) rate_per_second: Option<f64>,
}

/// Who asks; none is the anonymous caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Arc<Identity>>);

/// What is known of callers. One per server; what it holds is exchanged while it is used.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    keys: ArcSwapOption<Keyring>,
    tokens: ArcSwapOption<Tokens>,
    quotas: Mutex<HashMap<Arc<str>, (f64, Quota)>>,
    /// Keys are asked for, whether or not any could be read yet.
    is_on: bool,
    /// No listener can be reached from other machines.
    is_all_loopback: bool,
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Bytes of a key or token that is looked at.
const SECRET_BYTES_MAX: usize = 16 << 10;

impl Auth {
    /// `is_on`: whether anything is configured that a caller could be known by.
    pub(crate) fn new(is_on: bool, is_all_loopback: bool) -> Self {
        Self { is_on, is_all_loopback, ..Self::default() }
    }

    /// Whether callers must be known.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Puts other keys in place of those that were there.
    pub(crate) fn set_keys(&self, keys: Keyring) {
        self.keys.store(Some(Arc::new(keys)));
    }

    /// Puts other token keys in place of those that were there.
    pub(crate) fn set_tokens(&self, tokens: Tokens) {
        self.tokens.store(Some(Arc::new(tokens)));
    }

    /// May this request go on? `model`: its deployment, where the request names one already.
    pub(crate) fn authorize(
        &self,
        headers: &HeaderMap,
        visitor: &Visitor,
        need: Need,
        model: Option<&str>,
    ) -> Result<Caller, Refusal> {
        if need == Need::Nothing || (need == Need::Metrics && !visitor.is_public) {
            return Ok(Caller::default());
        }
        if !self.is_on {
            let is_far = need == Need::Admin && visitor.entrance == Entrance::Inference;
            return if is_far && !self.is_all_loopback {
                Err(Refusal::Forbidden(
                    "without keys, administration answers on the admin listener only".to_owned(),
                ))
            } else {
                Ok(Caller::default())
            };
        }
        let identity = self.recognise(headers, visitor)?;
        let caller = Caller(Some(Arc::clone(&identity)));
        need.check(&identity)?;
        if let Some(model) = model {
            caller.check_model(model)?;
        }
        if let Some(rate) = identity.rate_per_second {
            self.take_quota(&identity.id, rate, Instant::now())?;
        }
        Ok(caller)
    }

    /// May a caller who was let in for less administer too?
    pub(crate) fn check_admin(&self, caller: &Caller) -> Result<(), Refusal> {
        match &caller.0 {
            Some(identity) => Need::Admin.check(identity),
            None if !self.is_on && self.is_all_loopback => Ok(()),
            None => Err(Refusal::Forbidden(
                "without keys, administration answers on the admin listener only".to_owned(),
            )),
        }
    }

    /// One more request of a caller who was let in, over a stream that stays open.
    pub(crate) fn take_again(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(identity) = &caller.0 else {
            return Ok(());
        };
        let Some(rate) = identity.rate_per_second else {
            return Ok(());
        };
        self.take_quota(&identity.id, rate, Instant::now())
    }

    fn recognise(&self, headers: &HeaderMap, visitor: &Visitor) -> Result<Arc<Identity>, Refusal> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let keys = self.keys.load();
        let identity = match secret(headers)? {
            Some(secret) => {
                let key = keys.as_ref().and_then(|keys| keys.find(secret));
                match (key, self.tokens.load().as_ref()) {
                    (Some(key), _) => key,
                    (None, Some(tokens)) if jwt::is_token(secret) => {
                        tokens.verify(secret).map_err(Refusal::Unauthorized)?
                    }
                    (None, _) => return Err(unauthorized("the key is not known")),
                }
            }
            None if visitor.certificates.is_empty() => {
                return Err(unauthorized(
                    "a key is needed: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
                ));
            }
            None => {
                let by_name = |name: &String| keys.as_ref()?.by_id(name);
                let unknown = || {
                    let names = visitor.certificates.join("`, `");
                    Refusal::Unauthorized(format!("no key has an id of the certificate: `{names}`"))
                };
                visitor.certificates.iter().find_map(by_name).ok_or_else(unknown)?
            }
        };
        if identity.expires.is_some_and(|end| end <= now) {
            return Err(unauthorized("the key has expired"));
        }
        Ok(identity)
    }

    fn take_quota(&self, id: &Arc<str>, rate: f64, now: Instant) -> Result<(), Refusal> {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, quota) =
            quotas.entry(Arc::clone(id)).or_insert_with(|| (rate, Quota::new(rate, now)));
        if *known != rate {
            (*known, *quota) = (rate, Quota::new(rate, now));
        }
        quota.take(now).map_err(|retry_after| Refusal::QuotaExceeded { retry_after })
    }
}

fn unauthorized(text: &str) -> Refusal {
    Refusal::Unauthorized(text.to_owned())
}

/// The key or token that the caller shows. Two that differ are a mistake, not a choice.
fn secret(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let bearer = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let text = value.to_str().ok().and_then(|text| text.split_once(' '));
            match text {
                Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
                    Some(secret.trim())
                }
                _ => return Err(unauthorized("`authorization` must be `Bearer KEY`")),
            }
        }
        None => None,
    };
    let key = headers.get(API_KEY).map(|value| value.to_str().unwrap_or("").trim());
    match (bearer, key) {
        (Some(one), Some(other)) if one != other => {
            Err(unauthorized("`authorization` and `x-api-key` show different keys"))
        }
        (Some(secret), _) | (None, Some(secret)) if secret.len() > SECRET_BYTES_MAX => {
            Err(unauthorized("the key is not known"))
        }
        (secret, other) => Ok(secret.or(other)),
    }
}

impl Caller {
    /// The key's id; none for the anonymous caller.
    pub(crate) fn id(&self) -> Option<&str> {
        self.0.as_deref().map(|identity| &*identity.id)
    }

    /// Who asks, as the front has found.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Arrival>().map(|arrival| arrival.caller.clone()).unwrap_or_default()
    }

    /// Whether a list that this caller is shown has `model` in it.
    pub(crate) fn sees(&self, model: &str) -> bool {
        self.check_model(model).is_ok()
    }

    /// May this caller ask for `model`?
    pub(crate) fn check_model(&self, model: &str) -> Result<(), Refusal> {
        let models = self.0.as_deref().and_then(|identity| identity.models.as_ref());
        match models {
            Some(models) if models.iter().all(|known| known != model) => {
                Err(Refusal::Forbidden(format!(
                    "the key `{}` is not for the model `{}`",
                    self.id().unwrap_or("-"),
                    model.chars().take(128).collect::<String>()
                )))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(self.predict, "predict"), (self.read, "read"), (self.admin, "admin")];
        let words: Vec<&str> = named.iter().filter(|it| it.0).map(|it| it.1).collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests;
