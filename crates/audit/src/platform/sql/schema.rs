//! A schema: what is there after all changes.

use std::collections::{BTreeMap, BTreeSet};

use super::Change;
use crate::platform::at::At;

/// A table as it stands in the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) at: At,
    /// Number of the text that creates it, as the caller counts.
    pub(crate) source: usize,
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: bool,
    /// Columns of foreign keys that stand beside the columns.
    pub(crate) foreign_keys: Vec<String>,
    pub(crate) temporary: bool,
    /// Takes columns or keys from elsewhere: a partition, a child, `LIKE`.
    pub(crate) derived: bool,
}

/// A column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) at: At,
    /// In small letters, with single blanks: `timestamp with time zone`, `vector(3)`.
    pub(crate) ty: String,
    pub(crate) type_at: At,
    pub(crate) primary_key: bool,
    pub(crate) references: bool,
    pub(crate) source: usize,
}

/// An index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) at: At,
    pub(crate) table: String,
    /// `btree`, `gin`, `hnsw`, ...
    pub(crate) method: String,
    pub(crate) partial: bool,
    pub(crate) items: Vec<IndexItem>,
    /// `m=16`, in small letters without blanks.
    pub(crate) parameters: Vec<String>,
    pub(crate) source: usize,
}

/// A column or expression of an index.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexItem {
    /// Where it is a plain column.
    pub(crate) column: Option<String>,
    pub(crate) expression: String,
    pub(crate) operator_class: Option<String>,
    pub(crate) at: At,
}

impl Index {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
    }

    /// The item on this column, or on an expression over it.
    pub(crate) fn item(&self, column: &str) -> Option<&IndexItem> {
        self.items
            .iter()
            .find(|it| it.column.as_deref() == Some(column) || has_word(&it.expression, column))
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|it| it == word)
}

impl Column {
    pub(super) fn moved(&mut self, outer: At) {
        self.at = self.at.inside(outer);
        self.type_at = self.type_at.inside(outer);
    }
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|it| it.name == name)
    }
}

/// Tables by name and indexes in order.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) indexes: Vec<Index>,
    /// Texts that create a table, by its name.
    creators: BTreeMap<String, BTreeSet<usize>>,
}

impl Schema {
    /// Folds one change of text `source` in.
    pub(crate) fn apply(&mut self, change: &Change, source: usize) {
        match change {
            Change::CreateTable(table) => {
                if !table.derived {
                    self.creators.entry(table.name.clone()).or_default().insert(source);
                }
                let mut table = Table { source, ..table.clone() };
                table.columns.iter_mut().for_each(|column| column.source = source);
                // Of two that create it (`IF NOT EXISTS`, up and down) the first stands.
                self.tables.entry(table.name.clone()).or_insert(table);
            }
            Change::DropTable(name) => {
                // Who drops it before making its own has one of its own.
                self.creators.entry(name.clone()).or_default().insert(source);
                self.tables.remove(name);
                self.indexes.retain(|it| it.table != *name);
            }
            Change::RenameTable(from, to) => {
                if let Some(table) = self.tables.remove(from) {
                    self.tables.insert(to.clone(), Table { name: to.clone(), ..table });
                }
                self.indexes
                    .iter_mut()
                    .filter(|it| it.table == *from)
                    .for_each(|it| it.table.clone_from(to));
            }
            Change::CreateIndex(index) => {
                let is_new =
                    index.name.is_empty() || !self.indexes.iter().any(|it| it.name == index.name);
                if is_new {
                    self.indexes.push(Index { source, ..index.clone() });
                }
            }
            Change::DropIndex(name) => self.indexes.retain(|it| it.name != *name),
            Change::AddColumn(table, ..)
            | Change::DropColumn(table, ..)
            | Change::RenameColumn(table, ..)
            | Change::SetType(table, ..)
            | Change::PrimaryKey(table)
            | Change::ForeignKey(table, ..) => {
                if let Some(table) = self.tables.get_mut(table) {
                    table.apply(change, source);
                }
            }
        }
    }

