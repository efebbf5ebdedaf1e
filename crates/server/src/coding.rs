//! Compressed bodies: gzip and deflate, of requests within a bound, of answers where they are
//! welcome.

use std::io::{self, Read, Write as _};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::error::Refusal;
use crate::json::Wire;
use crate::predict::Call;
use crate::rows::{Rows, Scored};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// The form of zlib; that without a head is read too.
    Deflate,
}

/// Bytes of an answer from which it is compressed for callers who could also read it as it is.
const WORTHWHILE_BYTES: usize = 1 << 10;

/// How much larger than its bytes a compressed body is taken to be.
pub(crate) const GROWTH: usize = 8;

impl Coding {
    fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        name.eq_ignore_ascii_case("deflate").then_some(Self::Deflate)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// How the body of a request is compressed.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(None);
        };
        let name = value.to_str().unwrap_or_default().trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        Self::parse(name).map(Some).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            Refusal::MediaType(format!("content-encoding is `{name}`, expected gzip or deflate"))
        })
    }

    /// The body as it was before it was compressed, `bytes_max` at most.
    pub(crate) fn inflate(self, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let has_head = matches!(body, [cmf, flags, ..]
            if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31));
        let inflated = match self {
            Self::Gzip => take(MultiGzDecoder::new(body), bytes_max),
            Self::Deflate if has_head => take(ZlibDecoder::new(body), bytes_max),
            Self::Deflate => take(DeflateDecoder::new(body), bytes_max),
        };
        let inflated = inflated.map_err(|cause| {
            Refusal::BodyIncomplete(format!("content-encoding is {}: {cause}", self.name()))
        })?;
        if inflated.len() > bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max: bytes_max as u64, limit: "body_mib" });
        }
        Ok(inflated)
    }

    fn deflate(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 2);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }
}

fn take(reader: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut inflated = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut inflated)?;
    Ok(inflated)
}

/// The compression that a caller takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Accepted {
    coding: Coding,
    /// The caller names no other: it was asked for, not only possible.
    is_only: bool,
}

fn accepted(headers: &HeaderMap) -> Option<Accepted> {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    let values = values.iter().filter_map(|value| value.to_str().ok());
    let mut best = None;
    let mut others = 0;
    for item in values.flat_map(|value| value.split(',')) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        if weight.is_ok_and(|weight| weight <= 0.0) || name.trim() == "identity" {
            continue;
        }
        match (Coding::parse(name), best) {
            (Some(Coding::Gzip), _) | (Some(_), None) => best = Coding::parse(name),
            _ => {}
        }
        others += 1;
    }
    best.map(|coding| Accepted { coding, is_only: others == 1 })
}

/// What a body of so many bytes weighs: those of a compressed one become many.
pub(crate) fn weight(headers: &HeaderMap, bytes: usize) -> usize {
    let is_coded = headers.contains_key(header::CONTENT_ENCODING);
    bytes.saturating_mul(if is_coded { GROWTH } else { 1 })
}

/// A call whose body or answer may be compressed.
pub(crate) struct Coded<C> {
    call: C,
    body: Option<Coding>,
    answer: Option<Accepted>,
    bytes_max: usize,
    /// What the body weighs, once it is no longer compressed.
    inflated_weight: Option<usize>,
}

impl<C> Coded<C> {
    /// `bytes_max`: of the body, when it is no longer compressed.
    pub(crate) fn new(call: C, headers: &HeaderMap, bytes_max: usize) -> Result<Self, Refusal> {
        let body = Coding::of_body(headers)?;
        Ok(Self { call, body, answer: accepted(headers), bytes_max, inflated_weight: None })
    }
}

impl<C: Call<Reply = Wire>> Call for Coded<C> {
    type Reply = Wire;

    fn is_small(&self, body: &[u8]) -> bool {
        // Few bytes may become many.
        self.body.is_none() && self.call.is_small(body)
    }

    fn weight(&self, body: &[u8]) -> usize {
        let growth = if self.body.is_some() { GROWTH } else { 1 };
        self.inflated_weight.unwrap_or_else(|| self.call.weight(body).saturating_mul(growth))
    }

    fn peek(&mut self, body: &[u8]) {
        if self.body.is_none() {
            self.call.peek(body);
        }
    }

    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        match self.body {
            None => self.call.decode(body, rows),
            Some(coding) => {
                let inflated = coding.inflate(body, self.bytes_max)?;
                self.inflated_weight = Some(self.call.weight(&inflated));
                self.call.decode(&inflated, rows)
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        self.call.timeout()
    }

    fn encode(&self, scored: &Scored) -> Result<Wire, Refusal> {
        let mut wire = self.call.encode(scored)?;
        if let Some(Accepted { coding, is_only }) = self.answer
            && (is_only || wire.body.len() >= WORTHWHILE_BYTES)
            && let Ok(deflated) = coding.deflate(&wire.body)
        {
            wire.body = Bytes::from(deflated);
            wire.coding = Some(coding);
        }
        Ok(wire)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_caller_takes() {
        let found = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            accepted(&headers).map(|a| (a.coding, a.is_only))
        };
        for (text, expected) in [
            ("gzip", Some((Coding::Gzip, true))),
            ("deflate", Some((Coding::Deflate, true))),
            ("gzip, deflate, br", Some((Coding::Gzip, false))),
            ("deflate, gzip;q=0.5", Some((Coding::Gzip, false))),
            ("gzip;q=0, deflate", Some((Coding::Deflate, true))),
            ("identity", None),
            ("br, zstd", None),
            ("", None),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_small_body_does_not_become_a_large_one() {
        let zeros = vec![b' '; 1 << 20];
        for coding in [Coding::Gzip, Coding::Deflate] {
            let packed = coding.deflate(&zeros).expect("memory");
            assert!(packed.len() < 16 << 10, "{}", packed.len());
            assert_eq!(coding.inflate(&packed, 1 << 20).expect("it fits").len(), 1 << 20);
            let refused = coding.inflate(&packed, (1 << 20) - 1).expect_err("one byte too many");
            assert_eq!(refused.status().1, "body_too_large");
            let cut = coding.inflate(&packed[..packed.len() / 2], 1 << 20).expect_err("half");
            assert_eq!(cut.status().1, "body_incomplete");
            assert!(coding.inflate(b"no such thing", 1 << 20).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let packed = coding.deflate(&body).expect("memory");
                prop_assert_eq!(&coding.inflate(&packed, 300).expect("it fits"), &body);
            }
        }
    }
}
