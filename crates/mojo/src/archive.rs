//! Reads zip archives from bytes: total and bounded.
//!
//! Promises:
//!
//! - Any byte string gives an archive or an [`ArchiveError`]; nothing here panics or recurses.
//! - One answer only: what the central directory and an entry's own header say must agree, names
//!   are unique and stay inside the archive, no two entries share a byte, and the archive fills its
//!   file from the first byte to the last. A file that two readers could read in two ways is refused.
//! - Memory follows the bytes that are really there, never a size that the file claims: opening
//!   costs about 100 bytes per entry, reading an entry at most about twice what comes out of it.
//! - Every bound of [`Limits`] holds before the work that it bounds is done.
//!
//! Read are the methods stored and deflate, zip64, and data descriptors (which Java writes for
//! every entry). Unclaimed bytes between entries are ignored, archives inside the archive refused.
//! Format: PKWARE APPNOTE 6.3, sections 4.3 to 4.5.

// Tests may index and lie; the parsers may not.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::panic,
        clippy::expect_used
    )
)]

mod directory;
mod error;
#[cfg(test)]
mod forge;
mod looks;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

use flate2::{Decompress, FlushDecompress, Status};

use self::directory::{Entry, Method};
pub use self::error::ArchiveError;
use self::error::shown;
use crate::limits::Limits;

/// What an entry gets before its first byte is inflated, at most.
const FIRST_RESERVE: usize = 1 << 20;

/// An opened archive: its directory, checked whole, over the bytes of the file.
pub(crate) struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry<'a>>,
    /// In order, so that a folder is a range.
    by_name: BTreeMap<&'a str, usize>,
    total_bytes_max: u64,
    /// Inflated bytes that may still be read: what is read twice counts twice.
    budget: Cell<u64>,
    /// Kept between entries: a forest has thousands of them, and each inflater is 48 KiB.
    inflater: Cell<Option<Decompress>>,
}