    /// Whether two texts mean the same table by this name: examples beside each other each have an
    /// `items` of their own.
    pub(crate) fn is_shared(&self, table: &str, one: usize, other: usize) -> bool {
        one == other || self.creators.get(table).is_none_or(|creators| creators.len() < 2)
    }

    /// Indexes on a table.
    pub(crate) fn indexes_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a Index> {
        self.indexes.iter().filter(move |it| it.table == table)
    }
}

impl Table {
    fn apply(&mut self, change: &Change, source: usize) {
        match change {
            Change::AddColumn(_, column) => {
                self.primary_key |= column.primary_key;
                if self.column(&column.name).is_none() {
                    self.columns.push(Column { source, ..column.clone() });
                }
            }
            Change::DropColumn(_, name) => self.columns.retain(|it| it.name != *name),
            Change::RenameColumn(_, from, to) => {
                self.columns
                    .iter_mut()
                    .filter(|it| it.name == *from)
                    .for_each(|it| it.name.clone_from(to));
                self.foreign_keys
                    .iter_mut()
                    .filter(|it| *it == from)
                    .for_each(|it| it.clone_from(to));
            }
            Change::SetType(_, name, ty, at) => {
                for column in self.columns.iter_mut().filter(|it| it.name == *name) {
                    column.ty.clone_from(ty);
                    (column.type_at, column.source) = (*at, source);
                }
            }
            Change::PrimaryKey(_) => self.primary_key = true,
            Change::ForeignKey(_, columns) => self.foreign_keys.extend(columns.iter().cloned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sql::read;

    fn schema(texts: &[&str]) -> Schema {
        let mut schema = Schema::default();
        for (source, text) in texts.iter().enumerate() {
            read(text).changes.iter().for_each(|change| schema.apply(change, source));
        }
        schema
    }

    #[test]
    fn folds_migrations_in_order() {
        let schema = schema(&[
            "CREATE TABLE public.events (user_id bigint, at timestamp, doc json);\nCREATE INDEX i ON events USING gin (doc);",
            "ALTER TABLE ONLY events ADD CONSTRAINT k PRIMARY KEY (user_id), ALTER COLUMN at TYPE timestamptz, ADD COLUMN v vector(3);\n\
             ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users;\nALTER TABLE events RENAME doc TO body; DROP INDEX i;",
            "ALTER TABLE events RENAME TO happenings; CREATE INDEX j ON happenings USING hnsw (v vector_l2_ops) WITH (m = 16); DROP TABLE x;",
        ]);
        let table = &schema.tables["happenings"];
        let columns: Vec<_> =
            table.columns.iter().map(|it| (it.name.as_str(), it.ty.as_str(), it.source)).collect();
        assert_eq!(
            columns,
            [
                ("user_id", "bigint", 0),
                ("at", "timestamptz", 1),
                ("body", "json", 0),
                ("v", "vector(3)", 1)
            ]
        );
        assert!(table.primary_key);
        assert_eq!(table.foreign_keys, ["user_id"]);
        let [index] = &schema.indexes[..] else { panic!("one index") };
        assert_eq!(
            (index.table.as_str(), index.method.as_str(), index.parameter("m")),
            ("happenings", "hnsw", Some("16"))
        );
        assert_eq!(index.item("v").unwrap().operator_class.as_deref(), Some("vector_l2_ops"));
    }

    #[test]
    fn places_are_those_of_the_words() {
        let schema = schema(&[
            "CREATE TABLE t (\n  id uuid PRIMARY KEY,\n  at timestamp(3) without time zone NOT NULL\n);",
        ]);
        let column = schema.tables["t"].column("at").unwrap();
        assert_eq!((column.at, column.type_at), (At::new(3, 3), At::new(3, 6)));
        assert_eq!(column.ty, "timestamp(3) without time zone");
        assert!(schema.tables["t"].primary_key);
    }

    #[test]
    fn what_does_not_parse_is_left_out() {
        let schema = schema(&[
            "CREATE TABLE a (id int, FOREIGN);\nCREATE TABLE b (id int);\nCREATE TABLE c (id int) ENGINE=InnoDB;",
        ]);
        assert!(schema.tables.is_empty(), "another dialect");
    }
}
