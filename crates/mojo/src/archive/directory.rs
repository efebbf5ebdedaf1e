//! The directory of a zip: found from the end, read once, checked against the entries' own headers.
//!
//! [`read`] yields the entries as the central directory lists them, each well named, of a known
//! method, with its bytes inside the file. The `check_*` functions compare entries with each other,
//! with the limits, and with their local headers; `Archive::open` runs all of them.

use std::ops::Range;

use super::error::{ArchiveError, shown};
use super::looks;
use crate::limits::Limits;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
/// First bytes of a split archive's first part, and of a data descriptor.
const SPLIT: &[u8] = b"PK\x07\x08";

const CENTRAL_LEN: u64 = 46;
const END_LEN: usize = 22;
const LOCATOR64_LEN: usize = 20;
/// What [`END64`] holds before its own length counts: signature and length.
const END64_HEAD_LEN: u64 = 12;

const ENCRYPTED: u16 = 1;
/// Sizes and checksum stand behind the data; in the local header they may be zero.
const STREAMED: u16 = 1 << 3;
const STRONGLY_ENCRYPTED: u16 = 1 << 6;
const UTF8: u16 = 1 << 11;
const MASKED: u16 = 1 << 13;
/// Flags that change how an entry is read. The others are hints about the compressor.
const TELLING: u16 = ENCRYPTED | STREAMED | STRONGLY_ENCRYPTED | UTF8 | MASKED;

/// Entries up to this size may be of any ratio: a domain of equal levels is harmless.
const RATIO_FREE_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflate,
}

impl Method {
    fn code(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflate => 8,
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// Inflated bytes, as declared.
    pub(super) size: u64,
    /// Where its stored bytes lie in the file; inside it, and before the directory.
    pub(super) data: Range<usize>,
    pub(super) crc: u32,
    pub(super) method: Method,
    /// Where its local header begins.
    header: usize,
    flags: u16,
}

impl Entry<'_> {
    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// The entries in the order of the central directory.
pub(super) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<Entry<'a>>, ArchiveError> {
    let end = find_end(bytes)?;
    let limit = limits.entries_max as u64;
    if end.entries > limit {
        return Err(ArchiveError::TooManyEntries { found: end.entries, limit });
    }
    let place = place_of_directory(bytes, &end)?;
    let start = place.start;
    let mut rest = Bytes(bytes.get(place).unwrap_or_default());
    if end.entries.saturating_mul(CENTRAL_LEN) > end.size {
        let reason = format!("{} bytes cannot hold {} entries", end.size, end.entries);
        return Err(ArchiveError::BadDirectory { reason });
    }
    let mut entries = Vec::with_capacity(usize::try_from(end.entries).unwrap_or(0));
    for index in 0..end.entries {
        let record = Record::read(&mut rest).ok_or_else(|| ArchiveError::BadDirectory {
            reason: format!("record {index} of {} is damaged", end.entries),
        })?;
        entries.push(record.entry(bytes, start)?);
    }
    if !rest.0.is_empty() {
        let reason = format!(
            "{} bytes follow the last of the {} entries that it claims",
            rest.0.len(),
            end.entries
        );
        return Err(ArchiveError::BadDirectory { reason });
    }
    // Where a file begins with something else, some readers see another file.
    match entries.iter().map(|entry| entry.header).min().unwrap_or(start) {
        0 => Ok(entries),
        first => Err(ArchiveError::Prefix { bytes: first as u64 }),
    }
}

