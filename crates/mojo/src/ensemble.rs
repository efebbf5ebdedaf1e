//! Stacked Ensemble: base models whose predictions are the row of a metalearner.
//!
//! | entry | meaning |
//! | --- | --- |
//! | `base_models_num`, `base_model0`, ... | keys of the base models; a hole is one that the metalearner has no use for |
//! | `metalearner` | key of the metalearner |
//! | `metalearner_transform` | `NONE`, or `Logit` (1.01 and later): classification only |
//!
//! A base model gives p1 (two classes), all probabilities (more), or the value (regression); a
//! hole gives 0. Base models see the ensemble's raw row by column name, and no offset.
//! Source: `StackedEnsembleMojoReader`, `StackedEnsembleMojoModel`.

use std::collections::HashMap;

use crate::error::{LoadError, RowError};
use crate::head::Head;
use crate::link::{java_max, java_min};
use crate::math::log;
use crate::reader::Reader;
use crate::scorer::{self, Scorer};
use crate::submodels::{Submodel, Submodels, first_places};

/// Rows that go through all models before the next ones are taken.
const BLOCK: usize = 1024;

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    offsets: Vec<f64>,
    /// Rows as a base model sees them.
    mapped: Vec<f64>,
    base_preds: Vec<f64>,
    /// Rows as the metalearner sees them.
    stacked: Vec<f64>,
}

#[derive(Debug)]
pub(crate) struct Ensemble {
    bases: Vec<Option<Base>>,
    metalearner: Box<Scorer>,
    logit: bool,
    /// Predictions of a base model that the metalearner sees: their start and number.
    from: usize,
    per_base: usize,
}

#[derive(Debug)]
struct Base {
    scorer: Scorer,
    /// Place of each of its columns in the ensemble's raw row.
    places: Vec<usize>,
}

impl Ensemble {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let logit = match ini.text("metalearner_transform") {
            None | Some("NONE") => false,
            Some("Logit") => true,
            Some(other) => {
                return Err(LoadError::BadValue {
                    key: "metalearner_transform".to_owned(),
                    found: crate::ini::shorten(other),
                    expected: "`NONE` or `Logit`".to_owned(),
                });
            }
        };
        let (from, per_base) = match head.n_classes {
            1 => (0, 1),
            2 => (2, 1),
            classes => (1, classes),
        };
        let preds_len = head.n_classes + usize::from(head.n_classes > 1);
        let mut models = Submodels::read(reader)?;
        let metalearner = models.take(reader, "metalearner")?;
        let n_bases = ini.optional_usize("base_models_num")?.unwrap_or(0);
        if n_bases.checked_mul(per_base) != Some(metalearner.scorer.width) {
            return Err(LoadError::BadValue {
                key: "base_models_num".to_owned(),
                found: n_bases.to_string(),
                expected: format!(
                    "{}, the columns of the metalearner",
                    metalearner.scorer.width / per_base
                ),
            });
        }
        // Features only: a name that is the response's is no input.
        let names = first_places(&ini.columns[..head.n_features]);
        let mut bases = Vec::new();
        for i in 0..n_bases {
            let key = format!("base_model{i}");
            let base = models.take_optional(reader, &key)?;
            let base = base.map(|base| Self::base(base, &names, preds_len, &key)).transpose()?;
            bases.push(base);
        }
        let metalearner = Box::new(metalearner.answering(head, "metalearner")?);
        Ok(Self { bases, metalearner, logit: logit && head.n_classes > 1, from, per_base })
    }

    fn base(
        base: Submodel,
        names: &HashMap<&str, usize>,
        preds_len: usize,
        key: &str,
    ) -> Result<Base, LoadError> {
        same_preds(&base.scorer, preds_len, key)?;
        Ok(Base { places: base.places(names)?, scorer: base.scorer })
    }

    pub(crate) fn is_exact(&self) -> bool {
        let bases = || self.bases.iter().flatten().map(|base| &base.scorer);
        !self.logit && bases().chain([&*self.metalearner]).all(|s| s.algorithm.is_exact())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let bases = self.bases.iter().flatten().map(|base| base.scorer.algorithm.memory_bytes());
        bases.sum::<usize>() + self.metalearner.algorithm.memory_bytes()
    }

    /// Scores rows that lie behind each other; see [`Scorer::score_rows`].
    ///
    /// Block by block, so that what base models say is still in the cache when the metalearner
    /// looks; each base model scores its block as it would score a batch.
    pub(crate) fn score_rows(
        &self,
        raw: &[f64],
        width: usize,
        preds: &mut [f64],
        scratch: &mut scorer::Scratch,
        refuse: &mut dyn FnMut(usize, RowError),
    ) {
        // Taken out, as a base model may be an ensemble, too.
        let mut own = std::mem::take(&mut scratch.ensemble);
        let (first, stride) = (scratch.row, self.metalearner.preds_len);
        let blocks = raw.chunks(BLOCK * width).zip(preds.chunks_mut(BLOCK * stride));
        for (block, (raw, preds)) in blocks.enumerate() {
            let start = block * BLOCK;
            scratch.row = first.wrapping_add(start as u64);
            let refuse = &mut |row, error| refuse(start + row, error);
            self.score_block(raw, width, preds, &mut own, scratch, refuse);
        }
        scratch.row = first;
        scratch.ensemble = own;
    }

    fn score_block(
        &self,
        raw: &[f64],
        width: usize,
        preds: &mut [f64],
        own: &mut Scratch,
        scratch: &mut scorer::Scratch,
        refuse: &mut dyn FnMut(usize, RowError),
    ) {
        let rows = raw.len() / width;
        let stacked_width = self.metalearner.width;
        let Scratch { offsets, mapped, base_preds, stacked } = own;
        offsets.resize(rows, 0.0);
        stacked.clear();
        stacked.resize(rows * stacked_width, 0.0);
        for (i, base) in self.bases.iter().enumerate() {
            let Some(base) = base else { continue };
            let stride = base.scorer.preds_len;
            base_preds.clear();
            base_preds.resize(rows * stride, 0.0);
            let seen: &[f64] = if base.places.iter().copied().eq(0..width) {
                raw
            } else {
                mapped.clear();
                for row in raw.chunks_exact(width) {
                    mapped.extend(base.places.iter().map(|&place| row[place]));
                }
                mapped.as_slice()
            };
            base.scorer.score_rows(seen, offsets, base_preds, scratch, &mut *refuse);
            let rows = stacked.chunks_exact_mut(stacked_width).zip(base_preds.chunks_exact(stride));
            for (stacked, preds) in rows {
                stacked[i * self.per_base..][..self.per_base]
                    .copy_from_slice(&preds[self.from..][..self.per_base]);
            }
        }
        if self.logit {
            stacked.iter_mut().for_each(|p| *p = logit(*p));
        }
        self.metalearner.score_rows(stacked, offsets, preds, scratch, refuse);
    }
}

fn same_preds(scorer: &Scorer, preds_len: usize, key: &str) -> Result<(), LoadError> {
    if scorer.preds_len == preds_len {
        return Ok(());
    }
    Err(LoadError::BadValue {
        key: key.to_owned(),
        found: format!("a model with {} answers", scorer.preds_len),
        expected: format!("{preds_len}, as the ensemble has"),
    })
}

/// `log(p / (1 - p))`, p kept away from 0 and 1 by 1e-9, at least -19.
fn logit(p: f64) -> f64 {
    let p = java_min(1.0 - 1e-9, java_max(p, 1e-9));
    let odds = p / (1.0 - p);
    if odds == 0.0 { -19.0 } else { java_max(-19.0, log(odds)) }
}
