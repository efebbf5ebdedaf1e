//! LE-LOG-04 to LE-LOG-06: Mage's blocks: what they take and give, copies, versions, fan-out.
//!
//! What Mage does is read from its own code: `Block._validate_execution`, `ConcurrencyConfig`,
//! `Block.to_dict_base` (mage-ai 5640c79, 2026-08).

use std::collections::BTreeMap;

use super::Findings;
use crate::facts::Facts;
use crate::platform::mage::{Block, CONCURRENCY_KEYS, Pipeline, block_folder};
use crate::platform::span;
use crate::platform::yaml::Node;
use crate::python::Module;
use crate::python::syntax::{Expr, ExprKind, Function, StmtKind};
use crate::rule::Severity;

const DECORATORS: [&str; 4] = ["data_loader", "transformer", "data_exporter", "custom"];

/// The decorated function of a block's file.
struct Code<'a> {
    module: &'a Module,
    function: &'a Function,
    kind: &'static str,
    /// Above the folder of blocks, with a slash at its end.
    project: &'a str,
}

/// Code of all blocks: Python below a folder of blocks that speaks of Mage.
fn code(facts: &Facts) -> Vec<Code<'_>> {
    let mut found = Vec::new();
    for module in &facts.python {
        let source = &facts.sources[module.source];
        let Some((_, project)) = block_folder(&source.path) else { continue };
        if !source.text.contains("mage_ai") {
            continue;
        }
        for function in &module.functions {
            let kind = function
                .decorators
                .iter()
                .find_map(|it| DECORATORS.iter().find(|kind| it.last_name() == Some(kind)));
            if let Some(kind) = kind {
                found.push(Code { module, function, kind, project });
            }
        }
    }
    found
}

/// A use of a file's block in a pipeline.
type UsedBy<'a> = (usize, &'a Pipeline, &'a Block);

/// Uses of each block's file, by its path.
fn uses(facts: &Facts) -> BTreeMap<String, Vec<UsedBy<'_>>> {
    let mut found: BTreeMap<String, Vec<UsedBy<'_>>> = BTreeMap::new();
    for (source, pipeline) in &facts.platform.pipelines {
        let path = &facts.sources[*source].path;
        let root = path.find("pipelines/").map_or("", |at| &path[..at]);
        for block in &pipeline.blocks {
            if let Some(file) = block.file() {
                found.entry([root, &file].concat()).or_default().push((*source, pipeline, block));
            }
        }
    }
    found
}

/// Whether a block is run once per item, or its result is.
fn is_fanned(pipeline: &Pipeline, block: &Block) -> bool {
    let dynamic =
        |uuid: &String| pipeline.blocks.iter().any(|it| it.uuid == *uuid && it.is_dynamic());
    block.is_dynamic() || block.upstream.iter().any(dynamic)
}

/// Types, returns, arity, copies, versions.
pub(crate) fn blocks(facts: &Facts, findings: &mut Findings<'_>) {
    let all = code(facts);
    let uses = uses(facts);
    for code in &all {
        let path = &facts.sources[code.module.source].path;
        let used = uses.get(path).map(Vec::as_slice).unwrap_or_default();
        let special = used
            .iter()
            .any(|(_, pipeline, block)| pipeline.kind != "python" || is_fanned(pipeline, block));
        if !special {
            types(code, findings);
            returns(facts, code, findings);
        }
        for (source, pipeline, block) in used.iter().filter(|it| it.1.kind == "python") {
            arity(facts, code, *source, pipeline, block, findings);
        }
        unversioned(facts, code, used, findings);
    }
    copies(facts, &all, findings);
}

fn types(code: &Code<'_>, findings: &mut Findings<'_>) {
    let function = code.function;
    let source = code.module.source;
    if matches!(code.kind, "data_loader" | "transformer") {
        match &function.returns {
            None => {
                let message = format!(
                    "@{} `{}` does not say what it returns: `-> DataFrame`",
                    code.kind, function.name
                );
                findings.add("block_types", source, function.span, message);
            }
            Some(returns) if !is_frame(returns) => {
                let message = format!(
                    "@{} `{}` returns no DataFrame by its own word",
                    code.kind, function.name
                );
                findings.add("block_types", source, returns.span, message);
            }
            Some(_) => {}
        }
    }
    if matches!(code.kind, "transformer" | "data_exporter")
        && let Some(first) =
            function.params.first().filter(|it| !it.is_rest && it.annotation.is_none())
    {
        let message = format!(
            "@{} `{}` does not say what `{}` is: `{}: DataFrame`",
            code.kind, function.name, first.name, first.name
        );
        findings.add("block_types", source, function.span, message);
    }
}

