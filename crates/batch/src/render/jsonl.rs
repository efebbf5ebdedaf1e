//! Rows as JSON: one object per row, `out` with all parts of the answer, explanations beside it.

use std::io::Write as _;

use stemson_mojo::{Batch, Part, Values};

use super::Row;
use super::layout::Layout;
use super::number::{Float, write_json_number};
use crate::jsonl::write_text;
use crate::table::Value;

pub(super) fn write(out: &mut Vec<u8>, layout: &Layout, row: Row<'_>) {
    // Writing to memory cannot fail.
    drop(write!(out, "{{\"row\":{}", row.number));
    match row.batch.output(row.place) {
        Ok(_) => write_parts(out, layout, row),
        Err(error) => {
            out.extend_from_slice(b",\"error\":{\"kind\":");
            write_text(out, error.kind.as_str());
            if let Some(column) = &error.column {
                out.extend_from_slice(b",\"column\":");
                write_text(out, column);
            }
            out.extend_from_slice(b",\"message\":");
            write_text(out, &error.message);
            out.push(b'}');
        }
    }
    if !layout.keep.is_empty() {
        out.extend_from_slice(b",\"kept\":{");
        list(out, layout.keep.iter().zip(row.kept), |out, (name, value)| {
            write_text(out, name);
            out.push(b':');
            match value {
                Value::Text(text) => write_text(out, text),
                plain => out.extend_from_slice(plain.text().unwrap_or("null").as_bytes()),
            }
        });
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
}

fn write_parts(out: &mut Vec<u8>, layout: &Layout, row: Row<'_>) {
    let (beside, inside): (Vec<Part>, Vec<Part>) =
        layout.groups.iter().map(|group| group.part).partition(|part| part.is_explanation());
    out.extend_from_slice(b",\"out\":{");
    list(out, inside, |out, part| write_part(out, part, row));
    out.push(b'}');
    for part in beside {
        out.push(b',');
        write_part(out, part, row);
    }
}

fn write_part(out: &mut Vec<u8>, part: Part, row: Row<'_>) {
    write_text(out, part.key());
    out.push(b':');
    write_json_part(out, row.batch, row.place, part);
}

/// Appends the values of a part of a row as JSON, `null` where the row does not have the part.
///
/// Several values are a list, vectors of words an object by column. Floats parse back to the same
/// bits; what JSON cannot say is text: `"NaN"`, `"Infinity"`, `"-Infinity"`.
///
/// # Panics
/// If the row was not scored.
pub fn write_json_part(out: &mut Vec<u8>, batch: &Batch, row: usize, part: Part) {
    match batch.part(row, part) {
        None => out.extend_from_slice(b"null"),
        Some(Values::Floats(vectors)) if part == Part::Embeddings => {
            write_embeddings(out, vectors, batch.word_columns(row));
        }
        Some(values) => write_values(out, values),
    }
}

/// A vector per word that the model knows.
fn write_embeddings(out: &mut Vec<u8>, vectors: &[f32], columns: &[String]) {
    let dims = (vectors.len() / columns.len().max(1)).max(1);
    let words = columns.iter().zip(vectors.chunks_exact(dims));
    out.push(b'{');
    let known = words.filter(|(_, vector)| !vector.iter().all(|x| x.is_nan()));
    list(out, known, |out, (column, vector)| {
        write_text(out, column);
        out.push(b':');
        write_floats(out, vector);
    });
    out.push(b'}');
}

fn write_values(out: &mut Vec<u8>, values: Values<'_>) {
    match values {
        Values::Text(text) => write_text(out, text),
        Values::Paths(paths) => {
            out.push(b'[');
            list(out, paths, |out, path| match path {
                Some(path) => write_text(out, path),
                None => out.extend_from_slice(b"null"),
            });
            out.push(b']');
        }
        Values::Number(number) => write_json_number(out, number),
        Values::Numbers(numbers) => write_floats(out, numbers),
        Values::Floats(floats) => write_floats(out, floats),
        Values::Integer(number) => drop(write!(out, "{number}")),
        Values::Integers(numbers) => {
            out.push(b'[');
            list(out, numbers, |out, number| drop(write!(out, "{number}")));
            out.push(b']');
        }
        Values::Flag(flag) => drop(write!(out, "{flag}")),
    }
}

fn write_floats<F: Float>(out: &mut Vec<u8>, floats: &[F]) {
    out.push(b'[');
    list(out, floats, |out, float| write_json_number(out, *float));
    out.push(b']');
}

/// Writes `items` with commas between them.
fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}
