//! Zstandard of columnar sources: pages of Parquet, and frames.

use std::io::Read;

use bytes::Bytes;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use ruzstd::decoding::StreamingDecoder;

/// Pages have a megabyte as a rule.
const PAGE_BYTES_MAX: u64 = 256 << 20;

/// Unpacks the pages of another reader, which takes them for plain ones.
pub(super) struct ZstdPages<R> {
    packed: R,
}

impl<R> ZstdPages<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { packed }
    }
}

impl<R: PageReader> PageReader for ZstdPages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.packed.get_next_page()?.map(unpack_page).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.packed.at_record_boundary()
    }
}

impl<R: PageReader> Iterator for ZstdPages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn unpack_page(mut page: Page) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpack(buf, 0)?,
        // The levels before the values are never packed.
        Page::DataPageV2 {
            buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, ..
        } => {
            if *is_compressed {
                *buf = unpack(buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)?;
            }
        }
    }
    Ok(page)
}

/// The bytes of a page of which the first `plain` are not packed.
fn unpack(page: &[u8], plain: usize) -> Result<Bytes> {
    let damaged = |reason: String| ParquetError::General(format!("a Zstandard page: {reason}"));
    let (levels, packed) = page
        .split_at_checked(plain)
        .ok_or_else(|| damaged("it is shorter than its header says".to_owned()))?;
    let mut bytes = levels.to_vec();
    // Nothing but nulls.
    if !packed.is_empty() {
        append(packed, PAGE_BYTES_MAX, &mut bytes).map_err(damaged)?;
        if (bytes.len() - levels.len()) as u64 == PAGE_BYTES_MAX {
            return Err(damaged(format!("it is longer than {PAGE_BYTES_MAX} bytes")));
        }
    }
    Ok(bytes.into())
}

/// Unpacks a frame, up to so many bytes.
pub(super) fn append(packed: &[u8], bytes_max: u64, out: &mut Vec<u8>) -> Result<(), String> {
    let unpacked = StreamingDecoder::new(packed).map_err(|cause| cause.to_string())?;
    unpacked.take(bytes_max).read_to_end(out).map(drop).map_err(|cause| cause.to_string())
}
