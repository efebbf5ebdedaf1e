//! LE-DEV-03: one version of H2O in client, cluster and artifact.

use super::Findings;
use crate::facts::Facts;
use crate::finding::Hop;
use crate::platform::at::At;
use crate::platform::packages::{Requirement, is_less, numbers};
use crate::platform::span;
use crate::rule::Severity;

/// The first version whose Python client exports no MOJO without H2O-3 Secure.
const EXPORT_REFUSED_FROM: &str = "3.46.0.12";

/// All rules about versions.
pub(crate) fn versions(facts: &Facts, findings: &mut Findings<'_>) {
    let clients: Vec<&(usize, Requirement)> =
        facts.platform.requirements.iter().filter(|(_, it)| it.name == "h2o").collect();
    unpinned(facts, &clients, findings);
    exports(facts, &clients, findings);
    let clusters = clusters(facts, findings);
    // A lock file says what is installed.
    let reference = clients
        .iter()
        .find(|(_, it)| it.locked)
        .or(clients.iter().find(|(_, it)| it.exact().is_some()));
    let Some((source, client)) = reference else { return };
    let Some(wanted) = client.exact() else { return };
    let hop = findings.hop(
        *source,
        span(&facts.sources[*source], client.at),
        format!("the client is {wanted}"),
    );
    for (place, at, version) in clusters {
        if numbers(&version) != numbers(wanted) {
            let message =
                format!("the cluster is H2O {version}, the client {wanted}: they must be the same");
            findings
                .add("h2o_versions_differ", place, span(&facts.sources[place], at), message)
                .chain
                .push(hop.clone());
        }
    }
    for (place, other) in clients
        .iter()
        .filter(|(place, it)| it.exact().is_some_and(|it| it != wanted) && place != source)
    {
        let version = other.exact().unwrap_or_default();
        let message = format!("asks for H2O {version}, while another file asks for {wanted}");
        let finding = findings.add(
            "h2o_versions_differ",
            *place,
            span(&facts.sources[*place], other.at),
            message,
        );
        finding.chain.push(hop.clone());
        finding.severity = Severity::Warning;
    }
    for artifact in facts.artifacts.iter().filter(|it| it.rule.id == "h2o_binary") {
        let Some(version) =
            version_in(&artifact.message).filter(|it| numbers(it) != numbers(wanted))
        else {
            continue;
        };
        let message = format!(
            "asks for H2O {wanted}, but `{}` was written by {version} and is read by no other",
            artifact.path
        );
        let finding = findings.add(
            "h2o_versions_differ",
            *source,
            span(&facts.sources[*source], client.at),
            message,
        );
        finding.chain.push(Hop {
            path: artifact.path.clone(),
            line: 0,
            what: artifact.message.clone(),
        });
    }
}

/// `3.46.0.5` in a text.
fn version_in(text: &str) -> Option<String> {
    let words =
        text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|word| word.trim_matches('.'));
    words
        .into_iter()
        .find(|word| word.starts_with("3.") && numbers(word).len() >= 3)
        .map(str::to_owned)
}

fn unpinned(facts: &Facts, clients: &[&(usize, Requirement)], findings: &mut Findings<'_>) {
    if clients.iter().any(|(_, it)| it.locked) {
        return;
    }
    for (source, it) in clients.iter().filter(|(_, it)| it.exact().is_none()) {
        let asked = if it.specifier.is_empty() {
            "any version".to_owned()
        } else {
            format!("`{}`", it.specifier)
        };
        let message = format!(
            "h2o is asked for as {asked}: the client that is installed tomorrow refuses the cluster of today"
        );
        findings.add("h2o_unpinned", *source, span(&facts.sources[*source], it.at), message);
    }
}

/// Versions of images that run H2O; those without one are told.
fn clusters(facts: &Facts, findings: &mut Findings<'_>) -> Vec<(usize, At, String)> {
    let mut images: Vec<(usize, At, String)> = Vec::new();
    for (source, image) in &facts.platform.images {
        images.extend(image.stages.iter().map(|stage| (*source, stage.at, stage.base.clone())));
    }
    for (source, workload) in &facts.platform.workloads {
        let all = workload.containers.iter().filter_map(|it| it.image());
        images.extend(all.map(|(image, at)| (*source, at, image.to_owned())));
    }
    images.retain(|(_, _, image)| image.contains("h2o-open-source"));
    let mut found = Vec::new();
    for (source, at, image) in images {
        let name = image.rsplit('/').next().unwrap_or_default();
        let tag = name.split('@').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
        match tag {
            Some(tag) if numbers(tag).len() >= 3 => found.push((source, at, tag.to_owned())),
            // A digest or a template's value is one version, too.
            _ if image.contains('@')
                || image.contains('$')
                || image.contains(crate::platform::yaml::UNKNOWN) => {}
            _ => {
                let message =
                    format!("`{image}` is another H2O after each release: name its version");
                findings.add("h2o_unpinned", source, span(&facts.sources[source], at), message);
            }
        }
    }
    found
}

/// Versions that refuse to export, where the repository exports.
fn exports(facts: &Facts, clients: &[&(usize, Requirement)], findings: &mut Findings<'_>) {
    let Some(export) = first_export(facts) else { return };
    let is_locked = clients.iter().any(|(_, it)| it.locked);
    for (source, it) in clients {
        let place = span(&facts.sources[*source], it.at);
        let (message, severity) = match it.exact() {
            Some(version) if !is_less(&numbers(version), &numbers(EXPORT_REFUSED_FROM)) => (
                format!(
                    "h2o {version} refuses to export MOJOs without H2O-3 Secure; {EXPORT_REFUSED_FROM} was the first, 3.46.0.11 the last that does"
                ),
                Severity::Error,
            ),
            None if !is_locked && it.allows(EXPORT_REFUSED_FROM) => (
                format!(
                    "lets in h2o {EXPORT_REFUSED_FROM} and later, which refuse to export MOJOs without H2O-3 Secure: ask for ==3.46.0.11"
                ),
                Severity::Warning,
            ),
            _ => continue,
        };
        let finding = findings.add("h2o_mojo_export", *source, place, message);
        finding.severity = severity;
        finding.chain.push(export.clone());
    }
}

fn first_export(facts: &Facts) -> Option<Hop> {
    facts.python.iter().find_map(|module| {
        let mut found = None;
        for function in &module.functions {
            function.exprs(&mut |expr| {
                let name = expr.call().and_then(|call| call.func.last_name());
                if found.is_none() && matches!(name, Some("download_mojo" | "save_mojo")) {
                    found = Some(expr.span);
                }
            });
        }
        let source = &facts.sources[module.source];
        found.map(|at| Hop {
            path: source.path.clone(),
            line: source.line_of(at.start),
            what: "a MOJO is exported here".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_messages() {
        assert_eq!(
            version_in("H2O's binary model, written by 3.46.0.5, needs").as_deref(),
            Some("3.46.0.5")
        );
        assert_eq!(version_in("nothing 3.1"), None);
    }
}
