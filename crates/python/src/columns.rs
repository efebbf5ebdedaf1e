//! Columns of a data frame, one by one, as Arrow arrays.
//!
//! numpy's and Arrow's values are taken where they lie.
#![expect(unsafe_code, reason = "reads the memory of numpy's arrays")]

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::take::take;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use stemson_mojo::{Kind, Model};

use crate::errors;
use crate::objects::Objects;
use crate::row::time_for_levels;
use crate::stream;
use crate::turn::Turn;

/// A data frame on its way in, column by column, to be scored once. Columns that the model does not have may be left
/// out; which it has is `Model.wants`.
#[pyclass(module = "stemson._native")]
#[derive(Debug)]
pub(crate) struct Columns {
    /// Whose levels say how a number is spelled that stands beside texts.
    model: Arc<Model>,
    rows: usize,
    fields: Vec<Field>,
    /// Of each field, in order.
    pieces: Vec<Vec<ArrayRef>>,
    turn: Turn,
}

#[pymethods]
impl Columns {
    /// A column of numbers, booleans or times: a numpy array of one dimension. It must not be
    /// changed until the answers are there.
    fn add_array(&mut self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = array.py();
        self.add(py, name, View::of(array, name)?.column(py, name)?)
    }

    /// Columns that lie in one numpy array of two dimensions, one value per row and name; without a
    /// name they are left out.
    fn add_matrix(&mut self, names: &Bound<'_, PyList>, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = array.py();
        let (first, width, stride) = View::matrix(array)?;
        for (place, name) in names.iter().enumerate().take(width) {
            if name.is_none() {
                continue;
            }
            let name = name.cast::<PyString>()?.to_str()?;
            let column = first.moved(py, place as isize * stride).column(py, name)?;
            self.add(py, name, column)?;
        }
        Ok(())
    }

    /// A column of numbers with places that hold nothing: two numpy arrays, of the numbers and of
    /// what is missing.
    fn add_masked(
        &mut self,
        name: &str,
        array: &Bound<'_, PyAny>,
        missing: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = array.py();
        let column = View::of(array, name)?.column(py, name)?;
        let missing = View::of(missing, name)?.flags();
        if missing.len() != column.len() {
            return Err(self.length(py, name, missing.len()));
        }
        let present = NullBuffer::new(!&missing);
        let nulls = NullBuffer::union(Some(&present), column.nulls());
        let data = column.to_data().into_builder().nulls(nulls).build();
        let data = data.map_err(|error| errors::column_type(py, name, &error.to_string()))?;
        self.add(py, name, arrow_array::make_array(data))
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

    /// The same of a numpy array of objects. It must not be changed meanwhile.
    fn add_object_array(&mut self, name: &str, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = array.py();
        let view = View::of(array, name)?;
        if view.code() != "O" {
            let message = format!("column `{name}`: an array of {}", view.type_text);
            return Err(errors::column_type(py, name, &message));
        }
        let mut column = Objects::new(view.len);
        for row in 0..view.len {
            match view.object(py, row) {
                Some(object) => column.push(&object, name)?,
                None => column.push_nothing(),
            }
            self.turn.spend(py, 1);
        }
        let column = self.finish(py, name, column)?;
        self.add(py, name, column)
    }

    /// The columns of these names that any of the rows has, which are dicts; how many they are.
    /// No rows have all of them.
    fn add_rows(&mut self, names: &Bound<'_, PyList>, rows: &Bound<'_, PyList>) -> PyResult<usize> {
        let py = rows.py();
        let names: Vec<Bound<'_, PyString>> = names.extract()?;
        let mut columns: Vec<_> = (names.iter())
            .map(|name| Ok((name, name.to_str()?, Objects::new(rows.len()), rows.is_empty())))
            .collect::<PyResult<_>>()?;
        for row in rows {
            let row = row.cast::<PyDict>()?;
            for (key, name, column, is_there) in &mut columns {
                match row.get_item(*key)? {
                    Some(object) => {
                        column.push(&object, name)?;
                        *is_there = true;
                    }
                    None => column.push_nothing(),
                }
            }
            self.turn.spend(py, names.len());
        }
        let mut found = 0;
        for (_, name, column, _) in columns.into_iter().filter(|(.., is_there)| *is_there) {
            let column = self.finish(py, name, column)?;
            self.add(py, name, column)?;
            found += 1;
        }
        Ok(found)
    }

    /// A column that Arrow holds: its pieces, at least one; each has `__arrow_c_array__`.
    fn add_arrow(&mut self, name: &str, pieces: &Bound<'_, PyList>) -> PyResult<()> {
        let arrays = pieces.iter().map(|piece| stream::import_array(&piece));
        self.add_pieces(pieces.py(), name, arrays.collect::<PyResult<_>>()?)
    }

    fn __len__(&self) -> usize {
        self.rows
    }
}

impl Columns {
    pub(crate) fn new(model: Arc<Model>, rows: usize) -> Self {
        Self { model, rows, fields: Vec::new(), pieces: Vec::new(), turn: Turn::begin() }
    }

