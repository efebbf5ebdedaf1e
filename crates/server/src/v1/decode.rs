//! `{"instances":[{column: value, ...}, ...], "strict": false}`, read in one pass into rows.
//!
//! An instance may also be a list of values, one per feature in model order. Values are borrowed
//! from the body; nothing is kept of a row but its encoded form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use stemson_mojo::Cell;

use crate::ask::{Ask, ReadParameter};
use crate::error::Refusal;
use crate::json::{self, Skip, Text};
use crate::rows::Rows;

/// Reads a body into `rows`, and says what it asks for: `ask`, and the options that it names.
///
/// Options that stand behind the instances come too late for them: then what was asked of the rows
/// is not what is returned.
///
/// `is_explain`: contributions are what is asked for, whatever the options say.
pub(super) fn read(
    body: &[u8],
    ask: Ask,
    is_explain: bool,
    rows: &mut Rows,
) -> Result<Ask, Refusal> {
    let read = json::read(body, Body { ask, is_explain, rows: &mut *rows });
    match rows.take_refusal() {
        Some(refusal) => Err(refusal),
        None => read,
    }
}

/// Reads one JSON object into `rows`: the text of one tensor element.
pub(crate) fn read_instance(
    text: &str,
    position: Position,
    rows: &mut Rows,
) -> Result<(), Refusal> {
    let skip = Skip { depth: rows.limits().depth_max };
    let mut line = Line::new(rows);
    let instance = Instance { rows: &mut *rows, line: &mut line, position, skip };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = instance.deserialize(&mut reader).and_then(|()| reader.end());
    match (rows.take_refusal(), read) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(()),
        (None, Err(cause)) if cause.is_data() => Err(Refusal::BadField(cause.to_string())),
        (None, Err(cause)) => {
            Err(Refusal::BadField(format!("{position} is not a JSON object: {cause}")))
        }
    }
}

/// Where a row stands in its request, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Position {
    /// Element of `instances`.
    Instance(usize),
    /// Element of the tensor `row`.
    Element(usize),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(index) => write!(f, "instance {index}"),
            Self::Element(index) => write!(f, "input `row`, element {index}"),
        }
    }
}

struct Body<'r> {
    ask: Ask,
    is_explain: bool,
    rows: &'r mut Rows,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = Ask;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Ask, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = Ask;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {\"instances\": [{column: value, ...}, ...]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ask, A::Error> {
        let Self { mut ask, is_explain, rows } = self;
        let skip = Skip { depth: rows.limits().depth_max }.deeper()?;
        let mut has_instances = false;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "instances" if has_instances => {
                    return Err(A::Error::custom("`instances` stands twice"));
                }
                "instances" => {
                    has_instances = true;
                    if ask != rows.ask()
                        && let Err(refusal) = rows.restart(ask)
                    {
                        rows.refuse(refusal);
                        return Err(A::Error::custom("an option is refused"));
                    }
                    map.next_value_seed(Instances { key: "instances", rows: &mut *rows, skip })?;
                }
                name => {
                    let value = map.next_value_seed(ReadParameter(skip))?;
                    ask.set(name, &value).map_err(A::Error::custom)?;
                    ask.options.contributions |= is_explain;
                }
            }
        }
        if !has_instances {
            return Err(A::Error::custom("`instances` is missing: a list of objects, one per row"));
        }
        Ok(ask)
    }
}

/// A list of objects, one per row.
pub(crate) struct Instances<'r> {
    /// What the list is called, for messages.
    pub(crate) key: &'static str,
    pub(crate) rows: &'r mut Rows,
    pub(crate) skip: Skip,
}

