//! The name of a request: the caller's, or one of ours.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::trace::hex;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that carries it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl Default for RequestId {
    fn default() -> Self {
        Self(HeaderValue::from_static("-"))
    }
}

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// Whether this request is one of a share of all, 0 to 1. The same id gives the same choice.
    pub(crate) fn falls_into(&self, ratio: f64) -> bool {
        // FNV-1a, and its bits mixed: ids differ in their last letters.
        const BASE: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        if ratio <= 0.0 || ratio >= 1.0 {
            return ratio >= 1.0;
        }
        let bytes = self.0.as_bytes().iter();
        let hash = bytes.fold(BASE, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
        let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)) as f64 / u64::MAX as f64 <= ratio
    }
}

/// Bytes of an id that is taken over.
const LENGTH_MAX: usize = 128;

/// Gives each request of a process an id of its own.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// Differs between processes.
    seed: RandomState,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new(), next: AtomicU64::new(0) }
    }

    /// A number for the request: the same for the same id of a caller, else another each time.
    pub(crate) fn key(&self, headers: &HeaderMap) -> u64 {
        let mut hasher = self.seed.build_hasher();
        match headers.get(HEADER) {
            Some(theirs) => hasher.write(theirs.as_bytes()),
            None => hasher.write_u64(self.next.fetch_add(1, Ordering::Relaxed)),
        }
        hasher.finish()
    }

    /// The caller's id if it is short and visible ASCII, else a new one of 16 hexadecimal digits.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let is_id = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=LENGTH_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        if let Some(theirs) = headers.get(HEADER).filter(is_id) {
            return theirs.clone();
        }
        let mut hasher = self.seed.build_hasher();
        hasher.write_u64(self.next.fetch_add(1, Ordering::Relaxed));
        let id = hex::<16>(hasher.finish().into());
        HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_is_chosen_and_always_the_same() {
        for (ratio, least, most) in [(0.0, 0, 0), (0.1, 800, 1_200), (1.0, 10_000, 10_000)] {
            let chosen = |n: &u32| {
                let id = HeaderValue::from_str(&format!("{n:016x}")).expect("an id");
                RequestId(id).falls_into(ratio)
            };
            let count = (0..10_000).filter(chosen).count();
            assert!((least..=most).contains(&count), "{ratio}: {count}");
            assert_eq!((0..10_000).filter(chosen).count(), count);
        }
    }

    #[test]
    fn takes_the_callers_id_or_makes_one() {
        let ids = RequestIds::new();
        let with = |id: &[u8]| {
            HeaderMap::from_iter([(HEADER, HeaderValue::from_bytes(id).expect("a header"))])
        };
        assert_eq!(ids.of(&with(b"abc-1")), "abc-1");
        for bad in [&b""[..], b"a b", b"\xff", &[b'x'; 129]] {
            let id = ids.of(&with(bad));
            assert_eq!(id.as_bytes().len(), 16, "{bad:?}");
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
