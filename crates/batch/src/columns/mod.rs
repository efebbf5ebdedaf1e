//! Columnar sources, Parquet and Arrow IPC: their schema against the job's names, and their rows as
//! record batches.

mod arrow;
mod cells;
mod ipc_buffers;
mod kept;
mod parquet;
mod runs;
mod zstd;

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Fields};
use stemson_mojo::Kind;

pub(crate) use cells::{keep, words};
pub(crate) use kept::{kept_arrays, kept_types};
pub(crate) use runs::{Lookups, fill};

use crate::error::BatchError;
use crate::plan::{Names, Target};
use crate::source::{Compression, Format, Source, unpack};

/// Record batches, and why there are no more where something is wrong.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Stop>> + Send>;

/// A columnar source that is being read.
pub(crate) struct Columns {
    source_name: String,
    format: Format,
    batches: Batches,
    /// Rows that were read and not yet taken.
    ahead: Option<RecordBatch>,
    /// Rows taken.
    taken: u64,
}

/// A column that the job wants.
#[derive(Debug)]
pub(crate) struct ColumnField {
    /// Place in the source's schema.
    pub(crate) at: usize,
    pub(crate) target: Target,
    /// In the source's schema.
    pub(crate) data_type: DataType,
}

impl Columns {
    /// Opens a source; also the names of all of its columns.
    pub(crate) fn open(
        source: Source,
        names: &Names,
    ) -> Result<(Self, Vec<ColumnField>, Vec<String>), BatchError> {
        let Source { name: source_name, format, compression, open, file } = source;
        let failed = |cause| BatchError::Open { source_name: source_name.clone(), cause };
        // What is no file on disk, such as a pipe, can be opened once.
        let file = file.filter(|_| compression == Compression::None).map(|open| open());
        let file = file.transpose().map_err(failed)?;
        let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
        let (file, stream): (_, Box<dyn Read + Send>) = match file {
            Some(file) if is_file(&file) => {
                let stream = file.try_clone().map_err(failed)?;
                (Some(file), Box::new(stream))
            }
            Some(pipe) => (None, Box::new(pipe)),
            None => (None, unpack(compression, open().map_err(failed)?)),
        };
        let as_file = |stream| file.map_or_else(|| spool(stream), Ok);
        let opened = match format {
            Format::Parquet => {
                let file = as_file(stream).map_err(|cause| BatchError::Read {
                    source_name: source_name.clone(),
                    cause,
                })?;
                guard(|| parquet::open(file, &source_name, names))
            }
            _ => guard(|| arrow::open(stream, as_file, &source_name, names)),
        };
        let (batches, fields, all) = opened.map_err(|stop| stop.told(&source_name, format))?;
        Ok((Self { source_name, format, batches, ahead: None, taken: 0 }, fields, all))
    }

    /// The next rows, at most so many, and the number of the first one in the source.
    pub(crate) fn next(
        &mut self,
        rows_max: usize,
    ) -> Result<Option<(RecordBatch, u64)>, BatchError> {
        loop {
            if let Some(batch) = self.ahead.take()
                && batch.num_rows() > 0
            {
                let rows = batch.num_rows().min(rows_max);
                let first = self.taken;
                self.taken += rows as u64;
                self.ahead = Some(batch.slice(rows, batch.num_rows() - rows));
                return Ok(Some((batch.slice(0, rows), first)));
            }
            let batches = &mut self.batches;
            let next = guard(|| batches.next().transpose());
            match next.map_err(|stop| stop.told(&self.source_name, self.format))? {
                None => return Ok(None),
                next => self.ahead = next,
            }
        }
    }
}

/// Why a columnar source cannot be read.
enum Stop {
    Job(BatchError),
    Damaged(String),
}

impl From<BatchError> for Stop {
    fn from(error: BatchError) -> Self {
        Self::Job(error)
    }
}

impl Stop {
    fn told(self, source_name: &str, format: Format) -> BatchError {
        match self {
            Self::Job(error) => error,
            Self::Damaged(reason) => BatchError::Columnar {
                source_name: source_name.to_owned(),
                format: format.name(),
                reason,
            },
        }
    }
}

/// A decoder that panics has met a damaged file, which is an error like any other.
fn guard<T>(read: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<String>().map(String::as_str);
        let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Stop::Damaged(reason.unwrap_or("its parts contradict each other").to_owned()))
    })
}

/// Parquet and files of Arrow are read from their end: a stream goes to a file without a name first.
fn spool(mut stream: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    std::io::copy(&mut stream, &mut file)?;
    Ok(file)
}

/// The columns of a schema that the job wants.
pub(crate) fn select(
    schema: &Fields,
    source_name: &str,
    names: &Names,
) -> Result<Vec<ColumnField>, BatchError> {
    let mut fields = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (at, field) in schema.iter().enumerate() {
        let target = names.target(field.name());
        if target == Target::default() {
            continue;
        }
        if !seen.insert(field.name()) {
            let (source_name, name) = (source_name.to_owned(), field.name().clone());
            return Err(BatchError::DuplicateColumn { source_name, name });
        }
        let kind = target.column.map(|column| names.schema().columns()[column].kind);
        if let Err(advice) = check(field.data_type(), kind) {
            return Err(BatchError::ColumnType {
                source_name: source_name.to_owned(),
                column: field.name().clone(),
                found: field.data_type().to_string(),
                advice,
            });
        }
        fields.push(ColumnField { at, target, data_type: field.data_type().clone() });
    }
    Ok(fields)
}

pub(crate) fn all_names(schema: &Fields) -> Vec<String> {
    schema.iter().map(|field| field.name().clone()).collect()
}

/// Whether a column of this type can be read; `kind`: what the model takes it for, if it does.
fn check(data_type: &DataType, kind: Option<Kind>) -> Result<(), &'static str> {
    match data_type {
        DataType::Null | DataType::Boolean => Ok(()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(()),
        found if found.is_integer() || found.is_floating() => Ok(()),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Ok(()),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => match kind {
            Some(Kind::Categorical) => {
                Err("the model's column is categorical: cast it to the text of its levels")
            }
            _ => Ok(()),
        },
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => {
            check(values, kind)
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Err("cast it to a string"),
        found if found.is_nested() => {
            Err("a column has one value per row: select its parts as columns of their own")
        }
        _ => Err("cast it to a number or a string"),
    }
}

/// Text that the model takes for levels is read as a dictionary: each level is looked up once.
fn with_dictionaries(schema: &Fields, fields: &[ColumnField], names: &Names) -> Fields {
    let mut wanted: Vec<FieldRef> = schema.iter().cloned().collect();
    for field in fields {
        let column = field.target.column.map(|column| &names.schema().columns()[column]);
        let found = &schema[field.at];
        let values = match found.data_type() {
            DataType::Dictionary(_, values) => values,
            plain => plain,
        };
        let is_text = matches!(values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if is_text && column.is_some_and(|column| column.kind == Kind::Categorical) {
            let text = Box::new(DataType::Utf8);
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), text);
            wanted[field.at] = Field::new(found.name(), dictionary, found.is_nullable()).into();
        }
    }
    wanted.into()
}
