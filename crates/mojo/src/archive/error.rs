//! What can be wrong with an archive.

/// Characters of a name that a message shows.
const SHOWN_MAX: usize = 120;

/// Why bytes are no archive that can be read, or an entry of it no entry.
///
/// Names of entries come from the file: they stand here shortened, control characters escaped.
/// Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// No bytes at all.
    #[error("the file is empty: export or copy it again")]
    Empty,
    /// Something else than a zip.
    #[error("not a zip archive, it looks like {looks_like}: {mend}")]
    NotZip {
        /// What its first bytes say.
        looks_like: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// Begins as a zip, but its end is missing.
    #[error(
        "the archive ends before {what} does: the file was cut off or is still being copied; \
         copy it again"
    )]
    Truncated {
        /// What is missing.
        what: &'static str,
    },
    /// Bytes behind the archive.
    #[error("{bytes} bytes follow the end of the archive: something was appended; copy it again")]
    TrailingData {
        /// How many.
        bytes: u64,
    },
    /// Bytes in front of the first entry.
    #[error(
        "{bytes} bytes stand before the first entry of the archive: a self-extracting file, a \
         polyglot, or a copy in text mode; export it again, or repack it with `zip`"
    )]
    Prefix {
        /// How many.
        bytes: u64,
    },
    /// A part of a split archive.
    #[error(
        "the archive is split over several files: join it with `zip -s 0 PART.zip --out MODEL.zip`"
    )]
    MultiDisk,
    /// The list of entries at the end of the file cannot be read.
    #[error("the directory of the archive is damaged: {reason}; export or copy it again")]
    BadDirectory {
        /// What is wrong.
        reason: String,
    },
    /// More entries than `Limits::entries_max`.
    #[error("the archive has {found} entries, more than the limit of {limit} (`entries_max`)")]
    TooManyEntries {
        /// How many it claims.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// An entry is larger than `Limits::entry_bytes_max`.
    #[error(
        "`{entry}` is {bytes} bytes when inflated, more than the limit of {limit} \
         (`entry_bytes_max`)"
    )]
    EntryTooBig {
        /// Name inside the archive.
        entry: String,
        /// Its inflated size, as declared.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// All entries together, or all that was read, is larger than `Limits::total_bytes_max`.
    #[error(
        "the archive inflates to {found} bytes or more, beyond the limit of {limit} \
         (`total_bytes_max`)"
    )]
    TotalTooBig {
        /// The sum that went too far.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// An entry of more than 1 MiB grows more than `Limits::inflation_ratio_max` times.
    #[error(
        "`{entry}` claims to grow from {stored} to {inflated} bytes, more than {limit} times \
         (`inflation_ratio_max`): a zip bomb, or a damaged file"
    )]
    InflationRatio {
        /// Name inside the archive.
        entry: String,
        /// Its size in the file.
        stored: u64,
        /// Its inflated size, as declared.
        inflated: u64,
        /// The bound.
        limit: u64,
    },
    /// Two entries share bytes.
    #[error("`{entry}` shares bytes with {other}: a zip bomb, or a damaged file; export it again")]
    Overlap {
        /// Name inside the archive.
        entry: String,
        /// What it shares them with, for people.
        other: String,
    },
    /// Two entries have one name.
    #[error("`{entry}` is in the archive twice: export the model again, or repack it")]
    DuplicateName {
        /// Name inside the archive.
        entry: String,
    },
    /// The name could mean a place outside of the archive, or different places.
    #[error("the entry name `{entry}` is refused: {reason}; rename it and repack the archive")]
    BadName {
        /// The name.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A symbolic link.
    #[error("`{entry}` is a symbolic link: repack the archive with the file itself")]
    Symlink {
        /// Name inside the archive.
        entry: String,
    },
    /// An archive inside the archive; a MOJO has none.
    #[error("`{entry}` is an archive inside the archive: unpack it, and give the MOJO itself")]
    Nested {
        /// Name inside the archive.
        entry: String,
    },
    /// A password is needed.
    #[error("`{entry}` is encrypted: repack the archive without a password")]
    Encrypted {
        /// Name inside the archive.
        entry: String,
    },
    /// Compressed in another way than stored or deflate.
    #[error(
        "`{entry}` is compressed with {}, only stored (0) and deflate (8) are read: repack it \
         with `zip`", method_name(*.method)
    )]
    UnknownMethod {
        /// Name inside the archive.
        entry: String,
        /// Its method, a number of the zip format.
        method: u16,
    },
    /// The directory and the header in front of the entry do not say the same.
    #[error(
        "the directory and the header of `{entry}` disagree on its {field} ({directory} and \
         {local}): damaged or tampered with; export or copy it again"
    )]
    HeaderMismatch {
        /// Name inside the archive, after the directory.
        entry: String,
        /// `place`, `name`, `flags`, `method`, `crc`, `stored size`, `inflated size`,
        /// `descriptor` (the same behind the entry's bytes).
        field: &'static str,
        /// What the directory says.
        directory: String,
        /// What the header in front of the entry says.
        local: String,
    },
    /// The compressed bytes are no deflate stream.
    #[error("`{entry}` cannot be inflated: {reason}; export or copy the file again")]
    BadDeflate {
        /// Name inside the archive.
        entry: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The entry is longer or shorter than it claims.
    #[error(
        "`{entry}` claims {declared} {what} bytes, but has {found}: damaged or tampered with; \
         export or copy it again"
    )]
    SizeMismatch {
        /// Name inside the archive.
        entry: String,
        /// `stored` or `inflated`.
        what: &'static str,
        /// The size that it claims.
        declared: u64,
        /// What is there; where it is more than declared, reading stopped here.
        found: u64,
    },
    /// The checksum is another one.
    #[error(
        "`{entry}` has the checksum {found:08x} instead of {declared:08x}: the file is damaged; \
         export or copy it again"
    )]
    Crc {
        /// Name inside the archive.
        entry: String,
        /// CRC-32 that the directory claims.
        declared: u32,
        /// CRC-32 of the bytes.
        found: u32,
    },
    /// No such entry.
    #[error("the archive has no `{entry}`")]
    NotFound {
        /// The name.
        entry: String,
    },
    /// The machine has no room for the entry.
    #[error("not enough memory for `{entry}` ({bytes} bytes or more)")]
    OutOfMemory {
        /// Name inside the archive.
        entry: String,
        /// What was asked for.
        bytes: u64,
    },
}

