//! Kept columns from typed sources to typed outputs: as they are, but all text is `Utf8`.
//!
//! Writers differ in how they hold text (plain, large, views, dictionaries); outputs do not, so that
//! files of several writers can be one input.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take;

use super::ColumnField;

/// The columns to keep, in their order among themselves.
pub(crate) fn kept_arrays(
    batch: &RecordBatch,
    fields: &[ColumnField],
) -> Result<Vec<ArrayRef>, ArrowError> {
    in_order(fields).into_iter().map(|field| plain(batch.column(field.at))).collect()
}

/// The types of [`kept_arrays`].
pub(crate) fn kept_types(fields: &[ColumnField]) -> Vec<DataType> {
    in_order(fields).into_iter().map(|field| plain_type(&field.data_type)).collect()
}

fn in_order(fields: &[ColumnField]) -> Vec<&ColumnField> {
    let mut kept: Vec<_> = fields.iter().filter(|field| field.target.kept.is_some()).collect();
    kept.sort_unstable_by_key(|field| field.target.kept);
    kept
}

fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::LargeUtf8 => Arc::new(array.as_string::<i64>().iter().collect::<StringArray>()),
        DataType::Utf8View => Arc::new(array.as_string_view().iter().collect::<StringArray>()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            plain(&take(dictionary.values(), dictionary.keys(), None)?)?
        }
        _ => Arc::clone(array),
    })
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}
