//! An H2O cluster with ten planted mistakes: all ten are found, and nothing else is.

use std::collections::BTreeSet;
use std::fs;

use stemson_audit::{Options, audit};

/// Each marked line has one mistake; the mark names its rule.
const MANIFEST: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: h2o
spec:
  clusterIP: 10.96.0.17  # h2o_discovery
  selector: {app: h2o}
  ports: [{port: 54321}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: h2o  # member_placement
spec:
  serviceName: h2o
  podManagementPolicy: OrderedReady  # h2o_parallel
  replicas: 3
  selector: {matchLabels: {app: h2o}}
  template:
    metadata:
      labels: {app: h2o}
    spec:
      containers:
        - name: h2o
          image: h2oai/h2o-open-source-k8s:3.44.0.3  # h2o_versions_differ
          command: ["java", "-Xmx60g", "-jar", "/opt/h2oai/h2o-3/h2o.jar"]  # heap_share
          env:
            - {name: H2O_KUBERNETES_SERVICE_DNS, value: h2o.ml.svc.cluster.local}
            - {name: H2O_NODE_EXPECTED_COUNT, value: "2"}  # h2o_expected_count
          resources:
            requests: {memory: 32Gi}  # requests_unlike_limits
            limits: {memory: 64Gi}
          livenessProbe:  # h2o_probe
            httpGet: {path: /3/Cloud, port: 54321}
          readinessProbe:
            httpGet: {path: /kubernetes/isLeaderNode, port: 8080}
"#;

const DOCKERFILE: &str = "FROM python:3.11-slim
RUN apt-get update && apt-get install -y default-jre-headless  # image_jvm
COPY app /app
USER 10001
CMD [\"uvicorn\", \"app.main:app\"]
";

/// The requirement is what the cluster is held against.
const REQUIREMENTS: &str = "h2o==3.46.0.12  # h2o_mojo_export\n";
const TRAIN: &str = "def export(model):\n    return model.download_mojo('out')\n";

fn marks(path: &str, text: &str) -> Vec<(String, u32, String)> {
    let marked = text
        .lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number, line.split_once("  # ")?.1)));
    marked.map(|(number, rule)| (path.to_owned(), number as u32 + 1, rule.to_owned())).collect()
}

#[test]
fn ten_planted_mistakes_are_ten_findings() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("k8s/h2o.yaml", MANIFEST),
        ("Dockerfile", DOCKERFILE),
        ("requirements.txt", REQUIREMENTS),
        ("train.py", TRAIN),
    ];
    let mut expected = BTreeSet::new();
    for (path, text) in files {
        let file = folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        expected.extend(marks(path, text));
    }
    let mut report = audit(&[folder.path().to_owned()], &Options::default()).unwrap();
    report.make_relative(folder.path().to_str().unwrap());
    let found: BTreeSet<_> =
        report.open().map(|it| (it.path.clone(), it.line, it.rule.id.to_owned())).collect();
    assert_eq!(expected.len(), 10);
    assert_eq!(found, expected);
}
