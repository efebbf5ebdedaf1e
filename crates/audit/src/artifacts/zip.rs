//! Zip archives, read to be judged: every member, whatever the archive says against it.
//!
//! A loader takes what it can get: torch passes over checksums and the encryption bit, Java and
//! Python read from the end, unpackers in a stream from the beginning. So all members of the central
//! directory are handed out, and those that only a local header knows; each disagreement is a
//! problem of its own. Members are found by the directory: scanning for local headers alone would
//! find some inside of others' data.

use std::ops::Range;

use flate2::Crc;
use memchr::memmem;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
/// Where the end record can be: at the end, before a comment.
pub(super) const TAIL: usize = END_LEN + u16::MAX as usize;

const ENCRYPTED: u16 = 1;
const STREAMED: u16 = 1 << 3;

/// A member: its bytes as they lie in the file.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    pub(super) method: u16,
    pub(super) data: &'a [u8],
    /// What the directory says of the unpacked bytes; `None` for a hidden member.
    pub(super) declared: Option<(u64, u32)>,
    pub(super) encrypted: bool,
    at: Range<usize>,
}

impl Member<'_> {
    /// What is wrong with the unpacked bytes.
    pub(super) fn contradiction(&self, bytes: &[u8]) -> Option<String> {
        let (size, checksum) = self.declared?;
        let mut crc = Crc::new();
        crc.update(bytes);
        if bytes.len() as u64 != size {
            let found = bytes.len();
            return Some(format!("`{}` claims {size} bytes and has {found}", self.name));
        }
        (crc.sum() != checksum).then(|| format!("`{}` has another checksum", self.name))
    }
}

/// An archive with all that it holds.
#[derive(Debug, Default)]
pub(super) struct Zip<'a> {
    pub(super) members: Vec<Member<'a>>,
    /// Members that the directory does not list.
    pub(super) hidden: Vec<Member<'a>>,
    /// Bytes that belong to no member: before the first, between two, after the end.
    pub(super) gaps: Vec<&'a [u8]>,
    pub(super) problems: Vec<String>,
}

/// The archive at the end of the bytes, if there is one. `Err`: it cannot be opened.
pub(super) fn open(bytes: &[u8], members_max: usize) -> Option<Result<Zip<'_>, String>> {
    let Some(end) = End::find(bytes) else {
        let cut = bytes.starts_with(LOCAL);
        return cut.then(|| Err("a zip archive without its directory".to_owned()));
    };
    Some(read(bytes, &end, members_max))
}

/// Whether the end of a file, its last [`TAIL`] bytes, shows an archive.
pub(super) fn has_end(tail: &[u8]) -> bool {
    End::candidates(tail).any(|(_, end)| end.entries > 0 && end.size >= 46)
}

fn read<'a>(bytes: &'a [u8], end: &End, members_max: usize) -> Result<Zip<'a>, String> {
    let start = end.at.checked_sub(end.size).ok_or("the directory of the archive is cut off")?;
    // Whatever stands before the archive moves all offsets.
    let shift =
        start.checked_sub(end.offset).ok_or("the archive's directory is not where it says")?;
    let mut zip = Zip::default();
    let mut rest = bytes.get(start..end.at).unwrap_or_default();
    while rest.starts_with(CENTRAL) {
        if zip.members.len() >= members_max {
            return Err(format!("more than {members_max} members (limit `members_max`)"));
        }
        let record = Record::read(&mut rest).ok_or("the directory of the archive is damaged")?;
        record.member(bytes, shift, start, &mut zip);
    }
    if !rest.is_empty() {
        zip.problems.push("unknown bytes stand in the directory".to_owned());
    }
    if zip.members.len() % 65_536 != end.entries % 65_536 {
        let (claimed, found) = (end.entries, zip.members.len());
        zip.problems.push(format!("{claimed} members are claimed, {found} are listed"));
    }
    find_gaps(bytes, start, &mut zip);
    zip.gaps.extend(bytes.get(end.after..).filter(|rest| !rest.is_empty()));
    Ok(zip)
}

/// What no member covers; members that lie there are hidden ones.
fn find_gaps<'a>(bytes: &'a [u8], directory: usize, zip: &mut Zip<'a>) {
    let mut places: Vec<Range<usize>> = zip.members.iter().map(|it| it.at.clone()).collect();
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let mut end = 0;
    let mut overlaps = 0;
    for place in places.into_iter().chain(std::iter::once(directory..directory)) {
        if place.start < end {
            overlaps += 1;
        }
        let gap = bytes.get(end..place.start).filter(|gap| !gap.is_empty());
        if let Some(gap) = gap {
            let hidden = hidden_in(gap);
            // An archive in front of another is judged as a whole.
            if end > 0 {
                zip.hidden.extend(hidden);
            }
            zip.gaps.push(gap);
        }
        end = end.max(place.end);
    }
    if overlaps > 0 {
        zip.problems.push(format!("{overlaps} members share bytes with others"));
    }
}

