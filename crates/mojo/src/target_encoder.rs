//! Target Encoder: a level's mean response in place of the level.
//!
//! In `model.ini`: `with_blending`, and where that is true `inflection_point` and `smoothing`. In
//! `feature_engineering/target_encoding/`:
//! - `encoding_map.ini`: a section `[column]` per encoded column, lines `category = sum count`, and
//!   with more than two classes `category = sum count class`;
//! - `input_encoding_columns_map.ini`: blocks `[from]` columns, `[to]` encoded column and, where
//!   several columns interact, `[to_domain]` the positional codes of the level pairs, rising;
//! - `input_output_columns_map.ini`: blocks `[from]`, `[to]` with the names of the answer's columns;
//! - `te_column_name_to_missing_values_presence.ini`: `column = 1` if training saw missing values.
//!
//! A level's answer is `sum / count`, and with blending `l * sum / count + (1 - l) * prior` with
//! `l = 1 / (1 + exp((inflection_point - count) / smoothing))` and `prior` = all sums over all
//! counts of the column. A missing value has the answer of the last category if training saw
//! missing values, else the prior. Of `n` classes all but the first have an answer; two classes or
//! a number have one. Nothing depends on the row, so that all answers are computed at load time.
//!
//! The code of an interaction is `sum of level_i * product of (levels_j + 1) for j < i`, a missing
//! level counting as the one behind the last; a code that `[to_domain]` lacks is missing.
//!
//! Version 1.00. Old files have no column maps: each encoded column stands for itself, and
//! the answers come in the order of a `java.util.HashMap`. Where genmodel runs into a null for every
//! row, the file is refused here; where it does for some rows, these are.
//! Source: `TargetEncoderMojoReader`, `TargetEncoderMojoModel`, `EncodingMap`.

mod read;

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::head::Head;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct TargetEncoder {
    encodings: Vec<Encoding>,
    /// Answers per encoded column.
    per_column: usize,
    blended: bool,
    output_columns: Vec<String>,
}

/// One encoded column.
#[derive(Debug)]
struct Encoding {
    name: String,
    source: Source,
    /// The categories that have answers, rising.
    categories: Vec<i32>,
    /// Row-major, categories x answers.
    answers: Vec<f64>,
    /// Answers of a missing value.
    missing: Option<Vec<f64>>,
}

/// Where a category comes from.
#[derive(Debug)]
enum Source {
    /// This place of the raw row.
    Column(usize),
    /// The code of several places' levels, looked up among rising codes.
    Interaction { columns: Vec<(usize, usize)>, codes: Vec<i64> },
}

impl TargetEncoder {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        read::read(reader, head)
    }

    /// Number of answers.
    pub(crate) fn answers(&self) -> usize {
        self.encodings.len() * self.per_column
    }

    /// Names of the answers: `<column>_te`, with several classes `<column>_<class>_te`.
    pub(crate) fn output_columns(&self) -> &[String] {
        &self.output_columns
    }

    /// Whether there is no `exp` in the answers.
    pub(crate) fn is_exact(&self) -> bool {
        !self.blended
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = |encoding: &Encoding| {
            let codes = match &encoding.source {
                Source::Column(_) => 0,
                Source::Interaction { codes, .. } => size_of_val(codes.as_slice()),
            };
            let categories = size_of_val(encoding.categories.as_slice());
            codes + categories + size_of_val(encoding.answers.as_slice())
        };
        self.encodings.iter().map(bytes).sum()
    }

    /// `raw`: the row, model order, NaN = missing. `preds`: the answers, column by column.
    pub(crate) fn score(&self, raw: &[f64], preds: &mut [f64]) -> Result<(), RowError> {
        for (encoding, preds) in self.encodings.iter().zip(preds.chunks_exact_mut(self.per_column))
        {
            preds.copy_from_slice(encoding.find(raw, self.per_column)?);
        }
        Ok(())
    }
}

impl Encoding {
    fn find(&self, raw: &[f64], per_column: usize) -> Result<&[f64], RowError> {
        let category = match &self.source {
            Source::Column(column) => {
                let value = raw[*column];
                // Levels are whole numbers from 0 on.
                (!value.is_nan()).then_some(value as i32)
            }
            Source::Interaction { columns, codes } => {
                codes.binary_search(&interaction(raw, columns)).ok().map(|place| place as i32)
            }
        };
        match category {
            None => self
                .missing
                .as_deref()
                .ok_or_else(|| self.refusal("does not say how it encodes missing values")),
            Some(category) => match self.place(category) {
                Some(place) => Ok(&self.answers[place * per_column..][..per_column]),
                None => Err(self.refusal(&format!("has no encoding of level {category}"))),
            },
        }
    }

    /// Most columns have an answer for every level, so that level and place are one.
    fn place(&self, category: i32) -> Option<usize> {
        let own = usize::try_from(category).ok();
        own.filter(|&own| self.categories.get(own) == Some(&category))
            .or_else(|| self.categories.binary_search(&category).ok())
    }

    fn refusal(&self, what: &str) -> RowError {
        RowError {
            kind: RowErrorKind::Model,
            column: Some(self.name.clone()),
            message: format!("column `{}`: the model {what}", self.name),
        }
    }
}

/// The positional code of several levels. `columns`: place in the raw row, number of levels.
///
/// Java adds a double to a long by way of doubles, and multiplies longs without a look at overflow.
fn interaction(raw: &[f64], columns: &[(usize, usize)]) -> i64 {
    let (mut code, mut unit) = (0_i64, 1_i64);
    for &(column, levels) in columns {
        let last = levels as f64;
        let level = if raw[column].is_nan() || raw[column] >= last { last } else { raw[column] };
        code = (code as f64 + unit as f64 * level) as i64;
        unit = unit.wrapping_mul((levels as i64).wrapping_add(1));
    }
    code
}
