//! The records of a block: their cells go into a batch at once, what is kept of them stays here.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use stemson_mojo::{Cell, Rows};

use crate::block::Block;
use crate::columns::{self, Lookups};
use crate::csv::{BadQuote, Fields};
use crate::error::BatchError;
use crate::jsonl::{self, Scalar};
use crate::plan::{CsvField, Names, Plan, Records, Target};
use crate::summary::IGNORED_MAX;

/// A kept value, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Absent,
    Text(Cow<'a, str>),
    /// As it was written.
    Number(Cow<'a, str>),
    Bool(bool),
}

/// What is kept of the rows of a block.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    columns: usize,
    /// Row-major, rows x columns to keep.
    kept: Vec<Value<'a>>,
    /// Row-major, rows x columns of words; empty unless the model's schema is open.
    words: Vec<Value<'a>>,
    /// Where each row starts in the block's text.
    starts: Vec<usize>,
}

impl<'a> Table<'a> {
    /// Parses the records of a block into the rows of a batch.
    ///
    /// `text`: the block's bytes. JSONL also notes in `seen` what it has met.
    pub(crate) fn parse(
        text: &'a str,
        rows: &mut Rows<'_>,
        plan: &Plan,
        seen: &mut Seen,
    ) -> Result<Self, Fault> {
        let columns = plan.names.kept();
        let mut table = Self {
            columns,
            kept: vec![Value::Absent; rows.len() * columns],
            words: if plan.names.are_words() {
                vec![Value::Absent; rows.len() * plan.names.schema().columns().len()]
            } else {
                Vec::new()
            },
            starts: Vec::with_capacity(rows.len()),
        };
        match &plan.records {
            Records::Csv { delimiter, fields } => {
                table.parse_csv(Fields::new(text, *delimiter), fields, &plan.names, rows)?;
            }
            Records::Jsonl { .. } => table.parse_jsonl(text, plan, seen, rows)?,
            Records::Columns { .. } => return Ok(table),
        }
        debug_assert_eq!(table.starts.len(), rows.len(), "reader and parser agree on rows");
        Ok(table)
    }

    /// Takes the records of a block of a columnar source into the rows of a batch; what is to be
    /// kept only with `kept_values`. An error says which column is not what Arrow promises.
    pub(crate) fn take(
        records: &'a RecordBatch,
        rows: &mut Rows<'_>,
        plan: &Plan,
        lookups: &mut Lookups,
        kept_values: bool,
    ) -> Result<Self, String> {
        let columns = plan.names.kept();
        let mut table = Self { columns, kept: Vec::new(), words: Vec::new(), starts: Vec::new() };
        let Records::Columns { fields } = &plan.records else { return Ok(table) };
        if plan.names.are_words() {
            table.words = columns::words(records, fields, &plan.names);
        } else {
            columns::fill(records, fields, &plan.names, lookups, rows)?;
        }
        if kept_values {
            table.kept = vec![Value::Absent; rows.len() * columns];
            columns::keep(records, fields, &plan.names, &mut table.kept);
        }
        Ok(table)
    }

    /// The values of a row to keep.
    pub(crate) fn kept(&self, row: usize) -> &[Value<'a>] {
        &self.kept[row * self.columns..][..self.columns]
    }

    /// The columns to keep: those of `records` in their types, else text.
    pub(crate) fn kept_arrays(
        &self,
        records: Option<&RecordBatch>,
        plan: &Plan,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        if let (Some(records), Records::Columns { fields }) = (records, &plan.records) {
            return columns::kept_arrays(records, fields);
        }
        let texts = |place: usize| -> ArrayRef {
            let values = self.kept.iter().skip(place).step_by(self.columns);
            Arc::new(values.map(Value::text).collect::<StringArray>())
        };
        Ok((0..self.columns).map(texts).collect())
    }

    /// The line of the source on which a row of the block starts; in a columnar one its number.
    pub(crate) fn line(&self, block: &Block, row: usize) -> u64 {
        match self.starts.get(row) {
            Some(start) => line_at(block, *start),
            None => block.first_line + row as u64,
        }
    }

