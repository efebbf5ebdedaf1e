//! Just enough of zip to take a MOJO apart and put it together again, checksums and all.
//!
//! Trusts what it reads: only files of the corpus come here.

use std::io::Write;
use std::rc::Rc;

use flate2::write::{DeflateDecoder, DeflateEncoder};
use flate2::{Compression, Crc};

/// An entry, cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Inflated.
    pub(crate) data: Rc<[u8]>,
    /// As it lies in the file, if it has not been changed.
    packed: Option<Rc<[u8]>>,
    crc: u32,
}

impl Entry {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(data);
        Self { name: name.to_owned(), data: data.into(), packed: None, crc: crc.sum() }
    }

    /// Packs what will lie in the file; what is not packed is stored.
    pub(crate) fn deflate(&mut self) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.data).unwrap();
        self.packed = Some(encoder.finish().unwrap().into());
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

/// The entries in the order of the central directory.
pub(crate) fn read(zip: &[u8]) -> Vec<Entry> {
    let end = zip.len() - 22;
    assert!(zip[end..].starts_with(b"PK\x05\x06"), "a zip without a comment");
    let mut at = u32_at(zip, end + 16);
    let mut entries = Vec::new();
    for _ in 0..u16_at(zip, end + 10) {
        let (method, crc) = (u16_at(zip, at + 10), u32_at(zip, at + 16) as u32);
        let (stored, header) = (u32_at(zip, at + 20), u32_at(zip, at + 42));
        let name_len = u16_at(zip, at + 28);
        let name = std::str::from_utf8(&zip[at + 46..][..name_len]).unwrap().to_owned();
        at += 46 + name_len + u16_at(zip, at + 30) + u16_at(zip, at + 32);
        let from = header + 30 + u16_at(zip, header + 26) + u16_at(zip, header + 28);
        let bytes = &zip[from..from + stored];
        if method == 0 {
            entries.push(Entry { name, data: bytes.into(), packed: None, crc });
            continue;
        }
        let mut decoder = DeflateDecoder::new(Vec::new());
        decoder.write_all(bytes).unwrap();
        let data = decoder.finish().unwrap().into();
        entries.push(Entry { name, data, packed: Some(bytes.into()), crc });
    }
    entries
}

/// The zip of these entries.
pub(crate) fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let bytes = entry.packed.as_ref().unwrap_or(&entry.data);
        let mut facts = Vec::new();
        facts.extend([20, 0, 0, 0]); // version, flags
        facts.extend([if entry.packed.is_some() { 8 } else { 0 }, 0]);
        facts.extend([0; 4]); // time and date
        facts.extend(entry.crc.to_le_bytes());
        facts.extend((bytes.len() as u32).to_le_bytes());
        facts.extend((entry.data.len() as u32).to_le_bytes());
        facts.extend((entry.name.len() as u16).to_le_bytes());
        facts.extend([0; 2]); // no extra field
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        directory.extend([0; 10]); // no comment, first disk, no attributes
        directory.extend((zip.len() as u32).to_le_bytes());
        directory.extend(entry.name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(&facts);
        zip.extend(entry.name.as_bytes());
        zip.extend_from_slice(bytes);
    }
    let place = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([(entries.len() as u16).to_le_bytes(); 2].concat());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(place.to_le_bytes());
    zip.extend([0; 2]);
    zip
}
