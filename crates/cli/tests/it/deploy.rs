//! `deploy`, `rollback`, `models` against a running server.

use std::fs;

use crate::serve::Serving;
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
