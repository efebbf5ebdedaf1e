//! The answers to a frame: typed columns, for Arrow and for numpy.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type};
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PySlice, PyString};
use stemson_batch::Summary;

use crate::errors;
use crate::stream;
use crate::turn::{self, Turn};

/// Pieces whose texts become objects before the time is looked at: some 100 us.
const PIECES_AT_ONCE: usize = 32;

/// What became of the rows of a frame, in their order.
///
/// A table for whoever reads `__arrow_c_stream__`; or column by column.
#[pyclass(frozen, module = "stemson._native")]
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) schema: SchemaRef,
    pub(crate) tables: Vec<RecordBatch>,
    pub(crate) summary: Summary,
}

#[pymethods]
impl Answers {
    /// Names of the columns, as H2O calls them.
    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.schema.fields().iter().map(|field| field.name()))
    }

    /// A column: a [`Values`], or a list of text and `None`.
    fn column<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let Some(field) = self.schema.fields().get(index) else {
            return Err(PyIndexError::new_err(format!("there is no column {index}")));
        };
        let pieces: Vec<&dyn Array> = self.tables.iter().map(|t| &**t.column(index)).collect();
        match field.data_type() {
            DataType::Dictionary(..) | DataType::Utf8 => texts(py, &pieces),
            _ if pieces.is_empty() => {
                let empty = arrow_array::new_empty_array(field.data_type());
                Ok(Bound::new(py, Values::of(&empty))?.into_any())
            }
            _ => {
                let whole = py.detach(|| concat(&pieces));
                let whole = whole.map_err(|error| errors::input(py, &error.to_string()))?;
                Ok(Bound::new(py, Values::of(&whole))?.into_any())
            }
        }
    }

    /// Puts a column of text into a numpy array of objects, where nothing is `None`.
    fn fill(&self, py: Python<'_>, index: usize, array: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut turn = Turn::begin();
        let mut start = 0;
        let mut labels: Option<(&ArrayRef, Bound<'_, PyAny>)> = None;
        for pieces in self.tables.chunks(PIECES_AT_ONCE) {
            let pieces: Vec<_> = pieces.iter().map(|table| &**table.column(index)).collect();
            let rows: usize = pieces.iter().map(|piece| piece.len()).sum();
            let place = PySlice::new(py, start, start + rows as isize, 1);
            match codes(&pieces) {
                Some((values, codes)) => {
                    let known = labels.take().filter(|(known, _)| Arc::ptr_eq(known, values));
                    let (_, objects) = labels.insert(match known {
                        Some(known) => known,
                        None => (values, objects(py, values)?),
                    });
                    let options = PyDict::new(py);
                    options.set_item("out", array.get_item(place)?)?;
                    // Without an array in between.
                    options.set_item("mode", "clip")?;
                    let codes = py.import("numpy")?.call_method1("asarray", (codes,))?;
                    objects.call_method("take", (codes,), Some(&options))?;
                }
                None => array.set_item(place, texts(py, &pieces)?)?,
            }
            start += rows as isize;
            turn.give(py);
        }
        Ok(())
    }

    /// Whether a column is text.
    fn is_text(&self, index: usize) -> bool {
        let kind = self.schema.fields().get(index).map(|field| field.data_type());
        matches!(kind, Some(DataType::Dictionary(..) | DataType::Utf8))
    }

    /// Counts: `rows`, `refused`, `converted` by column, `missing` and `ignored` columns.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let summary = PyDict::new(py);
        summary.set_item("rows", self.summary.rows)?;
        summary.set_item("refused", self.summary.refused)?;
        summary.set_item("converted", converted(py, &self.summary)?)?;
        let missing = self.summary.missing.iter().flat_map(|missing| &missing.columns);
        summary.set_item("missing", PyList::new(py, missing)?)?;
        summary.set_item("ignored", &self.summary.ignored)?;
        Ok(summary)
    }

    /// Arrow's interface of capsules: the table, without a copy.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer that wants other types casts them itself, says the interface.
        drop(requested_schema);
        stream::export(py, Arc::clone(&self.schema), self.tables.clone())
    }

    fn __len__(&self) -> usize {
        self.tables.iter().map(RecordBatch::num_rows).sum()
    }

    fn __repr__(&self) -> String {
        format!(
            "<stemson answers: {} rows, {} columns>",
            self.__len__(),
            self.schema.fields().len()
        )
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if self.tables.len() > PIECES_AT_ONCE {
            turn::free(std::mem::take(&mut self.tables));
        }
    }
}

