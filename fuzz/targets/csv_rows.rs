//! CSV through the batch reader into a model, in small blocks of rows and back out.
#![no_main]

use std::sync::{Arc, LazyLock};

use stemson_batch::Format;
use stemson_fuzz::{choice, model, score_rows};
use stemson_mojo::Model;

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| model("kmeans_mixed"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (form, data) = choice(data);
    score_rows(&MODEL, Format::Csv, form, data);
});
