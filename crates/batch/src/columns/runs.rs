//! From arrays to the columns of rows, a run of rows at a time: a run stays in the cache while column
//! after column is written into it.
//!
//! A value that comes again is looked up once: by its key where it is of a dictionary, by its bytes
//! where it is a short text. What other libraries promise of keys and of text is checked here, as it
//! is read: nothing is trusted that could lead out of an array.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, GenericStringArray, OffsetSizeTrait, RecordBatch, StringViewArray,
};
use arrow_buffer::{ArrowNativeType, ToByteSlice};
use arrow_schema::DataType;
use stemson_mojo::{Cell, Found, Rows};

use super::ColumnField;
use super::cells::{cell, each, numbers};
use crate::plan::Names;

/// Rows of a run. Long enough that reading a column of memory is not begun anew all the time, and
/// few enough that rows of 100 columns stay in the second level of cache.
const RUN: usize = 512;

/// Sets the cells of the rows; an error says which column is not what Arrow promises.
pub(crate) fn fill(
    batch: &RecordBatch,
    fields: &[ColumnField],
    names: &Names,
    lookups: &mut Lookups,
    rows: &mut Rows<'_>,
) -> Result<(), String> {
    lookups.0.resize_with(names.schema().columns().len(), Lookup::default);
    for start in (0..rows.len()).step_by(RUN) {
        let run = start..rows.len().min(start + RUN);
        for field in fields {
            let Some(column) = field.target.column else { continue };
            let array = &**batch.column(field.at);
            let mut to = To { column, names, lookup: &mut lookups.0[column], rows };
            to.set(array, run.clone()).map_err(|Broken(why)| {
                format!("column `{}`: {why}", batch.schema().field(field.at).name())
            })?;
        }
    }
    Ok(())
}

/// What one thread has looked up, by the model's columns: one block knows what the last one did.
#[derive(Debug, Default)]
pub(crate) struct Lookups(Vec<Lookup>);

#[derive(Debug, Default)]
struct Lookup {
    /// Of [`SHORT`] places, once there is a text.
    short: Vec<(u128, Found)>,
    /// A dictionary, and what its values are, as far as a row has had them.
    dictionary: Option<(ArrayRef, Vec<Option<Found>>)>,
}

/// Texts that are remembered of a column: by where their bytes lead, the last one of each place.
const SHORT: usize = 1024;

/// Bytes of a short text, whose bytes and length are one number: as in a view of Arrow's.
const SHORT_BYTES: usize = 12;

/// A text that no array has.
const NO_TEXT: u128 = u128::MAX;

/// A key that is none.
const NOTHING: usize = usize::MAX;

/// A table of what a dictionary's values are is worth it up to so many of them for each row.
const VALUES_PER_ROW_MAX: usize = 16;

