//! `stemson._native`: what the Python package `stemson` stands on.
//!
//! Python's values come in (`columns`, `objects`, `stream`, `row`), go through `stemson_mojo` and
//! `stemson_batch`, and leave as typed columns (`answers`). The package in `python/stemson` knows
//! data frames, this library knows arrays: it never imports pandas, polars or pyarrow.
//!
//! # Promises
//!
//! - The interpreter is free for others while a frame is scored. One row is scored without letting
//!   go of it: the microsecond that takes is less than getting it back. Reading objects and writing
//!   text gives it away after half a millisecond (`turn`).
//! - No call into Python per cell of an array; per distinct object in a column of objects.
//! - What is wrong with a model or with data is an exception of `stemson.errors`, with another
//!   argument one of Python's own; a panic is neither.
//! - `unsafe` is in `stream` and `columns` alone, where memory of other libraries is read.

mod admission;
mod answers;
mod columns;
mod errors;
mod model;
mod objects;
mod options;
mod row;
mod stream;
mod turn;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::admission::Admission;
    #[pymodule_export]
    use crate::answers::{Answers, Values};
    #[pymodule_export]
    use crate::columns::Columns;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "its name in Python")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
