//! What is loaded, and what is refused with which word.

use std::fs;
use std::path::Path;

use stemson_mojo::{LoadError, LoadOptions, Model};

use crate::hostile::zip::{self, Entry};

fn case(id: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    fs::read(root.join(id).join("model.zip")).unwrap()
}

fn load(bytes: &[u8]) -> Result<Model, LoadError> {
    Model::load(bytes, &LoadOptions::default())
}

#[test]
fn refuses_what_is_no_mojo_by_name() {
    let model = case("gbm_bernoulli");
    let table: [(&str, &[u8], &str); 4] = [
        ("nothing", b"", "empty"),
        ("text", b"a,b\n1,2\n", "not_zip"),
        ("gzip", b"\x1f\x8b\x08\x00", "not_zip"),
        ("the first half", &model[..model.len() / 2], "truncated"),
    ];
    for (what, bytes, kind) in table {
        assert_eq!(load(bytes).unwrap_err().kind(), kind, "{what}");
    }
}

#[test]
fn refuses_a_lost_encoding_unless_genmodels_answer_is_wanted() {
    for id in ["xgb_enc_binary", "xgb_enc_enumlimited", "xgb_enc_labelencoder"] {
        let bytes = case(id);
        assert_eq!(load(&bytes).unwrap_err().kind(), "quirk", "{id}");
        let options = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
        assert!(Model::load(&bytes, &options).is_ok(), "{id}");
    }
    assert!(load(&case("xgb_enc_sortbyresponse")).is_ok());
}

/// The case's archive with its entries changed.
fn changed(id: &str, change: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = zip::read(&case(id));
    change(&mut entries);
    zip::pack(&entries)
}

#[test]
fn names_what_a_damaged_mojo_lacks() {
    let without = |id, name: &str| {
        let bytes = changed(id, |entries| entries.retain(|entry| entry.name != name));
        load(&bytes).unwrap_err()
    };
    let tree = without("gbm_multi", "trees/t01_002.bin");
    assert_eq!(tree.kind(), "missing_entry");
    assert!(tree.to_string().contains("trees/t01_002.bin"), "{tree}");
    assert_eq!(without("gbm_bernoulli", "model.ini").kind(), "not_mojo");
    assert_eq!(without("gbm_bernoulli", "domains/d000.txt").kind(), "missing_entry");
    assert_eq!(without("xgb_bernoulli", "boosterBytes").kind(), "missing_entry");
}

#[test]
fn refuses_algorithms_and_versions_by_name() {
    let edited = |from: &str, to: &str| {
        let bytes = changed("gbm_bernoulli", |entries| {
            let ini = entries.iter_mut().find(|entry| entry.name == "model.ini").unwrap();
            let text = String::from_utf8(ini.data.to_vec()).unwrap();
            assert!(text.contains(from), "{from}");
            *ini = Entry::new("model.ini", text.replace(from, to).as_bytes());
        });
        load(&bytes).unwrap_err()
    };
    let machine = "algorithm = Gradient Boosting Machine";
    for (algorithm, words) in [("Deep Water", "Caffe"), ("Naive Bayes", "not supported")] {
        let refused = edited(machine, &format!("algorithm = {algorithm}"));
        assert_eq!(refused.kind(), "algorithm");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert_eq!(edited("mojo_version = 1.40", "mojo_version = 9.99").kind(), "version");
}
