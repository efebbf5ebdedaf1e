//! Sound archives are read, hostile ones refused, each with its own word.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::forge::{self, Forge, Forged};
use super::{Archive, ArchiveError};
use crate::limits::Limits;
use crate::memory;

const TEXT: &[u8] = b"[info]\nalgorithm = Gradient Boosting Machine\n";

/// Held at the same time while an archive is refused.
const PEAK_BYTES_MAX: usize = 64 << 20;

/// Everything that the archive holds, in order.
fn read_all(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let archive = Archive::open(bytes, limits)?;
    let files = archive.names().filter(|name| archive.contains(name));
    files.map(|name| Ok((name.to_owned(), archive.read(name)?))).collect()
}

/// The ratio has cases of its own; the others may repeat a byte.
fn any_ratio() -> Limits {
    Limits { inflation_ratio_max: u64::MAX, ..Limits::default() }
}

fn kind(bytes: &[u8], limits: &Limits) -> &'static str {
    read_all(bytes, limits).map_or_else(|error| error.kind(), |_| "ok")
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    (0..len).map(|_| random.next() as u8).collect()
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn ini() -> Forged {
    Forged::deflated("model.ini", TEXT)
}

/// A small archive with a bit of everything.
fn small() -> Forge {
    let mut forge = Forge::of([
        ini(),
        Forged::stored("domains/", b""),
        Forged::stored("domains/d000.txt", b"no\nyes\n").streamed(true, false),
        Forged::deflated("trees/t00_000.bin", &noise(40)).streamed(false, true),
    ]);
    forge.comment = b"a comment".to_vec();
    forge
}

fn small_wide() -> Forge {
    let data = b"some words, some words";
    let stored = forge::deflate(data).len() as u64;
    let mut forge =
        Forge::of([Forged::deflated("wide", data).wide(data.len() as u64, stored, 0), ini()]);
    forge.zip64 = true;
    forge
}

/// What it is, its entries, and what reading them gives.
type Sound<'a> = (&'a str, Vec<Forged>, Vec<&'a [u8]>);

#[test]
fn reads_what_writers_write() {
    let big = vec![b'x'; 3 << 20];
    let data = noise(5000);
    let inner = Forge::of([ini()]).bytes();
    let java = || Forged::stored("META-INF/MANIFEST.MF", b"");
    let gap = Forged { gap: b"dead bytes".to_vec(), ..Forged::stored("d", &data) };
    let table: Vec<Sound<'_>> = vec![
        ("no entries", vec![], vec![]),
        ("stored", vec![Forged::stored("a", &data)], vec![&data]),
        ("empty", vec![Forged::stored("a", b""), Forged::deflated("b", b"")], vec![b"", b""]),
        ("above the first buffer", vec![Forged::deflated("a", &big)], vec![&big]),
        ("zip64", vec![Forged::stored("a", &data).wide(5000, 5000, 0)], vec![&data]),
        (
            "nested in a Java archive",
            vec![java(), Forged::stored("in.jar", &inner)],
            vec![b"", &inner],
        ),
        ("gap", vec![ini(), gap], vec![TEXT, &data]),
        ("not English", vec![Forged::stored("größe/日本", &data)], vec![&data]),
        (
            "descriptors",
            [(true, true), (true, false), (false, true), (false, false)]
                .iter()
                .map(|&(signed, wide)| {
                    Forged::deflated(&format!("{signed}/{wide}"), &data).streamed(signed, wide)
                })
                .collect(),
            vec![&data; 4],
        ),
        (
            "bit 3, but sizes in the local header all the same",
            vec![ini().both(|header| header.flags |= 8)],
            vec![TEXT],
        ),
        (
            "flags of the compressor differ",
            vec![ini().local(|header| header.flags |= 6)],
            vec![TEXT],
        ),
        ("unix file", vec![Forged { external: 0o100_644 << 16, ..ini() }], vec![TEXT]),
    ];
    for (what, entries, wanted) in table {
        for zip64 in [false, true] {
            for comment in [&b""[..], b"a comment"] {
                let mut forge = Forge::of(entries.clone());
                forge.zip64 = zip64;
                forge.comment = comment.to_vec();
                let found = read_all(&forge.bytes(), &any_ratio());
                let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
                let found: Vec<&[u8]> = found.iter().map(|(_, bytes)| &bytes[..]).collect();
                assert!(found == wanted, "{what}, zip64 {zip64}");
            }
        }
    }
}

