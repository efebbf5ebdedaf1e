//! A `ModelInferResponse`, and what wraps it in a stream, written as they go over the wire.

use super::wire::{put_bytes, put_nested, put_number, put_varint};
use crate::oip::{Datatype, Output};
use crate::rows::Scored;

/// What an answer repeats of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Echo<'a> {
    pub(super) model: &'a str,
    /// Empty: none was given.
    pub(super) id: &'a str,
    /// Whether tensors go as bytes.
    pub(super) is_raw: bool,
    /// Whether it is wrapped as an answer of a stream.
    pub(super) is_streamed: bool,
}

/// Writes the answer behind what stands in `out`. The rows have predictions, all of them.
pub(super) fn write(out: &mut Vec<u8>, echo: Echo<'_>, outputs: &[Output], scored: &Scored) {
    if echo.is_streamed {
        put_nested(out, 2, |out| write_response(out, echo, outputs, scored));
    } else {
        write_response(out, echo, outputs, scored);
    }
}

/// Writes an answer of a stream to a request that has none.
pub(super) fn write_error(out: &mut Vec<u8>, message: &str, model: &str, id: &str) {
    put_text(out, 1, message);
    put_nested(out, 2, |out| {
        put_text(out, 1, model);
        put_text(out, 3, id);
    });
}

fn write_response(out: &mut Vec<u8>, echo: Echo<'_>, outputs: &[Output], scored: &Scored) {
    let revision = scored.revision();
    put_text(out, 1, echo.model);
    put_text(out, 2, &revision.number().to_string());
    put_text(out, 3, echo.id);
    let digest = revision.digest().to_string();
    put_parameter(out, "digest", |value| put_text(value, 3, &digest));
    if echo.is_streamed {
        // Each request has one answer.
        put_parameter(out, "triton_final_response", |value| put_number(value, 1, 1));
    }
    let shapes: Vec<_> = outputs.iter().map(|output| output.shape(scored)).collect();
    for (output, shape) in outputs.iter().zip(&shapes) {
        let datatype = output.datatype();
        put_nested(out, 5, |out| {
            put_text(out, 1, output.tensor.name);
            put_text(out, 2, datatype.name());
            put_nested(out, 3, |out| shape.iter().for_each(|&dim| put_varint(out, dim as u64)));
            if !echo.is_raw {
                let mut bytes = Vec::new();
                output.write_bytes(&mut bytes, scored, shape);
                put_nested(out, 5, |out| put_contents(out, datatype, &bytes));
            }
        });
    }
    for (output, shape) in outputs.iter().zip(&shapes).filter(|_| echo.is_raw) {
        put_nested(out, 6, |out| output.write_bytes(out, scored, shape));
    }
}

/// Text that is empty is not written.
fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

/// `write` writes the value, an `InferParameter`.
fn put_parameter(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    put_nested(out, 4, |out| {
        put_text(out, 1, name);
        put_nested(out, 2, write);
    });
}

/// Elements from their bytes. Packed floats and flags are the same bytes here as there.
fn put_contents(out: &mut Vec<u8>, datatype: Datatype, bytes: &[u8]) {
    match datatype {
        Datatype::Bool => put_bytes(out, 1, bytes),
        Datatype::Fp32 => put_bytes(out, 6, bytes),
        Datatype::Fp64 => put_bytes(out, 7, bytes),
        Datatype::Bytes => {
            let mut rest = bytes;
            while let Some((len, behind)) = rest.split_first_chunk() {
                let len = (u32::from_le_bytes(*len) as usize).min(behind.len());
                put_bytes(out, 8, &behind[..len]);
                rest = &behind[len..];
            }
        }
        _ => put_nested(out, 2, |out| {
            for number in bytes.as_chunks().0 {
                put_varint(out, i64::from(i32::from_le_bytes(*number)) as u64);
            }
        }),
    }
}
