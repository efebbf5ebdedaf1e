//! Looks at the loop's thread from outside while it is held: its stack, the owner of the global
//! interpreter lock, and the system call it is in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use py_spy::config::LockingStrategy;
use py_spy::{Config, PythonSpy};
use serde::Deserialize;

use super::tape::{Beat, Call, Tape};

/// A line of Python on the stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Frame {
    pub(super) file: String,
    pub(super) line: i64,
    pub(super) function: String,
}

/// What the loop's thread was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Had the global interpreter lock.
    Locked,
    /// Waited for a lock while another thread had the interpreter's: most likely for this one.
    Contended,
    /// Ran, or could have, without the interpreter lock.
    Free,
    /// Waited for a lock that was not the interpreter's.
    Lock,
    /// Waited for time, a socket, a file.
    Waiting,
    /// Could not be seen.
    Unknown,
}

/// The loop's thread at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// Nanoseconds of the monotonic clock.
    pub(super) at: u64,
    pub(super) doing: Doing,
    /// Processor time of the thread until then, nanoseconds; 0 if unknown.
    pub(super) cpu: u64,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
}

/// All that was seen of a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    pub(super) beats: Vec<Beat>,
    pub(super) samples: Vec<Sample>,
    /// Why stacks were sampled inside of the process, if they were.
    pub(super) inside: Option<String>,
}

/// A thread that watches.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Seen>>,
    stacks: PathBuf,
}

impl Sampler {
    /// `late`: how long a callback may last before its stack is of interest.
    pub(super) fn start(pid: u32, tape: Tape, late: Duration, stacks: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || watch(pid, tape, late, &stopped));
        Self { stop, thread, stacks }
    }

    pub(super) fn stop(self) -> std::io::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = self.thread.join().map_err(|_| std::io::Error::other("sampler"))??;
        if seen.inside.is_some() {
            seen.samples = read_inside(&std::fs::read_to_string(self.stacks).unwrap_or_default());
        }
        Ok(seen)
    }
}

fn watch(pid: u32, mut tape: Tape, late: Duration, stop: &AtomicBool) -> std::io::Result<Seen> {
    let mut seen = Seen::default();
    let config = Config { blocking: LockingStrategy::NonBlocking, ..Config::default() };
    let mut spy = match PythonSpy::retry_new(pid.cast_signed(), &config, 5) {
        Ok(spy) => Some(spy),
        Err(cause) => {
            tape.sample_inside()?;
            seen.inside = Some(format!("{cause:#}"));
            None
        }
    };
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
        let now = tape.now()?;
        let held = monotonic().saturating_sub(now.running);
        if now.running != 0
            && held >= late.as_nanos() as u64
            && let Some(spy) = &mut spy
        {
            // A stack that changes while it is read is no stack: the next one will do.
            seen.samples.extend(sample(spy, pid, now.thread));
        }
        tape.read(now, &mut seen.calls, &mut seen.beats)?;
    }
    Ok(seen)
}

fn sample(spy: &mut PythonSpy, pid: u32, thread: u64) -> Option<Sample> {
    /// `futex` and `sched_yield`.
    const LOCKS: [&str; 2] =
        if cfg!(target_arch = "x86_64") { ["202", "24"] } else { ["98", "124"] };
    let at = monotonic();
    let call = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall"));
    let times = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat"));
    let cpu = times.ok().and_then(|times| times.split(' ').next()?.parse().ok()).unwrap_or(0);
    let traces = spy.get_stack_traces().ok()?;
    let contended = traces.iter().any(|trace| trace.owns_gil && trace.os_thread_id != Some(thread));
    let trace = traces.into_iter().find(|trace| trace.os_thread_id == Some(thread))?;
    let call = call.unwrap_or_default();
    let doing = match call.split_whitespace().next() {
        _ if trace.owns_gil => Doing::Locked,
        Some(number) if LOCKS.contains(&number) && contended => Doing::Contended,
        Some(number) if LOCKS.contains(&number) => Doing::Lock,
        Some("running") => Doing::Free,
        Some(_) => Doing::Waiting,
        None => Doing::Unknown,
    };
    let frames = trace.frames.into_iter().map(|frame| Frame {
        file: frame.filename,
        line: i64::from(frame.line),
        function: frame.name,
    });
    Some(Sample { at, doing, cpu, frames: frames.collect() })
}

/// Nanoseconds of the clock that Python calls `time.monotonic_ns`.
pub(super) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn read_inside(text: &str) -> Vec<Sample> {
    #[derive(Deserialize)]
    struct Line {
        at: u64,
        frames: Vec<(String, i64, String)>,
    }
    let frame = |(file, line, function)| Frame { file, line, function };
    let sample = |line: Line| Sample {
        at: line.at,
        doing: Doing::Unknown,
        cpu: 0,
        frames: line.frames.into_iter().map(frame).collect(),
    };
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(sample).collect()
}
