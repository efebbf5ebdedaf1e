//! `Word2Vec`: a vector per word.
//!
//! In `model.ini`: `vocab_size`, `vec_size`. In `vocabulary`: a word per line, line ends escaped,
//! blanks at the ends lost. In `vectors`: `vocab_size x vec_size` big-endian `f32`s, row-major.
//!
//! Every text of a row is a word, whatever its column is called; other values, and words that are
//! not in the vocabulary, have no vector. The average is the `f32` sum of the vectors there are in
//! the order of the columns' names, divided by their number, and NaN where there is none.
//! Version 1.00. Source: `Word2VecMojoReader`, `Word2VecMojoModel`,
//! `EasyPredictModelWrapper.predictWord2Vec`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::encode::Cell;
use crate::error::LoadError;
use crate::ini::java_trim;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct Word2Vec {
    words: HashMap<String, usize>,
    /// Row-major, words x dims.
    vectors: Vec<f32>,
    dims: usize,
}

impl Word2Vec {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let (n, dims) = (reader.ini().usize("vocab_size")?, reader.ini().usize("vec_size")?);
        let bytes = reader.blob("vectors")?;
        let expected = n.checked_mul(dims).and_then(|n| n.checked_mul(4));
        // Without words any number of dimensions would do.
        if n == 0 || dims == 0 || expected != Some(bytes.len()) {
            let reason = format!("{} bytes, expected {n} x {dims} floats", bytes.len());
            return Err(reader.bad_entry("vectors", reason));
        }
        let lines = reader.lines("vocabulary", n, true)?;
        let words = lines.into_iter().enumerate();
        let words: HashMap<String, usize> =
            words.map(|(index, word)| (java_trim(&word).to_owned(), index)).collect();
        if words.len() != n {
            let reason = format!("{} different words, expected {n}", words.len());
            return Err(reader.bad_entry("vocabulary", reason));
        }
        let float = |chunk: &[u8]| f32::from_be_bytes(chunk.try_into().unwrap_or([0; 4]));
        let vectors = bytes.chunks_exact(4).map(float).collect();
        Ok(Self { words, vectors, dims })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let words: usize = self.words.keys().map(|w| w.len() + size_of::<(String, usize)>()).sum();
        words + size_of_val(self.vectors.as_slice())
    }

    /// Length of each vector.
    pub(crate) fn dims(&self) -> usize {
        self.dims
    }

    fn vector(&self, cell: Cell<'_>) -> Option<&[f32]> {
        let Cell::Text(word) = cell else { return None };
        self.words.get(word).map(|&index| &self.vectors[index * self.dims..][..self.dims])
    }
}

/// The vectors of a batch's rows.
#[derive(Debug, Default)]
pub(crate) struct Embeddings {
    /// Row after row, a vector per cell.
    vectors: Vec<f32>,
    /// End of each row in `vectors`.
    ends: Vec<usize>,
    /// Row-major, rows x dims.
    averages: Vec<f32>,
    /// Names of each row's cells, where they are known; rows in a run share one list.
    names: Vec<Arc<[String]>>,
}

impl Embeddings {
    pub(crate) fn clear(&mut self) {
        self.vectors.clear();
        self.ends.clear();
        self.averages.clear();
        self.names.clear();
    }

    /// Adds a row whose cells come in any order.
    pub(crate) fn push_named(&mut self, model: &Word2Vec, cells: &[(&str, Cell<'_>)]) {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|&place| cells[place].0);
        let names = || order.iter().map(|&place| cells[place].0);
        let known = match self.names.last() {
            Some(last) if last.iter().map(String::as_str).eq(names()) => Arc::clone(last),
            _ => names().map(str::to_owned).collect(),
        };
        let cells: Vec<Cell<'_>> = order.iter().map(|&place| cells[place].1).collect();
        self.push(model, &cells);
        self.names.resize_with(self.ends.len() - 1, || Arc::from([]));
        self.names.push(known);
    }

    /// Names of a row's cells, in the order of its vectors; none if nobody told.
    pub(crate) fn names(&self, row: usize) -> &[String] {
        self.names.get(row).map_or(&[], |names| names)
    }

    /// Adds a row. `cells`: in the order of their columns' names.
    pub(crate) fn push(&mut self, model: &Word2Vec, cells: &[Cell<'_>]) {
        let start = self.averages.len();
        self.averages.resize(start + model.dims, 0.0);
        let average = &mut self.averages[start..];
        let mut known = 0_u32;
        for &cell in cells {
            let Some(vector) = model.vector(cell) else {
                self.vectors.resize(self.vectors.len() + model.dims, f32::NAN);
                continue;
            };
            self.vectors.extend_from_slice(vector);
            known += 1;
            for (sum, x) in average.iter_mut().zip(vector) {
                *sum += x;
            }
        }
        // Of no vector at all: 0 / 0, NaN.
        average.iter_mut().for_each(|sum| *sum /= known as f32);
        self.ends.push(self.vectors.len());
    }

    /// The vectors of a row's cells behind each other, and their average.
    pub(crate) fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let dims = self.averages.len() / self.ends.len();
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.vectors[start..self.ends[row]], &self.averages[row * dims..][..dims])
    }
}
