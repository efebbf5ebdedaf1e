//! LE-PROC-01 and LE-PROC-02: what holds the event loop, directly and through any number of calls.
//!
//! A finding stands where asynchronous code leaves the loop's hands: at the call in the `async def` by
//! which, over functions that nothing awaits, a blocking call is reached. That is where it is mended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::{Findings, is_test};
use crate::finding::{Edit, Fix, Hop};
use crate::python::{
    Blocks, FunctionId, Program, Sink, Site, Value, is_cached, sink, sink_by_name, syntax::ExprKind,
};
use crate::rule::Severity;
use crate::source::Span;

/// Longest chain of calls that is followed.
const HOPS_MAX: usize = 12;

/// A blocking call, and the calls that lead to it.
#[derive(Debug, Clone)]
struct Held {
    sink: Sink,
    /// Caller and place, outermost first; the last is the blocking call itself.
    way: Vec<(FunctionId, Span)>,
    /// Under a condition that makes it happen once.
    guarded: bool,
}

type Summaries = HashMap<FunctionId, Rc<Vec<Held>>>;

/// What a call does to the thread that makes it.
pub(super) fn sink_of<'a>(program: &Program<'a>, site: &Site<'a>) -> Option<Sink> {
    let call = site.call?;
    match &site.target {
        Some(Value::External(path)) => {
            let found = sink(path)?;
            // What lies in memory already is no file.
            let in_memory = matches!(found.blocks, Blocks::Frame | Blocks::File)
                && call.args.first().and_then(|it| program.project.value(site.at, it)).is_some_and(
                    |it| {
                        it.path().is_some_and(|path| {
                            path.starts_with("io.") || path.starts_with("StringIO")
                        })
                    },
                );
            // `frame.to_csv()` without a path gives the text; `WNOHANG` does not wait.
            let is_text = found.blocks == Blocks::Frame
                && call.func.last_name().is_some_and(|name| name.starts_with("to_"))
                && call.args.is_empty()
                && !["path", "path_or_buf", "con", "excel_writer"]
                    .iter()
                    .any(|it| call.keyword(it).is_some());
            let at_once = path.starts_with("os.wait")
                && call.args.iter().any(|it| it.last_name() == Some("WNOHANG"));
            (!in_memory && !is_text && !at_once).then_some(found)
        }
        Some(_) => None,
        None => {
            let ExprKind::Attribute(base, method) = &call.func.kind else { return None };
            sink_by_name(base.last_name()?, method)
        }
    }
}

/// The page that speaks of a blocking call on the loop.
fn rule_of(held: &Held) -> Option<&'static str> {
    Some(match held.sink.blocks {
        Blocks::Predict => "blocking_predict",
        Blocks::Wait => "blocking_wait",
        Blocks::File | Blocks::Frame => "blocking_file",
        // Once is a pause, each time is `model_per_request`.
        Blocks::Load if held.guarded => "blocking_file",
        Blocks::Http => "sync_http",
        Blocks::Database => "sync_database",
        Blocks::Orm => "sync_sqlalchemy",
        Blocks::Redis => "sync_redis",
        Blocks::Load | Blocks::H2o | Blocks::Java => return None,
    })
}

/// Blocking calls on the loop.
pub(super) fn blocking(program: &Program<'_>, findings: &mut Findings<'_>) {
    let mut summaries = Summaries::new();
    let quiet = only_at_startup(program);
    for id in program.calls.functions() {
        let source = program.project.source(id.module);
        let function = program.project.function(id);
        let on_loop = function.is_async || program.roots.is_on_loop(id);
        if !on_loop || quiet.contains(&id) || is_test(&source.path) {
            continue;
        }
        // One finding for a rule and a line: what happens each time, by the shortest way.
        let mut worst: BTreeMap<(u32, &'static str), (&Site<'_>, Held)> = BTreeMap::new();
        for site in program.calls.of(id) {
            for held in held_by(program, site, &mut summaries) {
                let Some(rule) = rule_of(&held) else { continue };
                let key = (source.line_of(site.span().start), rule);
                let rank = |held: &Held| (held.guarded, held.way.len());
                if worst.get(&key).is_none_or(|(_, known)| rank(&held) < rank(known)) {
                    worst.insert(key, (site, held));
                }
            }
        }
        for ((_, rule), (site, held)) in &worst {
            tell(program, site, held, rule, findings);
        }
    }
}

