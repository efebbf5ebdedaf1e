//! The prediction log: rows as they were asked and what was answered, sampled by request.
//!
//! [`Tapped`] goes around a call and writes the records where the request is decoded and encoded, so
//! on the compute lane for what is large; [`Tap::finish`] hands them to the sinks, which never block.

mod file;
mod parquet;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use stemson_mojo::Cell;
use stemson_serving::{ModelName, PredictionRecord, PredictionSink, Revision};

use crate::config::{Config, StartError};
use crate::error::Refusal;
use crate::json;
use crate::metrics::Metrics;
use crate::predict::Call;
use crate::request_id::RequestId;
use crate::rows::{Rows, Scored};
use crate::v1;
pub(crate) use file::FileSink;

/// What is logged, and where to. Each field is a key of `[prediction_log]`.
#[derive(Debug, Clone)]
pub struct PredictionLogConfig {
    /// The folder of the files (`dir`); without it nothing is written.
    pub dir: Option<PathBuf>,
    /// `ndjson` or `parquet` (`format`).
    pub format: PredictionLogFormat,
    /// Share of the requests that are logged, 0 to 1 (`sample_ratio`).
    pub sample_ratio: f64,
    /// Rows that may wait to be written (`queue_rows`); what comes beyond is dropped and counted.
    pub queue_rows_max: usize,
    /// A file is closed at this size (`rotate_mib`)...
    pub rotate_bytes: u64,
    /// ... or this age (`rotate_seconds`).
    pub rotate_after: Duration,
    /// Closed files that stay (`keep_files`); the oldest go.
    pub keep_files: usize,
    /// Columns whose values are not written (`redact`).
    pub redact: Vec<String>,
}

/// The form of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionLogFormat {
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet; `row` and `out` as JSON.
    Parquet,
}

impl Default for PredictionLogConfig {
    fn default() -> Self {
        Self {
            dir: None,
            format: PredictionLogFormat::Ndjson,
            sample_ratio: 1.0,
            queue_rows_max: 10_000,
            rotate_bytes: 128 << 20,
            rotate_after: Duration::from_hours(1),
            keep_files: 100,
            redact: Vec::new(),
        }
    }
}

/// The log of one server.
#[derive(Debug, Default)]
pub(crate) struct PredictionLog {
    sinks: Vec<Arc<dyn PredictionSink>>,
    sample_ratio: f64,
    redact: Arc<[String]>,
}

impl PredictionLog {
    /// The sinks of the configuration, and a file where it names a folder.
    pub(crate) fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, StartError> {
        let mut sinks = config.prediction_sinks.clone();
        let PredictionLogConfig { dir, sample_ratio, redact, .. } = &config.prediction_log;
        if let Some(dir) = dir {
            let sink = FileSink::open(dir, &config.prediction_log, Arc::clone(metrics));
            let failed = |cause| StartError::PredictionLog { dir: dir.clone(), cause };
            sinks.push(Arc::new(sink.map_err(failed)?));
        }
        Ok(Self { sinks, sample_ratio: *sample_ratio, redact: redact.as_slice().into() })
    }

    /// The tap of a request, if it is one that is logged.
    pub(crate) fn tap(
        &self,
        id: &RequestId,
        model: &ModelName,
        revision: &Revision,
        protocol: &'static str,
    ) -> Option<Tap> {
        if self.sinks.is_empty() || !id.falls_into(self.sample_ratio) {
            return None;
        }
        Some(Tap {
            redact: Arc::clone(&self.redact),
            written: Arc::default(),
            request_id: id.as_str().into(),
            model: model.to_shared(),
            revision: revision.digest().to_string().into(),
            protocol,
        })
    }

    /// Writes what waits.
    pub(crate) fn close(&self) {
        self.sinks.iter().for_each(|sink| sink.close());
    }

    fn offer(&self, records: &[PredictionRecord]) {
        for sink in &self.sinks {
            sink.offer(records.to_vec());
        }
    }
}

/// What is written of one request.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    redact: Arc<[String]>,
    written: Arc<Mutex<Vec<Pair>>>,
    request_id: Arc<str>,
    model: Arc<str>,
    revision: Arc<str>,
    protocol: &'static str,
}

/// A row as it was asked, and its answer; both JSON.
type Pair = (Vec<u8>, Vec<u8>);

impl Tap {
    /// The call, and what it reads and answers is written on the way.
    pub(crate) fn wrap<C>(tap: Option<&Self>, call: C) -> Tapped<C> {
        Tapped { call, tap: tap.cloned(), rows: Vec::new() }
    }

