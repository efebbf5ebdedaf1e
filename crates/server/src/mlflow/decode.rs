//! `dataframe_split`, `dataframe_records`, `instances`, `inputs`: a table in JSON, in one pass where
//! names and options stand before the data.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::ask::{Ask, ReadParameter};
use crate::error::Refusal;
use crate::json::{self, Skip, Text};
use crate::rows::Rows;
use crate::v1::{CellValue, Instances, Line, Position, Value};

/// Reads a body into `rows`.
pub(super) fn read(body: &[u8], ask: Ask, rows: &mut Rows) -> Result<(), Refusal> {
    let mut pass = Pass { ask, names: None, has_table: false, is_whole: true };
    for _ in 0..2 {
        rows.restart(pass.ask)?;
        let asked = pass.ask;
        pass.has_table = false;
        pass.is_whole = true;
        let read = json::read(body, Body { pass: &mut pass, rows: &mut *rows });
        if let Some(refusal) = rows.take_refusal() {
            return Err(refusal);
        }
        read?;
        // Names or options that stood behind the data are known the second time.
        if pass.is_whole && pass.ask == asked {
            break;
        }
    }
    match (pass.has_table, pass.is_whole) {
        (true, true) => Ok(()),
        (true, false) => Err(Refusal::BadField("`dataframe_split`: `columns` is missing".into())),
        (false, _) => Err(Refusal::BadField(
            "one of `dataframe_split`, `dataframe_records`, `instances`, `inputs` is missing"
                .into(),
        )),
    }
}

/// What is known of a body.
struct Pass<'de> {
    ask: Ask,
    /// Of the columns of `dataframe_split`.
    names: Option<Vec<Cow<'de, str>>>,
    has_table: bool,
    /// Whether the data was read: it cannot be before its names are known.
    is_whole: bool,
}

/// Implements a seed for something that is read by `visit_map`, `visit_seq` or both.
macro_rules! seed {
    ($name:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_, 'de> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

struct Body<'r, 'de> {
    pass: &'r mut Pass<'de>,
    rows: &'r mut Rows,
}

struct Split<'r, 'de> {
    pass: &'r mut Pass<'de>,
    rows: &'r mut Rows,
    skip: Skip,
}

/// The data of a split: a list of rows.
struct Data<'r, 'de> {
    names: &'r [Cow<'de, str>],
    rows: &'r mut Rows,
    skip: Skip,
}

/// One row of a split.
struct Record<'r, 'de> {
    /// Places in the line; none where the model has no such column.
    places: &'r [Option<usize>],
    names: &'r [Cow<'de, str>],
    line: &'r mut Line<'de>,
    position: Position,
    skip: Skip,
}

struct Params<'r, 'de> {
    pass: &'r mut Pass<'de>,
    skip: Skip,
}

/// `inputs`: rows, or columns by name.
struct Inputs<'r, 'de> {
    rows: &'r mut Rows,
    skip: Skip,
    life: std::marker::PhantomData<&'de ()>,
}

seed!(Body);
seed!(Split);
seed!(Data);
seed!(Record);
seed!(Params);
seed!(Inputs);