/// Values that became missing: a dict of counts by column.
pub(crate) fn converted<'py>(py: Python<'py>, summary: &Summary) -> PyResult<Bound<'py, PyDict>> {
    let converted = PyDict::new(py);
    for column in &summary.converted {
        let counts = PyDict::new(py);
        counts.set_item("unknown_levels", column.unknown_levels)?;
        counts.set_item("invalid_numbers", column.invalid_numbers)?;
        converted.set_item(&column.column, counts)?;
    }
    Ok(converted)
}

/// The values of a dictionary as a numpy array of objects, `None` behind them.
fn objects<'py>(py: Python<'py>, values: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
    let texts = values.as_string::<i32>().iter().chain([None]);
    let list = PyList::new(py, texts.collect::<Vec<_>>())?;
    py.import("numpy")?.call_method1("array", (list, "O"))
}

/// The dictionary that all pieces have, and their keys; of nothing the place behind its values.
fn codes<'t>(pieces: &[&'t dyn Array]) -> Option<(&'t ArrayRef, Values)> {
    let dictionaries: Vec<_> =
        pieces.iter().map(|piece| piece.as_dictionary_opt::<Int32Type>()).collect::<Option<_>>()?;
    let values = dictionaries.first()?.values();
    if !dictionaries.iter().all(|piece| Arc::ptr_eq(piece.values(), values)) {
        return None;
    }
    let nothing = values.len() as i32;
    let mut codes = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    for keys in dictionaries.iter().map(|piece| piece.keys()) {
        match keys.null_count() {
            0 => codes.extend_from_slice(keys.values()),
            _ => codes.extend(keys.iter().map(|key| key.unwrap_or(nothing))),
        }
    }
    let codes: ArrayRef = Arc::new(Int32Array::from(codes));
    Some((values, Values::of(&codes)))
}

/// Text as Python's strings: of a dictionary each value is one object.
fn texts<'py>(py: Python<'py>, pieces: &[&dyn Array]) -> PyResult<Bound<'py, PyAny>> {
    let (list, mut turn) = (PyList::empty(py), Turn::begin());
    for piece in pieces {
        if let Some(dictionary) = piece.as_dictionary_opt::<Int32Type>() {
            let values = dictionary.values().as_string::<i32>();
            let values: Vec<_> =
                values.iter().map(|text| text.map(|t| PyString::new(py, t))).collect();
            for key in dictionary.keys() {
                list.append(key.and_then(|key| values.get(key as usize)?.as_ref()))?;
            }
        } else {
            for text in piece.as_string::<i32>() {
                list.append(text)?;
            }
        }
        turn.give(py);
    }
    Ok(list.into_any())
}

/// A column of numbers: numpy reads it where it lies, by `__array_interface__`.
#[pyclass(frozen, module = "stemson._native")]
#[derive(Debug)]
pub(crate) struct Values {
    array: ArrayRef,
    type_text: &'static str,
    address: usize,
}

impl Values {
    /// Nothing becomes NaN, and integers with nothing among them floats, as in pandas.
    fn of(array: &ArrayRef) -> Self {
        fn filled<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &ArrayRef) -> ArrayRef {
            let values = array.as_primitive::<T>().iter();
            let values = values.map(|value| value.map_or(f64::NAN, Into::into));
            Arc::new(values.map(Some).collect::<arrow_array::Float64Array>())
        }
        let array = match array.data_type() {
            _ if array.null_count() == 0 => Arc::clone(array),
            DataType::Int32 => filled::<Int32Type>(array),
            DataType::Float64 => filled::<Float64Type>(array),
            _ => {
                let values = array.as_primitive::<Float32Type>().iter();
                let values = values.map(|value| Some(value.unwrap_or(f32::NAN)));
                Arc::new(values.collect::<arrow_array::Float32Array>())
            }
        };
        let (type_text, address) = match array.data_type() {
            DataType::Int32 => {
                ("<i4", array.as_primitive::<Int32Type>().values().as_ptr() as usize)
            }
            DataType::Float32 => {
                ("<f4", array.as_primitive::<Float32Type>().values().as_ptr() as usize)
            }
            _ => ("<f8", array.as_primitive::<Float64Type>().values().as_ptr() as usize),
        };
        Self { array, type_text, address }
    }
}

#[pymethods]
impl Values {
    /// numpy's array interface, version 3: read-only.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", (self.array.len(),))?;
        interface.set_item("typestr", self.type_text)?;
        interface.set_item("data", (self.address, true))?;
        Ok(interface)
    }

    /// As a list of numbers.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match self.array.data_type() {
            DataType::Int32 => PyList::new(py, self.array.as_primitive::<Int32Type>().values()),
            DataType::Float32 => PyList::new(py, self.array.as_primitive::<Float32Type>().values()),
            _ => PyList::new(py, self.array.as_primitive::<Float64Type>().values()),
        }
    }

    fn __len__(&self) -> usize {
        self.array.len()
    }
}