    /// Hands the records to the sinks. `cached`: nothing was computed.
    pub(crate) fn finish(self, log: &PredictionLog, computed: Duration, cached: bool) {
        let written = std::mem::take(&mut *self.lock());
        let rows = written.len().max(1) as u128;
        let cost_ns = u64::try_from(computed.as_nanos() / rows).unwrap_or(u64::MAX);
        let ts = SystemTime::now();
        let record = |(row, out)| PredictionRecord {
            ts,
            request_id: Arc::clone(&self.request_id),
            model: Arc::clone(&self.model),
            revision: Arc::clone(&self.revision),
            protocol: self.protocol,
            row,
            out,
            cost_ns,
            cached,
        };
        let records: Vec<PredictionRecord> = written.into_iter().map(record).collect();
        log.offer(&records);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pair>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is logged, if it has a tap.
pub(crate) struct Tapped<C> {
    call: C,
    tap: Option<Tap>,
    rows: Vec<Vec<u8>>,
}

impl<C: Call> Call for Tapped<C> {
    type Reply = C::Reply;

    fn is_small(&self, body: &[u8]) -> bool {
        self.call.is_small(body)
    }

    fn weight(&self, body: &[u8]) -> usize {
        self.call.weight(body)
    }

    fn peek(&mut self, body: &[u8]) {
        self.call.peek(body);
    }

    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let Some(tap) = &self.tap else {
            return self.call.decode(body, rows);
        };
        rows.keep(Kept::new(Arc::clone(&tap.redact)));
        let decoded = self.call.decode(body, rows);
        self.rows = rows.take_kept();
        decoded
    }

    fn timeout(&self) -> Option<Duration> {
        self.call.timeout()
    }

    fn encode(&self, scored: &Scored) -> Result<Self::Reply, Refusal> {
        let reply = self.call.encode(scored)?;
        if let Some(tap) = &self.tap {
            let outs = v1::predictions(scored, &tap.redact);
            *tap.lock() = self.rows.iter().cloned().zip(outs).collect();
        }
        Ok(reply)
    }
}

/// The rows of a request as they are asked, each a JSON object.
#[derive(Debug)]
pub(crate) struct Kept {
    redact: Arc<[String]>,
    pub(crate) rows: Vec<Vec<u8>>,
}

impl Kept {
    fn new(redact: Arc<[String]>) -> Self {
        Self { redact, rows: Vec::new() }
    }

    /// `cells`: name, value and, for a level by its index, the levels.
    pub(crate) fn push<'c, L: AsRef<str> + 'c>(
        &mut self,
        cells: impl Iterator<Item = (&'c str, Cell<'c>, &'c [L])>,
    ) {
        let mut out = vec![b'{'];
        for (name, cell, levels) in cells {
            if matches!(cell, Cell::Absent) {
                continue;
            }
            if out.len() > 1 {
                out.push(b',');
            }
            json::write_str(&mut out, name);
            out.push(b':');
            if self.redact.iter().any(|redacted| redacted == name) {
                out.extend_from_slice(b"\"***\"");
                continue;
            }
            match cell {
                Cell::Text(text) => json::write_str(&mut out, text),
                Cell::Number(number) | Cell::Double(number) => json::write_f64(&mut out, number),
                Cell::Bool(flag) => json::write_display(&mut out, &flag),
                Cell::Level(level) => match levels.get(level as usize) {
                    Some(level) => json::write_str(&mut out, level.as_ref()),
                    None => json::write_display(&mut out, &level),
                },
                Cell::Absent | Cell::Foreign(_) => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        self.rows.push(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_they_were_asked() {
        let mut kept = Kept::new(["secret".to_owned()].as_slice().into());
        let levels = ["red".to_owned(), "a\"b".to_owned()];
        kept.push(
            [
                ("x", Cell::Number(1.5), &levels[..]),
                ("nan", Cell::Number(f64::NAN), &[]),
                ("gone", Cell::Absent, &[]),
                ("c", Cell::Level(1), &levels),
                ("far", Cell::Level(9), &levels),
                ("text", Cell::Text("é"), &[]),
                ("flag", Cell::Bool(true), &[]),
                ("secret", Cell::Number(7.0), &[]),
            ]
            .into_iter(),
        );
        let text = String::from_utf8(kept.rows.remove(0)).expect("UTF-8");
        let expected =
            r#"{"x":1.5,"nan":"NaN","c":"a\"b","far":9,"text":"é","flag":true,"secret":"***"}"#;
        assert_eq!(text, expected);
    }
}
