//! XGBoost's binary model, and the weights of nodes beside it.
#![no_main]

use stemson_fuzz::{choice, entry, exercise_entries, mojo, pieces};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (form, data) = choice(data);
    let (weights, booster) = pieces(data);
    let (category, levels) = match form & 3 {
        0 => ("Binomial", Some(2)),
        1 => ("Multinomial", Some(4)),
        _ => ("Regression", None),
    };
    let info = format!(
        "algorithm = XGBoost\ncategory = {category}\nmojo_version = {}\ncats = 3\nnums = 6\n\
         cat_offsets = [0, 13, 17, 20]\nuse_all_factor_levels = true\nsparse = {}\n\
         has_offset = {}\nbooster = gbtree",
        if form & 4 == 0 { "1.10" } else { "1.00" },
        form & 8 != 0,
        form & 16 != 0,
    );
    let columns = [Some(12), Some(3), Some(2), None, None, None, None, None, None];
    let mut entries = mojo(&info, &columns, levels);
    entries.push(entry("boosterBytes", booster));
    if !weights.is_empty() {
        entries.push(entry("auxNodeWeights", weights));
    }
    exercise_entries(&entries);
});
