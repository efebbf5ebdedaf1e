//! The log on disk: a thread writes what waits in a bounded queue, file after file.
//!
//! `predictions-<time>-<n>.ndjson` grows line by line and can be read meanwhile; a Parquet file has
//! the name of a hidden one until it is complete. Both are synced when they are closed: by size, by
//! age, and at the end of the server.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stemson_serving::{PredictionRecord, PredictionSink};

use super::parquet::ParquetFile;
use super::{PredictionLogConfig, PredictionLogFormat};
use crate::admin::Rfc3339;
use crate::json;
use crate::metrics::Metrics;

/// Time after which what was written can be read.
const FLUSH_PERIOD: Duration = Duration::from_secs(1);

/// Bytes of rows that may wait, however few they are.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// The sink. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub(crate) struct FileSink {
    queue: Sender<Order>,
    waiting: Arc<Waiting>,
    rows_max: usize,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is in the queue.
#[derive(Debug, Default)]
struct Waiting {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// More, if there is room for it.
    fn come(&self, (rows, bytes): (usize, usize), rows_max: usize) -> bool {
        let rows_before = self.rows.fetch_add(rows, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = rows_before.saturating_add(rows) <= rows_max
            && bytes_before.saturating_add(bytes) <= QUEUE_BYTES_MAX;
        if !has_room {
            self.go((rows, bytes));
        }
        has_room
    }

    fn go(&self, (rows, bytes): (usize, usize)) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How many rows, and how many bytes of text.
fn size(records: &[PredictionRecord]) -> (usize, usize) {
    let bytes = records.iter().map(|record| record.row.len() + record.out.len());
    (records.len(), bytes.sum())
}

enum Order {
    Write(Vec<PredictionRecord>),
    End,
}

impl FileSink {
    /// Makes the folder, and starts the thread.
    pub(crate) fn open(
        dir: &Path,
        config: &PredictionLogConfig,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (queue, queued) = mpsc::channel();
        let waiting = Arc::<Waiting>::default();
        let mut writer = Writer {
            dir: dir.to_owned(),
            config: config.clone(),
            metrics: Arc::clone(&metrics),
            current: None,
            files: 0,
            flushed_at: Instant::now(),
        };
        writer.clear_away_parts()?;
        let taken = Arc::clone(&waiting);
        let thread = thread::Builder::new()
            .name("prediction-log".to_owned())
            .spawn(move || writer.run(&queued, &taken))?;
        let rows_max = config.queue_rows_max;
        let thread = Mutex::new(Some(thread));
        Ok(Self { queue, waiting, rows_max, metrics, thread })
    }
}

impl PredictionSink for FileSink {
    fn offer(&self, records: Vec<PredictionRecord>) {
        let size = size(&records);
        // Were the thread gone, the server would end.
        let taken = self.waiting.come(size, self.rows_max)
            && self.queue.send(Order::Write(records)).is_ok();
        if !taken {
            self.metrics.logged("dropped", size.0);
        }
    }

    fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Were it gone, nothing would wait.
            drop(self.queue.send(Order::End));
            // It has no panics of its own.
            drop(thread.join());
        }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    dir: PathBuf,
    config: PredictionLogConfig,
    metrics: Arc<Metrics>,
    current: Option<Current>,
    /// Files of this process, for their names.
    files: u64,
    flushed_at: Instant,
}

struct Current {
    form: Form,
    since: Instant,
    bytes: u64,
    /// Rows that are not counted yet: a file that is cut off would lose them.
    uncounted: usize,
}

enum Form {
    Ndjson(BufWriter<File>),
    Parquet { file: Box<ParquetFile>, hidden: PathBuf, path: PathBuf },
}

impl Writer {
    fn run(&mut self, queued: &Receiver<Order>, waiting: &Waiting) {
        loop {
            match queued.recv_timeout(FLUSH_PERIOD.saturating_sub(self.flushed_at.elapsed())) {
                Ok(Order::Write(records)) => {
                    let written = self.write(&records);
                    self.count(written, records.len());
                    waiting.go(size(&records));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            // Whether or not there is a pause: who reads along waits for that long at most.
            if self.flushed_at.elapsed() >= FLUSH_PERIOD {
                self.flushed_at = Instant::now();
                let flushed = self.current.as_mut().map_or(Ok(0), Current::flush);
                self.count(flushed, 0);
            }
            let is_due = self.current.as_ref().is_some_and(|current| {
                current.bytes >= self.config.rotate_bytes
                    || current.since.elapsed() >= self.config.rotate_after
            });
            if is_due {
                let closed = self.close();
                self.count(closed, 0);
            }
        }
        let closed = self.close();
        self.count(closed, 0);
    }

    /// `done`: rows that are on their way to the disk now. `n`: those that were to be taken.
    fn count(&mut self, done: io::Result<usize>, n: usize) {
        match done {
            Ok(0) => {}
            Ok(written) => self.metrics.logged("written", written),
            Err(cause) => {
                tracing::error!("prediction log in {}: {cause}", self.dir.display());
                // The next rows begin a file of their own; this one may be cut in the middle.
                let lost = self.current.take().map_or(0, |current| current.uncounted);
                self.metrics.logged("failed", (n + lost).max(1));
            }
        }
    }

    fn write(&mut self, records: &[PredictionRecord]) -> io::Result<usize> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open()?,
        };
        let written = current.write(records);
        self.current = Some(current);
        written
    }

