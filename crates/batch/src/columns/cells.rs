//! From arrays to numbers, to cells of the model's columns and to kept values.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use stemson_mojo::{Cell, parse_double};

use super::ColumnField;
use crate::plan::Names;
use crate::table::Value;

/// Puts what is kept of the rows into `kept`, row-major.
pub(crate) fn keep<'a>(
    batch: &'a RecordBatch,
    fields: &[ColumnField],
    names: &Names,
    kept: &mut [Value<'a>],
) {
    for field in fields {
        let Some(place) = field.target.kept else { continue };
        let array = &**batch.column(field.at);
        let places = kept.iter_mut().skip(place).step_by(names.kept());
        places.enumerate().for_each(|(row, kept)| *kept = value(array, row));
    }
}

/// The words of a model whose schema is open: row-major, one per column of the job's.
pub(crate) fn words<'a>(
    batch: &'a RecordBatch,
    fields: &[ColumnField],
    names: &Names,
) -> Vec<Value<'a>> {
    let columns = names.schema().columns().len();
    let mut words = vec![Value::Absent; batch.num_rows() * columns];
    for field in fields {
        let Some(column) = field.target.column else { continue };
        let array = &**batch.column(field.at);
        for (row, word) in words.iter_mut().skip(column).step_by(columns).enumerate() {
            *word = match value(array, row) {
                Value::Text(text) if names.is_na(&text) => Value::Absent,
                value => value,
            };
        }
    }
    words
}

/// The numbers of a run of rows, NaN for nothing. False, and nothing done, if the array has none.
///
/// Times are milliseconds since 1970, as H2O's are.
pub(super) fn numbers(array: &dyn Array, run: Range<usize>, to: &mut [f64]) -> bool {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let nan = f64::NAN;
    match array.data_type() {
        DataType::Float64 => each::<Float64Type, _>(array, run, to, nan, |value| value),
        DataType::Float32 => each::<Float32Type, _>(array, run, to, nan, f64::from),
        DataType::Float16 => each::<Float16Type, _>(array, run, to, nan, f64::from),
        DataType::Int8 => each::<Int8Type, _>(array, run, to, nan, f64::from),
        DataType::Int16 => each::<Int16Type, _>(array, run, to, nan, f64::from),
        DataType::Int32 => each::<Int32Type, _>(array, run, to, nan, f64::from),
        DataType::Int64 => each::<Int64Type, _>(array, run, to, nan, |value| value as f64),
        DataType::UInt8 => each::<UInt8Type, _>(array, run, to, nan, f64::from),
        DataType::UInt16 => each::<UInt16Type, _>(array, run, to, nan, f64::from),
        DataType::UInt32 => each::<UInt32Type, _>(array, run, to, nan, f64::from),
        DataType::UInt64 => each::<UInt64Type, _>(array, run, to, nan, |value| value as f64),
        DataType::Date32 => {
            each::<Date32Type, _>(array, run, to, nan, |day| f64::from(day) * DAY_MS);
        }
        DataType::Date64 => each::<Date64Type, _>(array, run, to, nan, |time| time as f64),
        DataType::Timestamp(Second, _) => {
            each::<TimestampSecondType, _>(array, run, to, nan, |time| time as f64 * 1e3);
        }
        DataType::Timestamp(Millisecond, _) => {
            each::<TimestampMillisecondType, _>(array, run, to, nan, |time| time as f64);
        }
        DataType::Timestamp(Microsecond, _) => {
            each::<TimestampMicrosecondType, _>(array, run, to, nan, |time| ms(time, 1_000));
        }
        DataType::Timestamp(Nanosecond, _) => {
            each::<TimestampNanosecondType, _>(array, run, to, nan, |time| ms(time, 1_000_000));
        }
        _ => return false,
    }
    true
}

/// What a run of values is, and `nothing` for each that is null.
pub(super) fn each<T: ArrowPrimitiveType, V: Copy>(
    array: &dyn Array,
    run: Range<usize>,
    to: &mut [V],
    nothing: V,
    of: impl Fn(T::Native) -> V,
) {
    let array = array.as_primitive::<T>();
    for (to, value) in to.iter_mut().zip(&array.values()[run.clone()]) {
        *to = of(*value);
    }
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        to.iter_mut()
            .zip(run)
            .filter(|(_, row)| nulls.is_null(*row))
            .for_each(|(to, _)| *to = nothing);
    }
}

/// Milliseconds of a time in parts of them. A double does not hold all nanoseconds since 1970, but
/// all milliseconds.
fn ms(time: i64, per_ms: i64) -> f64 {
    time.div_euclid(per_ms) as f64 + time.rem_euclid(per_ms) as f64 / per_ms as f64
}