/// What a call on the loop holds it with: at most one of each kind.
fn held_by<'a>(program: &Program<'a>, site: &Site<'a>, summaries: &mut Summaries) -> Vec<Held> {
    let own = (site.at, site.span());
    if let Some(sink) = sink_of(program, site).filter(|_| !site.awaited) {
        return vec![Held { sink, way: vec![own], guarded: site.guarded }];
    }
    let mut all = Vec::new();
    for callee in program.calls.callees(&program.project, site) {
        if program.project.function(callee).is_async || program.roots.startup.contains(&callee) {
            continue;
        }
        for held in summary(program, callee, summaries, 0).iter() {
            let mut way = vec![own];
            way.extend(&held.way);
            all.push(Held { way, guarded: held.guarded || site.guarded, ..held.clone() });
        }
    }
    all
}

/// What a function that nothing awaits does to its thread, one of each kind, the shortest way.
fn summary(
    program: &Program<'_>,
    id: FunctionId,
    summaries: &mut Summaries,
    depth: usize,
) -> Rc<Vec<Held>> {
    if let Some(known) = summaries.get(&id) {
        return Rc::clone(known);
    }
    // Who calls itself adds nothing to itself.
    summaries.insert(id, Rc::default());
    let function = program.project.function(id);
    let mut found: Vec<Held> = Vec::new();
    if depth < HOPS_MAX && !goes_elsewhere(program, id) {
        let once = is_cached(function);
        for site in program.calls.of(id) {
            let own = (id, site.span());
            let mut here = Vec::new();
            if let Some(sink) = sink_of(program, site) {
                here.push(Held { sink, way: vec![own], guarded: site.guarded || once });
            } else {
                for callee in program.calls.callees(&program.project, site) {
                    if program.project.function(callee).is_async {
                        continue;
                    }
                    for held in summary(program, callee, summaries, depth + 1).iter() {
                        let mut way = vec![own];
                        way.extend(&held.way);
                        let guarded = held.guarded || site.guarded || once;
                        here.push(Held { way, guarded, ..held.clone() });
                    }
                }
            }
            for held in here {
                let same = |it: &&mut Held| {
                    (it.sink.blocks, it.guarded) == (held.sink.blocks, held.guarded)
                };
                match found.iter_mut().find(same) {
                    Some(known) if known.way.len() <= held.way.len() => {}
                    Some(known) => *known = held,
                    None => found.push(held),
                }
            }
        }
    }
    let found = Rc::new(found);
    summaries.insert(id, Rc::clone(&found));
    found
}

/// Whether a decorator moves the function into a thread: `@sync_to_async`, or one of the repository
/// whose body calls such a thing.
fn goes_elsewhere(program: &Program<'_>, id: FunctionId) -> bool {
    let function = program.project.function(id);
    let around = FunctionId { function: function.parent.unwrap_or(0), ..id };
    function.decorators.iter().any(|decorator| {
        let callee = decorator.call().map_or(decorator, |call| &call.func);
        let name = callee.last_name().unwrap_or("");
        let known = [
            "sync_to_async",
            "asyncify",
            "to_thread",
            "run_in_threadpool",
            "in_executor",
            "task",
            "shared_task",
            "actor",
            "remote",
        ];
        if known.contains(&name) {
            return true;
        }
        let Some(Value::Function(maker)) = program.project.value(around, callee) else {
            return false;
        };
        let module = program.project.module(maker.module);
        let inner = module.functions_in(maker.function).map(|(function, _)| function);
        inner.chain([maker.function]).any(|function| {
            let sites = program.calls.of(FunctionId { module: maker.module, function });
            sites.iter().any(|site| site.call.is_some_and(|call| passes(call.func.last_name())))
        })
    })
}

/// Whether a function of this name runs in a thread what it is passed.
pub(super) fn passes(name: Option<&str>) -> bool {
    let known = ["run_in_executor", "run_in_threadpool", "to_thread", "run_sync", "submit"];
    name.is_some_and(|name| known.contains(&name))
}

