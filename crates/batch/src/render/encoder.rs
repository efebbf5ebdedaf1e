//! From tables to the bytes of Parquet or Arrow IPC, in bounded memory.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, DataType, Schema};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::BatchError;
use crate::source::Format;

/// A row group of Parquet ends when its pages have grown to this: they wait in memory for its end.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Rows and bytes of a record batch of Arrow: readers like them larger than our blocks.
const BATCH_ROWS: usize = 64 << 10;
const BATCH_BYTES: usize = 8 << 20;

/// Takes the tables of an output in their order and gives its bytes.
pub(crate) struct Encoder {
    format: Format,
    /// From the first table on, whose columns all others must have.
    writer: Option<(Arc<Schema>, Writer)>,
    /// Arrow: tables of the next record batch.
    ahead: Vec<RecordBatch>,
}

/// Their output is taken away after each step.
enum Writer {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    File(Box<FileWriter<Vec<u8>>>),
    Stream(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, writer: None, ahead: Vec::new() }
    }

    /// Adds a table of rows of a source. The bytes that are ready now, perhaps none.
    ///
    /// # Errors
    /// A column has another type than in the tables before.
    pub(crate) fn push(
        &mut self,
        table: RecordBatch,
        source_name: &str,
    ) -> Result<Vec<u8>, BatchError> {
        let (schema, writer) = match &mut self.writer {
            Some(open) => open,
            None => {
                let schema = table.schema();
                let writer = Writer::open(self.format, &schema)?;
                self.writer.insert((schema, writer))
            }
        };
        if *schema != table.schema() {
            return Err(other_type(schema, &table.schema(), source_name));
        }
        if let Writer::Parquet(writer) = writer {
            return row_group(writer, &table).map_err(BatchError::write);
        }
        self.ahead.push(table);
        let rows: usize = self.ahead.iter().map(RecordBatch::num_rows).sum();
        let bytes: usize = self.ahead.iter().map(RecordBatch::get_array_memory_size).sum();
        if rows < BATCH_ROWS && bytes < BATCH_BYTES {
            return Ok(Vec::new());
        }
        writer.write(schema, &mut self.ahead).map_err(BatchError::write)
    }

    /// The last bytes. `schema`: the columns, where there was no table.
    pub(crate) fn finish(
        mut self,
        schema: impl FnOnce() -> Arc<Schema>,
    ) -> Result<Vec<u8>, BatchError> {
        let (schema, mut writer) = match self.writer {
            Some(open) => open,
            None => {
                let schema = schema();
                let writer = Writer::open(self.format, &schema)?;
                (schema, writer)
            }
        };
        let mut bytes = Vec::new();
        if !self.ahead.is_empty() {
            bytes = writer.write(&schema, &mut self.ahead).map_err(BatchError::write)?;
        }
        let last = match writer {
            Writer::Parquet(writer) => writer.into_inner().map_err(BatchError::write)?,
            Writer::File(writer) => writer.into_inner().map_err(BatchError::write)?,
            Writer::Stream(writer) => writer.into_inner().map_err(BatchError::write)?,
        };
        bytes.extend(last);
        Ok(bytes)
    }
}

impl Writer {
    fn open(format: Format, schema: &Arc<Schema>) -> Result<Self, BatchError> {
        let out = Vec::new();
        Ok(match format {
            Format::Parquet => {
                let properties = Some(properties(schema));
                let writer = ArrowWriter::try_new(out, Arc::clone(schema), properties);
                Self::Parquet(Box::new(writer.map_err(BatchError::write)?))
            }
            Format::Arrow => {
                let writer = FileWriter::try_new(out, schema).map_err(BatchError::write)?;
                Self::File(Box::new(writer))
            }
            _ => {
                let writer = StreamWriter::try_new(out, schema).map_err(BatchError::write)?;
                Self::Stream(Box::new(writer))
            }
        })
    }

    /// Writes the tables as one record batch of Arrow.
    fn write(
        &mut self,
        schema: &Arc<Schema>,
        tables: &mut Vec<RecordBatch>,
    ) -> Result<Vec<u8>, ArrowError> {
        let batch = concat_batches(schema, tables.iter())?;
        tables.clear();
        Ok(match self {
            Self::Parquet(writer) => row_group(writer, &batch)?,
            Self::File(writer) => {
                writer.write(&batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::Stream(writer) => {
                writer.write(&batch)?;
                std::mem::take(writer.get_mut())
            }
        })
    }
}

/// Adds a table to the row group, and ends that when it is large enough.
fn row_group(
    writer: &mut ArrowWriter<Vec<u8>>,
    table: &RecordBatch,
) -> Result<Vec<u8>, ParquetError> {
    writer.write(table)?;
    if writer.memory_size() >= ROW_GROUP_BYTES {
        writer.flush()?;
    }
    Ok(std::mem::take(writer.inner_mut()))
}

/// Snappy is what every reader unpacks. Predictions hardly repeat: a dictionary of them takes time
/// and memory and goes away in the end.
fn properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("stemson ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::Float32 | DataType::Float64) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    properties.build()
}

fn other_type(expected: &Schema, found: &Schema, source_name: &str) -> BatchError {
    let mut both = expected.fields().iter().zip(found.fields());
    let other = both.find(|(expected, found)| expected != found);
    let (column, expected, found) = other.map_or_else(Default::default, |(expected, found)| {
        (found.name().clone(), expected.data_type().to_string(), found.data_type().to_string())
    });
    BatchError::KeptType { source_name: source_name.to_owned(), column, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Float64Array};
    use bytes::Bytes;
    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    fn table(place: u32) -> RecordBatch {
        let columns = (0..8).map(|column| {
            // Multiples of the golden ratio: their digits have nothing in common.
            let value = |row: u32| {
                let number = u64::from((place * 4_096 + row) * 8 + column);
                number.wrapping_mul(0x9e37_79b9_7f4a_7c15) as f64
            };
            let values = (0..4_096).map(value);
            let array: ArrayRef = Arc::new(values.collect::<Float64Array>());
            (format!("x{column}"), array)
        });
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// 30 MB of numbers that hardly pack.
    #[test]
    fn what_waits_in_memory_is_bounded() {
        const TABLES: u32 = 120;
        const TABLE_BYTES: usize = 4_096 * 8 * 8;
        for (format, bytes_max) in
            [(Format::Parquet, 2 * ROW_GROUP_BYTES), (Format::ArrowStream, 2 * BATCH_BYTES)]
        {
            let mut encoder = Encoder::new(format);
            let (mut out, mut waiting) = (Vec::new(), 0);
            for place in 0..TABLES {
                let bytes = encoder.push(table(place), "a.csv").unwrap();
                waiting = if bytes.is_empty() { waiting + TABLE_BYTES } else { 0 };
                assert!(waiting < bytes_max, "{format:?}, table {place}");
                out.extend(bytes);
            }
            out.extend(encoder.finish(|| panic!("there are tables")).unwrap());
            if format == Format::Parquet {
                let reader = SerializedFileReader::new(Bytes::from(out)).unwrap();
                let groups = reader.metadata().row_groups();
                assert!((2..=4).contains(&groups.len()), "{}", groups.len());
                let rows: i64 = groups.iter().map(RowGroupMetaData::num_rows).sum();
                assert_eq!(rows, i64::from(TABLES) * 4_096);
            }
        }
    }
}
