//! Under which key an answer is kept.

use sha2::{Digest as _, Sha256};
use stemson_mojo::{Batch, Digest, LeafAssignment, Options};

use crate::name::ModelName;

/// Bytes of an artifact's digest that stand in a key.
const DIGEST_BYTES: usize = 16;

/// What all keys of one revision have in common when the same is asked of it.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// `k1:<model>:<digest>:<options>:`
    prefix: String,
    id: [u8; 16],
}

/// The key of one row's answer: equal keys, equal answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// SHA-256 of the namespace's prefix, its first half.
    space: [u8; 16],
    /// SHA-256 of the bits that decide the answer.
    row: [u8; 32],
}

impl Namespace {
    /// `digest`: of the artifact, never a number that a person gave. `has_quirks`: whether models
    /// are loaded to answer as genmodel where that is wrong.
    pub fn new(model: &ModelName, digest: Digest, options: Options, has_quirks: bool) -> Self {
        let mut prefix = String::with_capacity(192);
        prefix.push_str("k1:");
        prefix.push_str(model.as_str());
        prefix.push(':');
        write_hex(&mut prefix, &digest.as_bytes()[..DIGEST_BYTES]);
        prefix.push(':');
        write_options(&mut prefix, options, has_quirks);
        prefix.push(':');
        let hash = Sha256::digest(prefix.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self { prefix, id }
    }

    /// The key of a row of a batch that was made with the namespace's options. `None` for rows
    /// whose answers are not kept: see [`Batch::row_bits`].
    pub fn key(&self, batch: &Batch, row: usize) -> Option<Key> {
        let mut hasher = Sha256::new();
        batch
            .row_bits(row, |bits| hasher.update(bits))
            .then(|| Key { space: self.id, row: hasher.finalize().into() })
    }

    /// The key as text, for stores that others can look into:
    /// `k1:<model>:<digest>:<options>:<row>`.
    ///
    /// The digest is 32 hexadecimal digits of the artifact's SHA-256, the row all 64 of the SHA-256
    /// of its canonical bits. Options: `l`enient or `s`trict, then of `q`uirks, `d`istances,
    /// `r`econstruction, `c`ontributions, leaf `p`aths or `i`ds, s`t`aged what is asked for.
    pub fn text(&self, key: &Key) -> String {
        let mut text = String::with_capacity(self.prefix.len() + 64);
        text.push_str(&self.prefix);
        write_hex(&mut text, &key.row);
        text
    }
}

impl Key {
    /// The bytes that a seal is made over.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.space, &self.row]
    }

    #[cfg(test)]
    pub(super) fn of(space: u8, row: u64) -> Self {
        Self { space: [space; 16], row: Sha256::digest(row.to_le_bytes()).into() }
    }
}

fn write_options(out: &mut String, options: Options, has_quirks: bool) {
    let Options { strict, distances, reconstruct, contributions, leaf_assignment, staged } =
        options;
    out.push(if strict { 's' } else { 'l' });
    for (is_asked, letter) in [
        (has_quirks, 'q'),
        (distances, 'd'),
        (reconstruct, 'r'),
        (contributions, 'c'),
        (leaf_assignment == Some(LeafAssignment::Paths), 'p'),
        (leaf_assignment == Some(LeafAssignment::Ids), 'i'),
        (staged, 't'),
    ] {
        if is_asked {
            out.push(letter);
        }
    }
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn namespace(model: &str, artifact: &[u8], options: Options, has_quirks: bool) -> Namespace {
        let model = model.parse().expect("a name");
        Namespace::new(&model, Digest::of(artifact), options, has_quirks)
    }

    #[test]
    fn a_key_says_what_it_is_the_key_of() {
        let options = Options { contributions: true, staged: true, ..Options::default() };
        let key = namespace("churn", b"", options, false);
        let row = Key { space: key.id, row: [0xab; 32] };
        let expected = format!("k1:churn:e3b0c44298fc1c149afbf4c8996fb924:lct:{}", "ab".repeat(32));
        assert_eq!(key.text(&row), expected);
    }

    #[test]
    fn whatever_may_change_an_answer_changes_the_key() {
        let plain = Options::default();
        let paths = Some(LeafAssignment::Paths);
        let all = [
            namespace("a", b"1", plain, false),
            namespace("b", b"1", plain, false),
            namespace("a", b"2", plain, false),
            namespace("a", b"1", plain, true),
            namespace("a", b"1", Options { strict: true, ..plain }, false),
            namespace("a", b"1", Options { distances: true, ..plain }, false),
            namespace("a", b"1", Options { reconstruct: true, ..plain }, false),
            namespace("a", b"1", Options { contributions: true, ..plain }, false),
            namespace("a", b"1", Options { staged: true, ..plain }, false),
            namespace("a", b"1", Options { leaf_assignment: paths, ..plain }, false),
            namespace(
                "a",
                b"1",
                Options { leaf_assignment: Some(LeafAssignment::Ids), ..plain },
                false,
            ),
        ];
        let ids: HashSet<[u8; 16]> = all.iter().map(|namespace| namespace.id).collect();
        let texts: HashSet<&str> = all.iter().map(|namespace| namespace.prefix.as_str()).collect();
        assert_eq!((ids.len(), texts.len()), (all.len(), all.len()));
    }
}