/// No two entries share a byte.
pub(super) fn check_places(entries: &[Entry<'_>]) -> Result<(), ArchiveError> {
    let mut by_place: Vec<&Entry<'_>> = entries.iter().collect();
    by_place.sort_unstable_by_key(|entry| entry.header);
    for pair in by_place.windows(2) {
        if let [before, after] = pair
            && after.header < before.data.end
        {
            return Err(ArchiveError::Overlap {
                entry: shown(after.name),
                other: format!("`{}`", shown(before.name)),
            });
        }
    }
    Ok(())
}

/// Sizes as declared are within the limits. What is really there is checked while inflating.
pub(super) fn check_sizes(entries: &[Entry<'_>], limits: &Limits) -> Result<(), ArchiveError> {
    let mut total = 0_u64;
    for entry in entries {
        let stored = entry.data.len() as u64;
        if entry.size > limits.entry_bytes_max {
            return Err(ArchiveError::EntryTooBig {
                entry: shown(entry.name),
                bytes: entry.size,
                limit: limits.entry_bytes_max,
            });
        }
        let plausible = stored.saturating_mul(limits.inflation_ratio_max);
        if entry.size > RATIO_FREE_BYTES && entry.size > plausible {
            return Err(ArchiveError::InflationRatio {
                entry: shown(entry.name),
                stored,
                inflated: entry.size,
                limit: limits.inflation_ratio_max,
            });
        }
        total = total.saturating_add(entry.size);
    }
    if total > limits.total_bytes_max {
        return Err(ArchiveError::TotalTooBig { found: total, limit: limits.total_bytes_max });
    }
    Ok(())
}

/// What each entry's own header says is what the directory says of it.
pub(super) fn check_local_headers(bytes: &[u8], entries: &[Entry<'_>]) -> Result<(), ArchiveError> {
    for entry in entries {
        let local = bytes
            .get(entry.header..)
            .and_then(|rest| Local::read(&mut Bytes(rest)))
            .ok_or_else(|| no_local_header(entry.name, entry.header as u64))?;
        local.agree_with(entry)?;
        let is_silent =
            local.flags & STREAMED != 0 && (local.crc, local.stored, local.size) == (0, 0, 0);
        if is_silent && !entry.data.is_empty() {
            check_descriptor(bytes.get(entry.data.end..).unwrap_or_default(), entry)?;
        }
    }
    Ok(())
}

/// What stands behind the data instead of in the header: checksum and sizes, in four or eight bytes
/// each, with or without a signature.
fn check_descriptor(rest: &[u8], entry: &Entry<'_>) -> Result<(), ArchiveError> {
    let stored = entry.data.len() as u64;
    let agrees = |rest: &[u8]| {
        let mut narrow = Bytes(rest);
        let crc = narrow.u32();
        let mut wide = Bytes(narrow.0);
        let sizes = [narrow.u32().map(u64::from), narrow.u32().map(u64::from)];
        let wide = [wide.u64(), wide.u64()];
        let expected = [Some(stored), Some(entry.size)];
        crc == Some(entry.crc) && (sizes == expected || wide == expected)
    };
    if rest.strip_prefix(SPLIT).is_some_and(agrees) || agrees(rest) {
        return Ok(());
    }
    Err(ArchiveError::HeaderMismatch {
        entry: shown(entry.name),
        field: "descriptor",
        directory: format!("{:08x}, {stored}, {}", entry.crc, entry.size),
        local: "something else behind its bytes".to_owned(),
    })
}

/// No entry is an archive by its name, or by its first bytes where they lie open. A Java archive may
/// hold others: it is no MOJO, and is called what it is.
pub(super) fn check_nesting(bytes: &[u8], entries: &[Entry<'_>]) -> Result<(), ArchiveError> {
    if entries.iter().any(|entry| entry.name == "META-INF/MANIFEST.MF") {
        return Ok(());
    }
    let is_archive = |entry: &&Entry<'_>| {
        let data = bytes.get(entry.data.clone()).unwrap_or_default();
        let extension = entry.name.rsplit_once('.').map_or("", |(_, extension)| extension);
        ["zip", "jar"].iter().any(|it| extension.eq_ignore_ascii_case(it))
            || (entry.method == Method::Stored && data.starts_with(LOCAL))
    };
    match entries.iter().find(is_archive) {
        Some(entry) => Err(ArchiveError::Nested { entry: shown(entry.name) }),
        None => Ok(()),
    }
}

fn no_local_header(name: &str, at: u64) -> ArchiveError {
    ArchiveError::HeaderMismatch {
        entry: shown(name),
        field: "place",
        directory: format!("byte {at}"),
        local: "no header there".to_owned(),
    }
}

/// What the end records say of the directory.
struct End {
    entries: u64,
    size: u64,
    offset: u64,
    /// Where the end records begin, and the directory must have ended.
    at: usize,
}

fn find_end(bytes: &[u8]) -> Result<End, ArchiveError> {
    let Some(last) = bytes.len().checked_sub(END_LEN) else { return Err(no_end(bytes)) };
    let mut nearly = None;
    for at in (last.saturating_sub(usize::from(u16::MAX))..=last).rev() {
        let tail = bytes.get(at..).unwrap_or_default();
        let Some(short) = ShortEnd::read(&mut Bytes(tail)) else { continue };
        let behind = tail.len().saturating_sub(END_LEN);
        let comment = usize::from(short.comment);
        if comment == behind {
            return short.widen(bytes, at);
        }
        // Four bytes may look like a signature by chance; the directory before them does not.
        let ends = u64::from(short.offset).saturating_add(u64::from(short.size));
        if nearly.is_none() && (ends == at as u64 || short.offset == u32::MAX) {
            nearly = Some(if comment > behind {
                ArchiveError::Truncated { what: "its closing comment" }
            } else {
                ArchiveError::TrailingData { bytes: behind.saturating_sub(comment) as u64 }
            });
        }
    }
    Err(nearly.unwrap_or_else(|| no_end(bytes)))
}

/// Why there is no end record.
fn no_end(bytes: &[u8]) -> ArchiveError {
    if bytes.is_empty() {
        return ArchiveError::Empty;
    }
    if bytes.starts_with(SPLIT) {
        return ArchiveError::MultiDisk;
    }
    let cut = |magic: &[u8]| bytes.starts_with(magic) || magic.starts_with(bytes);
    if cut(LOCAL) || cut(END) || cut(END64) {
        return ArchiveError::Truncated { what: "its directory" };
    }
    let (looks_like, mend) = looks::looks_like(bytes);
    ArchiveError::NotZip { looks_like, mend }
}

/// The end record that every zip has. Saturated fields stand in the zip64 record.
struct ShortEnd {
    disk: u16,
    directory_disk: u16,
    entries_here: u16,
    entries: u16,
    size: u32,
    offset: u32,
    comment: u16,
}

impl ShortEnd {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        bytes.magic(END)?;
        Some(Self {
            disk: bytes.u16()?,
            directory_disk: bytes.u16()?,
            entries_here: bytes.u16()?,
            entries: bytes.u16()?,
            size: bytes.u32()?,
            offset: bytes.u32()?,
            comment: bytes.u16()?,
        })
    }

    /// With the zip64 record, if there is one. It must not contradict this record.
    fn widen(&self, bytes: &[u8], at: usize) -> Result<End, ArchiveError> {
        let locator_at = at.checked_sub(LOCATOR64_LEN);
        let locator = locator_at.and_then(|at| Locator64::read(&mut Bytes(bytes.get(at..)?)));
        let (Some(locator), Some(locator_at)) = (locator, locator_at) else {
            if self.disk != 0 || self.directory_disk != 0 || self.entries_here != self.entries {
                return Err(ArchiveError::MultiDisk);
            }
            return Ok(End {
                entries: u64::from(self.entries),
                size: u64::from(self.size),
                offset: u64::from(self.offset),
                at,
            });
        };
        let bad = |reason: &str| ArchiveError::BadDirectory { reason: reason.to_owned() };
        let start = usize::try_from(locator.offset).ok();
        let wide = start
            .and_then(|start| End64::read(&mut Bytes(bytes.get(start..locator_at)?)))
            .ok_or_else(|| bad("the zip64 end record is not where it should be"))?;
        let ends = locator.offset.checked_add(END64_HEAD_LEN);
        if ends.and_then(|head| head.checked_add(wide.len)) != Some(locator_at as u64) {
            return Err(bad("the zip64 end record is of a wrong length"));
        }
        let zero = |short: u16| short == 0 || short == u16::MAX;
        if locator.disk != 0
            || locator.disks > 1
            || wide.disk != 0
            || wide.directory_disk != 0
            || wide.entries_here != wide.entries
            || !zero(self.disk)
            || !zero(self.directory_disk)
        {
            return Err(ArchiveError::MultiDisk);
        }
        let same16 = |short: u16, wide: u64| short == u16::MAX || u64::from(short) == wide;
        let same32 = |short: u32, wide: u64| short == u32::MAX || u64::from(short) == wide;
        if !same16(self.entries, wide.entries)
            || !same32(self.size, wide.size)
            || !same32(self.offset, wide.offset)
        {
            return Err(bad("the two end records contradict each other"));
        }
        let at = start.unwrap_or(at);
        Ok(End { entries: wide.entries, size: wide.size, offset: wide.offset, at })
    }
}

struct Locator64 {
    disk: u32,
    offset: u64,
    disks: u32,
}

impl Locator64 {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        bytes.magic(LOCATOR64)?;
        Some(Self { disk: bytes.u32()?, offset: bytes.u64()?, disks: bytes.u32()? })
    }
}

struct End64 {
    /// Bytes that follow this field.
    len: u64,
    disk: u32,
    directory_disk: u32,
    entries_here: u64,
    entries: u64,
    size: u64,
    offset: u64,
}

impl End64 {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        bytes.magic(END64)?;
        let len = bytes.u64()?;
        bytes.take(4)?; // the versions that made it and that can read it
        Some(Self {
            len,
            disk: bytes.u32()?,
            directory_disk: bytes.u32()?,
            entries_here: bytes.u64()?,
            entries: bytes.u64()?,
            size: bytes.u64()?,
            offset: bytes.u64()?,
        })
    }
}

