//! `deploy`, `rollback`, `promote`, `abort`, `canary`, `models` against a running server, over TLS too.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stemson_mojo::Digest;

use crate::serve::{Serving, ask};
use crate::{Folder, Run, case, stemson};

#[track_caller]
fn check(run: &Run, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(stdout), "no `{stdout}` in {}", run.stdout);
    assert!(run.stderr.contains(stderr), "no `{stderr}` in {}", run.stderr);
    assert!(code == 0 || run.stdout.is_empty(), "{}", run.stdout);
}

#[test]
fn a_model_is_deployed_listed_and_rolled_back() {
    let folder = Folder::new();
    fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("churn.zip")).unwrap();
    let serving = Serving::start(&folder, &["churn.zip"]);
    let url = format!("http://{}", serving.admin);
    let on = |arguments: &[&str]| stemson(&[arguments, &["--server", &url]].concat());
    let (b, c) = (case("gbm_platt", "model.zip"), case("gbm_gaussian", "model.zip"));

    check(&on(&["deploy", &b, "--name", "churn"]), 0, "churn: swapped, revision 2 (", "");
    check(&on(&["deploy", &b, "--name", "churn"]), 0, "churn: unchanged, revision 2 (", "");
    check(&on(&["models"]), 0, "; before: revision 1 (", "");
    check(&on(&["rollback", "churn"]), 0, "churn: rolled back, revision 1 (", "");
    check(&on(&["rollback", "churn", "--to", "2"]), 0, "churn: rolled back, revision 2 (", "");
    let canary = on(&["deploy", &folder.path("churn.zip"), "--name", "churn", "--canary", "0.25"]);
    check(&canary, 0, "churn: canary started, revision 2 (", "");
    assert!(
        canary.stdout.contains("; canary: revision 1 (") && canary.stdout.contains("with 25 %")
    );
    let listed = on(&["models", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["models"][0]["canary"]["share"], 0.25);

    check(&on(&["deploy", &c, "--name", "churn"]), 1, "", "allow_schema_change");
    let allowed = on(&["deploy", &c, "--name", "churn", "--allow-schema-change"]);
    check(&allowed, 0, "churn: swapped, revision 3 (", "");
    check(&on(&["deploy", &b, "--name", "a/b"]), 1, "", "`a/b` is no model name");
    check(&on(&["rollback", "nobody"]), 1, "", "no model is called `nobody`");
    check(&on(&["rollback", "churn", "--to", "newest"]), 1, "", "names no revision");
    check(&on(&["deploy", &folder.path("none.zip"), "--name", "m"]), 2, "", "cannot read");
    let wrong = format!("http://{}", serving.http);
    check(&stemson(&["models", "--server", &wrong]), 1, "", "nothing is at /admin/models");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{address}");
    check(&stemson(&["models", "--server", &nobody]), 3, "", "cannot reach");
    check(&stemson(&["models", "--server", "ftp://x"]), 2, "", "expected http://");
}

#[test]
fn a_canary_is_watched_promoted_and_ended() {
    let folder = Folder::new();
    fs::copy(case("gbm_bernoulli", "model.zip"), folder.path("churn.zip")).unwrap();
    let serving = Serving::start(&folder, &["churn.zip"]);
    let url = format!("http://{}", serving.admin);
    let on = |arguments: &[&str]| stemson(&[arguments, &["--server", &url]].concat());
    let (b, c) = (case("gbm_platt", "model.zip"), case("gbm_isotonic", "model.zip"));

    check(&on(&["canary", "churn"]), 1, "", "the model has no canary");
    check(&on(&["promote", "churn"]), 1, "", "the model has no canary");
    check(&on(&["abort", "churn", "--shadow"]), 1, "", "the model has no shadow");
    check(&on(&["deploy", &b, "--name", "churn", "--canary", "0.5"]), 0, "canary started", "");
    for _ in 0..20 {
        let body = br#"{"instances":[{"x1":1}]}"#;
        assert_eq!(ask(&serving.http, "POST", "/v1/models/churn:predict", body).0, 200);
    }
    let seen = on(&["canary", "churn"]);
    check(&seen, 0, "churn: canary revision 2 (", "");
    check(&seen, 0, ") with 50 %\nstable: ", "");
    let seen = on(&["canary", "churn", "--format", "json"]).stdout;
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    let count = |arm: &str| seen[arm]["requests"].as_u64().unwrap();
    assert_eq!(count("stable") + count("canary"), 20);
    check(&on(&["promote", "churn"]), 0, "churn: promoted, revision 2 (", "");
    check(&on(&["deploy", &c, "--name", "churn", "--canary", "0.1"]), 0, "revision 3 (", "");
    check(&on(&["deploy", &c, "--name", "churn", "--shadow"]), 0, "; shadow: revision 3 (", "");
    check(&on(&["abort", "churn", "--shadow"]), 0, "churn: shadow stopped, revision 2 (", "");
    check(&on(&["abort", "churn"]), 0, "churn: aborted, revision 2 (", "");
    check(&on(&["canary", "churn"]), 1, "", "the model has no canary");
}

