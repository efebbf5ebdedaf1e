//! What people see: stderr lines, progress, thousands.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;

/// How a command says its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Writes to stderr, whether anybody reads it or not.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Whether stdout is for a person who sees colours.
pub(crate) fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line on stderr that counts rows: only on a terminal, only when it takes a while.
pub(crate) struct Progress {
    next: Option<Instant>,
    started: Instant,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let started = Instant::now();
        let next = io::stderr().is_terminal().then(|| started + Duration::from_secs(1));
        Self { next, started, shown: false }
    }

    pub(crate) fn rows(&mut self, rows: u64) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now >= next) {
            let per_second = rows as f64 / (now - self.started).as_secs_f64();
            self.next = Some(now + Duration::from_millis(200));
            self.shown = true;
            let (rows, per_second) = (thousands(rows), thousands(per_second as u64));
            let mut stderr = io::stderr().lock();
            drop(write!(stderr, "\r\x1b[K{rows} rows, {per_second} a second"));
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&self) {
        if self.shown {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
