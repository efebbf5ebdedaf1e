//! What is found: rules, findings, and the verdict over all of them.

use std::fmt;

/// Why a file may not ship. The words are stable: exceptions and scripts name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
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

impl Rule {
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

    /// What the rule says, in a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Pickle => {
                "Loading a pickle runs code that the file chooses; only MOJOs may ship."
            }
            Self::PickleCode => "This pickle imports names that do harm when it is loaded.",
            Self::Pojo => "A POJO must be compiled and needs a JVM; export the model as a MOJO.",
            Self::H2oBinary => {
                "Only H2O of the same version reads its binary model; export the model as a MOJO."
            }
            Self::Mojo => "A MOJO must be whole, and hold nothing that H2O did not write.",
            Self::Opaque => {
                "What cannot be looked into cannot be allowed; ship its content plainly."
            }
            Self::ZipMismatch => {
                "The archive contradicts itself, so that two readers see two contents; repack it."
            }
            Self::Limit => "A limit was reached before all of the file was seen.",
            Self::Unreadable => "What cannot be read cannot be allowed.",
            Self::ExceptionExpired => "An exception is over; renew it or remove the file.",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason why one file may not ship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, as the caller named it or as it was found below.
    pub path: String,
    /// Members on the way to what was found, outermost first; empty for the file itself.
    pub inside: Vec<String>,
    /// Which rule.
    pub rule: Rule,
    /// What was found.
    pub message: String,
    /// SHA-256 of the file, 64 hexadecimal digits; empty where it cannot be read.
    pub sha256: String,
    /// The exception that lets it pass.
    pub suppressed: Option<Suppression>,
}

/// Who let a finding pass, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Why.
    pub reason: String,
    /// Who signed.
    pub approved_by: String,
    /// Last day, `YYYY-MM-DD`.
    pub expires: String,
}

/// All that a run found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By path, then rule.
    pub findings: Vec<Finding>,
    /// Files that were looked at.
    pub files: u64,
    /// MOJOs that may ship.
    pub mojos: u64,
    /// Symbolic links, which are not followed.
    pub links: u64,
}

impl Report {
    /// Whether nothing was found that no exception lets pass.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.suppressed.is_some())
    }

    /// Findings that no exception lets pass.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.suppressed.is_none())
    }
}
