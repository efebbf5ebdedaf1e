//! The rules of the artifact policy, as the reader of bytes names them.

use std::fmt;

use crate::rule::{Rule, rule, rules};

/// Why a file may not ship. The words are stable: exceptions and scripts name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactRule {
    /// A Python pickle, benign or not.
    Pickle,
    /// A pickle that imports names which do harm when called.
    PickleCode,
    /// H2O's Java form of a model, as source or compiled.
    Pojo,
    /// H2O's own binary model.
    H2oBinary,
    /// A MOJO that is damaged, or holds what no MOJO holds.
    Mojo,
    /// A container that is not, or cannot be, looked into.
    Opaque,
    /// A zip archive that two readers read in two ways.
    ZipMismatch,
    /// A bound was reached before all was seen.
    Limit,
    /// The file cannot be read.
    Unreadable,
    /// An exception that is over.
    ExceptionExpired,
}

impl ArtifactRule {
    /// In the order of this list they are reported.
    pub const ALL: [Self; 10] = [
        Self::Pickle,
        Self::PickleCode,
        Self::Pojo,
        Self::H2oBinary,
        Self::Mojo,
        Self::Opaque,
        Self::ZipMismatch,
        Self::Limit,
        Self::Unreadable,
        Self::ExceptionExpired,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pickle => "pickle",
            Self::PickleCode => "pickle_code",
            Self::Pojo => "pojo",
            Self::H2oBinary => "h2o_binary",
            Self::Mojo => "mojo",
            Self::Opaque => "opaque",
            Self::ZipMismatch => "zip_mismatch",
            Self::Limit => "limit",
            Self::Unreadable => "unreadable",
            Self::ExceptionExpired => "exception_expired",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == word)
    }

    /// Its page.
    pub fn page(self) -> &'static Rule {
        rule(self.as_str()).unwrap_or(&rules()[0])
    }
}

impl fmt::Display for ArtifactRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
