//! What was asked and answered, for those who learn from it: logs on disk, drift.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// One row that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRecord {
    /// When the request came.
    pub ts: SystemTime,
    /// The request's id; its rows share it.
    pub request_id: Arc<str>,
    /// The deployment.
    pub model: Arc<str>,
    /// The digest of the artifact that answered, 64 hexadecimal digits.
    pub revision: Arc<str>,
    /// `v1`, `oip`, `grpc`, `invocations`.
    pub protocol: &'static str,
    /// The row as it was asked, a JSON object: values by column; absent ones are not there.
    pub row: Vec<u8>,
    /// The answer, a JSON object as of the row API; `{"error":...}` for a row that was refused.
    pub out: Vec<u8>,
    /// Nanoseconds of computing, the request's by its rows.
    pub cost_ns: u64,
    /// Nothing was computed for it.
    pub cached: bool,
}

/// Where records go: a file, a window of drift.
pub trait PredictionSink: fmt::Debug + Send + Sync {
    /// Takes the records of a request, or drops what there is no room for. Never blocks: it is
    /// called by the thread that answers requests.
    fn offer(&self, records: Vec<PredictionRecord>);

    /// Writes what waits; the server ends. May block.
    fn close(&self) {}
}
