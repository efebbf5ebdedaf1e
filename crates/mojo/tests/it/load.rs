//! What is loaded, and what is refused with which word.

use std::fs;
use std::path::Path;

use stemson_mojo::{LoadError, LoadOptions, Model};

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
