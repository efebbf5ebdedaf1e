//! Where rows come from: a name, a way to open it, its format and compression.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Delimited text, RFC 4180.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC, a file, which is Feather's version 2. What is read may be a stream too.
    Arrow,
    /// Apache Arrow IPC, a stream: what can be read while it is written. What is read may be a
    /// file too.
    ArrowStream,
}

impl Format {
    /// By the extension of a name without its compression: `.csv`, `.jsonl` or `.ndjson`,
    /// `.parquet`, `.arrow`, `.arrows`, `.ipc` or `.feather`.
    pub fn of_name(name: &str) -> Option<Self> {
        match extension(name)?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            "arrow" | "ipc" | "feather" => Some(Self::Arrow),
            "arrows" => Some(Self::ArrowStream),
            _ => None,
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Jsonl => "JSONL",
            Self::Parquet => "Parquet",
            Self::Arrow | Self::ArrowStream => "Arrow IPC",
        }
    }

    /// Whether it has typed columns, and no lines of text.
    pub(crate) fn is_columnar(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::ArrowStream)
    }
}

/// How the bytes of a source are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

impl Compression {
    /// By the extension `.gz` or `.zst`, and the name without it.
    pub fn of_name(name: &str) -> (Self, &str) {
        let packed = match extension(name).map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => return (Self::None, name),
        };
        (packed, name.rsplit_once('.').map_or(name, |(stem, _)| stem))
    }
}

fn extension(name: &str) -> Option<&str> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.rsplit_once('.').map(|(_, extension)| extension)
}

/// Gives a file.
type OpenFile = Box<dyn FnOnce() -> io::Result<File> + Send>;

type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send>> + Send>;

/// One input. It is opened when its turn comes, so thousands of them need one handle.
pub struct Source {
    /// For messages.
    pub name: String,
    /// How rows are written in it.
    pub format: Format,
    /// How its bytes are packed.
    pub compression: Compression,
    /// Gives the bytes as they are stored.
    pub open: Open,
    /// Gives the same bytes as a file, where they are one. Parquet is read from its end: of
    /// anything but a file a copy goes to a temporary file.
    pub file: Option<OpenFile>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

/// Bytes that a packed source is read by.
const READ_BYTES: usize = 64 * 1024;

/// Larger than any file of `zstd -1` to `-19` asks for.
const ZSTD_WINDOW_BYTES_MAX: u64 = 64 << 20;

/// How frames start that hold no data (RFC 8878, 3.1.2).
const ZSTD_NOTES: std::ops::RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;

/// The plain bytes behind `packed`.
pub(crate) fn unpack(
    compression: Compression,
    packed: Box<dyn Read + Send>,
) -> Box<dyn Read + Send> {
    match compression {
        Compression::None => packed,
        Compression::Gzip => {
            let packed = BufReader::with_capacity(READ_BYTES, packed);
            Box::new(GzipMembers { state: Member::Inside(Box::new(GzDecoder::new(packed))) })
        }
        Compression::Zstd => {
            let packed = BufReader::with_capacity(READ_BYTES, packed);
            Box::new(ZstdFrames { state: Frame::Between(packed) })
        }
    }
}

/// Members one after the other, as `cat a.gz b.gz` writes them, and zeros behind the last one, as
/// tapes have them.
struct GzipMembers<R> {
    state: Member<R>,
}

enum Member<R> {
    Inside(Box<GzDecoder<R>>),
    Between(R),
    Ended,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, Member::Ended) {
                Member::Ended => return Ok(0),
                Member::Inside(mut decoder) => match decoder.read(out)? {
                    0 => Member::Between(decoder.into_inner()),
                    read => {
                        self.state = Member::Inside(decoder);
                        return Ok(read);
                    }
                },
                Member::Between(mut packed) => match packed.fill_buf()?.first() {
                    None => return Ok(0),
                    Some(0) => {
                        only_zeros(packed)?;
                        return Ok(0);
                    }
                    Some(_) => Member::Inside(Box::new(GzDecoder::new(packed))),
                },
            };
        }
    }
}

fn only_zeros(mut packed: impl BufRead) -> io::Result<()> {
    loop {
        let padding = packed.fill_buf()?;
        let len = padding.len();
        if len == 0 {
            return Ok(());
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("what stands behind its end is no gzip"));
        }
        packed.consume(len);
    }
}

