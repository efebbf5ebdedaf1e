//! What a repository says beside its Python: manifests, images, schemas, packages, pipelines.
//!
//! Texts become facts here, once; rules only ask. Every reader takes any text: what cannot be read is
//! a remark, what cannot be told is unknown, and unknown breaks no rule.

pub(crate) mod at;
pub(crate) mod docker;
mod helm;
pub(crate) mod kubernetes;
pub(crate) mod mage;
mod orm;
pub(crate) mod packages;
pub(crate) mod sql;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::thread;

use crate::finding::Remark;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::python::syntax::{Expr, ExprKind, Function, Stmt, StmtKind};
use crate::python::{Module, STACK_BYTES};
use crate::rules::is_test;
use crate::source::{Kind, Source, Span};
use at::At;
use docker::Dockerfile;
use helm::Chart;
use kubernetes::{Object, Workload};
use mage::Pipeline;
use packages::Requirement;
use sql::{Query, Schema, Script};
use yaml::{Documents, Node};

/// The patterns of a `.dockerignore`: those of Git, but each begins at the file's own folder.
fn left_out(source: &Source) -> (String, Gitignore) {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut patterns = GitignoreBuilder::new("");
    for line in source.text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let (again, pattern) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest));
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        if !pattern.is_empty() {
            // A pattern that cannot be read leaves nothing out.
            drop(patterns.add_line(None, &format!("{again}/{pattern}")));
        }
    }
    (folder.to_owned(), patterns.build().unwrap_or_else(|_| Gitignore::empty()))
}

/// All facts of this room; a number beside one is the source that it stands in.
#[derive(Debug, Default)]
pub(crate) struct Platform {
    pub(crate) objects: Vec<(usize, Object)>,
    pub(crate) workloads: Vec<(usize, Workload)>,
    pub(crate) images: Vec<(usize, Dockerfile)>,
    /// Of each `.dockerignore` its folder and what it leaves out of a context that begins there.
    pub(crate) left_out: Vec<(String, Gitignore)>,
    pub(crate) requirements: Vec<(usize, Requirement)>,
    pub(crate) pipelines: Vec<(usize, Pipeline)>,
    /// What stands after all migrations; empty where nothing speaks of PostgreSQL.
    pub(crate) schema: Schema,
    pub(crate) queries: Vec<(usize, Query)>,
    /// Settings of PostgreSQL that are set anywhere, in small letters.
    pub(crate) settings: Vec<String>,
}

