//! Reading a GLRM, with all that scoring will index checked.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use super::{Cat, CategoryLoss, Glrm, Num, NumberLoss, Reconstruction, Regularizer};
use crate::error::LoadError;
use crate::ini::{self, java_trim, shorten};
use crate::pca::{read_matrix, read_permutation};
use crate::reader::Reader;

pub(super) fn read(reader: &Reader<'_, '_>, n_features: usize) -> Result<Glrm, LoadError> {
    let ini = reader.ini();
    let (n_cats, n_nums) = (ini.usize("num_categories")?, ini.usize("num_numeric")?);
    let columns = read_permutation(reader, "cols_permutation", n_features)?;
    for (key, found) in [("ncolA", ini.usize("ncolA")?), ("cols_permutation", columns.len())] {
        if found != n_features || n_cats.checked_add(n_nums) != Some(n_features) {
            let expected = format!("{n_features} columns: {n_cats} categories, {n_nums} numbers");
            return Err(bad(key, found.to_string(), expected));
        }
    }
    let (k, width) = (ini.usize("nrowY")?, ini.usize("ncolY")?);
    if k == 0 || k > reader.limits().columns_max || ini.usize("ncolX")? != k {
        return Err(bad("nrowY", k.to_string(), "`ncolX`, at least 1".to_owned()));
    }
    let (cat_columns, num_columns) = columns.split_at_checked(n_cats).unwrap_or_default();
    let losses = read_losses(reader, n_features)?;
    let (cat_losses, num_losses) = losses.split_at_checked(n_cats).unwrap_or_default();
    let cats = read_cats(reader, cat_columns, cat_losses)?;
    let nums = read_nums(reader, num_columns, num_losses)?;
    let needed = cats.iter().try_fold(n_nums, |sum, cat| sum.checked_add(cat.levels));
    if width == 0 || needed.is_none_or(|needed| needed > width) {
        let expected = "at least one number per level and numeric column".to_owned();
        return Err(bad("ncolY", width.to_string(), expected));
    }
    let name = ini.required_text("regularizationX")?;
    let regularizer = Regularizer::parse(name).ok_or_else(|| {
        bad("regularizationX", shorten(name), "a regulariser of H2O's GLRM".to_owned())
    })?;
    let archetypes = read_matrix(reader, "archetypes", k, width)?;
    // Files before 1.10 lack the seed and all that follows.
    let reconstruction = match ini.text("reverse_transform") {
        Some(_) => Some(read_reconstruction(reader, &cats, n_nums, width)?),
        None => None,
    };
    let seed = match reconstruction {
        Some(_) => read_seed(reader)?,
        None => 0,
    };
    let gamma = ini.f64("gammaX")?;
    Ok(Glrm { seed, cats, nums, regularizer, gamma, archetypes, width, reconstruction })
}

fn bad(key: &str, found: String, expected: String) -> LoadError {
    LoadError::BadValue { key: key.to_owned(), found, expected }
}

fn read_seed(reader: &Reader<'_, '_>) -> Result<i64, LoadError> {
    let Some(text) = reader.ini().text("seed") else { return Ok(0) };
    let expected = || "a whole number of 64 bits".to_owned();
    text.parse().map_err(|_| bad("seed", shorten(text), expected()))
}

fn read_losses(reader: &Reader<'_, '_>, n: usize) -> Result<Vec<String>, LoadError> {
    let text = reader.text("losses")?;
    let losses: Vec<String> = ini::lines(&text).map(|line| java_trim(line).to_owned()).collect();
    if losses.len() != n {
        let reason = format!("{} losses for {n} columns", losses.len());
        return Err(reader.bad_entry("losses", reason));
    }
    if losses.iter().any(|loss| loss.starts_with("Periodic")) {
        let reason = "a column has the loss `Periodic`, which genmodel cannot read from a MOJO; \
                      train with another loss for it";
        return Err(reader.bad_entry("losses", reason.to_owned()));
    }
    Ok(losses)
}

fn unknown_loss(reader: &Reader<'_, '_>, loss: &str, sort: &str) -> LoadError {
    reader.bad_entry("losses", format!("`{}` is no loss of a {sort} column", shorten(loss)))
}

fn read_cats(
    reader: &Reader<'_, '_>,
    columns: &[usize],
    losses: &[String],
) -> Result<Vec<Cat>, LoadError> {
    let key = "num_levels_per_category";
    let levels = reader.ini().optional_ints(key)?.unwrap_or_default();
    if levels.len() < columns.len() {
        let expected = format!("{}, one per category", columns.len());
        return Err(bad(key, format!("{} numbers", levels.len()), expected));
    }
    let cats = columns.iter().zip(losses).zip(levels).map(|((&column, loss), levels)| {
        let levels = usize::try_from(levels).ok().filter(|&levels| levels > 0);
        let levels = levels.ok_or_else(|| {
            bad(key, "a category without levels".to_owned(), "1 or more".to_owned())
        })?;
        let loss =
            CategoryLoss::parse(loss).ok_or_else(|| unknown_loss(reader, loss, "categorical"))?;
        Ok(Cat { column, levels, loss })
    });
    cats.collect()
}

fn read_nums(
    reader: &Reader<'_, '_>,
    columns: &[usize],
    losses: &[String],
) -> Result<Vec<Num>, LoadError> {
    let numbers = |key: &str| -> Result<Vec<f64>, LoadError> {
        let values = reader.ini().optional_doubles(key)?.unwrap_or_default();
        if values.len() < columns.len() {
            let expected = format!("{}, one per numeric column", columns.len());
            return Err(bad(key, format!("{} numbers", values.len()), expected));
        }
        Ok(values)
    };
    let norms = numbers("norm_sub")?.into_iter().zip(numbers("norm_mul")?);
    let nums = columns.iter().zip(losses).zip(norms).map(|((&column, loss), (sub, mul))| {
        let loss = NumberLoss::parse(loss).ok_or_else(|| unknown_loss(reader, loss, "numeric"))?;
        Ok(Num { column, sub, mul, loss })
    });
    nums.collect()
}

fn read_reconstruction(
    reader: &Reader<'_, '_>,
    cats: &[Cat],
    n_nums: usize,
    width: usize,
) -> Result<Reconstruction, LoadError> {
    let ini = reader.ini();
    let reverses_transform = ini.bool_or("reverse_transform", true)?;
    let offsets = ini.ints("catOffsets")?.into_iter().map(usize::try_from);
    let offsets: Vec<usize> = offsets.collect::<Result<_, _>>().unwrap_or_default();
    let fits = |at: Option<&usize>, n: usize| {
        at.and_then(|at| at.checked_add(n)).is_some_and(|end| end <= width)
    };
    let all_fit = offsets.len() > cats.len()
        && cats.iter().zip(&offsets).all(|(cat, at)| fits(Some(at), cat.levels))
        && fits(offsets.last(), n_nums);
    if !all_fit {
        let found = ini.text("catOffsets").map(shorten).unwrap_or_default();
        let expected = format!("{} + 1 starts among {width} numbers", cats.len());
        return Err(bad("catOffsets", found, expected));
    }
    Ok(Reconstruction { offsets, reverses_transform })
}
