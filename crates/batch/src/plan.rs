//! Which value of the input goes where: resolved once per source, looked up once per cell.
//!
//! A row's values have *slots*: first the columns of the model's schema, in its order, then the
//! columns to keep.

use std::collections::HashMap;
use std::sync::Arc;

use stemson_mojo::{Cell, Kind, Model, Schema, parse_double};

use crate::columns::ColumnField;
use crate::error::BatchError;
use crate::job::Job;
use crate::summary::MissingColumns;

/// Where a value of the input goes, if anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Slot of a column of the model.
    pub(crate) column: Option<usize>,
    /// Place among the columns to keep.
    pub(crate) kept: Option<usize>,
}

/// The names that a job gives a meaning to.
#[derive(Debug)]
pub(crate) struct Names {
    model: Arc<Model>,
    /// The input's columns, where the model's schema is open.
    words: Option<Schema>,
    keep: Vec<String>,
    offset: Option<String>,
    /// Missing columns are an error.
    pub(crate) complete: bool,
    na_words: Vec<String>,
    /// Those that are numbers, as doubles and as 32-bit floats.
    na_numbers: Vec<f64>,
}

impl Names {
    /// `words`: the columns of the input, where the model's schema is open.
    pub(crate) fn resolve(
        model: &Arc<Model>,
        job: &Job,
        words: Vec<String>,
    ) -> Result<Self, BatchError> {
        let schema = model.schema();
        if let Some(column) = &job.offset_column {
            let Some(offset) = schema.offset() else {
                return Err(BatchError::NoOffset { column: column.clone() });
            };
            if schema.index_of(column).is_some_and(|index| index != offset) {
                return Err(BatchError::OffsetIsFeature { column: column.clone() });
            }
        }
        let numbers = job.na_words.iter().filter_map(|word| parse_double(word));
        Ok(Self {
            na_numbers: numbers.flat_map(|number| [number, f64::from(number as f32)]).collect(),
            model: Arc::clone(model),
            words: schema.is_open().then(|| Schema::of_words(words)),
            keep: job.keep.clone(),
            offset: job.offset_column.clone(),
            complete: job.complete,
            na_words: job.na_words.clone(),
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.words.as_ref().unwrap_or(self.model.schema())
    }

    /// Whether every column of the input is a word for the model.
    pub(crate) fn are_words(&self) -> bool {
        self.words.is_some()
    }

    /// Columns to keep.
    pub(crate) fn kept(&self) -> usize {
        self.keep.len()
    }

    /// Slots of a row.
    pub(crate) fn slots(&self) -> usize {
        self.schema().columns().len() + self.keep.len()
    }

    /// Whether a text stands for an absent value.
    pub(crate) fn is_na(&self, text: &str) -> bool {
        self.na_words.iter().any(|word| word == text)
    }

    /// Whether any number stands for an absent value.
    pub(crate) fn has_na_numbers(&self) -> bool {
        !self.na_numbers.is_empty()
    }

    /// Whether a number is the one that such a text spells.
    pub(crate) fn is_na_number(&self, number: f64) -> bool {
        self.na_numbers.contains(&number)
    }

    /// A cell, or nothing where its text or what it spells stands for that.
    pub(crate) fn unless_na<'c>(&self, cell: Cell<'c>) -> Cell<'c> {
        let is_na = match cell {
            Cell::Text(text) => self.is_na(text),
            Cell::Number(number) => self.is_na_number(number),
            Cell::Bool(flag) => self.is_na(if flag { "true" } else { "false" }),
            _ => false,
        };
        if is_na { Cell::Absent } else { cell }
    }

    pub(crate) fn target(&self, name: &str) -> Target {
        let schema = self.schema();
        let column = match (&self.offset, schema.offset()) {
            (Some(offset), Some(index)) if offset == name => Some(index),
            (Some(_), Some(index)) => schema.index_of(name).filter(|found| *found != index),
            _ => schema.index_of(name),
        };
        let kept = self.keep.iter().position(|keep| keep == name);
        Target { column, kept }
    }

    /// The slots of a target.
    pub(crate) fn slots_of(&self, target: Target) -> impl Iterator<Item = usize> {
        let columns = self.schema().columns().len();
        target.column.into_iter().chain(target.kept.map(|kept| columns + kept))
    }

    /// Neither an input nor kept nor the response.
    pub(crate) fn is_ignored(&self, name: &str, target: Target) -> bool {
        target == Target::default() && self.schema().response() != Some(name)
    }

