//! LE-PHY-02 and LE-PHY-03: members of an H2O cluster: where they run, how they find each other, when
//! they are ready.

use super::Findings;
use crate::facts::Facts;
use crate::platform::at::At;
use crate::platform::kubernetes::{Container, Object, Workload};
use crate::platform::span;
use crate::platform::yaml::Node;
use crate::rule::Severity;

/// The port of H2O's own probes where nothing else is said.
const API_PORT: u64 = 8080;

/// All rules about members.
pub(crate) fn members(facts: &Facts, findings: &mut Findings<'_>) {
    for (source, workload) in &facts.platform.workloads {
        let Some(container) = workload.h2o() else { continue };
        if matches!(workload.object.kind.as_str(), "Pod" | "Job" | "CronJob")
            || workload.replicas() == Some(1)
            || workload.replicas() == Some(0)
        {
            continue;
        }
        let mut member = Member { facts, source: *source, workload, container, findings };
        member.placement();
        member.discovery();
        member.expected_count();
        member.parallel();
        member.probes();
    }
}

struct Member<'a, 'f> {
    facts: &'a Facts,
    source: usize,
    workload: &'a Workload,
    container: &'a Container,
    findings: &'a mut Findings<'f>,
}

impl Member<'_, '_> {
    fn report(
        &mut self,
        rule: &str,
        source: usize,
        at: At,
        message: impl Into<String>,
    ) -> &mut crate::finding::Finding {
        self.findings.add(rule, source, span(&self.facts.sources[source], at), message)
    }

    fn title(&self) -> String {
        self.workload.object.title()
    }

    fn placement(&mut self) {
        let anti = self.workload.pod(&["affinity", "podAntiAffinity"]).cloned();
        let Some(anti) = anti else {
            let affinity = self.workload.pod(&["affinity"]);
            let spread =
                self.workload.pod(&["topologySpreadConstraints"]).is_some_and(|it| !it.is_null());
            if spread
                || affinity.is_some_and(|it| {
                    it.is_unknown() || it.entries().iter().any(|(key, _)| key.is_unknown())
                })
                || self.workload.replicas().is_none()
            {
                return;
            }
            let message = format!(
                "nothing keeps the members of {} apart: one host may hold several, and takes them all with it",
                self.title()
            );
            self.report("member_placement", self.source, self.workload.object.at, message);
            return;
        };
        let required = anti
            .get("requiredDuringSchedulingIgnoredDuringExecution")
            .map(Node::items)
            .unwrap_or_default();
        let preferred = anti
            .get("preferredDuringSchedulingIgnoredDuringExecution")
            .map(Node::items)
            .unwrap_or_default();
        let terms: Vec<&Node> = required
            .iter()
            .chain(preferred.iter().filter_map(|it| it.get("podAffinityTerm")))
            .collect();
        let keys: Vec<&Node> = terms.iter().filter_map(|it| it.get("topologyKey")).collect();
        let by_host =
            keys.iter().any(|key| key.is_unknown() || key.text() == Some("kubernetes.io/hostname"));
        if let Some(key) = keys.first().filter(|_| !by_host) {
            let message = format!(
                "the members are kept apart by `{}`, not by host: two may still share one",
                key.raw().unwrap_or_default()
            );
            self.report("member_placement", self.source, key.at, message);
        } else if let Some(term) =
            terms.first().filter(|_| terms.iter().all(|term| !self.selects_own(term)))
        {
            self.report(
                "member_placement",
                self.source,
                term.at,
                "the anti-affinity selects none of its own pods: it keeps nothing apart",
            );
        }
    }

    /// Whether a term's selector fits the labels of these pods.
    fn selects_own(&self, term: &Node) -> bool {
        let Some(labels) = self.workload.template.path(&["metadata", "labels"]) else {
            return true;
        };
        let Some(selector) = term.get("labelSelector") else { return false };
        let holds = |key: Option<&str>, values: &[Node]| {
            let label = key.and_then(|key| labels.get(key));
            label.is_some_and(|label| {
                values.iter().any(|it| it.raw() == label.raw() || it.is_unknown())
            })
        };
        let unknown = |node: &Node| {
            node.entries().iter().any(|(key, value)| key.is_unknown() || value.is_unknown())
        };
        let matched = selector.get("matchLabels").is_none_or(|it| {
            unknown(it)
                || unknown(labels)
                || it
                    .entries()
                    .iter()
                    .all(|(key, value)| holds(key.raw(), std::slice::from_ref(value)))
        });
        let expressions = selector.get("matchExpressions").map(Node::items).unwrap_or_default();
        matched
            && expressions.iter().all(|it| {
                it.get("operator").and_then(Node::text) != Some("In")
                    || holds(
                        it.get("key").and_then(Node::raw),
                        it.get("values").map(Node::items).unwrap_or_default(),
                    )
            })
    }

