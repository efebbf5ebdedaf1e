//! Decompression in bounded room: what came out, and how it ended.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zlib,
    /// Without a head, as in zip archives.
    Deflate,
    Bzip2,
    Xz,
    /// `.lzma`.
    Lzma,
    /// LZMA as zip archives hold it.
    ZipLzma,
    Lz4,
    Zstd,
}

impl Packing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Deflate => "deflate",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lzma | Self::ZipLzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// By the first bytes. zlib and lzma have hardly a magic: they count only if they unpack.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => Self::Bzip2,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, b'r', b'E', b'8', b'P', 0x90, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [method, flags, ..]
                if method & 0x0f == 8
                    && method >> 4 <= 7
                    && flags & 0x20 == 0
                    && u16::from_be_bytes([*method, *flags]).is_multiple_of(31) =>
            {
                Self::Zlib
            }
            [0x5d, 0, 0, _, _, rest @ ..] if plausible_lzma_size(rest) => Self::Lzma,
            _ => return None,
        })
    }

    /// Whether its first bytes belong to nothing else.
    pub(super) fn has_magic(self) -> bool {
        !matches!(self, Self::Zlib | Self::Lzma)
    }
}

/// Unknown, or below 1 TiB.
fn plausible_lzma_size(rest: &[u8]) -> bool {
    matches!(
        rest,
        [.., 0xff]
            | [_, _, _, _, _, 0, 0, 0, ..]
            | [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ..]
    )
}

/// What came out.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) bytes: Vec<u8>,
    pub(super) end: Ending,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// The stream is damaged; the bytes are what came before.
    Damaged(String),
    /// There is more than asked for.
    Limit,
}

/// A window or dictionary that a stream may ask for.
const WINDOW_BYTES_MAX: u64 = 256 << 20;

/// At most `bytes_max` bytes of what `packed` holds.
pub(super) fn unpack(packing: Packing, packed: &[u8], bytes_max: usize) -> Unpacked {
    let window_kib = (WINDOW_BYTES_MAX >> 10) as u32;
    match packing {
        Packing::Gzip => read(flate2::read::MultiGzDecoder::new(packed), bytes_max),
        Packing::Zlib => read(flate2::read::ZlibDecoder::new(packed), bytes_max),
        Packing::Deflate => read(flate2::read::DeflateDecoder::new(packed), bytes_max),
        Packing::Bzip2 => read(bzip2::read::MultiBzDecoder::new(packed), bytes_max),
        Packing::Xz => {
            read(lzma_rust2::XzReader::new_mem_limit(packed, true, window_kib), bytes_max)
        }
        Packing::Lzma => {
            opened(lzma_rust2::LzmaReader::new_mem_limit(packed, window_kib, None), bytes_max)
        }
        Packing::ZipLzma => zip_lzma(packed, bytes_max),
        Packing::Lz4 => read(lz4_flex::frame::FrameDecoder::new(packed), bytes_max),
        Packing::Zstd => zstd(packed, bytes_max),
    }
}

fn opened(reader: io::Result<impl Read>, bytes_max: usize) -> Unpacked {
    match reader {
        Ok(reader) => read(reader, bytes_max),
        Err(cause) => Unpacked { bytes: Vec::new(), end: Ending::Damaged(cause.to_string()) },
    }
}

fn read(mut reader: impl Read, bytes_max: usize) -> Unpacked {
    let mut bytes = Vec::new();
    let end = fill(&mut reader, &mut bytes, bytes_max);
    Unpacked { bytes, end }
}

fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, bytes_max: usize) -> Ending {
    let mut chunk = vec![0; 64 << 10];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ending::Whole,
            Ok(read) if bytes.len() + read > bytes_max => return Ending::Limit,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Ending::Damaged(cause.to_string()),
        }
    }
}

/// Version (2), length of the properties (2), properties (5), stream.
fn zip_lzma(packed: &[u8], bytes_max: usize) -> Unpacked {
    let Some((&[_, _, 5, 0, properties, a, b, c, d], stream)) = packed.split_first_chunk::<9>()
    else {
        let end = Ending::Damaged("no LZMA properties".to_owned());
        return Unpacked { bytes: Vec::new(), end };
    };
    let dictionary = u32::from_le_bytes([a, b, c, d]).min(WINDOW_BYTES_MAX as u32);
    let reader =
        lzma_rust2::LzmaReader::new_with_props(stream, u64::MAX, properties, dictionary, None);
    opened(reader, bytes_max)
}

/// Frames one after the other; those that are to be skipped are.
fn zstd(packed: &[u8], bytes_max: usize) -> Unpacked {
    let mut bytes = Vec::new();
    let mut rest = packed;
    loop {
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, after @ ..] = rest {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let Some(after) = after.get(length..) else {
                let end = Ending::Damaged("a skippable frame breaks off".to_owned());
                return Unpacked { bytes, end };
            };
            rest = after;
            continue;
        }
        if !rest.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            // lz4 has skippable frames, too.
            if bytes.is_empty() && Packing::of(rest) == Some(Packing::Lz4) {
                return unpack(Packing::Lz4, rest, bytes_max);
            }
            return Unpacked { bytes, end: Ending::Whole };
        }
        let frame = StreamingDecoder::new_with_max_window_size(&mut rest, WINDOW_BYTES_MAX);
        let end = match frame {
            Ok(mut frame) => fill(&mut frame, &mut bytes, bytes_max),
            Err(cause) => Ending::Damaged(cause.to_string()),
        };
        if end != Ending::Whole {
            return Unpacked { bytes, end };
        }
    }
}
