//! Arrow IPC, as a stream or a file: a file is a stream between two marks, and is read as one.

use std::io::{BufRead, BufReader, Cursor, Read};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;

use super::{Batches, ColumnField, Stop, all_names, select};
use crate::plan::Names;

/// Starts a file, zeros behind it, and ends it.
const MARK: &[u8; 6] = b"ARROW1";

/// Feather before it became Arrow's file.
const FEATHER_1: &[u8] = b"FEA1";

type Input = BufReader<Box<dyn Read + Send>>;

pub(super) fn open(
    mut stream: Box<dyn Read + Send>,
    source_name: &str,
    names: &Names,
) -> Result<(Batches, Vec<ColumnField>, Vec<String>), Stop> {
    let mut start = words(&mut stream, 8)?;
    if start.is_empty() {
        return Err(Stop::Damaged("it is empty".to_owned()));
    }
    if start.starts_with(FEATHER_1) {
        let reason = "it is Feather of version 1: write it as version 2, which is Arrow";
        return Err(Stop::Damaged(reason.to_owned()));
    }
    let is_file = start.starts_with(MARK);
    if is_file {
        // Zeros up to where its writer likes messages to start.
        start.clear();
        while start.iter().all(|byte| *byte == 0) {
            start = words(&mut stream, 4)?;
            if start.is_empty() {
                return Err(Stop::Damaged("it ends in the middle".to_owned()));
            }
        }
    }
    let rest: Box<dyn Read + Send> = Box::new(Cursor::new(start).chain(stream));
    let reader = StreamReader::try_new(BufReader::with_capacity(1 << 16, rest), None);
    let reader = reader.map_err(|error| stop(&error))?;
    let schema = reader.schema();
    let fields = select(schema.fields(), source_name, names)?;
    let all = all_names(schema.fields());
    Ok((Box::new(Messages { reader, is_file, ended: false }), fields, all))
}

/// The next bytes of the stream; fewer at its end.
fn words(stream: &mut impl Read, bytes: u64) -> Result<Vec<u8>, Stop> {
    let mut start = Vec::new();
    let read = stream.take(bytes).read_to_end(&mut start);
    read.map_err(|cause| Stop::Damaged(cause.to_string()))?;
    Ok(start)
}

fn stop(error: &ArrowError) -> Stop {
    Stop::Damaged(reason(error))
}

fn reason(error: &ArrowError) -> String {
    let text = error.to_string();
    if text.contains("zstd") {
        return "its buffers are packed with Zstandard: write it with LZ4 or unpacked, or as \
                Parquet"
            .to_owned();
    }
    text
}

struct Messages {
    reader: StreamReader<Input>,
    is_file: bool,
    ended: bool,
}

impl Iterator for Messages {
    type Item = Result<RecordBatch, Box<dyn std::error::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.reader.next() {
            Some(batch) => {
                self.ended = batch.is_err();
                Some(batch.map_err(|error| reason(&error).into()))
            }
            None => {
                self.ended = true;
                let is_cut = self.is_file && !ends_with_mark(self.reader.get_mut());
                is_cut.then(|| Err("it ends in the middle".into()))
            }
        }
    }
}

/// Whether the rest of a file, the footer, is there.
fn ends_with_mark(input: &mut Input) -> bool {
    let mut last = Vec::new();
    loop {
        let Ok(bytes) = input.fill_buf() else { return false };
        if bytes.is_empty() {
            return last == MARK;
        }
        last.extend_from_slice(&bytes[bytes.len().saturating_sub(MARK.len())..]);
        last.drain(..last.len().saturating_sub(MARK.len()));
        let passed = bytes.len();
        input.consume(passed);
    }
}