#[test]
fn tells_what_is_there() {
    let bytes = small().bytes();
    let archive = Archive::open(&bytes, &Limits::default()).unwrap();
    let names: Vec<&str> = archive.names().collect();
    assert_eq!(names, ["model.ini", "domains/", "domains/d000.txt", "trees/t00_000.bin"]);
    assert_eq!(archive.entry_count(), 4);
    assert_eq!(archive.inflated_size(), TEXT.len() as u64 + 7 + 40);
    let deflated = forge::deflate(TEXT).len() + forge::deflate(&noise(40)).len();
    assert_eq!(archive.stored_size(), deflated as u64 + 7);
    assert!(archive.contains("model.ini"));
    for none in ["domains/", "domains", "MODEL.INI", "", "/model.ini"] {
        assert!(!archive.contains(none), "{none}");
        assert_eq!(archive.read(none).unwrap_err().kind(), "not_found");
    }
    let found = read_all(&small_wide().bytes(), &Limits::default()).unwrap();
    assert_eq!(found[0].1, b"some words, some words");
}

/// Every hostile archive, its limits, and the word with which it is refused.
fn hostile() -> Vec<(String, Vec<u8>, Limits, &'static str)> {
    let default = Limits::default();
    let zeros_pass = any_ratio();
    let zeros = vec![0; 8 << 20];
    let mut rows = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, limits: Limits, kind| {
        rows.push((what.to_owned(), bytes, limits, kind));
    };

    add("no bytes", Vec::new(), default, "empty");
    add("text", b"hello".to_vec(), default, "not_zip");
    add("split, first part", b"PK\x07\x08PK\x03\x04".to_vec(), default, "multi_disk");

    add("quoted overlap", forge::quoted_bomb(200, 1 << 20), default, "overlap");
    add("one kernel, many names", forge::shared_bomb(200, 1 << 20), default, "overlap");
    add("a million entries", forge::crowd(1_000_000), default, "too_many_entries");
    let few = Limits { entries_max: 3, ..default };
    add("four entries of three", small().bytes(), few, "too_many_entries");

    let bomb = |limits| (Forge::of([Forged::deflated("zeros", &zeros)]).bytes(), limits);
    let (bytes, limits) = bomb(default);
    add("ratio bomb", bytes, limits, "inflation_ratio");
    let (bytes, limits) = bomb(Limits { entry_bytes_max: (8 << 20) - 1, ..zeros_pass });
    add("one byte too big", bytes, limits, "entry_too_big");
    let (bytes, limits) = bomb(Limits { total_bytes_max: (8 << 20) - 1, ..zeros_pass });
    add("one byte too big in all", bytes, limits, "total_too_big");
    let two = Forge::of([Forged::deflated("a", &zeros), Forged::deflated("b", &zeros)]);
    let limits = Limits { total_bytes_max: 12 << 20, ..zeros_pass };
    add("two are too big", two.bytes(), limits, "total_too_big");

    for (what, entry, kind) in hostile_entries() {
        // In front of another entry, and behind it.
        add(what, Forge::of([entry.clone(), ini()]).bytes(), default, kind);
        if entry.at.is_none() {
            add(what, Forge::of([ini(), entry]).bytes(), default, kind);
        }
    }
    for (what, forge, kind) in hostile_ends() {
        add(what, forge.bytes(), default, kind);
    }
    rows
}

