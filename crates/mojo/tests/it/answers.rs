//! Answers that are kept as bytes and given again: for every model of the corpus, with everything
//! that can be asked, they are the ones that scoring gives.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use stemson_mojo::{Batch, Cell, LeafAssignment, LoadOptions, Model, Options, Part, Values};

const ROWS: u64 = 24;

fn corpus() -> Vec<(String, Arc<Model>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    let index = fs::read_to_string(root.join("index.csv")).unwrap();
    let ids = index.lines().skip(1).filter_map(|line| line.split(',').next());
    ids.map(|id| {
        let bytes = fs::read(root.join(id).join("model.zip")).unwrap();
        let options = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
        (id.to_owned(), Arc::new(Model::load(&bytes, &options).unwrap()))
    })
    .collect()
}

/// A number that says nothing about its neighbours.
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (n ^ (n >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d) >> 8
}

fn cell(model: &Model, column: usize, row: u64) -> Cell<'static> {
    let draw = mixed(row << 20 | column as u64);
    let levels = model.schema().columns()[column].levels.len() as u64;
    match (draw % 7, levels) {
        (0, _) => Cell::Absent,
        (1, _) => Cell::Text("no such level, no such number"),
        (2, 0) => Cell::Number(-0.0),
        (_, 0) => Cell::Number((draw >> 8) as f64 / 1e12 - 3.0),
        (_, levels) => Cell::Level(((draw >> 8) % levels) as u32),
    }
}

fn filled(model: &Arc<Model>, options: Options) -> Batch {
    let mut batch = Batch::new(Arc::clone(model), options);
    for row in 0..ROWS {
        let columns = model.schema().columns().len();
        let cells: Vec<_> = (0..columns).map(|column| cell(model, column, row)).collect();
        batch.push(&cells);
    }
    batch
}

fn asked() -> [Options; 4] {
    let explained = Options {
        distances: true,
        contributions: true,
        staged: true,
        leaf_assignment: Some(LeafAssignment::Paths),
        ..Options::default()
    };
    [
        Options::default(),
        Options { strict: true, ..Options::default() },
        explained,
        Options { leaf_assignment: Some(LeafAssignment::Ids), ..Options::default() },
    ]
}

/// The parts that the model has of what is asked.
fn parts(model: &Model, asked: Options) -> Vec<Part> {
    let plain = Options::default();
    let mut parts = model.parts(plain).unwrap();
    for one in [
        Options { distances: asked.distances, ..plain },
        Options { contributions: asked.contributions, ..plain },
        Options { staged: asked.staged, ..plain },
        Options { leaf_assignment: asked.leaf_assignment, ..plain },
    ] {
        let more = model.parts(one).unwrap_or_default();
        parts.extend(more.into_iter().filter(|part| !parts.contains(part)).collect::<Vec<_>>());
    }
    parts
}

