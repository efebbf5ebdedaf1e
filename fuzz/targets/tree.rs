//! A tree of each version of the format, and what explanations need about it.
#![no_main]

use stemson_fuzz::{choice, entry, exercise_entries, mojo, pieces};

const MODELS: [&str; 6] = [
    "Gradient Boosting Machine\ncategory = Regression\nmojo_version = 1.00",
    "Gradient Boosting Machine\ncategory = Regression\nmojo_version = 1.10",
    "Gradient Boosting Machine\ncategory = Regression\nmojo_version = 1.30",
    "Gradient Boosting Machine\ncategory = Regression\nmojo_version = 1.40",
    "Distributed Random Forest\ncategory = Regression\nmojo_version = 1.40",
    "Isolation Forest\ncategory = AnomalyDetection\nmojo_version = 1.40",
];

/// As in the corpus: numbers, then categories.
const COLUMNS: [Option<usize>; 12] =
    [None, None, None, None, None, None, Some(3), Some(12), Some(49), Some(263), Some(2), Some(10)];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (model, data) = choice(data);
    let (tree, aux) = pieces(data);
    let info = format!(
        "algorithm = {}\nn_trees = 1\nn_trees_per_class = 1\ninit_f = 0.5\n\
         distribution = gaussian\nlink_function = identity\n_genmodel_encoding = AUTO",
        MODELS[model % MODELS.len()]
    );
    let mut entries = mojo(&info, &COLUMNS, None);
    entries.push(entry("trees/t00_000.bin", tree));
    entries.push(entry("trees/t00_000_aux.bin", aux));
    exercise_entries(&entries);
});
