//! Schemas and queries written in Python: Alembic's operations, `SQLAlchemy`'s tables and models,
//! pgvector's comparators.

use std::collections::HashMap;

use super::at::At;
use super::sql::{Change, Column, Index, IndexItem, Query, Table, Term, UseOf};
use crate::python::Module;
use crate::python::syntax::{Call, Class, Expr, ExprKind, StmtKind};
use crate::source::Source;

/// Modules in the order in which Alembic runs them; others where they stand.
pub(super) fn in_order(python: &[Module]) -> Vec<&Module> {
    let mut revisions: HashMap<&str, (&Module, Option<&str>)> = HashMap::new();
    for module in python {
        if let Some(revision) = constant(module, "revision") {
            revisions.insert(revision, (module, constant(module, "down_revision")));
        }
    }
    let depth = |module: &Module| {
        let mut depth = 0_usize;
        let mut at = constant(module, "revision");
        while let Some((_, down)) = at.and_then(|it| revisions.get(it)) {
            depth += 1;
            // A circle of revisions ends, too.
            if depth > revisions.len() {
                break;
            }
            at = *down;
        }
        depth
    };
    let mut modules: Vec<&Module> = python.iter().collect();
    modules.sort_by_cached_key(|module| depth(module));
    modules
}

/// `name = "text"` of a module.
fn constant<'a>(module: &'a Module, name: &str) -> Option<&'a str> {
    let body = &module.functions.first()?.body;
    body.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Assign { targets, value: Some(value), .. }
            if targets.iter().any(|it| it.dotted().as_deref() == Some(name)) =>
        {
            value.text()
        }
        _ => None,
    })
}

/// What a module changes, in the order of the text.
pub(super) fn changes(source: &Source, module: &Module) -> Vec<Change> {
    // Most modules have nothing of it, and need not be walked.
    if !["Column(", "mapped_column(", "op."].iter().any(|word| source.text.contains(word)) {
        return Vec::new();
    }
    let reader = Reader { source };
    let mut found = Vec::new();
    for class in &module.classes {
        reader.model(class, &mut found);
    }
    for function in module.functions.iter().filter(|it| &*it.name != "downgrade") {
        function.exprs(&mut |expr| {
            if let Some(call) = expr.call() {
                reader.operation(expr, call, &mut found);
            }
        });
    }
    found
}

struct Reader<'a> {
    source: &'a Source,
}