fn hostile_entries() -> Vec<(&'static str, Forged, &'static str)> {
    let entry = || Forged::deflated("trees/t00_000.bin", TEXT);
    let named = |name: &[u8]| entry().both(|header| header.name = name.to_vec());
    let longer: Vec<u8> = [forge::deflate(TEXT), b"more".to_vec()].concat();
    let cut = &forge::deflate(&noise(300))[..200];
    let wide = |size| entry().wide(size, forge::deflate(TEXT).len() as u64, 0);
    let inner = Forge::of([ini()]).bytes();
    let streamed = |at: usize| {
        let mut entry = entry().streamed(true, false);
        entry.descriptor[at] ^= 1;
        entry
    };
    vec![
        ("twice", named(b"model.ini"), "duplicate_name"),
        ("absolute", named(b"/etc/passwd"), "bad_name"),
        ("parent", named(b"../model.ini"), "bad_name"),
        ("parent inside", named(b"a/../../b"), "bad_name"),
        ("parent at the end", named(b"a/.."), "bad_name"),
        ("backslash", named(b"..\\model.ini"), "bad_name"),
        ("drive", named(b"C:model.ini"), "bad_name"),
        ("NUL", named(b"model.ini\0.txt"), "bad_name"),
        ("no name", named(b""), "bad_name"),
        ("not UTF-8", named(b"gr\xf6sse"), "bad_name"),
        ("folder with data", named(b"trees/"), "bad_name"),
        ("symbolic link", Forged { external: 0o120_777 << 16, ..entry() }, "symlink"),
        ("nested, by its name", Forged::deflated("in.zip", &inner), "nested_archive"),
        ("nested, a Java archive", Forged::deflated("lib/in.JAR", &inner), "nested_archive"),
        ("nested, by what it is", Forged::stored("domains/d000.txt", &inner), "nested_archive"),
        ("descriptor with another checksum", streamed(4), "header_mismatch"),
        ("descriptor with another size in the file", streamed(8), "header_mismatch"),
        ("descriptor with another size", streamed(12), "header_mismatch"),
        ("no descriptor", Forged { descriptor: Vec::new(), ..streamed(0) }, "header_mismatch"),
        ("encrypted", entry().both(|header| header.flags |= 1), "encrypted"),
        ("strongly encrypted", entry().both(|header| header.flags |= 0x41), "encrypted"),
        ("AES", entry().both(|h| (h.flags, h.method) = (1, 99)), "encrypted"),
        ("bzip2", entry().both(|header| header.method = 12), "unknown_method"),
        ("no such method", entry().both(|header| header.method = 4711), "unknown_method"),
        ("on another disk", Forged { disk: 1, ..entry() }, "multi_disk"),
        ("wrong CRC", entry().both(|header| header.crc ^= 1), "crc"),
        ("wrong CRC, stored", Forged::stored("a", TEXT).both(|h| h.crc ^= 1), "crc"),
        ("longer than declared", entry().both(|header| header.size -= 1), "size_mismatch"),
        ("declared as empty", entry().both(|header| header.size = 0), "size_mismatch"),
        ("shorter than declared", entry().both(|header| header.size += 1), "size_mismatch"),
        ("stored, of two sizes", Forged::stored("a", TEXT).both(|h| h.size += 1), "size_mismatch"),
        ("bytes behind the stream", Forged::new("a", 8, TEXT, longer), "size_mismatch"),
        ("stream cut off", Forged::new("a", 8, &noise(300), cut.to_vec()), "bad_deflate"),
        ("empty stream", Forged::new("a", 8, TEXT, Vec::new()), "bad_deflate"),
        ("no stream", Forged::new("a", 8, TEXT, vec![0xff; 30]), "bad_deflate"),
        ("claims 5 GiB", wide(5 << 30), "entry_too_big"),
        ("claims all", wide(u64::MAX), "entry_too_big"),
        ("claims 2 MiB", wide(2 << 20), "inflation_ratio"),
        ("runs into the directory", entry().both(|h| h.stored += 30), "overlap"),
        ("runs beyond the file", entry().both(|h| h.stored = 1 << 20), "overlap"),
        ("stored size overflows", entry().wide(9, u64::MAX - 3, 0), "overlap"),
        ("header inside a header", Forged { at: Some(1), ..entry() }, "header_mismatch"),
        ("header beyond the file", Forged { at: Some(1 << 30), ..entry() }, "header_mismatch"),
        ("offset overflows", entry().wide(9, 9, u64::MAX - 3), "header_mismatch"),
        (
            "zip64 field too short",
            wide(50).central(|header| {
                header.extra.truncate(20);
                header.extra[8] = 10;
            }),
            "bad_directory",
        ),
    ]
}