/// Asynchronous functions that run before there are requests: registered so, or called by nothing else.
fn only_at_startup(program: &Program<'_>) -> HashSet<FunctionId> {
    let mut callers: HashMap<FunctionId, Vec<FunctionId>> = HashMap::new();
    for site in program.calls.all() {
        for callee in program.calls.callees(&program.project, site) {
            callers.entry(callee).or_default().push(site.at);
        }
    }
    let mut quiet = program.roots.startup.clone();
    for _ in 0..4 {
        let before = quiet.len();
        for id in program.calls.functions() {
            let Some(callers) = callers.get(&id) else { continue };
            if program.roots.root(id).is_none() && callers.iter().all(|it| quiet.contains(it)) {
                quiet.insert(id);
            }
        }
        if quiet.len() == before {
            break;
        }
    }
    quiet
}

fn tell(
    program: &Program<'_>,
    site: &Site<'_>,
    held: &Held,
    rule: &'static str,
    findings: &mut Findings<'_>,
) {
    let project = &program.project;
    let Some((last, span)) = held.way.last() else { return };
    let called = shown(project.source(last.module).slice(*span));
    let root = program.roots.root(site.at);
    let who = match root {
        Some(root) => format!("`{}`", root.what),
        None => format!("`async def {}`", project.function(site.at).name),
    };
    let through = match held.way.len() {
        1 => String::new(),
        2 => format!(" through `{}`", project.label(*last)),
        n => format!(" through {} calls, last `{}`", n - 1, project.label(*last)),
    };
    let message =
        format!("{who} holds the event loop: `{called}` {}{through}", does(held.sink.blocks));
    let chain = chain(program, site.at, &held.way, held.sink.blocks);
    let fix = (held.way.len() == 1).then(|| sleep(program, site)).flatten();
    let source = project.module(site.at.module).source;
    let finding = findings.add(rule, source, site.span(), message);
    finding.chain = chain;
    finding.fix = fix;
    // A script that serves nobody may wait as it likes, and a small file is quick; what an object does
    // once, when it is first needed, is a pause.
    let serves = root.is_some() || serves_beside(program, site.at);
    let small =
        held.sink.blocks == Blocks::File || held.guarded && held.sink.blocks == Blocks::Load;
    let once =
        held.guarded && held.way.iter().any(|(at, _)| &*project.function(*at).name == "__init__");
    let starts = root.is_none() && &*project.function(site.at).name == "main";
    if !held.sink.certain || !serves || small || once || starts {
        finding.severity = Severity::Warning;
    }
}

/// Whether a request enters in the same folder: else nothing says that the function serves anybody.
fn serves_beside(program: &Program<'_>, at: FunctionId) -> bool {
    let folder = |module: usize| {
        let path = program.project.source(module).path.as_str();
        path.rsplit_once('/').map_or("", |it| it.0)
    };
    let aside = ["/cli/", "/cli.py", "/scripts/", "/examples/"];
    let here = folder(at.module);
    let path = &program.project.source(at.module).path;
    !aside.iter().any(|it| path.contains(it))
        && program.roots.requests.iter().any(|root| folder(root.function.module) == here)
}

fn does(blocks: Blocks) -> &'static str {
    match blocks {
        Blocks::Predict => "computes",
        Blocks::Wait => "waits",
        Blocks::File => "reads or writes a file",
        Blocks::Frame => "reads or writes a whole table",
        Blocks::Http => "waits for an HTTP answer",
        Blocks::Database => "waits for the database",
        Blocks::Orm => "waits for the database (synchronous SQLAlchemy)",
        Blocks::Redis => "waits for Redis",
        Blocks::Load => "loads a model",
        Blocks::H2o => "asks an H2O cluster",
        Blocks::Java => "starts a JVM",
    }
}

