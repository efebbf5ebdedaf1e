//! Kubernetes objects as rules ask for them: workloads, containers, services, heaps, with places.
//!
//! Reads nodes and judges nothing. Names that a template decides keep their unknown part and compare
//! equal where the expression is equal.

use crate::platform::at::At;
use crate::platform::yaml::{Documents, Node};

/// An object with a kind.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) kind: String,
    /// As written; empty if it has none.
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) root: Node,
}

/// What runs a pod.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) object: Object,
    /// The template, with `metadata` and `spec`; of a Pod the object itself.
    pub(crate) template: Node,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) node: Node,
    pod: Node,
}

/// How large the JVM's heap may get, and where that is said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heap {
    pub(crate) argument: String,
    pub(crate) size: HeapSize,
    pub(crate) at: At,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum HeapSize {
    Bytes(u64),
    /// Of the container's limit.
    Percent(f64),
}

/// All objects, those of lists too.
pub(crate) fn objects(documents: &Documents) -> Vec<Object> {
    let mut found = Vec::new();
    documents.roots.iter().for_each(|root| collect(root, &mut found));
    found
}

fn collect(root: &Node, found: &mut Vec<Object>) {
    let Some((_, kind)) = root.entry("kind") else { return };
    let Some(kind) = kind.raw() else { return };
    if root.get("apiVersion").is_none() {
        return;
    }
    for item in root.get("items").into_iter().flat_map(Node::items) {
        collect(item, found);
    }
    let name = root.path(&["metadata", "name"]).or(root.path(&["metadata", "generateName"]));
    let at = name.map_or(root.at, |name| name.at);
    let name = name.and_then(Node::raw).unwrap_or_default().to_owned();
    found.push(Object { kind: kind.to_owned(), name, at, root: root.clone() });
}

impl Object {
    pub(crate) fn spec(&self, keys: &[&str]) -> Option<&Node> {
        self.root.get("spec")?.path(keys)
    }

    /// `Kind/name`.
    pub(crate) fn title(&self) -> String {
        let name = self.name.replace(crate::platform::yaml::UNKNOWN, "");
        format!("{}/{}", self.kind, if name.is_empty() { "?" } else { &name })
    }

    /// A service that has no address of its own.
    pub(crate) fn is_headless(&self) -> bool {
        self.kind == "Service" && self.spec(&["clusterIP"]).and_then(Node::raw) == Some("None")
    }

    /// Whether this service leads to the pods of a workload; where templates decide, it may.
    pub(crate) fn selects(&self, workload: &Workload) -> bool {
        let Some(selector) = self.spec(&["selector"]) else { return false };
        let labels = workload.template.path(&["metadata", "labels"]);
        let label_unknown = labels.is_some_and(has_unknown_key);
        let entries = selector.entries();
        !entries.is_empty()
            && entries.iter().all(|(key, value)| {
                let name = key.raw().unwrap_or_default();
                match labels.and_then(|labels| labels.get(name)) {
                    Some(label) => {
                        label.raw() == value.raw() || label.is_unknown() || value.is_unknown()
                    }
                    None => label_unknown || key.is_unknown(),
                }
            })
    }
}

fn has_unknown_key(node: &Node) -> bool {
    node.entries().iter().any(|(key, _)| key.is_unknown())
}

/// Objects that run pods.
pub(crate) fn workloads(objects: &[Object]) -> Vec<Workload> {
    objects.iter().filter_map(workload).collect()
}

fn workload(object: &Object) -> Option<Workload> {
    let spec = object.root.get("spec");
    let template = match object.kind.as_str() {
        "Pod" => Some(&object.root),
        "CronJob" => spec?.path(&["jobTemplate", "spec", "template"]),
        "PodTemplate" => object.root.get("template"),
        _ => spec?.get("template"),
    }?;
    let pod = template.get("spec")?;
    let list = |key| -> Vec<Container> {
        pod.get(key).into_iter().flat_map(Node::items).map(|node| container(node, pod)).collect()
    };
    let containers = list("containers");
    if containers.is_empty() {
        return None;
    }
    let init_containers = list("initContainers");
    Some(Workload {
        object: object.clone(),
        template: template.clone(),
        containers,
        init_containers,
    })
}

fn container(node: &Node, pod: &Node) -> Container {
    let name = node
        .get("name")
        .and_then(Node::raw)
        .unwrap_or("?")
        .replace(crate::platform::yaml::UNKNOWN, "");
    Container { name, at: node.at, node: node.clone(), pod: pod.clone() }
}

impl Workload {
    /// Replicas that are asked for; 1 where nothing is said, `None` where a template decides.
    pub(crate) fn replicas(&self) -> Option<u64> {
        match self.object.spec(&["replicas"]) {
            Some(node) => node.number(),
            None => Some(1),
        }
    }

