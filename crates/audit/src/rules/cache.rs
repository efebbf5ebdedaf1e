//! LE-PROC-04, 05 and 06: predictions in a cache: their keys, their end, and the herd that comes then.

use super::event_loop::{shown, sink_of};
use super::{Findings, is_test};
use crate::facts::Facts;
use crate::finding::{Edit, Fix};
use crate::python::syntax::{Call, Expr, ExprKind};
use crate::python::{Blocks, FunctionId, Program, Site, Value};
use crate::source::{Kind, Span};

/// Clients of a cache, by the way into the library.
const CLIENTS: &[&str] =
    &["redis.", "aioredis.", "aiocache.", "pymemcache.", "valkey.", "rediscluster."];

/// Words of a key that say which model answered.
const VERSIONS: &[&str] = &[
    "version",
    "revision",
    "digest",
    "model_id",
    "model_hash",
    "model_tag",
    "run_id",
    "checksum",
    "etag",
    "model_sha",
    "artifact",
    "model_ver",
];

/// A call that puts a value into a cache.
struct Write<'a> {
    key: &'a Expr,
    /// Whether the call itself gives it an end.
    has_end: bool,
}

/// Whether `site` calls one of `methods` on a cache: known by its library, else by its name.
fn on_cache(site: &Site<'_>, methods: &[&str]) -> bool {
    let Some(call) = site.call else { return false };
    let ExprKind::Attribute(base, method) = &call.func.kind else { return false };
    if !methods.contains(&&**method) {
        return false;
    }
    match &site.target {
        Some(Value::External(path)) => CLIENTS.iter().any(|it| path.starts_with(it)),
        Some(_) => false,
        None => base.last_name().is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            ["redis", "cache", "valkey", "memcache"].iter().any(|it| name.contains(it))
        }),
    }
}

fn write<'a>(site: &Site<'a>) -> Option<Write<'a>> {
    let call = site.call?;
    if !on_cache(site, &["set", "setex", "psetex", "setnx"]) {
        return None;
    }
    let ends = ["ex", "px", "exat", "pxat", "ttl", "expire", "keepttl", "timeout"];
    let has_end = call.func.last_name() != Some("set") && call.func.last_name() != Some("setnx")
        || ends.iter().any(|name| call.keyword(name).is_some())
        || call.args.len() > 2
        || call.has_rest();
    Some(Write { key: call.argument("name", 0).or_else(|| call.keyword("key"))?, has_end })
}

/// Whether a function makes a prediction: a model computes in it, or it calls what says so.
fn predicts(program: &Program<'_>, id: FunctionId) -> bool {
    let words = ["predict", "score", "infer"];
    let says = |name: &str| words.iter().any(|it| name.to_ascii_lowercase().contains(it));
    says(&program.project.function(id).name)
        || program.calls.of(id).iter().any(|site| {
            sink_of(program, site).is_some_and(|it| it.blocks == Blocks::Predict)
                || site.call.and_then(|call| call.func.last_name()).is_some_and(says)
                || site
                    .call
                    .is_some_and(|call| call.args.iter().any(|it| it.last_name().is_some_and(says)))
        })
}

/// Predictions in a cache: keys without a version, values without an end, misses without a defence.
pub(super) fn predictions(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    for id in program.calls.functions() {
        let source = project.source(id.module);
        if is_test(&source.path) || !predicts(program, id) {
            continue;
        }
        let index = project.module(id.module).source;
        let mut reads = false;
        for site in program.calls.of(id) {
            reads |= on_cache(site, &["get", "mget", "hget", "exists"]);
            let Some(write) = write(site) else { continue };
            let words = words(program, id, write.key);
            if words.complete && !words.list.iter().any(|word| is_version(word)) {
                let key = shown(source.slice(write.key.span));
                let message = format!(
                    "the key `{key}` does not say which model answered: after a deployment the old model's predictions are served"
                );
                findings.add("cache_key_version", index, write.key.span, message);
            }
            if !write.has_end && !ends_later(program, id) {
                let message = "this prediction never leaves the cache: give it an end (`ex=...`)";
                findings.add("cache_no_ttl", index, site.span(), message);
            }
            if reads && !defended(program, id) && !site.locked {
                let message = "when this key ends, all requests that miss it compute at once: let one compute \
                     and the others wait, or refresh before the end";
                findings.add("cache_herd", index, site.span(), message);
            }
        }
    }
}

