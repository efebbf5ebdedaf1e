//! One row: a dict in, a dict out.

use std::borrow::Cow;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDate, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyString};
use stemson_mojo::{Batch, Cell, Part, Values};

use crate::errors;

/// What a Python object stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'v> {
    /// `None`, `pandas.NA`, `NaT`.
    Nothing,
    Text(Cow<'v, str>),
    Number(f64),
    /// Milliseconds since 1970.
    Time(f64),
    Bool(bool),
}

/// `datetime.date(1970, 1, 1).toordinal()`.
const EPOCH_DAY: i64 = 719_163;

impl Scalar<'_> {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Nothing => Cell::Absent,
            Self::Text(text) => Cell::Text(text),
            Self::Number(number) | Self::Time(number) => Cell::Number(*number),
            Self::Bool(flag) => Cell::Bool(*flag),
        }
    }

    /// The same, of a value that need not live on.
    pub(crate) fn into_owned<'o>(self) -> Scalar<'o> {
        match self {
            Self::Nothing => Scalar::Nothing,
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Number(number) => Scalar::Number(number),
            Self::Time(number) => Scalar::Time(number),
            Self::Bool(flag) => Scalar::Bool(flag),
        }
    }
}

/// Reads a value of a column.
///
/// # Errors
/// It is nothing that a cell can hold.
pub(crate) fn scalar<'v>(value: &'v Bound<'_, PyAny>, column: &str) -> PyResult<Scalar<'v>> {
    if value.is_none() {
        return Ok(Scalar::Nothing);
    }
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_str().map_err(|_| {
            let message = format!("column `{column}`: text that is not Unicode (a lone surrogate)");
            errors::column_type(value.py(), column, &message)
        })?;
        return Ok(Scalar::Text(Cow::Borrowed(text)));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Scalar::Number(number.value()));
    }
    // Before the integers, which booleans are as well.
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Scalar::Bool(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return number(value, column);
    }
    other(value, column)
}

/// A time in a column of levels: what it would be spelled like is nobody's level.
pub(crate) fn time_for_levels(py: Python<'_>, column: &str) -> PyErr {
    let message = format!(
        "column `{column}`: a time; the model's column is categorical: give the text of a level"
    );
    errors::column_type(py, column, &message)
}

fn number<'v>(value: &Bound<'_, PyAny>, column: &str) -> PyResult<Scalar<'v>> {
    value.extract::<f64>().map(Scalar::Number).map_err(|error| {
        let py = value.py();
        let why = if error.is_instance_of::<PyOverflowError>(py) {
            "an integer beyond the range of a double".to_owned()
        } else {
            error.to_string()
        };
        errors::column_type(py, column, &format!("column `{column}`: {why}"))
    })
}

/// Values of pandas and numpy, decimals, times.
fn other<'v>(value: &Bound<'_, PyAny>, column: &str) -> PyResult<Scalar<'v>> {
    let class = value.get_type();
    let name = class.name()?;
    let name = name.to_str()?;
    if matches!(name, "NAType" | "NaTType") {
        return Ok(Scalar::Nothing);
    }
    if let Ok(time) = value.cast::<PyDateTime>() {
        return milliseconds(time.as_any()).map(Scalar::Time);
    }
    if let Ok(date) = value.cast::<PyDate>() {
        let days: i64 = date.call_method0("toordinal")?.extract()?;
        return Ok(Scalar::Time((days - EPOCH_DAY) as f64 * 86_400_000.0));
    }
    if name == "datetime64" {
        return numpy_time(value);
    }
    if name == "bool_" || name == "bool" {
        return Ok(Scalar::Bool(value.is_truthy()?));
    }
    if name == "ndarray" && value.getattr("ndim")?.extract::<usize>()? == 0 {
        // An array of no dimensions is its one value.
        return Ok(scalar(&value.get_item(())?, column)?.into_owned());
    }
    let is_list = value.hasattr("__len__")?;
    if !is_list && (value.hasattr("__float__")? || value.hasattr("__index__")?) {
        return number(value, column);
    }
    let advice = match name {
        "bytes" | "bytearray" | "bytes_" | "memoryview" => "expected text: decode it",
        _ if is_list => "a column has one value per row",
        _ => "expected a number or text",
    };
    let message = format!("column `{column}`: a value of type {name}; {advice}");
    Err(errors::column_type(value.py(), column, &message))
}

