//! Words and their vectors. The first two bytes are the numbers of both.
#![no_main]

use stemson_fuzz::{choice, entry, exercise_entries, mojo, pieces};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (words, data) = choice(data);
    let (dimensions, data) = choice(data);
    let (vocabulary, vectors) = pieces(data);
    let info = format!(
        "algorithm = Word2Vec\ncategory = WordEmbedding\nvocab_size = {words}\n\
         vec_size = {dimensions}"
    );
    let mut entries = mojo(&info, &[None], None);
    entries.push(entry("vocabulary", vocabulary));
    entries.push(entry("vectors", vectors));
    exercise_entries(&entries);
});
