//! Packed buffers of Arrow messages, unpacked before `arrow-ipc` sees them: its own Zstandard is C.

use std::io::Read;

use arrow_ipc::{
    Buffer, CompressionType, DictionaryBatch, DictionaryBatchArgs, RecordBatch, RecordBatchArgs,
};
use arrow_schema::ArrowError;
use flatbuffers::{FlatBufferBuilder, InvalidFlatbuffer, WIPOffset, root};

use super::{Stop, zstd};

/// A column of a record batch has some megabytes as a rule.
const BUFFER_BYTES_MAX: u64 = 1 << 30;

/// Buffers start at multiples of this.
const ALIGNMENT: usize = 64;

/// Calls `read` with the description of a batch and its body, in which nothing is packed.
pub(super) fn record_batch<T>(
    batch: RecordBatch<'_>,
    body: Vec<u8>,
    read: impl FnOnce(RecordBatch<'_>, Vec<u8>) -> Result<T, ArrowError>,
) -> Result<T, Stop> {
    if batch.compression().is_none() {
        return Ok(read(batch, body)?);
    }
    let mut builder = FlatBufferBuilder::new();
    let (plain, body) = unpacked(&mut builder, batch, &body)?;
    builder.finish_minimal(plain);
    let plain = root::<RecordBatch<'_>>(builder.finished_data())?;
    Ok(read(plain, body)?)
}

/// The same of a dictionary.
pub(super) fn dictionary<T>(
    batch: DictionaryBatch<'_>,
    body: Vec<u8>,
    read: impl FnOnce(DictionaryBatch<'_>, Vec<u8>) -> Result<T, ArrowError>,
) -> Result<T, Stop> {
    let Some(data) = batch.data().filter(|data| data.compression().is_some()) else {
        return Ok(read(batch, body)?);
    };
    let mut builder = FlatBufferBuilder::new();
    let (data, body) = unpacked(&mut builder, data, &body)?;
    let (id, is_delta) = (batch.id(), batch.isDelta());
    let arguments = DictionaryBatchArgs { id, data: Some(data), isDelta: is_delta };
    let plain = DictionaryBatch::create(&mut builder, &arguments);
    builder.finish_minimal(plain);
    let plain = root::<DictionaryBatch<'_>>(builder.finished_data())?;
    Ok(read(plain, body)?)
}

impl From<InvalidFlatbuffer> for Stop {
    fn from(error: InvalidFlatbuffer) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The description of the unpacked batch, and its body.
fn unpacked<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    batch: RecordBatch<'_>,
    body: &[u8],
) -> Result<(WIPOffset<RecordBatch<'b>>, Vec<u8>), Stop> {
    let codec = batch.compression().map(|compression| compression.codec());
    let (mut buffers, mut plain) = (Vec::new(), Vec::new());
    for buffer in batch.buffers().into_iter().flatten() {
        let place =
            usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let packed = place.and_then(|(start, len)| body.get(start..start.checked_add(len)?));
        let packed =
            packed.ok_or_else(|| Stop::Damaged("a buffer ends behind its message".into()))?;
        let start = plain.len();
        unpack(codec, packed, &mut plain).map_err(Stop::Damaged)?;
        buffers.push(Buffer::new(start as i64, (plain.len() - start) as i64));
        plain.resize(plain.len().next_multiple_of(ALIGNMENT), 0);
    }
    let nodes: Vec<_> = batch.nodes().into_iter().flatten().copied().collect();
    let counts: Option<Vec<i64>> =
        batch.variadicBufferCounts().map(|counts| counts.iter().collect());
    let arguments = RecordBatchArgs {
        length: batch.length(),
        nodes: Some(builder.create_vector(&nodes)),
        buffers: Some(builder.create_vector(&buffers)),
        compression: None,
        variadicBufferCounts: counts.map(|counts| builder.create_vector(&counts)),
    };
    Ok((RecordBatch::create(builder, &arguments), plain))
}

/// A buffer is its unpacked length, or -1 where it is not packed, and its bytes.
fn unpack(
    codec: Option<CompressionType>,
    packed: &[u8],
    plain: &mut Vec<u8>,
) -> Result<(), String> {
    if packed.is_empty() {
        return Ok(());
    }
    let (len, packed) = packed.split_first_chunk().ok_or("a packed buffer has no length")?;
    let len = i64::from_le_bytes(*len);
    if len == -1 {
        plain.extend_from_slice(packed);
        return Ok(());
    }
    let len = u64::try_from(len).ok().filter(|len| *len <= BUFFER_BYTES_MAX).ok_or_else(|| {
        format!("a buffer of {len} bytes, at most {BUFFER_BYTES_MAX} are read: write it in smaller record batches")
    })?;
    let start = plain.len();
    let read = match codec {
        Some(CompressionType::ZSTD) => zstd::append(packed, len + 1, plain),
        Some(CompressionType::LZ4_FRAME) => {
            let unpacked =
                lz4_flex::frame::FrameDecoder::new(packed).take(len + 1).read_to_end(plain);
            unpacked.map(drop).map_err(|cause| cause.to_string())
        }
        other => Err(format!("a codec of number {:?}", other.map(|codec| codec.0))),
    };
    read.map_err(|reason| format!("a packed buffer: {reason}"))?;
    let found = plain.len() - start;
    if found as u64 == len {
        Ok(())
    } else {
        Err(format!("a packed buffer is not {len} bytes long"))
    }
}