impl<'de> Visitor<'de> for Body<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an object with `dataframe_split`, `dataframe_records`, `instances` or `inputs`",
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pass, rows } = self;
        let skip = Skip { depth: rows.limits().depth_max }.deeper()?;
        while let Some(key) = map.next_key_seed(Text)? {
            let is_table =
                matches!(&*key, "dataframe_split" | "dataframe_records" | "instances" | "inputs");
            if is_table && std::mem::replace(&mut pass.has_table, true) {
                return Err(A::Error::custom(format_args!("`{key}` is a second table")));
            }
            if is_table
                && pass.ask != rows.ask()
                && let Err(refusal) = rows.restart(pass.ask)
            {
                rows.refuse(refusal);
                return Err(A::Error::custom("an option is refused"));
            }
            match &*key {
                "dataframe_split" => {
                    map.next_value_seed(Split { pass: &mut *pass, rows: &mut *rows, skip })?;
                }
                "dataframe_records" => {
                    let key = "dataframe_records";
                    map.next_value_seed(Instances { key, rows: &mut *rows, skip })?;
                }
                "instances" => {
                    map.next_value_seed(Instances { key: "instances", rows: &mut *rows, skip })?;
                }
                "inputs" => {
                    let life = std::marker::PhantomData;
                    map.next_value_seed(Inputs { rows: &mut *rows, skip, life })?;
                }
                "params" => map.next_value_seed(Params { pass: &mut *pass, skip })?,
                _ => map.next_value_seed(skip)?,
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Params<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`params` as an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let skip = self.skip.deeper()?;
        while let Some(name) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(ReadParameter(skip))?;
            self.pass
                .ask
                .set(&name, &value)
                .map_err(|cause| A::Error::custom(format_args!("`params`: {cause}")))?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Split<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`dataframe_split` as an object {columns, data}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pass, rows, skip } = self;
        let skip = skip.deeper()?;
        let mut has_data = false;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "columns" => {
                    let names: Vec<String> = map.next_value().map_err(|cause: A::Error| {
                        A::Error::custom(format_args!("`columns` as a list of names: {cause}"))
                    })?;
                    pass.names = Some(names.into_iter().map(Cow::Owned).collect());
                }
                "data" if std::mem::replace(&mut has_data, true) => {
                    return Err(A::Error::custom("`data` stands twice"));
                }
                "data" => match &pass.names {
                    Some(names) => {
                        map.next_value_seed(Data { names, rows: &mut *rows, skip })?;
                    }
                    None => {
                        pass.is_whole = false;
                        map.next_value_seed(skip)?;
                    }
                },
                _ => map.next_value_seed(skip)?,
            }
        }
        if has_data {
            Ok(())
        } else {
            Err(A::Error::custom("`dataframe_split`: `data` is missing"))
        }
    }
}

impl<'de> Visitor<'de> for Data<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`data` as a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { names, rows, skip } = self;
        let skip = skip.deeper()?;
        let schema = rows.model().schema();
        let is_open = schema.is_open();
        let places: Vec<Option<usize>> = if is_open {
            (0..names.len()).map(Some).collect()
        } else {
            names.iter().map(|name| schema.index_of(name)).collect()
        };
        if places.iter().all(Option::is_none) {
            return Err(A::Error::custom("none of `columns` is a column of the model"));
        }
        let mut is_named = vec![false; if is_open { 0 } else { schema.columns().len() }];
        for (name, place) in names.iter().zip(&places).filter(|_| !is_open) {
            if place.is_some_and(|place| std::mem::replace(&mut is_named[place], true)) {
                return Err(A::Error::custom(format_args!("`columns` names `{name}` twice")));
            }
        }
        let mut line = Line::new(rows);
        for index in 0.. {
            if is_open {
                for name in names {
                    line.place(name.clone());
                }
            }
            let position = Position::Instance(index);
            let record = Record { places: &places, names, line: &mut line, position, skip };
            if seq.next_element_seed(record)?.is_none() {
                break;
            }
            if !line.push(rows) {
                return Err(A::Error::custom("a limit is passed"));
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Record<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as a list of values, one per column", self.position)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.skip.deeper::<A::Error>()?;
        let mut at = 0;
        while at < self.names.len() {
            let value = CellValue { position: self.position, name: &self.names[at] };
            let Some(value) = seq.next_element_seed(value)? else { break };
            if let Some(place) = self.places[at] {
                self.line.set(place, value);
            }
            at += 1;
        }
        if at == self.names.len() && seq.next_element_seed(self.skip)?.is_none() {
            return Ok(());
        }
        Err(A::Error::custom(format_args!(
            "{} has {} values than `columns`, which has {}",
            self.position,
            if at < self.names.len() { "fewer" } else { "more" },
            self.names.len()
        )))
    }
}

