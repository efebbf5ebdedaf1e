//! Rows as typed columns, of which Parquet and Arrow are made.
//!
//! Columns of the answer are null where the row was refused; a NaN is a value. Labels are a
//! dictionary of the model's, whatever rows there are.

use std::ops::Range;
use std::slice::from_ref;
use std::sync::Arc;

use arrow_array::builder::{PrimitiveBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type};
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, RecordBatchOptions,
    StringArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use stemson_mojo::{Batch, Model, Part, PartKind, Values};

use super::layout::{Group, Layout, error_text};

/// The labels of a model.
pub(super) fn labels(model: &Model) -> ArrayRef {
    Arc::new(model.labels().iter().map(Some).collect::<StringArray>())
}

/// `kept`: types of the columns to keep.
pub(super) fn schema(layout: &Layout, kept: &[DataType]) -> Schema {
    let part = |group: &Group| {
        let data_type = match (group.part, group.part.kind()) {
            (Part::Label, _) => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            (_, PartKind::Text) => DataType::Utf8,
            (_, PartKind::F64) => DataType::Float64,
            (_, PartKind::F32) => DataType::Float32,
            (_, PartKind::Integer | PartKind::Flag) => DataType::Int32,
        };
        group.names.iter().map(|name| Field::new(name, data_type.clone(), true)).collect::<Vec<_>>()
    };
    let kept = layout.keep.iter().zip(kept);
    let kept = kept.map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    let error = layout.has_errors.then(|| Field::new("error", DataType::Utf8, true));
    Schema::new(layout.groups.iter().flat_map(part).chain(kept).chain(error).collect::<Vec<_>>())
}

pub(super) fn table(
    layout: &Layout,
    labels: &ArrayRef,
    batch: &Batch,
    rows: usize,
    kept: Vec<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let types: Vec<DataType> = kept.iter().map(|array| array.data_type().clone()).collect();
    let schema = Arc::new(schema(layout, &types));
    let mut columns = Vec::with_capacity(schema.fields().len());
    let answered = answered(batch, rows);
    for group in layout.groups.iter().filter(|group| !group.names.is_empty()) {
        let rows = Rows { batch, len: rows, part: group.part, width: group.names.len() };
        if let Some(place) = batch.model().place_in_preds(group.part)
            && place.len() == group.names.len()
        {
            columns.extend(rows.preds(place, answered.as_ref()));
            continue;
        }
        match (group.part, group.part.kind()) {
            (Part::Label, _) => columns.push(rows.labels(labels, answered.as_ref())?),
            (_, PartKind::Text) => columns.extend(rows.texts()),
            (_, PartKind::F64) => columns.extend(rows.primitives::<Float64Type>(doubles)),
            (_, PartKind::F32) => columns.extend(rows.primitives::<Float32Type>(floats)),
            (_, PartKind::Integer | PartKind::Flag) => {
                columns.extend(rows.primitives::<Int32Type>(integers));
            }
        }
    }
    columns.extend(kept);
    if layout.has_errors {
        let errors = (0..rows).map(|row| batch.output(row).err().map(error_text));
        columns.push(Arc::new(errors.collect::<StringArray>()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// One part of the answers of a batch.
#[derive(Clone, Copy)]
struct Rows<'b> {
    batch: &'b Batch,
    len: usize,
    part: Part,
    /// Columns.
    width: usize,
}

impl<'b> Rows<'b> {
    /// The values of each row.
    fn values(self) -> impl Iterator<Item = Option<Values<'b>>> {
        (0..self.len).map(move |row| self.batch.part(row, self.part))
    }

    /// `slice`: the values of a row, one per column.
    fn primitives<T: ArrowPrimitiveType>(
        self,
        slice: for<'v> fn(&'v Values<'_>) -> &'v [T::Native],
    ) -> impl Iterator<Item = ArrayRef> {
        let builder = || PrimitiveBuilder::<T>::with_capacity(self.len);
        let mut builders: Vec<_> = std::iter::repeat_with(builder).take(self.width).collect();
        for values in self.values() {
            // In tables a flag is 1 or 0.
            let values = values.map(|values| match values {
                Values::Flag(flag) => Values::Integer(flag.into()),
                other => other,
            });
            let values = values.as_ref().map(slice);
            for (column, builder) in builders.iter_mut().enumerate() {
                builder.append_option(values.and_then(|values| values.get(column).copied()));
            }
        }
        builders.into_iter().map(|mut builder| Arc::new(builder.finish()) as ArrayRef)
    }

    /// The paths to leaves.
    fn texts(self) -> impl Iterator<Item = ArrayRef> {
        let mut builders: Vec<_> =
            std::iter::repeat_with(StringBuilder::new).take(self.width).collect();
        for values in self.values() {
            let mut paths = match values {
                Some(Values::Paths(paths)) => Some(paths),
                _ => None,
            };
            for builder in &mut builders {
                builder.append_option(paths.as_mut().and_then(Iterator::next).flatten());
            }
        }
        builders.into_iter().map(|mut builder| Arc::new(builder.finish()) as ArrayRef)
    }

    fn labels(
        self,
        labels: &ArrayRef,
        answered: Option<&NullBuffer>,
    ) -> Result<ArrayRef, ArrowError> {
        // The label's place stands before the probabilities.
        let keys = (0..self.len).map(|row| self.batch.preds(row)[0] as i32).collect();
        let keys = Int32Array::new(keys, answered.cloned());
        Ok(Arc::new(DictionaryArray::try_new(keys, Arc::clone(labels))?))
    }

    /// Columns that lie side by side in each row's array.
    fn preds(
        self,
        place: Range<usize>,
        answered: Option<&NullBuffer>,
    ) -> impl Iterator<Item = ArrayRef> {
        place.map(move |at| {
            let values = (0..self.len).map(|row| self.batch.preds(row)[at]).collect();
            Arc::new(Float64Array::new(values, answered.cloned())) as ArrayRef
        })
    }
}

/// Which rows have an answer; nothing where all have.
fn answered(batch: &Batch, rows: usize) -> Option<NullBuffer> {
    batch.refusals().next()?;
    Some((0..rows).map(|row| batch.output(row).is_ok()).collect())
}

fn doubles<'v>(values: &'v Values<'_>) -> &'v [f64] {
    match values {
        Values::Number(number) => from_ref(number),
        Values::Numbers(numbers) => numbers,
        _ => &[],
    }
}

fn floats<'v>(values: &'v Values<'_>) -> &'v [f32] {
    match values {
        Values::Floats(floats) => floats,
        _ => &[],
    }
}

fn integers<'v>(values: &'v Values<'_>) -> &'v [i32] {
    match values {
        Values::Integer(number) => from_ref(number),
        Values::Integers(numbers) => numbers,
        _ => &[],
    }
}
