//! Which crate may know which.

use std::process::Command;

use serde_json::Value;

use crate::tree::root;

/// Folder of the crate, and the packages of ours that it may depend on.
const ROOMS: &[(&str, &[&str])] = &[
    ("mojo", &[]),
    ("audit", &["stemson-mojo", "stemson-cluster"]),
    ("batch", &["stemson-mojo"]),
    ("serving", &["stemson-mojo"]),
    ("server", &["stemson-serving", "stemson-batch", "stemson-mojo"]),
    ("cluster", &[]),
    ("capi", &["stemson-batch", "stemson-mojo"]),
    // Serving: admission, for applications of FastAPI.
    ("python", &["stemson-batch", "stemson-mojo", "stemson-serving"]),
    // The artifact validator: the policy's eye on entries, and answers as `score` writes them.
    (
        "validate",
        &["stemson-mojo", "stemson-audit", "stemson-batch", "stemson-serving", "stemson-server"],
    ),
    (
        "cli",
        &[
            "stemson-mojo",
            "stemson-audit",
            "stemson-batch",
            "stemson-serving",
            "stemson-server",
            "stemson-cluster",
            "stemson-validate",
        ],
    ),
];

/// `cargo metadata` of the workspace's own packages.
pub(crate) fn metadata() -> Value {
    let json = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    serde_json::from_str(&json).expect("cargo metadata writes JSON")
}

/// One line for each dependency between our crates that the table does not allow.
pub(crate) fn wrong_edges(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (name, manifest) = (text(&package["name"]), text(&package["manifest_path"]));
        let mut folders = manifest.rsplit(['/', '\\']).skip(1);
        let room = folders.next().unwrap_or_default();
        if folders.next() != Some("crates") {
            continue; // tests, benches and xtask may see all.
        }
        let called = if room == "cli" { "stemson".to_owned() } else { format!("stemson-{room}") };
        if name != called {
            findings.push(format!("crates/{room}: is called `{name}`, not `{called}`"));
        }
        let Some((_, allowed)) = ROOMS.iter().find(|it| it.0 == room) else {
            findings.push(format!("crates/{room}: say in ROOMS what it may depend on"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = text(&dependency["name"]);
            let ours = !dependency["path"].is_null();
            if ours && to != name && !allowed.contains(&to.as_str()) {
                findings.push(format!("crates/{room}: must not depend on `{to}`"));
            }
        }
    }
    findings
}

/// One line for each of `forbidden` that `package` is built on, however deep.
pub(crate) fn forbidden_below(package: &str, forbidden: &[&str]) -> Vec<String> {
    let edges = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let list = cargo(&[&["tree", "--package", package][..], &edges].concat());
    assert!(list.starts_with(package), "`cargo tree` answers: {list}");
    let names = list.lines().filter_map(|line| line.split(' ').next());
    let mut found: Vec<_> = names.filter(|name| forbidden.contains(name)).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|name| format!("{package}: must not be built on `{name}`")).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(room: &str, name: &str, dependency: &str, expected: &[&str]) {
        let metadata = serde_json::json!({"packages": [{
            "name": name,
            "manifest_path": format!("/home/me/stemson/crates/{room}/Cargo.toml"),
            "dependencies": [
                {"name": dependency, "path": "somewhere"}, {"name": "bytes", "path": null},
            ],
        }]});
        assert_eq!(wrong_edges(&metadata), expected);
    }

    #[test]
    fn finds_edges_that_point_up() {
        check("serving", "stemson-serving", "stemson-mojo", &[]);
        check(
            "mojo",
            "stemson-mojo",
            "stemson-serving",
            &["crates/mojo: must not depend on `stemson-serving`"],
        );
        check(
            "new",
            "stemson-new",
            "stemson-mojo",
            &["crates/new: say in ROOMS what it may depend on"],
        );
        check(
            "batch",
            "batch",
            "stemson-mojo",
            &["crates/batch: is called `batch`, not `stemson-batch`"],
        );
    }

    #[test]
    fn finds_what_lies_deep_below() {
        let found = forbidden_below("stemson-mojo", &["flate2", "tokio"]);
        assert_eq!(found, ["stemson-mojo: must not be built on `flate2`"]);
    }
}
