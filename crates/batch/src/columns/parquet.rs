//! Parquet: the wanted columns, page by page.

use std::fs::File;
use std::sync::Arc;

use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use parquet::basic::Compression;
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::zstd::ZstdPages;
use super::{Batches, ColumnField, Stop, all_names, select, with_dictionaries};
use crate::plan::Names;

/// Rows that are decoded together.
const ROWS: usize = 4_096;

/// `fields` of what is returned are places in the record batches.
pub(super) fn open(
    file: File,
    source_name: &str,
    names: &Names,
) -> Result<(Batches, Vec<ColumnField>, Vec<String>), Stop> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let described = metadata.file_metadata();
    let keys = described.key_value_metadata();
    let descriptor = described.schema_descr();
    let schema = parquet_to_arrow_schema(descriptor, keys)?;
    let mut fields = select(&schema.fields, source_name, names)?;
    let wanted = with_dictionaries(&schema.fields, &fields, names);
    let mask = ProjectionMask::roots(descriptor, fields.iter().map(|field| field.at));
    let levels = parquet_to_arrow_field_levels(descriptor, mask, Some(&wanted))?;
    let all = all_names(&schema.fields);
    let groups = Groups { file: Arc::new(file), metadata: Arc::new(metadata) };
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, ROWS, None)?;
    // The columns that are not wanted are not there.
    for (at, field) in fields.iter_mut().enumerate() {
        field.at = at;
    }
    let batches = reader.map(|batch| batch.map_err(Into::into));
    Ok((Box::new(batches), fields, all))
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::Damaged(error.to_string())
    }
}

struct Groups {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
}

impl RowGroups for Groups {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| group.num_rows() as usize).sum()
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let (file, metadata) = (Arc::clone(&self.file), Arc::clone(&self.metadata));
        Ok(Box::new(Chunks { file, metadata, leaf, group: 0 }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.metadata.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of a column, row group by row group.
struct Chunks {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    leaf: usize,
    group: usize,
}

impl Chunks {
    fn open(&self, group: &RowGroupMetaData) -> Result<Box<dyn PageReader>> {
        let chunk = group.column(self.leaf);
        let rows = group.num_rows() as usize;
        let pages =
            |chunk: &_| SerializedPageReader::new(Arc::clone(&self.file), chunk, rows, None);
        if !matches!(chunk.compression(), Compression::ZSTD(_)) {
            return Ok(Box::new(pages(chunk)?));
        }
        // The crate's own Zstandard is C.
        let builder = chunk.clone().into_builder();
        let plain = builder.set_compression(Compression::UNCOMPRESSED).build()?;
        Ok(Box::new(ZstdPages::new(pages(&plain)?)))
    }
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let metadata = Arc::clone(&self.metadata);
        let group = metadata.row_groups().get(self.group)?;
        self.group += 1;
        Some(self.open(group))
    }
}

impl PageIterator for Chunks {}