fn place_of_directory(bytes: &[u8], end: &End) -> Result<Range<usize>, ArchiveError> {
    let claimed = end.offset.saturating_add(end.size);
    let at = end.at as u64;
    if claimed > at {
        let reason = format!(
            "it claims to lie at bytes {}..{claimed}, but the end record is at {at}",
            end.offset
        );
        return Err(ArchiveError::BadDirectory { reason });
    }
    let start = usize::try_from(end.offset).unwrap_or(usize::MAX);
    if claimed == at {
        return Ok(start..end.at);
    }
    // The directory is later than its offset says: either all is moved by bytes put in front, or
    // something stands between it and the end record.
    let bytes_between = at.saturating_sub(claimed);
    let in_place = bytes.get(start..).is_some_and(|rest| rest.starts_with(CENTRAL));
    if in_place {
        let reason = format!("{bytes_between} unknown bytes follow it");
        return Err(ArchiveError::BadDirectory { reason });
    }
    Err(ArchiveError::Prefix { bytes: bytes_between })
}

/// One record of the central directory, zip64 fields put in.
struct Record<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    stored: u64,
    size: u64,
    disk: u32,
    external: u32,
    header: u64,
    name: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &mut Bytes<'a>) -> Option<Self> {
        bytes.magic(CENTRAL)?;
        bytes.take(4)?; // the versions that made it and that can read it
        let flags = bytes.u16()?;
        let method = bytes.u16()?;
        bytes.take(4)?; // time and date
        let crc = bytes.u32()?;
        let mut stored = u64::from(bytes.u32()?);
        let mut size = u64::from(bytes.u32()?);
        let (name_len, extra_len, comment_len) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
        let mut disk = u32::from(bytes.u16()?);
        bytes.take(2)?; // internal attributes
        let external = bytes.u32()?;
        let mut header = u64::from(bytes.u32()?);
        let name = bytes.take(usize::from(name_len))?;
        let mut wide = Bytes(zip64_field(bytes.take(usize::from(extra_len))?));
        bytes.take(usize::from(comment_len))?;
        // Each field that is saturated has its value there, in this order. Without the zip64
        // field the number means itself.
        if !wide.0.is_empty() {
            for field in [&mut size, &mut stored, &mut header] {
                if *field == u64::from(u32::MAX) {
                    *field = wide.u64()?;
                }
            }
            if disk == u32::from(u16::MAX) {
                disk = wide.u32()?;
            }
        }
        Some(Self { flags, method, crc, stored, size, disk, external, header, name })
    }

    /// Checks what the record alone can tell, and where the entry's bytes lie.
    fn entry(self, file: &'a [u8], directory: usize) -> Result<Entry<'a>, ArchiveError> {
        let name = checked_name(self.name)?;
        let entry = || shown(name);
        if self.disk != 0 {
            return Err(ArchiveError::MultiDisk);
        }
        if self.flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED) != 0 {
            return Err(ArchiveError::Encrypted { entry: entry() });
        }
        // The upper half is the Unix mode; other systems leave it zero.
        if (self.external >> 16) & 0o170_000 == 0o120_000 {
            return Err(ArchiveError::Symlink { entry: entry() });
        }
        let method = match self.method {
            0 => Method::Stored,
            8 => Method::Deflate,
            method => return Err(ArchiveError::UnknownMethod { entry: entry(), method }),
        };
        if method == Method::Stored && self.stored != self.size {
            return Err(ArchiveError::SizeMismatch {
                entry: entry(),
                what: "stored",
                declared: self.size,
                found: self.stored,
            });
        }
        if name.ends_with('/') && self.size != 0 {
            let reason = "it ends in `/` as a folder does, but holds data";
            return Err(ArchiveError::BadName { entry: entry(), reason });
        }
        let (header, start) =
            locate(file, self.header).ok_or_else(|| no_local_header(name, self.header))?;
        let end = usize::try_from(self.stored).ok().and_then(|len| start.checked_add(len));
        let Some(end) = end.filter(|end| *end <= directory) else {
            let other = "the directory of the archive".to_owned();
            return Err(ArchiveError::Overlap { entry: entry(), other });
        };
        Ok(Entry {
            name,
            size: self.size,
            data: start..end,
            crc: self.crc,
            method,
            header,
            flags: self.flags,
        })
    }
}