fn hostile_ends() -> Vec<(&'static str, Forge, &'static str)> {
    let wide = |lie| Forge { lie, ..small_wide() };
    let short = |lie| Forge { lie, ..small() };
    let prefix = |bytes: &[u8], forge| Forge { prefix: bytes.to_vec(), ..forge };
    vec![
        ("program in front", prefix(b"#!/bin/sh\n", small()), "prefix"),
        ("program in front, no entries", prefix(b"#!/bin/sh\n", Forge::of([])), "prefix"),
        (
            "program in front, offsets not moved",
            Forge { lie: |end| end.offset -= 10, ..prefix(b"#!/bin/sh\n", small()) },
            "prefix",
        ),
        ("appended", Forge { trailing: b"\n".to_vec(), ..small() }, "trailing_data"),
        ("appended, zip64", Forge { trailing: vec![0; 999], ..small_wide() }, "trailing_data"),
        ("second of two disks", short(|end| end.disk = 1), "multi_disk"),
        ("second of two disks, zip64", wide(|end| end.disk = 1), "multi_disk"),
        ("entries elsewhere", short(|end| end.entries += 1), "multi_disk"),
        ("entries elsewhere, zip64", wide(|end| end.entries_here = 0), "multi_disk"),
        (
            "one entry too many",
            short(|end| (end.entries_here, end.entries) = (5, 5)),
            "bad_directory",
        ),
        (
            "one entry too few",
            short(|end| (end.entries_here, end.entries) = (3, 3)),
            "bad_directory",
        ),
        (
            "no entries, but a directory",
            short(|end| {
                (end.entries_here, end.entries) = (0, 0);
            }),
            "bad_directory",
        ),
        (
            "more entries than bytes",
            wide(|end| (end.entries_here, end.entries) = (199_999, 199_999)),
            "bad_directory",
        ),
        (
            "2^64 - 1 entries",
            wide(|end| (end.entries_here, end.entries) = (u64::MAX, u64::MAX)),
            "too_many_entries",
        ),
        ("directory too long", short(|end| end.size += 1), "bad_directory"),
        ("directory begins late", short(|end| end.offset += 1), "bad_directory"),
        ("directory beyond all", wide(|end| end.offset = u64::MAX - 7), "bad_directory"),
        ("end records contradict", wide(|end| end.entries_short = 7), "bad_directory"),
        ("zip64 record elsewhere", wide(|end| end.at -= 1), "bad_directory"),
        ("zip64 record of a wrong length", wide(|end| end.len += 1), "bad_directory"),
        ("zip64 record of any length", wide(|end| end.len = u64::MAX), "bad_directory"),
        ("zip64 record beyond all", wide(|end| end.at = u64::MAX), "bad_directory"),
        (
            "bytes behind the directory",
            Forge { between: b"between".to_vec(), ..small() },
            "bad_directory",
        ),
    ]
}

