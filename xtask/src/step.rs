//! One step of a command: a named call of another program, with its time.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};
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
        // What cargo tells this program of itself is not for the cargo that it calls: the script that
        // builds `ring` runs again when it is there, or not there any more, and all above is built anew.
        for (key, _) in std::env::vars_os() {
            let is_ours = |start| key.as_encoded_bytes().starts_with(start);
            if is_ours(b"CARGO_PKG_".as_slice()) || is_ours(b"CARGO_MANIFEST_".as_slice()) {
                command.env_remove(key);
            }
        }
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

    pub(crate) fn run(self) -> Result<(), Failed> {
        self.run_by(Command::status)
    }

    /// The same, and `hear` is called with each line that goes to standard error, on its way there.
    pub(crate) fn listen(mut self, mut hear: impl FnMut(&str)) -> Result<(), Failed> {
        self.command.stderr(Stdio::piped());
        self.run_by(|command| {
            let mut child = command.spawn()?;
            let lines = child.stderr.take().map(|pipe| BufReader::new(pipe).split(b'\n'));
            for line in lines.into_iter().flatten() {
                let line = String::from_utf8_lossy(&line?).into_owned();
                eprintln!("{line}");
                hear(&line);
            }
            child.wait()
        })
    }

    fn run_by(
        mut self,
        run: impl FnOnce(&mut Command) -> io::Result<ExitStatus>,
    ) -> Result<(), Failed> {
        eprintln!("==> {}: {}", self.name, self.shown);
        let start = Instant::now();
        let status = run(&mut self.command).map_err(|cause| {
            Failed::new(self.name, format!("`{}` cannot be run: {cause}", self.shown))
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
