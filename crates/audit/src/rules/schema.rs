//! LE-LOG-01 and LE-LOG-02: keys, time stamps, documents and their indexes, on the folded schema.

use super::Findings;
use crate::facts::Facts;
use crate::platform::span;
use crate::platform::sql::{Column, Index, Table, Term, UseOf};
use crate::rule::Severity;

/// Keys, time stamps, JSON.
pub(crate) fn tables(facts: &Facts, findings: &mut Findings<'_>) {
    for table in facts.platform.schema.tables.values() {
        if table.temporary {
            continue;
        }
        if !table.primary_key
            && !table.derived
            && !is_staging(&table.name)
            && !table.columns.is_empty()
        {
            let message = format!(
                "table `{}` has no primary key: nothing keeps a row from being there twice",
                table.name
            );
            findings.add(
                "no_primary_key",
                table.source,
                span(&facts.sources[table.source], table.at),
                message,
            );
        }
        for column in &table.columns {
            types(facts, table, column, findings);
            foreign_key(facts, table, column, findings);
        }
    }
}

fn types(facts: &Facts, table: &Table, column: &Column, findings: &mut Findings<'_>) {
    let place = span(&facts.sources[column.source], column.type_at);
    let name = format!("`{}.{}`", table.name, column.name);
    match column.ty.split('(').next().unwrap_or_default().trim() {
        "timestamp" if !column.ty.contains("with time zone") => {
            let message = format!(
                "{name} is a time stamp without zone: two writers in two zones mean two moments"
            );
            findings.add("timestamp_without_zone", column.source, place, message);
        }
        "timestamp without time zone" => {
            let message = format!(
                "{name} is a time stamp without zone: two writers in two zones mean two moments"
            );
            findings.add("timestamp_without_zone", column.source, place, message);
        }
        "json" => {
            let message = format!(
                "{name} is `json`: it is parsed at every query and takes no GIN index; `jsonb` does"
            );
            findings.add("json_not_jsonb", column.source, place, message);
        }
        _ => {}
    }
}

/// Tables that rows only pass through.
fn is_staging(name: &str) -> bool {
    ["staging", "stage_", "stg_", "tmp", "temp_", "_raw", "raw_", "_log", "audit"]
        .iter()
        .any(|it| name.contains(it))
}

/// `user_id` where there is a table `users` with a key.
fn foreign_key(facts: &Facts, table: &Table, column: &Column, findings: &mut Findings<'_>) {
    let Some(entity) = column.name.strip_suffix("_id").filter(|it| !it.is_empty()) else { return };
    if column.references
        || table.foreign_keys.contains(&column.name)
        || column.primary_key && table.columns.len() == 1
    {
        return;
    }
    let tables = &facts.platform.schema.tables;
    let names = [
        entity.to_owned(),
        format!("{entity}s"),
        format!("{entity}es"),
        format!("{}ies", entity.strip_suffix('y').unwrap_or(entity)),
    ];
    let target = names.iter().filter(|name| **name != table.name).find_map(|name| tables.get(name));
    let Some(target) =
        target.filter(|it| it.primary_key && it.column("id").or(it.column(&column.name)).is_some())
    else {
        return;
    };
    if !facts.platform.schema.is_shared(&target.name, column.source, target.source) {
        return;
    }
    let key = target.column("id").or(target.column(&column.name));
    // Of another type it means something else.
    if key.is_some_and(|key| is_number(&key.ty) != is_number(&column.ty)) {
        return;
    }
    let message = format!(
        "`{}.{}` looks like a key of `{}`, and nothing holds it to one",
        table.name, column.name, target.name
    );
    let place = span(&facts.sources[column.source], column.at);
    let hop = findings.hop(
        target.source,
        span(&facts.sources[target.source], target.at),
        format!("`{}` is here", target.name),
    );
    findings.add("missing_foreign_key", column.source, place, message).chain.push(hop);
}

fn is_number(ty: &str) -> bool {
    ["int", "serial"].iter().any(|it| ty.contains(it))
}

/// What `jsonb_ops` and `jsonb_path_ops` can answer.
const DOCUMENT_OPERATORS: [&str; 6] = ["@>", "?", "?|", "?&", "@?", "@@"];

/// A use of a document's operator in a condition, and where.
struct Asked<'a> {
    source: usize,
    it: &'a UseOf,
    table: &'a str,
}