impl ArchiveError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotZip { .. } => "not_zip",
            Self::Truncated { .. } => "truncated",
            Self::TrailingData { .. } => "trailing_data",
            Self::Prefix { .. } => "prefix",
            Self::MultiDisk => "multi_disk",
            Self::BadDirectory { .. } => "bad_directory",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::EntryTooBig { .. } => "entry_too_big",
            Self::TotalTooBig { .. } => "total_too_big",
            Self::InflationRatio { .. } => "inflation_ratio",
            Self::Overlap { .. } => "overlap",
            Self::DuplicateName { .. } => "duplicate_name",
            Self::BadName { .. } => "bad_name",
            Self::Symlink { .. } => "symlink",
            Self::Nested { .. } => "nested_archive",
            Self::Encrypted { .. } => "encrypted",
            Self::UnknownMethod { .. } => "unknown_method",
            Self::HeaderMismatch { .. } => "header_mismatch",
            Self::BadDeflate { .. } => "bad_deflate",
            Self::SizeMismatch { .. } => "size_mismatch",
            Self::Crc { .. } => "crc",
            Self::NotFound { .. } => "not_found",
            Self::OutOfMemory { .. } => "out_of_memory",
        }
    }
}

/// A name as a message may show it.
pub(super) fn shown(name: &str) -> String {
    crate::error::shown(name, SHOWN_MAX)
}

fn method_name(method: u16) -> String {
    let name = match method {
        1 => "shrink",
        6 => "implode",
        9 => "deflate64",
        12 => "bzip2",
        14 => "LZMA",
        20 | 93 => "zstd",
        95 => "xz",
        98 => "PPMd",
        _ => return format!("the unknown method {method}"),
    };
    format!("{name} (method {method})")
}
