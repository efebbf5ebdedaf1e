//! The maps of a target encoder: encodings, and the columns they belong to.
#![no_main]

use stemson_fuzz::{choice, entry, exercise_entries, mojo, pieces};

const FOLDER: &str = "feature_engineering/target_encoding";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (form, data) = choice(data);
    let (columns, data) = pieces(data);
    let (missing, map) = pieces(data);
    let info = format!(
        "algorithm = TargetEncoder\ncategory = TargetEncoder\nwith_blending = {}\n\
         inflection_point = 3.0\nsmoothing = 5.0",
        form & 1 == 0
    );
    let levels = if form & 2 == 0 { 2 } else { 4 };
    let inputs = [Some(3), Some(12), Some(50), Some(263), None];
    let mut entries = mojo(&info, &inputs, Some(levels));
    let mut add = |name: &str, data| entries.push(entry(&format!("{FOLDER}/{name}"), data));
    add("encoding_map.ini", map);
    if form & 4 == 0 {
        add("input_encoding_columns_map.ini", columns);
    }
    if form & 8 == 0 {
        add("te_column_name_to_missing_values_presence.ini", missing);
    }
    exercise_entries(&entries);
});
