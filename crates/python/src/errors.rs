//! Errors as exceptions of `stemson.errors`, which is where they are described.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use stemson_batch::BatchError;
use stemson_mojo::{LoadError, NotOffered, RowError};

/// An exception of `stemson.errors` with attributes.
///
/// `set` fills the keyword arguments of the class.
pub(crate) fn exception(
    py: Python<'_>,
    class: &str,
    message: &str,
    set: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
) -> PyErr {
    let made = || {
        let attributes = PyDict::new(py);
        set(&attributes)?;
        let class = py.import("stemson.errors")?.getattr(class)?;
        class.call((message,), Some(&attributes))
    };
    match made() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A value or a column that cannot be read.
pub(crate) fn column_type(py: Python<'_>, column: &str, message: &str) -> PyErr {
    exception(py, "ColumnTypeError", message, |set| set.set_item("column", column))
}

/// Data that does not fit the model.
pub(crate) fn input(py: Python<'_>, message: &str) -> PyErr {
    exception(py, "InputError", message, |_| Ok(()))
}

pub(crate) fn load(py: Python<'_>, error: &LoadError) -> PyErr {
    exception(py, "LoadError", &error.to_string(), |set| set.set_item("kind", error.kind()))
}

pub(crate) fn not_offered(py: Python<'_>, error: &NotOffered) -> PyErr {
    exception(py, "NotOfferedError", &error.to_string(), |_| Ok(()))
}

pub(crate) fn refused(py: Python<'_>, error: &RowError) -> PyErr {
    exception(py, "RowRefusedError", &error.message, |set| {
        set.set_item("kind", error.kind.as_str())?;
        set.set_item("column", error.column.as_deref())
    })
}

pub(crate) fn batch(py: Python<'_>, error: &BatchError) -> PyErr {
    let message = error.with_causes();
    match error {
        BatchError::NotOffered(_) => exception(py, "NotOfferedError", &message, |_| Ok(())),
        BatchError::MissingColumns { columns, .. } => {
            exception(py, "MissingColumnsError", &message, |set| set.set_item("columns", columns))
        }
        BatchError::DuplicateColumn { name, .. } => {
            exception(py, "DuplicateColumnError", &message, |set| set.set_item("column", name))
        }
        BatchError::ColumnType { column, .. } => column_type(py, column, &message),
        _ => input(py, &message),
    }
}