/// Where the local header at `header` begins and where its data begins.
fn locate(file: &[u8], header: u64) -> Option<(usize, usize)> {
    let header = usize::try_from(header).ok()?;
    let all = file.get(header..)?;
    let mut bytes = Bytes(all);
    bytes.magic(LOCAL)?;
    bytes.take(22)?;
    let (name_len, extra_len) = (bytes.u16()?, bytes.u16()?);
    bytes.take(usize::from(name_len))?;
    bytes.take(usize::from(extra_len))?;
    Some((header, file.len().checked_sub(bytes.0.len())?))
}

/// The header in front of an entry's data, zip64 fields put in.
struct Local<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    stored: u64,
    size: u64,
    name: &'a [u8],
}

impl<'a> Local<'a> {
    fn read(bytes: &mut Bytes<'a>) -> Option<Self> {
        bytes.magic(LOCAL)?;
        bytes.take(2)?; // the version that can read it
        let flags = bytes.u16()?;
        let method = bytes.u16()?;
        bytes.take(4)?; // time and date
        let crc = bytes.u32()?;
        let mut stored = u64::from(bytes.u32()?);
        let mut size = u64::from(bytes.u32()?);
        let (name_len, extra_len) = (bytes.u16()?, bytes.u16()?);
        let name = bytes.take(usize::from(name_len))?;
        let mut wide = Bytes(zip64_field(bytes.take(usize::from(extra_len))?));
        if !wide.0.is_empty() {
            for field in [&mut size, &mut stored] {
                if *field == u64::from(u32::MAX) {
                    *field = wide.u64()?;
                }
            }
        }
        Some(Self { flags, method, crc, stored, size, name })
    }

