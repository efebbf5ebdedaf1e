//! Generalized Linear Model.
//!
//! `eta = sum of the coefficients of the levels, then of coefficient x number, + intercept`, in
//! this order; then the inverse link, softmax, or differences of logistic curves (ordinal).
//! One-hot columns are never built: a level is the place of its coefficient. The sums of several
//! rows run side by side, each in its own order.
//! Source: `GlmMojoReader`, `GlmMojoModel`, `GlmMultinomialMojoModel`, `GlmOrdinalMojoModel`.
#![expect(clippy::inline_always, reason = "what is inlined is compiled for wider registers")]

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::kernel::{ABREAST, Columns, TILE, turn};
use crate::link::GlmLink;
use crate::math::{exp, exp_all};
use crate::reader::Reader;
use crate::widest::widest;

/// Rows whose predictors wait for their means together.
const BLOCK: usize = 256;
/// Fewer rows than that are scored one by one.
const TILED_MIN: usize = 16;
/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    etas: Vec<f64>,
    fit: Vec<bool>,
    /// Class by class.
    sums: Vec<[f64; TILE]>,
}

#[derive(Debug)]
pub(crate) struct Glm {
    family: Family,
    /// Row-major, `coefficients x classes`: levels, numbers, intercept.
    beta: Vec<f64>,
    /// Coefficients per class.
    width: usize,
    /// `beta` with a -0 behind each class's, which changes no sum: that of levels without one.
    padded: Vec<f64>,
    levels: Vec<Levels>,
    /// Start of each categorical column's levels in the coefficients, and their end.
    cat_offsets: Vec<usize>,
    skips_first_level: bool,
    /// Replacements for missing values, modes then means; `None`: nothing is replaced.
    imputed: Option<Vec<f64>>,
}

/// A categorical column.
#[derive(Debug, Clone, Copy)]
struct Levels {
    /// Place of its first coefficient.
    first: u32,
    n: i32,
    /// Stands in for missing values; NaN where nothing does.
    mode: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    Regression(GlmLink),
    Binomial { link: GlmLink, threshold: f64 },
    Multinomial,
    Ordinal,
}

