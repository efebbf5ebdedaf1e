//! Scoring of text through the crate's face, on a model of the corpus.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod columns;
mod errors;
mod memory;
mod rows;
mod typed;

use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use stemson_batch::{BatchError, Compression, Format, Job, Source, Summary, run};
use stemson_mojo::{LoadOptions, Model};

/// A case of the corpus, loaded once.
fn model(case: &str) -> Arc<Model> {
    let path = format!("{}/../../tests/corpora/mojo/{case}/model.zip", env!("CARGO_MANIFEST_DIR"));
    Arc::new(Model::load(&std::fs::read(path).unwrap(), &LoadOptions::default()).unwrap())
}

/// Binomial; numeric `x1`, `x2`, ..., categorical `c3` (blue, green, red), ...
fn gbm() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| model("gbm_bernoulli")))
}

/// `input.csv` of a case.
fn input(case: &str) -> String {
    let path = format!("{}/../../tests/corpora/mojo/{case}/input.csv", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn source(name: &str, bytes: impl Into<Vec<u8>>) -> Source {
    let bytes = bytes.into();
    let (compression, stem) = Compression::of_name(name);
    Source {
        name: name.to_owned(),
        format: Format::of_name(stem).unwrap(),
        compression,
        open: Box::new(move || Ok(Box::new(Cursor::new(bytes)))),
        file: None,
    }
}

/// Output and summary of a job on `gbm_bernoulli`.
fn score(job: Job) -> Result<(String, Summary), BatchError> {
    let mut out = Vec::new();
    let summary = run(&gbm(), job, &mut out, |_| {})?;
    Ok((String::from_utf8(out).unwrap(), summary))
}

/// The same with one CSV input and everything else by default.
fn score_csv(text: &str) -> Result<(String, Summary), BatchError> {
    score(Job { inputs: vec![source("in.csv", text)], ..Job::default() })
}
