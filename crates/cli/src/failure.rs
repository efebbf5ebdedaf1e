//! How a command ends: verdict, or failure with its causes, a hint and an exit code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// The work ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit code 0.
    Good,
    /// Exit code 1: rows refused, a check failed.
    Bad,
}

/// The work did not run to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    quiet: bool,
}

impl Failure {
    /// Wrong usage or unreadable input: exit code 2.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), causes: Vec::new(), hint: None, quiet: false }
    }

    /// Something outside failed: exit code 3.
    pub(crate) fn outside(message: impl Into<String>) -> Self {
        Self { code: 3, ..Self::input(message) }
    }

    /// The work ran and went wrong: exit code 1.
    pub(crate) fn verdict(message: impl Into<String>) -> Self {
        Self { code: 1, ..Self::input(message) }
    }

    /// Who reads our output has seen enough: nothing is said, and nothing is wrong.
    pub(crate) fn closed_pipe() -> Self {
        Self { code: 0, quiet: true, ..Self::input("") }
    }

    /// Standard output takes no more.
    pub(crate) fn stdout(cause: &io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Self::closed_pipe();
        }
        Self::input("cannot write to standard output").because(cause)
    }

    /// Adds an error and all behind it as causes.
    pub(crate) fn because(mut self, cause: &(dyn Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// In one line, for a log.
    pub(crate) fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.extend([": ", cause]);
        }
        line
    }

    /// Says it on stderr.
    pub(crate) fn report(self) -> ExitCode {
        if !self.quiet {
            let mut text = format!("error: {}\n", self.message);
            for cause in &self.causes {
                text.extend(["  caused by: ", cause, "\n"]);
            }
            if let Some(hint) = &self.hint {
                text.extend(["  hint: ", hint, "\n"]);
            }
            // There is nobody left to tell.
            drop(io::stderr().write_all(text.as_bytes()));
        }
        ExitCode::from(self.code)
    }
}
