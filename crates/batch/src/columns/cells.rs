//! From arrays to cells of the model's columns and to kept values.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use stemson_mojo::{Cell, Rows, parse_double};

use super::ColumnField;
use crate::plan::Names;
use crate::table::Value;

/// Sets the cells of the rows; what is kept of them goes to `kept`, row-major.
pub(crate) fn fill<'a>(
    batch: &'a RecordBatch,
    fields: &[ColumnField],
    names: &Names,
    rows: &mut Rows<'_>,
    kept: &mut [Value<'a>],
) {
    for field in fields {
        let array = &**batch.column(field.at);
        if let Some(column) = field.target.column {
            set(array, column, names, rows);
        }
        if let Some(place) = field.target.kept {
            let places = kept.iter_mut().skip(place).step_by(names.kept());
            places.enumerate().for_each(|(row, kept)| *kept = value(array, row));
        }
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

/// Sets a column of the rows; the commonest types without a match per value.
fn set(array: &dyn Array, column: usize, names: &Names, rows: &mut Rows<'_>) {
    match array.data_type() {
        DataType::Float64 => numbers::<Float64Type>(array, column, names, rows, |value| value),
        DataType::Float32 => numbers::<Float32Type>(array, column, names, rows, f64::from),
        DataType::Int32 => numbers::<Int32Type>(array, column, names, rows, f64::from),
        DataType::Int64 => numbers::<Int64Type>(array, column, names, rows, |value| value as f64),
        DataType::Utf8 => texts(array.as_string::<i32>().iter(), column, names, rows),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter(), column, names, rows),
        DataType::Utf8View => texts(array.as_string_view().iter(), column, names, rows),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = &**dictionary.values();
            if values.is_empty() {
                // No row can have one.
                return;
            }
            let keys = dictionary.normalized_keys();
            let places = dictionary.keys();
            let keys = (0..places.len()).map(|row| places.is_valid(row).then(|| keys[row]));
            let of_key = |key| names.unless_na(cell(values, key));
            rows.set_from_dictionary(column, values.len(), of_key, keys);
        }
        _ => {
            for row in 0..array.len() {
                rows.set(row, column, names.unless_na(cell(array, row)));
            }
        }
    }
}

fn texts<'t>(
    texts: impl Iterator<Item = Option<&'t str>>,
    column: usize,
    names: &Names,
    rows: &mut Rows<'_>,
) {
    for (row, text) in texts.enumerate() {
        rows.set(row, column, names.unless_na(text.map_or(Cell::Absent, Cell::Text)));
    }
}

fn numbers<T: ArrowPrimitiveType>(
    array: &dyn Array,
    column: usize,
    names: &Names,
    rows: &mut Rows<'_>,
    wide: impl Fn(T::Native) -> f64,
) {
    let array = array.as_primitive::<T>();
    // Nothing is NaN.
    let known = |value| {
        let number = wide(value);
        if names.is_na_number(number) { f64::NAN } else { number }
    };
    if array.null_count() == 0 {
        rows.set_numbers(column, array.values().iter().map(|value| known(*value)));
    } else {
        rows.set_numbers(column, array.iter().map(|value| value.map_or(f64::NAN, known)));
    }
}

/// NaN is what data frames have for nothing.
fn number(value: f64) -> Cell<'static> {
    if value.is_nan() { Cell::Absent } else { Cell::Number(value) }
}

/// Milliseconds of a time in parts of them. A double does not hold all nanoseconds since 1970, but
/// all milliseconds.
fn ms(time: i64, per_ms: i64) -> f64 {
    time.div_euclid(per_ms) as f64 + time.rem_euclid(per_ms) as f64 / per_ms as f64
}

/// Milliseconds in a day: H2O's time is milliseconds since 1970.
const DAY_MS: f64 = 86_400_000.0;

/// A value of a type that [`super::check`] lets pass.
fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Absent;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row)),
        DataType::Int8 => Cell::Number(native::<Int8Type>(array, row).into()),
        DataType::Int16 => Cell::Number(native::<Int16Type>(array, row).into()),
        DataType::Int32 => Cell::Number(native::<Int32Type>(array, row).into()),
        DataType::Int64 => Cell::Number(native::<Int64Type>(array, row) as f64),
        DataType::UInt8 => Cell::Number(native::<UInt8Type>(array, row).into()),
        DataType::UInt16 => Cell::Number(native::<UInt16Type>(array, row).into()),
        DataType::UInt32 => Cell::Number(native::<UInt32Type>(array, row).into()),
        DataType::UInt64 => Cell::Number(native::<UInt64Type>(array, row) as f64),
        DataType::Float16 => number(native::<Float16Type>(array, row).into()),
        DataType::Float32 => number(native::<Float32Type>(array, row).into()),
        DataType::Float64 => number(native::<Float64Type>(array, row)),
        DataType::Date32 => Cell::Number(f64::from(native::<Date32Type>(array, row)) * DAY_MS),
        DataType::Date64 => Cell::Number(native::<Date64Type>(array, row) as f64),
        DataType::Timestamp(unit, _) => Cell::Number(match unit {
            TimeUnit::Second => native::<TimestampSecondType>(array, row) as f64 * 1e3,
            TimeUnit::Millisecond => native::<TimestampMillisecondType>(array, row) as f64,
            TimeUnit::Microsecond => ms(native::<TimestampMicrosecondType>(array, row), 1_000),
            TimeUnit::Nanosecond => ms(native::<TimestampNanosecondType>(array, row), 1_000_000),
        }),
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
