//! Models of the corpus with one thing changed: what the corpus itself does not reach.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use stemson_mojo::{Batch, Cell, LoadError, LoadOptions, Model, Options, Output, RowErrorKind};

use crate::hostile::zip;

/// A case of the corpus whose entry is another one.
fn with_entry(
    case: &str,
    entry: &str,
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Model, LoadError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let mut entries = zip::read(&fs::read(root.join(case).join("model.zip")).unwrap());
    let found = entries.iter_mut().find(|found| found.name == entry).unwrap();
    *found = zip::Entry::new(entry, &change(&found.data));
    found.deflate();
    Model::load(&zip::pack(&entries), &LoadOptions::default())
}

/// A case of the corpus in which keys of `model.ini` have other values; an empty one is no key.
fn with_values(case: &str, values: &[(&str, &str)]) -> Result<Model, LoadError> {
    with_entry(case, "model.ini", |ini| {
        let mut lines: Vec<String> =
            std::str::from_utf8(ini).unwrap().lines().map(str::to_owned).collect();
        for (key, value) in values {
            let prefix = format!("{key} = ");
            let at = lines.iter().position(|line| line.starts_with(&prefix)).unwrap();
            lines[at] = if value.is_empty() { String::new() } else { format!("{prefix}{value}") };
        }
        lines.join("\n").into_bytes()
    })
}

/// The answer to a row; columns that are not named are absent.
fn answer(model: &Arc<Model>, row: &[(&str, &str)]) -> Result<Vec<f64>, RowErrorKind> {
    let cell = |name: &str| {
        let named = row.iter().find(|(column, _)| *column == name);
        named.map_or(Cell::Absent, |(_, text)| Cell::Text(text))
    };
    let columns = model.schema().columns().iter();
    let cells: Vec<Cell<'_>> = columns.map(|column| cell(&column.name)).collect();
    let mut batch = Batch::new(Arc::clone(model), Options::default());
    batch.push(&cells);
    batch.score();
    match batch.output(0) {
        Ok(Output::Classes { p, .. }) => Ok(p.to_vec()),
        Ok(Output::Value(value)) => Ok(vec![value]),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind),
    }
}

#[test]
fn damage_has_a_name() {
    let table = [
        ("dl_tanh_multi", "weight_layer1", "", "missing_key"),
        ("dl_tanh_multi", "weight_layer1", "[1.0]", "bad_value"),
        ("dl_tanh_multi", "bias_layer0", "[1.0]", "bad_value"),
        ("dl_tanh_multi", "activation", "Sine", "bad_value"),
        ("dl_tanh_multi", "distribution", "cauchy", "bad_value"),
        ("dl_tanh_multi", "neural_network_sizes", "[1, 2]", "bad_value"),
        ("dl_tanh_multi", "hidden_dropout_ratios", "[0.0]", "bad_value"),
        ("dl_tanh_multi", "norm_sub", "[1.0]", "bad_value"),
        ("dl_tanh_multi", "cat_offsets", "[0, 9]", "bad_value"),
        ("dl_tanh_multi", "use_all_factor_levels", "", "missing_key"),
        ("dl_autoencoder", "cat_offsets", "[0, 13, 17, 19]", "bad_value"),
        ("gam_cs", "num_knots_sorted", "[2, 5]", "bad_value"),
        ("gam_cs", "num_knots_sorted", "", "missing_key"),
        ("gam_cs", "bs_sorted", "[1, 0]", "bad_value"),
        ("gam_cs", "num_CS_col", "1", "bad_value"),
        ("gam_cs", "beta_center", "[1.0]", "bad_value"),
        ("gam_cs", "link", "probit", "bad_value"),
        ("gam_cs", "num_expanded_gam_columns_center", "4", "bad_value"),
        ("gam_ms", "spline_orders_sorted", "[0]", "bad_value"),
        ("gam_tp", "_m", "[0]", "bad_value"),
        ("coxph_plain", "coef", "[1.0]", "bad_value"),
        ("coxph_plain", "num_numerical_columns", "9", "bad_value"),
        ("coxph_strata", "strata_1", "", "missing_key"),
        ("coxph_strata", "strata_1", "[0.0]", "bad_value"),
        ("coxph_num_num", "interactions_1", "[99]", "bad_value"),
    ];
    for (case, key, value, kind) in table {
        let found = with_values(case, &[(key, value)]);
        assert_eq!(found.unwrap_err().kind(), kind, "{case}: {key} = {value}");
    }
    let entries = [
        ("gam_cs", "knots"),
        ("gam_cs", "zTranspose"),
        ("gam_cs", "_binvD"),
        ("gam_cs", "gam_columns_sorted"),
        ("gam_tp", "zTransposeCS"),
        ("gam_tp", "polynomialBasisList"),
        ("gam_cs_multi", "beta_multinomial_centering"),
        ("coxph_plain", "x_mean_cat"),
        ("coxph_plain", "x_mean_num"),
    ];
    for (case, entry) in entries {
        let cut = with_entry(case, entry, |bytes| bytes[..bytes.len() / 2].to_vec());
        assert_eq!(cut.unwrap_err().kind(), "bad_entry", "{case}: {entry}");
    }
}