    /// What a process that was killed has left of files that nobody could read. One that is younger
    /// may belong to another server.
    fn clear_away_parts(&self) -> io::Result<()> {
        let old =
            self.config.rotate_after.saturating_mul(2).saturating_add(Duration::from_hours(1));
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_part = name.starts_with(".predictions-") && name.ends_with(".parquet.part");
            let age = || entry.metadata()?.modified()?.elapsed().map_err(io::Error::other);
            if is_part && age().is_ok_and(|age| age > old) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<Current> {
        self.files += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("predictions-{}-{:04}", now.as_millis(), self.files);
        let form = match self.config.format {
            PredictionLogFormat::Ndjson => {
                let path = self.dir.join(format!("{name}.ndjson"));
                Form::Ndjson(BufWriter::new(
                    File::options().create_new(true).append(true).open(path)?,
                ))
            }
            PredictionLogFormat::Parquet => {
                let hidden = self.dir.join(format!(".{name}.parquet.part"));
                let path = self.dir.join(format!("{name}.parquet"));
                Form::Parquet { file: Box::new(ParquetFile::create(&hidden)?), hidden, path }
            }
        };
        Ok(Current { form, since: Instant::now(), bytes: 0, uncounted: 0 })
    }

    fn close(&mut self) -> io::Result<usize> {
        let Some(current) = self.current.take() else {
            return Ok(0);
        };
        let uncounted = current.uncounted;
        if let Err(cause) = current.close() {
            self.metrics.logged("failed", uncounted.saturating_sub(1));
            return Err(cause);
        }
        self.forget_old()?;
        Ok(uncounted)
    }

    /// Names begin with the time, so the first ones are the oldest.
    fn forget_old(&self) -> io::Result<()> {
        let mut ours: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("predictions-") {
                ours.push(entry.path());
            }
        }
        ours.sort_unstable();
        let n = ours.len().saturating_sub(self.config.keep_files.max(1));
        ours.iter().take(n).try_for_each(fs::remove_file)
    }
}

impl Current {
    /// Rows that are not only in memory.
    fn write(&mut self, records: &[PredictionRecord]) -> io::Result<usize> {
        match &mut self.form {
            Form::Ndjson(file) => {
                let mut line = Vec::with_capacity(512);
                for record in records {
                    line.clear();
                    write_line(&mut line, record);
                    file.write_all(&line)?;
                    self.bytes += line.len() as u64;
                }
                Ok(records.len())
            }
            Form::Parquet { file, .. } => {
                self.bytes += file.write(records)?;
                self.uncounted += records.len();
                Ok(0)
            }
        }
    }

