//! The model out of its file. Everything that scoring indexes is checked here.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{CoxPh, Interaction, InteractionKind, Numbers};
use crate::cursor::doubles_be;
use crate::error::LoadError;
use crate::glm::read_offsets;
use crate::head::Head;
use crate::reader::Reader;

fn bad(key: &str, found: impl Into<String>, expected: impl Into<String>) -> LoadError {
    LoadError::BadValue { key: key.to_owned(), found: found.into(), expected: expected.into() }
}

impl CoxPh {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let cats = ini.usize("cats")?;
        let coefficients = ini.doubles("coef")?;
        let offsets = ini.optional_ints("cat_offsets")?.unwrap_or_default();
        let cat_offsets = read_offsets(offsets, cats).ok_or_else(|| {
            let found = ini.text("cat_offsets").unwrap_or("missing");
            bad("cat_offsets", found, format!("{} rising numbers from 0", cats.saturating_add(1)))
        })?;
        let n_levels = cat_offsets.last().copied().unwrap_or(0);
        let Some(n_in_line) = coefficients.len().checked_sub(n_levels) else {
            let found = format!("{} numbers", coefficients.len());
            return Err(bad("coef", found, format!("at least {n_levels}, one per level")));
        };
        let (strata, strata_len) = read_strata(reader)?;
        let bases = read_bases(reader, strata.len().max(1), &coefficients)?;
        ini.required_text("use_all_factor_levels")?;
        let numbers = match ini.optional_usize("num_numerical_columns")? {
            None => Numbers::InLine(n_in_line),
            Some(n) => Numbers::Placed(read_places(reader, n)?),
        };
        let n_numbers = match &numbers {
            Numbers::InLine(n) => *n,
            Numbers::Placed(places) => places.len(),
        };
        let needed = strata_len.saturating_add(cats).saturating_add(n_numbers);
        if needed > head.n_features {
            let expected = format!("at least {needed}, strata, categories and numbers");
            return Err(bad("n_features", head.n_features.to_string(), expected));
        }
        let interactions = match &numbers {
            // genmodel does not look at them in the old layout.
            Numbers::InLine(_) => Vec::new(),
            Numbers::Placed(places) => read_interactions(reader, head, cats, places.len())?,
        };
        let targets = ini.optional_ints("interaction_targets")?.unwrap_or_default();
        let targets: HashSet<usize> =
            targets.into_iter().filter_map(|target| usize::try_from(target).ok()).collect();
        let is_target = |column: usize| targets.contains(&column);
        Ok(Self {
            is_interaction: (0..cats).map(is_target).collect(),
            coefficients,
            cat_offsets,
            all_levels: ini.bool_or("use_all_factor_levels", false)?,
            strata,
            strata_len,
            bases,
            numbers,
            interactions,
        })
    }
}

fn read_strata(reader: &Reader<'_, '_>) -> Result<(HashMap<Vec<i32>, usize>, usize), LoadError> {
    let count = reader.ini().usize("strata_count")?;
    let mut strata = HashMap::new();
    let mut len = 0;
    for i in 0..count {
        let key = format!("strata_{i}");
        let codes = reader.ini().doubles(&key)?;
        if i == 0 {
            len = codes.len();
        }
        #[expect(clippy::cast_possible_truncation, reason = "as genmodel casts codes")]
        let codes: Vec<i32> = codes.into_iter().map(|code| code as i32).collect();
        let n_codes = codes.len();
        if n_codes != len || strata.insert(codes, i).is_some() {
            let expected = format!("{len} codes that no other stratum has");
            return Err(bad(&key, reader.ini().text(&key).unwrap_or_default(), expected));
        }
    }
    Ok((strata, len))
}

/// The linear predictor of each stratum's means.
fn read_bases(
    reader: &Reader<'_, '_>,
    strata: usize,
    coefficients: &[f64],
) -> Result<Vec<f64>, LoadError> {
    let (n_cat, cat_means) = read_means(reader, "x_mean_cat", strata)?;
    let (n_num, num_means) = read_means(reader, "x_mean_num", strata)?;
    if n_cat.checked_add(n_num).is_none_or(|n| n > coefficients.len()) {
        let found = format!("{n_cat} and {n_num} means");
        let expected = format!("at most {}, one per coefficient", coefficients.len());
        return Err(bad("x_mean_num_size2", found, expected));
    }
    let (for_levels, for_numbers) = coefficients.split_at_checked(n_cat).unwrap_or_default();
    let base = |stratum: usize| {
        let add = |sum: f64, means: &[f64], n: usize, coefficients: &[f64]| {
            let means = means.iter().skip(stratum.saturating_mul(n)).take(n);
            means.zip(coefficients).fold(sum, |sum, (mean, coefficient)| sum + mean * coefficient)
        };
        add(add(0.0, &cat_means, n_cat, for_levels), &num_means, n_num, for_numbers)
    };
    Ok((0..strata).map(base).collect())
}

