//! `{"instances":[{column: value, ...}, ...], "strict": false}`, read in one pass into rows.
//!
//! Values are borrowed from the body; nothing is kept of a row but its encoded form.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use stemson_mojo::Cell;

use super::Asked;
use crate::error::Refusal;
use crate::json::{self, Flag, Skip, Text};
use crate::rows::Rows;

/// Reads a body into `rows`, and says what it asks for.
pub(super) fn read(body: &[u8], rows: &mut Rows) -> Result<Asked, Refusal> {
    let read = json::read(body, Body { rows: &mut *rows });
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
    let mut line = Line::new(rows.model().schema().columns().len());
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
    rows: &'r mut Rows,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = Asked;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Asked, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = Asked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {\"instances\": [{column: value, ...}, ...]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Asked, A::Error> {
        let skip = Skip { depth: self.rows.limits().depth_max }.deeper()?;
        let mut asked = Asked::default();
        let mut has_instances = false;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "instances" if has_instances => {
                    return Err(A::Error::custom("`instances` stands twice"));
                }
                "instances" => {
                    has_instances = true;
                    let rows = &mut *self.rows;
                    map.next_value_seed(Instances { rows, skip })?;
                }
                "strict" => asked.strict = map.next_value_seed(Flag("strict"))?,
                _ => map.next_value_seed(skip)?,
            }
        }
        if !has_instances {
            return Err(A::Error::custom("`instances` is missing: a list of objects, one per row"));
        }
        Ok(asked)
    }
}

struct Instances<'r> {
    rows: &'r mut Rows,
    skip: Skip,
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
        f.write_str("`instances` as a list of objects, one per row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let skip = self.skip.deeper()?;
        let mut line = Line::new(self.rows.model().schema().columns().len());
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
struct Line<'de> {
    cells: Vec<Cell<'de>>,
    /// Texts that had to be unescaped, by column: they are not in the body as they are.
    unescaped: Vec<(usize, String)>,
}

impl<'de> Line<'de> {
    fn new(columns: usize) -> Self {
        Self { cells: vec![Cell::Absent; columns], unescaped: Vec::new() }
    }

    /// Of equal keys the last one counts.
    fn set(&mut self, column: usize, value: Value<'de>) {
        self.unescaped.retain(|(other, _)| *other != column);
        let cell = match value {
            Value::Cell(cell) => cell,
            Value::Unescaped(text) => {
                self.unescaped.push((column, text));
                Cell::Absent
            }
        };
        if let Some(place) = self.cells.get_mut(column) {
            *place = cell;
        }
    }

    fn push(&mut self, rows: &mut Rows) -> bool {
        let pushed = if self.unescaped.is_empty() {
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
        let mut next = 0;
        while let Some(name) = map.next_key_seed(Text)? {
            match column(self.rows, &name, next) {
                Some(column) => {
                    next = column + 1;
                    let value = CellValue { position: self.position, name: &name };
                    let value = map.next_value_seed(value)?;
                    self.line.set(column, value);
                }
                None => map.next_value_seed(skip)?,
            }
        }
        if self.line.push(self.rows) {
            Ok(())
        } else {
            // The rows know the reason.
            Err(A::Error::custom("a limit is passed"))
        }
    }
}

/// The column of a name. Callers mostly keep the model's order, so `next` is tried first.
fn column(rows: &Rows, name: &str, next: usize) -> Option<usize> {
    let schema = rows.model().schema();
    let is_next = rows.revision().has_unique_columns()
        && schema.columns().get(next).is_some_and(|column| column.name == name);
    if is_next { Some(next) } else { schema.index_of(name) }
}

enum Value<'de> {
    Cell(Cell<'de>),
    Unescaped(String),
}

struct CellValue<'n> {
    position: Position,
    name: &'n str,
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
