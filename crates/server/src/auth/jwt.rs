//! Tokens of others: a JWT whose signature one of the known keys made, for us, and not yet expired.
//!
//! Keys come from a JWKS in a file, or from the one URL that the configuration names; what a token
//! itself points to (`jku`, `x5u`, `jwk`) is never followed. A key verifies the algorithms of its
//! own kind only, so a public key cannot be used as a secret. Secrets (`oct`) count from files only.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use stemson_mojo::Digest;

use super::{Identity, Scopes, jwt_ring};

/// Which tokens count. Each field is a key of `[auth]`.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// Where the keys are (`jwks`); without them no token counts.
    pub jwks: Option<JwksSource>,
    /// `iss` of every token (`issuer`).
    pub issuer: Option<String>,
    /// What must be among `aud` of every token (`audience`).
    pub audience: Option<String>,
    /// Where the scopes stand (`scope_claim`): a name, or names with dots between.
    pub scope_claim: String,
    /// What stands before a scope that is ours (`scope_prefix`), such as `stemson:`.
    pub scope_prefix: String,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            jwks: None,
            issuer: None,
            audience: None,
            scope_claim: "scope".to_owned(),
            scope_prefix: String::new(),
        }
    }
}

/// Where a JWKS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file, read again when it changes.
    File(PathBuf),
    /// At an `https://` address (`http://` for loopback), fetched every five minutes.
    Url(String),
}

/// The keys that tokens are verified with. The default of a server that has none yet knows nobody.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: Vec<Key>,
    config: TokenConfig,
    /// Whom tokens stood for, by their digest: a signature costs more than a prediction.
    known: Mutex<HashMap<Digest, Arc<Identity>>>,
}

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    verifier: DecodingKey,
}

/// Tokens that are remembered; then all are forgotten.
const KNOWN_MAX: usize = 4_096;

/// Seconds by which clocks may differ.
const LEEWAY_SECONDS: u64 = 30;

/// Three parts with dots between, the first one an object in base64url.
pub(super) fn is_token(secret: &str) -> bool {
    secret.starts_with("eyJ") && secret.split('.').count() == 3
}

impl Tokens {
    /// Reads a JWKS; a key of a kind that is not known is left out, as RFC 7517 says.
    pub(crate) fn parse(config: &TokenConfig, jwks: &str) -> Result<Self, String> {
        jwt_ring::install();
        let set: JwkSet =
            serde_json::from_str(jwks).map_err(|bad| format!("this is no JWKS: {bad}"))?;
        let allows_secrets = matches!(config.jwks, Some(JwksSource::File(_)));
        let keys: Vec<Key> =
            set.keys.iter().filter_map(|jwk| Key::of(jwk, allows_secrets)).collect();
        if keys.is_empty() {
            return Err("no key here can verify a signature: expected RSA, EC (P-256, P-384), \
                        OKP (Ed25519), and in files oct"
                .to_owned());
        }
        Ok(Self { keys, config: config.clone(), known: Mutex::default() })
    }

    /// Whom the token stands for; else why it does not count.
    pub(super) fn verify(&self, token: &str) -> Result<Arc<Identity>, String> {
        let digest = Digest::of(token.as_bytes());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known().get(&digest) {
            return Ok(Arc::clone(identity));
        }
        let identity = Arc::new(self.identify(token)?);
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(digest, Arc::clone(&identity));
        Ok(identity)
    }

    fn identify(&self, token: &str) -> Result<Identity, String> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| "the token's header cannot be read".to_owned())?;
        let fits = |key: &&Key| {
            key.algorithms.contains(&header.alg) && (header.kid.is_none() || key.kid == header.kid)
        };
        let mut why = match &header.kid {
            Some(kid) => {
                format!(
                    "no {:?} key is called `{}`",
                    header.alg,
                    kid.chars().take(64).collect::<String>()
                )
            }
            None => format!("no key is for {:?}", header.alg),
        };
        for key in self.keys.iter().filter(fits) {
            match jsonwebtoken::decode::<Map<String, Value>>(
                token,
                &key.verifier,
                &self.validation(header.alg),
            ) {
                Ok(data) => return self.read(&data.claims),
                Err(bad) => why = format!("the token does not count: {}", in_words(&bad)),
            }
        }
        Err(why)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let TokenConfig { issuer, audience, .. } = &self.config;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        match audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn read(&self, claims: &Map<String, Value>) -> Result<Identity, String> {
        let TokenConfig { scope_claim, scope_prefix, .. } = &self.config;
        let mut names = scope_claim.split('.');
        let first = names.next().and_then(|name| claims.get(name));
        let claim = names.fold(first, |value, name| value?.get(name));
        let words: Vec<&str> = match claim {
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let ours = words.iter().filter_map(|word| word.strip_prefix(scope_prefix.as_str()));
        let ours = ours.filter(|word| ["predict", "read", "admin"].contains(word));
        let scopes = Scopes::parse(ours).map_err(|_| {
            format!(
                "the token's `{scope_claim}` holds none of {scope_prefix}predict, \
                     {scope_prefix}read, {scope_prefix}admin"
            )
        })?;
        // What narrows a token and cannot be read must not widen it.
        let text = |model: &Value| model.as_str().map(str::to_owned);
        let list = |models: &Value| models.as_array()?.iter().map(text).collect::<Option<_>>();
        let models = claims.get("models").map(|models| {
            list(models).ok_or_else(|| "the token's `models` is no list of texts".to_owned())
        });
        let id = ["sub", "client_id", "azp"].iter().find_map(|name| claims.get(*name)?.as_str());
        let expires = claims.get("exp").and_then(Value::as_f64).map(|at| at as u64);
        Ok(Identity {
            id: id.unwrap_or("token").chars().take(128).collect::<String>().into(),
            scopes,
            models: models.transpose()?,
            expires: expires.map(|at| at.saturating_add(LEEWAY_SECONDS)),
            rate_per_second: None,
        })
    }
}

/// What is wrong with a token, for who has sent it.
fn in_words(bad: &jsonwebtoken::errors::Error) -> String {
    let words = match bad.kind() {
        ErrorKind::ExpiredSignature => "it has expired (`exp`): get a new one",
        ErrorKind::ImmatureSignature => "its time has not come (`nbf`)",
        ErrorKind::InvalidIssuer => "it was issued by another than [auth] issuer says (`iss`)",
        ErrorKind::InvalidAudience => "it is for others than [auth] audience says (`aud`)",
        ErrorKind::InvalidSignature => "its signature is not of the key that it names",
        ErrorKind::MissingRequiredClaim(claim) => return format!("it has no `{claim}`"),
        _ => return bad.to_string(),
    };
    words.to_owned()
}

impl Key {
    fn of(jwk: &Jwk, allows_secrets: bool) -> Option<Self> {
        use Algorithm::{
            ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
        };
        if jwk.common.public_key_use.as_ref().is_some_and(|use_| *use_ != PublicKeyUse::Signature) {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => vec![ES256],
                EllipticCurve::P384 => vec![ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                vec![EdDSA]
            }
            AlgorithmParameters::OctetKey(_) if allows_secrets => vec![HS256, HS384, HS512],
            _ => return None,
        };
        if let Some(named) = jwk.common.key_algorithm {
            let named = named.to_string();
            algorithms.retain(|algorithm| format!("{algorithm:?}") == named);
        }
        let verifier = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { kid: jwk.common.key_id.clone(), algorithms, verifier })
    }
}