/// A frame, some of them, or a type of the project's own.
fn is_frame(annotation: &Expr) -> bool {
    const OTHERS: [&str; 14] = [
        "dict", "Dict", "list", "List", "str", "int", "float", "bool", "bytes", "set", "Set",
        "Mapping", "Sequence", "Iterable",
    ];
    match &annotation.kind {
        ExprKind::None => false,
        ExprKind::Text(text) => {
            text.contains("Frame") || !OTHERS.contains(&text.split('[').next().unwrap_or_default())
        }
        ExprKind::Subscript(both)
            if matches!(both.0.last_name(), Some("Optional" | "Union" | "Tuple" | "tuple")) =>
        {
            true
        }
        _ => annotation.last_name().is_none_or(|name| !OTHERS.contains(&name)),
    }
}

/// Values that are no frame, and lists that Mage takes apart.
fn returns(facts: &Facts, code: &Code<'_>, findings: &mut Findings<'_>) {
    if !matches!(code.kind, "data_loader" | "transformer") {
        return;
    }
    code.function.walk(&mut |stmt| {
        let StmtKind::Return(Some(value)) = &stmt.kind else { return };
        // A tuple says that several outputs are meant; a list only happens to be one.
        let is_list = facts.sources[code.module.source].slice(value.span).starts_with('[');
        let message = match &value.kind {
            ExprKind::Dict(_) => "returns a dict: the next block gets no DataFrame, and Mage stores it as JSON".to_owned(),
            ExprKind::Text(_) | ExprKind::Format(_) | ExprKind::Number(_) | ExprKind::Bool(_) => "returns a plain value: the next block gets no DataFrame".to_owned(),
            ExprKind::List(items) if is_list && items.len() != 1 => {
                format!("returns a list: Mage takes its {} items for as many outputs, and the next block gets as many arguments", items.len())
            }
            ExprKind::Comprehension(..) if is_list => "returns a list: Mage takes each item for an output of its own".to_owned(),
            _ => return,
        };
        findings.add("block_return", code.module.source, stmt.span, message);
    });
}

/// As Mage itself counts: all parameters but `*args` and `**kwargs`, against the blocks before.
fn arity(
    facts: &Facts,
    code: &Code<'_>,
    source: usize,
    pipeline: &Pipeline,
    block: &Block,
    findings: &mut Findings<'_>,
) {
    if block.kind != code.kind || is_fanned(pipeline, block) {
        return;
    }
    let takes = code.function.params.iter().filter(|it| !it.is_rest).count();
    let open = takes != code.function.params.len();
    let gets = block.upstream.len();
    let message = if takes > gets {
        format!(
            "takes {takes} inputs, but pipeline `{}` has {gets} blocks before it: Mage stops with \"may be missing upstream dependencies\"",
            pipeline.uuid
        )
    } else if takes < gets && !open {
        format!(
            "takes {takes} inputs, but pipeline `{}` has {gets} blocks before it: Mage stops with \"may have too many upstream dependencies\"",
            pipeline.uuid
        )
    } else {
        return;
    };
    let hop = findings.hop(
        source,
        span(&facts.sources[source], block.at),
        format!("block `{}` of pipeline `{}`", block.uuid, pipeline.uuid),
    );
    findings.add("block_arity", code.module.source, code.function.span, message).chain.push(hop);
}

/// Lines that a copy must have to be one.
const COPY_LINES_MIN: usize = 4;

