//! What queries ask of JSON documents and vectors.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::Reader;
use super::statements::{child, named, relation, text};
use crate::platform::at::At;

/// One `SELECT`, `UPDATE` or `DELETE`.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) at: At,
    /// Tables of its `FROM`, with their aliases.
    pub(crate) tables: Vec<(String, String)>,
    pub(crate) uses: Vec<UseOf>,
    pub(crate) filtered: bool,
    pub(crate) limited: bool,
}

/// An operator on a column.
#[derive(Debug, Clone)]
pub(crate) struct UseOf {
    pub(crate) at: At,
    pub(crate) operator: String,
    pub(crate) column: String,
    /// The table or alias in front of it.
    pub(crate) qualifier: Option<String>,
    /// The column is reached into before (`doc -> 'a' @> ...`).
    pub(crate) nested: bool,
    pub(crate) term: Term,
}

/// Where in the query an operator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    Where,
    OrderBy,
    Other,
}

impl Query {
    /// The tables that a use may mean.
    pub(crate) fn tables_of<'a>(&'a self, it: &'a UseOf) -> impl Iterator<Item = &'a str> {
        let meant = it.qualifier.as_deref();
        self.tables
            .iter()
            .filter(move |(table, alias)| {
                meant.is_none_or(|meant| meant == table || meant == alias)
            })
            .map(|(table, _)| table.as_str())
    }
}

/// Collects the queries below a statement; each operator belongs to the innermost.
pub(super) fn read(statement: &SyntaxNode, reader: &Reader<'_>, queries: &mut Vec<Query>) {
    for node in statement.descendants() {
        if matches!(node.kind(), K::SELECT | K::UPDATE | K::DELETE) {
            let query = query(&node, reader);
            if !query.uses.is_empty() {
                queries.push(query);
            }
        }
    }
}

fn query(node: &SyntaxNode, reader: &Reader<'_>) -> Query {
    let mut query = Query {
        at: reader.at(node),
        tables: Vec::new(),
        uses: Vec::new(),
        filtered: false,
        limited: false,
    };
    let mut open: Vec<(SyntaxNode, Term)> = node.children().map(|it| (it, Term::Other)).collect();
    while let Some((node, term)) = open.pop() {
        let term = match node.kind() {
            // Another query.
            K::SELECT | K::UPDATE | K::DELETE => continue,
            K::WHERE_CLAUSE => {
                query.filtered = true;
                Term::Where
            }
            K::ORDER_BY_CLAUSE => Term::OrderBy,
            K::LIMIT_CLAUSE | K::FETCH_CLAUSE => {
                query.limited = true;
                term
            }
            K::RELATION_FROM_ITEM | K::TABLE_RELATION_NAME | K::RELATION_NAME => {
                let table = relation(&node);
                let alias =
                    node.descendants().find(|it| it.kind() == K::TABLE_ALIAS).map(|it| named(&it));
                query.tables.push((table.clone(), alias.unwrap_or(table)));
                term
            }
            K::BIN_EXPR => {
                chain(&node, term, reader, &mut query.uses);
                term
            }
            _ => term,
        };
        open.extend(node.children().map(|it| (it, term)));
    }
    query
}

/// Operators between plain operands. Operators of one rank are chained to the right by the parser and
/// to the left by PostgreSQL, so the whole chain is read, and the column is its first operand.
fn chain(node: &SyntaxNode, term: Term, reader: &Reader<'_>, uses: &mut Vec<UseOf>) {
    let is_inner = node
        .parent()
        .is_some_and(|it| it.kind() == K::BIN_EXPR && child(&it, K::CUSTOM_OP).is_some());
    if is_inner || child(node, K::CUSTOM_OP).is_none() {
        return;
    }
    let (mut operands, mut operators) = (Vec::new(), Vec::new());
    flatten(node, &mut operands, &mut operators);
    let Some((qualifier, column)) = operands.first().and_then(column) else { return };
    for (number, operator) in operators.iter().enumerate() {
        uses.push(UseOf {
            at: reader.at(node),
            operator: text(operator).split_whitespace().collect(),
            column: column.clone(),
            qualifier: qualifier.clone(),
            nested: number > 0,
            term,
        });
    }
}

fn flatten(node: &SyntaxNode, operands: &mut Vec<SyntaxNode>, operators: &mut Vec<SyntaxNode>) {
    if node.kind() == K::BIN_EXPR && child(node, K::CUSTOM_OP).is_some() {
        for part in node.children() {
            if part.kind() == K::CUSTOM_OP {
                operators.push(part);
            } else {
                flatten(&part, operands, operators);
            }
        }
    } else {
        operands.push(node.clone());
    }
}

/// `column` or `alias.column`, through casts and parentheses.
fn column(node: &SyntaxNode) -> Option<(Option<String>, String)> {
    match node.kind() {
        K::NAME_REF => Some((None, named(node))),
        K::FIELD_EXPR => {
            let mut parts = node.children().map(|it| named(&it)).collect::<Vec<_>>();
            let column = parts.pop()?;
            Some((parts.pop(), column))
        }
        K::PAREN_EXPR | K::CAST_EXPR => column(&node.first_child()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Vec<(String, String, Term, bool)> {
        let script = crate::platform::sql::read(text);
        let all = script.queries.into_iter().flat_map(|it| it.uses);
        all.map(|it| (it.column, it.operator, it.term, it.nested)).collect()
    }

    #[test]
    fn finds_operators_on_columns() {
        for (text, expected) in [
            ("SELECT id FROM t WHERE doc @> '{}'", vec![("doc", "@>", Term::Where, false)]),
            ("SELECT doc->>'a' FROM t", vec![("doc", "->>", Term::Other, false)]),
            (
                "SELECT 1 FROM t WHERE doc->'a' @> '1'",
                vec![("doc", "->", Term::Where, false), ("doc", "@>", Term::Where, true)],
            ),
            (
                "SELECT 1 FROM t x ORDER BY x.e <=> $1 LIMIT 5",
                vec![("e", "<=>", Term::OrderBy, false)],
            ),
            (
                "SELECT 1 FROM t ORDER BY e::vector <-> %s LIMIT 5",
                vec![("e", "<->", Term::OrderBy, false)],
            ),
            ("DELETE FROM t WHERE doc ? 'k'", vec![("doc", "?", Term::Where, false)]),
            ("SELECT 1 FROM t WHERE a = 1 AND 'x' = b", vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|it| (it.0.to_owned(), it.1.to_owned(), it.2, it.3))
                .collect();
            assert_eq!(uses(text), expected, "{text}");
        }
    }

    #[test]
    fn knows_tables_and_clauses() {
        let script = crate::platform::sql::read(
            "SELECT 1 FROM public.docs d JOIN users ON true WHERE d.e <-> '[1]' < 1 AND d.k = 2 ORDER BY 1 LIMIT 3",
        );
        let [query] = &script.queries[..] else { panic!("one query") };
        assert!(query.filtered && query.limited);
        assert_eq!(query.tables_of(&query.uses[0]).collect::<Vec<_>>(), ["docs"]);
    }
}