    /// Takes all of them, cut where a piece of any column ends: slices, no copies. Whoever drops them
    /// needs no interpreter to do so.
    pub(crate) fn take(&mut self, py: Python<'_>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
        let schema = Arc::new(Schema::new(std::mem::take(&mut self.fields)));
        let columns = std::mem::take(&mut self.pieces);
        let mut ends = BTreeSet::from([self.rows]);
        for pieces in &columns {
            ends.extend(pieces.iter().scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            }));
        }
        let mut rests: Vec<_> = columns.iter().map(|pieces| Rest { pieces, taken: 0 }).collect();
        let mut start = 0;
        let batches = ends.into_iter().filter(|end| *end > 0 || self.rows == 0).map(|end| {
            let rows = end - start;
            start = end;
            let arrays = rests.iter_mut().map(|rest| rest.take(rows)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        });
        let batches = batches.collect::<Result<_, _>>();
        Ok((Arc::clone(&schema), batches.map_err(|error| errors::input(py, &error.to_string()))?))
    }

    fn add(&mut self, py: Python<'_>, name: &str, column: ArrayRef) -> PyResult<()> {
        self.add_pieces(py, name, vec![column])
    }

    /// At least one piece; all are of one type.
    fn add_pieces(&mut self, py: Python<'_>, name: &str, pieces: Vec<ArrayRef>) -> PyResult<()> {
        let rows = pieces.iter().map(Array::len).sum();
        let Some(first) = pieces.first().filter(|_| rows == self.rows) else {
            return Err(self.length(py, name, rows));
        };
        self.fields.push(Field::new(name, first.data_type().clone(), true));
        self.pieces.push(pieces);
        self.turn.give(py);
        Ok(())
    }

    fn length(&self, py: Python<'_>, name: &str, found: usize) -> PyErr {
        let message = format!("column `{name}` has {found} rows, expected {}", self.rows);
        errors::column_type(py, name, &message)
    }

    fn objects(&mut self, name: &str, objects: &Bound<'_, PyList>) -> PyResult<ArrayRef> {
        let mut column = Objects::new(objects.len());
        for object in objects {
            column.push(&object, name)?;
            self.turn.spend(objects.py(), 1);
        }
        self.finish(objects.py(), name, column)
    }

    /// The column of all objects; numbers beside text are the levels that they stand for.
    fn finish(&self, py: Python<'_>, name: &str, column: Objects) -> PyResult<ArrayRef> {
        let model = &self.model;
        let place = model.schema().index_of(name);
        let kind = place.map(|place| model.schema().columns()[place].kind);
        if column.has_times() && kind == Some(Kind::Categorical) {
            return Err(time_for_levels(py, name));
        }
        let spell = |number: f64| match place {
            Some(place) => model.spell(place, number),
            None => number.to_string(),
        };
        Ok(py.detach(|| column.finish(spell)))
    }
}

/// What is left of a column's pieces.
struct Rest<'c> {
    pieces: &'c [ArrayRef],
    /// Rows of the first one that are taken.
    taken: usize,
}