/// H2O's time, milliseconds since 1970, of a `datetime`, down to its last digit.
fn milliseconds(time: &Bound<'_, PyAny>) -> PyResult<f64> {
    let py = time.py();
    let module = py.import("datetime")?;
    let utc = module.getattr("timezone")?.getattr("utc")?;
    let epoch = module.getattr("datetime")?.call_method1("fromtimestamp", (0, &utc))?;
    let since = if time.getattr("tzinfo")?.is_none() {
        // Like data frames: a time without a zone is one of UTC.
        let keywords = PyDict::new(py);
        keywords.set_item("tzinfo", utc)?;
        time.call_method("replace", (), Some(&keywords))?.sub(epoch)?
    } else {
        time.sub(epoch)?
    };
    let part = |name: &str| since.getattr(name)?.extract::<i64>();
    let us = (part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?;
    // Of pandas alone.
    let ns = if since.hasattr("nanoseconds")? { part("nanoseconds")? } else { 0 };
    Ok(us.div_euclid(1_000) as f64 + (us.rem_euclid(1_000) * 1_000 + ns) as f64 / 1e6)
}

/// The same of a `numpy.datetime64`.
fn numpy_time<'v>(time: &Bound<'_, PyAny>) -> PyResult<Scalar<'v>> {
    let is_ns = time.getattr("dtype")?.getattr("str")?.extract::<String>()?.ends_with("[ns]");
    let (unit, per_ms) = if is_ns { ("M8[ns]", 1_000_000) } else { ("M8[us]", 1_000) };
    let since = time.call_method1("astype", (unit,))?.call_method1("astype", ("i8",))?;
    let since: i64 = since.extract()?;
    Ok(match since {
        // `NaT`.
        i64::MIN => Scalar::Nothing,
        _ => Scalar::Time(
            since.div_euclid(per_ms) as f64 + since.rem_euclid(per_ms) as f64 / per_ms as f64,
        ),
    })
}

/// The columns of an answer with their names, as keys of a dict.
#[derive(Debug)]
pub(crate) struct Keys {
    parts: Vec<(Part, Vec<Py<PyString>>)>,
}

impl Keys {
    pub(crate) fn new(py: Python<'_>, parts: Vec<(Part, Vec<String>)>) -> Self {
        let keys = |names: Vec<String>| {
            names.iter().map(|name| PyString::new(py, name).unbind()).collect()
        };
        Self { parts: parts.into_iter().map(|(part, names)| (part, keys(names))).collect() }
    }

    /// A row that was answered.
    pub(crate) fn dict<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        row: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (part, keys) in &self.parts {
            let Some(values) = batch.part(row, *part) else { continue };
            set(&dict, keys, &values)?;
        }
        Ok(dict)
    }

    /// All names, in order.
    pub(crate) fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.parts.iter().flat_map(|(_, keys)| keys).map(|key| key.bind(py)))
    }
}

fn set(dict: &Bound<'_, PyDict>, keys: &[Py<PyString>], values: &Values<'_>) -> PyResult<()> {
    let mut keys = keys.iter();
    let mut one = |value: Bound<'_, PyAny>| match keys.next() {
        Some(key) => dict.set_item(key, value),
        None => Ok(()),
    };
    let py = dict.py();
    let float = |value: f64| PyFloat::new(py, value).into_any();
    let integer = |value: i32| PyInt::new(py, value).into_any();
    match values {
        Values::Text(text) => one(PyString::new(py, text).into_any()),
        Values::Number(number) => one(float(*number)),
        Values::Numbers(numbers) => numbers.iter().try_for_each(|number| one(float(*number))),
        Values::Floats(numbers) => {
            numbers.iter().try_for_each(|number| one(float(f64::from(*number))))
        }
        Values::Integer(number) => one(integer(*number)),
        Values::Integers(numbers) => numbers.iter().try_for_each(|number| one(integer(*number))),
        // 1 or 0, as in H2O's tables.
        Values::Flag(flag) => one(integer(i32::from(*flag))),
        Values::Paths(paths) => paths.clone().try_for_each(|path| {
            one(path.map_or_else(|| py.None().into_bound(py), |p| PyString::new(py, p).into_any()))
        }),
    }
}
