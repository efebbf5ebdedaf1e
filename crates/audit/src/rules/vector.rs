//! LE-LOG-03: vector indexes against the queries that are to use them.

use super::Findings;
use crate::facts::Facts;
use crate::platform::span;
use crate::platform::sql::{Index, Query, Term, UseOf};
use crate::rule::Severity;

/// Operator of pgvector, and the ends of the operator classes that answer it.
const OPERATORS: [(&str, &str); 6] = [
    ("<->", "l2_ops"),
    ("<=>", "cosine_ops"),
    ("<#>", "ip_ops"),
    ("<+>", "l1_ops"),
    ("<~>", "hamming_ops"),
    ("<%>", "jaccard_ops"),
];

fn class_of(operator: &str) -> Option<&'static str> {
    OPERATORS.iter().find(|(it, _)| *it == operator).map(|(_, class)| *class)
}

fn vector_indexes(facts: &Facts) -> impl Iterator<Item = &Index> {
    facts
        .platform
        .schema
        .indexes
        .iter()
        .filter(|it| matches!(it.method.as_str(), "hnsw" | "ivfflat"))
}

/// Whether an index orders by what a use asks, in a query of its table.
fn answers(index: &Index, it: &UseOf) -> bool {
    let class =
        index.item(&it.column).and_then(|item| item.operator_class.as_deref()).unwrap_or_default();
    class_of(&it.operator).is_some_and(|wanted| class.ends_with(wanted))
}

/// Uses of vector operators that sort, with their query.
fn sorts<'a>(
    facts: &'a Facts,
    index: &'a Index,
) -> impl Iterator<Item = (usize, &'a Query, &'a UseOf)> {
    facts.platform.queries.iter().flat_map(move |(source, query)| {
        let uses = query.uses.iter().filter(move |it| {
            it.term == Term::OrderBy
                && class_of(&it.operator).is_some()
                && index.item(&it.column).is_some()
                && query.tables_of(it).any(|table| table == index.table)
                && facts.platform.schema.is_shared(&index.table, *source, index.source)
        });
        uses.map(move |it| (*source, query, it))
    })
}

/// Operator classes that no query asks, missing parameters, filters without iterative scans.
pub(crate) fn indexes(facts: &Facts, findings: &mut Findings<'_>) {
    for index in vector_indexes(facts) {
        let place = span(&facts.sources[index.source], index.at);
        if index.method == "ivfflat" && index.parameter("lists").is_none() {
            let message = "an ivfflat index without `lists`: 100 lists whatever the table's size";
            findings.add("vector_index_parameters", index.source, place, message);
        } else if index.method == "hnsw"
            && index.parameter("m").is_none()
            && index.parameter("ef_construction").is_none()
        {
            let message = "an hnsw index without `m` and `ef_construction`: recall is left to the defaults 16 and 64";
            findings.add("vector_index_parameters", index.source, place, message).severity =
                Severity::Note;
        }
        operator_class(facts, index, findings);
    }
    filtered(facts, findings);
}

/// A query that sorts by another distance than any index of its column.
fn operator_class(facts: &Facts, index: &Index, findings: &mut Findings<'_>) {
    let others: Vec<&Index> = vector_indexes(facts).filter(|it| it.table == index.table).collect();
    for (source, _, it) in sorts(facts, index) {
        let column = index.item(&it.column);
        let class =
            column.and_then(|item| item.operator_class.as_deref()).unwrap_or("no operator class");
        // The first index of the column speaks for all.
        let first = others.iter().find(|other| other.item(&it.column).is_some());
        if others.iter().any(|other| answers(other, it))
            || first.is_none_or(|first| !std::ptr::eq(*first, index))
        {
            continue;
        }
        let message = format!(
            "sorts by `{}`, but the index of `{}` is built with {class}: it is not used",
            it.operator, it.column
        );
        let hop = findings.hop(
            index.source,
            span(&facts.sources[index.source], index.at),
            format!("the index, with {class}"),
        );
        findings
            .add("vector_operator_class", source, span(&facts.sources[source], it.at), message)
            .chain
            .push(hop);
    }
}

/// Nearest rows under a condition, where the index gives its candidates first and the condition takes
/// most of them away.
fn filtered(facts: &Facts, findings: &mut Findings<'_>) {
    if facts.platform.settings.iter().any(|it| it.ends_with(".iterative_scan"))
        || mentions_setting(facts)
    {
        return;
    }
    for index in vector_indexes(facts).filter(|it| !it.partial) {
        for (source, query, it) in sorts(facts, index) {
            if !query.filtered || !query.limited || !answers(index, it) {
                continue;
            }
            let message = format!(
                "nearest rows under a condition: the {} index gives its candidates first, and fewer than LIMIT may be left",
                index.method
            );
            let hop = findings.hop(
                index.source,
                span(&facts.sources[index.source], index.at),
                "the index is here",
            );
            findings
                .add("vector_filtered_search", source, span(&facts.sources[source], it.at), message)
                .chain
                .push(hop);
        }
    }
}

/// Set by other means than SQL that is read here.
fn mentions_setting(facts: &Facts) -> bool {
    facts.sources.iter().any(|source| source.text.contains("iterative_scan"))
}