    fn agree_with(&self, entry: &Entry<'_>) -> Result<(), ArchiveError> {
        let differ = |field, directory, local| {
            Err(ArchiveError::HeaderMismatch { entry: shown(entry.name), field, directory, local })
        };
        if self.name != entry.name.as_bytes() {
            let local = shown(&String::from_utf8_lossy(self.name));
            return differ("name", format!("`{}`", shown(entry.name)), format!("`{local}`"));
        }
        if (self.flags ^ entry.flags) & TELLING != 0 {
            let bits = |flags: u16| format!("{:#06x}", flags & TELLING);
            return differ("flags", bits(entry.flags), bits(self.flags));
        }
        if self.method != entry.method.code() {
            return differ("method", entry.method.code().to_string(), self.method.to_string());
        }
        let streamed = self.flags & STREAMED != 0;
        let same = |ours: u64, theirs: u64| ours == theirs || (streamed && ours == 0);
        if !same(u64::from(self.crc), u64::from(entry.crc)) {
            return differ("crc", format!("{:08x}", entry.crc), format!("{:08x}", self.crc));
        }
        let stored = entry.data.len() as u64;
        if !same(self.stored, stored) {
            return differ("stored size", stored.to_string(), self.stored.to_string());
        }
        if !same(self.size, entry.size) {
            return differ("inflated size", entry.size.to_string(), self.size.to_string());
        }
        Ok(())
    }
}

/// The name, if it is one relative path inside the archive on every system.
fn checked_name(bytes: &[u8]) -> Result<&str, ArchiveError> {
    let refuse = |reason| {
        Err(ArchiveError::BadName { entry: shown(&String::from_utf8_lossy(bytes)), reason })
    };
    let Ok(name) = std::str::from_utf8(bytes) else { return refuse("it is not UTF-8") };
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.contains('\0') {
        return refuse("it has a NUL byte");
    }
    if name.contains('\\') {
        return refuse("it has a backslash, which is a separator on Windows");
    }
    if name.starts_with('/') {
        return refuse("it is an absolute path");
    }
    if let [drive, b':', ..] = bytes
        && drive.is_ascii_alphabetic()
    {
        return refuse("it begins with a drive letter");
    }
    if name.split('/').any(|part| part == "..") {
        return refuse("`..` leads out of the archive");
    }
    Ok(name)
}

/// The body of the zip64 extra field, empty if there is none.
fn zip64_field(extra: &[u8]) -> &[u8] {
    let mut rest = Bytes(extra);
    while let (Some(id), Some(len)) = (rest.u16(), rest.u16()) {
        let Some(body) = rest.take(usize::from(len)) else { break };
        if id == 1 {
            return body;
        }
    }
    &[]
}

/// Little-endian fields, one after the other.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn magic(&mut self, magic: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(magic)?;
        Some(())
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
