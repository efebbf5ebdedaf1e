//! Containers and their memory limits in Kubernetes manifests.

use serde_json::Value;

use crate::quantity::{Bytes, QuantityError, parse_kubernetes};

/// A container of a pod or of a pod's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Kind and name of what it stands in: `StatefulSet/h2o`.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Its memory limit, or its pod's.
    pub limit_bytes: Option<u64>,
    /// The limit as it is written.
    pub limit: Option<String>,
    /// Its memory request.
    pub request_bytes: Option<u64>,
    /// Replicas of its owner: members of the cluster, if this is H2O.
    pub replicas: u32,
    /// Whether image, name, command or environment speak of H2O.
    pub looks_like_h2o: bool,
    /// Heap arguments that it is given already: `-Xmx64g`, `-XX:MaxRAMPercentage=50`.
    pub heap_arguments: Vec<String>,
}

/// Why a manifest gives no limit.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No YAML.
    #[error("no YAML: {0}")]
    Yaml(String),
    /// YAML, but no workload.
    #[error(
        "holds no Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob with containers"
    )]
    NoContainers,
    /// A quantity that is none.
    #[error("{place}: resources.{field}.memory")]
    Quantity {
        /// Kind, name and container.
        place: String,
        /// `limits` or `requests`.
        field: &'static str,
        /// Why.
        source: Box<QuantityError>,
    },
    /// No container of that name.
    #[error("holds no container `{name}`: there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// No limit to split.
    #[error("{place} has no resources.limits.memory")]
    NoLimit {
        /// Kind, name and container.
        place: String,
    },
}

/// Which container was chosen, and why.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The container.
    pub container: Container,
    /// Its limit.
    pub limit_bytes: u64,
    /// `named`, `looks like H2O`, `the only one`, `the largest`.
    pub why: &'static str,
}

/// All containers of a manifest of one or more documents (YAML or JSON), in their order.
pub fn containers(text: &str) -> Result<Vec<Container>, ManifestError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|cause| ManifestError::Yaml(first_line(&cause.to_string())))?;
    let mut found = Vec::new();
    for document in &documents {
        object(document, &mut found)?;
    }
    if found.is_empty() { Err(ManifestError::NoContainers) } else { Ok(found) }
}

/// The container called `name`; without a name the one that looks like H2O, else the largest.
///
/// Of several the one with the largest limit is taken.
pub fn choose(containers: &[Container], name: Option<&str>) -> Result<Choice, ManifestError> {
    let named = |it: &&Container| name.is_some_and(|name| it.name == name);
    let h2o = |it: &&Container| it.looks_like_h2o;
    let (candidates, why): (Vec<_>, _) = if let Some(name) = name {
        let candidates: Vec<_> = containers.iter().filter(named).collect();
        if candidates.is_empty() {
            let known: Vec<_> = containers.iter().map(|it| format!("`{}`", it.name)).collect();
            return Err(ManifestError::Unknown { name: name.to_owned(), known: known.join(", ") });
        }
        (candidates, "named")
    } else if containers.iter().any(|it| it.looks_like_h2o) {
        (containers.iter().filter(h2o).collect(), "looks like H2O")
    } else if containers.len() == 1 {
        (containers.iter().collect(), "the only one")
    } else {
        (containers.iter().collect(), "the largest")
    };
    // The first of equals.
    let largest = candidates.iter().rev().max_by_key(|it| it.limit_bytes);
    let container = (*largest.ok_or(ManifestError::NoContainers)?).clone();
    let Some(limit_bytes) = container.limit_bytes else {
        return Err(ManifestError::NoLimit { place: place(&container.owner, &container.name) });
    };
    Ok(Choice { container, limit_bytes, why })
}

