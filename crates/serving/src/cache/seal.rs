//! Answers as they lie in a store that may lose, cut or mix them up.
//!
//! Layout: `S1`, the seal of 8 bytes, the answer. The seal is the start of a SHA-256 over this
//! program's version, the key and the answer: what was damaged, what belongs to another key, and what
//! another version wrote, which may have answered otherwise, is no answer. It keeps out accidents, not
//! people: whoever can write to the store can make a seal.

use sha2::{Digest as _, Sha256};

use super::key::Key;

const MARK: &[u8; 2] = b"S1";
const SEAL_BYTES: usize = 8;

/// The bytes are not an answer that this version has kept under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an answer that this version has kept under this key")]
pub struct Damaged;

/// The answer with its seal.
pub fn sealed(key: &Key, answer: &[u8]) -> Vec<u8> {
    [MARK.as_slice(), &seal(key, answer), answer].concat()
}

/// The answer, if it is one.
pub fn opened<'a>(key: &Key, bytes: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let rest = bytes.strip_prefix(MARK).ok_or(Damaged)?;
    let (found, answer) = rest.split_at_checked(SEAL_BYTES).ok_or(Damaged)?;
    if found == seal(key, answer) { Ok(answer) } else { Err(Damaged) }
}

fn seal(key: &Key, answer: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    hasher.update([0]);
    key.parts().into_iter().for_each(|part| hasher.update(part));
    hasher.update(answer);
    let hash = hasher.finalize();
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&hash[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_is_opened() {
        let (key, answer) = (Key::of(1, 7), b"0.7030458237937856");
        let kept = sealed(&key, answer);
        assert_eq!(opened(&key, &kept), Ok(answer.as_slice()));
        assert_eq!(opened(&key, &sealed(&key, b"")), Ok(b"".as_slice()));
        assert_eq!(opened(&Key::of(1, 8), &kept), Err(Damaged), "another row");
        assert_eq!(opened(&Key::of(2, 7), &kept), Err(Damaged), "another revision");
        for len in 0..kept.len() {
            assert_eq!(opened(&key, &kept[..len]), Err(Damaged), "{len} bytes");
        }
        for bit in 0..kept.len() * 8 {
            let mut kept = kept.clone();
            kept[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&key, &kept), Err(Damaged), "bit {bit}");
        }
    }
}
