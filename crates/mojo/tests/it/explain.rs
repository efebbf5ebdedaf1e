//! Explanations beyond the corpus: they add up on any row, and cost nothing where they are not
//! wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use stemson_mojo::{Batch, Category, Cell, LeafAssignment, LoadOptions, Model, Options, Role};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo")
}

fn load(id: &str, explanations: bool) -> Arc<Model> {
    let bytes = fs::read(corpus().join(id).join("model.zip")).unwrap();
    let options = LoadOptions { genmodel_quirks: true, explanations, ..LoadOptions::default() };
    Arc::new(Model::load(&bytes, &options).unwrap())
}

/// Cases whose file starts like this.
fn cases(starts: &[&str]) -> Vec<String> {
    let names = fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().file_name().into_string());
    let mut names: Vec<String> = names.map(Result::unwrap).collect();
    names.retain(|name| starts.iter().any(|start| name.starts_with(start)));
    names.sort();
    names
}

fn everything(leaves: LeafAssignment) -> Options {
    let leaf_assignment = Some(leaves);
    Options { contributions: true, leaf_assignment, staged: true, ..Options::default() }
}

/// Any value for any column: two numbers choose it.
fn cells(model: &Model, numbers: &[(u8, f64)]) -> Vec<Cell<'static>> {
    let columns = model.schema().columns().iter().enumerate();
    let cell = |(i, column): (usize, &stemson_mojo::Column)| {
        // A wide model takes its numbers in turns.
        let (choice, number) = numbers[i % numbers.len()];
        let levels = u32::try_from(column.levels.len()).unwrap();
        match choice {
            _ if column.role == Role::Offset => Cell::Absent,
            0 => Cell::Absent,
            _ if levels == 0 => Cell::Number(number),
            choice => Cell::Level((u32::from(choice) * 7 + u32::try_from(i).unwrap()) % levels),
        }
    };
    columns.map(cell).collect()
}

/// What the contributions of the only row should add up to, told from its answer; `None` where
/// the answer has too few digits for that.
fn margin(id: &str, model: &Model, batch: &Batch) -> Option<f64> {
    let has_log_link = ["gamma", "poisson", "tweedie"].iter().any(|family| id.contains(family));
    match (model.category(), batch.preds(0)) {
        (Category::Binomial, [_, p0, _]) if model.algorithm() == "drf" => {
            // Each contribution that is not 0 has a share of the 1 in `1 - p0`.
            let parts = batch.contributions(0)?.iter().filter(|part| **part != 0.0).count();
            let used = model.variable_importances().iter().filter(|v| v.relative != 0.0).count();
            Some(parts as f64 / (used + 1) as f64 - p0)
        }
        (Category::Binomial, [_, p0, p1]) => (p0.min(*p1) > 1e-2).then(|| (p1 / p0).ln()),
        (_, [value]) if has_log_link => (*value > 1e-30).then(|| value.ln()),
        (_, [value]) => Some(*value),
        _ => panic!("{id} has no contributions"),
    }
}

#[test]
fn contributions_add_up_to_the_margin() {
    let number = prop_oneof![Just(f64::NAN), -3.0..3.0, -1e6..1e6, (0_u8..9).prop_map(f64::from)];
    let numbers = prop::collection::vec((0_u8..8, number), 40);
    let mut compared = 0;
    for id in cases(&["gbm_", "drf_", "xgb_"]) {
        // Probabilities after a correction; weights and offsets that contributions pass over.
        if ["balance", "xgb_dart", "xgb_bernoulli_offset", "xgb_offset"]
            .iter()
            .any(|part| id.contains(part))
        {
            continue;
        }
        let model = load(&id, true);
        let Ok(names) = model.contribution_names() else { continue };
        let config = ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
        let checked = TestRunner::new(config).run(&numbers, |numbers| {
            let mut batch = Batch::new(Arc::clone(&model), everything(LeafAssignment::Ids));
            batch.push(&cells(&model, &numbers));
            batch.score();
            let contributions = batch.contributions(0).unwrap();
            prop_assert_eq!(contributions.len(), names.len());
            let wide = || contributions.iter().map(|&x| f64::from(x));
            let size = wide().map(f64::abs).sum::<f64>().max(1.0);
            if let Some(expected) = margin(&id, &model, &batch) {
                let sum: f64 = wide().sum();
                let tolerance = 2e-5 * size;
                prop_assert!((sum - expected).abs() < tolerance, "{} for {}", sum, expected);
            }
            let compact = model.compact_contributions(contributions);
            prop_assert_eq!(compact.len(), model.compact_contribution_names().unwrap().len());
            let sum: f64 = compact.iter().map(|&x| f64::from(x)).sum();
            prop_assert!((sum - wide().sum::<f64>()).abs() < 1e-5 * size);
            Ok(())
        });
        checked.unwrap_or_else(|cause| panic!("{id}: {cause}"));
        compared += 1;
    }
    assert!(compared > 50, "{compared} models");
}

