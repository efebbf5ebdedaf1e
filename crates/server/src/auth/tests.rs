//! Who gets in: keys, tokens of every algorithm, certificates, nobody.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, KeyPair as _};
use serde_json::{Value, json};
use stemson_mojo::Digest;

use super::*;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Somebody who gives out tokens: his public key as a JWK, and how he signs.
struct Issuer {
    jwk: Value,
    alg: &'static str,
    sign: Sign,
}

impl Issuer {
    fn hs256(kid: &str) -> Self {
        let secret = format!("a secret of {kid} that is long enough");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        Self {
            jwk: json!({"kty": "oct", "kid": kid, "k": b64(&secret)}),
            alg: "HS256",
            sign: Box::new(move |text| ring::hmac::sign(&key, text).as_ref().to_vec()),
        }
    }

    fn es256(kid: &str) -> Self {
        let (by, random) = (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(by, &random).expect("a key");
        let key = signature::EcdsaKeyPair::from_pkcs8(by, pkcs8.as_ref(), &random).expect("a key");
        let point = key.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(32);
        Self {
            jwk: json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(x), "y": b64(y)}),
            alg: "ES256",
            sign: Box::new(move |text| key.sign(&random, text).expect("signed").as_ref().to_vec()),
        }
    }

    fn eddsa(kid: &str) -> Self {
        let pkcs8 = signature::Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let key = signature::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        Self {
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key())}),
            alg: "EdDSA",
            sign: Box::new(move |text| key.sign(text).as_ref().to_vec()),
        }
    }

    fn rsa(kid: &str, alg: &'static str) -> Self {
        let der = include_bytes!("testdata/rsa-pkcs8.der");
        let key = ring::rsa::KeyPair::from_pkcs8(der).expect("a key");
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
        let by: &dyn signature::RsaEncoding =
            if alg == "PS256" { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
        Self {
            jwk: json!({"kty": "RSA", "kid": kid, "n": b64(&public.n), "e": b64(&public.e)}),
            alg,
            sign: Box::new(move |text| {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(by, &SystemRandom::new(), text, &mut signed).expect("signed");
                signed
            }),
        }
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.alg, "typ": "JWT", "kid": kid});
        let text = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{text}.{}", b64((self.sign)(text.as_bytes())))
    }
}

fn token_config() -> TokenConfig {
    TokenConfig {
        jwks: Some(JwksSource::File("jwks.json".into())),
        issuer: Some("https://id.example".to_owned()),
        audience: Some("stemson".to_owned()),
        scope_claim: "scope".to_owned(),
        scope_prefix: "stemson:".to_owned(),
    }
}

fn jwks(issuers: &[&Issuer]) -> String {
    json!({"keys": issuers.iter().map(|issuer| &issuer.jwk).collect::<Vec<_>>()}).to_string()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": ["other", "stemson"], "sub": "shop",
        "exp": now() + 600, "scope": "openid stemson:predict", "models": ["churn"],
    })
}

fn visitor() -> Visitor {
    Visitor {
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        entrance: Entrance::Inference,
        is_public: true,
        certificates: Vec::new(),
    }
}

/// `ok ID`, or the code of the refusal.
fn ask(auth: &Auth, visitor: &Visitor, headers: &[(&'static str, &str)], need: Need) -> String {
    let headers = headers.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
    });
    match auth.authorize(&headers.collect(), visitor, need, Some("churn")) {
        Ok(caller) => format!("ok {}", caller.id().unwrap_or("-")),
        Err(refusal) => refusal.status().1.to_owned(),
    }
}

#[test]
fn what_should_narrow_a_token_never_widens_it() {
    let issuer = Issuer::hs256("k");
    let tokens = Tokens::parse(&token_config(), &jwks(&[&issuer])).expect("a JWKS");
    for (models, expected) in [
        (json!(["churn", "other"]), Some(2)),
        (json!([]), Some(0)),
        (json!("churn"), None),
        (json!(["churn", 7]), None),
        (json!({ "churn": true }), None),
        (Value::Null, None),
    ] {
        let mut claims = claims();
        claims["models"] = models.clone();
        let found = tokens.verify(&issuer.token("k", &claims));
        match expected {
            Some(n) => {
                let identity = found.unwrap_or_else(|bad| panic!("{models}: {bad}"));
                assert_eq!(identity.models.as_ref().map(Vec::len), Some(n), "{models}");
            }
            None => assert!(found.expect_err("it is refused").contains("`models`"), "{models}"),
        }
    }
}

