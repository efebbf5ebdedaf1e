//! What stands in `deploy/` names flags, keys, ports and metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stemson_server::metrics::METRICS;

use crate::stemson;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(file: &str) -> String {
    fs::read_to_string(deploy().join(file)).unwrap_or_else(|cause| panic!("{file}: {cause}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|bad| panic!("{file}: {bad}"))
}

/// All texts in a value, however deep.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// `--flag` of every text, with or without a value behind it.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '[' | ']' | '='));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

fn check_flags(file: &str, text: &str) {
    let help = stemson(&["serve", "--help"]).stdout;
    let known = flags(&help);
    let used = flags(text);
    assert!(!used.is_empty(), "{file} calls `stemson serve` with flags");
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "{file}: {unknown:?}");
}

/// `STEMSON_SECTION_KEY` of the whole configuration.
fn variables() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let shown = crate::command()
        .current_dir(folder.path())
        .args(["serve", "--print-config"])
        .output()
        .unwrap();
    let mut section = String::new();
    let mut known = BTreeSet::new();
    for line in String::from_utf8(shown.stdout).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}_");
        } else if let Some((key, _)) = line.split_once(" = ") {
            known.insert(format!("STEMSON_{section}{key}").to_ascii_uppercase());
        }
    }
    known
}

fn check_variables(file: &str, names: &[&str]) {
    let known = variables();
    for name in names.iter().filter(|name| name.starts_with("STEMSON_")) {
        assert!(known.contains(*name), "{file}: {name} is no key of the configuration");
    }
}

#[test]
fn the_image_starts_the_server() {
    let text = read("docker/Dockerfile");
    let call: String = text.lines().filter(|line| line.starts_with("CMD")).collect();
    check_flags("Dockerfile", &call);
    assert!(text.contains("FROM scratch") && text.contains("ENTRYPOINT [\"/stemson\", \"serve\"]"));
    assert!(text.contains("EXPOSE 8080 8081 8082"));
}

#[test]
fn the_services_of_the_compose_file_fit_together() {
    let compose = yaml("docker/compose.yaml");
    let services = compose["services"].as_object().unwrap();
    let stemson = &services["stemson"];
    check_flags("compose.yaml", &texts(&stemson["command"]).join(" "));
    let names: Vec<&str> =
        stemson["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    check_variables("compose.yaml", &names);
    // What is mounted from the repository is there.
    for volume in services.values().flat_map(|service| texts(&service["volumes"])) {
        let from = volume.split(':').next().unwrap();
        let path = deploy().join("docker").join(from);
        assert!(from == "./models" || path.exists(), "{volume}");
    }
    let prometheus = yaml("docker/prometheus.yml");
    let target = prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str();
    let (host, port) = target.unwrap().split_once(':').unwrap();
    assert!(services.contains_key(host) && port == "8080", "{target:?}");
    let source = yaml("grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    assert!(services.contains_key("prometheus") && services.contains_key("redis"));
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("grafana/stemson.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let mut shown = BTreeSet::new();
    for expression in panels.iter().flat_map(|panel| texts(&panel["targets"])) {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("stemson_")) {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(known.contains(name), "{word} in {expression}");
            shown.insert(name);
        }
    }
    assert!(shown.len() >= 10, "{shown:?}");
}

#[test]
fn the_serving_runtime_starts_the_server() {
    let runtime = yaml("k8s/cluster-serving-runtime.yaml");
    assert_eq!(runtime["kind"], "ClusterServingRuntime");
    let container = &runtime["spec"]["containers"][0];
    assert_eq!(container["name"], "kserve-container");
    let arguments = texts(&container["args"]);
    assert_eq!(arguments[0], "serve");
    check_flags("cluster-serving-runtime.yaml", &arguments.join(" "));
    let names: Vec<&str> =
        container["env"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    check_variables("cluster-serving-runtime.yaml", &names);
    let ports: Vec<_> =
        container["ports"].as_array().unwrap().iter().map(|port| &port["containerPort"]).collect();
    for argument in arguments.iter().filter(|word| word.contains("0.0.0.0:")) {
        let port: u64 = argument.rsplit(':').next().unwrap().parse().unwrap();
        assert!(ports.contains(&&Value::from(port)), "{argument}");
    }
    for probe in ["livenessProbe", "readinessProbe"] {
        assert!(ports.contains(&&container[probe]["httpGet"]["port"]), "{probe}");
    }
}

#[test]
fn the_unit_waits_for_the_servers_word() {
    let unit = read("systemd/stemson.service");
    let start = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    check_flags("stemson.service", start);
    assert!(unit.contains("Type=notify") && unit.contains("kill -HUP"));
}
