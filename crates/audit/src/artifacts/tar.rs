//! Tar archives, as leniently as the readers that people use.
//!
//! Python's `tarfile` and GNU tar take signed checksums, directories with a size and no data, long
//! names of two sorts, and sparse files of four. A reader that stops at any of them would miss what
//! lies behind, or call a good archive damaged.

use std::borrow::Cow;

use super::containers::Listed;

const BLOCK: usize = 512;
/// Bytes of a sparse member that are looked at; what it leaves out are zeros.
const SPARSE_BYTES_MAX: usize = 64 << 20;

pub(super) fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(..BLOCK).is_some_and(|head| head[0] != 0 && Header(head).is_sound())
}

/// Members of a tar archive.
pub(super) fn tar(bytes: &[u8], members_max: usize) -> Listed<'_> {
    let mut listed = Listed { members: Vec::new(), rest: &[], damage: None };
    let mut at = 0_usize;
    let mut next = Next::default();
    while let Some(head) = bytes.get(at..at.saturating_add(BLOCK)) {
        if head.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = Header(head);
        if !header.is_sound() {
            listed.damage = Some(format!("the header at byte {at} has another checksum"));
            break;
        }
        if listed.members.len() >= members_max {
            listed.damage = Some(format!("more than {members_max} members (limit `members_max`)"));
            break;
        }
        at += BLOCK;
        let chunks =
            if header.kind() == b'S' { sparse_chunks(bytes, &header, &mut at) } else { None };
        let Some(size) = next.size.filter(|_| header.has_data()).or_else(|| header.size()) else {
            listed.damage = Some(format!("the header before byte {at} has no size"));
            break;
        };
        let size = if header.has_data() { size } else { 0 };
        let Some(data) = bytes.get(at..).and_then(|rest| rest.get(..size)) else {
            listed.damage = Some(format!("`{}` breaks off", header.name()));
            at = bytes.len();
            break;
        };
        at = at.saturating_add(size.next_multiple_of(BLOCK)).min(bytes.len());
        match header.kind() {
            b'L' => next.name = Some(text(data)),
            b'x' | b'X' => next.read(data),
            b'g' | b'K' => {}
            _ => {
                let told = std::mem::take(&mut next);
                let name = told.name.unwrap_or_else(|| header.name());
                let data = match chunks {
                    Some(chunks) => Cow::Owned(expand(data, &chunks)),
                    None => Cow::Borrowed(data),
                };
                listed.members.push((name, data));
            }
        }
    }
    // Two blocks of zeros end an archive; other readers go on behind them.
    let rest = bytes.get(at..).unwrap_or_default();
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    listed.rest = rest.get(zeros / BLOCK * BLOCK..).unwrap_or_default();
    listed
}

/// What an extension says of the member behind it.
#[derive(Default)]
struct Next {
    name: Option<String>,
    size: Option<usize>,
}

impl Next {
    /// Lines of POSIX: `LENGTH key=value\n`.
    fn read(&mut self, mut records: &[u8]) {
        while let Some(blank) = records.iter().position(|byte| *byte == b' ') {
            let length = std::str::from_utf8(&records[..blank]).ok().and_then(|it| it.parse().ok());
            let Some(length) = length.filter(|n| *n > blank && *n <= records.len()) else { return };
            let record = text(&records[blank + 1..length]);
            records = &records[length..];
            match record.trim_end_matches('\n').split_once('=') {
                Some(("path" | "GNU.sparse.name", value)) => self.name = Some(value.to_owned()),
                Some(("size", value)) => self.size = value.parse().ok(),
                _ => {}
            }
        }
    }
}

/// The block before a member.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    /// Whether the checksum is that of its bytes, taken with a sign or without.
    fn is_sound(&self) -> bool {
        let sum = |value: fn(u8) -> i64| -> i64 {
            let byte = |(at, byte): (usize, &u8)| match at {
                148..156 => i64::from(b' '),
                _ => value(*byte),
            };
            self.0.iter().enumerate().map(byte).sum()
        };
        let stated = number(&self.0[148..156]).and_then(|sum| i64::try_from(sum).ok());
        stated.is_some_and(|stated| {
            stated == sum(i64::from) || stated == sum(|byte| i64::from(byte.cast_signed()))
        })
    }

    fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Links, devices, folders and pipes have none, whatever their size says.
    fn has_data(&self) -> bool {
        !matches!(self.kind(), b'1'..=b'6')
    }

    fn size(&self) -> Option<usize> {
        number(&self.0[124..136])
    }

    fn name(&self) -> String {
        let prefix = if self.0[257..].starts_with(b"ustar\0") {
            text(&self.0[345..500])
        } else {
            String::new()
        };
        match prefix.as_str() {
            "" => text(&self.0[..100]),
            prefix => format!("{prefix}/{}", text(&self.0[..100])),
        }
    }
}

