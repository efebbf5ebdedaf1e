//! MOJOs: good ones of the corpus, damaged ones, and those that smuggle.

use std::fs;
use std::path::{Path, PathBuf};

use crate::forge::{Forge, Forged};
use crate::{java, pickles};

pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo")
}

pub(crate) fn bytes(case: &str) -> Vec<u8> {
    fs::read(corpus().join(case).join("model.zip")).unwrap()
}

type Entries = Vec<(String, Vec<u8>)>;

/// Names and contents of a sound archive, in its order.
fn entries(zip: &[u8]) -> Entries {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.windows(4).rposition(|it| it == b"PK\x05\x06").unwrap();
    let mut at = u32_at(end + 16);
    let mut all = Vec::new();
    for _ in 0..u16_at(end + 10) {
        let name = String::from_utf8(zip[at + 46..at + 46 + u16_at(at + 28)].to_vec()).unwrap();
        let (stored, local) = (u32_at(at + 20), u32_at(at + 42));
        let from = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let mut data = zip[from..from + stored].to_vec();
        if u16_at(at + 10) == 8 {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::DeflateDecoder::new(&data[..]),
                &mut plain,
            )
            .unwrap();
            data = plain;
        }
        all.push((name, data));
        at += 46 + u16_at(at + 28) + u16_at(at + 30) + u16_at(at + 32);
    }
    all
}

fn packed(entries: &[(String, Vec<u8>)]) -> Forge {
    Forge::of(entries.iter().map(|(name, data)| Forged::deflated(name, data)))
}

/// Damaged or smuggling, by name; all refused as `mojo` at least.
pub(crate) fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let whole = entries(&bytes("gbm_platt"));
    let change = |change: &dyn Fn(&mut Entries)| {
        let mut entries = whole.clone();
        change(&mut entries);
        packed(&entries).bytes()
    };
    let without = |name: &str| change(&|it| it.retain(|(entry, _)| entry != name));
    let with = |name: &str, data: &[u8]| change(&|it| it.push((name.to_owned(), data.to_vec())));
    let edit = |name: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        change(&|it| edit(&mut it.iter_mut().find(|(entry, _)| entry == name).unwrap().1))
    };
    let pickle = pickles::call(4, "os", "system", "true");
    let class = java::class("m", "hex/genmodel/GenModel", 0x21, &[]);
    let mut gap = packed(&whole);
    gap.entries[1].gap = b"something between two entries".to_vec();
    let mut moved = packed(&whole);
    moved.prefix = b"#!/bin/sh\n".to_vec();
    vec![
        ("no model.ini", without("model.ini")),
        ("no tree", without("trees/t00_003.bin")),
        ("no domain", without("domains/d006.txt")),
        ("tree cut off", edit("trees/t00_000.bin", &|it| it.truncate(it.len() / 2))),
        ("bytes behind a tree", edit("trees/t00_000.bin", &|it| it.extend(b"smuggled"))),
        ("model.ini is a pickle", edit("model.ini", &|it| it.clone_from(&pickle))),
        (
            "details are a pickle",
            edit("experimental/modelDetails.json", &|it| it.clone_from(&pickle)),
        ),
        ("a domain too long", edit("domains/d006.txt", &|it| it.extend(b"more\nlevels\n"))),
        ("a pickle more", with("experimental/weights.pkl", &pickle)),
        ("a pickle among the trees", with("trees/t99_999_aux.bin", &pickle)),
        ("a class more", with("Helper.class", &class)),
        ("a text more", with("notes.txt", b"hello")),
        ("a name that leads outside", with("../../etc/cron.d/x", b"hello")),
        ("bytes between entries", gap.bytes()),
        ("moved by a prefix", moved.bytes()),
        ("cut off", bytes("gbm_platt")[..4_000].to_vec()),
        ("bytes behind it", [bytes("gbm_platt"), b"more".to_vec()].concat()),
    ]
}

/// The same entries again, which must stay good: the test's own writer is not what is refused.
pub(crate) fn repacked() -> Vec<u8> {
    packed(&entries(&bytes("gbm_platt"))).bytes()
}
