//! LE-PROC-03: connections and the pools that hold them.

use std::collections::BTreeMap;

use super::event_loop::{hop, shown};
use super::{Findings, is_test};
use crate::python::syntax::{Call, Expr, ExprKind};
use crate::python::{FunctionId, Program, Site, is_cached};
use crate::rule::Severity;

/// What opens a connection, or makes a pool or engine that does, by the way into the library.
const CONNECTS: &[&str] = &[
    "psycopg2.connect",
    "psycopg.connect",
    "psycopg.Connection.connect",
    "psycopg.AsyncConnection.connect",
    "asyncpg.connect",
    "pymysql.connect",
    "aiomysql.connect",
    "aiopg.connect",
    "pg8000.connect",
    "pymongo.MongoClient",
    "motor.motor_asyncio.AsyncIOMotorClient",
    "redis.Redis",
    "redis.StrictRedis",
    "redis.from_url",
    "redis.Redis.from_url",
    "redis.asyncio.Redis",
    "redis.asyncio.from_url",
    "redis.asyncio.Redis.from_url",
    "redis.asyncio.StrictRedis",
];

/// Pools and engines, and whose they are.
const POOLS: &[(&str, &str)] = &[
    ("asyncpg.create_pool", "PostgreSQL"),
    ("psycopg2.pool.ThreadedConnectionPool", "PostgreSQL"),
    ("psycopg2.pool.SimpleConnectionPool", "PostgreSQL"),
    ("psycopg_pool.ConnectionPool", "PostgreSQL"),
    ("psycopg_pool.AsyncConnectionPool", "PostgreSQL"),
    ("sqlalchemy.create_engine", "SQLAlchemy"),
    ("sqlalchemy.ext.asyncio.create_async_engine", "SQLAlchemy"),
    ("sqlmodel.create_engine", "SQLAlchemy"),
    ("redis.ConnectionPool", "Redis"),
    ("redis.ConnectionPool.from_url", "Redis"),
    ("redis.asyncio.ConnectionPool", "Redis"),
    ("redis.asyncio.ConnectionPool.from_url", "Redis"),
];

fn is_engine(path: &str) -> bool {
    path.ends_with("create_engine") || path.ends_with("create_async_engine")
}

fn pool_of(path: &str) -> Option<&'static str> {
    POOLS.iter().find(|(name, _)| *name == path).map(|it| it.1)
}

/// A connection, client or pool that is made for each request.
pub(super) fn connection_per_request(program: &Program<'_>, findings: &mut Findings<'_>) {
    let project = &program.project;
    for id in program.calls.functions() {
        let Some(root) = program.roots.per_request(id) else { continue };
        let source = project.source(id.module);
        if is_test(&source.path) || is_cached(project.function(id)) {
            continue;
        }
        for site in program.calls.of(id) {
            let (Some(path), Some(call)) = (site.path(), site.call) else { continue };
            let shares =
                ["connection_pool", "pool"].iter().any(|name| call.keyword(name).is_some());
            let opens = CONNECTS.contains(&path) || pool_of(path).is_some();
            if !opens || shares || site.guarded {
                continue;
            }
            let called = shown(source.slice(site.span()));
            let message =
                format!("`{}` opens a connection for every request: `{called}`", root.what);
            let mut chain = Vec::new();
            let at = project.function(root.function);
            chain.push(hop(program, root.function, at.span, format!("{} enters here", root.what)));
            for (caller, span) in program.roots.way(id) {
                let called = shown(project.source(caller.module).slice(span));
                chain.push(hop(
                    program,
                    caller,
                    span,
                    format!("{} calls {called}", project.label(caller)),
                ));
            }
            let index = project.module(id.module).source;
            findings.add("connection_per_request", index, site.span(), message).chain = chain;
        }
    }
}

/// Pools and engines that the service's own code makes: not tests, not migrations.
fn pools<'a, 'p>(
    program: &'p Program<'a>,
) -> impl Iterator<Item = (&'p Site<'a>, &'a Call, &'static str, &'p str)> {
    program.calls.all().filter_map(|site| {
        let (path, call) = (site.path()?, site.call?);
        let place = &program.project.source(site.at.module).path;
        let aside = [
            "alembic/",
            "migrations/",
            "/env.py",
            "scripts/",
            "notebooks/",
            "examples/",
            "docs/",
            "docs_src/",
        ];
        if is_test(place) || aside.iter().any(|it| place.contains(it)) {
            return None;
        }
        Some((site, call, pool_of(path)?, path))
    })
}

