//! Every entry of an archive is accounted for: needed, or one that H2O adds and nobody reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stemson_mojo::{LoadOptions, Model};

#[test]
fn loading_needs_all_that_h2o_writes_but_its_notes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let options = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
    let mut unread = BTreeSet::new();
    for case in fs::read_dir(root).unwrap() {
        let Ok(bytes) = fs::read(case.unwrap().path().join("model.zip")) else { continue };
        let (_, entries) = Model::load_with_entries(&bytes, &options).unwrap();
        assert!(entries.iter().any(|entry| entry.name == "model.ini" && entry.needed));
        let passed = entries.into_iter().filter(|entry| !entry.needed);
        unread.extend(
            passed
                .filter(|entry| !entry.name.ends_with("_aux.bin"))
                .map(|entry| entry.name.rsplit('/').next().unwrap_or_default().to_owned()),
        );
    }
    // None of them changes an answer; statistics of trees inside of other models are passed over, too.
    let expected = [
        "README.md",
        "_names_no_centering",
        "beta_multinomial",
        "feature_map",
        "gamColMeansRaw",
        "gamColNames",
        "gamColNamesCenter",
        "gamColStdRaw",
        "gam_columns",
        "interaction_column_names",
        "modelDetails.json",
    ];
    assert_eq!(unread.into_iter().collect::<Vec<_>>(), expected);
}