/// A promise of Arrow's that an array does not keep.
#[derive(Debug)]
struct Broken(&'static str);

/// Where an array's values go.
struct To<'t, 'r> {
    column: usize,
    names: &'t Names,
    lookup: &'t mut Lookup,
    rows: &'t mut Rows<'r>,
}

impl To<'_, '_> {
    fn set(&mut self, array: &dyn Array, run: Range<usize>) -> Result<(), Broken> {
        let mut found = [0.0; RUN];
        let found = &mut found[..run.len()];
        if numbers(array, run.clone(), found) {
            if self.names.has_na_numbers() {
                let names = self.names;
                let is_na = |number: &&mut f64| names.is_na_number(**number);
                found.iter_mut().filter(is_na).for_each(|number| *number = f64::NAN);
            }
            self.rows.set_numbers(self.column, run.start, found.iter().copied());
            return Ok(());
        }
        match array.data_type() {
            DataType::Utf8 => self.texts(array.as_string::<i32>(), run),
            DataType::LargeUtf8 => self.texts(array.as_string::<i64>(), run),
            DataType::Utf8View => self.texts(array.as_string_view(), run),
            DataType::Dictionary(..) => self.keyed(array, run),
            _ => {
                for row in run {
                    self.rows.set(row, self.column, self.names.unless_na(cell(array, row)));
                }
                Ok(())
            }
        }
    }

    fn texts(&mut self, array: &impl Texts, run: Range<usize>) -> Result<(), Broken> {
        let To { column, names, lookup, rows } = self;
        let column = *column;
        let none = (NO_TEXT, rows.look_up(column, Cell::Absent));
        lookup.short.resize(SHORT, none);
        let known = &mut lookup.short;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let look_up = |rows: &Rows<'_>, text: &[u8]| match std::str::from_utf8(text) {
            Ok(text) => Ok(rows.look_up(column, names.unless_na(Cell::Text(text)))),
            Err(_) => Err(Broken("its text is not UTF-8")),
        };
        array.each(run, |row, text, short| {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return Ok(());
            }
            let text = text.ok_or(Broken("its text lies outside of it"))?;
            let found = match short {
                None => look_up(rows, text)?,
                Some(short) => {
                    let known = &mut known[place(short)];
                    if known.0 != short {
                        *known = (short, look_up(rows, text)?);
                    }
                    known.1
                }
            };
            // It was read before.
            let cell = || std::str::from_utf8(text).map_or(Cell::Absent, Cell::Text);
            rows.set_found(row, column, found, || names.unless_na(cell()));
            Ok(())
        })
    }

    fn keyed(&mut self, array: &dyn Array, run: Range<usize>) -> Result<(), Broken> {
        let To { column, names, lookup, rows } = self;
        let column = *column;
        let dictionary = array.as_any_dictionary();
        let values = dictionary.values();
        let mut found = [NOTHING; RUN];
        keys(dictionary.keys(), run.clone(), &mut found[..run.len()]);
        let known = lookup.values(values, rows.len());
        let n = values.len();
        for (row, key) in run.zip(found).filter(|(_, key)| *key != NOTHING) {
            if key >= n {
                return Err(Broken("a key is no place of its dictionary"));
            }
            let value = || names.unless_na(cell(&**values, key));
            let found = match known.get_mut(key) {
                Some(known) => *known.get_or_insert_with(|| rows.look_up(column, value())),
                None => rows.look_up(column, value()),
            };
            rows.set_found(row, column, found, value);
        }
        Ok(())
    }
}

impl Lookup {
    /// What the values of this dictionary are; of one that is large for so few rows nothing.
    fn values(&mut self, values: &ArrayRef, rows: usize) -> &mut [Option<Found>] {
        let known = self.dictionary.take().filter(|(known, _)| Arc::ptr_eq(known, values));
        let (_, known) = self.dictionary.insert(known.unwrap_or_else(|| {
            let is_small = values.len() <= rows.saturating_mul(VALUES_PER_ROW_MAX);
            (Arc::clone(values), vec![None; if is_small { values.len() } else { 0 }])
        }));
        known
    }
}

/// Where a short text is remembered.
fn place(short: u128) -> usize {
    /// Of the golden ratio: neighbours lead far from each other.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let folded = (short as u64) ^ ((short >> 64) as u64).rotate_left(32);
    (folded.wrapping_mul(SPREAD) >> (u64::BITS - SHORT.ilog2())) as usize
}

/// The keys of a dictionary, [`NOTHING`] where there is none.
fn keys(array: &dyn Array, run: Range<usize>, to: &mut [usize]) {
    /// One below 0 is beyond every dictionary, and something.
    fn key<K: ArrowNativeType>(key: K) -> usize {
        key.as_usize().min(NOTHING - 1)
    }
    match array.data_type() {
        DataType::Int8 => each::<Int8Type, _>(array, run, to, NOTHING, key),
        DataType::Int16 => each::<Int16Type, _>(array, run, to, NOTHING, key),
        DataType::Int32 => each::<Int32Type, _>(array, run, to, NOTHING, key),
        DataType::Int64 => each::<Int64Type, _>(array, run, to, NOTHING, key),
        DataType::UInt8 => each::<UInt8Type, _>(array, run, to, NOTHING, key),
        DataType::UInt16 => each::<UInt16Type, _>(array, run, to, NOTHING, key),
        DataType::UInt32 => each::<UInt32Type, _>(array, run, to, NOTHING, key),
        DataType::UInt64 => each::<UInt64Type, _>(array, run, to, NOTHING, key),
        other => unreachable!("Arrow has no keys of type {other}"),
    }
}

