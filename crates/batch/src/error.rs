//! What can end a job before its last row.

use std::io;

use stemson_mojo::NotOffered;

use crate::source::Format;

/// Why a job ended early. Rows that the model refuses are no such reason: see
/// [`crate::Summary::refused`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A source could not be opened.
    #[error("cannot open {source_name}")]
    Open {
        /// The source's name.
        source_name: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A source could not be read to its end, or its compression is damaged.
    #[error("cannot read {source_name}")]
    Read {
        /// The source's name.
        source_name: String,
        /// What the system or the decoder says.
        #[source]
        cause: io::Error,
    },
    /// The output does not take more.
    #[error("cannot write the predictions")]
    Write {
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Bytes that are no UTF-8.
    #[error("{source_name}, line {line}: byte {offset} is not UTF-8")]
    NotUtf8 {
        /// The source's name.
        source_name: String,
        /// Counted from 1.
        line: u64,
        /// Of the (decompressed) input, counted from 0.
        offset: u64,
    },
    /// A CSV source without its header line.
    #[error("{source_name} is empty, expected a header line")]
    NoHeader {
        /// The source's name.
        source_name: String,
    },
    /// Lines that end as no system has ended them for 25 years.
    #[error("{source_name}, line 1: lines end with a carriage return alone, expected LF or CRLF")]
    CarriageReturns {
        /// The source's name.
        source_name: String,
    },
    /// A Parquet file or an Arrow stream that cannot be decoded.
    #[error("{source_name} cannot be read as {format}: {reason}")]
    Columnar {
        /// The source's name.
        source_name: String,
        /// Parquet or Arrow IPC.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// Two columns of one name in a Parquet file or an Arrow stream.
    #[error("{source_name} has two columns called `{name}`")]
    DuplicateColumn {
        /// The source's name.
        source_name: String,
        /// The name that stands twice.
        name: String,
    },
    /// A column of a type that no value of the model's can come from.
    #[error("{source_name}, column `{column}`: values of type {found} cannot be read; {advice}")]
    ColumnType {
        /// The source's name.
        source_name: String,
        /// The column's name.
        column: String,
        /// Arrow's name of the type.
        found: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A kept column that has another type than in the inputs before, in an output that has types.
    #[error(
        "{source_name}: the kept column `{column}` is {found}, expected {expected} as in the \
         inputs before"
    )]
    KeptType {
        /// The source's name.
        source_name: String,
        /// The column's name.
        column: String,
        /// Arrow's name of its type.
        found: String,
        /// Arrow's name of the type that the output has.
        expected: String,
    },
    /// A model of words and a columnar source.
    #[error(
        "{source_name}: the words of this model cannot be read from {format}, expected CSV or JSONL"
    )]
    WordsInTable {
        /// The source's name.
        source_name: String,
        /// Parquet or Arrow IPC.
        format: &'static str,
    },
    /// Two columns of one name.
    #[error("{source_name}, line 1: the header names `{name}` twice")]
    DuplicateHeader {
        /// The source's name.
        source_name: String,
        /// The name that stands twice.
        name: String,
    },
    /// Without a header the fields are the model's columns.
    #[error(
        "{source_name}, line {line}: {found} fields, expected {expected}: without a header the \
         fields are the model's columns, in its order"
    )]
    HeaderlessWidth {
        /// The source's name.
        source_name: String,
        /// Of the first record.
        line: u64,
        /// Fields in the first record.
        found: usize,
        /// Columns of the model.
        expected: usize,
    },
    /// A record with more or fewer fields than the first one.
    #[error("{source_name}, line {line}: {found} fields, expected {expected}")]
    Ragged {
        /// The source's name.
        source_name: String,
        /// On which the record starts, counted from 1.
        line: u64,
        /// Fields of this record.
        found: usize,
        /// Fields of the header, or of the first record.
        expected: usize,
    },
    /// A quoted field that the input ends in.
    #[error("{source_name}, line {line}: a quote is opened in this record and never closed")]
    OpenQuote {
        /// The source's name.
        source_name: String,
        /// On which the record starts.
        line: u64,
    },
    /// `"a"b`.
    #[error(
        "{source_name}, line {line}, field {field}: text after the closing quote, expected a \
         delimiter or the end of the line"
    )]
    AfterQuote {
        /// The source's name.
        source_name: String,
        /// On which the record starts.
        line: u64,
        /// Counted from 1.
        field: usize,
    },
    /// A record that would not fit into memory's bound.
    #[error("{source_name}, line {line}: the record is longer than {limit_bytes} bytes{guess}")]
    LongRecord {
        /// The source's name.
        source_name: String,
        /// On which the record starts.
        line: u64,
        /// The bound.
        limit_bytes: usize,
        /// What may be behind it.
        guess: &'static str,
    },
    /// A line that is no flat JSON object.
    #[error("{source_name}, line {line}, column {column}: {reason}")]
    Json {
        /// The source's name.
        source_name: String,
        /// Counted from 1.
        line: u64,
        /// Character of the line, counted from 1.
        column: usize,
        /// What was found, what was expected.
        reason: String,
    },
    /// Columns of the model that a source does not have, under `strict`, or a column that the
    /// caller named as offset.
    #[error("{source_name} has no column {}", quoted(columns))]
    MissingColumns {
        /// The source's name.
        source_name: String,
        /// Names of the columns.
        columns: Vec<String>,
    },
    /// A column to keep that is not there.
    #[error("{source_name} has no column `{column}` to keep")]
    UnknownKeep {
        /// The source's name.
        source_name: String,
        /// The name.
        column: String,
    },
    /// Something that the model does not have, such as calibrated probabilities.
    #[error(transparent)]
    NotOffered(#[from] NotOffered),
    /// A model of words without a column of them.
    #[error("{source_name} names no columns: every column of the input holds words for this model")]
    NoWords {
        /// Name of the first source.
        source_name: String,
    },
    /// Words in a column that the first row or the first file does not have.
    #[error(
        "{source_name} has a column `{column}` that the first row of the job has not: for this model \
         every column holds words"
    )]
    OtherWords {
        /// The source's name.
        source_name: String,
        /// The name.
        column: String,
    },
    /// An offset column for a model that has none.
    #[error("the model was trained without an offset, `{column}` cannot be one")]
    NoOffset {
        /// The name asked for.
        column: String,
    },
    /// One column for two purposes.
    #[error("`{column}` is a feature of the model, it cannot be its offset too")]
    OffsetIsFeature {
        /// The name asked for.
        column: String,
    },
    /// An output column that would stand twice.
    #[error("the output would have two columns named `{name}`")]
    OutputTwice {
        /// The name.
        name: String,
    },
    /// A delimiter that is none.
    #[error(
        "{found:?} cannot be the delimiter: expected one ASCII character other than a quote or a line end"
    )]
    Delimiter {
        /// The byte.
        found: char,
    },
}

