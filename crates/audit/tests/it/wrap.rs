//! What a file can be wrapped in.

use std::io::Write as _;

use flate2::Compression;

use crate::forge::{Forge, Forged};

/// A way to wrap bytes in a container.
type Wrap = fn(&[u8]) -> Vec<u8>;

/// Every container that the policy looks into, by name.
pub(crate) const WRAPPINGS: &[(&str, Wrap)] = &[
    ("plain", <[u8]>::to_vec),
    ("gzip", gzip),
    ("zlib", zlib),
    ("bzip2", bzip2),
    ("xz", xz),
    ("lzma", lzma),
    ("lz4", lz4),
    ("zstd", zstd),
    ("zip stored", |it| zip(Forged::stored("archive/data.pkl", it))),
    ("zip deflated", |it| zip(Forged::deflated("weights.bin", it))),
    ("zip bzip2", |it| zip(Forged::new("weights.bin", 12, it, bzip2(it)))),
    ("zip zstd", |it| zip(Forged::new("weights.bin", 93, it, zstd(it)))),
    ("zip xz", |it| zip(Forged::new("weights.bin", 95, it, xz(it)))),
    ("zip streamed", |it| zip(Forged::deflated("weights.bin", it).streamed(true, false))),
    ("zip streamed, unsigned", |it| zip(Forged::deflated("a", it).streamed(false, false))),
    ("zip flag bit", |it| zip(Forged::stored("data.pkl", it).both(|header| header.flags |= 1))),
    ("zip flag bit in the directory", |it| {
        zip(Forged::deflated("data.pkl", it).central(|header| header.flags |= 1))
    }),
    ("zip checksum", |it| zip(Forged::stored("data.pkl", it).both(|header| header.crc ^= 1))),
    ("zip other name", |it| {
        zip(Forged::stored("data.pkl", it).local(|header| header.name = b"data.txt".to_vec()))
    }),
    ("zip other size", |it| zip(Forged::stored("data.pkl", it).central(|header| header.size = 1))),
    ("zip bad first member", |it| {
        let first = Forged::deflated("a.txt", b"text").both(|header| header.method = 99);
        Forge::of([first, Forged::stored("data.pkl", it)]).bytes()
    }),
    ("zip prefix", |it| {
        [b"#!/bin/sh\nexit 0\n", &zip(Forged::stored("data.pkl", it))[..]].concat()
    }),
    ("zip moved by a prefix", |it| {
        let mut forge = Forge::of([Forged::stored("data.pkl", it)]);
        forge.prefix = b"MZ and a program that unpacks itself".to_vec();
        forge.bytes()
    }),
    ("zip hidden member", hidden),
    ("zip with bytes behind it", |it| {
        [&zip(Forged::stored("data.pkl", it))[..], b"and so on"].concat()
    }),
    ("zip64", |it| {
        let size = it.len() as u64;
        let mut forge = Forge::of([Forged::stored("data.pkl", it).wide(size, size, 0)]);
        forge.zip64 = true;
        forge.bytes()
    }),
    ("zip in zip", |it| zip(Forged::deflated("inner.zip", &zip(Forged::stored("data.pkl", it))))),
    ("tar", tar),
    ("tar.gz", |it| gzip(&tar(it))),
    ("tar.xz", |it| xz(&tar(it))),
    ("tar of zip, zstd", |it| zstd(&tar(&zip(Forged::deflated("data.pkl", it))))),
    ("two tars", |it| [tar(b"text"), tar(it)].concat()),
    ("ar", ar),
    ("gzip twice", |it| gzip(&gzip(it))),
];

pub(crate) fn zip(entry: Forged) -> Vec<u8> {
    Forge::of([Forged::deflated("readme.txt", b"nothing to see"), entry]).bytes()
}

/// Between two members, with a header of its own and no record in the directory.
fn hidden(data: &[u8]) -> Vec<u8> {
    let alone = Forge::of([Forged::stored("data.pkl", data)]).bytes();
    let mut after = Forged::stored("b.txt", b"more text");
    after.gap = alone[..30 + "data.pkl".len() + data.len()].to_vec();
    Forge::of([Forged::stored("a.txt", b"text"), after]).bytes()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn xz(data: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

/// As joblib writes it: length unknown.
fn lzma(data: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let mut out = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(crate) fn tar(data: &[u8]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, data) in [("readme.txt", &b"nothing to see"[..]), ("models/m.dat", data)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        out.append_data(&mut header, name, data).unwrap();
    }
    out.into_inner().unwrap()
}

pub(crate) fn ar(data: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for data in [&b"text"[..], data] {
        out.extend(
            format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "m.o/", 0, 0, 0, 644, data.len())
                .bytes(),
        );
        out.extend(data);
        out.extend(vec![b'\n'; data.len() % 2]);
    }
    out
}