/// From the root's first call to the blocking one.
fn chain(
    program: &Program<'_>,
    at: FunctionId,
    way: &[(FunctionId, Span)],
    blocks: Blocks,
) -> Vec<Hop> {
    let mut hops = Vec::new();
    if let Some(root) = program.roots.root(at) {
        let function = program.project.function(root.function);
        hops.push(hop(program, root.function, function.span, format!("{} enters here", root.what)));
    }
    let before = program.roots.way(at);
    for (caller, span) in before.iter().chain(way) {
        let project = &program.project;
        let called = shown(project.source(caller.module).slice(*span));
        let is_last = way.last() == Some(&(*caller, *span));
        let ending = if is_last { format!(", which {}", does(blocks)) } else { String::new() };
        let what = format!("{} calls {called}{ending}", project.label(*caller));
        hops.push(hop(program, *caller, *span, what));
    }
    hops
}

pub(super) fn hop(program: &Program<'_>, at: FunctionId, span: Span, what: String) -> Hop {
    let source = program.project.source(at.module);
    Hop { path: source.path.clone(), line: source.line_of(span.start), what }
}

/// A call on one line, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= 60 {
        return text;
    }
    let cut: String = text.chars().take(57).collect();
    format!("{cut}...")
}

/// `time.sleep(n)` as a statement becomes `await asyncio.sleep(n)` where `asyncio` is imported.
fn sleep(program: &Program<'_>, site: &Site<'_>) -> Option<Fix> {
    let call = site.call?;
    let source = program.project.source(site.at.module);
    let is_async = program.project.function(site.at).is_async;
    let imported = source.text.lines().any(|line| line.trim_end() == "import asyncio");
    if site.path() != Some("time.sleep") || !is_async || !imported {
        return None;
    }
    let Span { start, end } = call.func.span;
    Some(Fix {
        what: "await asyncio.sleep".to_owned(),
        safe: true,
        edits: vec![Edit { start, end, text: "await asyncio.sleep".to_owned() }],
    })
}

/// `run_in_executor(None, model.predict(row))`: the prediction is made here, its answer is passed.
pub(super) fn executor_called(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    for site in program.calls.all() {
        let Some(call) = site.call.filter(|call| passes(call.func.last_name())) else { continue };
        let name = call.func.last_name().unwrap_or("");
        let position = usize::from(name == "run_in_executor");
        let Some(given) = call.args.get(position) else { continue };
        let Some(inner) = given.call() else { continue };
        let is_async = project.function(site.at).is_async;
        if is_test(&project.source(site.at.module).path) || name == "submit" && !is_async {
            continue;
        }
        // What gives a function may be called: `partial(f, x)`, `make_job(x)`.
        let gives = project.value(site.at, given);
        let func = project.value(site.at, &inner.func);
        let wrong = match (&gives, &func) {
            (Some(Value::Partial(_) | Value::Class(_)), _) => false,
            (Some(Value::Function(id)), _) => *id == site.at,
            (Some(Value::Instance(_)), _) => false,
            (_, Some(Value::Function(_))) => true,
            (_, Some(Value::External(path))) => sink(path).is_some(),
            (_, None) => match &inner.func.kind {
                ExprKind::Attribute(base, method) => {
                    base.last_name().is_some_and(|it| sink_by_name(it, method).is_some())
                }
                _ => false,
            },
            _ => false,
        };
        if !wrong {
            continue;
        }
        let source = project.source(site.at.module);
        let called = shown(source.slice(given.span));
        let function = shown(source.slice(inner.func.span));
        let message = format!(
            "`{called}` runs here, on the event loop, and `{name}` gets its answer: pass `{function}` and its arguments"
        );
        let edits = passed(source, given.span, inner);
        let finding = findings.add(
            "executor_called",
            project.module(site.at.module).source,
            given.span,
            message,
        );
        finding.fix =
            edits.map(|edits| Fix { what: "pass the function".to_owned(), safe: true, edits });
    }
}

/// `f(a, b)` as `f, a, b`: possible where all arguments go by position.
fn passed(
    source: &crate::source::Source,
    span: Span,
    call: &crate::python::syntax::Call,
) -> Option<Vec<Edit>> {
    if !call.keywords.is_empty() || call.has_rest() {
        return None;
    }
    let parts = std::iter::once(&call.func).chain(&call.args).map(|part| source.slice(part.span));
    let text = parts.collect::<Vec<_>>().join(", ");
    Some(vec![Edit { start: span.start, end: span.end, text }])
}

