//! What would change for callers if one model took another's place.

use std::collections::HashMap;
use std::fmt;

use stemson_mojo::{Category, Column, Model};

/// Something that callers of the old model would trip over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The model answers another sort of question.
    Category {
        /// Category of the old model.
        old: Category,
        /// Category of the new one.
        new: Category,
    },
    /// A column that callers send is not read any more.
    Removed {
        /// Its name.
        column: String,
    },
    /// A column that callers do not send is read.
    Added {
        /// Its name.
        column: String,
    },
    /// A column holds something else, or is used for something else.
    Changed {
        /// Its name.
        column: String,
        /// What it was.
        old: String,
        /// What it is.
        new: String,
    },
    /// The columns are the same in another order: a tensor of the old order would be misread.
    Order,
    /// The labels that it answers with, or their order.
    Labels {
        /// Labels of the old model.
        old: Vec<String>,
        /// Labels of the new one.
        new: Vec<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Category { old, new } => {
                write!(f, "category {} becomes {}", old.as_str(), new.as_str())
            }
            Self::Removed { column } => write!(f, "column `{column}` is gone"),
            Self::Added { column } => write!(f, "column `{column}` is new"),
            Self::Changed { column, old, new } => {
                write!(f, "column `{column}` was {old}, becomes {new}")
            }
            Self::Order => f.write_str("the columns stand in another order"),
            Self::Labels { old, new } => {
                write!(f, "labels {} become {}", Shortened(old), Shortened(new))
            }
        }
    }
}

/// A list in a message: at most eight of its items.
struct Shortened<'a>(&'a [String]);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(8);
        write!(f, "[{}", self.0[..shown].join(", "))?;
        if shown < self.0.len() {
            write!(f, ", ... {} more", self.0.len() - shown)?;
        }
        f.write_str("]")
    }
}

/// All differences, in the order of the columns; empty if `new` can take the place of `old`.
///
/// Levels of a categorical column may come and go: an unknown level has its own rules.
pub fn differences(old: &Model, new: &Model) -> Vec<Difference> {
    let mut found = Vec::new();
    if old.category() != new.category() {
        found.push(Difference::Category { old: old.category(), new: new.category() });
    }
    let (before, after) = (old.schema().columns(), new.schema().columns());
    let by_name = |columns: &'_ [Column]| -> HashMap<String, String> {
        columns.iter().map(|column| (column.name.clone(), use_of(column))).collect()
    };
    let (old_uses, new_uses) = (by_name(before), by_name(after));
    for column in before {
        match new_uses.get(&column.name) {
            None => found.push(Difference::Removed { column: column.name.clone() }),
            Some(new_use) if *new_use != use_of(column) => found.push(Difference::Changed {
                column: column.name.clone(),
                old: use_of(column),
                new: new_use.clone(),
            }),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|column| !old_uses.contains_key(&column.name));
    found.extend(added.map(|column| Difference::Added { column: column.name.clone() }));
    if found.is_empty() && !before.iter().map(|c| &c.name).eq(after.iter().map(|c| &c.name)) {
        found.push(Difference::Order);
    }
    if old.labels() != new.labels() {
        let (old, new) = (old.labels().to_vec(), new.labels().to_vec());
        found.push(Difference::Labels { old, new });
    }
    found
}

fn use_of(column: &Column) -> String {
    match column.role {
        stemson_mojo::Role::Feature => column.kind.as_str().to_owned(),
        stemson_mojo::Role::Offset => format!("{} offset", column.kind.as_str()),
    }
}
