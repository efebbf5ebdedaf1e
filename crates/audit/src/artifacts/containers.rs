//! Containers other than zip and tar: ar, which is opened, and those that are not.

use std::borrow::Cow;

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