impl Platform {
    /// Reads all that is no Python, and SQL inside of Python.
    pub(crate) fn new(sources: &[Source], python: &[Module]) -> (Self, Vec<Remark>) {
        let mut platform = Self::default();
        let mut remarks = Vec::new();
        let charts = charts(sources);
        for (index, source) in sources.iter().enumerate() {
            match source.kind {
                Kind::Yaml => platform.yaml(index, source, &charts, &mut remarks),
                Kind::Dockerfile => platform.dockerfile(index, source),
                Kind::DockerIgnore => platform.left_out.push(left_out(source)),
                Kind::Requirements => platform.require(index, packages::requirements(&source.text)),
                Kind::Toml if source.name() == "pyproject.toml" => {
                    platform.require(index, packages::pyproject(&source.text));
                }
                Kind::Lock => platform.require(index, packages::lock(&source.text)),
                _ => {}
            }
        }
        if speaks_of_postgresql(sources) {
            // The parser of SQL descends; it is bounded to what this stack holds.
            let read = thread::scope(|scope| {
                let thread = thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, || Database::read(sources, python));
                thread.ok().and_then(|thread| thread.join().ok())
            });
            match read {
                Some(database) => {
                    (platform.schema, platform.queries, platform.settings) =
                        (database.schema, database.queries, database.settings);
                }
                None => remarks.push(Remark {
                    path: String::new(),
                    line: 0,
                    message: "SQL could not be read".to_owned(),
                }),
            }
        }
        (platform, remarks)
    }

    fn require(&mut self, index: usize, list: Vec<Requirement>) {
        self.requirements.extend(list.into_iter().map(|it| (index, it)));
    }

    fn dockerfile(&mut self, index: usize, source: &Source) {
        let image = docker::parse(&source.text);
        for instruction in
            image.stages.iter().flat_map(|stage| &stage.instructions).filter(|it| it.name == "RUN")
        {
            self.require(index, packages::pip_installs(&instruction.script(), instruction.at));
        }
        self.images.push((index, image));
    }

    fn yaml(
        &mut self,
        index: usize,
        source: &Source,
        charts: &BTreeMap<String, Chart>,
        remarks: &mut Vec<Remark>,
    ) {
        let documents = read_yaml(source, charts);
        if let Some((at, why)) = documents.faults.first() {
            remarks.push(Remark {
                path: source.path.clone(),
                line: at.line,
                message: format!("is no YAML: {why}"),
            });
        }
        let objects = kubernetes::objects(&documents);
        self.workloads.extend(kubernetes::workloads(&objects).into_iter().map(|it| (index, it)));
        self.objects.extend(objects.into_iter().map(|it| (index, it)));
        for root in &documents.roots {
            if root.get("dependencies").is_some()
                && (root.get("channels").is_some() || source.name().starts_with("environment"))
            {
                self.require(index, packages::conda(root));
            }
            if source.name() == "metadata.yaml" {
                self.pipelines.extend(mage::pipeline(root).map(|it| (index, it)));
            }
        }
    }

    /// Objects that stand with those of a source: in its chart or folder.
    pub(crate) fn beside<'a>(
        &'a self,
        sources: &'a [Source],
        index: usize,
    ) -> impl Iterator<Item = &'a (usize, Object)> {
        let home = unit(&sources[index].path);
        self.objects.iter().filter(move |(other, _)| unit(&sources[*other].path) == home)
    }
}

/// The stretch of a source from a place to the end of its line.
pub(crate) fn span(source: &Source, at: At) -> Span {
    let start = source.line_start(at.line) as usize;
    let line = source.line(at.line);
    let skipped: usize =
        line.chars().take(at.column.saturating_sub(1) as usize).map(char::len_utf8).sum();
    let end = start + line.trim_end().len();
    Span::new((start + skipped).min(end), end)
}

/// Folder whose files belong together: a chart's root, else the file's folder.
pub(crate) fn unit(path: &str) -> &str {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let inside = [folder, "/"].concat();
    match inside.find("/templates/") {
        Some(end) => &folder[..end],
        None if inside.starts_with("templates/") => "",
        None => folder,
    }
}

/// Values and metadata of charts by their folder.
fn charts(sources: &[Source]) -> BTreeMap<String, Chart> {
    let mut charts = BTreeMap::new();
    for source in sources.iter().filter(|it| matches!(it.name(), "Chart.yaml" | "Chart.yml")) {
        let folder = unit(&source.path).to_owned();
        let values =
            sources.iter().find(|it| unit(&it.path) == folder && it.name() == "values.yaml");
        let root = |text: &str| yaml::parse(text).roots.into_iter().next();
        let chart =
            Chart { values: values.and_then(|it| root(&it.text)), chart: root(&source.text) };
        charts.insert(folder, chart);
    }
    charts
}

/// Templates of charts are rendered; other text with braces only if it is no YAML as it stands.
fn read_yaml(source: &Source, charts: &BTreeMap<String, Chart>) -> Documents {
    let is_template = source.path.contains("templates/");
    if let Some(chart) = charts.get(unit(&source.path)).filter(|_| is_template) {
        return yaml::parse(&helm::render(&source.text, chart));
    }
    let documents = yaml::parse(&source.text);
    if documents.faults.is_empty() || !source.text.contains("{{") {
        return documents;
    }
    yaml::parse(&helm::render(&source.text, &Chart::default()))
}

