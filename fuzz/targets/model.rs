//! The first byte chooses a model of the corpus, the second one of its entries, the rest is what
//! the entry holds.
#![no_main]

use stemson_fuzz::{choice, entries, entry, exercise_entries};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (model, data) = choice(data);
    let (place, data) = choice(data);
    let mut entries = entries(model);
    let place = place % entries.len();
    entries[place] = entry(&entries[place].name.clone(), data);
    exercise_entries(&entries);
});