/// Milliseconds in a day: H2O's time is milliseconds since 1970.
const DAY_MS: f64 = 86_400_000.0;

/// A value of a type that [`super::check`] lets pass. NaN is what data frames have for nothing.
pub(super) fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    let mut one = [f64::NAN];
    if numbers(array, row..row + 1, &mut one) {
        let [number] = one;
        return if number.is_nan() { Cell::Absent } else { Cell::Number(number) };
    }
    if array.is_null(row) {
        return Cell::Absent;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.keys().slice(row, 1);
            let key = arrow_key(&*key);
            key.map_or(Cell::Absent, |key| cell(&**dictionary.values(), key))
        }
        _ => decimal(array, row)
            .and_then(|text| parse_double(&text))
            .map_or(Cell::Absent, Cell::Number),
    }
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

/// The only key of an array of keys.
fn arrow_key(keys: &dyn Array) -> Option<usize> {
    match cell(keys, 0) {
        Cell::Number(key) => Some(key as usize),
        _ => None,
    }
}

/// A decimal, all of its digits.
fn decimal(array: &dyn Array, row: usize) -> Option<String> {
    Some(match array.data_type() {
        DataType::Decimal32(..) => array.as_primitive::<Decimal32Type>().value_as_string(row),
        DataType::Decimal64(..) => array.as_primitive::<Decimal64Type>().value_as_string(row),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        _ => return None,
    })
}

/// A kept value: numbers as the shortest text that is read back as the same, times in ISO 8601.
fn value(array: &dyn Array, row: usize) -> Value<'_> {
    if array.is_null(row) {
        return Value::Absent;
    }
    let whole = |text: String| Value::Number(Cow::Owned(text));
    match array.data_type() {
        DataType::Int64 => whole(native::<Int64Type>(array, row).to_string()),
        DataType::UInt64 => whole(native::<UInt64Type>(array, row).to_string()),
        DataType::Float32 => float(native::<Float32Type>(array, row)),
        DataType::Float16 | DataType::Float64 => match cell(array, row) {
            Cell::Number(number) => float(number),
            _ => Value::Absent,
        },
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            time(array, row).map_or(Value::Absent, |text| Value::Text(Cow::Owned(text)))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = arrow_key(&*dictionary.keys().slice(row, 1));
            key.map_or(Value::Absent, |key| value(&**dictionary.values(), key))
        }
        _ => match (decimal(array, row), cell(array, row)) {
            (Some(text), _) => whole(text),
            (None, Cell::Text(text)) => Value::Text(Cow::Borrowed(text)),
            (None, Cell::Bool(flag)) => Value::Bool(flag),
            (None, Cell::Number(integer)) => whole((integer as i64).to_string()),
            (None, _) => Value::Absent,
        },
    }
}

fn float<F: ryu::Float + Into<f64>>(value: F) -> Value<'static> {
    let text = ryu::Buffer::new().format(value).to_owned();
    let wide: f64 = value.into();
    if wide.is_nan() {
        Value::Absent
    } else if wide.is_finite() {
        Value::Number(Cow::Owned(text))
    } else {
        Value::Text(Cow::Borrowed(if wide > 0.0 { "Infinity" } else { "-Infinity" }))
    }
}

fn time(array: &dyn Array, row: usize) -> Option<String> {
    let zone = match array.data_type() {
        DataType::Date32 => {
            return Some(array.as_primitive::<Date32Type>().value_as_date(row)?.to_string());
        }
        DataType::Timestamp(_, Some(_)) => "Z",
        _ => "",
    };
    let time = match array.data_type() {
        DataType::Date64 => array.as_primitive::<Date64Type>().value_as_datetime(row),
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().value_as_datetime(row)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().value_as_datetime(row)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(row)
        }
        _ => array.as_primitive::<TimestampNanosecondType>().value_as_datetime(row),
    };
    Some(format!("{:?}{zone}", time?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_milliseconds_are_whole() {
        for time in (1_700_000_000_000..).step_by(12_345_679).take(1_000) {
            assert_eq!(
                ms(time * 1_000_000, 1_000_000).to_bits(),
                (time as f64).to_bits(),
                "{time}"
            );
            assert_eq!(ms(-time * 1_000, 1_000).to_bits(), (-time as f64).to_bits(), "{time}");
        }
        assert_eq!(ms(1_500, 1_000).to_bits(), 1.5_f64.to_bits());
        assert_eq!(ms(-1_500, 1_000).to_bits(), (-1.5_f64).to_bits());
    }
}
