//! JSON lines through the batch reader into a model. A line that is one flat object to our reader
//! must be one to `serde_json`.
#![no_main]

use std::sync::{Arc, LazyLock};

use stemson_batch::Format;
use stemson_fuzz::{choice, model, score_rows};
use stemson_mojo::Model;

/// A decent row must be answered, or nothing would be reached.
static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let model = model("gbm_bernoulli");
    assert!(score_rows(&model, Format::Jsonl, 0, br#"{"x1": 1.5, "c3": "green"}"#));
    model
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (form, data) = choice(data);
    let accepted = score_rows(&MODEL, Format::Jsonl, form, data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A byte order mark may lead a file, but no JSON.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if accepted && !text.contains(['\n', '\r']) && !text.trim().is_empty() {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(parsed) => assert!(parsed.is_object(), "{text:?}"),
            // Ours keeps the text of a number; Java reads infinity there.
            Err(cause) => assert!(cause.to_string().contains("out of range"), "{cause}: {text:?}"),
        }
    }
});
