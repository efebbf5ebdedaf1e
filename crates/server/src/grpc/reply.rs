//! A `ModelInferResponse`, and what wraps it in a stream, written as they go over the wire.

use super::wire::{put_bytes, put_head, put_number, put_varint};
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
    if !echo.is_streamed {
        return write_response(out, echo, outputs, scored);
    }
    let mut response = Vec::new();
    write_response(&mut response, echo, outputs, scored);
    put_bytes(out, 2, &response);
}

/// Writes an answer of a stream to a request that has none.
pub(super) fn write_error(out: &mut Vec<u8>, message: &str, model: &str, id: &str) {
    let mut response = Vec::new();
    put_text(&mut response, 1, model);
    put_text(&mut response, 3, id);
    put_text(out, 1, message);
    put_bytes(out, 2, &response);
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
    let mut raws = Vec::new();
    for output in outputs {
        let (shape, datatype) = (output.shape(scored), output.datatype());
        let mut bytes = Vec::new();
        output.write_bytes(&mut bytes, scored, &shape);
        let mut tensor = Vec::with_capacity(32);
        put_text(&mut tensor, 1, output.tensor.name);
        put_text(&mut tensor, 2, datatype.name());
        let mut dims = Vec::new();
        shape.iter().for_each(|&dim| put_varint(&mut dims, dim as u64));
        put_bytes(&mut tensor, 3, &dims);
        if echo.is_raw {
            raws.push(bytes);
        } else {
            put_contents(&mut tensor, datatype, &bytes);
        }
        put_bytes(out, 5, &tensor);
    }
    raws.iter().for_each(|bytes| put_bytes(out, 6, bytes));
}

/// Text that is empty is not written.
fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

/// `write` writes the value, an `InferParameter`.
fn put_parameter(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let (mut value, mut entry) = (Vec::new(), Vec::new());
    write(&mut value);
    put_text(&mut entry, 1, name);
    put_bytes(&mut entry, 2, &value);
    put_bytes(out, 4, &entry);
}

/// Elements from their bytes. Packed floats and flags are the same bytes here as there.
fn put_contents(tensor: &mut Vec<u8>, datatype: Datatype, bytes: &[u8]) {
    let mut contents = Vec::with_capacity(bytes.len() + 8);
    match datatype {
        Datatype::Bool => put_bytes(&mut contents, 1, bytes),
        Datatype::Fp32 => put_bytes(&mut contents, 6, bytes),
        Datatype::Fp64 => put_bytes(&mut contents, 7, bytes),
        Datatype::Bytes => {
            let mut rest = bytes;
            while let Some((len, behind)) = rest.split_first_chunk() {
                let len = (u32::from_le_bytes(*len) as usize).min(behind.len());
                put_bytes(&mut contents, 8, &behind[..len]);
                rest = &behind[len..];
            }
        }
        _ => {
            let mut numbers = Vec::with_capacity(bytes.len());
            for number in bytes.as_chunks().0 {
                let number = i32::from_le_bytes(*number);
                put_varint(&mut numbers, i64::from(number) as u64);
            }
            put_bytes(&mut contents, 2, &numbers);
        }
    }
    put_head(tensor, 5, contents.len());
    tensor.extend_from_slice(&contents);
}
