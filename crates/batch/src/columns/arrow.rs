//! Arrow IPC: a stream is read message by message, a file by the places that its footer names.
//!
//! Writers differ: only the footer of a file says where its schema is. Lengths in a source are not
//! believed before the bytes are there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{Block, MessageHeader, MetadataVersion, Schema, root_as_footer, root_as_message};
use arrow_schema::{ArrowError, SchemaRef};

use super::{Batches, ColumnField, Stop, all_names, ipc_buffers, select};
use crate::plan::Names;

/// Starts a file and ends it.
const MARK: &[u8; 6] = b"ARROW1";

/// Feather before it became Arrow's file.
const FEATHER_1: &[u8] = b"FEA1";

/// Stands before the length of a message, since 0.15.
const CONTINUATION: [u8; 4] = [0xFF; 4];

type Stream = BufReader<Box<dyn Read + Send>>;

/// `fields` of what is returned are places in the record batches.
pub(super) fn open(
    mut stream: Box<dyn Read + Send>,
    as_file: impl FnOnce(Box<dyn Read + Send>) -> io::Result<File>,
    source_name: &str,
    names: &Names,
) -> Result<(Batches, Vec<ColumnField>, Vec<String>), Stop> {
    let start = bytes(&mut stream, 8)?;
    if start.is_empty() {
        return Err(damaged("it is empty"));
    }
    if start.starts_with(FEATHER_1) {
        return Err(damaged("it is Feather of version 1: write it as version 2, which is Arrow"));
    }
    let is_file = start.starts_with(MARK);
    let stream: Box<dyn Read + Send> = Box::new(Cursor::new(start).chain(stream));
    let (schema, version, input) = if is_file {
        file(as_file(stream)?)?
    } else {
        start_stream(BufReader::with_capacity(1 << 16, stream))?
    };
    let mut fields = select(schema.fields(), source_name, names)?;
    let all = all_names(schema.fields());
    let projection = fields.iter().map(|field| field.at).collect();
    // The columns that are not wanted are not there.
    for (at, field) in fields.iter_mut().enumerate() {
        field.at = at;
    }
    let dictionaries = HashMap::new();
    let messages = Messages { input, schema, version, projection, dictionaries, ended: false };
    Ok((Box::new(messages), fields, all))
}

fn damaged(reason: impl Into<String>) -> Stop {
    Stop::Damaged(reason.into())
}