impl Glm {
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        n_classes: usize,
        n_features: usize,
        threshold: f64,
    ) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let cats = ini.optional_usize("cats")?.unwrap_or(0);
        let cat_offsets = read_offsets(ini.optional_ints("cat_offsets")?.unwrap_or_default(), cats)
            .ok_or_else(|| {
                let expected = format!("{} rising numbers from 0", cats.saturating_add(1));
                bad(
                    "cat_offsets",
                    ini.text("cat_offsets").unwrap_or("missing").to_owned(),
                    expected,
                )
            })?;
        let beta = ini.doubles("beta")?;
        let (family, betas) = read_family(reader, n_classes, threshold)?;
        let levels = cat_offsets[cats];
        let width = beta.len() / betas;
        let numbers = n_features.checked_sub(cats);
        if numbers.and_then(|numbers| levels.checked_add(numbers)?.checked_add(1)) != Some(width)
            || width * betas != beta.len()
        {
            let found = format!("{} numbers", beta.len());
            let expected = format!(
                "{betas} x ({levels} levels + {} numeric columns + 1)",
                numbers.unwrap_or(0)
            );
            return Err(bad("beta", found, expected));
        }
        let imputed = read_imputed(reader, cats, n_features)?;
        let skips_first_level = !ini.bool_or("use_all_factor_levels", false)?;
        let padded = beta.chunks_exact(width).flat_map(|of_class| {
            let absent = std::iter::once(-0.0);
            of_class.iter().copied().chain(absent)
        });
        let levels = cat_offsets.windows(2).enumerate().map(|(column, ends)| Levels {
            first: ends[0] as u32,
            n: (ends[1] - ends[0]) as i32,
            mode: imputed.as_ref().map_or(f64::NAN, |imputed| imputed[column]),
        });
        let (padded, levels) = (padded.collect(), levels.collect());
        Ok(Self { family, beta, width, padded, levels, cat_offsets, skips_first_level, imputed })
    }

    /// Missing categories are refused where nothing stands in for them; an ordinal model may find
    /// no class.
    pub(crate) fn may_refuse(&self) -> bool {
        let has_cats = self.cat_offsets.len() > 1;
        self.family == Family::Ordinal || (has_cats && self.imputed.is_none())
    }

    /// Whether no `exp` or `pow` stands behind the sum.
    pub(crate) fn is_identity(&self) -> bool {
        matches!(self.family, Family::Regression(GlmLink::Identity | GlmLink::Inverse))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.beta.as_slice())
            + size_of_val(self.padded.as_slice())
            + size_of_val(self.levels.as_slice())
            + size_of_val(self.cat_offsets.as_slice())
    }

    /// Scores rows that lie behind each other, as genmodel does, the label included.
    ///
    /// `raw`: row-major, rows x columns, model order, NaN = missing. `preds`: row-major, rows x
    /// `stride`, `[label, p...]` or `[value]`. `refuse`: called with the place of each row that
    /// has no answer.
    pub(crate) fn score_rows(
        &self,
        raw: &[f64],
        offsets: &[f64],
        preds: &mut [f64],
        stride: usize,
        scratch: &mut Scratch,
        mut refuse: impl FnMut(usize, RowError),
    ) {
        let width = self.columns();
        if self.family == Family::Ordinal {
            let rows = raw.chunks_exact(width).zip(offsets).zip(preds.chunks_exact_mut(stride));
            for (row, ((raw, &offset), preds)) in rows.enumerate() {
                if let Err(error) = self.ordinal(raw, offset, preds) {
                    refuse(row, error);
                }
            }
            return;
        }
        let blocks = raw.chunks(BLOCK * width).zip(offsets.chunks(BLOCK));
        let blocks = blocks.zip(preds.chunks_mut(BLOCK * stride)).enumerate();
        for (block, ((raw, offsets), preds)) in blocks {
            self.etas(raw, scratch);
            let Scratch { etas, fit, .. } = &mut *scratch;
            match self.family {
                Family::Regression(link) | Family::Binomial { link, .. } => {
                    etas.iter_mut().zip(offsets).for_each(|(eta, offset)| *eta += offset);
                    link.means(etas);
                }
                Family::Multinomial | Family::Ordinal => {}
            }
            let rows = preds.chunks_exact_mut(stride).zip(etas.chunks_exact(self.classes()));
            for (row, (preds, means)) in rows.enumerate() {
                if fit[row] {
                    self.answer(means, preds);
                } else {
                    refuse(block * BLOCK + row, out_of_range());
                }
            }
        }
    }

    /// From means, or etas of several classes, to genmodel's array.
    fn answer(&self, means: &[f64], preds: &mut [f64]) {
        match self.family {
            Family::Regression(_) => preds[0] = means[0],
            Family::Binomial { threshold, .. } => {
                let mean = means[0];
                preds[0] = f64::from(u8::from(mean >= threshold));
                preds[1] = 1.0 - mean;
                preds[2] = mean;
            }
            // The offset has no say in multinomial models: genmodel ignores it.
            Family::Multinomial | Family::Ordinal => {
                preds[1..].copy_from_slice(means);
                softmax(preds);
            }
        }
    }

    /// Length of the raw row.
    fn columns(&self) -> usize {
        let cats = self.cat_offsets.len() - 1;
        cats + self.width - 1 - self.cat_offsets[cats]
    }

    /// Sets of coefficients.
    fn classes(&self) -> usize {
        self.beta.len() / self.width
    }

    /// The linear predictors of a block, row-major, rows x classes, and whether each row fits.
    fn etas(&self, raw: &[f64], scratch: &mut Scratch) {
        let Scratch { etas, fit, sums } = scratch;
        let (columns, classes) = (self.columns(), self.classes());
        let rows = raw.len() / columns;
        fit.clear();
        fit.resize(rows, true);
        etas.resize(rows * classes, 0.0);
        let mut done = 0;
        while rows - done >= TILED_MIN {
            let n = TILE.min(rows - done);
            let mut unfit = [false; TILE];
            self.tile(&raw[done * columns..], sums, &mut unfit);
            for row in 0..n {
                fit[done + row] = !unfit[row];
                for (eta, sums) in etas[(done + row) * classes..].iter_mut().zip(&*sums) {
                    *eta = sums[row];
                }
            }
            done += n;
        }
        for row in done..rows {
            let raw = &raw[row * columns..][..columns];
            fit[row] = self.row(raw, &mut etas[row * classes..][..classes]);
        }
    }

    /// The linear predictors of a row, and whether it fits.
    fn row(&self, raw: &[f64], etas: &mut [f64]) -> bool {
        let (levels, numbers) = raw.split_at(self.levels.len());
        let means = self.imputed.as_ref().map(|imputed| &imputed[levels.len()..]);
        let mut unfit = false;
        for (beta, eta) in self.padded.chunks_exact(self.width + 1).zip(etas) {
            let mut sum = 0.0;
            for (of, &value) in self.levels.iter().zip(levels) {
                let (slot, is_none) = of.place(value, self.skips_first_level, self.width as u32);
                unfit |= is_none;
                sum += beta[slot as usize];
            }
            let beta = &beta[self.width - 1 - numbers.len()..];
            for (column, (&value, beta)) in numbers.iter().zip(beta).enumerate() {
                let mean = means.map_or(f64::NAN, |means| means[column]);
                sum += beta * if value.is_nan() { mean } else { value };
            }
            *eta = sum + beta[numbers.len()];
        }
        !unfit
    }

    /// The linear predictors of up to [`TILE`] rows, column by column: independent sums that run
    /// abreast. `raw`: the rows, and perhaps more behind them.
    fn tile(&self, raw: &[f64], sums: &mut Vec<[f64; TILE]>, unfit: &mut [bool; TILE]) {
        let columns = self.columns();
        sums.clear();
        sums.resize(self.classes(), [0.0; TILE]);
        let mut turned = Columns([[0.0; TILE]; ABREAST]);
        let mut slots = [0; TILE];
        for first in (0..columns).step_by(ABREAST) {
            turn(raw, columns, first, &mut turned);
            for (column, values) in (first..columns).zip(&turned.0) {
                let classes = self.padded.chunks_exact(self.width + 1).zip(&mut *sums);
                if let Some(levels) = self.levels.get(column) {
                    locate(
                        levels,
                        self.skips_first_level,
                        self.width as u32,
                        values,
                        &mut slots,
                        unfit,
                    );
                    for (beta, sums) in classes {
                        for (sum, &slot) in sums.iter_mut().zip(&slots) {
                            *sum += beta[slot as usize];
                        }
                    }
                } else {
                    let mean = self.imputed.as_ref().map_or(f64::NAN, |imputed| imputed[column]);
                    let place = self.width - 1 - (columns - column);
                    classes.for_each(|(beta, sums)| add_number(values, beta[place], mean, sums));
                }
            }
        }
        for (beta, sums) in self.padded.chunks_exact(self.width + 1).zip(sums) {
            sums.iter_mut().for_each(|sum| *sum += beta[self.width - 1]);
        }
    }

    /// Why there are no contributions, if so: they are shares of one linear predictor.
    pub(crate) fn explains(&self) -> Result<(), String> {
        let (what, per) = match self.family {
            Family::Regression(_) | Family::Binomial { .. } => return Ok(()),
            Family::Multinomial => ("multinomial", "class"),
            Family::Ordinal => ("ordinal", "threshold between classes"),
        };
        let n = self.beta.len() / self.width;
        Err(format!(
            "contributions are shares of one margin, and a {what} GLM has {n}, one per {per}"
        ))
    }

    /// Shares of the columns in the linear predictor, and the intercept behind them:
    /// `beta x value` of numbers, the level's coefficient of categories, the replacement's where a
    /// missing value is replaced. They are the terms that [`Glm::score_rows`] adds up.
    ///
    /// `phi`: one more than columns.
    pub(crate) fn contribute(&self, raw: &[f64], phi: &mut [f32]) {
        // The row has been scored: no term is refused.
        let share = |column: usize| self.term(raw, column, 0).unwrap_or(f64::NAN);
        for (column, phi) in phi.iter_mut().take(raw.len()).enumerate() {
            *phi = share(column) as f32;
        }
        phi[raw.len()] = self.beta[self.width - 1] as f32;
    }

    /// What each column adds to the linear predictor, for k-LIME: its coefficient's term.
    ///
    /// `codes`: one per column; untouched where a level has no coefficient. Without level 0 in the
    /// coefficients the level is taken one too high: genmodel does so.
    /// Source: `GlmMojoModel.applyCoefficients`.
    pub(crate) fn reason_codes(&self, raw: &[f64], codes: &mut [f64]) {
        let value = |column: usize| match &self.imputed {
            Some(imputed) if raw[column].is_nan() => imputed[column],
            _ => raw[column],
        };
        let cats = self.cat_offsets.len() - 1;
        let numbers = self.cat_offsets[cats]..;
        let (cat_codes, number_codes) = codes.split_at_mut(cats);
        for (column, code) in cat_codes.iter_mut().enumerate() {
            let level = i64::from(value(column) as i32) + i64::from(self.skips_first_level);
            let place = level + self.cat_offsets[column] as i64;
            if level >= 0 && place < self.cat_offsets[column + 1] as i64 {
                *code = self.beta[place as usize];
            }
        }
        for ((column, code), beta) in number_codes.iter_mut().enumerate().zip(&self.beta[numbers]) {
            *code = beta * value(cats + column);
        }
    }

    /// The linear predictor of a class.
    fn eta(&self, raw: &[f64], class: usize) -> Result<f64, RowError> {
        let mut eta = 0.0;
        for column in 0..raw.len() {
            eta += self.term(raw, column, class)?;
        }
        Ok(eta + self.beta[(class + 1) * self.width - 1])
    }

    /// What a column adds to the linear predictor of a class. A level without a coefficient, that
    /// training did not see or that is the first one, adds 0.
    #[inline]
    fn term(&self, raw: &[f64], column: usize, class: usize) -> Result<f64, RowError> {
        let beta = &self.beta[class * self.width..(class + 1) * self.width];
        let value = match &self.imputed {
            Some(imputed) if raw[column].is_nan() => imputed[column],
            _ => raw[column],
        };
        let cats = self.cat_offsets.len() - 1;
        if column >= cats {
            return Ok(beta[self.cat_offsets[cats] + column - cats] * value);
        }
        let level = match (self.skips_first_level, value) {
            (true, 0.0) => return Ok(0.0),
            (true, level) => level - 1.0,
            (false, level) => level,
        };
        let index = level as i32;
        let (from, to) = (self.cat_offsets[column], self.cat_offsets[column + 1]);
        if f64::from(index) != level || index < 0 {
            return Err(out_of_range());
        }
        Ok(if from + (index as usize) < to { beta[from + index as usize] } else { 0.0 })
    }

    fn ordinal(&self, raw: &[f64], offset: f64, preds: &mut [f64]) -> Result<(), RowError> {
        let last = preds.len() - 1;
        let mut below = 0.0;
        for class in 0..last - 1 {
            let eta = self.eta(raw, class)? + offset;
            let up_to = 1.0 / (1.0 + exp(-eta));
            preds[class + 1] = up_to - below;
            below = up_to;
        }
        preds[last] = 1.0 - below;
        let best = (1..=last).fold(0, |best, class| {
            let beaten = if best == 0 { 0.0 } else { preds[best] };
            if preds[class] > beaten { class } else { best }
        });
        if best == 0 {
            return Err(RowError {
                kind: RowErrorKind::Model,
                column: None,
                message: "no class has a probability above 0".to_owned(),
            });
        }
        preds[0] = (best - 1) as f64;
        Ok(())
    }
}