/// Means per stratum, and the rows behind each other.
fn read_means(
    reader: &Reader<'_, '_>,
    entry: &str,
    strata: usize,
) -> Result<(usize, Vec<f64>), LoadError> {
    let rows = reader.ini().usize(&format!("{entry}_size1"))?;
    let width = reader.ini().usize(&format!("{entry}_size2"))?;
    if rows < strata {
        let expected = format!("at least {strata}, the number of strata");
        return Err(bad(&format!("{entry}_size1"), rows.to_string(), expected));
    }
    let bytes = reader.blob(entry)?;
    let means: Vec<f64> = doubles_be(&bytes).collect();
    if rows.checked_mul(width).is_none_or(|n| n > means.len()) {
        let reason = format!("{} bytes, expected {rows} x {width} doubles", bytes.len());
        return Err(reader.bad_entry(entry, reason));
    }
    Ok((width, means))
}

fn read_places(reader: &Reader<'_, '_>, n: usize) -> Result<Vec<usize>, LoadError> {
    let places = reader.ini().ints("num_offsets")?;
    let n_places = places.len();
    let places: Option<Vec<usize>> =
        places.into_iter().take(n).map(|place| usize::try_from(place).ok()).collect();
    places.filter(|places| places.len() == n).ok_or_else(|| {
        let expected = format!("at least {n} numbers from 0, one per numeric column");
        bad("num_offsets", format!("{n_places} numbers"), expected)
    })
}

fn read_interactions(
    reader: &Reader<'_, '_>,
    head: &Head,
    cats: usize,
    nums: usize,
) -> Result<Vec<Interaction>, LoadError> {
    let ini = reader.ini();
    let Some(targets) = ini.optional_ints("interaction_targets")? else { return Ok(Vec::new()) };
    let (firsts, seconds) = (ini.ints("interactions_1")?, ini.ints("interactions_2")?);
    // Interactions share their columns' levels, and no two of them a target: otherwise a list of
    // numbers would take far more room than the file.
    let mut shared: HashMap<usize, Arc<[String]>> = HashMap::new();
    let mut met = HashSet::new();
    let read = |i: usize| {
        let column = |key: &str, values: &[i32]| {
            let column = values.get(i).and_then(|&column| usize::try_from(column).ok());
            column.filter(|&column| column < head.n_features).ok_or_else(|| {
                let found = ini.text(key).unwrap_or_default();
                bad(key, crate::ini::shorten(found), "a column of the model per interaction")
            })
        };
        let target = column("interaction_targets", &targets)?;
        if !met.insert(target) {
            return Err(bad("interaction_targets", target.to_string(), "each column once"));
        }
        let first = column("interactions_1", &firsts)?;
        let second = column("interactions_2", &seconds)?;
        let domain = |column: usize| head.domains.get(column).and_then(Option::as_ref);
        let with_number = |level, number| InteractionKind::LevelAndNumber {
            level,
            number,
            place: target.checked_sub(cats).filter(|&place| place < nums),
        };
        let kind = match (domain(first), domain(second)) {
            (None, None) => InteractionKind::Numbers(first, second),
            (Some(_), None) => with_number(first, second),
            (None, Some(_)) => with_number(second, first),
            (Some(a), Some(b)) => {
                let Some(levels) = domain(target) else {
                    let found = target.to_string();
                    return Err(bad("interaction_targets", found, "a categorical column"));
                };
                let mut joined = HashMap::new();
                for (code, level) in levels.iter().enumerate() {
                    joined.entry(level.clone()).or_insert(code);
                }
                let domains = [(first, a), (second, b)].map(|(column, levels)| {
                    Arc::clone(shared.entry(column).or_insert_with(|| levels.as_slice().into()))
                });
                InteractionKind::Levels { columns: [first, second], domains, joined }
            }
        };
        Ok(Interaction { target, kind })
    };
    (0..targets.len()).map(read).collect()
}
