//! CSV through the batch reader into a model, in small blocks of rows and back out.
#![no_main]

use std::sync::{Arc, LazyLock};

use stemson_batch::Format;
use stemson_fuzz::{choice, model, score_rows};
use stemson_mojo::Model;

/// A decent row must be answered, or nothing would be reached.
static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let model = model("gbm_bernoulli");
    assert!(score_rows(&model, Format::Csv, 0, b"x1,c3\n1.5,green\n"));
    model
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (form, data) = choice(data);
    score_rows(&MODEL, Format::Csv, form, data);
});
