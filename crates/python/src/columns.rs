//! Columns of a data frame, one by one, as Arrow arrays.
//!
//! numpy's numbers are taken where they lie; text is read once per distinct object.
#![expect(unsafe_code, reason = "reads the memory of numpy's arrays")]

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{Field, Schema};
use arrow_select::take::take;
use foldhash::fast::RandomState;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySlice, PyString, PyTuple};
use stemson_mojo::Model;

use crate::errors;
use crate::row::{Scalar, scalar};
use crate::turn::Turn;

/// Objects that are read before the time is looked at: some 50 us.
const OBJECTS_AT_ONCE: usize = 1024;

/// A data frame on its way in, column by column. Columns that the model does not have may be left
/// out; which it has is `Model.wants`.
#[pyclass(module = "stemson._native")]
#[derive(Debug)]
pub(crate) struct Columns {
    /// Whose levels say how a number is spelled that stands beside texts.
    model: Arc<Model>,
    rows: usize,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    turn: Turn,
}

#[pymethods]
impl Columns {
    /// A column of numbers, booleans or times: a numpy array of one dimension. It must not be
    /// changed until the answers are there.
    fn add_array(&mut self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        self.add_view(array.py(), name, &View::of(array, name)?)
    }

    /// Columns that lie in one numpy array of two dimensions, one value per row and name.
    fn add_matrix(&mut self, names: &Bound<'_, PyList>, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let (first, width, stride) = View::matrix(array)?;
        for (place, name) in names.iter().enumerate().take(width) {
            let column = first.moved(place as isize * stride);
            self.add_view(array.py(), name.cast::<PyString>()?.to_str()?, &column)?;
        }
        Ok(())
    }

    /// A column of integers with places that hold nothing: two numpy arrays, of the numbers and of
    /// what is missing.
    fn add_masked(
        &mut self,
        name: &str,
        array: &Bound<'_, PyAny>,
        missing: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = array.py();
        self.add_array(name, array)?;
        let missing = View::of(missing, name)?.flags();
        let Some(column) = self.arrays.pop() else { return Ok(()) };
        if missing.len() != column.len() {
            return Err(self.length(py, name, missing.len()));
        }
        let present = NullBuffer::new(!&missing);
        let nulls = NullBuffer::union(Some(&present), column.nulls());
        let data = column.to_data().into_builder().nulls(nulls).build();
        let data = data.map_err(|error| errors::column_type(py, name, &error.to_string()))?;
        self.arrays.push(arrow_array::make_array(data));
        Ok(())
    }

    /// A column of categories: a numpy array of integers, -1 for nothing, and the list of what they
    /// stand for.
    fn add_codes(
        &mut self,
        name: &str,
        codes: &Bound<'_, PyAny>,
        categories: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let py = codes.py();
        let values = self.objects(name, categories)?;
        let values = match values.as_any_dictionary_opt() {
            Some(spelled) => take(spelled.values(), spelled.keys(), None)
                .map_err(|error| errors::column_type(py, name, &error.to_string()))?,
            None => values,
        };
        let Some(column) = View::of(codes, name)?.dictionary(&values) else {
            let message = format!("column `{name}`: its codes are no places of its categories");
            return Err(errors::column_type(py, name, &message));
        };
        self.add(py, name, column)
    }

    /// A column of any objects: `None` and NaN are nothing; text, numbers, booleans and times may
    /// stand beside each other.
    fn add_objects(&mut self, name: &str, objects: &Bound<'_, PyList>) -> PyResult<()> {
        let column = self.objects(name, objects)?;
        self.add(objects.py(), name, column)
    }

    /// The same of a numpy array of objects.
    fn add_object_array(&mut self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = array.py();
        let (mut found, mut pool) = (Found::default(), Pool::default());
        // Piece by piece, for a list of all of them is as large as the array.
        for start in (0..array.len()?).step_by(OBJECTS_AT_ONCE) {
            let end = start + OBJECTS_AT_ONCE;
            let piece = array.get_item(PySlice::new(py, start as isize, end as isize, 1))?;
            for object in piece.call_method0("tolist")?.cast::<PyList>()? {
                pool.push(&object, name, &mut found)?;
            }
            self.turn.give(py);
        }
        let column = pool.column(found, |number| self.spell(name, number));
        self.add(py, name, column)
    }