/// Frames one after the other, as `cat a.zst b.zst` writes them. Those that hold no data but notes
/// of their writers, such as `pzstd`, are passed over.
struct ZstdFrames<R: Read> {
    state: Frame<R>,
}

/// The rest of a frame behind its first four bytes.
type Started<R> = Chain<Cursor<[u8; 4]>, R>;

enum Frame<R: Read> {
    Between(R),
    Inside(Box<StreamingDecoder<Started<R>, ruzstd::decoding::FrameDecoder>>),
    Ended,
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, Frame::Ended) {
                Frame::Ended => return Ok(0),
                Frame::Between(mut packed) => {
                    if packed.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let mut mark = [0; 4];
                    packed.read_exact(&mut mark)?;
                    if ZSTD_NOTES.contains(&u32::from_le_bytes(mark)) {
                        skip_note(&mut packed)?;
                        Frame::Between(packed)
                    } else {
                        let frame = Cursor::new(mark).chain(packed);
                        StreamingDecoder::new_with_max_window_size(frame, ZSTD_WINDOW_BYTES_MAX)
                            .map(|decoder| Frame::Inside(Box::new(decoder)))
                            .map_err(io::Error::other)?
                    }
                }
                Frame::Inside(mut decoder) => match decoder.read(out)? {
                    0 => Frame::Between(decoder.into_inner().into_inner().1),
                    read => {
                        self.state = Frame::Inside(decoder);
                        return Ok(read);
                    }
                },
            };
        }
    }
}

/// Passes over the length of a note and over so many bytes.
fn skip_note(packed: &mut impl Read) -> io::Result<()> {
    let mut len = [0; 4];
    packed.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    match io::copy(&mut packed.take(len), &mut io::sink())? {
        read if read == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        let check = |name: &str, compression, format| {
            let (found, stem) = Compression::of_name(name);
            assert_eq!((found, Format::of_name(stem)), (compression, format), "{name}");
        };
        check("a/b.csv", Compression::None, Some(Format::Csv));
        check("a/b.CSV.GZ", Compression::Gzip, Some(Format::Csv));
        check("b.ndjson.zst", Compression::Zstd, Some(Format::Jsonl));
        check("b.jsonl", Compression::None, Some(Format::Jsonl));
        check("b.parquet", Compression::None, Some(Format::Parquet));
        check("b.feather.gz", Compression::Gzip, Some(Format::Arrow));
        check("b.xlsx", Compression::None, None);
        check("a.csv/b", Compression::None, None);
        check("b.gz", Compression::Gzip, None);
    }

    #[test]
    fn zstd_frames_follow_each_other_and_a_cut_is_an_error() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let text = b"a,b\n1,2\n".repeat(10_000);
        let mut packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        packed.extend(compress_to_vec(&b"3,4\n"[..], CompressionLevel::Uncompressed));
        let read = |packed: Vec<u8>| {
            let mut out = Vec::new();
            unpack(Compression::Zstd, Box::new(io::Cursor::new(packed)))
                .read_to_end(&mut out)
                .map(|_| out)
        };
        let mut expected = text;
        expected.extend(b"3,4\n");
        assert!(read(packed.clone()).unwrap() == expected);
        let note = [&0x184D_2A51_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let noted = [&note[..], &packed, &note].concat();
        assert!(read(noted.clone()).unwrap() == expected);
        read(noted[..noted.len() - 1].to_vec()).unwrap_err();
        packed.pop();
        read(packed).unwrap_err();
    }

    #[test]
    fn gzip_members_follow_each_other_and_zeros_them() {
        use std::io::Write as _;
        let member = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        let read = |packed: Vec<u8>| {
            let mut out = Vec::new();
            let packed = Box::new(Cursor::new(packed));
            unpack(Compression::Gzip, packed).read_to_end(&mut out).map(|_| out)
        };
        let two = [member(b"a,b\n"), member(b"1,2\n")].concat();
        assert_eq!(read(two.clone()).unwrap(), b"a,b\n1,2\n");
        assert_eq!(read([two.clone(), vec![0; 200_000]].concat()).unwrap(), b"a,b\n1,2\n");
        read([&two[..], &[0, 0, 1]].concat()).unwrap_err();
        read([&two[..], b"text"].concat()).unwrap_err();
        read(two[..two.len() - 1].to_vec()).unwrap_err();
        read(Vec::new()).unwrap_err();
    }
}
