//! The cells of a block: row by row, one value per slot, borrowed from the block's text.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::block::Block;
use crate::csv::Fields;
use crate::error::BatchError;
use crate::jsonl::{self, Scalar};
use crate::plan::{Names, Plan, Records, Target};
use crate::summary::IGNORED_MAX;

/// The value of a slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Absent,
    Text(Cow<'a, str>),
    /// A number of JSON, and how it was written.
    Number(f64, &'a str),
    Bool(bool),
}

/// All rows of a block.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    slots: usize,
    /// Row-major, rows x slots.
    values: Vec<Value<'a>>,
    /// Where each row starts in the block's text.
    starts: Vec<usize>,
}

impl<'a> Table<'a> {
    /// Parses the records of a block.
    ///
    /// `text`: the block's bytes. JSONL also notes in `seen` what it has met.
    pub(crate) fn parse(
        text: &'a str,
        rows: usize,
        plan: &Plan,
        seen: &mut Seen,
    ) -> Result<Self, Fault> {
        let slots = plan.names.slots();
        let mut table = Self {
            slots,
            values: Vec::with_capacity(rows * slots),
            starts: Vec::with_capacity(rows),
        };
        match &plan.records {
            Records::Csv { delimiter, fields } => {
                table.parse_csv(text, *delimiter, fields, &plan.names)?;
            }
            Records::Jsonl { .. } => table.parse_jsonl(text, plan, seen)?,
        }
        debug_assert_eq!(table.starts.len(), rows, "reader and parser agree on what a row is");
        Ok(table)
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len()
    }

    /// One value per slot.
    pub(crate) fn row(&self, row: usize) -> &[Value<'a>] {
        &self.values[row * self.slots..][..self.slots]
    }

    /// Where a row starts in the block's text.
    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row]
    }

    fn new_row(&mut self, start: usize) -> &mut [Value<'a>] {
        self.starts.push(start);
        let from = self.values.len();
        self.values.resize(from + self.slots, Value::Absent);
        &mut self.values[from..]
    }

    fn parse_csv(
        &mut self,
        text: &'a str,
        delimiter: u8,
        targets: &[Target],
        names: &Names,
    ) -> Result<(), Fault> {
        let mut fields = Fields::new(text, delimiter);
        while !fields.rest().is_empty() {
            if targets.len() > 1 && fields.skip_blank_line() {
                continue;
            }
            let start = text.len() - fields.rest().len();
            let row = self.new_row(start);
            let mut found = 0;
            loop {
                let field = fields
                    .next()
                    .map_err(|_| Fault { at: start, mistake: Mistake::AfterQuote(found + 1) })?;
                if let Some(target) = targets.get(found)
                    && !field.text.is_empty()
                {
                    put(row, *target, Value::Text(field.text), names);
                }
                found += 1;
                if field.last {
                    break;
                }
            }
            if found != targets.len() {
                let mistake = Mistake::Ragged { found, expected: targets.len() };
                return Err(Fault { at: start, mistake });
            }
        }
        Ok(())
    }

    fn parse_jsonl(&mut self, text: &'a str, plan: &Plan, seen: &mut Seen) -> Result<(), Fault> {
        let Records::Jsonl { keys } = &plan.records else { return Ok(()) };
        let names = &*plan.names;
        seen.filled.resize(self.slots, false);
        let mut order = KeyOrder::default();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let at = start;
            start += line.len();
            let line = line.trim_end_matches(jsonl::BLANKS);
            if line.is_empty() {
                continue;
            }
            let row = self.new_row(at);
            order.new_line();
            let read = jsonl::object(line, |key, value| {
                let target = order.next(key, keys)?;
                for slot in target.column.iter().chain(&target.kept) {
                    seen.filled[*slot] = true;
                }
                put(row, target, Value::of(value), names);
                Ok(())
            });
            read.map_err(|bad| {
                let before = line.len().saturating_sub(bad.bytes_left);
                let column = line.get(..before).unwrap_or(line).chars().count() + 1;
                Fault { at, mistake: Mistake::Json { column, reason: bad.reason } }
            })?;
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

fn put<'a>(row: &mut [Value<'a>], target: Target, value: Value<'a>, names: &Names) {
    if let Some(slot) = target.kept {
        row[slot] = value.clone();
    }
    if let Some(slot) = target.column {
        row[slot] = match value {
            Value::Text(text) if names.is_na(&text) => Value::Absent,
            value => value,
        };
    }
}

impl<'a> Value<'a> {
    fn of(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Null => Self::Absent,
            Scalar::Text(text) => Self::Text(text),
            // The grammar is JSON's, and all of it is in Rust's: infinity beyond the largest.
            Scalar::Number(text) => Self::Number(text.parse().unwrap_or(f64::NAN), text),
            Scalar::Bool(value) => Self::Bool(value),
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
            Mistake::AfterQuote(field) => BatchError::AfterQuote { source_name, line, field },
            Mistake::Json { column, reason } => {
                BatchError::Json { source_name, line, column, reason }
            }
        }
    }
}

/// The line of the source on which a byte of the block stands.
pub(crate) fn line_at(block: &Block, byte: usize) -> u64 {
    let before = &block.bytes[..byte.min(block.bytes.len())];
    block.first_line + memchr::memchr_iter(b'\n', before).count() as u64
}
