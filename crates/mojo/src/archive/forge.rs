//! Writes zip archives that may lie in any field: what the reader must survive.
//!
//! Stands on nothing of this crate, so that other tests may include the file.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What both the directory and the entry's own header say of an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) stored: u32,
    pub(crate) size: u32,
    pub(crate) extra: Vec<u8>,
}

/// An entry: honest as made by [`Forged::stored`] and [`Forged::deflated`], then changed at will.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forged {
    /// Bytes of no entry in front of this one.
    pub(crate) gap: Vec<u8>,
    pub(crate) local: Header,
    pub(crate) data: Vec<u8>,
    pub(crate) descriptor: Vec<u8>,
    pub(crate) central: Header,
    pub(crate) disk: u16,
    pub(crate) external: u32,
    /// Where the directory says that the local header is, if not where it is.
    pub(crate) at: Option<u32>,
}

impl Forged {
    pub(crate) fn stored(name: &str, data: &[u8]) -> Self {
        Self::new(name, 0, data, data.to_vec())
    }

    pub(crate) fn deflated(name: &str, data: &[u8]) -> Self {
        Self::new(name, 8, data, deflate(data))
    }

    /// `stored`: the bytes in the file, `data`: what they mean.
    pub(crate) fn new(name: &str, method: u16, data: &[u8], stored: Vec<u8>) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            flags: 0,
            method,
            crc: crc32(data),
            stored: stored.len() as u32,
            size: data.len() as u32,
            extra: Vec::new(),
        };
        Self { local: header.clone(), data: stored, central: header, ..Self::default() }
    }

    /// Changes what the directory and the local header say, alike.
    pub(crate) fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    /// Changes what the local header says.
    pub(crate) fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    /// Changes what the directory says.
    pub(crate) fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    /// As Java writes it: sizes and checksum only behind the data and in the directory.
    pub(crate) fn streamed(mut self, signed: bool, wide: bool) -> Self {
        self = self.both(|header| header.flags |= 8);
        if signed {
            self.descriptor.extend(b"PK\x07\x08");
        }
        self.descriptor.extend(self.central.crc.to_le_bytes());
        for size in [self.central.stored, self.central.size] {
            let bytes = u64::from(size).to_le_bytes();
            self.descriptor.extend(&bytes[..if wide { 8 } else { 4 }]);
        }
        self.local(|header| (header.crc, header.stored, header.size) = (0, 0, 0))
    }

    /// Moves the sizes (and in the directory `at`) into zip64 fields, true or not.
    pub(crate) fn wide(mut self, size: u64, stored: u64, at: u64) -> Self {
        let field = |numbers: &[u64]| {
            let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            // Another field first: the reader has to look for the one it wants.
            let mut extra = vec![0xfe, 0xca, 2, 0, 7, 7, 1, 0];
            extra.extend((body.len() as u16).to_le_bytes());
            extra.extend(body);
            extra
        };
        self.local.extra = field(&[size, stored]);
        self.central.extra = field(&[size, stored, at]);
        self.at = Some(u32::MAX);
        self.both(|header| (header.stored, header.size) = (u32::MAX, u32::MAX))
    }
}

/// What the records at the end say of the directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) disk: u32,
    pub(crate) entries_here: u64,
    pub(crate) entries: u64,
    pub(crate) size: u64,
    pub(crate) offset: u64,
    /// Where the zip64 record is said to be.
    pub(crate) at: u64,
    /// Length that the zip64 record gives itself.
    pub(crate) len: u64,
    /// What the short record says of the entries when there is a zip64 record.
    pub(crate) entries_short: u16,
}

/// An archive: honest as long as its entries are and `lie` does nothing.
pub(crate) struct Forge {
    pub(crate) prefix: Vec<u8>,
    pub(crate) entries: Vec<Forged>,
    /// Between the directory and the end records.
    pub(crate) between: Vec<u8>,
    pub(crate) zip64: bool,
    pub(crate) lie: fn(&mut End),
    pub(crate) comment: Vec<u8>,
    pub(crate) trailing: Vec<u8>,
}

