//! Rows of a batch while their cells come in: row by row or column by column, in any order.

use crate::batch::{Batch, Converted};
use crate::encode::{self, Cell, Conversion, Slot};
use crate::error::RowError;
use crate::gam::Input;
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

    /// Sets the cells of a column, from the first row on: NaN is absent.
    ///
    /// # Panics
    /// If there is no such column, or more values than rows in a column that is not numeric.
    pub fn set_numbers(&mut self, column: usize, values: impl IntoIterator<Item = f64>) {
        let model = self.model;
        let Slot::Number { at } = model.encoder.slots()[column] else {
            for (row, value) in values.into_iter().enumerate() {
                let cell = if value.is_nan() { Cell::Absent } else { Cell::Number(value) };
                self.set(row, column, cell);
            }
            return;
        };
        let rows = self.raw.chunks_exact_mut(model.encoder.width);
        for (raw, value) in rows.zip(values) {
            // What is absent stays what it was, NaN.
            if !value.is_nan() {
                raw[at] = value;
            }
        }
    }

    /// Sets the cells of a column from a dictionary: `keys` has the place of each row's value,
    /// `None` where it is absent, and `value` gives the value at a place, of `values` there are.
    /// Each is looked up once, if there are no more than rows.
    ///
    /// # Panics
    /// If there is no such column, or more keys than rows.
    pub fn set_from_dictionary<'v>(
        &mut self,
        column: usize,
        values: usize,
        value: impl Fn(usize) -> Cell<'v>,
        keys: impl IntoIterator<Item = Option<usize>>,
    ) {
        let (model, rows) = (self.model, self.len());
        let keyed = keys.into_iter().enumerate().filter_map(|(row, key)| Some((row, key?)));
        let Slot::Levels { at, levels } = &model.encoder.slots()[column] else {
            return keyed.for_each(|(row, key)| self.set(row, column, value(key)));
        };
        // A dictionary that is larger than the piece of rows is not worth a table of its own.
        let mut known: Vec<Option<Lookup>> = vec![None; if values <= rows { values } else { 0 }];
        for (row, key) in keyed.filter(|(_, key)| *key < values) {
            let found = match known.get_mut(key) {
                Some(known) => *known.get_or_insert_with(|| levels.look_up(value(key))),
                None => levels.look_up(value(key)),
            };
            match found {
                Lookup::Code(code) => {
                    let place = row * model.encoder.width + at;
                    levels.write(Some(code), &mut self.raw[place..]);
                }
                _ => self.encode(row, column, value(key)),
            }
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
