//! However rows are cut into batches, in whatever order these are scored and by however many
//! threads: a row has one answer, bit for bit, explanations included. Over every case of the corpus.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use stemson_mojo::{Batch, LeafAssignment, Model, Options, Output};

use super::corpus::{TextRow, csv, folders, load, text_cells};

/// More than two blocks of rows that go through the trees together.
const ROWS: usize = 600;
/// Rows that are explained.
const EXPLAINED: usize = 24;

/// A way to score rows.
#[derive(Debug, Clone)]
struct Cuts {
    /// Sizes of the batches, round and round.
    sizes: Vec<usize>,
    /// Batches are scored in an order that this decides.
    shuffle: u64,
    threads: usize,
    /// Rows between two calls of `score` inside a batch.
    step: usize,
}

impl Cuts {
    fn any() -> impl Strategy<Value = Self> {
        let sizes = prop::collection::vec(prop_oneof![1..8_usize, 1..300_usize], 1..6);
        (sizes, any::<u64>(), 1..=4_usize, 1..400_usize)
            .prop_map(|(sizes, shuffle, threads, step)| Self { sizes, shuffle, threads, step })
    }

    /// Starts and ends.
    fn batches(&self, rows: usize) -> Vec<(usize, usize)> {
        let mut ranges = Vec::new();
        let mut start = 0;
        for &size in self.sizes.iter().cycle() {
            if start >= rows {
                break;
            }
            ranges.push((start, rows.min(start + size)));
            start += size;
        }
        let place = |&(start, _): &(usize, usize)| {
            (start as u64 ^ self.shuffle).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        };
        ranges.sort_by_key(place);
        ranges
    }
}

/// The answers of all rows, each as a list of bits.
fn score(model: &Arc<Model>, rows: &[&TextRow], options: Options, cuts: &Cuts) -> Vec<Vec<u64>> {
    let answers = Mutex::new(vec![Vec::new(); rows.len()]);
    let batches = Mutex::new(cuts.batches(rows.len()).into_iter());
    let work = || {
        let mut batch = Batch::new(Arc::clone(model), options);
        loop {
            let Some((start, end)) = batches.lock().unwrap().next() else { return };
            batch.clear();
            batch.set_first_row(start as u64);
            for (place, row) in rows[start..end].iter().enumerate() {
                batch.push(&text_cells(model, row));
                if (place + 1).is_multiple_of(cuts.step) {
                    batch.score();
                }
            }
            batch.score();
            for row in start..end {
                let answer = answer(&batch, row - start);
                answers.lock().unwrap()[row] = answer;
            }
        }
    };
    thread::scope(|scope| (0..cuts.threads).for_each(|_| drop(scope.spawn(work))));
    answers.into_inner().unwrap()
}

/// Everything that the batch says of a row.
fn answer(batch: &Batch, row: usize) -> Vec<u64> {
    let mut bits = Bits::default();
    bits.doubles(batch.raw(row));
    bits.doubles(batch.distances(row).unwrap_or_default());
    bits.doubles(batch.staged(row).unwrap_or_default());
    bits.floats(batch.contributions(row).unwrap_or_default());
    bits.0.extend(batch.leaf_ids(row).unwrap_or_default().iter().map(|&id| u64::from(id as u32)));
    for path in batch.leaf_paths(row).into_iter().flatten() {
        bits.text(path.unwrap_or("none"));
    }
    match batch.output(row) {
        Err(refused) => bits.text(&format!("{refused:?}")),
        Ok(output) => {
            bits.doubles(batch.preds(row));
            bits.output(output);
        }
    }
    bits.0
}

