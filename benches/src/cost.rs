//! What a process costs: processor time and peak memory, as the kernel counted them.
//!
//! The kernel keeps one sum over all ended children of a process, so each command is started by a
//! process of its own: a benchmark starts itself again with [`WORD`] as its first argument, and
//! gives the rest to [`measure`]. The one between is small; its own memory does not show.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The first argument by which a benchmark knows that it is to measure.
pub const WORD: &str = "measure";

/// One run of a command and all that it started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// User and system time of all threads.
    pub processor: Duration,
    /// From start to end.
    pub wall: Duration,
    /// Resident memory at its highest.
    pub peak_bytes: u64,
}

/// Runs `command` to its end and says what it cost. Its output goes to standard error.
///
/// The running program must give its arguments after [`WORD`] to [`measure`].
///
/// # Errors
/// If the command cannot be started or does not succeed.
pub fn of(command: &Command) -> io::Result<Cost> {
    let mut between = Command::new(std::env::current_exe()?);
    between.arg(WORD).arg(command.get_program()).args(command.get_args());
    let output = between.stderr(Stdio::inherit()).output()?;
    let shown = || Path::new(command.get_program()).display().to_string();
    if !output.status.success() {
        return Err(io::Error::other(format!("`{}` ended with {}", shown(), output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<u64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let [processor_us, wall_us, peak_bytes] = figures[..] else {
        return Err(io::Error::other(format!("`{}` was measured as `{text}`", shown())));
    };
    Ok(Cost {
        processor: Duration::from_micros(processor_us),
        wall: Duration::from_micros(wall_us),
        peak_bytes,
    })
}

/// The process between: runs the command and prints processor and wall time in us and peak bytes.
pub fn measure(command: &[OsString]) -> ExitCode {
    match measured(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stdout, reason = "how the figures get to the process that asked")]
fn measured(command: &[OsString]) -> io::Result<()> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("nothing"))?;
    let start = Instant::now();
    // Output of the command must not mix with the figures.
    let status = Command::new(program).args(arguments).stdout(io::stderr()).status()?;
    let wall = start.elapsed();
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let processor = (usage.user_time() + usage.system_time()).num_microseconds();
    // Kilobytes on Linux, bytes on macOS.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    println!("{processor} {} {}", wall.as_micros(), usage.max_rss() * unit);
    Ok(())
}