    fn __len__(&self) -> usize {
        self.rows
    }
}

impl Columns {
    pub(crate) fn new(model: Arc<Model>, rows: usize) -> Self {
        Self { model, rows, fields: Vec::new(), arrays: Vec::new(), turn: Turn::begin() }
    }

    /// All of them. The arrays are shared, not copied.
    pub(crate) fn batch(&self, py: Python<'_>) -> PyResult<RecordBatch> {
        let schema = Arc::new(Schema::new(self.fields.clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(schema, self.arrays.clone(), &options);
        batch.map_err(|error| errors::input(py, &error.to_string()))
    }

    fn add_view(&mut self, py: Python<'_>, name: &str, view: &View) -> PyResult<()> {
        let column = view.column().ok_or_else(|| {
            let message = format!(
                "column `{name}`: values of type {}, expected numbers, booleans, times or text",
                view.type_text
            );
            errors::column_type(py, name, &message)
        })?;
        self.add(py, name, column)
    }

    fn add(&mut self, py: Python<'_>, name: &str, column: ArrayRef) -> PyResult<()> {
        if column.len() != self.rows {
            return Err(self.length(py, name, column.len()));
        }
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.arrays.push(column);
        self.turn.give(py);
        Ok(())
    }

    fn length(&self, py: Python<'_>, name: &str, found: usize) -> PyErr {
        let message = format!("column `{name}` has {found} rows, expected {}", self.rows);
        errors::column_type(py, name, &message)
    }

    fn objects(&mut self, name: &str, objects: &Bound<'_, PyList>) -> PyResult<ArrayRef> {
        let (mut found, mut pool) = (Found::default(), Pool::default());
        for (place, object) in objects.iter().enumerate() {
            pool.push(&object, name, &mut found)?;
            if (place + 1).is_multiple_of(OBJECTS_AT_ONCE) {
                self.turn.give(objects.py());
            }
        }
        Ok(pool.column(found, |number| self.spell(name, number)))
    }

    /// A number as the level of a column that it stands for.
    fn spell(&self, name: &str, number: f64) -> String {
        match self.model.schema().index_of(name) {
            Some(place) => self.model.spell(place, number),
            None => number.to_string(),
        }
    }
}

/// Which kinds of values a column of objects has.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    text: bool,
    number: bool,
    flag: bool,
}

/// Objects of a column, each distinct one read once: equal text is most often the same object.
#[derive(Debug, Default)]
struct Pool {
    /// By address. Who holds the objects keeps them alive, so no address comes twice.
    places: HashMap<usize, u32, RandomState>,
    values: Vec<Scalar<'static>>,
    keys: Vec<u32>,
}

impl Pool {
    fn push(&mut self, object: &Bound<'_, PyAny>, name: &str, found: &mut Found) -> PyResult<()> {
        let address = object.as_ptr() as usize;
        if let Some(place) = self.places.get(&address) {
            self.keys.push(*place);
            return Ok(());
        }
        let value = match scalar(object, name)?.into_owned() {
            Scalar::Number(number) if number.is_nan() => Scalar::Nothing,
            value => value,
        };
        match value {
            Scalar::Nothing => {}
            Scalar::Text(_) => found.text = true,
            Scalar::Number(_) => found.number = true,
            Scalar::Bool(_) => found.flag = true,
        }
        let place = self.values.len() as u32;
        self.places.insert(address, place);
        self.values.push(value);
        self.keys.push(place);
        Ok(())
    }