/// Pools without an upper bound.
pub(super) fn pool_unbounded(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, call, owner, path) in pools(program) {
        let index = program.project.module(site.at.module).source;
        let number = |name: &str| call.keyword(name).map(|it| &it.kind);
        let fault = if owner == "Redis" {
            // Its default is 2^31.
            let bounded = call.keyword("max_connections").is_some()
                || call
                    .args
                    .first()
                    .and_then(Expr::text)
                    .is_some_and(|it| it.contains("max_connections="));
            (!bounded && !call.has_rest()).then_some((
                "`max_connections` is not given, and its default is 2^31",
                Severity::Warning,
            ))
        } else if matches!(number("max_overflow"), Some(ExprKind::Other(_))) {
            Some(("`max_overflow` below zero means without end", Severity::Error))
        } else if matches!(number("pool_size"), Some(ExprKind::Number(0))) {
            Some(("`pool_size=0` means without end", Severity::Error))
        } else if is_engine(path)
            && call.keyword("poolclass").and_then(Expr::last_name) == Some("NullPool")
            && !program.roots.requests.is_empty()
        {
            Some(("`NullPool` opens a connection for every use", Severity::Warning))
        } else if matches!(number("max_size"), Some(ExprKind::None)) && path.starts_with("asyncpg.")
        {
            Some(("`max_size=None`", Severity::Error))
        } else {
            None
        };
        if let Some((why, severity)) = fault {
            let message = format!("this {owner} pool has no upper bound: {why}");
            findings.add("pool_unbounded", index, site.span(), message).severity = severity;
        }
    }
}

/// Engines that hand out connections which the other side has closed.
pub(super) fn pool_unvalidated(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, call, _, path) in pools(program) {
        let serves = !program.roots.requests.is_empty();
        if !is_engine(path) || !serves || call.has_rest() {
            continue;
        }
        let validated = ["pool_pre_ping", "pool_recycle", "poolclass", "pool", "creator"];
        let text = call.argument("url", 0).and_then(|url| text_of(program, site.at, url, 4));
        let local =
            text.as_deref().is_some_and(|text| text.contains("sqlite") || text.contains("duckdb"));
        if local || validated.iter().any(|name| call.keyword(name).is_some()) {
            continue;
        }
        let index = program.project.module(site.at.module).source;
        let message = "this engine does not validate its connections: after a restart or a failover of the \
             database the first requests fail; say `pool_pre_ping=True`";
        let finding = findings.add("pool_unvalidated", index, site.span(), message);
        finding.severity = Severity::Warning;
    }
}

/// The text of a value, through names and the literals they are bound to.
fn text_of<'a>(
    program: &Program<'a>,
    at: FunctionId,
    expr: &'a Expr,
    depth: u32,
) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match &expr.kind {
        ExprKind::Text(text) => Some(text.to_string()),
        ExprKind::Format(parts) => parts.iter().find_map(|part| part.text().map(str::to_owned)),
        ExprKind::Name(_) | ExprKind::Attribute(..) => {
            let values = program.project.bound_values(at, expr);
            values.into_iter().find_map(|(at, value)| text_of(program, at, value, depth))
        }
        ExprKind::Call(call) => {
            call.args.iter().rev().find_map(|it| text_of(program, at, it, depth))
        }
        ExprKind::Either(parts) => parts.iter().find_map(|it| text_of(program, at, it, depth)),
        ExprKind::Binary(both, _) => text_of(program, at, &both.0, depth),
        _ => None,
    }
}

/// The same database with a pool in several modules: their bounds add up.
pub(super) fn pool_per_module(program: &Program<'_>, findings: &mut Findings<'_>) {
    if program.roots.requests.is_empty() {
        return;
    }
    let mut by_owner: BTreeMap<(&str, String), Vec<&Site<'_>>> = BTreeMap::new();
    for (site, call, owner, _) in pools(program) {
        // What a function makes for its caller may be the one place that makes it.
        if site.at.function != 0 {
            continue;
        }
        // Two databases need two pools: the same words for the address mean the same one.
        let source = program.project.source(site.at.module);
        let address =
            call.args.first().or_else(|| call.keyword("dsn")).or_else(|| call.keyword("url"));
        let text = address.and_then(|it| text_of(program, site.at, it, 4));
        if text.is_some_and(|text| text.contains("sqlite")) {
            continue;
        }
        let address = address.map_or(String::new(), |it| source.slice(it.span).to_owned());
        by_owner.entry((owner, address)).or_default().push(site);
    }
    for ((owner, _), sites) in by_owner {
        let Some((first, others)) = sites.split_first() else { continue };
        for site in others {
            if site.at.module == first.at.module {
                continue;
            }
            let there = program.project.source(first.at.module);
            let message = format!(
                "a second {owner} pool for the same address: {}:{} has one, and their bounds add up",
                there.path,
                there.line_of(first.span().start)
            );
            let index = program.project.module(site.at.module).source;
            let finding = findings.add("pool_per_module", index, site.span(), message);
            finding.chain = vec![hop(program, first.at, first.span(), "the first pool".to_owned())];
        }
    }
}
