//! Tables, by Arrow's C stream interface.

use std::num::NonZeroUsize;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatchIterator, RecordBatchReader};
use stemson_batch::Job;

use crate::error::{Failure, guarded, stemson_error};
use crate::model::stemson_model;
use crate::row::stemson_options;

/// Scores a table: one row of answers for each of its rows, in order. Columns go by name. `answers`
/// is a new stream with the columns of `stemson score --format arrow`; a row that is refused has
/// nothing in them and the reason in `error`.
///
/// `rows` is used up, whatever comes of it. `threads`: at most so many, at least 1.
///
/// # Safety
/// As for `stemson_model_digest`; `rows` is a stream that is not released; `answers` may be
/// written, and what it held is not released; `error` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_score_arrow(
    model: *const stemson_model,
    options: stemson_options,
    rows: *mut FFI_ArrowArrayStream,
    threads: usize,
    answers: *mut FFI_ArrowArrayStream,
    error: *mut *mut stemson_error,
) -> bool {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let body = || {
        if rows.is_null() {
            return Err(Failure::argument("rows is null"));
        }
        // SAFETY: a stream that is not released, says the caller; it is moved out.
        let rows = unsafe { FFI_ArrowArrayStream::from_raw(rows) };
        if answers.is_null() {
            return Err(Failure::argument("answers is null"));
        }
        let stream = score(model, options, rows, threads)?;
        // SAFETY: not null, and may be written, says the caller.
        unsafe { answers.write(stream) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, body) }.is_some()
}

fn score(
    model: &stemson_model,
    asked: stemson_options,
    rows: FFI_ArrowArrayStream,
    threads: usize,
) -> Result<FFI_ArrowArrayStream, Failure> {
    let broken = |error: arrow_schema::ArrowError| {
        Failure::argument(format!("the stream of rows cannot be read: {error}"))
    };
    let reader = RecordBatchStreamReader::try_new(rows).map_err(broken)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let job = Job {
        complete: asked.strict,
        options: asked.options(),
        calibrated: asked.calibrated,
        threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
        ..Job::default()
    };
    let scored = stemson_batch::score_frame(&model.model, job, &schema, &batches, asked.row)?;
    let tables = scored.tables.into_iter().map(Ok);
    let reader = RecordBatchIterator::new(tables, scored.schema);
    Ok(FFI_ArrowArrayStream::new(Box::new(reader)))
}