widest!(
    /// Adds a numeric column's products. `mean` stands in for missing values.
    fn add_number(values: &[f64; TILE], beta: f64, mean: f64, sums: &mut [f64; TILE]) {
        avx512 => add_each, avx2 => add_each, any => add_each
    }
);

#[inline(always)]
fn add_each(values: &[f64; TILE], beta: f64, mean: f64, sums: &mut [f64; TILE]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += beta * if value.is_nan() { mean } else { value };
    }
}

widest!(
    /// [`Levels::place`] of each row.
    fn locate(
        levels: &Levels,
        skips_first: bool,
        absent: u32,
        values: &[f64; TILE],
        slots: &mut [u32; TILE],
        unfit: &mut [bool; TILE],
    ) {
        avx512 => locate_each, avx2 => locate_each, any => locate_each
    }
);

#[inline(always)]
fn locate_each(
    levels: &Levels,
    skips_first: bool,
    absent: u32,
    values: &[f64; TILE],
    slots: &mut [u32; TILE],
    unfit: &mut [bool; TILE],
) {
    let rows = slots.iter_mut().zip(unfit.iter_mut()).zip(values);
    for ((slot, unfit), &value) in rows {
        let (place, is_none) = levels.place(value, skips_first, absent);
        *slot = place;
        *unfit |= is_none;
    }
}