impl BatchError {
    /// What an encoder of the output says.
    pub(crate) fn write(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Write { cause: io::Error::other(cause) }
    }

    /// An array in memory that is not what Arrow promises; `reason` names its column.
    pub(crate) fn broken_array(source_name: &str, reason: String) -> Self {
        let (source_name, format) = (source_name.to_owned(), Format::Arrow.name());
        Self::Columnar { source_name, format, reason }
    }

    /// What went wrong and why, in one line.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::NoHeader { .. } => "no_header",
            Self::CarriageReturns { .. } => "carriage_returns",
            Self::Columnar { .. } => "columnar",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::ColumnType { .. } => "column_type",
            Self::WordsInTable { .. } => "words_in_table",
            Self::KeptType { .. } => "kept_type",
            Self::DuplicateHeader { .. } => "duplicate_header",
            Self::HeaderlessWidth { .. } => "headerless_width",
            Self::Ragged { .. } => "ragged",
            Self::OpenQuote { .. } => "open_quote",
            Self::AfterQuote { .. } => "after_quote",
            Self::LongRecord { .. } => "long_record",
            Self::Json { .. } => "json",
            Self::MissingColumns { .. } => "missing_columns",
            Self::UnknownKeep { .. } => "unknown_keep",
            Self::NotOffered(_) => "not_offered",
            Self::NoWords { .. } => "no_words",
            Self::OtherWords { .. } => "other_words",
            Self::NoOffset { .. } => "no_offset",
            Self::OffsetIsFeature { .. } => "offset_is_feature",
            Self::OutputTwice { .. } => "output_twice",
            Self::Delimiter { .. } => "delimiter",
        }
    }
}

/// `` `a`, `b` ``, cut after twenty names.
pub(crate) fn quoted(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text =
        names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(" and ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    text
}
