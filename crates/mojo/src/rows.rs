//! Rows of a batch while their cells come in: row by row or column by column, in any order.

use crate::batch::{Batch, Converted};
use crate::encode::{self, Cell, Conversion, Slot};
use crate::error::RowError;
use crate::gam::Input;
use crate::java::parse_double;
use crate::levels::Lookup;
use crate::model::Model;

/// New rows of a [`Batch`], all of their cells absent until they are set: see [`Batch::fill`].
///
/// `column` is a place in [`crate::Schema::columns`], `row` counts from the first of the new rows.
/// A cell is set once at most.
#[derive(Debug)]
pub struct Rows<'b> {
    model: &'b Model,
    strict: bool,
    /// Row-major, rows x width.
    raw: &'b mut [f64],
    offsets: &'b mut [f64],
    refused: &'b mut [Option<Box<RowError>>],
    converted: &'b mut [Converted],
    /// Row-major, rows x inputs of splines.
    inputs: Vec<Input>,
}

/// What a value is in a column of a model: see [`Rows::look_up`].
#[derive(Debug, Clone, Copy)]
pub struct Found(Known);

#[derive(Debug, Clone, Copy)]
enum Known {
    Absent,
    /// A number of the raw row, and its place there.
    Number {
        at: u32,
        value: f64,
    },
    /// A level that takes several places.
    Code(u32),
    /// What is to be counted or refused row by row.
    Other,
}

impl Batch {
    /// Adds rows, and has `fill` set their cells. What it does not set is absent.
    ///
    /// A row that cannot be taken keeps its place; [`Batch::output`] says what is wrong, of the
    /// first column that is.
    ///
    /// ```no_run
    /// # use stemson_mojo::{Batch, Cell};
    /// # fn example(batch: &mut Batch, ages: &[f64], cities: &[&str]) {
    /// batch.fill(ages.len(), |rows| {
    ///     for (row, (&age, city)) in ages.iter().zip(cities).enumerate() {
    ///         rows.set(row, 0, Cell::Number(age));
    ///         rows.set(row, 1, Cell::Text(city));
    ///     }
    /// });
    /// # }
    /// ```
    ///
    /// Rows of a schema that [is open](crate::Schema::is_open) have no words here: see
    /// [`Batch::push_words`].
    pub fn fill<R>(&mut self, rows: usize, fill: impl FnOnce(&mut Rows<'_>) -> R) -> R {
        if let Some(words) = self.model.scorer.words() {
            (0..rows).for_each(|_| self.embeddings.push(words, &[]));
        }
        let model = &*self.model;
        let (first, width) = (self.offsets.len(), model.encoder.width);
        self.raw.resize((first + rows) * width, f64::NAN);
        self.offsets.resize(first + rows, 0.0);
        self.refused.resize(first + rows, None);
        let mut new = Rows {
            model,
            strict: self.options.strict,
            raw: &mut self.raw[first * width..],
            offsets: &mut self.offsets[first..],
            refused: &mut self.refused[first..],
            converted: &mut self.converted,
            inputs: vec![None; rows * model.encoder.spline_inputs()],
        };
        let result = fill(&mut new);
        new.smooth();
        result
    }

    /// Adds a row: one cell per column of the schema, in its order. Of a schema that
    /// [is open](crate::Schema::is_open) one cell per column of the caller, by name.
    ///
    /// A row that cannot be taken keeps its place; [`Batch::output`] says what is wrong.
    ///
    /// # Panics
    /// If there are more or fewer cells than columns.
    pub fn push(&mut self, cells: &[Cell<'_>]) {
        if let Some(words) = self.model.scorer.words() {
            self.embeddings.push(words, cells);
            self.push_unread();
            return;
        }
        let columns = self.model.schema().columns().len();
        assert_eq!(cells.len(), columns, "one cell per column of the schema");
        self.fill(1, |rows| {
            for (column, cell) in cells.iter().enumerate() {
                rows.set(0, column, *cell);
                if rows.refused[0].is_some() {
                    break;
                }
            }
        });
    }
}

impl Rows<'_> {
    /// The model that the rows are for.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Sets a cell.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, cell: Cell<'_>) {
        match (&self.model.encoder.slots()[column], cell) {
            (Slot::Number { at }, Cell::Number(value) | Cell::Double(value)) => {
                self.raw[row * self.model.encoder.width + at] = value;
            }
            (Slot::Levels { at, levels }, Cell::Text(_)) => match levels.look_up(cell) {
                Lookup::Code(code) => {
                    let place = row * self.model.encoder.width + at;
                    levels.write(Some(code), &mut self.raw[place..]);
                }
                _ => self.encode(row, column, cell),
            },
            _ => self.encode(row, column, cell),
        }
    }