    /// Text where there is any, else numbers or booleans.
    fn column(self, found: Found, spell: impl Fn(f64) -> String) -> ArrayRef {
        let each = || self.keys.iter().map(|key| *key as usize);
        let values = &self.values;
        match found {
            Found { text: false, number: false, flag: true } => {
                let mut column = BooleanBuilder::with_capacity(self.keys.len());
                for key in each() {
                    column.append_option(match values[key] {
                        Scalar::Bool(flag) => Some(flag),
                        _ => None,
                    });
                }
                Arc::new(column.finish())
            }
            Found { text: false, flag: false, .. } => {
                let mut column = Float64Builder::with_capacity(self.keys.len());
                for key in each() {
                    column.append_option(match values[key] {
                        Scalar::Number(number) => Some(number),
                        _ => None,
                    });
                }
                Arc::new(column.finish())
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
                Scalar::Number(number) => values.append_value(spell(*number)),
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
    let keys: PrimitiveArray<T> = (keys.iter().map(|key| *key as usize))
        .map(|key| T::Native::from_usize(key).filter(|_| values.is_valid(key)))
        .collect();
    match DictionaryArray::try_new(keys, Arc::new(values)) {
        Ok(column) => Arc::new(column),
        Err(error) => unreachable!("every key is a place: {error}"),
    }
}

/// Values of a numpy array at equal distances, as `__array_interface__` describes them.
#[derive(Debug)]
struct View {
    start: NonNull<u8>,
    len: usize,
    /// Bytes from one value to the next.
    stride: isize,
    type_text: Arc<str>,
    owner: Py<PyAny>,
}

impl View {
    /// An array of one dimension.
    ///
    /// # Errors
    /// It is none, or not in this machine's byte order.
    fn of(array: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let wrong =
            |what: &str| errors::column_type(array.py(), name, &format!("column `{name}`: {what}"));
        let (view, shape, _) = Self::open(array, wrong)?;
        match shape[..] {
            [_] => Ok(view),
            _ => {
                let n = shape.len();
                Err(wrong(&format!("an array of {n} dimensions, expected one value per row")))
            }
        }
    }

    /// An array of two dimensions: its first column, how many there are, and the bytes between them.
    fn matrix(array: &Bound<'_, PyAny>) -> PyResult<(Self, usize, isize)> {
        let wrong = |what: &str| errors::input(array.py(), what);
        let (view, shape, strides) = Self::open(array, wrong)?;
        match (&shape[..], &strides[..]) {
            ([_, width], [_, stride]) => Ok((view, *width, *stride)),
            _ => Err(wrong("expected an array of two dimensions")),
        }
    }

    /// The values along the first dimension, with the lengths and the strides of all.
    fn open(
        array: &Bound<'_, PyAny>,
        wrong: impl Fn(&str) -> PyErr,
    ) -> PyResult<(Self, Vec<usize>, Vec<isize>)> {
        let py = array.py();
        if !array.is_instance(&py.import("numpy")?.getattr("ndarray")?)? {
            return Err(wrong("expected a numpy array"));
        }
        let interface = array.getattr("__array_interface__")?;
        let interface = interface.cast::<PyDict>()?;
        let entry = |key: &str| {
            let value = interface.get_item(key)?;
            value.ok_or_else(|| wrong(&format!("its interface has no `{key}`")))
        };
        let shape: Vec<usize> = entry("shape")?.extract()?;
        let type_text: String = entry("typestr")?.extract()?;
        let is_native = !type_text.starts_with('>') && cfg!(target_endian = "little");
        if !is_native {
            return Err(wrong(&format!("its byte order is foreign ({type_text})")));
        }
        let address = entry("data")?;
        let address: usize = address.cast::<PyTuple>()?.get_item(0)?.extract()?;
        let strides: Vec<isize> = match interface.get_item("strides")? {
            Some(strides) if !strides.is_none() => strides.extract()?,
            // Side by side, the last dimension first.
            _ => {
                let behind = |at: usize| shape[at + 1..].iter().product::<usize>();
                (0..shape.len()).map(|at| (digits(&type_text) * behind(at)) as isize).collect()
            }
        };
        let view = Self {
            start: NonNull::new(address as *mut u8).unwrap_or(NonNull::<u64>::dangling().cast()),
            len: shape.first().copied().unwrap_or(0),
            stride: strides.first().copied().unwrap_or(0),
            type_text: type_text.into(),
            owner: array.clone().unbind(),
        };
        Ok((view, shape, strides))
    }

    /// The column that begins so many bytes further on.
    fn moved(&self, bytes: isize) -> Self {
        let address = self.start.as_ptr().wrapping_offset(bytes);
        Self {
            start: NonNull::new(address).unwrap_or(self.start),
            type_text: Arc::clone(&self.type_text),
            owner: Python::attach(|py| self.owner.clone_ref(py)),
            ..*self
        }
    }

    /// The letters and digits of its type: `f8`, `M8[ns]`.
    fn code(&self) -> &str {
        self.type_text.get(1..).unwrap_or_default()
    }

    /// As an Arrow array; nothing where Arrow has no such type.
    fn column(&self) -> Option<ArrayRef> {
        Some(match self.code() {
            "b1" => Arc::new(BooleanArray::new(self.flags(), None)),
            "f2" => self.numbers::<Float16Type>(),
            "f4" => self.numbers::<Float32Type>(),
            "f8" => self.numbers::<Float64Type>(),
            "i1" => self.numbers::<Int8Type>(),
            "i2" => self.numbers::<Int16Type>(),
            "i4" => self.numbers::<Int32Type>(),
            "i8" => self.numbers::<Int64Type>(),
            "u1" => self.numbers::<UInt8Type>(),
            "u2" => self.numbers::<UInt16Type>(),
            "u4" => self.numbers::<UInt32Type>(),
            "u8" => self.numbers::<UInt64Type>(),
            "M8[s]" => self.times::<TimestampSecondType>(),
            "M8[ms]" => self.times::<TimestampMillisecondType>(),
            "M8[us]" => self.times::<TimestampMicrosecondType>(),
            "M8[ns]" => self.times::<TimestampNanosecondType>(),
            _ => return None,
        })
    }

    fn numbers<T: ArrowPrimitiveType>(&self) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(self.values(), None))
    }

    fn times<T: ArrowPrimitiveType<Native = i64>>(&self) -> ArrayRef {
        /// numpy's `NaT`.
        const NOTHING: i64 = i64::MIN;
        let values: ScalarBuffer<i64> = self.values();
        let present: NullBuffer = values.iter().map(|value| *value != NOTHING).collect();
        Arc::new(PrimitiveArray::<T>::new(values, Some(present)))
    }

    /// The bytes of booleans.
    fn flags(&self) -> arrow_buffer::BooleanBuffer {
        let bytes: ScalarBuffer<u8> = self.values();
        bytes.iter().map(|byte| *byte != 0).collect()
    }

    /// These codes as keys, -1 for nothing. Nothing where they are no places of the values.
    fn dictionary(&self, values: &ArrayRef) -> Option<ArrayRef> {
        fn keyed<T: ArrowDictionaryKeyType<Native: Into<i64>>>(
            view: &View,
            values: &ArrayRef,
        ) -> Option<ArrayRef> {
            let codes: ScalarBuffer<T::Native> = view.values();
            let n = values.len() as i64;
            let is_place = |code: &T::Native| (-1..n).contains(&(*code).into());
            if !codes.iter().all(is_place) {
                return None;
            }
            let present: NullBuffer = codes.iter().map(|code| (*code).into() >= 0).collect();
            let keys = PrimitiveArray::<T>::new(codes, Some(present));
            let column = DictionaryArray::try_new(keys, Arc::clone(values)).ok()?;
            Some(Arc::new(column))
        }
        match self.code() {
            "i1" => keyed::<Int8Type>(self, values),
            "i2" => keyed::<Int16Type>(self, values),
            "i4" => keyed::<Int32Type>(self, values),
            "i8" => keyed::<Int64Type>(self, values),
            _ => None,
        }
    }

    /// The values, where they lie if they lie side by side.
    fn values<T: ArrowNativeType>(&self) -> ScalarBuffer<T> {
        let width = size_of::<T>();
        let is_aligned = self.start.as_ptr().cast::<T>().is_aligned();
        if self.stride == width as isize && is_aligned {
            // Nobody looks into it, so a panic cannot leave it broken.
            let owner = AssertUnwindSafe(Python::attach(|py| self.owner.clone_ref(py)));
            // SAFETY: numpy says that `len` values of this width lie there, one behind the other;
            // they live as long as their array, which `owner` keeps. That nobody writes to them
            // meanwhile is asked of the caller, as of everybody who shares numpy's memory.
            let bytes = unsafe {
                Buffer::from_custom_allocation(self.start, self.len * width, Arc::new(owner))
            };
            return ScalarBuffer::new(bytes, 0, self.len);
        }
        let value = |row: usize| {
            // SAFETY: as above; the array's values are `stride` bytes apart, in either direction.
            unsafe {
                let at = self.start.as_ptr().offset(row as isize * self.stride);
                at.cast::<T>().read_unaligned()
            }
        };
        (0..self.len).map(value).collect()
    }
}

/// The number in a type's text: bytes of a value.
fn digits(type_text: &str) -> usize {
    let digits = type_text.chars().skip(2).take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap_or(0)
}