    /// Judges which slots a source fills.
    ///
    /// # Errors
    /// A column to keep, the offset column that the caller named, or with `complete` any other
    /// column of the model is missing.
    pub(crate) fn check(
        &self,
        source_name: &str,
        filled: &[bool],
    ) -> Result<Option<MissingColumns>, BatchError> {
        let schema = self.schema();
        let (columns, kept) = filled.split_at(schema.columns().len());
        let source_name = || source_name.to_owned();
        if let Some((name, _)) = self.keep.iter().zip(kept).find(|(_, filled)| !**filled) {
            return Err(BatchError::UnknownKeep {
                source_name: source_name(),
                column: name.clone(),
            });
        }
        if let (Some(name), Some(index)) = (&self.offset, schema.offset())
            && !columns[index]
        {
            let columns = vec![name.clone()];
            return Err(BatchError::MissingColumns { source_name: source_name(), columns });
        }
        let missing: Vec<String> = (schema.columns().iter().zip(columns).enumerate())
            // Of two columns of one name only the later one is ever filled.
            .filter(|(i, (c, filled))| {
                !**filled && !schema.is_optional(*i) && schema.index_of(&c.name) == Some(*i)
            })
            .map(|(_, (column, _))| column.name.clone())
            .collect();
        match (missing.is_empty(), self.complete) {
            (true, _) => Ok(None),
            (false, true) => {
                Err(BatchError::MissingColumns { source_name: source_name(), columns: missing })
            }
            (false, false) => {
                Ok(Some(MissingColumns { source_name: source_name(), columns: missing }))
            }
        }
    }
}

/// How the records of one source are read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The source's name.
    pub(crate) source_name: String,
    pub(crate) names: Arc<Names>,
    pub(crate) records: Records,
}

/// Where a field goes.
#[derive(Debug)]
pub(crate) struct CsvField {
    pub(crate) target: Target,
    /// The column that its text goes to as it stands, and to nowhere else.
    pub(crate) only: Option<usize>,
    /// That one is numeric: a plain number is read on the way.
    pub(crate) is_number: bool,
}

#[derive(Debug)]
pub(crate) enum Records {
    Csv {
        delimiter: u8,
        fields: Vec<CsvField>,
    },
    /// By key; a key that is not in the map goes nowhere.
    Jsonl {
        keys: HashMap<String, Target>,
    },
    /// Of record batches.
    Columns {
        fields: Vec<ColumnField>,
    },
}

impl Plan {
    pub(crate) fn jsonl(source_name: String, names: Arc<Names>) -> Self {
        let schema = names.schema();
        let known = schema.columns().iter().map(|column| &column.name);
        let keys = known
            .chain(&names.keep)
            .chain(&names.offset)
            .map(|name| (name.clone(), names.target(name)))
            .collect();
        Self { source_name, names, records: Records::Jsonl { keys } }
    }

    /// `header`: the names of the fields.
    ///
    /// Also the slots that the fields fill, and the names that mean nothing.
    pub(crate) fn csv(
        source_name: String,
        names: Arc<Names>,
        delimiter: u8,
        header: &[String],
    ) -> Result<(Self, Vec<bool>, Vec<String>), BatchError> {
        let mut filled = vec![false; names.slots()];
        let mut ignored = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut fields = Vec::with_capacity(header.len());
        for name in header {
            let target = names.target(name);
            let is_first = seen.insert(name.as_str());
            if !is_first && (target != Target::default() || names.are_words()) {
                return Err(BatchError::DuplicateHeader { source_name, name: name.clone() });
            }
            names.slots_of(target).for_each(|slot| filled[slot] = true);
            if is_first && names.is_ignored(name, target) {
                if names.are_words() {
                    return Err(BatchError::OtherWords { source_name, column: name.clone() });
                }
                ignored.push(name.clone());
            }
            let goes_as_it_stands =
                target.kept.is_none() && names.na_words.is_empty() && !names.are_words();
            let only = target.column.filter(|_| goes_as_it_stands);
            let kind = |column: usize| names.schema().columns()[column].kind;
            let is_number = only.is_some_and(|column| kind(column) == Kind::Numeric);
            fields.push(CsvField { target, only, is_number });
        }
        let records = Records::Csv { delimiter, fields };
        Ok((Self { source_name, names, records }, filled, ignored))
    }

    /// `all`: the names of all columns. Also what [`Plan::csv`] says of them.
    pub(crate) fn columns(
        source_name: String,
        names: Arc<Names>,
        fields: Vec<ColumnField>,
        all: &[String],
    ) -> (Self, Vec<bool>, Vec<String>) {
        let mut filled = vec![false; names.slots()];
        for field in &fields {
            names.slots_of(field.target).for_each(|slot| filled[slot] = true);
        }
        let is_ignored = |name: &&String| names.is_ignored(name, names.target(name));
        let ignored = all.iter().filter(is_ignored).cloned().collect();
        let records = Records::Columns { fields };
        (Self { source_name, names, records }, filled, ignored)
    }

    /// Whether a record is a row, and not a line that holds nothing.
    ///
    /// Blank lines are skipped as other readers of CSV do, but in a file of one column a blank
    /// line is a row whose only cell is empty.
    pub(crate) fn is_row(&self, record: &[u8]) -> bool {
        match &self.records {
            Records::Csv { fields, .. } => fields.len() == 1 || !crate::csv::is_blank(record),
            Records::Jsonl { .. } | Records::Columns { .. } => !crate::jsonl::is_blank(record),
        }
    }
}
