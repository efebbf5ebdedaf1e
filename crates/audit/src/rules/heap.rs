//! LE-PHY-01: the JVM's heap against the container's limit, requests against limits.
//!
//! Bands: over 70 % of the limit breaks; from 50 to 70 % only where XGBoost is in sight, whose memory is
//! not in the heap. Source: `memory-split` of this product and what its guide measured.

use super::Findings;
use crate::facts::Facts;
use crate::platform::at::At;
use crate::platform::kubernetes::{Container, Heap, HeapSize, Workload, heap_arguments};
use crate::platform::span;
use crate::rule::Severity;
use stemson_cluster::Bytes;

/// Percent of the limit that a heap may never take, and may take where XGBoost trains.
const HEAP_PERCENT_MAX: f64 = 70.0;
const XGBOOST_PERCENT_MAX: f64 = 50.0;

/// Heaps, limits and requests of all containers.
pub(crate) fn memory(facts: &Facts, findings: &mut Findings<'_>) {
    let xgboost =
        facts.sources.iter().any(|it| it.text.contains("xgboost") || it.text.contains("XGBoost"));
    for (source, workload) in &facts.platform.workloads {
        for container in &workload.containers {
            let member = container.is_h2o_member();
            let is_h2o = member || container.is_called_h2o();
            let heap = container
                .heap()
                .map(|heap| (*source, heap))
                .or_else(|| heap_of_image(facts, container));
            if let Some((place, heap)) = &heap {
                share(facts, *source, container, *place, heap, is_h2o, xgboost, findings);
            }
            if member {
                unlimited(facts, *source, workload, container, findings);
                requests(facts, *source, container, findings);
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one comparison")]
fn share(
    facts: &Facts,
    source: usize,
    container: &Container,
    place: usize,
    heap: &Heap,
    is_h2o: bool,
    xgboost: bool,
    findings: &mut Findings<'_>,
) {
    let limit = container.memory("limits");
    let percent = match (heap.size, limit) {
        (HeapSize::Percent(percent), _) => percent,
        (HeapSize::Bytes(bytes), Some((limit, _))) if limit > 0 => {
            bytes as f64 / limit as f64 * 100.0
        }
        _ => return,
    };
    let bound = match (is_h2o, xgboost) {
        // Of other programs we only know that a heap as large as the limit leaves nothing.
        (false, _) => 99.9,
        (true, true) => XGBOOST_PERCENT_MAX,
        (true, false) => HEAP_PERCENT_MAX,
    };
    if percent <= bound {
        return;
    }
    let of = limit.map_or_else(
        || "the memory".to_owned(),
        |(limit, _)| format!("{} of memory", Bytes(limit)),
    );
    let why = if percent > HEAP_PERCENT_MAX {
        "the JVM itself, native buffers and the kernel need the rest"
    } else {
        "XGBoost trains outside of the heap"
    };
    let message = format!("{} gives the heap {percent:.0} % of {of}: {why}", heap.argument);
    let hop = limit.map(|(_, node)| {
        findings.hop(source, span(&facts.sources[source], node.at), "the limit is here")
    });
    let finding = findings.add("heap_share", place, span(&facts.sources[place], heap.at), message);
    if percent <= HEAP_PERCENT_MAX {
        finding.severity = Severity::Warning;
    }
    finding.chain.extend(hop.filter(|_| place != source));
}

/// The heap that the only image of the repository which starts H2O sets, where the manifest leaves it
/// to the image.
fn heap_of_image(facts: &Facts, container: &Container) -> Option<(usize, Heap)> {
    if !container.is_h2o_member()
        || container.image().is_some_and(|(image, _)| image.contains("h2o-open-source"))
    {
        return None;
    }
    let mut images = facts.platform.images.iter().filter(|(_, image)| {
        image.shipped().iter().flat_map(|stage| &stage.instructions).any(|it| {
            matches!(it.name.as_str(), "CMD" | "ENTRYPOINT") && it.script().contains("h2o.jar")
        })
    });
    let (source, image) = images.next()?;
    if images.next().is_some() {
        return None;
    }
    let last = image.stages.len().checked_sub(1)?;
    let variables = image.environment(last).into_iter().filter(|(name, ..)| {
        matches!(name.as_str(), "JAVA_TOOL_OPTIONS" | "_JAVA_OPTIONS" | "JAVA_OPTS")
    });
    let commands = image
        .shipped()
        .into_iter()
        .flat_map(|stage| stage.instructions.iter().rev())
        .filter(|it| matches!(it.name.as_str(), "CMD" | "ENTRYPOINT"));
    let texts: Vec<(String, At)> = commands
        .map(|it| (it.script(), it.at))
        .chain(variables.map(|(_, value, at)| (value, at)))
        .collect();
    texts.into_iter().find_map(|(text, at)| {
        let (argument, size) = heap_arguments(&text).pop()?;
        Some((*source, Heap { argument, size, at }))
    })
}

fn unlimited(
    facts: &Facts,
    source: usize,
    workload: &Workload,
    container: &Container,
    findings: &mut Findings<'_>,
) {
    if container.resource("limits", "memory").is_some() || has_unknown(container) {
        return;
    }
    let message = format!(
        "container `{}` of {} has no memory limit: the heap is a share of the whole node, and another one after each move",
        container.name,
        workload.object.title()
    );
    findings.add("memory_unlimited", source, span(&facts.sources[source], container.at), message);
}

/// Whether a template decides what stands under `resources`.
fn has_unknown(container: &Container) -> bool {
    container.node.get("resources").is_some_and(|it| {
        it.is_unknown()
            || it.entries().iter().any(|(key, value)| key.is_unknown() || value.is_unknown())
    })
}

fn requests(facts: &Facts, source: usize, container: &Container, findings: &mut Findings<'_>) {
    for name in ["memory", "cpu"] {
        // Without a request Kubernetes takes the limit.
        let (Some(limit), Some(request)) =
            (container.resource("limits", name), container.resource("requests", name))
        else {
            continue;
        };
        let (Some(limit_text), Some(request_text)) = (limit.text(), request.text()) else {
            continue;
        };
        let same = match (
            stemson_cluster::parse_kubernetes(limit_text),
            stemson_cluster::parse_kubernetes(request_text),
        ) {
            (Ok(limit), Ok(request)) if name == "memory" => limit == request,
            _ => cpu(limit_text) == cpu(request_text),
        };
        if !same {
            let message = format!(
                "container `{}` requests {name} {request_text} and is limited to {limit_text}: a full node takes the difference back, and with it the member",
                container.name
            );
            findings.add(
                "requests_unlike_limits",
                source,
                span(&facts.sources[source], request.at),
                message,
            );
        }
    }
}

/// Thousandths of a processor.
fn cpu(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(number) => number.parse().ok(),
        None => text.parse::<f64>().ok().map(|number| (number * 1000.0) as u64),
    }
}
