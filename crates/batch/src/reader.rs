//! From sources to blocks of whole records.

use std::io::Read;
use std::sync::Arc;

use arrow_schema::DataType;

use crate::block::Block;
use crate::columns::{self, Columns};
use crate::csv::{self, End, Fields};
use crate::error::BatchError;
use crate::plan::{Names, Plan, Records};
use crate::source::{Format, Source, unpack};
use crate::summary::MissingColumns;

/// A longer record is refused: it is nearly always a quote that is never closed.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;

/// Bounds of a block. A single record may be longer than `bytes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockSize {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Of the CSV sources of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) header: bool,
}

/// Reads all sources of a job, one after the other.
pub(crate) struct Reader {
    sources: std::vec::IntoIter<Source>,
    names: Arc<Names>,
    dialect: Dialect,
    size: BlockSize,
    open: Option<Open>,
    next_row: u64,
    next_sequence: u64,
    /// What the headers say; empty again when somebody has taken it.
    pub(crate) notes: Notes,
}

/// What the beginnings of sources say about columns.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) missing: Vec<MissingColumns>,
    pub(crate) ignored: Vec<String>,
    /// Types of the columns to keep in the first columnar source, if there is one.
    pub(crate) kept: Option<Vec<DataType>>,
}

impl Reader {
    pub(crate) fn new(
        sources: Vec<Source>,
        names: Arc<Names>,
        dialect: Dialect,
        size: BlockSize,
    ) -> Self {
        Self {
            sources: sources.into_iter(),
            names,
            dialect,
            size,
            open: None,
            next_row: 0,
            next_sequence: 0,
            notes: Notes::default(),
        }
    }

    /// Fills a block with the next rows. False: there are none, the block is as it was.
    ///
    /// An error is put into the block, in its place of the sequence.
    pub(crate) fn fill(&mut self, block: &mut Block) -> bool {
        let filled = self.try_fill(block);
        if matches!(filled, Ok(false)) {
            return false;
        }
        block.error = filled.err();
        block.sequence = self.next_sequence;
        self.next_sequence += 1;
        true
    }

    fn try_fill(&mut self, block: &mut Block) -> Result<bool, BatchError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(source) = self.sources.next() else { return Ok(false) };
                self.open = Some(self.start(source)?);
                continue;
            };
            if open.fill(block, self.size)? {
                block.first_row = self.next_row;
                self.next_row += block.rows as u64;
                return Ok(true);
            }
            self.open = None;
        }
    }

    fn start(&mut self, source: Source) -> Result<Open, BatchError> {
        if source.format.is_columnar() {
            return self.start_columns(source);
        }
        let Source { name, format, compression, open, file: _ } = source;
        let packed =
            open().map_err(|cause| BatchError::Open { source_name: name.clone(), cause })?;
        let mut text = Text::new(name.clone(), unpack(compression, packed), self.size.bytes);
        text.skip_byte_order_mark()?;
        let names = Arc::clone(&self.names);
        let plan = match format {
            Format::Jsonl => Plan::jsonl(name, names),
            _ => {
                let header = text.header(self.dialect, &self.names)?;
                let (plan, filled, ignored) =
                    Plan::csv(name, names, self.dialect.delimiter, &header)?;
                // An empty file without a header has no columns, and no rows to miss them.
                if self.dialect.header || !header.is_empty() {
                    self.notes.missing.extend(self.names.check(&plan.source_name, &filled)?);
                    self.notes.ignored.extend(ignored);
                }
                plan
            }
        };
        Ok(Open { plan: Arc::new(plan), input: Input::Text(text) })
    }

    fn start_columns(&mut self, source: Source) -> Result<Open, BatchError> {
        let name = source.name.clone();
        let (columns, fields, all) = Columns::open(source, &self.names)?;
        self.notes.kept.get_or_insert_with(|| columns::kept_types(&fields));
        let (plan, filled, ignored) = Plan::columns(name, Arc::clone(&self.names), fields, &all);
        self.notes.missing.extend(self.names.check(&plan.source_name, &filled)?);
        self.notes.ignored.extend(ignored);
        Ok(Open { plan: Arc::new(plan), input: Input::Columns(columns) })
    }
}