fn asked(facts: &Facts) -> Vec<Asked<'_>> {
    let mut found = Vec::new();
    for (source, query) in &facts.platform.queries {
        for it in query
            .uses
            .iter()
            .filter(|it| it.term == Term::Where && DOCUMENT_OPERATORS.contains(&&*it.operator))
        {
            for table in query.tables_of(it) {
                found.push(Asked { source: *source, it, table });
            }
        }
    }
    found
}

/// GIN operator classes against what is asked; documents that are asked without an index.
pub(crate) fn documents(facts: &Facts, findings: &mut Findings<'_>) {
    let asked = asked(facts);
    let schema = &facts.platform.schema;
    for index in schema.indexes.iter().filter(|it| it.method == "gin") {
        let Some(table) = schema.tables.get(&index.table) else { continue };
        for item in &index.items {
            let Some(column) = item
                .column
                .as_deref()
                .and_then(|name| table.column(name))
                .filter(|it| it.ty == "jsonb")
            else {
                continue;
            };
            let uses: Vec<&Asked<'_>> = asked
                .iter()
                .filter(|it| it.table == table.name && it.it.column == column.name && !it.it.nested)
                .filter(|it| schema.is_shared(&table.name, it.source, index.source))
                .collect();
            operator_class(facts, index, column, &uses, findings);
            whole_document(facts, index, column, findings);
        }
    }
    for ask in &asked {
        unindexed(facts, ask, findings);
    }
}

fn operator_class(
    facts: &Facts,
    index: &Index,
    column: &Column,
    uses: &[&Asked<'_>],
    findings: &mut Findings<'_>,
) {
    let class =
        index.item(&column.name).and_then(|it| it.operator_class.as_deref()).unwrap_or("jsonb_ops");
    let place = span(&facts.sources[index.source], index.at);
    if class == "jsonb_path_ops" {
        let Some(ask) = uses.iter().find(|it| it.it.operator.starts_with('?')) else { return };
        let message = format!(
            "`{}` is indexed by jsonb_path_ops, which cannot answer `{}`: the query reads the whole table",
            column.name, ask.it.operator
        );
        let hop = findings.hop(
            ask.source,
            span(&facts.sources[ask.source], ask.it.at),
            format!("asks `{}`", ask.it.operator),
        );
        findings.add("gin_operator_class", index.source, place, message).chain.push(hop);
    } else if class == "jsonb_ops"
        && !uses.is_empty()
        && uses.iter().all(|it| it.it.operator.starts_with('@'))
    {
        let message = format!(
            "`{}` is only asked `{}`: jsonb_path_ops answers that, and reads less",
            column.name, uses[0].it.operator
        );
        findings.add("gin_operator_class", index.source, place, message).severity = Severity::Note;
    }
}

/// Documents whose values hardly repeat: by what they are called.
const MEASURED: [&str; 8] =
    ["feature", "metric", "measurement", "score", "sensor", "telemetry", "embedding", "signal"];

fn whole_document(facts: &Facts, index: &Index, column: &Column, findings: &mut Findings<'_>) {
    if !MEASURED.iter().any(|word| column.name.contains(word)) || index.partial {
        return;
    }
    let place = span(&facts.sources[index.source], index.at);
    let message = format!(
        "a GIN index over all of `{}`: every number in it becomes an entry, at four to five times the WAL of a row",
        column.name
    );
    findings.add("gin_whole_document", index.source, place, message);
}

fn unindexed(facts: &Facts, ask: &Asked<'_>, findings: &mut Findings<'_>) {
    let schema = &facts.platform.schema;
    let Some(table) = schema.tables.get(ask.table) else { return };
    let Some(column) = table.column(&ask.it.column).filter(|it| it.ty == "jsonb") else { return };
    if !schema.is_shared(&table.name, ask.source, table.source) {
        return;
    }
    if schema
        .indexes_of(&table.name)
        .any(|index| index.method == "gin" && index.item(&column.name).is_some())
    {
        return;
    }
    let message = format!(
        "`{}.{}` is asked `{}` and has no GIN index: every query reads every document",
        table.name, column.name, ask.it.operator
    );
    let hop = findings.hop(
        column.source,
        span(&facts.sources[column.source], column.at),
        "the column is here",
    );
    findings
        .add("jsonb_unindexed", ask.source, span(&facts.sources[ask.source], ask.it.at), message)
        .chain
        .push(hop);
}