    /// Sets the cells of a column, from row `first` on: NaN is absent.
    ///
    /// # Panics
    /// If there is no such column, or more values than rows in a column that is not numeric.
    pub fn set_numbers(
        &mut self,
        column: usize,
        first: usize,
        values: impl IntoIterator<Item = f64>,
    ) {
        let model = self.model;
        let width = model.encoder.width;
        let Slot::Number { at } = model.encoder.slots()[column] else {
            for (row, value) in (first..).zip(values) {
                let cell = if value.is_nan() { Cell::Absent } else { Cell::Number(value) };
                self.set(row, column, cell);
            }
            return;
        };
        for (raw, value) in self.raw[first * width..].chunks_exact_mut(width).zip(values) {
            // Whatever NaN it was.
            raw[at] = if value.is_nan() { f64::NAN } else { value };
        }
    }

    /// Looks up what a value is in a column, for as many cells as have it.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn look_up(&self, column: usize, cell: Cell<'_>) -> Found {
        let number = |at: usize, value| Found(Known::Number { at: at as u32, value });
        match (&self.model.encoder.slots()[column], cell) {
            (_, Cell::Absent) => Found(Known::Absent),
            (Slot::Number { at }, Cell::Number(value) | Cell::Double(value)) => number(*at, value),
            (Slot::Number { at }, Cell::Text(text)) => {
                parse_double(text).map_or(Found(Known::Other), |value| number(*at, value))
            }
            (Slot::Levels { at, levels }, cell) => match levels.look_up(cell) {
                Lookup::Code(code) => match levels.value(code) {
                    Some(value) => number(*at, value),
                    None => Found(Known::Code(code)),
                },
                _ => Found(Known::Other),
            },
            _ => Found(Known::Other),
        }
    }

    /// Sets a cell to a value that was looked up for its column; `cell`: the value itself.
    ///
    /// # Panics
    /// If there is no such row or column.
    #[inline]
    pub fn set_found<'v>(
        &mut self,
        row: usize,
        column: usize,
        found: Found,
        cell: impl FnOnce() -> Cell<'v>,
    ) {
        let start = row * self.model.encoder.width;
        match found.0 {
            Known::Absent => {}
            Known::Number { at, value } => self.raw[start + at as usize] = value,
            Known::Code(code) => match &self.model.encoder.slots()[column] {
                Slot::Levels { at, levels } => {
                    levels.write(Some(code), &mut self.raw[start + at..]);
                }
                _ => self.encode(row, column, cell()),
            },
            Known::Other => self.encode(row, column, cell()),
        }
    }

    fn encode(&mut self, row: usize, column: usize, cell: Cell<'_>) {
        let (model, strict) = (self.model, self.strict);
        let name = &model.schema().columns()[column].name;
        let raw = &mut self.raw[row * model.encoder.width..][..model.encoder.width];
        let taken = match &model.encoder.slots()[column] {
            Slot::Number { at } => number(name, cell, strict, &mut raw[*at]),
            Slot::Levels { at, levels } => {
                encode::level(levels, name, cell, strict, &mut raw[*at..])
            }
            Slot::Smoothed { at, input } => {
                self.inputs[row * model.encoder.spline_inputs() + input] =
                    encode::spline_input(name, cell);
                at.map_or(Ok(None), |at| number(name, cell, strict, &mut raw[at]))
            }
            Slot::Offset => encode::number(name, cell, strict).map(|(value, conversion)| {
                // A text that is no number counts as no offset.
                let known = value.filter(|_| conversion.is_none());
                self.offsets[row] = known.unwrap_or(0.0);
                conversion
            }),
        };
        match taken {
            Ok(None) => {}
            Ok(Some(Conversion::UnknownLevel)) => self.converted[column].unknown_levels += 1,
            Ok(Some(Conversion::InvalidNumber)) => self.converted[column].invalid_numbers += 1,
            Err(error) => self.refuse(row, column, error),
        }
    }

    /// Keeps the mistake of the first column.
    fn refuse(&mut self, row: usize, column: usize, error: RowError) {
        let told = self.refused[row].as_ref().and_then(|error| error.column.as_deref());
        let told = told.and_then(|name| self.model.schema().index_of(name));
        if told.is_none_or(|told| column < told) {
            self.refused[row] = Some(Box::new(error));
        }
    }

    fn smooth(&mut self) {
        let encoder = &self.model.encoder;
        let inputs = encoder.spline_inputs();
        if inputs == 0 {
            return;
        }
        let rows =
            self.raw.chunks_exact_mut(encoder.width.max(1)).zip(self.inputs.chunks_exact(inputs));
        for ((raw, inputs), refused) in rows.zip(self.refused.iter_mut()) {
            if refused.is_none() {
                *refused = encoder.smooth(inputs, raw).err().map(Box::new);
            }
        }
    }
}

/// Writes a cell of a numeric column; absent stays what it was, NaN.
fn number(
    name: &str,
    cell: Cell<'_>,
    strict: bool,
    place: &mut f64,
) -> Result<Option<Conversion>, RowError> {
    let (value, conversion) = encode::number(name, cell, strict)?;
    if let Some(value) = value {
        *place = value;
    }
    Ok(conversion)
}
