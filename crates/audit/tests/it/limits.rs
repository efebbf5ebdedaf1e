//! Hostile input costs bounded time and room, and is blocked by the name of the limit.

use stemson_audit::{Limits, judge};

use crate::forge::{Forge, Forged};
use crate::wrap::{bzip2, gzip, zstd};

#[track_caller]
fn check(bytes: &[u8], limits: Limits, expected: &str) {
    let found = judge(bytes, &limits).faults;
    let named = found.iter().any(|it| it.rule.as_str() == "limit" && it.message.contains(expected));
    assert!(named, "{found:?}");
}

#[test]
fn bombs() {
    let zeros = vec![0; 4 << 20];
    let small = Limits { unpacked_bytes_max: 2 << 20, ..Limits::default() };
    for packed in [gzip(&zeros), bzip2(&zeros), zstd(&zeros)] {
        check(&packed, small, "unpacked_bytes_max");
    }
    let zip = Forge::of((0..8).map(|i| Forged::deflated(&format!("m{i}"), &zeros[..512 << 10])));
    check(&zip.bytes(), small, "unpacked_bytes_max");
}

#[test]
fn depth_and_number() {
    let nested = (0..12).fold(b"text".to_vec(), |inner, _| gzip(&inner));
    check(&nested, Limits::default(), "depth_max");
    let crowd = Forge::of((0..50).map(|i| Forged::stored(&format!("m{i}"), b"")));
    check(&crowd.bytes(), Limits { members_max: 49, ..Limits::default() }, "members_max");
}

#[test]
fn damage_never_panics() {
    let pickle = crate::pickles::call(4, "os", "system", "true");
    for (_, wrap) in crate::wrap::WRAPPINGS {
        let whole = wrap(&pickle);
        let small = Limits { unpacked_bytes_max: 1 << 20, ..Limits::default() };
        for at in 0..whole.len() {
            judge(&whole[..at], &small);
            let mut bent = whole.clone();
            bent[at] ^= 0x55;
            judge(&bent, &small);
        }
    }
}