    /// Counts nothing: lines were counted as they were written, Parquet is when it is complete.
    fn flush(&mut self) -> io::Result<usize> {
        match &mut self.form {
            Form::Ndjson(file) => file.flush().map(|()| 0),
            Form::Parquet { .. } => Ok(0),
        }
    }

    fn close(self) -> io::Result<()> {
        match self.form {
            Form::Ndjson(file) => {
                file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
            }
            Form::Parquet { file, hidden, path } => {
                file.close()?;
                fs::rename(hidden, path)
            }
        }
    }
}

/// The record as a line of JSON.
fn write_line(out: &mut Vec<u8>, record: &PredictionRecord) {
    let PredictionRecord { ts, request_id, model, revision, protocol, row, out: answer, .. } =
        record;
    let seconds = Rfc3339(*ts).to_string();
    let ms = ts.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    let ts = format!("{}.{ms:03}Z", seconds.trim_end_matches('Z'));
    let texts = [
        ("{\"ts\":", ts.as_str()),
        (",\"request_id\":", request_id),
        (",\"model\":", model),
        (",\"revision\":", revision),
        (",\"protocol\":", protocol),
    ];
    for (key, text) in texts {
        out.extend_from_slice(key.as_bytes());
        json::write_str(out, text);
    }
    out.extend_from_slice(b",\"row\":");
    out.extend_from_slice(row);
    out.extend_from_slice(b",\"out\":");
    out.extend_from_slice(answer);
    let rest = format!(",\"cost_ns\":{},\"cached\":{}}}\n", record.cost_ns, record.cached);
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> PredictionRecord {
        PredictionRecord {
            ts: SystemTime::now(),
            request_id: "id".into(),
            model: "churn".into(),
            revision: "digest".into(),
            protocol: "v1",
            row: b"{}".to_vec(),
            out: b"{}".to_vec(),
            cost_ns: 1,
            cached: false,
        }
    }

    fn writer(dir: &Path, format: PredictionLogFormat) -> Writer {
        Writer {
            dir: dir.to_owned(),
            config: PredictionLogConfig { format, ..PredictionLogConfig::default() },
            metrics: Arc::new(Metrics::new()),
            current: None,
            files: 0,
            flushed_at: Instant::now(),
        }
    }

    #[test]
    fn a_row_is_written_when_a_crash_would_not_lose_it() {
        for (format, at_once, at_the_end) in
            [(PredictionLogFormat::Ndjson, 2, 0), (PredictionLogFormat::Parquet, 0, 2)]
        {
            let dir = tempfile::tempdir().expect("a folder");
            let mut writer = writer(dir.path(), format);
            let written = writer.write(&[record(), record()]).expect("a disk");
            assert_eq!(written, at_once, "{format:?}");
            assert_eq!(writer.close().expect("a disk"), at_the_end, "{format:?}");
        }
    }

    #[test]
    fn few_rows_may_be_too_many_bytes() {
        let waiting = Waiting::default();
        assert!(waiting.come((1, QUEUE_BYTES_MAX), 10));
        assert!(!waiting.come((1, 1), 10));
        waiting.go((1, QUEUE_BYTES_MAX));
        assert!(waiting.come((10, 1), 10));
        assert!(!waiting.come((1, 1), 10));
    }

    #[test]
    fn what_a_killed_process_left_is_cleared_away() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, new) = (".predictions-1-0001.parquet.part", ".predictions-2-0001.parquet.part");
        for name in [old, new, "notes.txt"] {
            let file = File::create(dir.path().join(name)).expect("a file");
            if name != new {
                file.set_modified(SystemTime::now() - Duration::from_hours(48)).expect("a time");
            }
        }
        writer(dir.path(), PredictionLogFormat::Parquet).clear_away_parts().expect("a folder");
        let is_there = |name: &str| dir.path().join(name).exists();
        assert_eq!((is_there(old), is_there(new), is_there("notes.txt")), (false, true, true));
    }
}
