//! Loading a model, and what it takes.

use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex};

use stemson_mojo::{Batch, Kind, LoadOptions, Model, Options};

use crate::error::{Failure, guarded, stemson_error, text};

/// A model.
#[expect(non_camel_case_types, reason = "its name in C")]
#[derive(Debug)]
pub struct stemson_model {
    pub(crate) model: Arc<Model>,
    /// Texts that C may ask for.
    digest: CString,
    algorithm: CString,
    category: CString,
    columns: Vec<(CString, Vec<CString>)>,
    labels: Vec<CString>,
    /// Batches of one row, with what they answer, for whoever comes next.
    pub(crate) spare: Mutex<Vec<(Options, Batch)>>,
}

impl stemson_model {
    fn load(bytes: &[u8]) -> Result<*mut Self, Failure> {
        let model = Model::load(bytes, &LoadOptions::default())?;
        let columns = model.schema().columns().iter();
        let texts = |texts: &[String]| texts.iter().map(|level| text(level)).collect();
        let loaded = Self {
            digest: text(&model.digest().to_string()),
            algorithm: text(model.algorithm()),
            category: text(model.category().as_str()),
            columns: columns.map(|c| (text(&c.name), texts(&c.levels))).collect(),
            labels: texts(model.labels()),
            spare: Mutex::default(),
            model: Arc::new(model),
        };
        Ok(Box::into_raw(Box::new(loaded)))
    }
}

/// Loads a MOJO from the bytes of its zip file. They are not needed any more afterwards.
///
/// Null on failure. `stemson_model_free` frees it.
///
/// # Safety
/// `bytes` are `length` bytes that can be read; `error` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_load(
    bytes: *const u8,
    length: usize,
    error: *mut *mut stemson_error,
) -> *mut stemson_model {
    let body = || {
        if bytes.is_null() {
            return Err(Failure::argument("bytes is null"));
        }
        // SAFETY: not null, and so many bytes, says the caller.
        stemson_model::load(unsafe { std::slice::from_raw_parts(bytes, length) })
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, body) }.unwrap_or(null_mut())
}

/// Loads a MOJO from a file. `path`: UTF-8, ends with a zero byte.
///
/// Null on failure. `stemson_model_free` frees it.
///
/// # Safety
/// `path` ends with a zero byte; `error` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_load_file(
    path: *const c_char,
    error: *mut *mut stemson_error,
) -> *mut stemson_model {
    let body = || {
        if path.is_null() {
            return Err(Failure::argument("path is null"));
        }
        // SAFETY: not null, and ends with a zero byte, says the caller.
        let path = unsafe { std::ffi::CStr::from_ptr(path) };
        let path = path.to_str().map_err(|_| Failure::argument("path is not UTF-8"))?;
        let bytes = std::fs::read(path).map_err(|cause| Failure::unreadable(path, &cause))?;
        stemson_model::load(&bytes)
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, body) }.unwrap_or(null_mut())
}

/// Frees a model. Null is nothing.
///
/// # Safety
/// It was loaded, is not freed, and no other call uses it. Its texts are gone with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_model_free(model: *mut stemson_model) {
    if !model.is_null() {
        // SAFETY: it came from `Box::into_raw` in `load`, and is freed once.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// SHA-256 of the artifact: 64 hexadecimal digits.
///
/// # Safety
/// `model` is one that was loaded and is not freed: so for all functions that take one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_model_digest(model: *const stemson_model) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { (*model).digest.as_ptr() }
}

/// H2O's name of the algorithm: `gbm`, `glm`, ...
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_model_algorithm(model: *const stemson_model) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { (*model).algorithm.as_ptr() }
}

/// H2O's category: `Binomial`, `Regression`, ...
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_model_category(model: *const stemson_model) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { (*model).category.as_ptr() }
}

/// Columns that the model takes.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_columns(model: *const stemson_model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*model).columns.len() }
}

/// The name of a column, from 0. Null: there is no such column.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_column_name(
    model: *const stemson_model,
    column: usize,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    model.columns.get(column).map_or(null(), |(name, _)| name.as_ptr())
}

/// What a column holds: `n` numbers, `c` categories, 0 where there is no such column.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_column_kind(model: *const stemson_model, column: usize) -> c_char {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let kind = model.model.schema().columns().get(column).map(|column| column.kind);
    let letter = match kind {
        Some(Kind::Numeric) => b'n',
        Some(Kind::Categorical) => b'c',
        None => 0,
    };
    letter as c_char
}

/// Levels that the model knows of a column; 0 for numbers.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_column_levels(
    model: *const stemson_model,
    column: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    model.columns.get(column).map_or(0, |(_, levels)| levels.len())
}

/// A level of a column, from 0. Null: there is none.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_column_level(
    model: *const stemson_model,
    column: usize,
    level: usize,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let level = model.columns.get(column).and_then(|(_, levels)| levels.get(level));
    level.map_or(null(), |level| level.as_ptr())
}

/// Classes; 0 where the model has none.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_labels(model: *const stemson_model) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*model).labels.len() }
}

/// The name of a class, from 0. Null: there is none.
///
/// # Safety
/// As for `stemson_model_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_label(model: *const stemson_model, label: usize) -> *const c_char {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    model.labels.get(label).map_or(null(), |label| label.as_ptr())
}