/// A source that is being read.
struct Open {
    plan: Arc<Plan>,
    input: Input,
}

enum Input {
    Text(Text),
    Columns(Columns),
}

impl Open {
    fn fill(&mut self, block: &mut Block, size: BlockSize) -> Result<bool, BatchError> {
        let Self { plan, input } = self;
        let text = match input {
            Input::Text(text) => text,
            Input::Columns(columns) => return fill_from_columns(plan, columns, block, size),
        };
        let delimiter = match &plan.records {
            Records::Csv { delimiter, .. } => Some(*delimiter),
            Records::Jsonl { .. } | Records::Columns { .. } => None,
        };
        loop {
            let (mut bytes, mut lines, mut rows) = (0, 0, 0);
            while rows < size.rows && bytes < size.bytes {
                let rest = &text.ahead()[bytes..];
                match next_end(rest, delimiter) {
                    End::At { bytes: len, lines: more } => {
                        rows += usize::from(plan.is_row(&rest[..len]));
                        bytes += len;
                        lines += more;
                    }
                    End::Open { .. } if bytes > 0 => break,
                    End::Open { in_quotes } => {
                        if text.read_more(in_quotes)? {
                            continue;
                        }
                        // The last record needs no line end.
                        bytes = text.ahead().len();
                        if bytes == 0 {
                            return Ok(false);
                        }
                        rows += usize::from(plan.is_row(text.ahead()));
                        break;
                    }
                }
            }
            block.first_line = text.line;
            block.first_byte = text.offset;
            block.bytes.clear();
            block.bytes.extend_from_slice(&text.ahead()[..bytes]);
            block.rows = rows;
            text.pass(bytes, lines);
            if rows > 0 {
                block.plan = Some(Arc::clone(plan));
                return Ok(true);
            }
        }
    }
}

fn fill_from_columns(
    plan: &Arc<Plan>,
    columns: &mut Columns,
    block: &mut Block,
    size: BlockSize,
) -> Result<bool, BatchError> {
    let Some((records, first)) = columns.next(size.rows)? else { return Ok(false) };
    block.plan = Some(Arc::clone(plan));
    block.rows = records.num_rows();
    block.first_line = first + 1;
    block.bytes.clear();
    block.records = Some(records);
    Ok(true)
}

/// The end of the next record: of CSV with a delimiter, of JSONL without.
fn next_end(bytes: &[u8], delimiter: Option<u8>) -> End {
    match delimiter {
        Some(delimiter) => csv::record_end(bytes, delimiter),
        None => match memchr::memchr(b'\n', bytes) {
            Some(found) => End::At { bytes: found + 1, lines: 1 },
            None => End::Open { in_quotes: false },
        },
    }
}

/// Bytes that were read and not yet passed.
struct Text {
    source_name: String,
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The bytes ahead are `buffer[start..end]`.
    start: usize,
    end: usize,
    at_end: bool,
    /// Of `buffer[start]`, from 1.
    line: u64,
    /// Of `buffer[start]` in the source.
    offset: u64,
}

impl Text {
    fn new(source_name: String, input: Box<dyn Read + Send>, bytes: usize) -> Self {
        Self {
            source_name,
            input,
            buffer: vec![0; bytes],
            start: 0,
            end: 0,
            at_end: false,
            line: 1,
            offset: 0,
        }
    }

    fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn pass(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.line += lines;
    }