/// Whether anything here is written for PostgreSQL: other databases have other types.
fn speaks_of_postgresql(sources: &[Source]) -> bool {
    const WORDS: [&str; 12] = [
        "postgres",
        "psycopg",
        "asyncpg",
        "pgvector",
        "jsonb",
        "timestamptz",
        "bigserial",
        "plpgsql",
        "gen_random_uuid",
        "using hnsw",
        "using gin",
        "vector(",
    ];
    let kinds = [
        Kind::Sql,
        Kind::Python,
        Kind::Requirements,
        Kind::Toml,
        Kind::Yaml,
        Kind::Environment,
        Kind::Lock,
    ];
    sources.iter().filter(|it| kinds.contains(&it.kind)).any(|source| {
        let lower = source.text.to_ascii_lowercase();
        WORDS.iter().any(|word| memchr::memmem::find(lower.as_bytes(), word.as_bytes()).is_some())
    })
}

/// What all SQL comes to.
#[derive(Default)]
struct Database {
    schema: Schema,
    queries: Vec<(usize, Query)>,
    settings: Vec<String>,
}

impl Database {
    fn read(sources: &[Source], python: &[Module]) -> Self {
        let mut database = Self::default();
        let mut files: Vec<usize> = (0..sources.len())
            .filter(|index| {
                sources[*index].kind == Kind::Sql
                    && !is_reverse(&sources[*index])
                    && !is_test(&sources[*index].path)
            })
            .collect();
        files.sort_by_cached_key(|index| numbered(&sources[*index].path));
        for index in files {
            database.take(sql::read(upward(&sources[index].text)), index);
        }
        for module in
            orm::in_order(python).into_iter().filter(|it| !is_test(&sources[it.source].path))
        {
            database.python(&sources[module.source], module);
        }
        database
    }

    fn take(&mut self, script: Script, index: usize) {
        script.changes.iter().for_each(|change| self.schema.apply(change, index));
        self.queries.extend(script.queries.into_iter().map(|it| (index, it)));
        self.settings.extend(script.settings);
    }

    fn python(&mut self, source: &Source, module: &Module) {
        if speaks_to_another(module) {
            return;
        }
        for function in
            module.functions.iter().filter(|it| !matches!(&*it.name, "downgrade" | "down"))
        {
            strings(function, &mut |expr| {
                if let Some(script) = embedded(source, expr) {
                    self.take(script, module.source);
                }
            });
        }
        for change in orm::changes(source, module) {
            self.schema.apply(&change, module.source);
        }
        self.queries.extend(orm::queries(source, module).into_iter().map(|it| (module.source, it)));
    }
}

/// Whether a module's SQL goes to a database that is not PostgreSQL: by the driver that it imports.
fn speaks_to_another(module: &Module) -> bool {
    const OTHERS: [&str; 14] = [
        "duckdb",
        "sqlite3",
        "aiosqlite",
        "pymysql",
        "MySQLdb",
        "mysql",
        "aiomysql",
        "clickhouse_driver",
        "clickhouse_connect",
        "snowflake",
        "pyodbc",
        "pymssql",
        "oracledb",
        "databricks",
    ];
    const OURS: [&str; 5] = ["psycopg", "psycopg2", "asyncpg", "pgvector", "psycopg_pool"];
    let mut roots = Vec::new();
    for function in &module.functions {
        function.walk(&mut |stmt| {
            if let StmtKind::Import(list) = &stmt.kind {
                roots.extend(list.iter().map(|it| it.module.split('.').next().unwrap_or_default()));
            }
        });
    }
    roots.iter().any(|it| OTHERS.contains(it)) && !roots.iter().any(|it| OURS.contains(it))
}