fn hidden_in(gap: &[u8]) -> Vec<Member<'_>> {
    let mut hidden = Vec::new();
    let mut from = 0;
    while let Some(at) = memmem::find(gap.get(from..).unwrap_or_default(), LOCAL) {
        let start = from + at;
        let found = Local::read(&gap[start..]).filter(Local::is_plausible).map(|local| {
            let data = gap.get(start + local.length..).unwrap_or_default();
            let known = local.flags & STREAMED == 0 && local.stored > 0;
            let length = if known { local.stored.min(data.len()) } else { data.len() };
            Member {
                name: shown(local.name),
                method: local.method,
                data: &data[..length],
                declared: None,
                encrypted: local.flags & ENCRYPTED != 0,
                at: start..start + local.length + if known { length } else { 0 },
            }
        });
        from = found.as_ref().map_or(start + LOCAL.len(), |member| member.at.end);
        hidden.extend(found);
    }
    hidden
}

/// The end record, with zip64's numbers where there are any.
struct End {
    entries: usize,
    size: usize,
    offset: usize,
    /// Where the directory ends.
    at: usize,
    /// Where the archive ends.
    after: usize,
}

impl End {
    fn find(bytes: &[u8]) -> Option<Self> {
        let is_zip = bytes.starts_with(b"PK");
        let tail = bytes.len().saturating_sub(TAIL);
        let mut fallback = None;
        for (at, short) in Self::candidates(bytes.get(tail..)?) {
            let Some(end) = short.placed(bytes, tail + at) else { continue };
            let start = end.at.checked_sub(end.size);
            let listed = start.and_then(|start| bytes.get(start..)).unwrap_or_default();
            if end.entries > 0 && listed.starts_with(CENTRAL) {
                return Some(end);
            }
            if is_zip && fallback.is_none() {
                fallback = Some(end);
            }
        }
        fallback
    }

    /// From the last to the first; `at` counts from the tail's beginning.
    fn candidates(tail: &[u8]) -> impl Iterator<Item = (usize, Self)> {
        memmem::rfind_iter(tail, END).filter_map(move |at| {
            let record = tail.get(at..at + END_LEN)?;
            let comment = usize::from(u16_at(record, 20)?);
            let end = Self {
                entries: usize::from(u16_at(record, 10)?),
                size: u32_at(record, 12)? as usize,
                offset: u32_at(record, 16)? as usize,
                at: 0,
                after: comment,
            };
            Some((at, end))
        })
    }

    fn placed(mut self, bytes: &[u8], at: usize) -> Option<Self> {
        self.after = (at + END_LEN + self.after).min(bytes.len());
        self.at = at;
        let locator = at.checked_sub(20).and_then(|start| bytes.get(start..at));
        if let Some(locator) = locator.filter(|it| it.starts_with(b"PK\x06\x07")) {
            let saturated = self.offset == 0xffff_ffff || self.size == 0xffff_ffff;
            // The record stands before its locator, wherever the archive was moved to.
            let stated = usize::try_from(u64_at(locator, 8)?).ok()?;
            let wide = [stated, at.checked_sub(76)?].into_iter().find(|&place| {
                bytes.get(place..).is_some_and(|record| record.starts_with(b"PK\x06\x06"))
            });
            match wide {
                Some(place) => {
                    let record = bytes.get(place..)?;
                    self.entries = usize::try_from(u64_at(record, 32)?).ok()?;
                    self.size = usize::try_from(u64_at(record, 40)?).ok()?;
                    self.offset = usize::try_from(u64_at(record, 48)?).ok()?;
                    self.at = place;
                }
                None if saturated => return None,
                None => {}
            }
        }
        Some(self)
    }
}