impl From<ArrowError> for Stop {
    fn from(error: ArrowError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<io::Error> for Stop {
    fn from(cause: io::Error) -> Self {
        Self::Damaged(cause.to_string())
    }
}

/// The next bytes; fewer at the end.
fn bytes(stream: &mut impl Read, len: u64) -> Result<Vec<u8>, Stop> {
    let mut found = Vec::new();
    stream.take(len).read_to_end(&mut found)?;
    Ok(found)
}

/// So many bytes.
fn exactly(stream: &mut impl Read, len: i64) -> Result<Vec<u8>, Stop> {
    let wanted = u64::try_from(len).map_err(|_| damaged("a part of it has a negative length"))?;
    let found = bytes(stream, wanted)?;
    if found.len() as u64 != wanted {
        return Err(damaged("it ends in the middle"));
    }
    Ok(found)
}

fn parsed<T, E: std::fmt::Display>(found: Result<T, E>) -> Result<T, Stop> {
    found.map_err(|error| damaged(format!("its description of itself is damaged: {error}")))
}

type Opened = (SchemaRef, MetadataVersion, Input);

fn file(mut file: File) -> Result<Opened, Stop> {
    let len = file.metadata()?.len();
    let end = len.checked_sub(10).ok_or_else(|| damaged("it ends in the middle"))?;
    file.seek(SeekFrom::Start(end))?;
    let last = exactly(&mut file, 10)?;
    if !last.ends_with(MARK) {
        return Err(damaged("it ends in the middle"));
    }
    let footer_len = u64::from(u32::from_le_bytes([last[0], last[1], last[2], last[3]]));
    let start = end.checked_sub(footer_len);
    file.seek(SeekFrom::Start(start.ok_or_else(|| damaged("its footer is longer than it is"))?))?;
    let footer = exactly(&mut file, i64::try_from(footer_len).unwrap_or(i64::MAX))?;
    let footer = parsed(root_as_footer(&footer))?;
    let schema = footer.schema().ok_or_else(|| damaged("it has no schema"))?;
    let blocks = |found: Option<flatbuffers::Vector<'_, Block>>| {
        found.into_iter().flatten().copied().collect::<Vec<_>>()
    };
    let mut all = blocks(footer.dictionaries());
    all.extend(blocks(footer.recordBatches()));
    let input = Input::File { file, len, blocks: all.into_iter() };
    Ok((as_schema(schema)?, footer.version(), input))
}

fn start_stream(mut stream: Stream) -> Result<Opened, Stop> {
    let message = next_in(&mut stream)?.ok_or_else(|| damaged("it ends in the middle"))?;
    let message = parsed(root_as_message(&message))?;
    let schema = message.header_as_schema();
    let schema = schema.ok_or_else(|| damaged("it does not begin with a schema"))?;
    let version = message.version();
    Ok((as_schema(schema)?, version, Input::Stream(stream)))
}

fn as_schema(schema: Schema<'_>) -> Result<SchemaRef, Stop> {
    if !schema.endianness().equals_to_target_endianness() {
        return Err(damaged("its numbers are big-endian: write it on a little-endian machine"));
    }
    Ok(Arc::new(try_fb_to_schema(schema)?))
}

/// The description of the next message of a stream.
fn next_in(stream: &mut Stream) -> Result<Option<Vec<u8>>, Stop> {
    let mut start = bytes(stream, 4)?;
    if start == CONTINUATION {
        start = bytes(stream, 4)?;
    }
    match start[..] {
        // Some writers say that it is the end, some just end.
        [] | [0, 0, 0, 0] => Ok(None),
        [a, b, c, d] => exactly(stream, i32::from_le_bytes([a, b, c, d]).into()).map(Some),
        _ => Err(damaged("it ends in the middle")),
    }
}

/// Its description and its body.
type Message = (Vec<u8>, Vec<u8>);

enum Input {
    Stream(Stream),
    File {
        file: File,
        len: u64,
        /// Dictionaries, then record batches.
        blocks: std::vec::IntoIter<Block>,
    },
}

impl Input {
    fn next(&mut self) -> Result<Option<Message>, Stop> {
        match self {
            Self::Stream(stream) => {
                let Some(description) = next_in(stream)? else { return Ok(None) };
                let body_len = parsed(root_as_message(&description))?.bodyLength();
                Ok(Some((description, exactly(stream, body_len)?)))
            }
            Self::File { file, len, blocks } => {
                let Some(block) = blocks.next() else { return Ok(None) };
                let start = u64::try_from(block.offset()).ok().filter(|start| start <= len);
                let start = start.ok_or_else(|| damaged("a part of it lies behind its end"))?;
                file.seek(SeekFrom::Start(start))?;
                let mut description = exactly(file, block.metaDataLength().into())?;
                let words = if description.starts_with(&CONTINUATION) { 8 } else { 4 };
                description.drain(..words.min(description.len()));
                Ok(Some((description, exactly(file, block.bodyLength())?)))
            }
        }
    }
}

struct Messages {
    input: Input,
    schema: SchemaRef,
    version: MetadataVersion,
    /// Places of the wanted columns in the schema.
    projection: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
    ended: bool,
}

impl Messages {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Stop> {
        while let Some((description, body)) = self.input.next()? {
            let message = parsed(root_as_message(&description))?;
            match message.header_type() {
                MessageHeader::DictionaryBatch => {
                    let batch = message.header_as_dictionary_batch();
                    let batch = batch.ok_or_else(|| damaged("a dictionary without a header"))?;
                    ipc_buffers::dictionary(batch, body, |batch, body| {
                        let body = Buffer::from_vec(body);
                        let (schema, version) = (&self.schema, &self.version);
                        read_dictionary(&body, batch, schema, &mut self.dictionaries, version)
                    })?;
                }
                MessageHeader::RecordBatch => {
                    let batch = message.header_as_record_batch();
                    let batch = batch.ok_or_else(|| damaged("a record batch without a header"))?;
                    return ipc_buffers::record_batch(batch, body, |batch, body| {
                        read_record_batch(
                            &Buffer::from_vec(body),
                            batch,
                            Arc::clone(&self.schema),
                            &self.dictionaries,
                            Some(&self.projection),
                            &self.version,
                        )
                    })
                    .map(Some);
                }
                other => return Err(damaged(format!("a message of type {other:?} in it"))),
            }
        }
        Ok(None)
    }
}

impl Iterator for Messages {
    type Item = Result<RecordBatch, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_batch();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