impl Reader<'_> {
    fn at(&self, expr: &Expr) -> At {
        let (line, column) = self.source.place(expr.span.start);
        At { line, column }
    }

    /// `op.create_table(...)` and others; `Table("name", metadata, ...)`.
    fn operation(&self, expr: &Expr, call: &Call, found: &mut Vec<Change>) {
        let Some(name) = call.func.dotted() else { return };
        let text = |number: usize| call.args.get(number).and_then(Expr::text).map(str::to_owned);
        let operation = name.strip_prefix("op.").or(name.strip_prefix("batch_op."));
        match (operation, name.rsplit('.').next()) {
            (Some("create_table"), _) => found.extend(self.table(call, 1, false)),
            (None, Some("Table")) if call.args.len() > 2 => found.extend(self.table(call, 2, true)),
            (Some("drop_table"), _) => found.extend(text(0).map(Change::DropTable)),
            (Some("add_column"), _) => {
                let column = call.args.iter().find_map(|it| self.column(it, None));
                found.extend(
                    text(0).zip(column).map(|(table, column)| Change::AddColumn(table, column)),
                );
            }
            (Some("drop_column"), _) => found.extend(
                text(0).zip(text(1)).map(|(table, column)| Change::DropColumn(table, column)),
            ),
            (Some("rename_table"), _) => {
                found.extend(text(0).zip(text(1)).map(|(from, to)| Change::RenameTable(from, to)));
            }
            (Some("alter_column"), _) => {
                let ty = call.keyword("type_").map(|it| (ty(it), self.at(it)));
                found.extend(
                    text(0)
                        .zip(text(1))
                        .zip(ty)
                        .map(|((table, column), (ty, at))| Change::SetType(table, column, ty, at)),
                );
            }
            (Some("create_primary_key"), _) => found.extend(text(1).map(Change::PrimaryKey)),
            (Some("create_foreign_key"), _) => {
                found.extend(text(1).map(|table| {
                    Change::ForeignKey(table, call.args.get(3).map(texts).unwrap_or_default())
                }));
            }
            (Some("create_index"), _) => {
                let columns = call.argument("columns", 2).map(texts).unwrap_or_default();
                found.extend(text(1).map(|table| {
                    Change::CreateIndex(self.index(
                        expr,
                        call,
                        &table,
                        text(0).unwrap_or_default(),
                        &columns,
                    ))
                }));
            }
            (Some("drop_index"), _) => found.extend(text(0).map(Change::DropIndex)),
            _ => {}
        }
    }

    fn table(&self, call: &Call, first: usize, is_model: bool) -> Option<Change> {
        let name = call.args.first()?;
        let mut table = Table {
            name: name.text()?.to_owned(),
            at: self.at(name),
            derived: is_model,
            ..Table::default()
        };
        for argument in call.args.iter().skip(first) {
            // `*columns()`
            table.derived |= matches!(argument.kind, ExprKind::Starred(_));
            if let Some(column) = self.column(argument, None) {
                table.columns.push(column);
            }
            constraint(argument, &mut table);
        }
        table.primary_key |= table.columns.iter().any(|it| it.primary_key);
        Some(Change::CreateTable(table))
    }

    /// `Column("name", type, ...)`; of a model `name = Column(type, ...)`.
    fn column(&self, expr: &Expr, attribute: Option<&str>) -> Option<Column> {
        let call = expr.call()?;
        if !matches!(call.func.last_name(), Some("Column" | "mapped_column")) {
            return None;
        }
        let stated = call.args.first().and_then(Expr::text);
        let name = stated.or(attribute)?.to_owned();
        let parts = || call.args.iter().skip(usize::from(stated.is_some()));
        let references =
            parts().any(|it| it.last_name() == Some("ForeignKey") && it.call().is_some());
        let ty_expr = parts().find(|it| {
            !matches!(
                it.last_name(),
                Some("ForeignKey" | "Identity" | "Computed" | "Sequence" | "CheckConstraint")
            )
        });
        let is_true =
            |name: &str| call.keyword(name).is_some_and(|it| it.kind == ExprKind::Bool(true));
        Some(Column {
            name,
            at: self.at(expr),
            ty: ty_expr.map(ty).unwrap_or_default(),
            type_at: ty_expr.map_or_else(|| self.at(expr), |it| self.at(it)),
            primary_key: is_true("primary_key"),
            references,
            source: 0,
        })
    }

    /// A class with `__tablename__`: `SQLAlchemy` itself demands its key, which may come from a base.
    fn model(&self, class: &Class, found: &mut Vec<Change>) {
        let mut table = Table { derived: true, ..Table::default() };
        let mut indexes = Vec::new();
        for stmt in &class.body {
            let StmtKind::Assign { targets, annotation, value: Some(value) } = &stmt.kind else {
                continue;
            };
            let Some(name) = targets.first().and_then(Expr::dotted) else { continue };
            match name.as_str() {
                "__tablename__" => {
                    value.text().unwrap_or_default().clone_into(&mut table.name);
                    table.at = self.at(value);
                }
                "__table_args__" => value.walk(&mut |part| {
                    constraint(part, &mut table);
                    if let Some(call) =
                        part.call().filter(|it| it.func.last_name() == Some("Index"))
                    {
                        indexes.push((part, call));
                    }
                }),
                _ => {
                    let mut column = self.column(value, Some(&name));
                    if let (Some(column), Some(annotation)) = (&mut column, annotation)
                        && column.ty.is_empty()
                    {
                        annotated(annotation, column);
                    }
                    table.columns.extend(column);
                }
            }
        }
        if table.name.is_empty() {
            return;
        }
        let name = table.name.clone();
        found.push(Change::CreateTable(table));
        for (expr, call) in indexes {
            let index_name = call.args.first().and_then(Expr::text).unwrap_or_default().to_owned();
            let columns: Vec<String> = call
                .args
                .iter()
                .skip(1)
                .filter_map(|it| it.text().or(it.last_name()).map(str::to_owned))
                .collect();
            found.push(Change::CreateIndex(self.index(expr, call, &name, index_name, &columns)));
        }
    }

    /// `postgresql_using`, `postgresql_ops`, `postgresql_with`.
    fn index(
        &self,
        expr: &Expr,
        call: &Call,
        table: &str,
        name: String,
        columns: &[String],
    ) -> Index {
        let entries = |key: &str| -> Vec<(String, String)> {
            let Some(ExprKind::Dict(items)) = call.keyword(key).map(|it| &it.kind) else {
                return Vec::new();
            };
            items
                .iter()
                .filter_map(|(key, value)| {
                    Some((
                        key.as_ref()?.text()?.to_owned(),
                        self.source.slice(value.span).trim_matches(['"', '\'']).to_owned(),
                    ))
                })
                .collect()
        };
        let classes = entries("postgresql_ops");
        let item = |column: &String| IndexItem {
            column: Some(column.clone()),
            expression: column.clone(),
            operator_class: classes
                .iter()
                .find(|(key, _)| key == column)
                .map(|(_, class)| class.clone()),
            at: self.at(expr),
        };
        Index {
            name,
            at: self.at(expr),
            table: table.to_owned(),
            method: call
                .keyword("postgresql_using")
                .and_then(Expr::text)
                .unwrap_or("btree")
                .to_lowercase(),
            partial: call.keyword("postgresql_where").is_some(),
            items: columns.iter().map(item).collect(),
            parameters: entries("postgresql_with")
                .into_iter()
                .map(|(key, value)| [key, "=".to_owned(), value].concat().to_lowercase())
                .collect(),
            source: 0,
        }
    }
}