#[test]
fn modified_huber_loads_with_a_warning_and_refuses_rows() {
    let model = with_values("dl_rectifier", &[("distribution", "modified_huber")]).unwrap();
    assert!(model.warnings().iter().any(|warning| warning.kind == "modified_huber"));
    assert_eq!(answer(&Arc::new(model), &[("x1", "1")]), Err(RowErrorKind::Model));
}

#[test]
fn a_network_that_answers_nan_refuses_the_row() {
    let model = with_values("dl_rectifier", &[("bias_layer2", "[NaN, 0.0]")]).unwrap();
    assert_eq!(answer(&Arc::new(model), &[("x1", "1")]), Err(RowErrorKind::Model));
    let model = with_values("dl_huber", &[("norm_resp_mul", "[NaN]")]).unwrap();
    assert_eq!(answer(&Arc::new(model), &[("x1", "1")]), Err(RowErrorKind::Model));
}

#[test]
fn smoothed_columns_are_the_callers_and_their_splines_are_not() {
    let model = with_values("gam_cs", &[]).unwrap();
    let names: Vec<&str> = model.schema().columns().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["c3", "big", "x1", "k"]);
}

#[test]
fn a_thin_plate_reads_its_columns_up_to_the_first_absent_one() {
    let model = Arc::new(with_values("gam_tp", &[]).unwrap());
    let answers = |row| answer(&model, row);
    assert_eq!(answers(&[("k", "abc")]), answers(&[]));
    assert_eq!(answers(&[("x1", "abc")]), Err(RowErrorKind::InvalidNumber));
    assert_eq!(answers(&[("x1", "1"), ("k", "abc")]), Err(RowErrorKind::InvalidNumber));
}

#[test]
fn a_standardised_thin_plate_refuses_rows_that_have_its_columns() {
    let model = Arc::new(with_values("gam_tp", &[("standardize", "true")]).unwrap());
    assert!(answer(&model, &[("x1", "1")]).is_ok());
    assert_eq!(answer(&model, &[("x1", "1"), ("k", "2")]), Err(RowErrorKind::Model));
}

#[test]
fn a_stratum_that_training_did_not_see_is_refused_and_a_missing_one_is_the_first() {
    let model = Arc::new(with_values("coxph_strata", &[("strata_1", "[7.0]")]).unwrap());
    let row = [("c3", "red"), ("x1", "1"), ("k", "2"), ("big", "3")];
    let with = |tf| [row[0], row[1], row[2], row[3], ("tf", tf)];
    assert_eq!(answer(&model, &with("true")), Err(RowErrorKind::Model));
    assert!(answer(&model, &with("false")).is_ok());
    assert_eq!(answer(&model, &row), answer(&model, &with("false")));
}

#[test]
fn with_all_levels_a_missing_category_is_refused() {
    let all_levels = [("use_all_factor_levels", "true")];
    let model = Arc::new(with_values("coxph_plain", &all_levels).unwrap());
    let numbers = [("x1", "1"), ("k", "2"), ("big", "3")];
    assert_eq!(answer(&model, &numbers), Err(RowErrorKind::Model));
    let red = [numbers[0], numbers[1], numbers[2], ("c3", "red")];
    assert!(answer(&model, &red).is_ok());
}