#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// NaNs are one.
    fn double(&mut self, x: f64) {
        self.0.push(if x.is_nan() { u64::MAX } else { x.to_bits() });
    }

    fn doubles(&mut self, values: &[f64]) {
        self.0.push(values.len() as u64);
        values.iter().for_each(|&x| self.double(x));
    }

    fn floats(&mut self, values: &[f32]) {
        self.0.push(values.len() as u64);
        values.iter().for_each(|&x| self.double(x.into()));
    }

    fn text(&mut self, text: &str) {
        self.0.extend(text.bytes().map(u64::from));
    }

    fn output(&mut self, output: Output<'_>) {
        match output {
            Output::Classes { index, p, calibrated } => {
                self.0.push(index as u64);
                self.doubles(p);
                self.doubles(calibrated.unwrap_or_default());
            }
            Output::Value(value) => self.double(value),
            Output::Anomaly { is_anomaly, score, normalized } => {
                self.text(&format!("{is_anomaly:?}"));
                self.doubles(&[score, normalized]);
            }
            Output::Uplift(p) | Output::Transformations(p) => self.doubles(p),
            Output::KLime { value, cluster, reason_codes } => {
                self.0.push(cluster as u64);
                self.double(value);
                self.doubles(reason_codes);
            }
            Output::Cluster(cluster) => self.0.push(u64::from(cluster as u32)),
            Output::Dimensions { dimensions, reconstructed } => {
                self.doubles(dimensions);
                self.doubles(reconstructed.unwrap_or_default());
            }
            Output::Reconstruction { original, reconstructed, mse } => {
                self.doubles(original);
                self.doubles(reconstructed);
                self.double(mse);
            }
            Output::Embeddings { vectors, average } => {
                self.floats(vectors);
                self.floats(average);
            }
            other => panic!("{other:?} is not compared"),
        }
    }
}

/// One case: all rows in one batch against row by row and against any cuts.
fn check(folder: &Path) {
    let model = load(folder);
    let rows = csv(&folder.join("input.csv"));
    let explained = Options {
        strict: true,
        contributions: true,
        leaf_assignment: Some(LeafAssignment::Paths),
        staged: true,
        ..Options::default()
    };
    let asked = [
        (ROWS, Options { distances: true, reconstruct: true, ..Options::default() }),
        (EXPLAINED, explained),
        (EXPLAINED, Options { leaf_assignment: Some(LeafAssignment::Ids), ..explained }),
    ];
    for (n, options) in asked {
        // A long run of rows, each one a few times at different places.
        let rows: Vec<&TextRow> = rows.iter().cycle().take(n).collect();
        let one = |sizes| Cuts { sizes, shuffle: 0, threads: 1, step: usize::MAX };
        let whole = score(&model, &rows, options, &one(vec![n]));
        let same = |cuts: &Cuts| {
            let found = score(&model, &rows, options, cuts);
            let other = (0..n).find(|&row| found[row] != whole[row]);
            prop_assert!(other.is_none(), "{}: row {other:?}, {cuts:?}", folder.display());
            Ok(())
        };
        same(&one(vec![1])).unwrap();
        let config = ProptestConfig { cases: 4, failure_persistence: None, ..Default::default() };
        TestRunner::new(config).run(&Cuts::any(), |cuts| same(&cuts)).unwrap();
    }
}

#[test]
fn a_row_has_one_answer_however_rows_are_cut() {
    let folders = folders();
    assert!(folders.len() >= 200, "{} cases", folders.len());
    let next = Mutex::new(folders.iter());
    let work = || {
        loop {
            let Some(folder) = next.lock().unwrap().next() else { return };
            check(folder);
        }
    };
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
}

/// The test above would notice: GLRM answers by the row's number.
#[test]
fn another_number_is_another_answer() {
    let folder = folders().into_iter().find(|it| it.ends_with("glrm_quadratic")).unwrap();
    let (model, rows) = (load(&folder), csv(&folder.join("input.csv")));
    let answers = [0, 1].map(|first| {
        let mut batch = Batch::new(Arc::clone(&model), Options::default());
        batch.set_first_row(first);
        batch.push(&text_cells(&model, &rows[0]));
        batch.score();
        answer(&batch, 0)
    });
    assert_ne!(answers[0], answers[1]);
}
