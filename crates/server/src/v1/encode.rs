//! `{"predictions":[...],"model":"churn","revision":"<digest>"}`.

use axum::body::Bytes;
use stemson_batch::write_json_part;
use stemson_mojo::{Batch, Part, RowError, Values};

use crate::face::Face;
use crate::json;
use crate::rows::Scored;

/// The body of an answer: a prediction or an error in the place of each row. Contributions stand
/// in the predictions, or in a list of their own if `apart`.
pub(super) fn write(model: &str, scored: &Scored, apart: bool) -> Bytes {
    let mut out = Vec::with_capacity(192 + scored.len() * 96);
    out.extend_from_slice(b"{\"predictions\":[");
    json::write_list(&mut out, scored.rows(), |out, (batch, row)| match batch.output(row) {
        Ok(_) => write_prediction(out, scored, batch, row, apart),
        Err(error) => write_error(out, error),
    });
    out.push(b']');
    if apart {
        out.extend_from_slice(b",\"explanations\":[");
        json::write_list(&mut out, scored.rows(), |out, (batch, row)| match batch.output(row) {
            Ok(_) => write_part(out, scored.face(), batch, row, Part::Contributions),
            Err(error) => write_error(out, error),
        });
        out.push(b']');
    }
    out.extend_from_slice(b",\"model\":");
    json::write_str(&mut out, model);
    out.extend_from_slice(b",\"revision\":\"");
    json::write_display(&mut out, &scored.revision().digest());
    out.extend_from_slice(b"\"}");
    out.into()
}

/// What is answered for each row, as the log has it: nothing that would show a value of the columns
/// in `redact`.
pub(crate) fn predictions(scored: &Scored, redact: &[String]) -> impl Iterator<Item = Vec<u8>> {
    let schema = scored.model().schema();
    let is_redacted = redact.iter().any(|name| schema.is_open() || schema.index_of(name).is_some());
    scored.rows().map(move |(batch, row)| {
        let mut out = Vec::with_capacity(128);
        match batch.output(row) {
            Ok(_) => write_parts(
                &mut out,
                scored,
                |_| true,
                |out, part| {
                    if is_redacted && repeats_the_row(part) {
                        out.extend_from_slice(b"\"***\"");
                    } else {
                        write_part(out, scored.face(), batch, row, part);
                    }
                },
            ),
            Err(RowError { kind, column: Some(column), .. }) if redact.contains(column) => {
                let (kind, column, message) = (*kind, Some(column.clone()), "***".to_owned());
                write_error(&mut out, &RowError { kind, column, message });
            }
            Err(error) => write_error(&mut out, error),
        }
        out
    })
}

/// Whether a part of an answer says what was asked, or comes close to it.
fn repeats_the_row(part: Part) -> bool {
    matches!(
        part,
        Part::Original | Part::Reconstructed | Part::ReconstructedRow | Part::Transformations
    )
}

fn write_prediction(out: &mut Vec<u8>, scored: &Scored, batch: &Batch, row: usize, apart: bool) {
    let is_here = |part| !apart || part != Part::Contributions;
    write_parts(out, scored, is_here, |out, part| {
        write_part(out, scored.face(), batch, row, part);
    });
}

/// The parts of an answer by their keys.
fn write_parts(
    out: &mut Vec<u8>,
    scored: &Scored,
    is_here: impl Fn(Part) -> bool,
    mut write: impl FnMut(&mut Vec<u8>, Part),
) {
    let parts = scored.face().parts.iter().copied().chain(scored.ask().explanations());
    out.push(b'{');
    json::write_list(out, parts.filter(|part| is_here(*part)), |out, part| {
        out.push(b'"');
        out.extend_from_slice(part.key().as_bytes());
        out.extend_from_slice(b"\":");
        write(out, part);
    });
    out.push(b'}');
}

/// As JSON Lines have it, but with names where a caller would have to count.
fn write_part(out: &mut Vec<u8>, face: &Face, batch: &Batch, row: usize, part: Part) {
    match (part, batch.part(row, part)) {
        (Part::Probabilities, Some(Values::Numbers(p))) => {
            write_named(out, &face.p_keys, p, |out, p| json::write_f64(out, *p));
        }
        (Part::Contributions, Some(Values::Floats(shares))) => {
            write_named(out, &face.contribution_keys, shares, |out, share| {
                json::write_f32(out, *share);
            });
        }
        _ => write_json_part(out, batch, row, part),
    }
}

fn write_named<T>(
    out: &mut Vec<u8>,
    keys: &[Vec<u8>],
    values: &[T],
    mut write: impl FnMut(&mut Vec<u8>, &T),
) {
    out.push(b'{');
    json::write_list(out, keys.iter().zip(values), |out, (key, value)| {
        out.extend_from_slice(key);
        out.push(b':');
        write(out, value);
    });
    out.push(b'}');
}

fn write_error(out: &mut Vec<u8>, error: &RowError) {
    out.extend_from_slice(b"{\"error\":{\"kind\":");
    json::write_str(out, error.kind.as_str());
    out.extend_from_slice(b",\"column\":");
    match &error.column {
        Some(column) => json::write_str(out, column),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"message\":");
    json::write_str(out, &error.message);
    out.extend_from_slice(b"}}");
}
