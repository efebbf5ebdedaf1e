//! One step of a command: a named call of another program, with its time.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A step that did not succeed; what went wrong stands in its own output above.
#[derive(Debug)]
pub(crate) struct Failed {
    step: &'static str,
    why: String,
}

impl Failed {
    pub(crate) fn new(step: &'static str, why: impl fmt::Display) -> Self {
        Self { step, why: why.to_string() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.why)
    }
}

/// A call that is announced, run in the checkout's root, and timed.
pub(crate) struct Step {
    name: &'static str,
    shown: String,
    command: Command,
    silent_end: bool,
}

impl Step {
    /// `line`: program and arguments, separated by blanks; none of them holds one.
    pub(crate) fn new(name: &'static str, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(crate::root());
        Self { name, shown: line.to_owned(), command, silent_end: false }
    }

    pub(crate) fn arguments(mut self, words: &[&str]) -> Self {
        self.command.args(words);
        self.shown = format!("{} {}", self.shown, words.join(" "));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Its standard output is of no interest.
    pub(crate) fn quiet(mut self) -> Self {
        self.command.stdout(Stdio::null());
        self
    }

    /// The last line is to be the program's own.
    pub(crate) fn silent_end(mut self) -> Self {
        self.silent_end = true;
        self
    }

    pub(crate) fn run(mut self) -> Result<(), Failed> {
        eprintln!("==> {}: {}", self.name, self.shown);
        let start = Instant::now();
        let status = self.command.status().map_err(|cause| {
            Failed::new(self.name, format!("`{}` cannot be started: {cause}", self.shown))
        })?;
        if !status.success() {
            eprintln!("==> {}: FAILED", self.name);
            return Err(Failed::new(self.name, format!("`{}` ended with {status}", self.shown)));
        }
        if !self.silent_end {
            eprintln!("==> {}: good, {:.1} s", self.name, start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}
