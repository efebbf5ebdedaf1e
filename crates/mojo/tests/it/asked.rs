//! What is asked beside an answer, and what the number of a row decides.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options, Output};

fn case(id: &str) -> Arc<Model> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let bytes = fs::read(root.join(id).join("model.zip")).unwrap();
    Arc::new(Model::load(&bytes, &LoadOptions::default()).unwrap())
}

/// Rows without text; every third value of the third row is absent.
fn rows(model: &Model, n: u32) -> Vec<Vec<Cell<'static>>> {
    let columns = model.schema().columns();
    let cell = |row: u32, column: usize| {
        let levels = columns[column].levels.len();
        match u32::try_from(levels).unwrap() {
            _ if row == 2 && column.is_multiple_of(3) => Cell::Absent,
            0 => Cell::Double(f64::from(row) * 0.25 - 1.0),
            levels => Cell::Level(row % levels),
        }
    };
    (0..n).map(|row| (0..columns.len()).map(|column| cell(row, column)).collect()).collect()
}

#[test]
fn distances_are_there_when_asked_for() {
    let model = case("kmeans_raw_mixed");
    let rows = rows(&model, 4);
    for distances in [false, true] {
        let mut batch = Batch::new(Arc::clone(&model), Options { distances, ..Options::default() });
        for row in &rows {
            batch.push(row);
            batch.score();
        }
        for row in 0..rows.len() {
            let Ok(&Output::Cluster(cluster)) = batch.output(row).as_ref() else { panic!("{row}") };
            let found = batch.distances(row).map(|distances| {
                assert_eq!(distances.len(), 5);
                (0..5).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap()
            });
            assert_eq!(found, distances.then_some(usize::try_from(cluster).unwrap()));
        }
        assert_eq!(batch.distances(rows.len()), None);
        batch.clear();
        assert_eq!(batch.distances(0), None);
    }
}

#[test]
fn a_row_that_is_infinitely_far_has_no_cluster() {
    let model = case("kmeans_raw");
    let mut batch = Batch::new(Arc::clone(&model), Options::default());
    batch.push(&vec![Cell::Double(1e300); model.schema().columns().len()]);
    batch.score();
    assert_eq!(batch.output(0), Ok(Output::Cluster(-1)));
}

#[test]
fn glrm_answers_by_the_number_of_the_row() {
    let model = case("glrm_simplex");
    let rows = rows(&model, 20);
    let mut whole = Batch::new(Arc::clone(&model), Options::default());
    rows.iter().for_each(|row| whole.push(row));
    whole.score();
    assert_ne!(whole.preds(0), whole.preds(1));
    // Other sizes, another order, rows pushed between calls of `score`.
    for size in [1, 3, 7] {
        let mut part = Batch::new(Arc::clone(&model), Options::default());
        for (i, rows) in rows.chunks(size).enumerate().rev() {
            part.clear();
            part.set_first_row((i * size) as u64);
            for row in rows {
                part.push(row);
                part.score();
            }
            for row in 0..rows.len() {
                assert_eq!(part.preds(row), whole.preds(i * size + row), "{size}: {i} {row}");
            }
        }
    }
}

#[test]
fn a_reconstruction_is_there_when_asked_for() {
    let model = case("glrm_quadratic");
    let columns = model.schema().columns().to_vec();
    for reconstruct in [false, true] {
        let mut batch =
            Batch::new(Arc::clone(&model), Options { reconstruct, ..Options::default() });
        rows(&model, 3).iter().for_each(|row| batch.push(row));
        batch.score();
        for row in 0..3 {
            let Ok(Output::Dimensions { dimensions, reconstructed }) = batch.output(row) else {
                panic!("{row}")
            };
            assert_eq!((dimensions.len(), reconstructed.is_some()), (3, reconstruct));
            for (value, column) in reconstructed.unwrap_or_default().iter().zip(&columns) {
                let is_level = (0..column.levels.len()).any(|level| level as f64 == *value);
                assert!(is_level || column.levels.is_empty(), "{}: {value}", column.name);
            }
        }
    }
}

#[test]
fn words_come_from_any_column() {
    let model = case("word2vec");
    assert!(model.schema().is_open());
    assert!(model.schema().columns().is_empty());
    let mut batch = Batch::new(Arc::clone(&model), Options::default());
    batch.push(&[Cell::Text("w1"), Cell::Text("no word"), Cell::Text("back\\slash")]);
    batch.push(&[]);
    batch.push(&[Cell::Text("w1"), Cell::Number(1.0), Cell::Absent]);
    batch.score();
    let row = |row: usize| match batch.output(row) {
        Ok(Output::Embeddings { vectors, average }) => (vectors.to_vec(), average.to_vec()),
        other => panic!("{other:?}"),
    };
    let (vectors, average) = row(0);
    assert_eq!((vectors.len(), average.len()), (24, 8));
    assert!(vectors[8..16].iter().all(|x| x.is_nan()));
    for i in 0..8 {
        assert_eq!(average[i], f32::midpoint(vectors[i], vectors[16 + i]));
    }
    let (nothing, average) = row(1);
    assert!(nothing.is_empty() && average.iter().all(|x| x.is_nan()));
    let (alone, average) = row(2);
    assert_eq!((&alone[..8], &average[..]), (&vectors[..8], &vectors[..8]));
}

#[test]
fn raw_rows_answer_as_the_rows_they_come_from() {
    for id in ["gbm_bernoulli", "drf_enc_onehotexplicit", "glm_binomial", "glrm_simplex"] {
        let model = case(id);
        let mut cells = Batch::new(Arc::clone(&model), Options::default());
        rows(&model, 5).iter().for_each(|row| cells.push(row));
        cells.score();
        let raw: Vec<f64> = (0..5).flat_map(|row| cells.raw(row)).copied().collect();
        assert_eq!(raw.len(), 5 * model.raw_len(), "{id}");
        let mut batch = Batch::new(Arc::clone(&model), Options::default());
        let (first, rest) = raw.split_at(2 * model.raw_len());
        batch.push_raw(first);
        batch.score();
        batch.push_raw(rest);
        batch.score();
        assert_eq!(batch.len(), 5, "{id}");
        for row in 0..5 {
            assert_eq!(batch.preds(row), cells.preds(row), "{id}: {row}");
            assert_eq!(batch.output(row), cells.output(row), "{id}: {row}");
        }
    }
}