    pub(crate) fn pod(&self, keys: &[&str]) -> Option<&Node> {
        self.template.get("spec")?.path(keys)
    }

    /// The container that is a member of an H2O cluster.
    pub(crate) fn h2o(&self) -> Option<&Container> {
        self.containers.iter().find(|it| it.is_h2o_member())
    }
}

impl Container {
    pub(crate) fn image(&self) -> Option<(&str, At)> {
        let node = self.node.get("image")?;
        Some((node.raw()?, node.at))
    }

    /// Words of `command` and `args`.
    pub(crate) fn words(&self) -> Vec<(&str, At)> {
        let lists = ["command", "args"].into_iter().filter_map(|key| self.node.get(key));
        // A template may leave a scalar where a list belongs.
        lists
            .flat_map(|list| {
                if list.items().is_empty() { std::slice::from_ref(list) } else { list.items() }
            })
            .filter_map(|node| Some((node.raw()?, node.at)))
            .collect()
    }

    /// A variable of the environment: its value, where it is stated here.
    pub(crate) fn variable(&self, name: &str) -> Option<&Node> {
        let items = self.node.get("env")?.items();
        items.iter().find(|it| it.get("name").and_then(Node::raw) == Some(name))
    }

    /// A number of bytes under `resources`, its own or its pod's; with the text.
    pub(crate) fn memory(&self, field: &str) -> Option<(u64, &Node)> {
        let keys = ["resources", field, "memory"];
        let node = self.node.path(&keys).or(self.pod.path(&keys))?;
        let bytes = stemson_cluster::parse_kubernetes(node.text()?).ok()?;
        Some((bytes, node))
    }

    /// What is said under `resources`, read or not.
    pub(crate) fn resource(&self, field: &str, name: &str) -> Option<&Node> {
        let keys = ["resources", field, name];
        self.node.path(&keys).or(self.pod.path(&keys))
    }

    /// Whether it runs H2O as a member of a cluster: its jar, its image, or its discovery.
    pub(crate) fn is_h2o_member(&self) -> bool {
        let image = self.image().map(|(image, _)| image.to_ascii_lowercase()).unwrap_or_default();
        let repository = image.split(['@', ':']).next().unwrap_or_default();
        let last = repository.rsplit('/').next().unwrap_or_default();
        let by_image =
            repository.contains("h2o-open-source") || matches!(last, "h2o" | "h2o-3" | "h2o3");
        let by_command = self.words().iter().any(|(word, _)| word.contains("h2o.jar"));
        let ports = self.node.get("ports").map(Node::items).unwrap_or_default();
        let by_port =
            ports.iter().any(|it| it.get("containerPort").and_then(Node::number) == Some(54_321));
        // What has no image patches another manifest, and is no container of its own.
        let by_discovery =
            !image.is_empty() && self.variable("H2O_KUBERNETES_SERVICE_DNS").is_some();
        by_image || by_command || by_port || by_discovery
    }

    /// Whether it is H2O by its name alone: enough to judge a heap by, not to expect a cluster.
    pub(crate) fn is_called_h2o(&self) -> bool {
        let image = self.image().map(|(image, _)| image.to_ascii_lowercase()).unwrap_or_default();
        image.contains("h2o") || self.name.to_ascii_lowercase().contains("h2o")
    }

    /// The heap that its JVM takes: `_JAVA_OPTIONS` outweighs the command, that outweighs
    /// `JAVA_TOOL_OPTIONS`; `-Xmx` outweighs a percentage; the last of equals holds.
    pub(crate) fn heap(&self) -> Option<Heap> {
        let mut texts: Vec<(String, At)> = Vec::new();
        for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS"] {
            texts.extend(self.variable(name).and_then(stated));
        }
        texts.extend(self.words().into_iter().map(|(word, at)| (word.to_owned(), at)));
        texts.extend(self.variable("_JAVA_OPTIONS").and_then(stated));
        let mut found: Vec<Heap> = Vec::new();
        for (text, at) in &texts {
            let text = self.fill(text);
            found.extend(heap_arguments(&text).into_iter().map(|(argument, size)| Heap {
                argument,
                size,
                at: *at,
            }));
        }
        let bytes = found.iter().rposition(|it| matches!(it.size, HeapSize::Bytes(_)));
        let at = bytes.or(found.len().checked_sub(1))?;
        Some(found.swap_remove(at))
    }

    /// `$(NAME)` and `${NAME}` filled in from the environment that stands here.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for item in self.node.get("env").into_iter().flat_map(Node::items) {
            let (Some(name), Some(value)) =
                (item.get("name").and_then(Node::raw), item.get("value").and_then(Node::raw))
            else {
                continue;
            };
            for form in [format!("$({name})"), format!("${{{name}}}"), format!("${name}")] {
                if text.contains(&form) {
                    text = text.replace(&form, value);
                }
            }
        }
        text
    }
}

