//! What a statement changes in the schema.

use squawk_syntax::{SyntaxKind as K, SyntaxNode};

use super::schema::{Column, Index, IndexItem, Table};
use super::{Reader, Script, name};
use crate::platform::at::At;

/// One change of a schema.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    CreateTable(Table),
    DropTable(String),
    RenameTable(String, String),
    AddColumn(String, Column),
    DropColumn(String, String),
    RenameColumn(String, String, String),
    /// Table, column, type, place of the type.
    SetType(String, String, String, At),
    PrimaryKey(String),
    /// Table and columns.
    ForeignKey(String, Vec<String>),
    CreateIndex(Index),
    DropIndex(String),
}

impl Change {
    /// Places as seen from where the text begins in its file.
    pub(super) fn moved(&mut self, outer: At) {
        match self {
            Self::CreateTable(table) => {
                table.at = table.at.inside(outer);
                table.columns.iter_mut().for_each(|column| column.moved(outer));
            }
            Self::AddColumn(_, column) => column.moved(outer),
            Self::SetType(_, _, _, at) => *at = at.inside(outer),
            Self::CreateIndex(index) => {
                index.at = index.at.inside(outer);
                index.items.iter_mut().for_each(|item| item.at = item.at.inside(outer));
            }
            _ => {}
        }
    }
}

pub(super) fn read(
    statement: &SyntaxNode,
    reader: &Reader<'_>,
    is_broken: bool,
    script: &mut Script,
) {
    match statement.kind() {
        K::CREATE_TABLE if !is_broken => script.changes.extend(create_table(statement, reader)),
        K::CREATE_INDEX if !is_broken => script.changes.extend(create_index(statement, reader)),
        // Part of an alteration is better than none: a table would seem to lack its key.
        K::ALTER_TABLE => alter_table(statement, reader, &mut script.changes),
        K::DROP_TABLE => {
            let names = children(statement, K::TABLE_NAME_REF);
            script.changes.extend(names.map(|it| Change::DropTable(named(&it))));
        }
        K::DROP_INDEX => {
            let names = children(statement, K::INDEX_REF);
            script.changes.extend(names.map(|it| Change::DropIndex(named(&it))));
        }
        K::SET => {
            let parameter = statement.descendants().find(|it| it.kind() == K::CONFIG_PARAMETER_REF);
            script.settings.extend(parameter.map(|it| text(&it).to_lowercase()));
        }
        _ => {}
    }
}

fn create_table(statement: &SyntaxNode, reader: &Reader<'_>) -> Option<Change> {
    let name_node = child(statement, K::TABLE_NAME)?;
    let mut table =
        Table { name: named(&name_node), at: reader.at(&name_node), ..Table::default() };
    let persistence = statement.children().find(|it| matches!(it.kind(), K::TEMP | K::UNLOGGED));
    table.temporary = persistence.is_some_and(|it| it.kind() == K::TEMP)
        || text(statement).to_lowercase().starts_with("create temp");
    table.derived = [K::PARTITION_OF, K::INHERITS, K::OF_TYPE]
        .iter()
        .any(|kind| child(statement, *kind).is_some());
    let list = child(statement, K::TABLE_ARG_LIST);
    for argument in list.iter().flat_map(SyntaxNode::children) {
        match argument.kind() {
            K::COLUMN => table.columns.extend(column(&argument, reader)),
            K::PRIMARY_KEY_CONSTRAINT => table.primary_key = true,
            K::FOREIGN_KEY_CONSTRAINT => table.foreign_keys.extend(key_columns(&argument)),
            // It may bring a key along.
            K::LIKE_CLAUSE => table.derived = true,
            _ => {}
        }
    }
    table.primary_key |= table.columns.iter().any(|it| it.primary_key);
    Some(Change::CreateTable(table))
}

/// Of a table or of `ADD COLUMN`: both have the same parts.
fn column(node: &SyntaxNode, reader: &Reader<'_>) -> Option<Column> {
    let name_node = child(node, K::COLUMN_NAME)?;
    let ty = node.children().find(is_type);
    let has = |kind| node.descendants().any(|it| it.kind() == kind);
    Some(Column {
        name: named(&name_node),
        at: reader.at(&name_node),
        type_at: ty.as_ref().map_or(reader.at(&name_node), |it| reader.at(it)),
        ty: ty.map(|it| type_text(&it)).unwrap_or_default(),
        primary_key: has(K::PRIMARY_KEY_CONSTRAINT),
        references: has(K::REFERENCES_CONSTRAINT),
        source: 0,
    })
}

fn is_type(node: &SyntaxNode) -> bool {
    matches!(
        node.kind(),
        K::ARRAY_TYPE
            | K::PATH_TYPE
            | K::VARCHAR_TYPE
            | K::CHARACTER_TYPE
            | K::BIT_TYPE
            | K::BIT_VARYING_TYPE
            | K::DOUBLE_TYPE
            | K::TIME_TYPE
            | K::TIMESTAMP_TYPE
            | K::INTERVAL_TYPE
    )
}

