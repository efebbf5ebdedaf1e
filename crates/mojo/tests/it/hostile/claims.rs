//! Numbers that claim far more than the file holds: refused by name, or without effect, and never
//! believed. Each row cost memory or minutes once, or would have.

use super::campaign;
use super::exercise::exercise;
use super::memory;
use super::zip::{self, Entry};

/// What a model of the corpus takes, several times over.
const PEAK_BYTES_MAX: usize = 64 << 20;
const ALLOCATIONS_MAX: u64 = 3_000_000;

const HUGE: &str = "2147483647";

/// A change of a model's `model.ini`, and how loading and scoring must end.
struct Claim {
    case: &'static str,
    algorithm: &'static str,
    /// Key and value, each put in place of the line that there is.
    values: &'static [(&'static str, &'static str)],
    outcome: &'static str,
}

const fn claim(
    algorithm: &'static str,
    case: &'static str,
    values: &'static [(&'static str, &'static str)],
    outcome: &'static str,
) -> Claim {
    Claim { case, algorithm, values, outcome }
}

const CLAIMS: &[Claim] = &[
    claim("gbm", "gbm_bernoulli", &[("n_trees", HUGE)], "missing_entry"),
    // Two classes without trees, in each of which every tree would be looked for.
    claim("gbm", "gbm_unused_class", &[("n_trees", HUGE)], "missing_entry"),
    claim("gbm", "gbm_multi", &[("n_classes", HUGE), ("n_trees_per_class", HUGE)], "bad_value"),
    claim("gbm", "gbm_multi", &[("category", "KLime")], "bad_value"),
    claim("gbm", "gbm_bernoulli", &[("n_features", HUGE)], "bad_value"),
    claim("drf", "drf_multi", &[("n_classes", HUGE)], "bad_value"),
    claim("glm", "glm_binomial", &[("cats", HUGE)], "bad_value"),
    claim("glm", "glm_multinomial", &[("n_classes", HUGE)], "bad_value"),
    claim("xgboost", "xgb_gaussian", &[("cat_offsets", "[0, 13, 17, 2147483647]")], "answered"),
    claim("xgboost", "xgb_gaussian", &[("nums", HUGE)], "bad_value"),
    claim("xgboost", "xgb_gaussian", &[("nums", HUGE), ("mojo_version", "1.00")], "bad_value"),
    claim(
        "xgboost",
        "xgb_gblinear",
        &[("cat_offsets", "[0, 13, 17, 2147483647]"), ("nums", HUGE), ("mojo_version", "1.00")],
        "limit",
    ),
    claim("stackedensemble", "se_regression", &[("base_models_num", HUGE)], "bad_value"),
    claim("stackedensemble", "se_regression", &[("submodel_count", HUGE)], "missing_key"),
    claim("stackedensemble", "se_regression", &[("n_classes", "0")], "bad_value"),
    claim("rulefit", "rulefit_binomial", &[("depth", HUGE)], "missing_key"),
    claim("rulefit", "rulefit_binomial", &[("depth", HUGE), ("ntrees", "0")], "bad_value"),
    claim("kmeans", "kmeans_mixed", &[("center_num", HUGE)], "missing_key"),
    claim("klime", "made here", &[("cluster_num", HUGE)], "answered"),
    claim("svm", "made here", &[("category", "Multinomial")], "bad_value"),
    claim("pca", "pca_none_impute", &[("k", HUGE)], "bad_value"),
    claim("pca", "pca_none_impute", &[("eigenvector_size", HUGE)], "bad_entry"),
    claim("glrm", "glrm_quadratic", &[("nrowY", HUGE), ("ncolX", HUGE)], "bad_value"),
    claim("word2vec", "word2vec", &[("vocab_size", HUGE)], "bad_entry"),
    claim("extendedisolationforest", "extisofor", &[("ntrees", HUGE)], "missing_entry"),
    claim("isolationforest", "isofor", &[("n_trees", HUGE)], "missing_entry"),
    claim("gam", "gam_is", &[("spline_orders_sorted", "[2147483647]")], "bad_value"),
    claim("coxph", "coxph_strata", &[("strata_count", HUGE)], "missing_key"),
    claim("pipeline", "pipeline_kmeans_glm", &[("generated_column_count", HUGE)], "missing_key"),
];