impl Choice {
    /// What the manifest says that does not go with a heap of `heap_bytes`.
    pub fn warnings(&self, heap_bytes: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        let Container { name, request_bytes, heap_arguments, .. } = &self.container;
        if let Some(request) = request_bytes
            && *request != self.limit_bytes
        {
            warnings.push(format!(
                "container `{name}` requests {} and is limited to {}: make both equal, or a full node evicts it",
                Bytes(*request),
                Bytes(self.limit_bytes)
            ));
        }
        for argument in heap_arguments {
            let stated = argument
                .strip_prefix("-Xmx")
                .and_then(|size| crate::parse_limit(&size.to_ascii_lowercase()).ok());
            if stated != Some(heap_bytes) {
                warnings.push(format!(
                    "container `{name}` is started with {argument} now; arguments on the command line outweigh JAVA_TOOL_OPTIONS"
                ));
            }
        }
        warnings
    }
}

/// One document: a workload, or a list of such.
fn object(document: &Value, found: &mut Vec<Container>) -> Result<(), ManifestError> {
    for item in document["items"].as_array().into_iter().flatten() {
        object(item, found)?;
    }
    let kind = document["kind"].as_str().unwrap_or_default();
    let spec = &document["spec"];
    let pod = match kind {
        "Pod" => spec,
        "CronJob" => &spec["jobTemplate"]["spec"]["template"]["spec"],
        "PodTemplate" => &document["template"]["spec"],
        // Also what operators define, as long as it carries a template in the usual place.
        _ => &spec["template"]["spec"],
    };
    let name =
        document["metadata"]["name"].as_str().or(document["metadata"]["generateName"].as_str());
    let owner = format!("{kind}/{}", name.unwrap_or("?"));
    let replicas = match kind {
        "StatefulSet" | "Deployment" | "ReplicaSet" => spec["replicas"].as_u64().unwrap_or(1),
        _ => 1,
    };
    for item in pod["containers"].as_array().into_iter().flatten() {
        found.push(container(item, pod, &owner, replicas.clamp(1, u64::from(u32::MAX)) as u32)?);
    }
    Ok(())
}

fn container(
    item: &Value,
    pod: &Value,
    owner: &str,
    replicas: u32,
) -> Result<Container, ManifestError> {
    let name = item["name"].as_str().unwrap_or("?").to_owned();
    let memory = |field: &'static str| {
        let own = &item["resources"][field]["memory"];
        let stated = if own.is_null() { &pod["resources"][field]["memory"] } else { own };
        let text = match stated {
            Value::Null => return Ok(None),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match parse_kubernetes(&text) {
            Ok(bytes) => Ok(Some((bytes, text))),
            Err(source) => Err(ManifestError::Quantity {
                place: place(owner, &name),
                field,
                source: Box::new(source),
            }),
        }
    };
    let (limit_bytes, limit) = memory("limits")?.unzip();
    let request_bytes = memory("requests")?.map(|(bytes, _)| bytes);
    let mut words = vec![name.clone(), item["image"].as_str().unwrap_or_default().to_owned()];
    for list in ["command", "args"] {
        let texts = item[list].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.extend(texts.map(str::to_owned));
    }
    for variable in item["env"].as_array().into_iter().flatten() {
        words.extend(
            [&variable["name"], &variable["value"]]
                .into_iter()
                .filter_map(Value::as_str)
                .map(str::to_owned),
        );
    }
    let looks_like_h2o = words.iter().any(|word| word.to_ascii_lowercase().contains("h2o"));
    let is_heap =
        |word: &&str| word.starts_with("-Xmx") || word.starts_with("-XX:MaxRAMPercentage");
    let pieces = words
        .iter()
        .flat_map(|word| word.split(|c: char| c.is_whitespace() || "\"'=".contains(c) && c != '='));
    let heap_arguments = pieces.filter(is_heap).map(str::to_owned).collect();
    Ok(Container {
        owner: owner.to_owned(),
        name,
        limit_bytes,
        limit,
        request_bytes,
        replicas,
        looks_like_h2o,
        heap_arguments,
    })
}

fn place(owner: &str, container: &str) -> String {
    format!("{owner}, container `{container}`")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANY: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: h2o}
