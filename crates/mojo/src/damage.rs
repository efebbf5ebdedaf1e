//! Damaged files: each key and each entry of a model, changed in many ways, is refused by a named
//! error or scored, and never more than that.

#[path = "archive/forge.rs"]
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "stands alone to be included by tests; these need a part of it"
)]
mod forge;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use forge::{Forge, Forged};

use crate::archive::Archive;
use crate::{Batch, Cell, Limits, LoadOptions, Model, Options};

type Entries = BTreeMap<String, Vec<u8>>;

fn entries(id: &str) -> Entries {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let archive = Archive::open_case(&root.join(id).join("model.zip"));
    archive.into_iter().filter(|(name, _)| !name.starts_with("experimental/")).collect()
}

impl Archive<'_> {
    fn open_case(path: &Path) -> Entries {
        #[expect(clippy::disallowed_methods, reason = "the corpus lies in files")]
        let bytes = std::fs::read(path).unwrap();
        let archive = Archive::open(&bytes, &Limits::default()).unwrap();
        let names: Vec<String> = archive.names().map(str::to_owned).collect();
        names.into_iter().map(|name| (name.clone(), archive.read(&name).unwrap())).collect()
    }
}

/// Loads the entries and, where that is a model, scores rows of all sorts. The error's word.
fn try_out(entries: &Entries) -> Result<(), &'static str> {
    let forged = entries.iter().map(|(name, data)| Forged::stored(name, data));
    let model = Model::load(&Forge::of(forged).bytes(), &LoadOptions::default());
    let model = Arc::new(model.map_err(|error| error.kind())?);
    let options = Options { distances: true, reconstruct: true, ..Options::default() };
    let mut batch = Batch::new(Arc::clone(&model), options);
    let width = if model.schema().is_open() { 3 } else { model.schema().columns().len() };
    for cell in [
        Cell::Absent,
        Cell::Level(0),
        Cell::Level(1),
        Cell::Level(u32::MAX),
        Cell::Number(1.0),
        Cell::Number(-1e300),
        Cell::Text("1e400"),
    ] {
        batch.push(&vec![cell; width]);
    }
    batch.score();
    for row in 0..batch.len() {
        let _ = batch.output(row);
        let _ = batch.distances(row);
    }
    Ok(())
}

/// What a value may be changed to: nothing, another sort, too few, too many, out of range.
fn damaged_values(value: &str) -> Vec<String> {
    let mut damaged: Vec<String> = [
        "",
        "null",
        "x",
        "true",
        "false",
        "-1",
        "0",
        "1",
        "2147483647",
        "NaN",
        "[]",
        "[0]",
        "[-1]",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(numbers) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        damaged.push(format!("[{numbers}, 7]"));
        damaged.push(format!("[{}]", numbers.split_once(',').map_or("", |(_, rest)| rest)));
        let places = numbers.split(',').count();
        for number in ["-1", "0", "99", "2147483647", "-2147483648"] {
            damaged.push(format!("[{}]", vec![number; places].join(", ")));
            let mut last: Vec<&str> = numbers.split(',').collect();
            last[places - 1] = number;
            damaged.push(format!("[{}]", last.join(",")));
        }
    }
    damaged
}

/// What an entry may be changed to.
fn damaged_entries(data: &[u8]) -> Vec<Vec<u8>> {
    let mut damaged = vec![
        Vec::new(),
        data[..data.len() / 2].to_vec(),
        data[..data.len() - 1].to_vec(),
        [data, b"\n1 = 1 1 1\n"].concat(),
        [data, data].concat(),
        vec![0xff; data.len()],
        vec![b'\n'; data.len()],
        vec![b'7'; data.len()],
    ];
    // Each of some lines twice, lost, or cut.
    let lines: Vec<&[u8]> = data.split_inclusive(|&byte| byte == b'\n').collect();
    for at in [0, 1, 2, lines.len() / 2, lines.len() - 1] {
        if at < lines.len() {
            let (before, rest) = (lines[..at].concat(), lines[at + 1..].concat());
            damaged.push([&before[..], &rest].concat());
            damaged.push([&before[..], lines[at], lines[at], &rest].concat());
            damaged.push([&before[..], &lines[at][..lines[at].len() / 2], b"\n", &rest].concat());
        }
    }
    damaged
}