    /// The service that `serviceName` means, or that leads to these pods and has no address.
    fn service(&self) -> Option<(usize, Object)> {
        let beside = || {
            self.facts
                .platform
                .beside(&self.facts.sources, self.source)
                .filter(|(_, it)| it.kind == "Service")
        };
        let name = self.workload.object.spec(&["serviceName"]).and_then(Node::raw);
        let named = name.and_then(|name| beside().find(|(_, it)| it.name == name));
        named
            .or_else(|| beside().find(|(_, it)| it.is_headless() && it.selects(self.workload)))
            .or_else(|| {
                // Another folder may hold it.
                let all = &self.facts.platform.objects;
                all.iter().find(|(_, it)| it.kind == "Service" && name == Some(it.name.as_str()))
            })
            .cloned()
    }

    /// Somebody else tells the members of each other, by H2O's own interface for it.
    fn is_assisted(&self) -> bool {
        let words = self.container.words();
        self.container.variable("H2O_ASSISTED_CLUSTERING_REST").is_some()
            || words.iter().any(|(word, _)| word.contains("h2o-clustering.jar"))
    }

    fn discovery(&mut self) {
        if self.is_assisted() {
            return;
        }
        let at = self.workload.object.at;
        if self.workload.object.kind != "StatefulSet" {
            let message = format!(
                "members of an H2O cluster in {}: a member that is replaced breaks the cluster, so they need a StatefulSet",
                self.title()
            );
            self.report("h2o_discovery", self.source, at, message);
        }
        if self.mentions_flatfile() {
            return;
        }
        let service = self.service();
        let service_name = self.workload.object.spec(&["serviceName"]).cloned();
        match (&service, &service_name) {
            (Some((place, service)), name) => {
                if !service.is_headless() {
                    let at = service.spec(&["clusterIP"]).map_or(service.at, |it| it.at);
                    let message = format!(
                        "{} has an address of its own: its name gives one address, and no member finds the others",
                        service.title()
                    );
                    self.report("h2o_discovery", *place, at, message);
                } else if !service.selects(self.workload) {
                    let message = format!(
                        "the selector of {} fits none of the pods of {}: its name gives no address",
                        service.title(),
                        self.title()
                    );
                    self.report("h2o_discovery", *place, service.at, message);
                } else if name.as_ref().is_some_and(|name| name.raw() != Some(&service.name)) {
                    let at = name.as_ref().map_or(at, |it| it.at);
                    let message = format!(
                        "`serviceName` means no service here; the headless one is `{}`",
                        service.name
                    );
                    self.report("h2o_discovery", self.source, at, message);
                }
            }
            (None, name) => {
                let at = name.as_ref().map_or(at, |it| it.at);
                let message = format!(
                    "no headless Service leads to the pods of {}: no member finds the others",
                    self.title()
                );
                // Where both names agree the Service may stand in another repository.
                let dns = self.container.variable("H2O_KUBERNETES_SERVICE_DNS");
                let dns =
                    dns.and_then(|it| it.get("value")).and_then(Node::raw).unwrap_or_default();
                let agrees =
                    name.as_ref().and_then(Node::raw).is_some_and(|name| dns.starts_with(name));
                let finding = self.report("h2o_discovery", self.source, at, message);
                if agrees {
                    finding.severity = Severity::Warning;
                }
            }
        }
        self.dns(service.map(|(_, service)| service.name));
    }

