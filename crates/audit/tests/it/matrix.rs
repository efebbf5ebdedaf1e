//! All that must be blocked is, in every wrapping; nothing clean is.

use base64::Engine as _;

use crate::forge::{Forge, Forged};
use crate::wrap::{WRAPPINGS, zlib};
use crate::{clean, java, mojos, pickles, rules};

#[track_caller]
fn none(failed: &[String], of: usize) {
    assert!(failed.is_empty(), "{} of {of}:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_malicious_pickle_in_every_wrapping() {
    let pickles = pickles::malicious();
    assert!(pickles.len() >= 60);
    let mut failed = Vec::new();
    for (name, pickle) in &pickles {
        for (wrapping, wrap) in WRAPPINGS {
            let found = rules(&wrap(pickle));
            if !found.contains(&"pickle_code") {
                failed.push(format!("{name} in {wrapping}: {found:?}"));
            }
        }
    }
    none(&failed, pickles.len() * WRAPPINGS.len());
}

#[test]
fn every_benign_pickle_in_every_wrapping() {
    let pickles = pickles::benign();
    assert!(pickles.len() >= 20);
    let mut failed = Vec::new();
    for (name, pickle) in &pickles {
        for (wrapping, wrap) in WRAPPINGS {
            let found = rules(&wrap(pickle));
            if !found.contains(&"pickle") || found.contains(&"pickle_code") {
                failed.push(format!("{name} in {wrapping}: {found:?}"));
            }
        }
    }
    none(&failed, pickles.len() * WRAPPINGS.len());
}

#[test]
fn every_pojo_and_every_bad_mojo() {
    let mut failed = Vec::new();
    let (pojos, bad) = (java::pojos(), mojos::bad());
    assert!(pojos.len() >= 10 && bad.len() >= 10);
    for (name, bytes) in &pojos {
        let found = rules(bytes);
        if found != ["pojo"] {
            failed.push(format!("{name}: {found:?}"));
        }
    }
    for (name, bytes) in &bad {
        let found = rules(bytes);
        let known = found.contains(&"mojo") || (*name == "cut off" && found == ["opaque"]);
        if !known {
            failed.push(format!("{name}: {found:?}"));
        }
    }
    none(&failed, pojos.len() + bad.len());
}

#[test]
fn pickles_in_other_formats() {
    let pickle = pickles::call(4, "os", "system", "true");
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n";
    let npy =
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &pickle];
    let npy = npy.concat();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&pickle);
    let length = format!("{:#x}", pickle.len());
    let old = [format!("ZF{length:<19}").as_bytes(), &zlib(&pickle)].concat();
    let torch = Forge::of([
        Forged::stored("archive/data.pkl", &pickle),
        Forged::stored("archive/version", b"3\n"),
        Forged::stored("archive/data/0", &[0; 64]),
    ]);
    for (name, bytes) in [
        ("array of objects", npy.clone()),
        ("npz", Forge::of([Forged::deflated("a.npy", &npy)]).bytes()),
        ("torch", torch.bytes()),
        ("joblib before 0.10", old),
        ("base64 in JSON", format!("{{\"model\": \"{base64}\"}}").into_bytes()),
    ] {
        assert_eq!(rules(&bytes), ["pickle_code"], "{name}");
    }
}

#[test]
fn other_models_and_what_cannot_be_opened() {
    let cut = &crate::wrap::gzip(&clean::noise(1, 5_000))[..2_000];
    let secret = crate::wrap::zip(Forged::stored("a", b"???").both(|header| header.flags |= 1));
    for (name, bytes, expected) in [
        ("H2O binary model", &b"\x1c\xed\x093.46.0.5\x12 and so on"[..], "h2o_binary"),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04 and so on", "opaque"),
        ("rar", b"Rar!\x1a\x07\x01\0 and so on", "opaque"),
        ("gzip cut off", cut, "opaque"),
        ("zip without an end", b"PK\x03\x04\x14\0\0\0\x08\0 and so on", "opaque"),
        ("encrypted", &secret, "opaque"),
    ] {
        assert_eq!(rules(bytes), [expected], "{name}");
    }
}

#[test]
fn nothing_clean() {
    let files = clean::files();
    let blocked = |(name, bytes): &(&str, Vec<u8>)| {
        let found = stemson_audit::judge(bytes, &stemson_audit::Limits::default()).faults;
        (!found.is_empty()).then(|| format!("{name}: {found:?}"))
    };
    none(&files.iter().filter_map(blocked).collect::<Vec<_>>(), files.len());
}

#[test]
fn every_mojo_of_the_corpus() {
    let mut failed = Vec::new();
    let mut count = 0;
    for case in std::fs::read_dir(mojos::corpus()).unwrap() {
        let case = case.unwrap().path();
        let Ok(bytes) = std::fs::read(case.join("model.zip")) else { continue };
        count += 1;
        let judged = stemson_audit::judge(&bytes, &stemson_audit::Limits::default());
        if !judged.faults.is_empty() || judged.mojos != 1 {
            failed.push(format!("{}: {:?}", case.display(), judged.faults));
        }
    }
    assert!(count > 200);
    none(&failed, count);
}