impl Levels {
    /// Place of a level's coefficient, without branches: `absent` where it has none, as training did
    /// not see it; and whether the category is no level at all.
    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch per level")]
    fn place(&self, value: f64, skips_first: bool, absent: u32) -> (u32, bool) {
        /// 2^52: of a sum with it, the lowest bits are the other number, rounded to a whole one.
        const WHOLE: f64 = 4_503_599_627_370_496.0;
        let value = if value.is_nan() { self.mode } else { value };
        let level = value - if skips_first { 1.0 } else { 0.0 };
        let whole = level + WHOLE;
        let is_level = (whole - WHOLE == level) & (level >= 0.0) & (level <= f64::from(i32::MAX));
        let is_base = skips_first & (value == 0.0);
        let place = self.first.wrapping_add(whole.to_bits() as u32);
        let place = if is_level & (level < f64::from(self.n)) { place } else { absent };
        (place, !(is_level | is_base))
    }
}

#[cold]
fn out_of_range() -> RowError {
    RowError {
        kind: RowErrorKind::Model,
        column: None,
        message: "categorical value out of range: the model was trained with \
                  missing_values_handling = Skip and does not score rows with missing categories"
            .to_owned(),
    }
}

fn bad(key: &str, found: String, expected: String) -> LoadError {
    LoadError::BadValue { key: key.to_owned(), found, expected }
}

