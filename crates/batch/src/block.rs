//! A run of whole records on its way through the pipeline. Blocks are reused.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::error::BatchError;
use crate::plan::Plan;
use crate::summary::Tally;

#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Place among all blocks.
    pub(crate) sequence: u64,
    /// Of the source that the records are from.
    pub(crate) plan: Option<Arc<Plan>>,
    /// Number of the first row over all sources, from 0.
    pub(crate) first_row: u64,
    /// Line of the first record in its source, of a columnar one its row, from 1.
    pub(crate) first_line: u64,
    /// Place of the first byte in its (decompressed) source.
    pub(crate) first_byte: u64,
    pub(crate) rows: usize,
    /// The records as they stand in the source.
    pub(crate) bytes: Vec<u8>,
    /// The records of a columnar source.
    pub(crate) records: Option<RecordBatch>,
    /// The rows of the output, where it is text.
    pub(crate) out: Vec<u8>,
    /// The rows of the output, where it has typed columns.
    pub(crate) table: Option<RecordBatch>,
    pub(crate) tally: Tally,
    /// JSONL: slots that some row filled. Empty for CSV, where the header says so.
    pub(crate) filled: Vec<bool>,
    /// JSONL: keys that mean nothing.
    pub(crate) ignored: Vec<String>,
    /// Why there is no output; the last block of the job.
    pub(crate) error: Option<BatchError>,
}