/// A model that is read again for every request.
pub(super) fn model_per_request(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    for id in program.calls.functions() {
        let Some(root) = program.roots.per_request(id) else { continue };
        let deploys =
            ["load", "swap", "deploy", "update", "admin", "train", "refresh", "upload", "register"];
        let what = root.what.to_ascii_lowercase();
        if is_test(&project.source(id.module).path) || deploys.iter().any(|it| what.contains(it)) {
            continue;
        }
        for site in program.calls.of(id) {
            let Some(found) = sink_of(program, site) else { continue };
            if found.blocks != Blocks::Load || site.guarded || is_cached(project.function(id)) {
                continue;
            }
            let called = shown(project.source(id.module).slice(site.span()));
            let message = format!("`{}` loads the model for every request: `{called}`", root.what);
            let chain = chain(program, id, &[(id, site.span())], Blocks::Load);
            let source = project.module(id.module).source;
            findings.add("model_per_request", source, site.span(), message).chain = chain;
        }
    }
}

/// Whether a route tells an orchestrator that the process lives.
fn is_health(route: &str) -> bool {
    let last = route.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_ascii_lowercase();
    let words = [
        "health",
        "healthz",
        "healthcheck",
        "health_check",
        "health-check",
        "live",
        "livez",
        "liveness",
        "alive",
        "ready",
        "readyz",
        "readiness",
        "ping",
        "heartbeat",
    ];
    words.contains(&&*last)
}

/// Health that scores, and health that waits for a thread which scoring takes.
pub(super) fn liveness(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    let mut summaries = Summaries::new();
    let busy = busy_thread_route(program, &mut summaries);
    for root in &program.roots.requests {
        let Some(route) = root.route.as_deref().filter(|route| is_health(route)) else { continue };
        let id = root.function;
        let function = project.function(id);
        if is_test(&project.source(id.module).path) {
            continue;
        }
        let source = project.module(id.module).source;
        let scores = program.calls.of(id).iter().find_map(|site| {
            let mut held = scored(program, site, &mut summaries, 0);
            held.retain(|it| it.sink.blocks == Blocks::Predict);
            Some((site.span(), held.into_iter().next()?))
        });
        if let Some((span, held)) = scores {
            let message = format!(
                "`{}` scores to tell its health: under load it is late, and the process is killed",
                root.what
            );
            let chain = chain(program, id, &held.way, Blocks::Predict);
            let finding = findings.add("liveness_scores", source, span, message);
            finding.chain = chain;
            if !held.sink.certain {
                finding.severity = Severity::Warning;
            }
        } else if let (false, Some((other, blocks))) = (function.is_async, &busy)
            && other != &id
            && program.roots.uses_threads(id)
        {
            let message = format!(
                "`{}` ({route}) waits for one of 40 threads that `{}` holds when it {}: make it `async def`",
                root.what,
                project.label(*other),
                does(*blocks)
            );
            findings.add("liveness_starves", source, function.span, message);
        }
    }
}

/// A call's blocking work, also through functions that are awaited.
fn scored<'a>(
    program: &Program<'a>,
    site: &Site<'a>,
    summaries: &mut Summaries,
    depth: usize,
) -> Vec<Held> {
    let mut found = held_by(program, site, summaries);
    if depth < 4 {
        for callee in program.calls.callees(&program.project, site) {
            if program.project.function(callee).is_async {
                for inner in program.calls.of(callee) {
                    found.extend(scored(program, inner, summaries, depth + 1));
                }
            }
        }
    }
    found
}

/// A route in a thread that blocks it.
fn busy_thread_route(
    program: &Program<'_>,
    summaries: &mut Summaries,
) -> Option<(FunctionId, Blocks)> {
    program.roots.requests.iter().find_map(|root| {
        let function = program.project.function(root.function);
        if function.is_async || root.route.as_deref().is_some_and(is_health) {
            return None;
        }
        let held = summary(program, root.function, summaries, 0);
        Some((root.function, held.iter().find(|it| it.sink.blocks != Blocks::File)?.sink.blocks))
    })
}