impl<'de> DeserializeSeed<'de> for Instances<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` as a list of objects, one per row", self.key)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let skip = self.skip.deeper()?;
        let mut line = Line::new(self.rows);
        let mut index = 0;
        loop {
            let position = Position::Instance(index);
            let rows = &mut *self.rows;
            let instance = Instance { rows, line: &mut line, position, skip };
            if seq.next_element_seed(instance)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// The cells of one row while it is read.
pub(crate) struct Line<'de> {
    cells: Vec<Cell<'de>>,
    /// Texts that had to be unescaped, by column: they are not in the body as they are.
    unescaped: BTreeMap<usize, String>,
    /// Where the columns are the caller's own: their places.
    names: BTreeMap<Cow<'de, str>, usize>,
}

impl<'de> Line<'de> {
    pub(crate) fn new(rows: &Rows) -> Self {
        let cells = vec![Cell::Absent; rows.model().schema().columns().len()];
        Self { cells, unescaped: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// The place of a column of an open schema. Of equal keys the last one counts.
    pub(crate) fn place(&mut self, name: Cow<'de, str>) -> usize {
        let next = self.cells.len();
        let place = *self.names.entry(name).or_insert(next);
        if place == next {
            self.cells.push(Cell::Absent);
        }
        place
    }

    /// Of equal keys the last one counts.
    pub(crate) fn set(&mut self, column: usize, value: Value<'de>) {
        self.unescaped.remove(&column);
        let cell = match value {
            Value::Cell(cell) => cell,
            Value::Unescaped(text) => {
                self.unescaped.insert(column, text);
                Cell::Absent
            }
        };
        if let Some(place) = self.cells.get_mut(column) {
            *place = cell;
        }
    }

    #[must_use]
    pub(crate) fn push(&mut self, rows: &mut Rows) -> bool {
        let pushed = if rows.model().schema().is_open() {
            let cell = |place: usize| match self.unescaped.get(&place) {
                Some(text) => Cell::Text(text),
                None => self.cells.get(place).copied().unwrap_or(Cell::Absent),
            };
            let words: Vec<(&str, Cell<'_>)> =
                self.names.iter().map(|(name, &place)| (&**name, cell(place))).collect();
            let pushed = rows.push_words(&words);
            self.names.clear();
            self.cells.clear();
            pushed
        } else if self.unescaped.is_empty() {
            rows.push(&self.cells)
        } else {
            let mut cells: Vec<Cell<'_>> = self.cells.clone();
            for (column, text) in &self.unescaped {
                if let Some(place) = cells.get_mut(*column) {
                    *place = Cell::Text(text);
                }
            }
            rows.push(&cells)
        };
        self.cells.fill(Cell::Absent);
        self.unescaped.clear();
        pushed
    }
}

struct Instance<'r, 'de> {
    rows: &'r mut Rows,
    line: &'r mut Line<'de>,
    position: Position,
    skip: Skip,
}

impl<'de> DeserializeSeed<'de> for Instance<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instance<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an object {{column: value, ...}}", self.position)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let skip = self.skip.deeper()?;
        let is_open = self.rows.model().schema().is_open();
        let mut next = 0;
        while let Some(name) = map.next_key_seed(Text)? {
            let found = if is_open {
                Some(self.line.place(name.clone()))
            } else {
                column(self.rows, &name, next)
            };
            match found {
                Some(column) => {
                    next = column + 1;
                    let value = CellValue { position: self.position, name: &name };
                    let value = map.next_value_seed(value)?;
                    self.line.set(column, value);
                }
                None => map.next_value_seed(skip)?,
            }
        }
        self.finish()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.skip.deeper::<A::Error>()?;
        let schema = self.rows.model().schema();
        let (is_open, all) = (schema.is_open(), schema.columns().len());
        let features = all - usize::from(schema.offset().is_some());
        let mut column = 0;
        loop {
            let name = match self.rows.model().schema().columns().get(column) {
                Some(known) => Cow::Borrowed(known.name.as_str()),
                None => Cow::Owned(format!("C{}", column + 1)),
            };
            let value = CellValue { position: self.position, name: &name };
            let Some(value) = seq.next_element_seed(value)? else {
                break;
            };
            if is_open {
                // Alphabetical order is theirs.
                self.line.place(Cow::Owned(format!("C{:06}", column + 1)));
            }
            self.line.set(column, value);
            column += 1;
        }
        if is_open || column == features || column == all {
            return self.finish();
        }
        Err(A::Error::custom(format_args!(
            "{} has {column} values, expected {features}, one per column of the model in its order",
            self.position
        )))
    }
}

impl Instance<'_, '_> {
    fn finish<E: Error>(self) -> Result<(), E> {
        if self.line.push(self.rows) {
            return Ok(());
        }
        // The rows know the reason.
        Err(E::custom("a limit is passed"))
    }
}

/// The column of a name. Callers mostly keep the model's order, so `next` is tried first.
fn column(rows: &Rows, name: &str, next: usize) -> Option<usize> {
    let schema = rows.model().schema();
    let is_next = rows.revision().has_unique_columns()
        && schema.columns().get(next).is_some_and(|column| column.name == name);
    if is_next { Some(next) } else { schema.index_of(name) }
}

/// The value of a cell.
pub(crate) enum Value<'de> {
    Cell(Cell<'de>),
    Unescaped(String),
}

/// Reads a value, for the column of this name.
pub(crate) struct CellValue<'n> {
    pub(crate) position: Position,
    pub(crate) name: &'n str,
}

impl<'de> DeserializeSeed<'de> for CellValue<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellValue<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "text, a number, a boolean or null for column `{}` of {}",
            self.name, self.position
        )
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Absent))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Number(number as f64)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Number(number as f64)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Number(number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Cell(Cell::Text(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Unescaped(text.to_owned()))
    }
}