impl<'a> Archive<'a> {
    /// Reads and checks the directory and every entry's own header; inflates nothing.
    pub(crate) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, ArchiveError> {
        let entries = directory::read(bytes, limits)?;
        let mut by_name = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if by_name.insert(entry.name, index).is_some() {
                return Err(ArchiveError::DuplicateName { entry: shown(entry.name) });
            }
        }
        directory::check_places(&entries)?;
        directory::check_sizes(&entries, limits)?;
        directory::check_local_headers(bytes, &entries)?;
        directory::check_nesting(bytes, &entries)?;
        Ok(Self {
            bytes,
            entries,
            by_name,
            total_bytes_max: limits.total_bytes_max,
            budget: Cell::new(limits.total_bytes_max),
            inflater: Cell::new(None),
        })
    }

    /// Whether [`Self::read`] would find the entry. Folders are no entries.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Number of inflated bytes that the directory gives for an entry; `None` without the entry.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.find(name).map(|entry| entry.size)
    }

    /// Number of bytes of an entry as they lie in the file; 0 without the entry.
    pub(crate) fn stored_size_of(&self, name: &str) -> u64 {
        self.find(name).map_or(0, |entry| entry.data.len() as u64)
    }

    /// The inflated bytes of an entry, their number and checksum checked.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.read_into(name, &mut bytes)?;
        Ok(bytes)
    }

    /// The same in place of what `bytes` holds: whoever reads thousands of entries needs room for one.
    pub(crate) fn read_into(&self, name: &str, bytes: &mut Vec<u8>) -> Result<(), ArchiveError> {
        bytes.clear();
        let entry = self.find(name).ok_or_else(|| ArchiveError::NotFound { entry: shown(name) })?;
        if entry.size > self.budget.get() {
            return Err(self.over_budget(entry.size));
        }
        let stored = self.bytes.get(entry.data.clone()).unwrap_or_default();
        match entry.method {
            Method::Stored => self.copy(entry, stored, bytes)?,
            Method::Deflate => {
                let mut inflater = self.inflater.take().unwrap_or_else(|| Decompress::new(false));
                let inflated = self.inflate(entry, stored, &mut inflater, bytes);
                inflater.reset(false);
                self.inflater.set(Some(inflater));
                inflated?;
            }
        }
        let found = crc32fast::hash(bytes);
        if found != entry.crc {
            let declared = entry.crc;
            return Err(ArchiveError::Crc { entry: shown(entry.name), declared, found });
        }
        Ok(())
    }

    /// Names in the order of the central directory, folders (which end in `/`) among them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// Names that begin with `start`, in order. Costs what it yields, not what there is.
    pub(crate) fn names_from(&self, start: String) -> impl Iterator<Item = &str> {
        let bounds = (Bound::Included(start.as_str()), Bound::Unbounded);
        let from = self.by_name.range::<str, _>(bounds);
        from.map(|(&name, _)| name).take_while(move |name| name.starts_with(start.as_str()))
    }

    fn find(&self, name: &str) -> Option<&Entry<'a>> {
        let index = *self.by_name.get(name)?;
        self.entries.get(index).filter(|entry| !entry.is_folder())
    }

    fn copy(
        &self,
        entry: &Entry<'_>,
        stored: &[u8],
        bytes: &mut Vec<u8>,
    ) -> Result<(), ArchiveError> {
        self.charge(stored.len())?;
        make_room(bytes, stored.len(), entry)?;
        bytes.extend_from_slice(stored);
        Ok(())
    }

    fn inflate(
        &self,
        entry: &Entry<'_>,
        stored: &[u8],
        inflater: &mut Decompress,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ArchiveError> {
        let bad = |reason| ArchiveError::BadDeflate { entry: shown(entry.name), reason };
        let wrong_size = |what, declared, found| ArchiveError::SizeMismatch {
            entry: shown(entry.name),
            what,
            declared,
            found,
        };
        // Room for one byte more than declared: it shows a stream that goes on.
        let room_max = usize::try_from(entry.size).unwrap_or(usize::MAX).saturating_add(1);
        let mut rest = stored;
        loop {
            if bytes.len() == bytes.capacity() {
                let room = bytes.capacity().saturating_mul(2).max(FIRST_RESERVE).min(room_max);
                make_room(bytes, room, entry)?;
            }
            let (read, written) = (inflater.total_in(), bytes.len());
            let status = inflater
                .decompress_vec(rest, bytes, FlushDecompress::None)
                .map_err(|_| bad("the stream is damaged"))?;
            let read = usize::try_from(inflater.total_in().saturating_sub(read)).unwrap_or(0);
            rest = rest.get(read..).unwrap_or_default();
            let written = bytes.len().saturating_sub(written);
            self.charge(written)?;
            if bytes.len() as u64 > entry.size {
                return Err(wrong_size("inflated", entry.size, bytes.len() as u64));
            }
            if status == Status::StreamEnd {
                break;
            }
            if read == 0 && written == 0 {
                return Err(bad("the stream breaks off"));
            }
        }
        if bytes.len() as u64 != entry.size {
            return Err(wrong_size("inflated", entry.size, bytes.len() as u64));
        }
        if !rest.is_empty() {
            let used = stored.len().saturating_sub(rest.len());
            return Err(wrong_size("stored", stored.len() as u64, used as u64));
        }
        Ok(())
    }

    fn charge(&self, bytes: usize) -> Result<(), ArchiveError> {
        let left = self.budget.get().checked_sub(bytes as u64);
        self.budget.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| self.over_budget(bytes as u64))
    }

    fn over_budget(&self, more: u64) -> ArchiveError {
        let used = self.total_bytes_max.saturating_sub(self.budget.get());
        ArchiveError::TotalTooBig { found: used.saturating_add(more), limit: self.total_bytes_max }
    }
}

/// Sizes, for whoever describes a file.
#[cfg_attr(not(test), expect(dead_code, reason = "no description of a file asks for them yet"))]
impl Archive<'_> {
    /// How many entries the directory lists, folders among them.
    pub(crate) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all entries as they lie in the file.
    pub(crate) fn stored_size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.data.len() as u64).sum()
    }

    /// Bytes of all entries when inflated, as declared; not above `Limits::total_bytes_max`.
    pub(crate) fn inflated_size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

/// Lets `bytes` hold `room` bytes in all.
fn make_room(bytes: &mut Vec<u8>, room: usize, entry: &Entry<'_>) -> Result<(), ArchiveError> {
    bytes
        .try_reserve_exact(room.saturating_sub(bytes.len()))
        .map_err(|_| ArchiveError::OutOfMemory { entry: shown(entry.name), bytes: room as u64 })
}
