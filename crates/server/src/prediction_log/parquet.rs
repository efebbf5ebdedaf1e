//! The log as Parquet: the columns of the record, `row` and `out` as JSON text.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use stemson_serving::PredictionRecord;

const SCHEMA: &str = "message prediction {
  REQUIRED INT64 ts (TIMESTAMP(MICROS,true));
  REQUIRED BYTE_ARRAY request_id (STRING);
  REQUIRED BYTE_ARRAY model (STRING);
  REQUIRED BYTE_ARRAY revision (STRING);
  REQUIRED BYTE_ARRAY protocol (STRING);
  REQUIRED BYTE_ARRAY row (JSON);
  REQUIRED BYTE_ARRAY out (JSON);
  REQUIRED INT64 cost_ns;
  REQUIRED BOOLEAN cached;
}";

/// Rows that are gathered before they are written.
const GROUP_ROWS: usize = 20_000;

/// A file that is being written; nobody can read it before it is closed.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    group: Vec<PredictionRecord>,
}

impl ParquetFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(io::Error::other)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let file = File::create(path)?;
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties));
        Ok(Self { writer: writer.map_err(io::Error::other)?, group: Vec::new() })
    }

    /// Bytes of what is taken, before compression.
    pub(super) fn write(&mut self, records: &[PredictionRecord]) -> io::Result<u64> {
        self.group.extend_from_slice(records);
        if self.group.len() >= GROUP_ROWS {
            self.write_group().map_err(io::Error::other)?;
        }
        let bytes = |record: &PredictionRecord| record.row.len() + record.out.len() + 160;
        Ok(records.iter().map(bytes).sum::<usize>() as u64)
    }

    pub(super) fn close(mut self) -> io::Result<()> {
        self.write_group().map_err(io::Error::other)?;
        self.writer.into_inner().map_err(io::Error::other)?.sync_all()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let records = std::mem::take(&mut self.group);
        if records.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        let texts: [fn(&PredictionRecord) -> Vec<u8>; 6] = [
            |record| record.request_id.as_bytes().to_vec(),
            |record| record.model.as_bytes().to_vec(),
            |record| record.revision.as_bytes().to_vec(),
            |record| record.protocol.as_bytes().to_vec(),
            |record| record.row.clone(),
            |record| record.out.clone(),
        ];
        let ts = |record: &PredictionRecord| {
            let since = record.ts.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        };
        let times: Vec<i64> = records.iter().map(ts).collect();
        write_numbers(&mut group, &times)?;
        for text in texts {
            let values: Vec<ByteArray> =
                records.iter().map(|record| ByteArray::from(text(record))).collect();
            if let Some(mut column) = group.next_column()? {
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
                column.close()?;
            }
        }
        let cost = |record: &PredictionRecord| i64::try_from(record.cost_ns).unwrap_or(i64::MAX);
        let costs: Vec<i64> = records.iter().map(cost).collect();
        write_numbers(&mut group, &costs)?;
        let cached: Vec<bool> = records.iter().map(|record| record.cached).collect();
        if let Some(mut column) = group.next_column()? {
            column.typed::<BoolType>().write_batch(&cached, None, None)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_numbers(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[i64],
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int64Type>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}
