//! What can be wrong with a file, and with a row.

use std::fmt;

use crate::archive::ArchiveError;

/// Characters of a name or a value that a message shows.
const NAME_MAX: usize = 120;
/// The same of a sentence, in which names may stand.
const REASON_MAX: usize = 600;

/// A text that comes from a file, as a message may show it: nothing that moves a terminal's cursor,
/// nothing endless.
pub(crate) fn shown(text: &str, letters_max: usize) -> String {
    let mut shown: String = text.chars().take(letters_max).flat_map(escaped).collect();
    if text.chars().nth(letters_max).is_some() {
        shown.push_str("...");
    }
    shown
}

fn escaped(letter: char) -> impl Iterator<Item = char> {
    // `escape_debug` alone would also put backslashes before quotes and backslashes.
    let plain = matches!(letter, '\'' | '"' | '\\').then_some(letter);
    let escape = plain.is_none().then(|| letter.escape_debug());
    plain.into_iter().chain(escape.into_iter().flatten())
}

fn quoted(text: &str) -> String {
    shown(text, NAME_MAX)
}

pub(crate) fn sentence(text: &str) -> String {
    shown(text, REASON_MAX)
}

/// Why bytes are no model that can be loaded.
///
/// What is quoted from the file is shortened in the message, and control characters are escaped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The container is not a zip, is damaged, hostile, or beyond a limit.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A zip, but not a MOJO.
    #[error("not a MOJO: the archive has no `model.ini` ({})", sentence(.found))]
    NotMojo {
        /// What the archive looks like instead.
        found: String,
    },
    /// An entry that the model needs is not there.
    #[error("`{}` is missing from the MOJO: {}", quoted(.entry), sentence(.reason))]
    MissingEntry {
        /// Name inside the archive.
        entry: String,
        /// Why it must be there.
        reason: String,
    },
    /// An entry is not what it should be.
    #[error("`{}`: {}", quoted(.entry), sentence(.reason))]
    BadEntry {
        /// Name inside the archive.
        entry: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A key is missing in the section `[info]` of `model.ini`.
    #[error("model.ini: `{}` is missing", quoted(.key))]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value of `model.ini` cannot be.
    #[error("model.ini: `{}` is `{}`, expected {}", quoted(.key), quoted(.found), sentence(.expected))]
    BadValue {
        /// The key.
        key: String,
        /// Its text, shortened.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Written by a newer H2O than this reader knows.
    #[error(
        "MOJO version {} of {algorithm} is newer than {supported}, the newest one known", quoted(.found)
    )]
    Version {
        /// `algo` of the file.
        algorithm: String,
        /// `mojo_version` of the file.
        found: String,
        /// The newest version that genmodel 3.46.0.11 reads.
        supported: &'static str,
    },
    /// The algorithm cannot be scored here.
    #[error("algorithm `{}` is not supported: {reason}", quoted(.algorithm))]
    Algorithm {
        /// `algorithm` of the file.
        algorithm: String,
        /// Why, and what to do.
        reason: String,
    },
    /// genmodel would answer, and silently wrongly.
    #[error("{reason}")]
    Quirk {
        /// What genmodel gets wrong, and the way out.
        reason: String,
    },
    /// A bound of [`crate::Limits`] is passed.
    #[error("{what} is {found}, more than the limit of {limit} (`{name}`)")]
    Limit {
        /// What was counted.
        what: String,
        /// How many there are, or more.
        found: u64,
        /// The bound.
        limit: u64,
        /// Field of [`crate::Limits`].
        name: &'static str,
    },
}

impl LoadError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Archive(cause) => cause.kind(),
            Self::NotMojo { .. } => "not_mojo",
            Self::MissingEntry { .. } => "missing_entry",
            Self::BadEntry { .. } => "bad_entry",
            Self::MissingKey { .. } => "missing_key",
            Self::BadValue { .. } => "bad_value",
            Self::Version { .. } => "version",
            Self::Algorithm { .. } => "algorithm",
            Self::Quirk { .. } => "quirk",
            Self::Limit { .. } => "limit",
        }
    }
}

/// Why a row has no prediction. The word is stable, scripts may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowErrorKind {
    /// Strict only: a level that the column's domain does not have.
    UnknownLevel,
    /// Strict only: text that Java's `Double.parseDouble` refuses.
    InvalidNumber,
    /// A value of a type that genmodel does not take.
    UnknownType,
    /// The algorithm itself refuses the row.
    Model,
}

impl RowErrorKind {
    /// The word: `unknown_level`, `invalid_number`, `unknown_type`, `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLevel => "unknown_level",
            Self::InvalidNumber => "invalid_number",
            Self::UnknownType => "unknown_type",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for RowErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why this row has no prediction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowError {
    /// What sort of mistake it is.
    pub kind: RowErrorKind,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// For people: what was found and what was expected.
    pub message: String,
}

/// Something about a loaded model that its user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A word that scripts may rely on.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}