fn is_version(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let numbered =
        word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered
        || VERSIONS.iter().any(|it| word.contains(it))
        || word.contains(":v1")
        || word.contains("_v1")
}

/// Names and texts that a key is made of.
#[derive(Default)]
struct Words {
    list: Vec<String>,
    /// Whether all of it was seen: a parameter may hold anything.
    complete: bool,
}

fn words<'a>(program: &Program<'a>, at: FunctionId, key: &'a Expr) -> Words {
    let mut words = Words { list: Vec::new(), complete: true };
    gather(program, at, key, &mut words, 5);
    words
}

fn gather<'a>(
    program: &Program<'a>,
    at: FunctionId,
    expr: &'a Expr,
    words: &mut Words,
    depth: u32,
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match &expr.kind {
        ExprKind::Text(text) => words.list.push(text.to_string()),
        ExprKind::Name(name) => {
            words.list.push(name.to_string());
            let values = program.project.bound_values(at, expr);
            let own = program.project.function(at);
            let is_param = own.params.iter().any(|param| *param.name == **name);
            let says_key = name.to_ascii_lowercase().contains("key");
            // Whoever calls with a key made it elsewhere.
            words.complete &= !(is_param && says_key && values.is_empty());
            for (at, value) in values {
                gather(program, at, value, words, depth);
            }
        }
        ExprKind::Attribute(base, name) => {
            words.list.push(name.to_string());
            gather(program, at, base, words, depth);
        }
        ExprKind::Call(call) => {
            // `hexdigest` is a form, not a version.
            match &call.func.kind {
                ExprKind::Attribute(base, _) if is_known(call) => {
                    gather(program, at, base, words, depth);
                }
                _ => gather(program, at, &call.func, words, depth),
            }
            for part in call.args.iter().chain(call.keywords.iter().map(|it| &it.1)) {
                gather(program, at, part, words, depth);
            }
            match program.project.value(at, &call.func) {
                Some(Value::Function(made)) => {
                    words.list.push(program.project.label(made));
                    program.project.function(made).exprs(&mut |inner| match &inner.kind {
                        ExprKind::Name(name) | ExprKind::Attribute(_, name) => {
                            words.list.push(name.to_string());
                        }
                        ExprKind::Text(text) => words.list.push(text.to_string()),
                        _ => {}
                    });
                }
                // A function that is not here may put anything into it.
                None if !is_known(call) => words.complete = false,
                _ => {}
            }
        }
        _ => expr.parts(&mut |part| gather(program, at, part, words, depth)),
    }
}

/// Methods and functions that only change the form of what they are given.
fn is_known(call: &Call) -> bool {
    let forms = [
        "hexdigest",
        "digest",
        "encode",
        "decode",
        "dumps",
        "join",
        "format",
        "str",
        "repr",
        "sorted",
        "items",
        "hash",
        "md5",
        "sha1",
        "sha256",
        "dict",
        "model_dump",
        "model_dump_json",
        "json",
        "tuple",
        "lower",
        "strip",
        "replace",
        "values",
        "keys",
        "to_dict",
        "tobytes",
    ];
    call.func.last_name().is_some_and(|name| forms.contains(&name))
}

/// Whether the function gives keys an end by a call of its own.
fn ends_later(program: &Program<'_>, id: FunctionId) -> bool {
    program.calls.of(id).iter().any(|site| on_cache(site, &["expire", "pexpire", "expireat"]))
}

/// Whether anything in the function, or around it, speaks of a defence against the herd.
fn defended(program: &Program<'_>, id: FunctionId) -> bool {
    let words = [
        "lock",
        "semaphore",
        "single",
        "flight",
        "coalesc",
        "inflight",
        "in_flight",
        "pending",
        "jitter",
        "early",
        "beta",
        "xfetch",
        "stale",
        "nx",
        "dedup",
        "once",
        "future",
    ];
    let source = program.project.source(id.module);
    let function = program.project.function(id);
    let text = source.slice(function.whole).to_ascii_lowercase();
    words.iter().any(|word| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|it| it.contains(word))
    })
}