/// In small letters, with single blanks.
fn type_text(node: &SyntaxNode) -> String {
    text(node).to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn key_columns(constraint: &SyntaxNode) -> Vec<String> {
    let list = child(constraint, K::FOREIGN_KEY_COLUMN_LIST);
    list.iter()
        .flat_map(|it| children(it, K::COLUMN_NAME_REF).map(|it| named(&it)).collect::<Vec<_>>())
        .collect()
}

fn create_index(statement: &SyntaxNode, reader: &Reader<'_>) -> Option<Change> {
    let table = child(statement, K::TABLE_RELATION_NAME)?;
    let method = child(statement, K::USING_METHOD).and_then(|it| child(&it, K::ACCESS_METHOD_REF));
    let items = child(statement, K::PARTITION_ITEM_LIST);
    let items = items.iter().flat_map(|it| children(it, K::PARTITION_ITEM).collect::<Vec<_>>());
    let parameters = child(statement, K::WITH_PARAMS);
    let options = parameters.iter().flat_map(|it| {
        it.descendants().filter(|it| it.kind() == K::ATTRIBUTE_OPTION).collect::<Vec<_>>()
    });
    let index = child(statement, K::INDEX);
    Some(Change::CreateIndex(Index {
        name: index.as_ref().map(named).unwrap_or_default(),
        at: reader.at(statement),
        table: relation(&table),
        method: method.map_or("btree".to_owned(), |it| named(&it)),
        partial: child(statement, K::WHERE_CLAUSE).is_some(),
        items: items.filter_map(|it| item(&it, reader)).collect(),
        parameters: options.map(|it| text(&it).replace(' ', "").to_lowercase()).collect(),
        source: 0,
    }))
}

fn item(node: &SyntaxNode, reader: &Reader<'_>) -> Option<IndexItem> {
    let expression = node.first_child()?;
    let operator_class = child(node, K::OP_CLASS_REF);
    Some(IndexItem {
        column: (expression.kind() == K::NAME_REF).then(|| named(&expression)),
        expression: type_text(&expression),
        operator_class: operator_class.map(|it| named(&it)),
        at: reader.at(node),
    })
}

fn alter_table(statement: &SyntaxNode, reader: &Reader<'_>, changes: &mut Vec<Change>) {
    let Some(relation_node) = child(statement, K::TABLE_RELATION_NAME) else { return };
    let table = relation(&relation_node);
    for action in statement.children() {
        let first = |kind| child(&action, kind).as_ref().map(named);
        let change = match action.kind() {
            K::ADD_COLUMN => {
                column(&action, reader).map(|column| Change::AddColumn(table.clone(), column))
            }
            K::ADD_CONSTRAINT => action.children().find_map(|it| match it.kind() {
                K::PRIMARY_KEY_CONSTRAINT => Some(Change::PrimaryKey(table.clone())),
                K::FOREIGN_KEY_CONSTRAINT => {
                    Some(Change::ForeignKey(table.clone(), key_columns(&it)))
                }
                _ => None,
            }),
            K::DROP_COLUMN => {
                first(K::COLUMN_NAME_REF).map(|it| Change::DropColumn(table.clone(), it))
            }
            K::RENAME_COLUMN => first(K::COLUMN_NAME_REF)
                .zip(first(K::COLUMN_NAME))
                .map(|(from, to)| Change::RenameColumn(table.clone(), from, to)),
            K::TABLE_RENAME_TO => {
                first(K::TABLE_NAME).map(|to| Change::RenameTable(table.clone(), to))
            }
            K::ALTER_COLUMN => set_type(&table, &action, reader),
            _ => None,
        };
        changes.extend(change);
    }
}

fn set_type(table: &str, action: &SyntaxNode, reader: &Reader<'_>) -> Option<Change> {
    let column = named(&child(action, K::COLUMN_NAME_REF)?);
    let ty = child(action, K::SET_TYPE)?.children().find(is_type)?;
    Some(Change::SetType(table.to_owned(), column, type_text(&ty), reader.at(&ty)))
}

/// The table of `ONLY public.t`.
pub(super) fn relation(node: &SyntaxNode) -> String {
    let inner =
        node.descendants().find(|it| matches!(it.kind(), K::TABLE_NAME_REF | K::RELATION_NAME_REF));
    inner.map_or_else(|| named(node), |it| named(&it))
}

pub(super) fn child(node: &SyntaxNode, kind: K) -> Option<SyntaxNode> {
    node.children().find(|it| it.kind() == kind)
}

pub(super) fn children(node: &SyntaxNode, kind: K) -> impl Iterator<Item = SyntaxNode> + use<> {
    node.children().filter(move |it| it.kind() == kind)
}

pub(super) fn text(node: &SyntaxNode) -> String {
    node.text().to_string()
}

pub(super) fn named(node: &SyntaxNode) -> String {
    name(&text(node))
}
