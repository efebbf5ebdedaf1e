//! The C interface: models inside programs of any language.
//!
//! `include/stemson.h` is generated from this file; what stands here as documentation stands there
//! as comments.
//!
//! # Conventions
//!
//! - A function that can fail takes `error` last: the address of a pointer, which is set on failure
//!   and left alone else, or null if the caller does not care. [`stemson_error_free`] frees it.
//! - Text that comes in is UTF-8 with its length; text that goes out ends with a zero byte and
//!   belongs to the model or the error that it was asked of.
//! - A model may be used by any number of threads at the same time, until it is freed.
//! - A panic ends in an error of the kind `internal`, never in the caller.
#![expect(
    unsafe_code,
    reason = "the interface to C: what a pointer must be is said at each function"
)]

mod error;
mod model;
mod row;
mod stream;

use std::ffi::{CStr, c_char};

pub use error::{stemson_error, stemson_error_free, stemson_error_kind, stemson_error_message};
pub use model::{
    stemson_column_kind, stemson_column_level, stemson_column_levels, stemson_column_name,
    stemson_columns, stemson_label, stemson_labels, stemson_load, stemson_load_file, stemson_model,
    stemson_model_algorithm, stemson_model_category, stemson_model_digest, stemson_model_free,
};
pub use row::{
    stemson_cell, stemson_options, stemson_output_name, stemson_outputs, stemson_score_row,
};
pub use stream::stemson_score_arrow;

/// Raised when a function changes what it takes or gives. A program compares it with
/// `STEMSON_ABI` of the header it was compiled with.
pub const STEMSON_ABI: u32 = 1;

/// `STEMSON_ABI` of the library.
#[unsafe(no_mangle)]
pub extern "C" fn stemson_abi() -> u32 {
    STEMSON_ABI
}

/// The version of the library: `1.2.3`.
#[unsafe(no_mangle)]
pub extern "C" fn stemson_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}