    fn dns(&mut self, service: Option<String>) {
        let Some(variable) = self.container.variable("H2O_KUBERNETES_SERVICE_DNS") else {
            let message = format!(
                "container `{}` has no H2O_KUBERNETES_SERVICE_DNS and no flatfile: each member makes a cluster of its own",
                self.container.name
            );
            self.report("h2o_discovery", self.source, self.container.at, message);
            return;
        };
        let Some((value, service)) = variable.get("value").zip(service) else { return };
        let text = value.raw().unwrap_or_default();
        let first = text.strip_prefix(service.as_str());
        // A template may put more behind the name than can be told.
        let is_same = first.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['.', crate::platform::yaml::UNKNOWN])
        });
        let is_known = !value.is_unknown() && !service.contains(crate::platform::yaml::UNKNOWN);
        if is_known && !is_same {
            let message = format!(
                "H2O_KUBERNETES_SERVICE_DNS does not begin with the headless Service's name `{service}`"
            );
            self.report("h2o_discovery", self.source, value.at, message);
        }
    }

    fn mentions_flatfile(&self) -> bool {
        let words = self.container.words();
        let init = self
            .workload
            .init_containers
            .iter()
            .any(|it| crate::platform::mentions(&it.node, "flatfile"));
        init || words.iter().any(|(word, _)| word.contains("flatfile"))
    }

    fn expected_count(&mut self) {
        let Some(value) =
            self.container.variable("H2O_NODE_EXPECTED_COUNT").and_then(|it| it.get("value"))
        else {
            return;
        };
        let (Some(expected), Some(replicas)) = (value.number(), self.workload.replicas()) else {
            return;
        };
        if expected != replicas {
            let what = if expected < replicas {
                "the rest finds a cluster that is locked"
            } else {
                "every start waits for the whole timeout"
            };
            let message =
                format!("H2O_NODE_EXPECTED_COUNT is {expected}, replicas are {replicas}: {what}");
            self.report("h2o_expected_count", self.source, value.at, message);
        }
    }

    fn parallel(&mut self) {
        if self.workload.object.kind != "StatefulSet" {
            return;
        }
        let policy = self.workload.object.spec(&["podManagementPolicy"]).cloned();
        if policy.as_ref().is_some_and(|it| it.is_unknown() || it.text() == Some("Parallel")) {
            return;
        }
        let at = policy.map_or(self.workload.object.at, |it| it.at);
        let message = format!(
            "the pods of {} start one after the other, each waiting for the one before: `podManagementPolicy: Parallel` starts them together",
            self.title()
        );
        self.report("h2o_parallel", self.source, at, message);
    }

    fn probes(&mut self) {
        let container = self.container;
        if let Some((key, _)) = container.node.entry("livenessProbe") {
            let message = "a liveness probe restarts one member, and H2O loses the whole cluster with it: it heals nothing here";
            self.report("h2o_probe", self.source, key.at, message);
        }
        let Some((key, probe)) = container.node.entry("readinessProbe") else {
            if !self.is_assisted() && self.workload.replicas().is_some() {
                let message = format!(
                    "container `{}` has no readiness probe: clients reach every member, not the leader alone",
                    container.name
                );
                self.report("h2o_probe", self.source, container.at, message);
            }
            return;
        };
        if probe.is_unknown() || probe.entries().iter().any(|(key, _)| key.is_unknown()) {
            return;
        }
        let path = probe.path(&["httpGet", "path"]).and_then(Node::raw).unwrap_or_default();
        if path.trim_end_matches('/') == "/kubernetes/isLeaderNode" {
            self.probe_port(probe);
            return;
        }
        let message = "the readiness probe is not H2O's own `/kubernetes/isLeaderNode`: every member counts as ready, and clients reach them in turn";
        self.report("h2o_probe", self.source, key.at, message);
        self.deadlock(key.at, probe);
    }

    fn probe_port(&mut self, probe: &Node) {
        let Some(port) = probe.path(&["httpGet", "port"]) else { return };
        let variable =
            self.container.variable("H2O_KUBERNETES_API_PORT").and_then(|it| it.get("value"));
        let expected = match variable {
            Some(value) => value.number(),
            None => Some(API_PORT),
        };
        if let (Some(port_number), Some(expected)) = (port.number(), expected)
            && port_number != expected
        {
            let message = format!(
                "the probe asks port {port_number}, H2O answers it on {expected} (H2O_KUBERNETES_API_PORT)"
            );
            self.report("h2o_probe", self.source, port.at, message);
        }
    }

    /// A member that is not ready has no name in the service, and is not ready before it has found the
    /// others by that name.
    fn deadlock(&mut self, probe_at: At, probe: &Node) {
        let Some((place, service)) = self.service().filter(|(_, it)| it.is_headless()) else {
            return;
        };
        if self.mentions_flatfile()
            || service
                .spec(&["publishNotReadyAddresses"])
                .is_some_and(|it| it.is_unknown() || it.boolean() == Some(true))
        {
            return;
        }
        let message = format!(
            "{} names only pods that are ready, and no member is before it has found the others here: set `publishNotReadyAddresses: true`",
            service.title()
        );
        let hop = self.findings.hop(
            self.source,
            span(&self.facts.sources[self.source], probe_at),
            "the probe that waits for the cluster",
        );
        let is_strict = crate::platform::mentions(probe, "3/cloud")
            || crate::platform::mentions(probe, "consensus");
        let finding = self.report("h2o_probe_deadlock", place, service.at, message);
        finding.chain.push(hop);
        if !is_strict {
            finding.severity = Severity::Warning;
        }
    }
}
