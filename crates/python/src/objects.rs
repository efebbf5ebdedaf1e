//! Columns of Python's objects: each distinct text is kept once, numbers where they stand.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, StringBuilder};
use arrow_array::types::{ArrowDictionaryKeyType, UInt8Type, UInt16Type, UInt32Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float64Array, PrimitiveArray, StringArray};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, NullBuffer};
use foldhash::fast::RandomState;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use crate::row::{Scalar, scalar};

/// Objects of a column as they come in. `None` and NaN are nothing; text, numbers, booleans and times
/// may stand beside each other.
#[derive(Debug)]
pub(crate) enum Objects {
    /// As long as there is nothing else: NaN is nothing.
    Numbers(Vec<f64>),
    Any(Pool),
}

impl Objects {
    pub(crate) fn new(rows: usize) -> Self {
        Self::Numbers(Vec::with_capacity(rows))
    }

    pub(crate) fn push_nothing(&mut self) {
        match self {
            Self::Numbers(numbers) => numbers.push(f64::NAN),
            Self::Any(pool) => pool.push_number(f64::NAN),
        }
    }

    /// # Errors
    /// It is nothing that a cell can hold.
    pub(crate) fn push(&mut self, object: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        if let Self::Numbers(numbers) = self {
            if let Some(number) = plain(object) {
                numbers.push(number);
                return Ok(());
            }
            let mut pool = Pool::default();
            numbers.iter().for_each(|number| pool.push_number(*number));
            *self = Self::Any(pool);
        }
        match self {
            Self::Any(pool) => pool.push(object, name),
            Self::Numbers(_) => Ok(()),
        }
    }

    /// Whether a time is among them.
    pub(crate) fn has_times(&self) -> bool {
        matches!(self, Self::Any(pool) if pool.found.time)
    }

    /// Text where there is any, else numbers or booleans. `spell`: a number beside text. Needs no
    /// interpreter.
    pub(crate) fn finish(self, spell: impl Fn(f64) -> String) -> ArrayRef {
        match self {
            Self::Numbers(numbers) => Arc::new(Float64Array::from(numbers)),
            Self::Any(pool) => pool.finish(spell),
        }
    }
}

/// The commonest objects without a place of their own: floats, integers, `None`.
fn plain(object: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return Some(float.value());
    }
    if object.is_none() {
        return Some(f64::NAN);
    }
    // What is no double is told where it is read again.
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// Each distinct text once.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The places of texts, of the first [`TEXTS_MAX`].
    texts: HashMap<Box<str>, u32, RandomState>,
    /// The last objects and their places, by where their addresses lead: equal text is often the
    /// same object. Who holds the objects keeps them alive, so no address comes twice.
    recent: Recent,
    /// The place of nothing.
    nothing: Option<u32>,
    values: Vec<Scalar<'static>>,
    keys: Vec<u32>,
    found: Found,
}

/// Texts that are found again. A larger table would hold the interpreter for milliseconds whenever
/// it grows; texts that are so many seldom come twice.
const TEXTS_MAX: usize = 1 << 15;

/// Addresses, 0 for none, with the places of their objects.
#[derive(Debug)]
struct Recent(Box<[(usize, u32); Self::LEN]>);

impl Recent {
    const LEN: usize = 256;

    /// Objects lie at multiples of 16.
    fn place(address: usize) -> usize {
        ((address >> 4) ^ (address >> 12)) % Self::LEN
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self(Box::new([(0, 0); Self::LEN]))
    }
}

/// Which kinds of values there are.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of kinds")]
struct Found {
    text: bool,
    /// Times as well.
    number: bool,
    time: bool,
    flag: bool,
}

impl Pool {
    fn push(&mut self, object: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
        let address = object.as_ptr() as usize;
        let at = Recent::place(address);
        if self.recent.0[at].0 != address {
            self.recent.0[at] = (address, self.find(scalar(object, name)?));
        }
        self.keys.push(self.recent.0[at].1);
        Ok(())
    }

    /// The place of a value, which is there already or is made.
    fn find(&mut self, value: Scalar<'_>) -> u32 {
        let Scalar::Text(text) = &value else { return self.place(value.into_owned()) };
        if let Some(place) = self.texts.get(&**text) {
            return *place;
        }
        let key = (self.texts.len() < TEXTS_MAX).then(|| Box::from(&**text));
        let place = self.place(value.into_owned());
        if let Some(key) = key {
            self.texts.insert(key, place);
        }
        place
    }

    /// NaN is nothing.
    fn push_number(&mut self, number: f64) {
        let place = self.place(Scalar::Number(number));
        self.keys.push(place);
    }

    fn place(&mut self, value: Scalar<'static>) -> u32 {
        let place = self.values.len() as u32;
        match value {
            Scalar::Text(_) => self.found.text = true,
            Scalar::Bool(_) => self.found.flag = true,
            Scalar::Number(number) if !number.is_nan() => self.found.number = true,
            Scalar::Time(_) => (self.found.number, self.found.time) = (true, true),
            Scalar::Number(_) | Scalar::Nothing => {
                let nothing = *self.nothing.get_or_insert(place);
                if nothing == place {
                    self.values.push(Scalar::Nothing);
                }
                return nothing;
            }
        }
        self.values.push(value);
        place
    }

    fn finish(self, spell: impl Fn(f64) -> String) -> ArrayRef {
        let each = || self.keys.iter().map(|key| &self.values[*key as usize]);
        match self.found {
            Found { text: false, number: false, flag: true, .. } => {
                let mut column = BooleanBuilder::with_capacity(self.keys.len());
                for value in each() {
                    column.append_option(match value {
                        Scalar::Bool(flag) => Some(*flag),
                        _ => None,
                    });
                }
                Arc::new(column.finish())
            }
            Found { text: false, flag: false, .. } => {
                let number = |value: &Scalar<'_>| match value {
                    Scalar::Number(number) | Scalar::Time(number) => *number,
                    _ => f64::NAN,
                };
                Arc::new(Float64Array::from_iter_values(each().map(number)))
            }
            _ => self.text(spell),
        }
    }

    /// A dictionary of the distinct values, numbers and booleans spelled out.
    fn text(self, spell: impl Fn(f64) -> String) -> ArrayRef {
        let mut values = StringBuilder::new();
        for value in &self.values {
            match value {
                Scalar::Nothing => values.append_null(),
                Scalar::Text(text) => values.append_value(text),
                Scalar::Bool(flag) => values.append_value(flag.to_string()),
                Scalar::Number(number) | Scalar::Time(number) => {
                    values.append_value(spell(*number));
                }
            }
        }
        let values: StringArray = values.finish();
        // Keys as narrow as can be: they are what a column of few levels weighs.
        match values.len() {
            0..=256 => keyed::<UInt8Type>(&self.keys, values),
            257..=65_536 => keyed::<UInt16Type>(&self.keys, values),
            _ => keyed::<UInt32Type>(&self.keys, values),
        }
    }
}

/// A dictionary; a key of a value that is nothing is nothing.
fn keyed<T: ArrowDictionaryKeyType>(keys: &[u32], values: StringArray) -> ArrayRef {
    let narrow = keys.iter().map(|key| T::Native::usize_as(*key as usize)).collect();
    let nulls = (values.null_count() > 0).then(|| {
        NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), |row| {
            values.is_valid(keys[row] as usize)
        }))
    });
    match DictionaryArray::try_new(PrimitiveArray::<T>::new(narrow, nulls), Arc::new(values)) {
        Ok(column) => Arc::new(column),
        Err(error) => unreachable!("every key is a place: {error}"),
    }
}