/// The same function in several files.
fn copies(facts: &Facts, all: &[Code<'_>], findings: &mut Findings<'_>) {
    let mut first: BTreeMap<(String, &str), &Code<'_>> = BTreeMap::new();
    for code in all {
        let source = &facts.sources[code.module.source];
        let lines: Vec<&str> = source
            .slice(code.function.whole)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        // Decorator and `def` beside the body.
        if lines.len() < COPY_LINES_MIN + 2 {
            continue;
        }
        let key = (lines.join("\n"), code.project);
        match first.get(&key) {
            Some(original) if original.module.source != code.module.source => {
                let path = &facts.sources[original.module.source].path;
                let message = format!(
                    "`{}` is a copy of {path}: a mistake in one stays in the other",
                    code.function.name
                );
                let hop =
                    findings.hop(original.module.source, original.function.span, "the first one");
                findings
                    .add("block_copied", code.module.source, code.function.span, message)
                    .chain
                    .push(hop);
            }
            Some(_) => {}
            None => drop(first.insert(key, code)),
        }
    }
}

fn unversioned(facts: &Facts, code: &Code<'_>, used: &[UsedBy<'_>], findings: &mut Findings<'_>) {
    let mut pipelines: Vec<&str> = used.iter().map(|it| it.1.uuid.as_str()).collect();
    pipelines.sort_unstable();
    pipelines.dedup();
    let source = &facts.sources[code.module.source];
    if pipelines.len() < 2 || has_version(&source.text, &source.path) {
        return;
    }
    let message = format!(
        "is used by {} pipelines ({}) and says no version: a change reaches all of them at once",
        pipelines.len(),
        pipelines.join(", ")
    );
    let finding =
        findings.add("block_unversioned", code.module.source, code.function.span, message);
    finding.severity = Severity::Note;
}

/// `__version__`, a version in the documentation, or one in the path.
fn has_version(text: &str, path: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let in_path = path.split(['/', '_', '.', '-']).any(|part| {
        part.strip_prefix('v')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    in_path
        || lower.contains("__version__")
        || lower.contains("version:")
        || lower.contains("version =")
        || lower.contains("@version")
}

/// Dynamic blocks without a limit, and limits that Mage does not read.
pub(crate) fn limits(facts: &Facts, findings: &mut Findings<'_>) {
    for (source, pipeline) in &facts.platform.pipelines {
        let at = |node: &Node| span(&facts.sources[*source], node.at);
        let limit = pipeline.root.path(&["concurrency_config", "block_run_limit"]);
        for block in
            pipeline.blocks.iter().filter(|it| it.is_dynamic() && !it.downstream.is_empty())
        {
            if limit.is_none_or(Node::is_null) {
                let message = format!(
                    "block `{}` fans out, and nothing bounds how many runs start at once: set `concurrency_config.block_run_limit`",
                    block.uuid
                );
                findings.add(
                    "dynamic_unbounded",
                    *source,
                    span(&facts.sources[*source], block.at),
                    message,
                );
            }
        }
        for (key, _) in
            pipeline.root.get("concurrency_config").map(Node::entries).unwrap_or_default()
        {
            let name = key.raw().unwrap_or_default();
            // Mage Pro knows one more.
            if !CONCURRENCY_KEYS.contains(&name) && name != "pipeline_run_priority" {
                let message = format!(
                    "`concurrency_config.{name}` is no key of Mage's: its scheduler stops with a TypeError, and the pipeline never runs"
                );
                findings.add("limit_dropped", *source, at(key), message);
            }
        }
        let dropped = |node: &Node, place: &str, findings: &mut Findings<'_>| {
            for name in
                ["max_concurrency", "block_run_limit", "concurrency_limit", "max_concurrent_runs"]
            {
                if let Some((key, _)) = node.entry(name) {
                    let message = format!(
                        "`{name}` {place} is read by nothing: Mage keeps `concurrency_config.block_run_limit` of the pipeline alone"
                    );
                    findings.add("limit_dropped", *source, at(key), message);
                }
            }
        };
        dropped(&pipeline.root, "of a pipeline", findings);
        for block in &pipeline.blocks {
            dropped(&block.node, "of a block", findings);
            block
                .node
                .get("configuration")
                .into_iter()
                .for_each(|it| dropped(it, "in a block's configuration", findings));
            if let Some((key, _)) = block.node.entry("concurrency_config") {
                let message = "`concurrency_config` of a block is read by nothing: it belongs to the pipeline";
                findings.add("limit_dropped", *source, at(key), message);
            }
        }
    }
}