spec: {clusterIP: None}
---
# Only a comment
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: h2o
spec:
  replicas: 3
  template:
    spec:
      initContainers:
        - {name: flatfile, image: busybox, resources: {limits: {memory: 128Gi}}}
      containers:
        - name: log
          image: fluentd
          resources: {limits: {memory: 90Gi}}
        - name: h2o
          image: h2oai/h2o-open-source-k8s:3.46.0.11
          command: ["/bin/bash", "-c", "java -Xmx64g -jar /opt/h2oai/h2o-3/h2o.jar"]
          resources:
            requests: {memory: 32Gi}
            limits: {memory: 64Gi}
---
kind: CronJob
apiVersion: batch/v1
metadata: {name: train}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - {name: train, image: python, resources: {limits: {memory: 128974848}}}
"#;

    fn limits(text: &str) -> Vec<(String, Option<u64>)> {
        let all = containers(text).unwrap();
        all.into_iter().map(|it| (format!("{}/{}", it.owner, it.name), it.limit_bytes)).collect()
    }

    #[test]
    fn finds_every_container_of_every_document() {
        let expected = [
            ("StatefulSet/h2o/log", Some(90 << 30)),
            ("StatefulSet/h2o/h2o", Some(64 << 30)),
            ("CronJob/train/train", Some(128_974_848)),
        ];
        assert_eq!(limits(MANY), expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    }

    #[test]
    fn reads_every_kind_of_workload() {
        let pod = "spec: {containers: [{name: a, resources: {limits: {memory: 1e3}}}]}";
        check_kind(&format!("kind: Pod\n{pod}"));
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] {
            check_kind(&format!("kind: {kind}\nspec: {{template: {{{pod}}}}}"));
        }
        check_kind(&format!("kind: List\nitems: [{{kind: Pod, {pod}}}]"));
        check_kind(
            r#"{"kind": "Pod", "spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": "1k"}}}]}}"#,
        );
        check_kind("kind: Pod\nspec: {resources: {limits: {memory: 1k}}, containers: [{name: a}]}");
    }

    fn check_kind(text: &str) {
        assert_eq!(containers(text).unwrap()[0].limit_bytes, Some(1_000), "{text}");
    }

    #[test]
    fn chooses_by_name_by_looks_by_size() {
        let all = containers(MANY).unwrap();
        let choice = choose(&all, None).unwrap();
        assert_eq!((choice.container.name.as_str(), choice.why), ("h2o", "looks like H2O"));
        assert_eq!((choice.limit_bytes, choice.container.replicas), (64 << 30, 3));
        let warnings = choice.warnings(42 << 30).join("\n");
        assert!(warnings.contains("requests 32 GiB") && warnings.contains("-Xmx64g"), "{warnings}");
        let named = choose(&all, Some("train")).unwrap();
        assert_eq!((named.container.name.as_str(), named.why), ("train", "named"));
        let plain = containers(&MANY.replace("h2o", "x")).unwrap();
        let largest = choose(&plain, None).unwrap();
        assert_eq!((largest.container.name.as_str(), largest.why), ("log", "the largest"));
        let error = choose(&all, Some("h2")).unwrap_err().to_string();
        assert!(error.contains("no container `h2`: there are `log`, `h2o`, `train`"), "{error}");
    }

    #[test]
    fn what_gives_no_limit_says_where() {
        for (text, words) in [
            ("a: [", "no YAML"),
            ("kind: {{ .Values.kind }}\nspec: {", "no YAML"),
            ("", "holds no Pod"),
            ("just text", "holds no Pod"),
            ("kind: ConfigMap\ndata: {a: b}", "holds no Pod"),
            ("kind: Pod\nspec: {containers: 3}", "holds no Pod"),
            (
                "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}]}",
                "Pod/p, container `a` has no",
            ),
            (
                "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, resources: {limits: {memory: 64g}}}]}",
                "Pod/p, container `a`: resources.limits.memory",
            ),
            (
                "kind: Pod\nspec: {containers: [{name: a, resources: {limits: {memory: [1]}}}]}",
                "resources.limits.memory",
            ),
        ] {
            let ended = containers(text).and_then(|all| choose(&all, None));
            let error = ended.expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", yaml in "(kind: Pod\n|spec:|[ \n:\\-{}\\[\\],&*a-c]){0,20}") {
            drop((containers(&text), containers(&yaml)));
        }
    }
}
