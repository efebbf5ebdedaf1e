//! Packing of what is written: gzip, or Zstandard in frames of a megabyte.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::source::Compression;

/// Packs what is written to it and passes it on. It must be [finished](Self::finish).
#[derive(Debug)]
pub struct Packer<W: Write> {
    form: Form<W>,
}

#[derive(Debug)]
enum Form<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd {
        output: W,
        /// Of the next frame.
        plain: Vec<u8>,
        /// Whether there was one.
        begun: bool,
    },
}

/// A frame of its own for each: what writes them has no state between them.
const FRAME_BYTES: usize = 1 << 20;

impl<W: Write> Packer<W> {
    /// Begins.
    pub fn new(compression: Compression, output: W) -> Self {
        let form = match compression {
            Compression::None => Form::Plain(output),
            Compression::Gzip => Form::Gzip(GzEncoder::new(output, flate2::Compression::default())),
            Compression::Zstd => Form::Zstd { output, plain: Vec::new(), begun: false },
        };
        Self { form }
    }

    /// Writes what is left, and gives back what it was written to.
    ///
    /// # Errors
    /// The output takes no more.
    pub fn finish(self) -> io::Result<W> {
        match self.form {
            Form::Plain(output) => Ok(output),
            Form::Gzip(packer) => packer.finish(),
            Form::Zstd { mut output, plain, begun } => {
                // Nothing at all is no file of Zstandard.
                if !begun || !plain.is_empty() {
                    write_frame(&mut output, &plain)?;
                }
                Ok(output)
            }
        }
    }
}

fn write_frame(output: &mut impl Write, plain: &[u8]) -> io::Result<()> {
    output.write_all(&compress_to_vec(plain, CompressionLevel::Fastest))
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.form {
            Form::Plain(output) => output.write(bytes),
            Form::Gzip(packer) => packer.write(bytes),
            Form::Zstd { output, plain, begun } => {
                plain.extend_from_slice(bytes);
                if plain.len() >= FRAME_BYTES {
                    *begun = true;
                    write_frame(output, plain)?;
                    plain.clear();
                }
                Ok(bytes.len())
            }
        }
    }

    /// What is written to packed output comes out with its frame, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Plain(output) => output.flush(),
            Form::Gzip(_) | Form::Zstd { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;
    use crate::source::unpack;

    #[test]
    fn what_is_packed_can_be_unpacked() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for lines in [0, 1, 300_000] {
                let mut packer = Packer::new(compression, Vec::new());
                let mut expected = Vec::new();
                for line in 0..lines {
                    expected.extend_from_slice(format!("{line},yes,0.25\n").as_bytes());
                }
                for part in expected.chunks(10_000) {
                    packer.write_all(part).unwrap();
                }
                packer.flush().unwrap();
                let packed = packer.finish().unwrap();
                let smaller = compression != Compression::None && lines > 1;
                assert!(!smaller || packed.len() < expected.len() / 2, "{compression:?}");
                let mut found = Vec::new();
                unpack(compression, Box::new(Cursor::new(packed))).read_to_end(&mut found).unwrap();
                assert!(found == expected, "{compression:?}, {lines} lines");
            }
        }
    }
}