#[test]
fn each_hostile_archive_is_refused_with_its_own_word() {
    let mut seen = BTreeSet::new();
    for (what, bytes, limits, wanted) in hostile() {
        let (found, usage) = memory::measure(0, || kind(&bytes, &limits));
        assert_eq!(found, wanted, "{what}");
        assert!(usage.peak_bytes < PEAK_BYTES_MAX, "{what}: {usage:?}");
        seen.insert(wanted);
    }
    let all = [
        "bad_deflate",
        "bad_directory",
        "bad_name",
        "crc",
        "duplicate_name",
        "empty",
        "encrypted",
        "entry_too_big",
        "header_mismatch",
        "inflation_ratio",
        "multi_disk",
        "nested_archive",
        "not_zip",
        "overlap",
        "prefix",
        "size_mismatch",
        "symlink",
        "too_many_entries",
        "total_too_big",
        "trailing_data",
        "unknown_method",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

/// The machine must have nothing else to do, which only the long form may ask for.
#[test]
#[ignore = "measures time"]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn each_hostile_archive_is_refused_in_100_ms() {
    for (what, bytes, limits, _) in hostile() {
        let took = |_| {
            let start = Instant::now();
            kind(&bytes, &limits);
            start.elapsed()
        };
        let took = (0..5).map(took).min().unwrap();
        println!("{:9.3} ms  {what}", took.as_secs_f64() * 1e3);
        assert!(took < Duration::from_millis(100), "{what}: {took:?}");
    }
}

#[test]
fn local_header_must_say_what_the_directory_says() {
    let streamed = || ini().streamed(true, false);
    let table: Vec<(&str, Forged)> = vec![
        ("name", ini().local(|header| header.name = b"model.inj".to_vec())),
        ("name", ini().local(|header| header.name = b"model.in".to_vec())),
        ("flags", ini().local(|header| header.flags |= 1)),
        ("flags", ini().local(|header| header.flags |= 8)),
        ("flags", ini().local(|header| header.flags |= 1 << 11)),
        ("flags", ini().central(|header| header.flags |= 8)),
        ("method", ini().local(|header| header.method = 0)),
        ("crc", ini().local(|header| header.crc ^= 1 << 31)),
        ("crc", ini().local(|header| header.crc = 0)),
        ("stored size", ini().local(|header| header.stored -= 1)),
        ("stored size", ini().local(|header| header.stored = 0)),
        ("stored size", ini().central(|header| header.stored -= 1)),
        ("inflated size", ini().local(|header| header.size += 1)),
        ("inflated size", ini().central(|header| header.size += 1)),
        ("crc", streamed().local(|header| header.crc = 1)),
        ("stored size", streamed().local(|header| header.stored = 1)),
        ("inflated size", streamed().local(|header| header.size = 1)),
        ("inflated size", ini().local(|header| header.size = u32::MAX)),
    ];
    for (wanted, entry) in table {
        let bytes = Forge::of([entry, Forged::stored("a", TEXT)]).bytes();
        match Archive::open(&bytes, &Limits::default()).map(|_| ()) {
            Err(ArchiveError::HeaderMismatch { entry, field, .. }) => {
                assert_eq!((entry.as_str(), field), ("model.ini", wanted));
            }
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn a_cut_archive_is_called_cut() {
    let forges = [small(), small_wide(), Forge::of([])];
    for whole in forges.map(|forge| forge.bytes()) {
        assert_eq!(kind(&whole, &Limits::default()), "ok");
        for len in 1..whole.len() {
            assert_eq!(kind(&whole[..len], &Limits::default()), "truncated", "{len} bytes");
        }
    }
    // What looks like an end record with bytes behind it, and is none.
    let data = [&b"PK\x05\x06"[..], &[7; 16], &[0; 40]].concat();
    let whole = Forge::of([Forged::stored("a", &data)]).bytes();
    assert_eq!(kind(&whole[..whole.len() - 1], &Limits::default()), "truncated");
}

#[test]
fn a_changed_byte_is_noticed_or_harmless() {
    for whole in [small().bytes(), small_wide().bytes()] {
        let limits = Limits::default();
        let truth = read_all(&whole, &limits).unwrap();
        let mut harmless = 0;
        for at in 0..whole.len() {
            for change in 1..=255 {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                if let Ok(found) = read_all(&bytes, &limits) {
                    assert_eq!(found, truth, "byte {at} ^ {change:#x}");
                    harmless += 1;
                }
            }
        }
        // Times, versions, hints, descriptors, comments: about a third of so small an archive.
        assert!(harmless < whole.len() * 255 / 2, "{harmless}");
    }
}

#[test]
fn no_panic_on_noise() {
    let mut random = Random(42);
    let seeds = [small().bytes(), small_wide().bytes(), forge::quoted_bomb(4, 100)];
    // No limit helps here.
    let limits = Limits { inflation_ratio_max: u64::MAX, ..Limits::default() };
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            let value = [0, 0xff, 0x7f, 1, random.next() as u8][random.below(5)];
            match random.below(4) {
                0 => bytes.insert(at, value),
                1 => drop(bytes.remove(at)),
                2 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = value),
                _ => bytes[at] = value,
            }
        }
        for (_, content) in read_all(&bytes, &limits).unwrap_or_default() {
            assert!(content.len() <= bytes.len() * 1_032);
        }
    }
}

#[test]
fn memory_follows_the_bytes_not_the_claim() {
    let data = noise(1000);
    let bytes = Forge::of([Forged::deflated("a", &data)]).bytes();
    let archive = Archive::open(&bytes, &Limits::default()).unwrap();
    assert!(archive.read("a").unwrap().capacity() <= 1001);

    let crowd =
        Forge { lie: |end| (end.entries_here, end.entries) = (1 << 60, 1 << 60), ..small_wide() };
    let limits = Limits { entries_max: usize::MAX, ..Limits::default() };
    assert_eq!(kind(&crowd.bytes(), &limits), "bad_directory");

    // A claim of all that there is would fail at once if it were believed.
    let limits = Limits {
        inflation_ratio_max: u64::MAX,
        entry_bytes_max: u64::MAX,
        total_bytes_max: u64::MAX,
        ..Limits::default()
    };
    let stored = forge::deflate(&data).len() as u64;
    let bytes = Forge::of([Forged::deflated("a", &data).wide(u64::MAX, stored, 0)]).bytes();
    let archive = Archive::open(&bytes, &limits).unwrap();
    let error = archive.read("a").unwrap_err();
    assert!(matches!(error, ArchiveError::SizeMismatch { found: 1000, .. }), "{error}");
}

#[test]
fn what_is_read_twice_counts_twice() {
    let bytes = Forge::of([Forged::stored("a", &noise(600)), Forged::deflated("b", &[0; 300])]);
    let bytes = bytes.bytes();
    let limits = Limits { total_bytes_max: 1_600, ..Limits::default() };
    let archive = Archive::open(&bytes, &limits).unwrap();
    archive.read("a").unwrap();
    archive.read("a").unwrap();
    let refused = ArchiveError::TotalTooBig { found: 1_800, limit: 1_600 };
    assert_eq!(archive.read("a"), Err(refused));
    assert_eq!(archive.read("b").unwrap(), [0; 300]);
    assert_eq!(archive.read("b").unwrap_err().kind(), "total_too_big");
}

#[test]
fn bounds_themselves_are_allowed() {
    let bytes = Forge::of([Forged::stored("a", &[1; 600]), Forged::deflated("b", &[0; 300])]);
    let limits =
        Limits { entries_max: 2, entry_bytes_max: 600, total_bytes_max: 900, ..Limits::default() };
    assert_eq!(kind(&bytes.bytes(), &limits), "ok");
    // Up to 1 MiB any ratio will do.
    let bytes = Forge::of([Forged::deflated("a", &vec![0; 1 << 20])]).bytes();
    assert_eq!(kind(&bytes, &Limits { inflation_ratio_max: 1, ..Limits::default() }), "ok");
}

#[test]
fn a_damaged_entry_does_not_spoil_the_next() {
    let cut = forge::deflate(&noise(300))[..200].to_vec();
    let bytes = Forge::of([Forged::new("bad", 8, &noise(300), cut), ini()]).bytes();
    let archive = Archive::open(&bytes, &Limits::default()).unwrap();
    for _ in 0..2 {
        assert_eq!(archive.read("bad").unwrap_err().kind(), "bad_deflate");
        assert_eq!(archive.read("model.ini").unwrap(), TEXT);
    }
}

#[test]
fn says_what_a_file_is_instead() {
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let table: &[(&[u8], &str)] = &[
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"\x80\x04\x95\x10\0", "pickle"),
        (b"  <!DOCTYPE html>", "HTML"),
        (b"<html>", "HTML"),
        (b"\xef\xbb\xbf<?xml version=\"1.0\"?>", "XML"),
        (b"{\"learner\": {}}", "JSON"),
        (b"[info]\nh2o_version = 3", "unpacked MOJO"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1c\xed\x083.46.0.11", "download_mojo"),
        (b"// made by H2O\npublic class m extends GenModel {", "POJO"),
        (b"id,age\n1,2\n", "a text file"),
        ("größe\n".as_bytes(), "a text file"),
        (&[0; 100], "zeros"),
        (&[9, 200, 1, 255], "unknown binary"),
        (&tar, "tar"),
    ];
    for (bytes, wanted) in table {
        let error = Archive::open(bytes, &Limits::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), "not_zip");
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn messages_are_safe_to_print() {
    let name = "\u{1b}[2J\n'ü'".repeat(100);
    let entry = Forged::stored(&name, TEXT);
    let bytes = Forge::of([Forged { external: 0o120_777 << 16, ..entry }]).bytes();
    let text = Archive::open(&bytes, &Limits::default()).map(|_| ()).unwrap_err().to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.starts_with("`\\u{1b}[2J\\n'ü'"), "{text}");
    assert!(text.len() < 500, "{text}");
}