/// The family, and how many sets of coefficients it has.
fn read_family(
    reader: &Reader<'_, '_>,
    n_classes: usize,
    threshold: f64,
) -> Result<(Family, usize), LoadError> {
    let ini = reader.ini();
    let link = || {
        let name = ini.required_text("link")?;
        let power = ini.optional_f64("tweedie_link_power")?.unwrap_or(0.0);
        GlmLink::parse(name, power)
            .ok_or_else(|| bad("link", name.to_owned(), "a link of H2O's GLM".to_owned()))
    };
    let (family, betas, classes) = match ini.required_text("family")? {
        "multinomial" => (Family::Multinomial, n_classes, 2..=usize::MAX),
        "ordinal" => (Family::Ordinal, n_classes, 2..=usize::MAX),
        "binomial" | "fractionalbinomial" | "quasibinomial" => {
            (Family::Binomial { link: link()?, threshold }, 1, 2..=2)
        }
        _ => (Family::Regression(link()?), 1, 1..=1),
    };
    if classes.contains(&n_classes) {
        return Ok((family, betas));
    }
    let expected = "a number that goes with the family".to_owned();
    Err(bad("n_classes", n_classes.to_string(), expected))
}

/// Modes and means that stand in for missing values, if any do.
fn read_imputed(
    reader: &Reader<'_, '_>,
    cats: usize,
    n_features: usize,
) -> Result<Option<Vec<f64>>, LoadError> {
    let ini = reader.ini();
    if !ini.bool_or("mean_imputation", false)? {
        return Ok(None);
    }
    let modes = ini.optional_ints("cat_modes")?.unwrap_or_default();
    let means = ini.optional_doubles("num_means")?.unwrap_or_default();
    if modes.len() < cats || cats + means.len() < n_features {
        let found = format!("{} modes and {} means", modes.len(), means.len());
        return Err(bad("num_means", found, "one value for each column".to_owned()));
    }
    let modes = modes.into_iter().take(cats).map(f64::from);
    Ok(Some(modes.chain(means).take(n_features).collect()))
}

/// `cats + 1` rising numbers from 0; none at all stands for a model without categories.
pub(crate) fn read_offsets(offsets: Vec<i32>, cats: usize) -> Option<Vec<usize>> {
    if offsets.is_empty() && cats == 0 {
        return Some(vec![0]);
    }
    let offsets: Vec<usize> =
        offsets.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
    let fits = offsets.len() == cats.checked_add(1)? && offsets[0] == 0 && offsets.is_sorted();
    fits.then_some(offsets)
}

/// Etas to probabilities and label. The largest eta counts from 0 upwards, and so does the largest
/// probability: genmodel starts both searches there.
pub(crate) fn softmax(preds: &mut [f64]) {
    let max = preds[1..].iter().fold(0.0, |max, &eta| if eta > max { eta } else { max });
    preds[1..].iter_mut().for_each(|p| *p -= max);
    exp_all(&mut preds[1..]);
    let scale = 1.0 / preds[1..].iter().fold(0.0, |sum, p| sum + p);
    let mut best = 0.0;
    preds[0] = 0.0;
    for class in 1..preds.len() {
        preds[class] *= scale;
        if preds[class] > best {
            best = preds[class];
            preds[0] = (class - 1) as f64;
        }
    }
}