/// An array of text.
trait Texts: Array {
    /// Shows a run of texts: row, bytes, and all of it as one number if it is short. `None` for
    /// bytes: they lie outside. Of rows that are null it shows anything.
    fn each(
        &self,
        run: Range<usize>,
        show: impl FnMut(usize, Option<&[u8]>, Option<u128>) -> Result<(), Broken>,
    ) -> Result<(), Broken>;
}

impl<O: OffsetSizeTrait> Texts for GenericStringArray<O> {
    fn each(
        &self,
        run: Range<usize>,
        mut show: impl FnMut(usize, Option<&[u8]>, Option<u128>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let data = self.value_data();
        let offsets = &self.value_offsets()[run.start..=run.end];
        let mut start = offsets[0].as_usize();
        for (row, end) in run.zip(&offsets[1..]) {
            let end = end.as_usize();
            let text = data.get(start..end);
            let short = text.filter(|text| text.len() <= SHORT_BYTES).map(|text| {
                // Sixteen bytes at once where so many lie there; what is behind the text is cut off.
                let mut bytes = [0; 16];
                match data.get(start..start + 16) {
                    Some(sixteen) => bytes.copy_from_slice(sixteen),
                    None => bytes[..text.len()].copy_from_slice(text),
                }
                let own = u128::from_le_bytes(bytes) & !(u128::MAX << (8 * text.len()));
                own << 32 | text.len() as u128
            });
            show(row, text, short)?;
            start = end;
        }
        Ok(())
    }
}

impl Texts for StringViewArray {
    fn each(
        &self,
        run: Range<usize>,
        mut show: impl FnMut(usize, Option<&[u8]>, Option<u128>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        for (row, view) in run.clone().zip(&self.views()[run]) {
            let len = (*view as u32) as usize;
            if len <= SHORT_BYTES {
                // A view in memory is the length, then the text.
                show(row, view.to_byte_slice().get(4..4 + len), Some(*view))?;
                continue;
            }
            let (buffer, start) = ((view >> 64) as u32 as usize, (view >> 96) as usize);
            let data = self.data_buffers().get(buffer);
            show(row, data.and_then(|data| data.get(start..start.checked_add(len)?)), None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{LargeStringArray, StringArray};

    use super::*;

    /// The texts of a run, each with its number.
    fn shown(array: &impl Texts, run: Range<usize>) -> Vec<(String, Option<u128>)> {
        let mut shown = Vec::new();
        let told = array.each(run, |_, text, short| {
            let text = text.ok_or(Broken("outside"))?;
            shown.push((String::from_utf8_lossy(text).into_owned(), short));
            Ok(())
        });
        assert!(told.is_ok());
        shown
    }

    #[test]
    fn short_texts_are_numbers_of_their_own() {
        // Of each length, that differ in the first, the last or no byte, and with zeros behind.
        let texts = |n: usize| {
            let text = "abcdefghijklmnopqrst"[..n].to_owned();
            let last = text.clone().replace(text.chars().last().unwrap_or('-'), "z");
            [text.clone(), text.replacen('a', "y", 1), last, format!("{text}\0"), text]
        };
        let texts: Vec<String> = (0..=20).flat_map(texts).collect();
        let check = |array: &dyn Fn(Range<usize>) -> Vec<(String, Option<u128>)>| {
            let all = array(0..texts.len());
            assert!(all.iter().map(|(text, _)| text).eq(&texts));
            assert_eq!(array(7..11), all[7..11]);
            for (text, short) in &all {
                assert_eq!(short.is_some(), text.len() <= SHORT_BYTES, "{text:?}");
                assert_ne!(*short, Some(NO_TEXT));
                let same = all.iter().filter(|(_, other)| short.is_some() && other == short);
                assert!(same.clone().all(|(other, _)| other == text), "{text:?}");
            }
        };
        let (plain, large) =
            (StringArray::from(texts.clone()), LargeStringArray::from(texts.clone()));
        let views = StringViewArray::from_iter_values(&texts);
        check(&|run| shown(&plain, run));
        check(&|run| shown(&large, run));
        check(&|run| shown(&views, run));
    }
}
