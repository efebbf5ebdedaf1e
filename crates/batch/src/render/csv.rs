//! Rows as CSV: the columns of the layout. A refused row leaves its predictions empty.

use std::io::Write as _;

use stemson_mojo::Values;

use super::Row;
use super::layout::{Layout, error_text};
use super::number::{Float, write_number};
use crate::csv::write_field;
use crate::error::BatchError;
use crate::table::Value;

/// The first line.
pub(super) fn header(layout: &Layout) -> Result<Vec<u8>, BatchError> {
    layout.check_columns()?;
    let mut header = Vec::new();
    for (name, _) in layout.columns() {
        write_field(&mut header, name);
        header.push(b',');
    }
    end_line(&mut header, 0);
    Ok(header)
}

pub(super) fn write(out: &mut Vec<u8>, layout: &Layout, row: Row<'_>) {
    let start = out.len();
    for group in &layout.groups {
        if group.names.is_empty() {
            continue;
        }
        match row.batch.part(row.place, group.part) {
            Some(values) => write_values(out, values),
            None => out.extend(std::iter::repeat_n(b',', group.names.len())),
        }
    }
    for value in row.kept {
        match value {
            Value::Text(text) => write_field(out, text),
            plain => out.extend_from_slice(plain.text().unwrap_or_default().as_bytes()),
        }
        out.push(b',');
    }
    if layout.has_errors {
        if let Err(error) = row.batch.output(row.place) {
            write_field(out, &error_text(error));
        }
        out.push(b',');
    }
    end_line(out, start);
}

/// Puts a line end in the place of the last comma.
fn end_line(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.pop();
    }
    // A blank line is no row to most readers.
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

/// Writes cells, a comma behind each.
fn write_values(out: &mut Vec<u8>, values: Values<'_>) {
    match values {
        Values::Text(text) => cell(out, |out| write_field(out, text)),
        Values::Paths(paths) => {
            // `L` and `R` need no quotes.
            for path in paths {
                cell(out, |out| out.extend_from_slice(path.unwrap_or_default().as_bytes()));
            }
        }
        Values::Number(number) => cell(out, |out| write_number(out, number)),
        Values::Numbers(numbers) => write_floats(out, numbers),
        Values::Floats(floats) => write_floats(out, floats),
        Values::Integer(number) => write_integers(out, &[number]),
        Values::Integers(numbers) => write_integers(out, numbers),
        Values::Flag(flag) => write_integers(out, &[i32::from(flag)]),
    }
}

fn write_floats<F: Float>(out: &mut Vec<u8>, floats: &[F]) {
    for float in floats {
        cell(out, |out| write_number(out, *float));
    }
}

fn write_integers(out: &mut Vec<u8>, numbers: &[i32]) {
    for number in numbers {
        // Writing to memory cannot fail.
        drop(write!(out, "{number},"));
    }
}

fn cell(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write(out);
    out.push(b',');
}
