//! What went wrong, as C sees it.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use stemson_batch::BatchError;
use stemson_mojo::{LoadError, NotOffered, RowError};

/// Why a function failed.
#[expect(non_camel_case_types, reason = "its name in C")]
#[derive(Debug)]
pub struct stemson_error {
    kind: CString,
    message: CString,
}

/// What a function of this library may fail with.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
}

impl Failure {
    /// An argument that cannot be.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self { kind: "argument", message: message.into() }
    }

    pub(crate) fn unreadable(path: &str, cause: &std::io::Error) -> Self {
        Self { kind: "unreadable", message: format!("cannot read {path}: {cause}") }
    }

    fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Self { kind: "internal", message: text.unwrap_or("a defect of the library").to_owned() }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<&RowError> for Failure {
    fn from(error: &RowError) -> Self {
        Self { kind: error.kind.as_str(), message: error.message.clone() }
    }
}

impl From<NotOffered> for Failure {
    fn from(error: NotOffered) -> Self {
        Self { kind: "not_offered", message: error.to_string() }
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        Self { kind: error.kind(), message: error.with_causes() }
    }
}

/// Runs the body of a function; a failure goes to `*error`.
///
/// # Safety
/// `error` is null or the address of a pointer that may be written.
pub(crate) unsafe fn guarded<T>(
    error: *mut *mut stemson_error,
    body: impl FnOnce() -> Result<T, Failure>,
) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let failure = match outcome {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::panicked(&*panic),
    };
    if !error.is_null() {
        let told = stemson_error { kind: text(failure.kind), message: text(&failure.message) };
        // SAFETY: not null, so it may be written, says the caller.
        unsafe { error.write(Box::into_raw(Box::new(told))) };
    }
    None
}

/// Text for C, in which no zero byte can stand.
pub(crate) fn text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// A word that programs may rely on: `not_mojo`, `bad_entry`, `limit`, ... for files;
/// `unknown_level`, `invalid_number`, `model` for rows; `missing_columns`, `column_type`, ... for
/// tables; `not_offered`, `argument`, `unreadable`, `internal`.
///
/// # Safety
/// `error` is one that a function of this library has set and that is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_error_kind(error: *const stemson_error) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { (*error).kind.as_ptr() }
}

/// The same for people: what was found, where, and what was expected.
///
/// # Safety
/// As for `stemson_error_kind`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_error_message(error: *const stemson_error) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { (*error).message.as_ptr() }
}

/// Frees an error. Null is nothing.
///
/// # Safety
/// As for `stemson_error_kind`, or null. Its texts are gone with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_error_free(error: *mut stemson_error) {
    if !error.is_null() {
        // SAFETY: it came from `Box::into_raw` in `guarded`, and is freed once.
        drop(unsafe { Box::from_raw(error) });
    }
}