impl Forge {
    pub(crate) fn of(entries: impl IntoIterator<Item = Forged>) -> Self {
        Self {
            prefix: Vec::new(),
            entries: entries.into_iter().collect(),
            between: Vec::new(),
            zip64: false,
            lie: |_| {},
            comment: Vec::new(),
            trailing: Vec::new(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut zip = self.prefix.clone();
        let mut directory = Vec::new();
        for entry in &self.entries {
            zip.extend(&entry.gap);
            let at = entry.at.unwrap_or(zip.len() as u32);
            put_local(&mut zip, &entry.local);
            zip.extend(&entry.data);
            zip.extend(&entry.descriptor);
            put_central(&mut directory, &entry.central, entry.disk, entry.external, at);
        }
        let offset = zip.len() as u64;
        zip.extend(&directory);
        let size = directory.len() as u64;
        zip.extend(&self.between);
        let entries = self.entries.len() as u64;
        let at = zip.len() as u64;
        let mut end = End {
            disk: 0,
            entries_here: entries,
            entries,
            size,
            offset,
            at,
            len: 44,
            entries_short: 0xffff,
        };
        (self.lie)(&mut end);
        put_end(&mut zip, &end, self.zip64, &self.comment);
        zip.extend(&self.trailing);
        zip
    }
}

/// `entries` empty entries in a sound zip64 archive.
pub(crate) fn crowd(entries: u64) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for index in 0..entries {
        let header = Header { name: format!("t{index}").into_bytes(), ..Header::default() };
        put_central(&mut directory, &header, 0, 0, zip.len() as u32);
        put_local(&mut zip, &header);
    }
    let (offset, size) = (zip.len() as u64, directory.len() as u64);
    zip.extend(&directory);
    let at = zip.len() as u64;
    let end = End {
        disk: 0,
        entries_here: entries,
        entries,
        size,
        offset,
        at,
        len: 44,
        entries_short: 0xffff,
    };
    put_end(&mut zip, &end, true, b"");
    zip
}

/// One kernel of `kernel` zeros that `entries` entries share, sound in every other respect: each
/// entry's stream quotes the next entry's header in a block of raw bytes, then runs on in it.
///
/// After David Fifield, "A better zip bomb", USENIX WOOT 2019, section 4.1.
pub(crate) fn quoted_bomb(entries: usize, kernel: usize) -> Vec<u8> {
    let mut inflated = vec![0; kernel];
    let mut zip = deflate(&inflated);
    let mut headers = Vec::new();
    for index in (0..entries).rev() {
        let header = Header {
            name: format!("f{index}").into_bytes(),
            method: 8,
            crc: crc32(&inflated),
            stored: zip.len() as u32,
            size: inflated.len() as u32,
            ..Header::default()
        };
        let mut local = Vec::new();
        put_local(&mut local, &header);
        let len = local.len() as u16;
        let quote: &[u8] = if index > 0 { &[0] } else { &[] };
        let mut front = quote.to_vec();
        if index > 0 {
            front.extend(len.to_le_bytes());
            front.extend((!len).to_le_bytes());
        }
        front.extend(&local);
        zip.splice(0..0, front);
        inflated.splice(0..0, local);
        headers.push((header, zip.len() - quote.len() * 5));
    }
    let offset = zip.len();
    for (header, from_end) in headers.iter().rev() {
        put_central(&mut zip, header, 0, 0, (offset - from_end) as u32);
    }
    let end = End {
        disk: 0,
        entries_here: entries as u64,
        entries: entries as u64,
        size: (zip.len() - offset) as u64,
        offset: offset as u64,
        at: 0,
        len: 44,
        entries_short: 0,
    };
    put_end(&mut zip, &end, false, b"");
    zip
}

/// One header that `entries` records of the directory point at, under their own names.
pub(crate) fn shared_bomb(entries: usize, kernel: usize) -> Vec<u8> {
    let mut zip = Vec::new();
    let one = Forged::deflated("f0", &vec![0; kernel]);
    put_local(&mut zip, &one.local);
    zip.extend(&one.data);
    let offset = zip.len() as u64;
    for index in 0..entries {
        let name = format!("f{index}").into_bytes();
        put_central(&mut zip, &Header { name, ..one.central.clone() }, 0, 0, 0);
    }
    let (size, entries) = (zip.len() as u64 - offset, entries as u64);
    let end = End {
        disk: 0,
        entries_here: entries,
        entries,
        size,
        offset,
        at: 0,
        len: 44,
        entries_short: 0,
    };
    put_end(&mut zip, &end, false, b"");
    zip
}

pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

pub(crate) fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

fn put_fields(zip: &mut Vec<u8>, header: &Header) {
    zip.extend(header.flags.to_le_bytes());
    zip.extend(header.method.to_le_bytes());
    zip.extend([0x21, 0x50, 0x21, 0x50]); // time and date
    zip.extend(header.crc.to_le_bytes());
    zip.extend(header.stored.to_le_bytes());
    zip.extend(header.size.to_le_bytes());
    zip.extend((header.name.len() as u16).to_le_bytes());
    zip.extend((header.extra.len() as u16).to_le_bytes());
}

fn put_local(zip: &mut Vec<u8>, header: &Header) {
    zip.extend(b"PK\x03\x04\x14\0");
    put_fields(zip, header);
    zip.extend(&header.name);
    zip.extend(&header.extra);
}

fn put_central(zip: &mut Vec<u8>, header: &Header, disk: u16, external: u32, at: u32) {
    zip.extend(b"PK\x01\x02\x14\x03\x14\0");
    put_fields(zip, header);
    zip.extend(1_u16.to_le_bytes()); // length of the comment
    zip.extend(disk.to_le_bytes());
    zip.extend([0, 0]); // internal attributes
    zip.extend(external.to_le_bytes());
    zip.extend(at.to_le_bytes());
    zip.extend(&header.name);
    zip.extend(&header.extra);
    zip.push(b'#');
}

fn put_end(zip: &mut Vec<u8>, end: &End, zip64: bool, comment: &[u8]) {
    if zip64 {
        zip.extend(b"PK\x06\x06");
        zip.extend(end.len.to_le_bytes());
        zip.extend([45, 3, 45, 0]);
        zip.extend(end.disk.to_le_bytes());
        zip.extend(end.disk.to_le_bytes());
        for number in [end.entries_here, end.entries, end.size, end.offset] {
            zip.extend(number.to_le_bytes());
        }
        zip.extend(b"PK\x06\x07");
        zip.extend(end.disk.to_le_bytes());
        zip.extend(end.at.to_le_bytes());
        zip.extend(1_u32.to_le_bytes());
    }
    zip.extend(b"PK\x05\x06");
    let pair = |short: u16| [short.to_le_bytes(), short.to_le_bytes()].concat();
    if zip64 {
        zip.extend(pair(0));
        zip.extend(pair(end.entries_short));
        zip.extend([0xff; 8]);
    } else {
        zip.extend(pair(end.disk as u16));
        zip.extend((end.entries_here as u16).to_le_bytes());
        zip.extend((end.entries as u16).to_le_bytes());
        zip.extend((end.size as u32).to_le_bytes());
        zip.extend((end.offset as u32).to_le_bytes());
    }
    zip.extend((comment.len() as u16).to_le_bytes());
    zip.extend(comment);
}