impl<'de> Visitor<'de> for Inputs<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`inputs` as a list of rows, or as an object {column: [values]}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Instances { key: "inputs", rows: self.rows, skip: self.skip }.visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { rows, skip, .. } = self;
        let skip = skip.deeper()?;
        let is_open = rows.model().schema().is_open();
        let mut columns: Vec<(Cow<'de, str>, Option<usize>, Vec<Value<'de>>)> = Vec::new();
        while let Some(name) = map.next_key_seed(Text)? {
            let place = rows.model().schema().index_of(&name);
            if !is_open && place.is_none() {
                map.next_value_seed(skip)?;
                continue;
            }
            let values_max = rows.limits().rows_max.saturating_add(1);
            let values = map.next_value_seed(ColumnValues { name: &name, skip, values_max })?;
            columns.push((name, place, values));
        }
        let Some(len) = columns.first().map(|(_, _, values)| values.len()) else {
            return Err(A::Error::custom("`inputs`: none of the keys is a column of the model"));
        };
        if let Some((name, _, values)) = columns.iter().find(|(_, _, v)| v.len() != len) {
            return Err(A::Error::custom(format_args!(
                "`inputs`: column `{name}` has {} values, the first one has {len}",
                values.len()
            )));
        }
        let mut line = Line::new(rows);
        let mut columns: Vec<_> = columns
            .into_iter()
            .map(|(name, place, values)| (name, place, values.into_iter()))
            .collect();
        for _ in 0..len {
            for (name, place, values) in &mut columns {
                let place = match place {
                    Some(place) if !is_open => *place,
                    _ => line.place(name.clone()),
                };
                if let Some(value) = values.next() {
                    line.set(place, value);
                }
            }
            if !line.push(rows) {
                return Err(A::Error::custom("a limit is passed"));
            }
        }
        Ok(())
    }
}

/// The values of one column: a list, or one value for one row.
struct ColumnValues<'n> {
    name: &'n str,
    skip: Skip,
    values_max: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnValues<'_> {
    type Value = Vec<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ColumnValues<'_> {
    fn cell(&self, row: usize) -> CellValue<'_> {
        CellValue { position: Position::Instance(row), name: self.name }
    }
}

impl<'de> Visitor<'de> for ColumnValues<'_> {
    type Value = Vec<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`inputs`: column `{}` as a list of values", self.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.cell(0).visit_unit().map(|value| vec![value])
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        self.cell(0).visit_bool(flag).map(|value| vec![value])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.cell(0).visit_i64(number).map(|value| vec![value])
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.cell(0).visit_u64(number).map(|value| vec![value])
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.cell(0).visit_f64(number).map(|value| vec![value])
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.cell(0).visit_borrowed_str(text).map(|value| vec![value])
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.cell(0).visit_str(text).map(|value| vec![value])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        self.skip.deeper::<A::Error>()?;
        let mut values = Vec::new();
        while values.len() < self.values_max {
            let cell = CellOrList { cell: self.cell(values.len()) };
            match seq.next_element_seed(cell)? {
                Some(value) => values.push(value),
                None => return Ok(values),
            }
        }
        // The rows will complain.
        while seq.next_element_seed(self.skip)?.is_some() {}
        Ok(values)
    }
}

/// A value, or a list of one: a column of shape `[rows, 1]`.
struct CellOrList<'n> {
    cell: CellValue<'n>,
}

impl<'de> DeserializeSeed<'de> for CellOrList<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellOrList<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cell.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.cell.visit_unit()
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        self.cell.visit_bool(flag)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.cell.visit_i64(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.cell.visit_u64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.cell.visit_f64(number)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.cell.visit_borrowed_str(text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.cell.visit_str(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { cell } = self;
        let (position, name) = (cell.position, cell.name);
        let value = seq.next_element_seed(cell)?;
        let again = CellValue { position, name };
        match (value, seq.next_element_seed(again)?) {
            (Some(value), None) => Ok(value),
            _ => Err(A::Error::custom(format_args!("column `{name}`: a row is one value"))),
        }
    }
}