#[test]
fn tokens_of_every_kind_of_key_count() {
    for issuer in [
        Issuer::hs256("k"),
        Issuer::es256("k"),
        Issuer::eddsa("k"),
        Issuer::rsa("k", "RS256"),
        Issuer::rsa("k", "PS256"),
    ] {
        let tokens = Tokens::parse(&token_config(), &jwks(&[&issuer])).expect("a JWKS");
        let token = issuer.token("k", &claims());
        let identity = tokens.verify(&token).unwrap_or_else(|bad| panic!("{}: {bad}", issuer.alg));
        assert_eq!((&*identity.id, identity.scopes.to_string()), ("shop", "predict".to_owned()));
        assert_eq!(identity.models.as_deref(), Some(&["churn".to_owned()][..]));
        // One bit of the signature, or of what is signed.
        let mut forged = token.clone().into_bytes();
        let last = forged.len() - 10;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("text");
        assert!(tokens.verify(&forged).is_err(), "{}", issuer.alg);
    }
}

#[test]
fn a_token_that_is_not_for_us_does_not_count() {
    let issuer = Issuer::es256("k");
    let tokens = Tokens::parse(&token_config(), &jwks(&[&issuer])).expect("a JWKS");
    for (name, value, words) in [
        ("exp", json!(now() - 60), "it has expired (`exp`)"),
        ("exp", Value::Null, "it has no `exp`"),
        ("nbf", json!(now() + 600), "its time has not come (`nbf`)"),
        ("iss", json!("https://evil.example"), "[auth] issuer"),
        ("aud", json!("other"), "[auth] audience"),
        ("scope", json!("openid predict"), "none of stemson:predict"),
        ("scope", json!(7), "none of stemson:predict"),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        let why = tokens.verify(&issuer.token("k", &claims)).expect_err(name);
        assert!(why.contains(words), "{name} = {value}: {why}");
    }
    let stranger = Issuer::es256("other");
    assert!(tokens.verify(&stranger.token("other", &claims())).is_err(), "an unknown key");
    let borrowed = tokens.verify(&stranger.token("k", &claims())).expect_err("a borrowed name");
    assert!(borrowed.contains("its signature is not of the key"), "{borrowed}");
    // A public key is no secret, and no signature is no signature.
    let text = |alg: &str| {
        let header = json!({"alg": alg, "kid": "k"}).to_string();
        format!("{}.{}", b64(header), b64(claims().to_string()))
    };
    let public = b64(issuer.jwk["x"].as_str().expect("x"));
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    let signed = ring::hmac::sign(&hmac, text("HS256").as_bytes());
    assert!(tokens.verify(&format!("{}.{}", text("HS256"), b64(signed))).is_err());
    for alg in ["none", "None", "ES384"] {
        assert!(tokens.verify(&format!("{}.", text(alg))).is_err(), "{alg}");
    }
}