/// All parts of all rows, in words; what a `f64` is in words is what it is.
fn told(batch: &Batch, options: Options) -> Vec<String> {
    let parts = parts(batch.model(), options);
    let told = |row| match batch.output(row) {
        Err(error) => error.to_string(),
        Ok(_) => {
            let one = |part: &Part| match batch.part(row, *part) {
                Some(Values::Paths(paths)) => {
                    format!("{:?}", paths.collect::<Vec<_>>())
                }
                values => format!("{values:?}"),
            };
            parts.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    };
    (0..batch.len()).map(told).collect()
}

#[test]
fn answers_come_back_as_they_were_scored() {
    let mut given = 0;
    for (id, model) in corpus() {
        for options in asked() {
            let mut scored = filled(&model, options);
            scored.score();
            let expected = told(&scored, options);
            let kept: Vec<Option<Vec<u8>>> = (0..scored.len())
                .map(|row| {
                    let mut bytes = Vec::new();
                    let is_kept =
                        scored.row_bits(row, |_| {}) && scored.write_answer(row, &mut bytes);
                    assert_eq!(is_kept, !bytes.is_empty(), "{id}: half an answer");
                    is_kept.then_some(bytes)
                })
                .collect();
            for seed in 0..3 {
                let mut batch = filled(&model, options);
                while batch.scored() < batch.len() {
                    let draw = mixed(seed << 32 | batch.scored() as u64);
                    match &kept[batch.scored()] {
                        Some(bytes) if draw.is_multiple_of(2) => {
                            assert!(batch.fits_answer(bytes) && batch.put_answer(bytes), "{id}");
                            given += 1;
                        }
                        // Whoever has no answer is refused: with the reason, as another batch knows it,
                        // or since it is known here.
                        None if draw.is_multiple_of(3) => {
                            batch.put_refusal(scored.output(batch.scored()).err().cloned());
                        }
                        _ => batch.score_next(1 + (draw % 3) as usize),
                    }
                }
                let found = told(&batch, options);
                assert_eq!(found, expected, "{id}, {options:?}, seed {seed}");
            }
        }
    }
    assert!(given > 10_000, "{given} answers given");
}

#[test]
fn bytes_of_another_length_are_no_answer() {
    for (id, model) in corpus() {
        for options in asked() {
            let mut batch = filled(&model, options);
            batch.score();
            let mut bytes = Vec::new();
            let Some(row) = (0..batch.len()).find(|row| batch.write_answer(*row, &mut bytes))
            else {
                continue;
            };
            assert!(batch.fits_answer(&bytes), "{id}");
            let mut fresh = filled(&model, options);
            fresh.score_next(row);
            for bytes in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[]] {
                assert!(!batch.fits_answer(bytes), "{id}: {} bytes", bytes.len());
                assert!(!fresh.put_answer(bytes), "{id}: {} bytes", bytes.len());
            }
            assert_eq!(fresh.scored(), row, "{id}: nothing was given");
        }
    }
}

/// The bits that decide the answer to a row with these cells in one numeric column.
fn bits(model: &Arc<Model>, column: usize, cell: Cell<'_>) -> Option<Vec<u8>> {
    let mut cells = vec![Cell::Absent; model.schema().columns().len()];
    cells[column] = cell;
    let mut batch = Batch::new(Arc::clone(model), Options { strict: true, ..Options::default() });
    batch.push(&cells);
    let mut bits = Vec::new();
    batch.row_bits(0, |piece| bits.extend_from_slice(piece)).then_some(bits)
}

#[test]
fn spellings_of_one_value_meet_and_others_do_not() {
    let (_, model) = corpus().into_iter().find(|(_, model)| model.algorithm() == "gbm").unwrap();
    let columns = model.schema().columns();
    let number = columns.iter().position(|column| column.levels.is_empty()).unwrap();
    let of = |cell| bits(&model, number, cell).unwrap();
    let one = of(Cell::Number(1.0));
    for same in ["1", "1.0", "1e0", "0x1p0", " 1 "] {
        assert_eq!(of(Cell::Text(same)), one, "{same}");
    }
    assert_ne!(of(Cell::Number(0.0)), of(Cell::Number(-0.0)));
    let payload = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 0x4d);
    assert_eq!(of(Cell::Number(payload)), of(Cell::Absent));
    assert_eq!(bits(&model, number, Cell::Text("x")), None, "a refused row is not kept");
    let rest = [Cell::Number(2.0), Cell::Text("NaN"), Cell::Bool(true)];
    assert!(rest.into_iter().all(|cell| bits(&model, number, cell).is_none_or(|bits| bits != one)));
}

#[test]
fn what_does_not_follow_from_the_row_is_not_kept() {
    for (id, model) in corpus() {
        let mut batch = filled(&model, Options::default());
        batch.score();
        let is_kept = (0..batch.len()).any(|row| batch.row_bits(row, |_| {}));
        let never = matches!(model.algorithm(), "glrm" | "word2vec");
        assert_eq!(is_kept, !never, "{id}");
        assert_eq!(model.has_repeatable_answers(), !never, "{id}");
    }
}
