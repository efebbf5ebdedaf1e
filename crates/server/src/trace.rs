//! W3C trace context: the caller's trace is gone on with, or one is begun.
//!
//! `traceparent` of a request gives the trace and the caller's span; the answer's `traceparent` says
//! the same trace with our span. A header that is not right counts as none, as the standard says.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// Where a request stands in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace: u128,
    /// The caller's span, if there is one.
    pub(crate) parent: Option<u64>,
    pub(crate) span: u64,
    /// What the caller has decided about recording.
    pub(crate) is_sampled: bool,
}

impl TraceContext {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let span = random().max(1);
        let theirs = headers.get(HEADER).and_then(|value| parse(value.to_str().ok()?));
        match theirs {
            Some((trace, parent, is_sampled)) => {
                Self { trace, parent: Some(parent), span, is_sampled }
            }
            None => {
                let trace = u128::from(random()) << 64 | u128::from(span);
                Self { trace, parent: None, span, is_sampled: false }
            }
        }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.text()).unwrap_or(HeaderValue::from_static("-"))
    }

    fn text(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&hex::<32>(self.trace));
        text[36..52].copy_from_slice(&hex::<16>(self.span.into()));
        text[54] += u8::from(self.is_sampled);
        text
    }
}

/// The last `N` hexadecimal digits: every request needs some, and formatting takes ten times as long.
pub(crate) fn hex<const N: usize>(number: u128) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: usize| DIGITS[(number >> (4 * (N - 1 - n)) & 15) as usize];
    std::array::from_fn(digit)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, lower case; later versions may go on behind it.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let mut part = |length: usize| parts.next().filter(|it| it.len() == length && is_hex(it));
    let (version, trace, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace, parent, flags & 1 == 1))
}

/// Keys of std's hash maps are random per call, and cost nothing that counts.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> TraceContext {
        let value = HeaderValue::from_str(text).expect("a header");
        TraceContext::of(&HeaderMap::from_iter([(HEADER, value)]))
    }

    #[test]
    fn a_trace_is_gone_on_with() {
        let found = of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(found.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((found.parent, found.is_sampled), (Some(0xb7ad_6b71_6920_3331), true));
        let ours = found.to_string();
        assert!(ours.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{ours}");
        assert!(ours.ends_with("-01") && !ours.contains("b7ad6b7169203331"), "{ours}");
        // A version that does not exist yet.
        let later = of("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more");
        assert_eq!(later.parent, found.parent);
    }

    #[test]
    fn what_is_not_right_begins_anew() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let found = of(bad);
            assert_eq!((found.parent, found.is_sampled), (None, false), "{bad}");
            assert_ne!(found.trace, of(bad).trace, "{bad}");
        }
    }
}
