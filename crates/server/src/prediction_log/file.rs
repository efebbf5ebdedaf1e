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

/// The sink. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub(crate) struct FileSink {
    queue: Sender<Order>,
    waiting: Arc<AtomicUsize>,
    rows_max: usize,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
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
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut writer = Writer {
            dir: dir.to_owned(),
            config: config.clone(),
            metrics: Arc::clone(&metrics),
            current: None,
            files: 0,
        };
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
        let n = records.len();
        let before = self.waiting.fetch_add(n, Ordering::Relaxed);
        let has_room = before.saturating_add(n) <= self.rows_max;
        let sent = has_room && self.queue.send(Order::Write(records)).is_ok();
        if !sent {
            self.waiting.fetch_sub(n, Ordering::Relaxed);
            self.metrics.logged("dropped", n);
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
}

struct Current {
    form: Form,
    since: Instant,
    bytes: u64,
}

enum Form {
    Ndjson(BufWriter<File>),
    Parquet { file: Box<ParquetFile>, hidden: PathBuf, path: PathBuf },
}

impl Writer {
    fn run(&mut self, queued: &Receiver<Order>, waiting: &AtomicUsize) {
        loop {
            match queued.recv_timeout(FLUSH_PERIOD) {
                Ok(Order::Write(records)) => {
                    let written = self.write(&records);
                    self.count(written, records.len());
                    waiting.fetch_sub(records.len(), Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let flushed = self.current.as_mut().map_or(Ok(()), Current::flush);
                    self.count(flushed, 0);
                }
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => break,
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

    fn count(&mut self, done: io::Result<()>, n: usize) {
        match done {
            Ok(()) if n == 0 => {}
            Ok(()) => self.metrics.logged("written", n),
            Err(cause) => {
                tracing::error!("prediction log in {}: {cause}", self.dir.display());
                self.metrics.logged("failed", n.max(1));
                // The next rows begin a file of their own; this one may be cut in the middle.
                self.current = None;
            }
        }
    }

    fn write(&mut self, records: &[PredictionRecord]) -> io::Result<()> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open()?,
        };
        let written = current.write(records);
        self.current = Some(current);
        written
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
        Ok(Current { form, since: Instant::now(), bytes: 0 })
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.take() {
            current.close()?;
            self.forget_old()?;
        }
        Ok(())
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
    fn write(&mut self, records: &[PredictionRecord]) -> io::Result<()> {
        match &mut self.form {
            Form::Ndjson(file) => {
                let mut line = Vec::with_capacity(512);
                for record in records {
                    line.clear();
                    write_line(&mut line, record);
                    file.write_all(&line)?;
                    self.bytes += line.len() as u64;
                }
                Ok(())
            }
            Form::Parquet { file, .. } => {
                self.bytes += file.write(records)?;
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Ndjson(file) => file.flush(),
            Form::Parquet { .. } => Ok(()),
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