impl Rest<'_> {
    /// The next rows, which lie in one piece.
    fn take(&mut self, rows: usize) -> ArrayRef {
        while let [first, others @ ..] = self.pieces
            && self.taken == first.len()
            && !others.is_empty()
        {
            (self.pieces, self.taken) = (others, 0);
        }
        let start = self.taken;
        self.taken += rows;
        match &self.pieces[0] {
            whole if rows == whole.len() => Arc::clone(whole),
            piece => piece.slice(start, rows),
        }
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
    fn open<'py>(
        array: &Bound<'py, PyAny>,
        wrong: impl Fn(&str) -> PyErr,
    ) -> PyResult<(Self, Vec<usize>, Vec<isize>)> {
        static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = array.py();
        if !array.is_instance(ARRAY.import(py, "numpy", "ndarray")?)? {
            return Err(wrong("expected a numpy array"));
        }
        let interface = array.getattr(intern!(py, "__array_interface__"))?;
        let interface = interface.cast::<PyDict>()?;
        let entry = |key: &Bound<'py, PyString>| {
            let value = interface.get_item(key)?;
            value.ok_or_else(|| wrong(&format!("its interface has no `{key}`")))
        };
        let shape: Vec<usize> = entry(intern!(py, "shape"))?.extract()?;
        let type_text: String = entry(intern!(py, "typestr"))?.extract()?;
        let is_native = !type_text.starts_with('>') && cfg!(target_endian = "little");
        if !is_native {
            return Err(wrong(&format!("its byte order is foreign ({type_text})")));
        }
        let address = entry(intern!(py, "data"))?;
        let address: usize = address.cast::<PyTuple>()?.get_item(0)?.extract()?;
        let strides: Vec<isize> = match interface.get_item(intern!(py, "strides"))? {
            Some(strides) if !strides.is_none() => strides.extract()?,
            // Side by side, the last dimension first.
            _ => {
                let behind = |at: usize| shape[at + 1..].iter().product::<usize>();
                (0..shape.len()).map(|at| (width(&type_text) * behind(at)) as isize).collect()
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
    fn moved(&self, py: Python<'_>, bytes: isize) -> Self {
        let address = self.start.as_ptr().wrapping_offset(bytes);
        Self {
            start: NonNull::new(address).unwrap_or(self.start),
            type_text: Arc::clone(&self.type_text),
            owner: self.owner.clone_ref(py),
            ..*self
        }
    }

    /// The letters and digits of its type: `f8`, `M8[ns]`.
    fn code(&self) -> &str {
        self.type_text.get(1..).unwrap_or_default()
    }

    /// As an Arrow array.
    ///
    /// # Errors
    /// Arrow has no such type.
    fn column(&self, py: Python<'_>, name: &str) -> PyResult<ArrayRef> {
        Ok(match self.code() {
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
            _ => {
                let message = format!(
                    "column `{name}`: values of type {}, expected numbers, booleans, times or text",
                    self.type_text
                );
                return Err(errors::column_type(py, name, &message));
            }
        })
    }

    fn numbers<T: ArrowPrimitiveType>(&self) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(self.values(), None))
    }

    fn times<T: ArrowPrimitiveType<Native = i64>>(&self) -> ArrayRef {
        /// numpy's `NaT`.
        const NOTHING: i64 = i64::MIN;
        let values: ScalarBuffer<i64> = self.values();
        let present = BooleanBuffer::collect_bool(self.len, |row| values[row] != NOTHING);
        Arc::new(PrimitiveArray::<T>::new(values, Some(NullBuffer::new(present))))
    }

    /// The bytes of booleans.
    fn flags(&self) -> BooleanBuffer {
        let bytes: ScalarBuffer<u8> = self.values();
        BooleanBuffer::collect_bool(self.len, |row| bytes[row] != 0)
    }

    /// An object of an array of objects; nothing where numpy has none.
    fn object<'py>(&self, py: Python<'py>, row: usize) -> Option<Borrowed<'_, 'py, PyAny>> {
        // SAFETY: numpy says that `len` pointers lie there, `stride` bytes apart. Each is null or an
        // object that the array holds, since nobody changes it meanwhile: see `add_object_array`.
        unsafe {
            let at = self.start.as_ptr().offset(row as isize * self.stride);
            let object = at.cast::<*mut pyo3::ffi::PyObject>().read_unaligned();
            Borrowed::from_ptr_or_opt(py, object)
        }
    }

    /// These codes as keys, -1 for nothing. Nothing where they are no places of the values.
    fn dictionary(&self, values: &ArrayRef) -> Option<ArrayRef> {
        fn keyed<T: ArrowDictionaryKeyType<Native: Into<i64>>>(
            view: &View,
            values: &ArrayRef,
        ) -> Option<ArrayRef> {
            let codes: ScalarBuffer<T::Native> = view.values();
            let wide = |code: &T::Native| -> i64 { (*code).into() };
            // Of the codes' own width, for the compiler to put side by side.
            let first = codes.first().copied().unwrap_or_default();
            let least =
                codes.iter().fold(first, |least, code| if *code < least { *code } else { least });
            let most =
                codes.iter().fold(first, |most, code| if *code > most { *code } else { most });
            let (least, most) = (wide(&least), wide(&most));
            if codes.is_empty() {
                // No code is wrong.
            } else if least < -1 || most >= values.len() as i64 {
                return None;
            }
            let present = || {
                NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), |row| {
                    wide(&codes[row]) >= 0
                }))
            };
            let present = (least < 0).then(present);
            let keys = PrimitiveArray::<T>::new(codes, present);
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

/// Bytes of a value of a type: the number in its text.
fn width(type_text: &str) -> usize {
    if type_text.ends_with('O') {
        return size_of::<usize>();
    }
    let digits = type_text.chars().skip(2).take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap_or(0)
}