    /// The words of a row with the names of their columns.
    pub(crate) fn words<'t>(&'t self, row: usize, plan: &'t Plan) -> Vec<(&'t str, Cell<'t>)> {
        let columns = plan.names.schema().columns();
        let words = &self.words[row * columns.len()..];
        let cell = |value: &'t Value<'_>| match value {
            Value::Text(text) => Cell::Text(text),
            // A number is no word, whatever its value.
            Value::Absent | Value::Number(_) | Value::Bool(_) => Cell::Absent,
        };
        columns.iter().zip(words).map(|(c, value)| (c.name.as_str(), cell(value))).collect()
    }

    fn parse_csv(
        &mut self,
        mut text: Fields<'a>,
        fields: &[CsvField],
        names: &Names,
        rows: &mut Rows<'_>,
    ) -> Result<(), Fault> {
        while !text.is_done() {
            if fields.len() > 1 && text.skip_blank_line() {
                continue;
            }
            let (row, start) = (self.starts.len(), text.at());
            self.starts.push(start);
            let mut found = 0;
            loop {
                let field = fields.get(found);
                found += 1;
                let only = field.and_then(|field| field.only);
                let last = if let Some(column) = only
                    && field.is_some_and(|field| field.is_number)
                    && let Some(number) = text.number()
                {
                    if let Some(value) = number.value {
                        rows.set(row, column, Cell::Number(value));
                    }
                    number.last
                } else if let Some(column) = only
                    && let Some((cell, last)) = text.plain()
                {
                    if !cell.is_empty() {
                        rows.set(row, column, Cell::Text(cell));
                    }
                    last
                } else {
                    let next = text.next().map_err(|BadQuote| Fault {
                        at: start,
                        mistake: Mistake::AfterQuote(found),
                    })?;
                    if let Some(field) = field
                        && !next.text.is_empty()
                    {
                        self.put(row, field.target, Value::Text(next.text), names, rows);
                    }
                    next.last
                };
                if last {
                    break;
                }
            }
            if found != fields.len() {
                let mistake = Mistake::Ragged { found, expected: fields.len() };
                return Err(Fault { at: start, mistake });
            }
        }
        Ok(())
    }

    /// Gives a value to its column and keeps it, as its target says.
    fn put(
        &mut self,
        row: usize,
        target: Target,
        value: Value<'a>,
        names: &Names,
        rows: &mut Rows<'_>,
    ) {
        if let Some(column) = target.column {
            match &value {
                Value::Text(text) if names.are_words() && !names.is_na(text) => {
                    let at = row * names.schema().columns().len() + column;
                    self.words[at] = value.clone();
                }
                _ if names.are_words() => {}
                value => rows.set(row, column, names.unless_na(value.cell())),
            }
        }
        if let Some(kept) = target.kept {
            self.kept[row * self.columns + kept] = value;
        }
    }

    fn parse_jsonl(
        &mut self,
        text: &'a str,
        plan: &Plan,
        seen: &mut Seen,
        rows: &mut Rows<'_>,
    ) -> Result<(), Fault> {
        let Records::Jsonl { keys } = &plan.records else { return Ok(()) };
        let names = &*plan.names;
        seen.filled.resize(names.slots(), false);
        let mut order = KeyOrder::default();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let at = start;
            start += line.len();
            let line = line.trim_end_matches(jsonl::BLANKS);
            if line.is_empty() {
                continue;
            }
            let row = self.starts.len();
            self.starts.push(at);
            order.new_line();
            let read = jsonl::object(line, |key, value| {
                let target = order.next(key, keys)?;
                names.slots_of(target).for_each(|slot| seen.filled[slot] = true);
                self.put(row, target, Value::of(value), names, rows);
                Ok(())
            });
            read.map_err(|bad| {
                let before = line.len().saturating_sub(bad.bytes_left);
                let column = line.get(..before).unwrap_or(line).chars().count() + 1;
                Fault { at, mistake: Mistake::Json { column, reason: bad.reason } }
            })?;
            if names.are_words()
                && let Some((key, _)) =
                    order.changed().iter().find(|(_, t)| *t == Target::default())
            {
                return Err(Fault { at, mistake: Mistake::OtherWords(key.clone().into_owned()) });
            }
            for (key, target) in order.changed() {
                if seen.ignored.len() < IGNORED_MAX && names.is_ignored(key, *target) {
                    seen.ignored.insert(key.clone().into_owned());
                }
            }
        }
        Ok(())
    }
}

