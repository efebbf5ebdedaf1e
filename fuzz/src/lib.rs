//! What the fuzz targets share: MOJOs around the bytes that are fuzzed, and what is asked of each.
//!
//! The parsers are private, and this is as it should be: bytes go in as an entry of an archive with
//! right checksums, through [`stemson_mojo::Model::load`], and what loads is scored. A finding is a
//! panic, an answer of a wrong shape, or more memory or time than libFuzzer was told to allow.

#[path = "../../crates/mojo/tests/it/hostile/exercise.rs"]
mod exercise;
mod serve;
#[path = "../../crates/mojo/tests/it/hostile/zip.rs"]
#[expect(dead_code, reason = "what is packed here is stored")]
mod zip;

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use stemson_batch::{Compression, Format, Job, Source};
use stemson_mojo::{LoadOptions, Model, Options};

pub use serve::{ask, call, choose};

macro_rules! corpus {
    ($case:literal) => {
        ($case, include_bytes!(concat!("../../tests/corpora/mojo/", $case, "/model.zip")))
    };
}
/// Small models of the corpus, one or more of each algorithm.
pub const MODELS: &[(&str, &[u8])] = &[
    corpus!("gbm_bernoulli"),
    corpus!("drf_multi_mojo100"),
    corpus!("gbm_enc_eigen"),
    corpus!("drf_multi"),
    corpus!("xgb_gaussian"),
    corpus!("xgb_dart_multi"),
    corpus!("xgb_gblinear"),
    corpus!("glm_binomial_offset"),
    corpus!("glm_ordinal"),
    corpus!("gam_cs_multi"),
    corpus!("gam_ms"),
    corpus!("gam_tp"),
    corpus!("dl_tanh_multi"),
    corpus!("dl_autoencoder"),
    corpus!("kmeans_mixed"),
    corpus!("pca_none_impute"),
    corpus!("glrm_quadratic"),
    corpus!("word2vec"),
    corpus!("coxph_strata"),
    corpus!("coxph_enum_enum"),
    corpus!("isotonic"),
    corpus!("isofor_flag"),
    corpus!("extisofor"),
    corpus!("uplift"),
    corpus!("te_multi"),
    corpus!("te_interaction"),
    corpus!("rulefit_multi"),
    corpus!("se_regression"),
    corpus!("pipeline_kmeans_glm"),
];

/// Loads and scores; panics if anything is not as promised.
pub fn exercise(mojo: &[u8]) {
    for genmodel_quirks in [false, true] {
        let options = LoadOptions { genmodel_quirks, ..LoadOptions::default() };
        if exercise::exercise(mojo, &options) != "quirk" {
            break;
        }
    }
}

/// An entry of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name inside the archive.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A new entry.
pub fn entry(name: &str, data: &[u8]) -> Entry {
    Entry { name: name.to_owned(), data: data.to_vec() }
}

/// Loads and scores the MOJO of these entries.
pub fn exercise_entries(entries: &[Entry]) {
    let pack = |entry: &Entry| zip::Entry::new(&entry.name, &entry.data);
    exercise(&zip::pack(&entries.iter().map(pack).collect::<Vec<_>>()));
}

/// The entries of one of [`MODELS`], counted round and round.
pub fn entries(model: usize) -> Vec<Entry> {
    static ENTRIES: LazyLock<Vec<Vec<Entry>>> = LazyLock::new(|| {
        let read = |(_, mojo): &(_, &[u8])| {
            let entries = zip::read(mojo);
            entries.iter().map(|it| entry(&it.name, &it.data)).collect()
        };
        MODELS.iter().map(read).collect()
    });
    ENTRIES[model % MODELS.len()].clone()
}

/// A MOJO with columns `x0`, `x1`, ... and the response `r`, without what its algorithm needs
/// beside `model.ini`.
///
/// `info`: lines of `[info]`; they count before the common ones. `columns`: levels of each, `None`
/// for numbers. `levels`: those of the response, if it has any.
pub fn mojo(info: &str, columns: &[Option<usize>], levels: Option<usize>) -> Vec<Entry> {
    let features = columns.len();
    let mut names = String::new();
    let mut sections = String::new();
    let mut entries = Vec::new();
    for (column, levels) in columns.iter().chain([&levels]).enumerate() {
        names.push_str(&if column < features { format!("x{column}\n") } else { "r\n".to_owned() });
        let Some(levels) = levels else { continue };
        let file = format!("d{column:03}.txt");
        sections.push_str(&format!("{column}: {levels} {file}\n"));
        let domain: String = (0..*levels).map(|level| format!("l{level}\n")).collect();
        entries.push(entry(&format!("domains/{file}"), domain.as_bytes()));
    }
    let ini = format!(
        "[info]\nmojo_version = 1.00\nsupervised = true\nn_features = {features}\n\
         n_classes = {}\nn_columns = {}\n{info}\n[columns]\n{names}\n[domains]\n{sections}",
        levels.unwrap_or(1),
        features + 1,
    );
    entries.push(entry("model.ini", ini.as_bytes()));
    entries
}

/// The first byte and the rest; 0 and nothing of nothing.
pub fn choice(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest))
}

/// Two pieces: a length of two bytes, little-endian, the first piece, and the rest.
pub fn pieces(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return (data, &[]) };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    rest.split_at(length)
}

/// The inverse of [`pieces`], for seeds.
pub fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u16::try_from(first.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes(), first, second].concat()
}

/// A model of the corpus, loaded: what rows are fuzzed with.
///
/// # Panics
/// If it is not among [`MODELS`].
pub fn model(case: &str) -> Arc<Model> {
    let (_, mojo) = MODELS.iter().find(|model| model.0 == case).expect("one of MODELS");
    Arc::new(Model::load(mojo, &LoadOptions::default()).expect("a model of the corpus"))
}

/// Scores the bytes of a file in memory. Whether the file could be read to its end.
///
/// `form`: bits that choose among the options of a job.
pub fn score_rows(model: &Arc<Model>, format: Format, form: usize, bytes: &[u8]) -> bool {
    let bytes = bytes.to_vec();
    let source = Source {
        name: "rows".to_owned(),
        format,
        compression: Compression::None,
        open: Box::new(move || Ok(Box::new(Cursor::new(bytes)))),
        file: None,
    };
    let job = Job {
        inputs: vec![source],
        delimiter: if form & 1 == 0 { b',' } else { b';' },
        header: form & 2 == 0,
        na_words: vec!["NA".to_owned()],
        options: Options { strict: form & 4 != 0, distances: true, ..Options::default() },
        output: if form & 8 == 0 { Format::Jsonl } else { Format::Csv },
        ..Job::default()
    };
    let mut answers = Vec::new();
    let scored = stemson_batch::run(model, job, &mut answers, |_| ());
    // What was written is text in any case.
    assert!(std::str::from_utf8(&answers).is_ok(), "answers are UTF-8");
    scored.is_ok()
}