/// Texts and formatted texts of a function, outermost only, but those that only document.
fn strings<'a>(function: &'a Function, visit: &mut dyn FnMut(&'a Expr)) {
    function.walk(&mut |stmt: &'a Stmt| {
        if !matches!(&stmt.kind, StmtKind::Expr(Expr { kind: ExprKind::Text(_), .. })) {
            stmt.exprs(&mut |expr| outermost(expr, visit));
        }
    });
}

fn outermost<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    match &expr.kind {
        ExprKind::Text(_) | ExprKind::Format(_) => visit(expr),
        _ => expr.parts(&mut |part| outermost(part, visit)),
    }
}

/// A string of code that is SQL, with places in the file.
fn embedded(source: &Source, expr: &Expr) -> Option<Script> {
    let text = match &expr.kind {
        ExprKind::Text(text) => text.to_string(),
        ExprKind::Format(parts) => parts.iter().map(|part| part.text().unwrap_or("$1")).collect(),
        _ => return None,
    };
    if !sql::looks_like_sql(&text) {
        return None;
    }
    let mut script = sql::read(&text);
    let written = source.slice(expr.span);
    let quotes = written.find(['"', '\'']).map_or(0, |at| {
        if written[at..].starts_with("\"\"\"") || written[at..].starts_with("'''") {
            at + 3
        } else {
            at + 1
        }
    });
    let (line, column) = source.place(expr.span.start + quotes as u32);
    script.moved(At { line, column });
    Some(script)
}

/// Files that take a migration back.
fn is_reverse(source: &Source) -> bool {
    let name = source.name().to_ascii_lowercase();
    let folder = source.path.rsplit('/').nth(1).unwrap_or_default();
    name.ends_with("down.sql")
        || name.ends_with(".undo.sql")
        || name.contains("rollback")
        || (name.starts_with('u') && name.contains("__"))
        || matches!(folder, "down" | "rollback" | "undo")
}

/// The part of a migration that goes forward: before goose's and dbmate's marks.
fn upward(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let marks =
        ["-- +goose down", "-- migrate:down", "-- +migrate down", "--//@undo", "-- down migration"];
    let end = marks.iter().filter_map(|mark| lower.find(mark)).min().unwrap_or(text.len());
    &text[..end]
}

/// A path whose numbers compare as numbers.
fn numbered(path: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let after = &rest[word..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        parts.push((rest[..word].to_owned(), after[..digits].parse().unwrap_or(u64::MAX)));
        rest = &after[digits..];
    }
    parts
}

/// Whether a node's text speaks of a word, in any letters.
pub(crate) fn mentions(node: &Node, word: &str) -> bool {
    match &node.value {
        yaml::Value::Scalar { text, .. } => text.to_ascii_lowercase().contains(word),
        yaml::Value::List(items) => items.iter().any(|it| mentions(it, word)),
        yaml::Value::Map(entries) => {
            entries.iter().any(|(key, value)| mentions(key, word) || mentions(value, word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_sort_by_number() {
        let mut names = ["m/V10__a.sql", "m/V2__b.sql", "m/V2_1__c.sql"];
        names.sort_by_cached_key(|name| numbered(name));
        assert_eq!(names, ["m/V2_1__c.sql", "m/V2__b.sql", "m/V10__a.sql"]);
        assert_eq!(upward("a\n-- +goose Down\nb"), "a\n");
    }

    #[test]
    fn a_chart_is_one_unit() {
        assert_eq!(unit("c/templates/a.yaml"), "c");
        assert_eq!(unit("c/templates/tests/a.yaml"), "c");
        assert_eq!(unit("c/values.yaml"), "c");
        assert_eq!((unit("templates/a.yaml"), unit("a.yaml")), ("", ""));
    }

    #[test]
    fn places_become_stretches() {
        let source = Source::new("a".to_owned(), Kind::Yaml, "é: x  \nb".to_owned());
        assert_eq!(span(&source, At::new(1, 4)), Span::new(4, 5));
        assert_eq!(span(&source, At::new(9, 1)).start, 9);
    }
}