/// A record of the directory.
struct Record<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    stored: u64,
    size: u64,
    offset: u64,
    name: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let head = rest.get(..46)?;
        let length = |at| u16_at(head, at).map(usize::from);
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let mut record = Self {
            flags: u16_at(head, 8)?,
            method: u16_at(head, 10)?,
            crc: u32_at(head, 16)?,
            stored: u64::from(u32_at(head, 20)?),
            size: u64::from(u32_at(head, 24)?),
            offset: u64::from(u32_at(head, 42)?),
            name: rest.get(46..46 + name)?,
        };
        record.widen(rest.get(46 + name..46 + name + extra)?);
        *rest = rest.get(46 + name + extra + comment..)?;
        Some(record)
    }

    /// Takes the numbers that did not fit from the zip64 field.
    fn widen(&mut self, mut extra: &[u8]) {
        while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
            let length = usize::from(length);
            let Some(mut field) = extra.get(4..4 + length) else { return };
            if id == 1 {
                for number in [&mut self.size, &mut self.stored, &mut self.offset] {
                    if let (0xffff_ffff, Some(wide)) = (*number, u64_at(field, 0)) {
                        *number = wide;
                        field = field.get(8..).unwrap_or_default();
                    }
                }
            }
            extra = extra.get(4 + length..).unwrap_or_default();
        }
    }

    /// Finds the member's bytes, and notes what its own header says against this record.
    fn member(self, bytes: &'a [u8], shift: usize, directory: usize, zip: &mut Zip<'a>) {
        let name = shown(self.name);
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX).saturating_add(shift);
        let local = bytes.get(start..directory).and_then(Local::read);
        let Some(local) = local else {
            zip.problems.push(format!("`{name}` has no header of its own"));
            return;
        };
        zip.problems.extend(local.disagrees(&self).map(|what| format!("`{name}`: {what}")));
        let from = start + local.length;
        let stored = usize::try_from(self.stored).unwrap_or(usize::MAX);
        let to = from.saturating_add(stored).min(directory);
        if to - from < stored {
            zip.problems.push(format!("`{name}` reaches beyond the archive"));
        }
        let behind = bytes.get(to..directory).unwrap_or_default();
        let descriptor = if self.flags & STREAMED != 0 { self.descriptor(behind) } else { 0 };
        let encrypted = (self.flags | local.flags) & ENCRYPTED != 0;
        let declared = Some((self.size, self.crc));
        let (data, at) = (&bytes[from..to], start..to + descriptor);
        zip.members.push(Member { name, method: self.method, data, declared, encrypted, at });
    }

    /// Length of what stands behind a streamed member.
    fn descriptor(&self, behind: &[u8]) -> usize {
        let signed = if behind.starts_with(b"PK\x07\x08") { 4 } else { 0 };
        let wide = u64_at(behind, signed + 4) == Some(self.stored)
            && u64_at(behind, signed + 12) == Some(self.size);
        let narrow = u32_at(behind, signed + 4).map(u64::from) == Some(self.stored & 0xffff_ffff);
        match (wide, narrow || signed > 0) {
            (true, _) => signed + 20,
            (false, true) => signed + 12,
            (false, false) => 0,
        }
    }
}

/// The header in front of a member.
struct Local<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    stored: usize,
    size: u32,
    name: &'a [u8],
    /// Bytes of the header.
    length: usize,
}

impl<'a> Local<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(LOCAL) {
            return None;
        }
        let (name, extra) = (usize::from(u16_at(bytes, 26)?), usize::from(u16_at(bytes, 28)?));
        Some(Self {
            flags: u16_at(bytes, 6)?,
            method: u16_at(bytes, 8)?,
            crc: u32_at(bytes, 14)?,
            stored: u32_at(bytes, 18)? as usize,
            size: u32_at(bytes, 22)?,
            name: bytes.get(30..30 + name)?,
            length: bytes.get(..30 + name + extra)?.len(),
        })
    }

    fn is_plausible(&self) -> bool {
        !self.name.is_empty() && matches!(self.method, 0 | 8 | 9 | 12 | 14 | 93 | 95)
    }

    fn disagrees(&self, record: &Record<'_>) -> Option<&'static str> {
        let streamed = self.flags & STREAMED != 0;
        let differs = |local: u64, central: u64| {
            local != central && !(streamed && local == 0) && local != 0xffff_ffff
        };
        if self.name != record.name {
            return Some("its own header has another name");
        }
        if self.method != record.method {
            return Some("its own header has another method");
        }
        if (self.flags ^ record.flags) & ENCRYPTED != 0 {
            return Some("only one of its headers says that it is encrypted");
        }
        if differs(u64::from(self.crc), u64::from(record.crc)) && self.crc != 0 {
            return Some("its own header has another checksum");
        }
        let sizes = differs(self.stored as u64, record.stored)
            || differs(u64::from(self.size), record.size);
        sizes.then_some("its own header has another size")
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(200).collect()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
