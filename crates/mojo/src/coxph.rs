//! Cox proportional hazards: the logarithm of a hazard ratio, centred.
//!
//! `lp = sum of the levels' coefficients + sum of coefficient x number - base of the stratum +
//! offset`; the base is the same sum over the training means of the stratum.
//!
//! In `model.ini`: `coef` (levels, then numbers), `cats`, `cat_offsets`, `use_all_factor_levels`,
//! `strata_count` and `strata_{i}` (the codes of stratum `i`). As big-endian doubles: `x_mean_cat`
//! and `x_mean_num`, a row of means per stratum, `.._size1` rows of `.._size2`. The raw row is the
//! columns of the strata, the categorical ones, the numeric ones; what follows (`__strata`, start and
//! stop times) has no say. A missing level makes the answer NaN, with `use_all_factor_levels` the
//! row is refused; a missing stratum counts as code 0, one that training did not see is refused.
//!
//! Three layouts share version 1.00:
//!
//! - up to 3.36 the numbers' coefficients lie behind each other;
//! - later `num_numerical_columns` and `num_offsets` say where each column's coefficient is;
//! - `interactions_1`, `interactions_2`, `interaction_targets` name pairs of columns and the column
//!   that their interaction fills when the caller leaves it missing: two numbers multiply; two levels
//!   `a` and `b` give level `a_b`; a level and a number give the number, and the level chooses the
//!   coefficient. genmodel counts that last column from `cats` without the strata, and so do the
//!   answers here.
//!
//! Sources: `CoxPHMojoReader`, `CoxPHMojoModel`.

mod read;

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{RowError, RowErrorKind};

#[derive(Debug)]
pub(crate) struct CoxPh {
    coefficients: Vec<f64>,
    /// Start of each categorical column's coefficients, and their end.
    cat_offsets: Vec<usize>,
    all_levels: bool,
    /// The stratum of the codes; empty if there is one for all.
    strata: HashMap<Vec<i32>, usize>,
    /// Columns that make the stratum, first in the raw row.
    strata_len: usize,
    /// Sum over the means of each stratum.
    bases: Vec<f64>,
    numbers: Numbers,
    interactions: Vec<Interaction>,
    /// Categorical columns whose levels all have a coefficient, as interactions do.
    is_interaction: Vec<bool>,
}

#[derive(Debug)]
enum Numbers {
    /// Coefficients behind each other, this many.
    InLine(usize),
    /// Place of each numeric column's coefficient; beyond the coefficients the sum ends.
    Placed(Vec<usize>),
}

/// Places are those of the raw row.
#[derive(Debug)]
struct Interaction {
    target: usize,
    kind: InteractionKind,
}

#[derive(Debug)]
enum InteractionKind {
    Numbers(usize, usize),
    Levels {
        columns: [usize; 2],
        domains: [Arc<[String]>; 2],
        /// Code of the levels joined.
        joined: HashMap<String, usize>,
    },
    LevelAndNumber {
        level: usize,
        number: usize,
        /// Numeric column whose coefficient the level chooses; `None`: genmodel throws.
        place: Option<usize>,
    },
}

/// The row with its interactions, and the coefficients they choose.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    row: Vec<f64>,
    chosen: Vec<Option<usize>>,
    joined: String,
    /// Of the row's stratum.
    codes: Vec<i32>,
}

impl CoxPh {
    pub(crate) fn memory_bytes(&self) -> usize {
        let doubles = self.coefficients.len() + self.bases.len();
        8 * doubles + self.strata.len() * (self.strata_len * 4 + 48)
    }

    /// Columns of the raw row that a caller may well leave out: interactions, which are computed
    /// then, and those behind the numbers, which have no say.
    pub(crate) fn may_be_left_out(&self, column: usize) -> bool {
        let numbers = match &self.numbers {
            Numbers::InLine(n) => *n,
            Numbers::Placed(places) => places.len(),
        };
        let used = self.strata_len + self.cat_offsets.len() - 1 + numbers;
        column >= used || self.interactions.iter().any(|pair| pair.target == column)
    }

