//! Loads what may be a model, scores rows with all explanations, and holds every answer to what
//! the documentation promises of its shape. The fuzz targets include this file too.

use std::sync::Arc;

use stemson_mojo::{
    Batch, Cell, Column, Kind, LeafAssignment, LoadOptions, Model, Offers, Options, Output,
    rank_contributions,
};

/// `answered`, or the kind of the refusal.
pub(super) fn exercise(bytes: &[u8], load: &LoadOptions) -> &'static str {
    let model = match Model::load(bytes, load) {
        Ok(model) => Arc::new(model),
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            return refused.kind();
        }
    };
    // What a caller reads of a model must be there.
    assert!(model.schema().offset().is_none_or(|at| at < model.schema().columns().len()));
    let offers = model.offers();
    assert!(model.size().memory_bytes < 1 << 40 && model.n_trees().unwrap_or(0) < 1 << 40);
    assert_eq!(model.leaf_names(), offers.leaf_paths);
    for strict in [false, true] {
        let mut batch = Batch::new(Arc::clone(&model), everything(strict));
        for row in 0..3 {
            batch.push(&cells(&model, row));
        }
        batch.score();
        for row in 0..3 {
            read(&model, &offers, &batch, row);
        }
    }
    "answered"
}

/// Every explanation that can be asked for. All fields are named: a new one must come in here.
fn everything(strict: bool) -> Options {
    Options {
        strict,
        distances: true,
        reconstruct: true,
        contributions: true,
        leaf_assignment: Some(if strict { LeafAssignment::Ids } else { LeafAssignment::Paths }),
        staged: true,
    }
}

/// Row 0 has nothing, row 1 what a decent caller sends, row 2 the extremes.
fn cells(model: &Model, row: usize) -> Vec<Cell<'_>> {
    let columns = model.schema().columns();
    if model.schema().is_open() {
        return match row {
            0 => Vec::new(),
            1 => vec![Cell::Text("a"), Cell::Absent, Cell::Text("the")],
            _ => vec![Cell::Number(f64::NAN), Cell::Level(u32::MAX), Cell::Foreign("Integer")],
        };
    }
    let each = columns.iter().enumerate();
    each.map(|(i, column)| match row {
        0 => Cell::Absent,
        1 => decent(i, column),
        _ => extreme(i, column),
    })
    .collect()
}

fn decent(i: usize, column: &Column) -> Cell<'_> {
    match (column.kind, i % 2) {
        (Kind::Numeric, 0) => Cell::Number(1.5),
        (Kind::Numeric, _) => Cell::Text("-0.25"),
        (Kind::Categorical, 0) => Cell::Level(i as u32 % column.levels.len().max(1) as u32),
        (Kind::Categorical, _) => column.levels.last().map_or(Cell::Absent, |it| Cell::Text(it)),
    }
}

fn extreme(i: usize, column: &Column) -> Cell<'_> {
    const NUMBERS: [Cell<'_>; 11] = [
        Cell::Number(f64::NAN),
        Cell::Number(f64::INFINITY),
        Cell::Number(1e300),
        Cell::Text("-1e400"),
        Cell::Double(f64::NEG_INFINITY),
        Cell::Level(u32::MAX),
        Cell::Number(-1e300),
        Cell::Number(5e-324),
        Cell::Number(-0.0),
        Cell::Text("x"),
        Cell::Bool(true),
    ];
    const LEVELS: [Cell<'_>; 7] = [
        Cell::Level(u32::MAX),
        Cell::Number(1e300),
        Cell::Text("\0no such level"),
        Cell::Number(f64::NAN),
        Cell::Double(f64::NAN),
        Cell::Number(-1.0),
        Cell::Bool(false),
    ];
    match column.kind {
        Kind::Numeric => NUMBERS[i % NUMBERS.len()],
        Kind::Categorical => LEVELS[i % LEVELS.len()],
    }
}

/// Reads whatever the batch offers, and holds it to what the documentation promises.
fn read(model: &Model, offers: &Offers, batch: &Batch, row: usize) {
    let width = model.schema().columns().len();
    assert!(model.schema().is_open() || batch.converted().len() == width, "converted");
    let _ = (batch.raw(row), batch.preds(row), batch.distances(row));
    match batch.output(row) {
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            assert!(batch.contributions(row).is_none() && batch.staged(row).is_none());
            return;
        }
        Ok(Output::Classes { index, p, calibrated }) => {
            let n = model.labels().len();
            assert!(index < n, "label {index} of {n}");
            assert_eq!(p.len(), n, "probabilities");
            assert!(calibrated.is_none_or(|p| p.len() == n), "calibrated probabilities");
        }
        Ok(Output::Transformations(values) | Output::Dimensions { dimensions: values, .. }) => {
            assert_eq!(values.len(), model.output_columns().len(), "values and their names");
        }
        Ok(Output::Reconstruction { original, reconstructed, .. }) => {
            assert_eq!(original.len(), reconstructed.len(), "reconstruction");
        }
        Ok(_) => {}
    }
    let named = |names: &Result<Vec<String>, String>| names.as_ref().ok().map(Vec::len);
    let contributions = batch.contributions(row);
    assert_eq!(contributions.map(<[f32]>::len), named(&offers.contributions), "contributions");
    if let Some(contributions) = contributions {
        let compact = model.compact_contributions(contributions);
        assert_eq!(Some(compact.len()), named(&model.compact_contribution_names()), "compact");
        assert!(rank_contributions(contributions, Some(3), Some(3), true).len() <= 7);
    }
    assert_eq!(batch.staged(row).map(<[f64]>::len), named(&offers.staged), "staged");
    if let Some(ids) = batch.leaf_ids(row) {
        assert_eq!(Some(ids.len()), named(&offers.leaf_ids), "leaf ids");
    }
    if let Some(paths) = batch.leaf_paths(row) {
        assert_eq!(Some(paths.count()), named(&offers.leaf_paths), "leaf paths");
    }
}
