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
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{Field, Schema};
use arrow_select::take::take;
use foldhash::fast::RandomState;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use stemson_mojo::Model;

use crate::errors;
use crate::row::{Scalar, scalar};

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
}

#[pymethods]
impl Columns {
    /// A column of numbers, booleans or times: a numpy array of one dimension. It must not be
    /// changed until the answers are there.
    fn add_array(&mut self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let view = View::of(array, name)?;
        let column = view.column().ok_or_else(|| {
            let message = format!(
                "column `{name}`: values of type {}, expected numbers, booleans, times or text",
                view.type_text
            );
            errors::column_type(array.py(), name, &message)
        })?;
        self.add(array.py(), name, column)
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
        let codes = View::of(codes, name)?.integers();
        let n = values.len() as i64;
        let Some(codes) = codes.filter(|codes| codes.iter().all(|code| (-1..n).contains(code)))
        else {
            let message = format!("column `{name}`: its codes are no places of its categories");
            return Err(errors::column_type(py, name, &message));
        };
        let keys: Int32Array =
            codes.iter().map(|code| (*code >= 0).then_some(*code as i32)).collect();
        let column = DictionaryArray::try_new(keys, values);
        let column = column.map_err(|error| errors::column_type(py, name, &error.to_string()))?;
        self.add(py, name, Arc::new(column))
    }

    /// A column of any objects: `None` and NaN are nothing; text, numbers, booleans and times may
    /// stand beside each other.
    fn add_objects(&mut self, name: &str, objects: &Bound<'_, PyList>) -> PyResult<()> {
        let column = self.objects(name, objects)?;
        self.add(objects.py(), name, column)
    }

    fn __len__(&self) -> usize {
        self.rows
    }
}

impl Columns {
    pub(crate) fn new(model: Arc<Model>, rows: usize) -> Self {
        Self { model, rows, fields: Vec::new(), arrays: Vec::new() }
    }

    /// All of them. The arrays are shared, not copied.
    pub(crate) fn batch(&self, py: Python<'_>) -> PyResult<RecordBatch> {
        let schema = Arc::new(Schema::new(self.fields.clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(schema, self.arrays.clone(), &options);
        batch.map_err(|error| errors::input(py, &error.to_string()))
    }

    fn add(&mut self, py: Python<'_>, name: &str, column: ArrayRef) -> PyResult<()> {
        if column.len() != self.rows {
            return Err(self.length(py, name, column.len()));
        }
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.arrays.push(column);
        Ok(())
    }

    fn length(&self, py: Python<'_>, name: &str, found: usize) -> PyErr {
        let message = format!("column `{name}` has {found} rows, expected {}", self.rows);
        errors::column_type(py, name, &message)
    }

    fn objects(&self, name: &str, objects: &Bound<'_, PyList>) -> PyResult<ArrayRef> {
        let mut found = Found::default();
        let mut pool = Pool::default();
        for object in objects.iter() {
            pool.push(&object, name, &mut found)?;
        }
        let place = self.model.schema().index_of(name);
        let spell = |number: f64| match place {
            Some(place) => self.model.spell(place, number),
            None => number.to_string(),
        };
        Ok(pool.column(found, spell))
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
    /// By address. The list keeps the objects alive, so no address comes twice.
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
        let value = match scalar(object, name)? {
            Scalar::Nothing => Scalar::Nothing,
            Scalar::Number(number) if number.is_nan() => Scalar::Nothing,
            Scalar::Text(text) => Scalar::Text(text.into_owned().into()),
            Scalar::Number(number) => Scalar::Number(number),
            Scalar::Bool(flag) => Scalar::Bool(flag),
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
        let each = |keys: &[u32]| keys.iter().map(|key| *key as usize).collect::<Vec<_>>();
        let values = &self.values;
        match found {
            Found { text: false, number: false, flag: true } => {
                let mut column = BooleanBuilder::with_capacity(self.keys.len());
                for key in each(&self.keys) {
                    column.append_option(match values[key] {
                        Scalar::Bool(flag) => Some(flag),
                        _ => None,
                    });
                }
                Arc::new(column.finish())
            }
            Found { text: false, flag: false, .. } => {
                let mut column = Float64Builder::with_capacity(self.keys.len());
                for key in each(&self.keys) {
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
        let keys: Int32Array = (self.keys.iter())
            .map(|key| values.is_valid(*key as usize).then_some(*key as i32))
            .collect();
        match DictionaryArray::try_new(keys, Arc::new(values)) {
            Ok(column) => Arc::new(column),
            Err(error) => unreachable!("every key is a place: {error}"),
        }
    }
}

/// A numpy array of one dimension, as `__array_interface__` describes it.
#[derive(Debug)]
struct View {
    start: NonNull<u8>,
    len: usize,
    /// Bytes from one value to the next.
    stride: isize,
    type_text: String,
    owner: Py<PyAny>,
}

impl View {
    /// # Errors
    /// It is no numpy array of one dimension in this machine's byte order.
    fn of(array: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let py = array.py();
        let wrong = |what: &str| errors::column_type(py, name, &format!("column `{name}`: {what}"));
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
        let [len] = shape[..] else {
            let n = shape.len();
            return Err(wrong(&format!("an array of {n} dimensions, expected one value per row")));
        };
        let type_text: String = entry("typestr")?.extract()?;
        let is_native = !type_text.starts_with('>') && cfg!(target_endian = "little");
        if !is_native {
            return Err(wrong(&format!("its byte order is foreign ({type_text})")));
        }
        let address = entry("data")?;
        let address: usize = address.cast::<PyTuple>()?.get_item(0)?.extract()?;
        let width = digits(&type_text);
        let stride = match interface.get_item("strides")? {
            Some(strides) if !strides.is_none() => strides.extract::<Vec<isize>>()?[0],
            _ => width as isize,
        };
        let start = NonNull::new(address as *mut u8).unwrap_or(NonNull::<u64>::dangling().cast());
        let owner = array.clone().unbind();
        Ok(Self { start, len, stride, type_text, owner })
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

    /// Integers of any width.
    fn integers(&self) -> Option<Vec<i64>> {
        fn wide<T: ArrowNativeType + Into<i64>>(view: &View) -> Vec<i64> {
            view.values::<T>().iter().map(|value| (*value).into()).collect()
        }
        match self.code() {
            "i1" => Some(wide::<i8>(self)),
            "i2" => Some(wide::<i16>(self)),
            "i4" => Some(wide::<i32>(self)),
            "i8" => Some(wide::<i64>(self)),
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
