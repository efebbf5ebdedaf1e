//! Arrow's C interfaces: arrays and record batches from and to other libraries, without a copy.
//!
//! Source: the specifications of Arrow's C data and stream interfaces and of their capsules in Python.
#![expect(unsafe_code, reason = "takes over the streams of other libraries")]

use std::ffi::CStr;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchReader, make_array};
use arrow_schema::SchemaRef;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors;

const NAME: &CStr = c"arrow_array_stream";

/// The record batches of anything that has `__arrow_c_stream__`.
pub(crate) fn import(object: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let py = object.py();
    let capsule = object.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let stream = capsule.pointer_checked(Some(NAME))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds such a stream, says the interface. `from_raw` moves it
    // out and leaves an empty one, which the capsule's destructor knows how to drop.
    let stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    let broken = |error: arrow_schema::ArrowError| {
        errors::input(py, &format!("the Arrow stream cannot be read: {error}"))
    };
    let reader = RecordBatchStreamReader::try_new(stream).map_err(broken)?;
    let schema = reader.schema();
    // A stream may compute its batches, and may call Python to do so.
    let batches = py.detach(|| reader.collect::<Result<Vec<_>, _>>()).map_err(broken)?;
    Ok((schema, batches))
}

/// An array of anything that has `__arrow_c_array__`.
pub(crate) fn import_array(object: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let py = object.py();
    let capsules = object.call_method0(intern!(py, "__arrow_c_array__"))?;
    let (schema, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = capsules.extract()?;
    let (schema, array) = (schema.cast::<PyCapsule>()?, array.cast::<PyCapsule>()?);
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold such structures, says the interface. The array is moved
    // out as above; the schema is read while its capsule lives.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref()) };
    let mut data = data.map_err(|error| errors::input(py, &format!("an Arrow array: {error}")))?;
    // Other libraries need not align as Rust does.
    data.align_buffers();
    Ok(make_array(data))
}

/// A capsule that gives these batches once.
pub(crate) fn export(
    py: Python<'_>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> PyResult<Bound<'_, PyCapsule>> {
    let reader = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
    let stream = FFI_ArrowArrayStream::new(Box::new(reader));
    PyCapsule::new_with_value(py, stream, NAME)
        .map_err(|error| PyTypeError::new_err(error.to_string()))
}