fn survive(id: &str) {
    let whole = entries(id);
    assert_eq!(try_out(&whole), Ok(()), "{id}");
    let mut words = BTreeSet::new();
    let mut tries = 0;
    let mut check = |entries: &Entries| {
        words.extend(try_out(entries).err());
        tries += 1;
    };
    let ini = String::from_utf8(whole["model.ini"].clone()).unwrap();
    for line in ini.lines().filter(|line| line.contains(" = ")) {
        let (key, value) = line.split_once(" = ").unwrap();
        for value in damaged_values(value) {
            let changed = ini.replace(&format!("{line}\n"), &format!("{key} = {value}\n"));
            let mut entries = whole.clone();
            entries.insert("model.ini".to_owned(), changed.into_bytes());
            check(&entries);
        }
        let mut entries = whole.clone();
        let without = ini.replace(&format!("{line}\n"), "");
        entries.insert("model.ini".to_owned(), without.into_bytes());
        check(&entries);
    }
    for (name, data) in whole.iter().filter(|(name, _)| *name != "model.ini") {
        for data in damaged_entries(data) {
            let mut entries = whole.clone();
            entries.insert(name.clone(), data);
            check(&entries);
        }
        let mut entries = whole.clone();
        entries.remove(name);
        check(&entries);
    }
    assert!(tries > 100, "{id}: {tries} tries");
    for word in ["bad_value", "missing_key", "bad_entry", "missing_entry"] {
        let has_entries = whole.len() > 1;
        assert!(words.contains(word) || !has_entries, "{id}: no `{word}` among {words:?}");
    }
}

#[test]
fn kmeans_survives() {
    survive("kmeans_mixed");
}

#[test]
fn pca_survives() {
    survive("pca_none_impute");
}

#[test]
fn isotonic_survives() {
    survive("isotonic");
}

#[test]
fn target_encoder_survives() {
    survive("te_interaction");
    survive("te_multi");
}

#[test]
fn glrm_survives() {
    survive("glrm_simplex");
}

#[test]
fn word2vec_survives() {
    survive("word2vec");
}

/// Old target encoders have no column maps; genmodel then goes through a hash map.
#[test]
fn old_target_encoders_are_scored() {
    const FOLDER: &str = "feature_engineering/target_encoding";
    let mut old = entries("te_multi");
    for map in ["input_encoding_columns_map.ini", "input_output_columns_map.ini"] {
        old.remove(&format!("{FOLDER}/{map}")).unwrap();
    }
    let load = |entries: &Entries| {
        let forged = entries.iter().map(|(name, data)| Forged::stored(name, data));
        Arc::new(Model::load(&Forge::of(forged).bytes(), &LoadOptions::default()).unwrap())
    };
    let answer = |model: &Arc<Model>, cells: &[Cell<'_>]| {
        let mut batch = Batch::new(Arc::clone(model), Options::default());
        batch.push(cells);
        batch.score();
        batch.output(0).map(|_| batch.preds(0).to_vec()).map_err(Clone::clone)
    };
    let (now, then) = (load(&entries("te_multi")), load(&old));
    assert_eq!(then.output_columns()[..4], ["c3_1_te", "c3_2_te", "c3_3_te", "c12_1_te"]);
    assert_eq!(answer(&now, &[Cell::Level(1); 4]), answer(&then, &[Cell::Level(1); 4]));
    assert_eq!(answer(&now, &[Cell::Absent; 4]), answer(&then, &[Cell::Absent; 4]));
    // Whether training saw missing values decides over missing ones, and over them alone.
    old.remove(&format!("{FOLDER}/te_column_name_to_missing_values_presence.ini")).unwrap();
    let silent = load(&old);
    assert!(answer(&silent, &[Cell::Level(1); 4]).is_ok());
    let refused = answer(&silent, &[Cell::Absent; 4]).unwrap_err();
    assert_eq!((refused.kind.as_str(), refused.column.as_deref()), ("model", Some("c3")));
}

/// Version 1.00 has no seed and no way back to the row.
#[test]
fn old_glrms_are_scored() {
    let mut old = entries("glrm_quadratic");
    let ini = String::from_utf8(old["model.ini"].clone()).unwrap();
    let newer = ["seed", "reverse_transform", "transposed", "catOffsets"];
    let lines = ini.lines().filter(|line| !newer.iter().any(|key| line.starts_with(key)));
    let ini = lines.collect::<Vec<_>>().join("\n");
    let ini = ini.replace("mojo_version = 1.10", "mojo_version = 1.00");
    old.insert("model.ini".to_owned(), ini.into_bytes());
    assert_eq!(try_out(&old), Ok(()));
    old.insert(
        "losses".to_owned(),
        b"Categorical\n".repeat(3).into_iter().chain(b"Periodic(7)\n".repeat(4)).collect(),
    );
    assert_eq!(try_out(&old), Err("bad_entry"));
}