#[test]
fn keys_of_tokens_come_and_go() {
    let (old, new) = (Issuer::es256("2026-1"), Issuer::eddsa("2026-2"));
    let auth = Auth::new(true, false);
    let token = |issuer: &Issuer, kid| format!("Bearer {}", issuer.token(kid, &claims()));
    let (by_old, by_new) = (token(&old, "2026-1"), token(&new, "2026-2"));
    let found = |by: &str| ask(&auth, &visitor(), &[("authorization", by)], Need::Predict);
    for (keys, expected) in [
        (vec![&old], ("ok shop", "unauthorized")),
        (vec![&old, &new], ("ok shop", "ok shop")),
        (vec![&new], ("unauthorized", "ok shop")),
    ] {
        auth.set_tokens(Tokens::parse(&token_config(), &jwks(&keys)).expect("a JWKS"));
        assert_eq!((&*found(&by_old), &*found(&by_new)), expected);
    }
    assert!(Tokens::parse(&token_config(), "[]").is_err());
    let url = TokenConfig { jwks: Some(JwksSource::Url("https://x".to_owned())), ..token_config() };
    let secret = Issuer::hs256("k");
    assert!(Tokens::parse(&url, &jwks(&[&secret])).is_err(), "no secrets from the network");
    assert!(Tokens::parse(&url, r#"{"keys":[{"kty":"future"}]}"#).is_err());
}

fn keys(text: &str) -> Keyring {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, text).expect("a file");
    Keyring::read(&path).unwrap_or_else(|bad| panic!("{bad}"))
}

fn three_keys() -> Keyring {
    let key = |id: &str, secret: &str, rest: &str| {
        let sha256 = Digest::of(secret.as_bytes());
        format!("[[key]]\nid = \"{id}\"\nsha256 = \"{sha256}\"\n{rest}\n")
    };
    keys(
        &[
            key("ops", "s-ops", "scopes = [\"admin\"]"),
            key("shop", "s-shop", "scopes = [\"predict\"]\nmodels = [\"churn\"]"),
            key("lab", "s-lab", "scopes = [\"predict\", \"read\"]\nmodels = [\"other\"]"),
            key("old", "s-old", "scopes = [\"predict\"]\nexpires = 2020-01-01"),
            key("slow", "s-slow", "scopes = [\"predict\"]\nrate_per_second = 0.001"),
        ]
        .concat(),
    )
}

#[test]
fn a_key_opens_what_its_scopes_say() {
    let auth = Auth::new(true, false);
    let by = |headers: &[(&'static str, &str)], need| ask(&auth, &visitor(), headers, need);
    assert_eq!(by(&[("x-api-key", "s-ops")], Need::Admin), "unauthorized", "no keys yet");
    auth.set_keys(three_keys());
    for (headers, need, expected) in [
        (&[("authorization", "Bearer s-ops")][..], Need::Admin, "ok ops"),
        (&[("authorization", "bearer  s-ops")], Need::Admin, "ok ops"),
        (&[("x-api-key", "s-ops")], Need::Admin, "ok ops"),
        (&[("x-api-key", "s-ops")], Need::Predict, "forbidden"),
        (&[("x-api-key", "s-shop")], Need::Predict, "ok shop"),
        (&[("x-api-key", "s-shop")], Need::Metadata, "ok shop"),
        (&[("x-api-key", "s-shop")], Need::Metrics, "forbidden"),
        (&[("x-api-key", "s-shop")], Need::Admin, "forbidden"),
        (&[("x-api-key", "s-lab")], Need::Predict, "forbidden"),
        (&[("x-api-key", "s-old")], Need::Predict, "unauthorized"),
        (&[("x-api-key", "s-nobody")], Need::Predict, "unauthorized"),
        (&[("x-api-key", "")], Need::Predict, "unauthorized"),
        (&[("authorization", "Basic czpvcHM=")], Need::Predict, "unauthorized"),
        (
            &[("authorization", "Bearer s-ops"), ("x-api-key", "s-shop")],
            Need::Admin,
            "unauthorized",
        ),
        (&[], Need::Predict, "unauthorized"),
        (&[], Need::Metrics, "unauthorized"),
        (&[], Need::Nothing, "ok -"),
        (&[("x-api-key", "s-slow")], Need::Predict, "ok slow"),
        (&[("x-api-key", "s-slow")], Need::Predict, "quota_exceeded"),
    ] {
        assert_eq!(by(headers, need), expected, "{headers:?} {need:?}");
    }
    let home = Visitor { is_public: false, ..visitor() };
    assert_eq!(ask(&auth, &home, &[], Need::Metrics), "ok -");
    // A quota outlives the keys being read again.
    auth.set_keys(three_keys());
    assert_eq!(by(&[("x-api-key", "s-slow")], Need::Predict), "quota_exceeded");
}

#[test]
fn a_client_certificate_stands_for_the_key_of_its_name() {
    let auth = Auth::new(true, false);
    auth.set_keys(three_keys());
    let with = |name: &str| Visitor {
        certificates: vec!["x.example".to_owned(), name.to_owned()],
        ..visitor()
    };
    assert_eq!(ask(&auth, &with("shop"), &[], Need::Predict), "ok shop");
    assert_eq!(ask(&auth, &with("nobody"), &[], Need::Predict), "unauthorized");
    // Who shows a key is who the key says.
    assert_eq!(ask(&auth, &with("shop"), &[("x-api-key", "s-ops")], Need::Admin), "ok ops");
}

#[test]
fn without_keys_administration_stays_at_home() {
    let admin = Visitor { entrance: Entrance::Admin, ..visitor() };
    for (is_all_loopback, far) in [(true, "ok -"), (false, "forbidden")] {
        let auth = Auth::new(false, is_all_loopback);
        assert_eq!(ask(&auth, &visitor(), &[], Need::Admin), far);
        assert_eq!(ask(&auth, &admin, &[], Need::Admin), "ok -");
        assert_eq!(ask(&auth, &visitor(), &[], Need::Predict), "ok -");
    }
}

#[test]
fn quotas_are_told_when_to_come_back() {
    let auth = Auth::new(true, false);
    let (id, start) = (Arc::from("a"), Instant::now());
    assert!(auth.take_quota(&id, 1.0, start).is_ok());
    let Err(Refusal::QuotaExceeded { retry_after }) = auth.take_quota(&id, 1.0, start) else {
        panic!("one a second");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    assert!(auth.take_quota(&id, 2.0, start).is_ok(), "another rate, another bucket");
}
