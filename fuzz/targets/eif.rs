//! A tree of an extended isolation forest.
#![no_main]

use stemson_fuzz::{entry, exercise_entries, mojo};

const INFO: &str = "algorithm = Extended Isolation Forest\ncategory = AnomalyDetection\n\
                    ntrees = 1\nsample_size = 64";

libfuzzer_sys::fuzz_target!(|tree: &[u8]| {
    let mut entries = mojo(INFO, &[None, None, None, None, Some(3)], None);
    entries.push(entry("trees/t00.bin", tree));
    exercise_entries(&entries);
});