/// The linear predictor that a GLM's answer stands for; `None` where it has too few digits.
fn linear_predictor(id: &str, preds: &[f64]) -> Option<f64> {
    let link = |name: &str| id.contains(name);
    match *preds {
        [_, p0, p1] => (p0.min(p1) > 1e-2).then(|| (p1 / p0).ln()),
        [value] if link("inverse") => (value.abs() > 1e-4).then(|| 1.0 / value),
        [value] if link("gaussian") || link("no_intercept") || link("wide") => Some(value),
        [value] => (1e-30..1e30).contains(&value).then(|| value.ln()),
        _ => panic!("{id} has one margin"),
    }
}

#[test]
fn contributions_of_a_glm_are_the_terms_of_its_linear_predictor() {
    let number = prop_oneof![-3.0..3.0, -10.0..10.0, (0_u8..9).prop_map(f64::from)];
    let numbers = prop::collection::vec((0_u8..8, number), 40);
    let mut compared = 0;
    for id in cases(&["glm_"]) {
        let model = load(&id, true);
        let Ok(names) = model.contribution_names() else {
            assert!(id.contains("multinomial") || id.contains("ordinal"), "{id}");
            continue;
        };
        let config = ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() };
        let checked = TestRunner::new(config).run(&numbers, |numbers| {
            let mut cells = cells(&model, &numbers);
            if let Some(offset) = model.schema().offset() {
                cells[offset] = Cell::Number(numbers[0].1);
                prop_assert_eq!(&names[names.len() - 2], &model.schema().columns()[offset].name);
            }
            let mut batch = Batch::new(Arc::clone(&model), everything(LeafAssignment::Ids));
            batch.push(&cells);
            batch.score();
            let Some(contributions) = batch.contributions(0) else {
                prop_assert!(batch.output(0).is_err(), "answered, not explained");
                return Ok(());
            };
            prop_assert_eq!(contributions.len(), names.len());
            let wide = || contributions.iter().map(|&x| f64::from(x));
            let (sum, size) = (wide().sum::<f64>(), wide().map(f64::abs).sum::<f64>().max(1.0));
            if let Some(expected) = linear_predictor(&id, batch.preds(0)) {
                let is_equal = (sum - expected).abs() < 1e-6 * size;
                prop_assert!(is_equal, "{} for {}", sum, expected);
            }
            Ok(())
        });
        checked.unwrap_or_else(|cause| panic!("{id}: {cause}"));
        compared += 1;
    }
    assert!(compared > 12, "{compared} models");
}

#[test]
fn the_last_stage_is_the_answer() {
    for id in cases(&["gbm_", "drf_", "isofor", "uplift"]) {
        let model = load(&id, true);
        let mut batch = Batch::new(Arc::clone(&model), everything(LeafAssignment::Paths));
        batch.push(&cells(&model, &[(1, 0.5), (3, 2.0), (0, 0.0)]));
        batch.score();
        let staged = batch.staged(0).unwrap();
        let names = model.offers().staged.unwrap();
        assert_eq!(staged.len(), names.len(), "{id}");
        let preds = batch.preds(0);
        let (_, classes) = names.last().unwrap().split_once(".C").unwrap();
        let classes: usize = classes.parse().unwrap();
        let has_label =
            !matches!(model.category(), Category::Regression | Category::AnomalyDetection);
        let first = usize::from(has_label);
        let last = &staged[staged.len() - classes..];
        assert_eq!(last, &preds[first..][..classes], "{id}");
    }
}