/// Keys that differ for equal inputs, or from process to process.
pub(super) fn keys(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    for id in program.calls.functions() {
        let source = project.source(id.module);
        let function = project.function(id);
        let sites = program.calls.of(id);
        let name = function.name.to_ascii_lowercase();
        let makes = name.contains("key")
            && (name.contains("cache") || name.contains("feature") || name.contains("predict"));
        let uses =
            sites.iter().any(|site| on_cache(site, &["get", "set", "setex", "mget", "psetex"]));
        if is_test(&source.path) || !(makes || uses) {
            continue;
        }
        let index = project.module(id.module).source;
        for site in sites {
            let (Some(call), Some(path)) = (site.call, site.path()) else { continue };
            let near = makes || feeds_key(source.slice(function.whole), source.slice(site.span()));
            match path {
                "hash" if near => {
                    let message = "`hash()` differs from process to process (PYTHONHASHSEED): no other worker finds \
                         this key, and none after a restart; use `hashlib.sha256`";
                    findings.add("cache_key_hash", index, site.span(), message);
                }
                "json.dumps"
                    if near
                        && call.keyword("sort_keys").is_none()
                        && !call.has_rest()
                        && is_mapping(call) =>
                {
                    let message = "keys of an object keep the caller's order: equal inputs get different cache keys; \
                         say `sort_keys=True`";
                    let end = site.span().end - 1;
                    let finding = findings.add("cache_key_hash", index, site.span(), message);
                    finding.fix = Some(Fix {
                        what: "sort the keys".to_owned(),
                        safe: true,
                        edits: vec![Edit { start: end, end, text: ", sort_keys=True".to_owned() }],
                    });
                }
                _ => {}
            }
        }
    }
}

/// Whether what is dumped may be an object: a list or tuple has an order of its own.
fn is_mapping(call: &Call) -> bool {
    call.args.first().is_some_and(|it| match &it.kind {
        ExprKind::List(_) | ExprKind::Text(_) => false,
        ExprKind::Call(inner) => inner.func.last_name() != Some("sorted"),
        _ => true,
    })
}

/// Whether a value goes into a key: on the line of a hash, or into a name that says so.
fn feeds_key(function: &str, value: &str) -> bool {
    let value = value.lines().next().unwrap_or(value);
    function.lines().filter(|line| line.contains(value)).any(|line| {
        let line = line.to_ascii_lowercase();
        let left = line.split_once(" = ").map_or("", |it| it.0);
        left.contains("key")
            || left.contains("digest")
            || left.contains("fingerprint")
            || ["sha", "md5", "blake", "key("].iter().any(|it| line.contains(it))
            || line.contains(".get(")
    })
}

/// `FLUSHDB` and `FLUSHALL`, in Python and in what deploys.
pub(super) fn flush(program: &Program<'_>, findings: &mut Findings<'_>) {
    for site in program.calls.all() {
        let source = program.project.source(site.at.module);
        if is_test(&source.path) || !on_cache(site, &["flushdb", "flushall"]) {
            continue;
        }
        let called = shown(source.slice(site.span()));
        let message = format!(
            "`{called}` empties the cache of all models at once, and everybody computes again"
        );
        findings.add(
            "cache_flush",
            program.project.module(site.at.module).source,
            site.span(),
            message,
        );
    }
}

/// The same in scripts and pipelines.
pub(super) fn flush_on_deploy(facts: &Facts, findings: &mut Findings<'_>) {
    for (index, source) in facts.sources.iter().enumerate() {
        if !matches!(source.kind, Kind::Shell | Kind::Yaml | Kind::Dockerfile)
            || is_test(&source.path)
        {
            continue;
        }
        for number in 1..=source.lines() {
            let line = source.line(number);
            let upper = line.to_ascii_uppercase();
            let flushes = ["FLUSHDB", "FLUSHALL"].into_iter().find_map(|it| upper.find(it));
            let (Some(at), true) =
                (flushes, line.contains("redis-cli") || line.contains("valkey-cli"))
            else {
                continue;
            };
            if line.trim_start().starts_with('#') || line.contains("rename-command") {
                continue;
            }
            let start = source.line_start(number) as usize + at;
            let message = "a deployment that empties the cache sends all requests to the model at once; a version \
                 in the key makes the old answers unreachable without it";
            findings.add("cache_flush", index, Span::new(start, start + 8), message);
        }
    }
}