fn stated(variable: &Node) -> Option<(String, At)> {
    let value = variable.get("value")?;
    Some((value.raw()?.to_owned(), value.at))
}

/// `-Xmx4g`, `-XX:MaxHeapSize=4g`, `-XX:MaxRAMPercentage=50` in a text, in order; those with a size
/// that can be told.
pub(crate) fn heap_arguments(text: &str) -> Vec<(String, HeapSize)> {
    let is_end = |c: char| c.is_whitespace() || "\"'`;&|)".contains(c);
    let words = text
        .split(is_end)
        .flat_map(|word| word.strip_prefix("--java_args=").unwrap_or(word).split(','));
    words
        .filter_map(|word| {
            // `ENV JAVA_OPTS=-Xmx4g`
            let start = word.find("-Xmx").or(word.find("-XX:Max"))?;
            let word = &word[start..];
            let bytes = word.strip_prefix("-Xmx").or(word.strip_prefix("-XX:MaxHeapSize="));
            let size = if let Some(size) = bytes {
                HeapSize::Bytes(stemson_cluster::parse_limit(&size.to_ascii_lowercase()).ok()?)
            } else {
                HeapSize::Percent(word.strip_prefix("-XX:MaxRAMPercentage=")?.parse().ok()?)
            };
            Some((word.to_owned(), size))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Workload {
        let objects = objects(&crate::platform::yaml::parse(text));
        workloads(&objects).remove(0)
    }

    fn pod(container: &str) -> Container {
        let text = ["apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - ", container].concat();
        one(&text).containers.remove(0)
    }

    #[test]
    fn the_heap_that_the_jvm_takes() {
        for (container, expected) in [
            ("{command: [java, -Xmx4g, -jar, h2o.jar]}", Some(HeapSize::Bytes(4 << 30))),
            ("{args: ['java -Xmx1g -Xmx2G -jar x']}", Some(HeapSize::Bytes(2 << 30))),
            (
                "{command: [sh, -c, 'exec java -XX:MaxRAMPercentage=50 -jar h2o.jar']}",
                Some(HeapSize::Percent(50.0)),
            ),
            (
                "{args: [-XX:MaxRAMPercentage=50], env: [{name: JAVA_TOOL_OPTIONS, value: -Xmx1g}]}",
                Some(HeapSize::Bytes(1 << 30)),
            ),
            (
                "{args: [-Xmx1g], env: [{name: JAVA_TOOL_OPTIONS, value: -Xmx2g}]}",
                Some(HeapSize::Bytes(1 << 30)),
            ),
            (
                "{args: [-Xmx1g], env: [{name: _JAVA_OPTIONS, value: -Xmx2g}]}",
                Some(HeapSize::Bytes(2 << 30)),
            ),
            (
                "{args: ['-Xmx$(HEAP)'], env: [{name: HEAP, value: 3g}]}",
                Some(HeapSize::Bytes(3 << 30)),
            ),
            ("{args: ['-Xmx$(HEAP)']}", None),
            ("{args: [python, app.py]}", None),
        ] {
            assert_eq!(pod(container).heap().map(|it| it.size), expected, "{container}");
        }
    }

    #[test]
    fn a_service_leads_to_the_pods_of_its_selector() {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: None, selector: {app: h2o}}\n---\n\
            apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: h}\nspec: {template: {metadata: {labels: {app: h2o, v: 1}}, spec: {containers: [{name: a, image: 'h2oai/h2o-open-source-k8s:3.46.0.11'}]}}}\n";
        let objects = objects(&crate::platform::yaml::parse(text));
        let workload = &workloads(&objects)[0];
        assert!(objects[0].selects(workload) && objects[0].is_headless());
        assert!(workload.h2o().is_some());
        assert_eq!(workload.replicas(), Some(1));
    }

    #[test]
    fn members_are_known_by_what_they_run() {
        for (container, expected) in [
            ("{image: 'h2oai/h2o-open-source-k8s:3.46.0.11'}", true),
            ("{image: x, command: [java, -jar, /opt/h2o.jar]}", true),
            ("{image: 'registry/h2o:1'}", true),
            ("{image: 'registry/h2o-scorer:1', name: h2o-scorer}", false),
            ("{image: python}", false),
        ] {
            assert_eq!(pod(container).is_h2o_member(), expected, "{container}");
        }
    }
}