#[test]
fn are_not_believed() {
    for Claim { case, algorithm, values, outcome } in CLAIMS {
        check(algorithm, case, &format!("{values:?}"), outcome, |entries| {
            change_ini(entries, |lines| {
                for (key, value) in *values {
                    let is_key = |line: &&mut String| {
                        line.split_once(" = ").is_some_and(|line| line.0 == *key)
                    };
                    let line = lines.iter_mut().find(is_key);
                    *line.unwrap_or_else(|| panic!("{case} has no `{key}`")) =
                        format!("{key} = {value}");
                }
            });
        });
    }
}

#[test]
fn one_entry_for_a_hundred_thousand_columns() {
    check("gbm", "gbm_bernoulli", "one domain again and again", "bad_entry", |entries| {
        change_ini(entries, |lines| {
            let domain = lines.last().unwrap().clone();
            lines.extend(std::iter::repeat_n(domain, 100_000));
        });
    });
}

/// No word, and vectors of as many dimensions as the file likes.
#[test]
fn dimensions_of_nothing() {
    check("word2vec", "word2vec", "no words", "bad_entry", |entries| {
        change_ini(entries, |lines| {
            for line in lines {
                match line.split_once(" = ").map(|it| it.0) {
                    Some("vocab_size") => "vocab_size = 0".clone_into(line),
                    Some("vec_size") => *line = format!("vec_size = {HUGE}"),
                    _ => {}
                }
            }
        });
        for entry in entries.iter_mut().filter(|it| it.name != "model.ini") {
            *entry = Entry::new(&entry.name, b"");
        }
    });
}

/// A booster without weights says how many there would be.
#[test]
fn weights_of_a_booster_that_learnt_nothing() {
    check("xgboost", "xgb_gblinear", "2^27 weights of 0", "bad_entry", |entries| {
        change_ini(entries, |lines| {
            for line in lines.iter_mut().filter(|line| line.starts_with("cat_offsets = ")) {
                "cat_offsets = [0, 13, 17, 134217728]".clone_into(line);
            }
        });
        let booster = entries.iter_mut().find(|it| it.name == "boosterBytes").unwrap();
        let mut bytes = booster.data.to_vec();
        // Behind the name of the booster: 34 fields, then the number of weights.
        let name = bytes.windows(8).position(|it| it == b"gblinear").unwrap();
        let count = name + 8 + 34 * 4;
        bytes.truncate(count);
        bytes.extend([0; 8]);
        let start = if bytes.starts_with(b"binf") { 4 } else { 0 };
        bytes[start + 4..start + 8].copy_from_slice(&134_217_728_u32.to_le_bytes());
        *booster = Entry::new("boosterBytes", &bytes);
    });
}

/// Objects take a hundred times the bytes that they are written in; the model is scored without
/// the description.
#[test]
fn a_description_of_many_parts() {
    check("gbm", "gbm_bernoulli", "two million objects", "answered", |entries| {
        let details = "experimental/modelDetails.json";
        entries.retain(|entry| entry.name != details);
        let json = format!("[{}0]", r#"{"":0},"#.repeat(2_000_000));
        entries.push(Entry::new(details, json.as_bytes()));
    });
}

pub(super) fn change_ini(entries: &mut [Entry], change: impl FnOnce(&mut Vec<String>)) {
    let ini = entries.iter_mut().find(|entry| entry.name == "model.ini").unwrap();
    let text = std::str::from_utf8(&ini.data).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    *ini = Entry::new("model.ini", (lines.join("\n") + "\n").as_bytes());
}

fn check(
    algorithm: &str,
    case: &str,
    what: &str,
    outcome: &str,
    change: impl FnOnce(&mut Vec<Entry>),
) {
    let models = campaign::models(algorithm);
    let (_, mut entries) = models.into_iter().find(|model| model.0 == case).unwrap();
    change(&mut entries);
    let zip = zip::pack(&entries);
    let options = stemson_mojo::LoadOptions { genmodel_quirks: true, ..Default::default() };
    let (found, usage) = memory::measure(0, || exercise(&zip, &options));
    assert_eq!(found, outcome, "{case}: {what}");
    assert!(usage.peak_bytes < PEAK_BYTES_MAX, "{case}: {what}: {usage:?}");
    assert!(usage.allocations < ALLOCATIONS_MAX, "{case}: {what}: {usage:?}");
}

#[test]
fn what_is_measured_is_what_was_taken() {
    let (_, usage) = memory::measure(0, || {
        let first = vec![1_u8; 10 << 20];
        drop(first);
        vec![1_u8; 5 << 20]
    });
    assert!((10 << 20..11 << 20).contains(&usage.peak_bytes), "{usage:?}");
    assert!((2..10).contains(&usage.allocations), "{usage:?}");
}
