//! Reading numbers out of bytes: total, and every mistake says where.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

/// A position in bytes. Numbers are little-endian, as H2O and XGBoost write theirs on every
/// machine they are built for.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is wrong with the bytes, and at which offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) at: usize,
    pub(crate) reason: String,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn damage(&self, reason: impl Into<String>) -> Damage {
        Damage { at: self.at, reason: reason.into() }
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(n);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at = self.at.saturating_add(n);
                Ok(taken)
            }
            None => Err(self.damage(format!(
                "{n} more bytes expected, {} left",
                self.bytes.len().saturating_sub(self.at)
            ))),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let taken = self.take(N)?;
        Ok(taken.try_into().unwrap_or([0; N]))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damage> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Damage> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, Damage> {
        self.array().map(f32::from_le_bytes)
    }

    /// A whole number of 1 to 4 bytes.
    pub(crate) fn uint(&mut self, bytes: usize) -> Result<usize, Damage> {
        let taken = self.take(bytes)?;
        let value = taken.iter().rev().fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
        usize::try_from(value).map_err(|_| self.damage("number too large"))
    }
}

/// Big-endian doubles, as Java's `ByteBuffer` writes them.
pub(crate) fn doubles_be(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.chunks_exact(8).map(|chunk| f64::from_be_bytes(chunk.try_into().unwrap_or([0; 8])))
}