    /// Reads behind the bytes ahead, which are one unfinished record. False: nothing is left.
    fn read_more(&mut self, in_quotes: bool) -> Result<bool, BatchError> {
        if self.at_end {
            return if in_quotes {
                Err(BatchError::OpenQuote {
                    source_name: self.source_name.clone(),
                    line: self.line,
                })
            } else {
                Ok(false)
            };
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.end >= RECORD_BYTES_MAX {
                return Err(BatchError::LongRecord {
                    source_name: self.source_name.clone(),
                    line: self.line,
                    limit_bytes: RECORD_BYTES_MAX,
                    guess: if in_quotes {
                        ": a quote in it may never be closed"
                    } else {
                        ": it may be no text, or have other line ends than LF and CRLF"
                    },
                });
            }
            self.buffer.resize((2 * self.end).min(RECORD_BYTES_MAX), 0);
        }
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(BatchError::Read { source_name: self.source_name.clone(), cause });
                }
            }
        }
        Ok(true)
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), BatchError> {
        self.read_more(false)?;
        if self.ahead().starts_with(b"\xEF\xBB\xBF") {
            self.pass(3, 0);
        }
        Ok(())
    }

    /// The length of the first record and its line ends; zeros at the end of the source.
    fn first_record(
        &mut self,
        delimiter: u8,
        pass_blank: bool,
    ) -> Result<(usize, u64), BatchError> {
        loop {
            match csv::record_end(self.ahead(), delimiter) {
                End::At { bytes, lines } if pass_blank && csv::is_blank(&self.ahead()[..bytes]) => {
                    self.pass(bytes, lines);
                }
                End::At { bytes, lines } => return Ok((bytes, lines)),
                End::Open { in_quotes } => {
                    if !self.read_more(in_quotes)? {
                        return Ok((self.ahead().len(), 0));
                    }
                }
            }
        }
    }

    /// Names of the fields: passes the header, or takes the model's where there is none.
    fn header(&mut self, dialect: Dialect, names: &Names) -> Result<Vec<String>, BatchError> {
        if !dialect.header {
            return self.headerless(dialect, names);
        }
        let (bytes, lines) = self.first_record(dialect.delimiter, true)?;
        let record = &self.ahead()[..bytes];
        if record.is_empty() {
            return Err(BatchError::NoHeader { source_name: self.source_name.clone() });
        }
        let fields = self.fields(record, dialect.delimiter)?;
        let end = record.trim_ascii_end();
        if memchr::memchr(b'\r', end).is_some() && memchr::memchr(b'"', end).is_none() {
            return Err(BatchError::CarriageReturns { source_name: self.source_name.clone() });
        }
        self.pass(bytes, lines);
        Ok(fields)
    }

    fn headerless(&mut self, dialect: Dialect, names: &Names) -> Result<Vec<String>, BatchError> {
        let schema = names.schema();
        let columns = schema.columns();
        // In a file of one column blank lines are rows: none may be passed here.
        let (bytes, _) = self.first_record(dialect.delimiter, columns.len() > 1)?;
        let record = &self.ahead()[..bytes];
        if record.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.fields(record, dialect.delimiter)?.len();
        let mut given: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if found + 1 == given.len() && schema.offset() == Some(found) {
            given.pop();
        }
        if found != given.len() {
            return Err(BatchError::HeaderlessWidth {
                source_name: self.source_name.clone(),
                line: self.line,
                found,
                expected: columns.len(),
            });
        }
        Ok(given)
    }

    fn fields(&self, record: &[u8], delimiter: u8) -> Result<Vec<String>, BatchError> {
        let text = std::str::from_utf8(record).map_err(|bad| BatchError::NotUtf8 {
            source_name: self.source_name.clone(),
            line: self.line,
            offset: self.offset + bad.valid_up_to() as u64,
        })?;
        let mut fields = Fields::new(text, delimiter);
        let mut names = Vec::new();
        loop {
            let field = fields.next().map_err(|_| BatchError::AfterQuote {
                source_name: self.source_name.clone(),
                line: self.line,
                field: names.len() + 1,
            })?;
            names.push(field.text.into_owned());
            if field.last {
                return Ok(names);
            }
        }
    }
}
