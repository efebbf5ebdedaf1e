//! The first byte chooses a model of the corpus, the rest is its `model.ini`.
#![no_main]

use stemson_fuzz::{choice, entries, entry, exercise_entries};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (model, ini) = choice(data);
    let mut entries = entries(model);
    entries.retain(|entry| entry.name != "model.ini" && !entry.name.starts_with("experimental/"));
    entries.push(entry("model.ini", ini));
    exercise_entries(&entries);
});
