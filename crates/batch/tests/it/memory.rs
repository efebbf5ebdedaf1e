//! What is on its way is bounded, however long the input.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stemson_batch::{BatchError, Compression, Format, Job, Source, run};

use crate::gbm;

const ROW: &[u8] = b"1.5,red\n";

/// A header and then so many rows; counts the rows given away.
struct Rows {
    left: u64,
    given: Arc<AtomicU64>,
    header: &'static [u8],
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.header.is_empty() {
            return self.header.read(out);
        }
        let rows = ((out.len() / ROW.len()) as u64).min(self.left).max(u64::from(self.left > 0));
        if out.len() < ROW.len() {
            // The buffer's end: a row is given in halves.
            self.header = ROW;
            self.left = self.left.saturating_sub(1);
            self.given.fetch_add(1, Ordering::Relaxed);
            return self.header.read(out);
        }
        for place in out.chunks_exact_mut(ROW.len()).take(rows as usize) {
            place.copy_from_slice(ROW);
        }
        self.left -= rows;
        self.given.fetch_add(rows, Ordering::Relaxed);
        Ok(rows as usize * ROW.len())
    }
}

/// Counts rows that came, and how far the reader ever was ahead.
struct Sink {
    given: Arc<AtomicU64>,
    lines: u64,
    ahead_max: u64,
    lines_max: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let given = self.given.load(Ordering::Relaxed);
        self.ahead_max = self.ahead_max.max(given.saturating_sub(self.lines));
        self.lines += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
        if self.lines > self.lines_max {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ahead_max(rows: u64, threads: usize, lines_max: u64) -> (Result<u64, BatchError>, u64) {
    let given = Arc::new(AtomicU64::new(0));
    let input = Rows { left: rows, given: Arc::clone(&given), header: b"x1,c3\n" };
    let source = Source {
        name: "rows".to_owned(),
        format: Format::Csv,
        compression: Compression::None,
        open: Box::new(move || Ok(Box::new(input))),
        file: None,
    };
    let mut sink = Sink { given, lines: 0, ahead_max: 0, lines_max };
    let threads = NonZeroUsize::new(threads).unwrap();
    let job = Job { inputs: vec![source], threads, ..Job::default() };
    let summary = run(&gbm(), job, &mut sink, |_| {});
    (summary.map(|summary| summary.rows), sink.ahead_max)
}

/// A block has at most 1,024 rows here; the reader's own buffer holds at most 1 MiB.
#[test]
fn the_reader_is_never_far_ahead_of_the_writer() {
    let buffer_rows = (1 << 20) / ROW.len() as u64;
    for threads in [1, 4] {
        let blocks = 2 * threads + 2;
        let rows = 400_000;
        let (read, ahead) = ahead_max(rows, threads as usize, u64::MAX);
        assert_eq!(read.unwrap(), rows);
        assert!(ahead <= buffer_rows + blocks * 1_024, "{ahead} rows ahead, {threads} threads");
    }
}

#[test]
fn an_output_that_takes_no_more_ends_the_job() {
    for threads in [1, 3] {
        let (error, _) = ahead_max(u64::MAX, threads, 5_000);
        match error.unwrap_err() {
            BatchError::Write { cause } => assert_eq!(cause.kind(), io::ErrorKind::BrokenPipe),
            other => panic!("{other}"),
        }
    }
}