/// Octal digits, or GNU's binary form.
fn number(field: &[u8]) -> Option<usize> {
    if field[0] & 0x80 != 0 {
        let mut rest = field[1..].iter();
        return rest.try_fold(usize::from(field[0] & 0x7f), |value, byte| {
            value.checked_mul(256)?.checked_add(usize::from(*byte))
        });
    }
    let digits = text(field);
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() { Some(0) } else { usize::from_str_radix(digits, 8).ok() }
}

/// Until the first zero; what is no UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Offset and length of the pieces of a sparse member of GNU's old form; passes the blocks that go on
/// with their list.
fn sparse_chunks(bytes: &[u8], header: &Header<'_>, at: &mut usize) -> Option<Vec<(usize, usize)>> {
    let mut chunks = Vec::new();
    let mut read = |list: &[u8]| {
        for entry in list.chunks_exact(24) {
            if let (Some(offset), Some(length)) = (number(&entry[..12]), number(&entry[12..])) {
                chunks.push((offset, length));
            }
        }
    };
    read(&header.0[386..482]);
    let mut goes_on = header.0[482] == 1;
    while goes_on {
        let block = bytes.get(*at..at.saturating_add(BLOCK))?;
        read(&block[..504]);
        goes_on = block[504] == 1;
        *at += BLOCK;
    }
    Some(chunks)
}

/// The file that the pieces stand for.
fn expand(mut data: &[u8], chunks: &[(usize, usize)]) -> Vec<u8> {
    let mut whole = Vec::new();
    for (offset, length) in chunks {
        let end = offset.saturating_add(*length).min(SPARSE_BYTES_MAX);
        let (piece, rest) = data.split_at((*length).min(data.len()));
        data = rest;
        if *offset < end {
            whole.resize(whole.len().max(end), 0);
            let fits = piece.len().min(end - offset);
            whole[*offset..offset + fits].copy_from_slice(&piece[..fits]);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member with a header as old tars write them.
    fn member(kind: u8, name: &str, size: usize, data: &[u8], signed: bool) -> Vec<u8> {
        let mut head = vec![0; BLOCK];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        head[148..156].fill(b' ');
        head[156] = kind;
        let value =
            |byte: &u8| if signed { i64::from(byte.cast_signed()) } else { i64::from(*byte) };
        let sum: i64 = head.iter().map(value).sum();
        head[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        head[154] = 0;
        head.extend_from_slice(data);
        head.resize(head.len().next_multiple_of(BLOCK), 0);
        head
    }

    fn names(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let listed = tar(bytes, 100);
        (listed.members.into_iter().map(|(name, _)| name).collect(), listed.damage)
    }

    #[test]
    fn goes_on_behind_what_is_odd() {
        let record = b"30 path=long/name/of/a/member\n";
        let archive = [
            member(b'5', "folder with a size", 255, b"", false),
            member(b'0', "signed \u{fc}", 3, b"abc", true),
            member(b'L', "././@LongLink", 9, b"long\0name", false),
            member(b'0', "short", 1, b"x", false),
            member(b'x', "pax", record.len(), record, false),
            member(b'0', "short", 1, b"y", false),
            member(b'0', "last", 0, b"", false),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        assert!(is_tar(&archive));
        let expected =
            ["folder with a size", "signed \u{fc}", "long", "long/name/of/a/member", "last"];
        assert_eq!(names(&archive), (expected.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn a_sparse_member_is_what_it_stands_for() {
        let mut head = member(b'S', "sparse", 6, b"abcdef", false);
        for (place, (offset, length)) in [(4, 3), (10, 3)].into_iter().enumerate() {
            let at = 386 + 24 * place;
            head[at..at + 24].copy_from_slice(format!("{offset:011o} {length:011o} ").as_bytes());
        }
        head[148..156].fill(b' ');
        let sum: u64 = head[..BLOCK].iter().map(|byte| u64::from(*byte)).sum();
        head[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        let listed = tar(&head, 10);
        assert_eq!(listed.members[0].1.as_ref(), b"\0\0\0\0abc\0\0\0def");
    }

    #[test]
    fn damage_is_named() {
        let whole = member(b'0', "a", 600, &[b'x'; 600], false);
        assert_eq!(names(&whole[..700]).1.as_deref(), Some("`a` breaks off"));
        let mut second = [whole.clone(), whole].concat();
        second[1_536] ^= 1;
        assert!(names(&second).1.is_some_and(|damage| damage.contains("byte 1536")));
    }
}
