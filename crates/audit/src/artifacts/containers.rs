//! Containers other than zip: tar and ar, which are opened, and those that are not.

use std::borrow::Cow;
use std::io::{self, Cursor, Read as _};

/// First bytes of containers that nobody here looks into, and what they are called.
const OPAQUE: &[(usize, &[u8], &str)] = &[
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (0, b"MSCF\0\0\0\0", "Cabinet"),
    (0, b"LZIP\x01", "lzip"),
    (0, b"\x89LZO\0\x0d\x0a\x1a\x0a", "lzop"),
    (0, b"\x1f\x9d\x90", "compress (.Z)"),
    (0, b"\xff\x06\0\0sNaPpY", "snappy"),
    (0, b"xar!\0\x1c", "xar"),
    (0, b"\xed\xab\xee\xdb", "RPM"),
    (0, b"hsqs", "SquashFS"),
    (0, b"**ACE**", "ACE"),
    (7, b"**ACE**", "ACE"),
    (0, b"zPQ\x01", "ZPAQ"),
    (0, b"070701", "cpio"),
    (0, b"070702", "cpio"),
    (0, b"MSWIM\0\0\0", "WIM"),
    (2, b"-lh5-", "LHA"),
    (2, b"-lh7-", "LHA"),
    (20, b"\xdc\xa7\xc4\xfd", "ZOO"),
];

/// What the container is called, if it is one that is not opened.
pub(super) fn opaque(bytes: &[u8]) -> Option<&'static str> {
    let fits = |(at, magic, _): &&(usize, &[u8], &str)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    OPAQUE.iter().find(fits).map(|(_, _, name)| *name)
}

/// Members in order, and what stopped the reading.
pub(super) struct Listed<'a> {
    pub(super) members: Vec<(String, Cow<'a, [u8]>)>,
    /// What stands behind the end.
    pub(super) rest: &'a [u8],
    pub(super) damage: Option<String>,
}

pub(super) fn is_tar(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..512) else { return false };
    let field = head[148..156].iter().filter(|byte| byte.is_ascii_digit());
    let stated = field.fold(0_u32, |sum, digit| (sum << 3) | u32::from(digit & 7));
    let sum = |signed: bool| -> i64 {
        let byte = |(at, byte): (usize, &u8)| match at {
            148..156 => i64::from(b' '),
            _ if signed => i64::from(byte.cast_signed()),
            _ => i64::from(*byte),
        };
        head.iter().enumerate().map(byte).sum()
    };
    head[0] != 0 && (sum(false) == i64::from(stated) || sum(true) == i64::from(stated))
}

/// Bytes of a sparse member that are looked at; what it leaves out are zeros.
const SPARSE_BYTES_MAX: u64 = 64 << 20;

/// Members of a tar archive.
pub(super) fn tar(bytes: &[u8], members_max: usize) -> Listed<'_> {
    let mut listed = Listed { members: Vec::new(), rest: &[], damage: None };
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    match archive.entries() {
        Ok(entries) => {
            for entry in entries {
                if listed.members.len() >= members_max {
                    listed.damage =
                        Some(format!("more than {members_max} members (limit `members_max`)"));
                    return listed;
                }
                match entry.and_then(|entry| member(bytes, entry)) {
                    Ok(member) => listed.members.push(member),
                    Err(cause) => {
                        listed.damage = Some(cause.to_string());
                        break;
                    }
                }
            }
        }
        Err(cause) => listed.damage = Some(cause.to_string()),
    }
    // Two blocks of zeros end an archive; other readers go on behind them.
    let end = usize::try_from(archive.into_inner().position()).unwrap_or(usize::MAX);
    let rest = bytes.get(end..).unwrap_or_default();
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    listed.rest = rest.get(zeros / 512 * 512..).unwrap_or_default();
    listed
}

fn member<'a>(
    bytes: &'a [u8],
    mut entry: tar::Entry<'_, Cursor<&'a [u8]>>,
) -> io::Result<(String, Cow<'a, [u8]>)> {
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if entry.header().entry_type().is_gnu_sparse() {
        let mut data = Vec::new();
        entry.by_ref().take(SPARSE_BYTES_MAX).read_to_end(&mut data)?;
        return Ok((name, Cow::Owned(data)));
    }
    let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
    let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
    let data = bytes.get(start..).unwrap_or_default();
    let Some(data) = data.get(..size) else {
        return Err(io::Error::other(format!("`{name}` breaks off")));
    };
    Ok((name, Cow::Borrowed(data)))
}

/// Members of an `ar` archive: static libraries, Debian packages.
pub(super) fn ar(bytes: &[u8], members_max: usize) -> Option<Listed<'_>> {
    let mut rest = bytes.strip_prefix(b"!<arch>\n")?;
    let mut listed = Listed { members: Vec::new(), rest: &[], damage: None };
    while let Some((head, after)) = rest.split_at_checked(60) {
        let size =
            std::str::from_utf8(&head[48..58]).ok().and_then(|size| size.trim().parse().ok());
        let Some(size) = size.filter(|size| *size <= after.len()) else {
            listed.damage = Some("a member of the ar archive is damaged".to_owned());
            break;
        };
        if listed.members.len() >= members_max {
            listed.damage = Some(format!("more than {members_max} members (limit `members_max`)"));
            break;
        }
        let name = String::from_utf8_lossy(&head[..16]).trim_end().to_owned();
        listed.members.push((name, Cow::Borrowed(&after[..size])));
        rest = after.get(size + size % 2..).unwrap_or_default();
    }
    Some(listed)
}