    /// `raw`: the row, model order, NaN = missing. `preds`: `[lp]`.
    pub(crate) fn score(
        &self,
        raw: &[f64],
        offset: f64,
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        let Scratch { row, chosen, joined, codes } = scratch;
        chosen.clear();
        let row = if self.interactions.is_empty() {
            raw
        } else {
            row.clear();
            row.extend_from_slice(raw);
            self.interact(row, chosen, joined)?;
            row
        };
        let stratum = self.stratum(row, codes)?;
        let features = &row[self.strata_len..];
        let cats = self.cat_offsets.len() - 1;
        let levels = self.levels(&features[..cats])?;
        preds[0] = levels + self.numbers(&features[cats..], chosen) - self.bases[stratum] + offset;
        Ok(())
    }

    fn stratum(&self, row: &[f64], codes: &mut Vec<i32>) -> Result<usize, RowError> {
        if self.strata.is_empty() {
            return Ok(0);
        }
        codes.clear();
        codes.extend(row[..self.strata_len].iter().map(|&code| code as i32));
        self.strata
            .get(codes.as_slice())
            .copied()
            .ok_or_else(|| refused(format!("training saw no stratum with the codes {codes:?}")))
    }

    fn levels(&self, levels: &[f64]) -> Result<f64, RowError> {
        let mut sum = 0.0;
        for (column, &level) in levels.iter().enumerate() {
            if !self.all_levels {
                if level.is_nan() {
                    sum = f64::NAN;
                    continue;
                }
                if level < 0.0 {
                    continue;
                }
            }
            let base = if self.all_levels || self.is_interaction[column] { 0.0 } else { 1.0 };
            let index = (level - base) as i64;
            if index as f64 != level - base {
                return Err(refused("categorical value out of range".to_owned()));
            }
            let (from, to) = (self.cat_offsets[column], self.cat_offsets[column + 1]);
            let place = usize::try_from(index).ok().and_then(|index| from.checked_add(index));
            // A level that training did not see has no coefficient.
            sum += place.filter(|&place| place < to).map_or(0.0, |place| self.coefficients[place]);
        }
        Ok(sum)
    }

    fn numbers(&self, numbers: &[f64], chosen: &[Option<usize>]) -> f64 {
        let mut sum = 0.0;
        match &self.numbers {
            Numbers::InLine(n) => {
                let first = self.cat_offsets[self.cat_offsets.len() - 1];
                for (coefficient, number) in self.coefficients[first..][..*n].iter().zip(numbers) {
                    sum += coefficient * number;
                }
            }
            Numbers::Placed(places) => {
                for (i, (&place, number)) in places.iter().zip(numbers).enumerate() {
                    let place = chosen.get(i).copied().flatten().unwrap_or(place);
                    let Some(coefficient) = self.coefficients.get(place) else { break };
                    sum += coefficient * number;
                }
            }
        }
        sum
    }

    /// Fills the missing targets of `row`, and the coefficient that each numeric column takes in
    /// place of its own.
    fn interact(
        &self,
        row: &mut [f64],
        chosen: &mut Vec<Option<usize>>,
        text: &mut String,
    ) -> Result<(), RowError> {
        let Numbers::Placed(places) = &self.numbers else { return Ok(()) };
        chosen.resize(places.len(), None);
        for Interaction { target, kind } in &self.interactions {
            if !row[*target].is_nan() {
                continue;
            }
            match kind {
                InteractionKind::Numbers(a, b) => row[*target] = row[*a] * row[*b],
                InteractionKind::Levels { columns, domains, joined } => {
                    let levels = [0, 1].map(|i| domains[i].get(row[columns[i]] as usize));
                    let [Some(a), Some(b)] = levels else {
                        return Err(refused("categorical value out of range".to_owned()));
                    };
                    text.clear();
                    text.extend([a, "_", b]);
                    row[*target] = joined.get(text).map_or(-1.0, |&code| code as f64);
                }
                InteractionKind::LevelAndNumber { level, number, place } => {
                    let Some(place) = *place else {
                        return Err(refused(format!(
                            "genmodel does not find the coefficients of interaction column {target}"
                        )));
                    };
                    let base = i64::from(!self.all_levels);
                    let code = i64::from(row[*level] as i32) - base;
                    row[*target] = if code < 0 { 0.0 } else { row[*number] };
                    chosen[place] = usize::try_from(code + places[place] as i64).ok();
                }
            }
        }
        Ok(())
    }
}

fn refused(message: String) -> RowError {
    RowError { kind: RowErrorKind::Model, column: None, message }
}
