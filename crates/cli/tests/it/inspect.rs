//! `stemson inspect`.

use serde_json::Value;

use crate::{case, stemson};

#[test]
fn json_says_what_the_model_is() {
    let run = stemson(&["inspect", &case("gbm_platt", "model.zip"), "--format", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "algorithm",
        "category",
        "mojo_version",
        "h2o_version",
        "uuid",
        "digest",
        "file_bytes",
        "memory_bytes",
        "trees",
        "response",
        "labels",
        "default_threshold",
        "offset",
        "output_columns",
        "offers",
        "explains",
        "variable_importances",
        "columns",
        "warnings",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(report["algorithm"], "gbm");
    assert_eq!(report["category"], "Binomial");
    assert_eq!(report["labels"], serde_json::json!(["no", "yes"]));
    assert_eq!(
        report["offers"],
        serde_json::json!([
            "calibrated",
            "contributions",
            "leaf_assignment_ids",
            "leaf_assignment_paths",
            "staged"
        ])
    );
    assert_eq!(
        report["explains"]["calibrated"]["columns"],
        serde_json::json!(["cal_no", "cal_yes"])
    );
    assert_eq!(report["explains"]["distances"]["refused"], "distances are for kmeans, not gbm");
    assert!(report["variable_importances"][0]["relative"].as_f64().unwrap() > 0.0);
    assert_eq!(report["trees"], 12);
    assert_eq!(report["digest"].as_str().unwrap().len(), 64);
    let columns = report["columns"].as_array().unwrap();
    assert_eq!(
        columns[0],
        serde_json::json!({"name": "x1", "kind": "numeric", "role": "feature", "levels": []})
    );
    assert_eq!(columns[6]["levels"], serde_json::json!(["blue", "green", "red"]));
}

#[test]
fn text_names_what_matters() {
    let run = stemson(&["inspect", &case("gbm_bernoulli_offset", "model.zip")]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for words in [
        "algorithm  gbm",
        "category   Binomial",
        "H2O 3.46.0.11",
        "digest     sha256 ",
        "threshold  0.",
        "offset     column ",
        "offers     contributions, leaf_assignment_ids, leaf_assignment_paths, staged",
        "offers no  calibrated: it was trained without `calibrate_model`",
        "importance ",
        "categorical, 3 levels: blue, green, red",
        "numeric, offset",
    ] {
        assert!(run.stdout.contains(words), "no `{words}` in\n{}", run.stdout);
    }
    assert!(!run.stdout.contains('\x1b'), "colours are for terminals");
}