#[test]
fn a_digest_is_held_to() {
    let folder = Folder::new();
    let model = case("gbm_bernoulli", "model.zip");
    let serving = Serving::start(&folder, &[]);
    let url = format!("http://{}", serving.admin);
    let on = |arguments: &[&str]| {
        stemson(&[&["deploy"], arguments, &["--name", "m", "--server", &url]].concat())
    };
    let digest = Digest::of(&fs::read(&model).unwrap()).to_string();
    check(&on(&[&model, "--sha256", &"0".repeat(64)]), 1, "", "the SHA-256 is");
    check(&on(&[&model, "--sha256", "short"]), 2, "", "--sha256");
    check(&on(&[&model, "--sha256", &digest]), 0, "m: deployed, revision 1 (", "");
    // What is fetched, and from where, is the server's affair.
    let store = "https://store.example/m.zip?signature=secret";
    let refused = on(&[store]);
    check(&refused, 1, "", "https://store.example:443 is not among [admin] allowed_hosts");
    assert!(!refused.stderr.contains("secret"), "{}", refused.stderr);
}

/// Signs a certificate for `names`; gives it and its key, both in PEM.
fn card(authority: &CertifiedIssuer<'_, KeyPair>, names: &[&str], common: &str) -> [String; 2] {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    [certificate.pem(), key.serialize_pem()]
}

#[test]
fn servers_that_speak_tls_are_driven_too() {
    let folder = Folder::new();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = CertifiedIssuer::self_signed(params, key).unwrap();
    let ca = folder.write("ca.pem", authority.pem());
    let [certificate, key] = card(&authority, &["localhost"], "server");
    folder.write("server.pem", certificate);
    folder.write("server-key.pem", key);
    let [certificate, key] = card(&authority, &[], "deployer");
    let (own, own_key) = (folder.write("own.pem", certificate), folder.write("own-key.pem", key));
    let secret = Digest::of(b"secret");
    folder.write(
        "keys.toml",
        format!(
            "[[key]]\nid = \"deployer\"\nscopes = [\"admin\"]\n\
             [[key]]\nid = \"ci\"\nsha256 = \"{secret}\"\nscopes = [\"admin\"]\n"
        ),
    );
    let config = "[tls]\ncertificate = \"server.pem\"\nkey = \"server-key.pem\"\n\
                  client_ca = \"ca.pem\"\n[auth]\nkeys_file = \"keys.toml\"\n";
    let config = folder.write("stemson.toml", config);
    let serving = Serving::start(&folder, &["--config", &config]);
    let port = serving.admin.rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}");
    let model = case("gbm_bernoulli", "model.zip");
    let on = |arguments: &[&str]| stemson(&[arguments, &["--server", &url]].concat());
    let trusting = |arguments: &[&str]| on(&[arguments, &["--ca", &ca]].concat());

    let deploy = ["deploy", &model, "--name", "m"];
    check(&on(&deploy), 3, "", "--ca names the file");
    check(&trusting(&deploy), 1, "", "STEMSON_API_KEY");
    let by_key = trusting(&[&deploy[..], &["--api-key", "secret"]].concat());
    check(&by_key, 0, "m: deployed, revision 1 (", "");
    let card = ["--client-cert", &own, "--client-key", &own_key];
    let by_card = trusting(&[&["models"], &card[..]].concat());
    check(&by_card, 0, "m: revision 1 (", "");
    check(&by_card, 0, " by ci", "");
    let other_key = folder.path("server-key.pem");
    let unfit = ["--client-cert", &own, "--client-key", &other_key];
    check(&trusting(&[&["models"], &unfit[..]].concat()), 2, "", "do not fit");
    check(&trusting(&["models", "--client-cert", &own]), 2, "", "--client-key");
    check(&on(&["models", "--ca", &model]), 2, "", "no certificate in PEM");
    // The name must be the certificate's.
    let by_number = format!("https://127.0.0.1:{port}");
    let other = stemson(&["models", "--server", &by_number, "--ca", &ca]);
    check(&other, 3, "", "certificate");
    let plain = format!("http://localhost:{port}");
    check(&stemson(&["models", "--server", &plain]), 3, "", "https:// where it speaks TLS");
}