fn constraint(expr: &Expr, table: &mut Table) {
    let Some(call) = expr.call() else { return };
    match call.func.last_name() {
        Some("PrimaryKeyConstraint") => table.primary_key = true,
        Some("ForeignKeyConstraint") => {
            table.foreign_keys.extend(call.args.first().map(texts).unwrap_or_default());
        }
        _ => {}
    }
}

fn texts(expr: &Expr) -> Vec<String> {
    match &expr.kind {
        ExprKind::List(items) => items.iter().filter_map(Expr::text).map(str::to_owned).collect(),
        ExprKind::Text(text) => vec![text.to_string()],
        _ => Vec::new(),
    }
}

/// A type as PostgreSQL calls it; empty where it cannot be told.
fn ty(expr: &Expr) -> String {
    let (name, call) = match &expr.kind {
        // `JSON().with_variant(JSONB, "postgresql")` is not what it begins with.
        ExprKind::Call(call) if matches!(&call.func.kind, ExprKind::Attribute(value, _) if value.call().is_some()) =>
        {
            return String::new();
        }
        ExprKind::Call(call) => (call.func.last_name(), Some(call)),
        _ => (expr.last_name(), None),
    };
    let zone = call.is_some_and(|call| {
        call.argument("timezone", 0).is_some_and(|it| it.kind == ExprKind::Bool(true))
    });
    match name {
        Some("DateTime" | "TIMESTAMP") if zone => "timestamp with time zone",
        Some("DateTime" | "TIMESTAMP") => "timestamp",
        Some("JSON") => "json",
        Some("JSONB") => "jsonb",
        Some("Vector" | "VECTOR") => "vector",
        Some("HALFVEC") => "halfvec",
        Some("Integer") => "integer",
        Some("BigInteger") => "bigint",
        Some("UUID" | "Uuid") => "uuid",
        _ => "",
    }
    .to_owned()
}

/// `Mapped[datetime]` without a type comes out without a zone.
fn annotated(annotation: &Expr, column: &mut Column) {
    let mut names = Vec::new();
    annotation.walk(&mut |part| names.extend(part.last_name().map(str::to_owned)));
    if names.iter().any(|name| name == "datetime") && names.iter().any(|name| name == "Mapped") {
        "timestamp".clone_into(&mut column.ty);
    }
}

/// `Item.embedding.cosine_distance(...)` and others.
pub(super) fn queries(source: &Source, module: &Module) -> Vec<Query> {
    if !["_distance(", "max_inner_product(", "has_key("]
        .iter()
        .any(|word| source.text.contains(word))
    {
        return Vec::new();
    }
    let reader = Reader { source };
    let tables: HashMap<&str, &str> = module
        .classes
        .iter()
        .filter_map(|class| Some((&*class.name, table_name(class)?)))
        .collect();
    let mut found = Vec::new();
    for function in &module.functions {
        function.walk(&mut |stmt| {
            stmt.exprs(&mut |expr| {
                if let Some(query) = reader.query(expr, &tables) {
                    found.push(query);
                }
            });
        });
    }
    found
}

fn table_name(class: &Class) -> Option<&str> {
    class.body.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Assign { targets, value: Some(value), .. }
            if targets.first()?.dotted()? == "__tablename__" =>
        {
            value.text()
        }
        _ => None,
    })
}

impl Reader<'_> {
    fn query(&self, expr: &Expr, tables: &HashMap<&str, &str>) -> Option<Query> {
        let mut query = Query {
            at: self.at(expr),
            tables: Vec::new(),
            uses: Vec::new(),
            filtered: false,
            limited: false,
        };
        expr.walk(&mut |part| {
            let Some(call) = part.call() else { return };
            let ExprKind::Attribute(value, method) = &call.func.kind else { return };
            let operator = match &**method {
                "cosine_distance" => "<=>",
                "l2_distance" => "<->",
                "max_inner_product" => "<#>",
                "l1_distance" => "<+>",
                "has_key" => "?",
                "where" | "filter" | "filter_by" => {
                    query.filtered = true;
                    return;
                }
                "limit" => {
                    query.limited = true;
                    return;
                }
                _ => return,
            };
            let ExprKind::Attribute(owner, column) = &value.kind else { return };
            let Some(class) = owner.last_name() else { return };
            let term = if operator == "?" { Term::Where } else { Term::OrderBy };
            if let Some(table) = tables.get(class) {
                query.tables.push(((*table).to_owned(), class.to_owned()));
            }
            query.uses.push(UseOf {
                at: self.at(part),
                operator: operator.to_owned(),
                column: column.to_string(),
                qualifier: Some(class.to_owned()),
                nested: false,
                term,
            });
        });
        (!query.uses.is_empty()).then_some(query)
    }
}