#[test]
fn a_model_loaded_without_explanations_is_smaller_and_says_what_it_lacks() {
    for id in ["gbm_bernoulli", "drf_regression", "xgb_bernoulli", "isofor"] {
        let (with, without) = (load(id, true), load(id, false));
        let (large, small) = (with.size().memory_bytes, without.size().memory_bytes);
        assert!(
            if id == "isofor" { small == large } else { small < large },
            "{id}: {small} {large}"
        );
        let offers = without.offers();
        assert!(offers.contributions.is_err(), "{id}");
        assert_eq!(offers.leaf_paths, with.offers().leaf_paths, "{id}");
        assert_eq!(offers.staged, with.offers().staged, "{id}");
        // XGBoost's node numbers come without another entry of the file.
        assert_eq!(offers.leaf_ids.is_ok(), id.starts_with("xgb"), "{id}");
        let mut batch = Batch::new(without, everything(LeafAssignment::Ids));
        batch.push(&cells(&with, &[(1, 0.5)]));
        batch.score();
        assert!(batch.output(0).is_ok());
        assert_eq!(batch.contributions(0), None, "{id}");
        assert_eq!(batch.leaf_ids(0).is_some(), id.starts_with("xgb"), "{id}");
    }
}

#[test]
fn each_refusal_has_its_reason() {
    let table = [
        ("gbm_multi", "contributions", "for one margin, here are"),
        ("drf_double_trees", "contributions", "binomial_double_trees"),
        ("gbm_bernoulli_mojo110", "contributions", "MOJO version 1.20"),
        ("gbm_bernoulli_mojo100", "leaf_paths", "MOJO version 1.20"),
        ("gbm_unused_class", "leaf_ids", "a class has no trees"),
        ("xgb_gblinear", "leaf_paths", "gblinear"),
        ("xgb_gblinear", "contributions", "gblinear"),
        ("xgb_bernoulli", "staged", "XGBoost has no staged answers"),
        ("isofor", "contributions", "not isolationforest"),
        ("glm_binomial", "staged", "glm has no trees"),
        ("glm_ordinal", "contributions", "one per threshold"),
    ];
    for (id, what, reason) in table {
        let offers = load(id, true).offers();
        let offer = match what {
            "contributions" => offers.contributions,
            "leaf_paths" => offers.leaf_paths,
            "leaf_ids" => offers.leaf_ids,
            _ => offers.staged,
        };
        let found = offer.unwrap_err();
        assert!(found.contains(reason), "{id}: {what}: {found}");
    }
}

#[test]
fn rows_without_an_answer_keep_their_place() {
    let model = load("gbm_bernoulli", true);
    let options = Options { strict: true, ..everything(LeafAssignment::Paths) };
    let mut batch = Batch::new(Arc::clone(&model), options);
    let good = cells(&model, &[(1, 0.5), (2, 1.0)]);
    let bad = vec![Cell::Text("no number, no level"); good.len()];
    for row in [&good, &bad, &good] {
        batch.push(row);
    }
    batch.score();
    let paths = |row| batch.leaf_paths(row).map(Iterator::collect::<Vec<_>>);
    assert!(batch.output(1).is_err());
    assert_eq!((batch.contributions(1), batch.staged(1), paths(1)), (None, None, None));
    assert_eq!((batch.contributions(0), paths(0)), (batch.contributions(2), paths(2)));
    assert_eq!(paths(0).unwrap().len(), model.leaf_names().unwrap().len());
    assert_eq!(paths(3), None);
}

#[test]
fn importances_come_from_the_details() {
    let found = load("drf_bin", true);
    let found = found.variable_importances();
    assert_eq!(found[0].variable, "c300");
    assert_eq!((found.len(), found[0].scaled), (12, 1.0));
    assert!(found.is_sorted_by(|a, b| a.relative >= b.relative));
    assert!((found.iter().map(|v| v.percentage).sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(load("kmeans_raw", true).variable_importances(), []);
}
