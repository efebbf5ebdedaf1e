//! Files in, predictions out: one pass, input order, bounded memory.
//!
//! ```text
//! sources -> blocks of whole records -> cells -> stemson_mojo::Batch -> rendered rows -> output
//!            (one reader)               (one of `threads` workers)              (the caller)
//! ```
//!
//! # Promises
//!
//! - One output row per input row, in input order, whatever the number of threads.
//! - A fixed number of blocks is on its way at any moment, so memory does not grow with the
//!   input: at most about 100 MB above the model's own.
//! - Doubles are written in the shortest form that parses back to the same bits.
//! - Text that is no CSV or JSONL is an error that names source and line; a row that the model
//!   refuses is an answer like any other.
//!
//! [`run`] is for files. [`score_frame`] is the same for record batches that are in memory.
//!
//! This crate does not open files and does not know where its output goes: the caller hands over
//! readers and a writer.

mod block;
mod columns;
mod csv;
mod error;
mod frame;
mod job;
mod jsonl;
mod pack;
mod pipeline;
mod plan;
mod reader;
mod render;
mod source;
mod summary;
mod table;
mod words;
mod worker;

pub use csv::{CsvMistake, read_csv};
pub use error::BatchError;
pub use frame::{Scored, score_frame};
pub use job::{Job, run};
pub use pack::Packer;
pub use render::{CsvForm, write_json_part};
pub use source::{Compression, Format, Source};
pub use summary::{ColumnConversions, MissingColumns, Refusal, Summary};
