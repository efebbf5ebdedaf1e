//! What the application's process writes down, read from outside while it runs.
//!
//! A file of fixed size: eight numbers, then a ring of callbacks and a ring of beats, all `u64` of
//! this machine. The process maps it into its memory and writes a number in one move; we read it
//! as a file, so a loop that stands still hides nothing. `shim.py` is the other side.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const THREAD: usize = 1;
const RUNNING: usize = 2;
const CALLS: usize = 3;
const BEATS: usize = 4;
const INSIDE: u64 = 40;
const CALL_RING: u64 = 64;
const CALL_SIZE: u64 = 48;
const CALL_SLOTS: u64 = 1_024;
const BEAT_RING: u64 = CALL_RING + CALL_SIZE * CALL_SLOTS;
const BEAT_SIZE: u64 = 16;
const BEAT_SLOTS: u64 = 4_096;

/// A callback that held the loop for long. Nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) began: u64,
    pub(super) ended: u64,
    /// Processor time of the loop's thread.
    pub(super) cpu: u64,
    /// Processor time of all threads of the process.
    pub(super) cpu_of_all: u64,
    /// Time in which the thread was ready and had no processor.
    pub(super) run_queue: u64,
    /// Time in the garbage collector, where it came for others' garbage.
    pub(super) collector: u64,
}

/// How late a beat of the loop came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) late: u64,
    pub(super) run_queue: u64,
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Tape {
    file: File,
    calls: u64,
    beats: u64,
}

/// The state of the loop at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The loop's thread, as the kernel counts them.
    pub(super) thread: u64,
    /// When the callback that is running began, or when the beat that has not come was due; 0 where
    /// neither is so.
    pub(super) running: u64,
    calls: u64,
    beats: u64,
}

impl Tape {
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(BEAT_RING + BEAT_SIZE * BEAT_SLOTS)?;
        Ok(Self { file, calls: 0, beats: 0 })
    }

    pub(super) fn now(&self) -> std::io::Result<Now> {
        let words: [u64; 5] = self.words(0)?;
        Ok(Now {
            thread: words[THREAD],
            running: words[RUNNING],
            calls: words[CALLS],
            beats: words[BEATS],
        })
    }

    /// What was written since the last time; of too much the newest.
    pub(super) fn read(
        &mut self,
        now: Now,
        calls: &mut Vec<Call>,
        beats: &mut Vec<Beat>,
    ) -> std::io::Result<()> {
        for number in self.calls.max(now.calls.saturating_sub(CALL_SLOTS))..now.calls {
            let at = CALL_RING + CALL_SIZE * (number % CALL_SLOTS);
            let [began, ended, cpu, cpu_of_all, run_queue, collector] = self.words(at)?;
            calls.push(Call { began, ended, cpu, cpu_of_all, run_queue, collector });
        }
        for number in self.beats.max(now.beats.saturating_sub(BEAT_SLOTS))..now.beats {
            let [late, run_queue] = self.words(BEAT_RING + BEAT_SIZE * (number % BEAT_SLOTS))?;
            beats.push(Beat { late, run_queue });
        }
        (self.calls, self.beats) = (now.calls, now.beats);
        Ok(())
    }

    /// Asks the process to sample its stack itself.
    pub(super) fn sample_inside(&self) -> std::io::Result<()> {
        self.file.write_all_at(&1_u64.to_ne_bytes(), INSIDE)
    }

    fn words<const N: usize>(&self, at: u64) -> std::io::Result<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        self.file.read_exact_at(bytes.as_flattened_mut(), at)?;
        Ok(bytes.map(u64::from_ne_bytes))
    }
}