/// The keys of the line before, with their targets: most writers keep to one order, so that a key
/// is compared once and not looked up.
#[derive(Default)]
struct KeyOrder<'a> {
    keys: Vec<(Cow<'a, str>, Target)>,
    /// Members of this line so far.
    place: usize,
    /// The keys of this line, once it has left the order.
    own: HashSet<Cow<'a, str>>,
    /// Where it left the order.
    left_at: Option<usize>,
}

impl<'a> KeyOrder<'a> {
    fn new_line(&mut self) {
        self.place = 0;
        self.own.clear();
        self.left_at = None;
    }

    /// The target of the next key of this line.
    fn next(
        &mut self,
        key: Cow<'a, str>,
        keys: &HashMap<String, Target>,
    ) -> Result<Target, String> {
        let place = self.place;
        self.place += 1;
        if self.left_at.is_none() {
            if let Some((expected, target)) = self.keys.get(place)
                && *expected == key
            {
                return Ok(*target);
            }
            self.left_at = Some(place);
            self.keys.truncate(place);
            self.own.extend(self.keys.iter().map(|(key, _)| key.clone()));
        }
        if !self.own.insert(key.clone()) {
            return Err(format!("the key `{key}` stands twice in this object"));
        }
        let target = keys.get(&*key).copied().unwrap_or_default();
        self.keys.push((key, target));
        Ok(target)
    }

    /// What this line brought that the lines before did not have.
    fn changed(&self) -> &[(Cow<'a, str>, Target)] {
        self.left_at.map_or(&[], |place| &self.keys[place..])
    }
}

impl<'a> Value<'a> {
    fn of(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Null => Self::Absent,
            Scalar::Text(text) => Self::Text(text),
            Scalar::Number(text) => Self::Number(Cow::Borrowed(text)),
            Scalar::Bool(value) => Self::Bool(value),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Absent => Cell::Absent,
            Self::Text(text) => Cell::Text(text),
            // The grammar is JSON's, and all of it is in Java's.
            Self::Number(text) => {
                Cell::Number(stemson_mojo::parse_double(text).unwrap_or(f64::NAN))
            }
            Self::Bool(flag) => Cell::Bool(*flag),
        }
    }

    /// As it stands in a table, if there is something.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(value) => Some(if *value { "true" } else { "false" }),
        }
    }
}

/// What the rows of a JSONL block say about columns.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Slots for which some row has the key.
    pub(crate) filled: Vec<bool>,
    /// Keys that mean nothing.
    pub(crate) ignored: BTreeSet<String>,
}

/// What is wrong with the text of a block, and in the record that starts where.
#[derive(Debug)]
pub(crate) struct Fault {
    at: usize,
    mistake: Mistake,
}

#[derive(Debug)]
enum Mistake {
    NotUtf8,
    Ragged { found: usize, expected: usize },
    AfterQuote(usize),
    Json { column: usize, reason: String },
    OtherWords(String),
}

impl Fault {
    /// `at`: the first byte that is no UTF-8.
    pub(crate) fn not_utf8(at: usize) -> Self {
        Self { at, mistake: Mistake::NotUtf8 }
    }

    /// With the names and numbers of the block.
    pub(crate) fn in_block(self, block: &Block, source_name: &str) -> BatchError {
        let source_name = source_name.to_owned();
        let line = line_at(block, self.at);
        match self.mistake {
            Mistake::NotUtf8 => {
                let offset = block.first_byte + self.at as u64;
                BatchError::NotUtf8 { source_name, line, offset }
            }
            Mistake::Ragged { found, expected } => {
                BatchError::Ragged { source_name, line, found, expected }
            }
            Mistake::OtherWords(column) => {
                let source_name = format!("{source_name}, line {line}");
                BatchError::OtherWords { source_name, column }
            }
            Mistake::AfterQuote(field) => BatchError::AfterQuote { source_name, line, field },
            Mistake::Json { column, reason } => {
                BatchError::Json { source_name, line, column, reason }
            }
        }
    }
}

/// The line of the source on which a byte of the block stands.
fn line_at(block: &Block, byte: usize) -> u64 {
    let before = &block.bytes[..byte.min(block.bytes.len())];
    block.first_line + memchr::memchr_iter(b'\n', before).count() as u64
}
