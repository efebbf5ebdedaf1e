//! The coefficients out of the file. Everything that scoring indexes is checked here.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use super::{Family, Gam};
use crate::cursor::doubles_be;
use crate::error::LoadError;
use crate::glm::read_offsets;
use crate::head::{Category, Head};
use crate::link::GlmLink;
use crate::reader::Reader;

pub(super) fn bad(key: &str, found: impl Into<String>, expected: impl Into<String>) -> LoadError {
    LoadError::BadValue { key: key.to_owned(), found: found.into(), expected: expected.into() }
}

impl Gam {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let cats = ini.usize("cats")?;
        let offsets = ini.optional_ints("cat_offsets")?.unwrap_or_default();
        let cat_offsets = read_offsets(offsets, cats).ok_or_else(|| {
            let found = ini.text("cat_offsets").unwrap_or("missing");
            bad("cat_offsets", found, format!("{} rising numbers from 0", cats.saturating_add(1)))
        })?;
        let family = read_family(reader, head)?;
        let (key, beta, width) = match family {
            Family::Multinomial | Family::Ordinal => {
                let entry = "beta_multinomial_centering";
                let beta: Vec<f64> = doubles_be(&reader.blob(entry)?).collect();
                let width = ini.usize("beta center length per class")?;
                if width.checked_mul(head.n_classes) != Some(beta.len()) {
                    let reason = format!(
                        "{} doubles, expected {} classes x {width}",
                        beta.len(),
                        head.n_classes
                    );
                    return Err(reader.bad_entry(entry, reason));
                }
                ("beta center length per class", beta, width)
            }
            Family::Regression(_) | Family::Binomial { .. } => {
                let beta = ini.doubles("beta_center")?;
                let width = beta.len();
                ("beta_center", beta, width)
            }
        };
        let n_levels = cat_offsets.last().copied().unwrap_or(0);
        let n_numbers = width.checked_sub(n_levels).and_then(|width| width.checked_sub(1));
        let n_columns = n_numbers.and_then(|numbers| numbers.checked_add(cats));
        if n_columns.is_none_or(|columns| columns > head.n_features) {
            let expected = format!(
                "{n_levels} levels, at most {} numbers, and the intercept",
                head.n_features.saturating_sub(cats)
            );
            return Err(bad(key, format!("{width} coefficients"), expected));
        }
        let plates = ini.optional_usize("num_TP_col")?.unwrap_or(0);
        let has_logarithm =
            plates > 0 && ini.optional_ints("_d")?.unwrap_or_default().iter().any(|d| d % 2 == 0);
        Ok(Self {
            family,
            beta,
            width,
            cat_offsets,
            all_levels: ini.bool_or("use_all_factor_levels", false)?,
            imputed: read_imputed(reader, head, cats)?,
            has_logarithm,
        })
    }
}

fn read_family(reader: &Reader<'_, '_>, head: &Head) -> Result<Family, LoadError> {
    let ini = reader.ini();
    let family = ini.required_text("family")?;
    let link = || {
        let name = ini.text("link").unwrap_or(match family {
            "bernoulli" | "fractionalbinomial" | "quasibinomial" => "logit",
            "poisson" | "gamma" | "tweedie" => "log",
            _ => "identity",
        });
        let power = ini.optional_f64("tweedie_link_power")?.unwrap_or(0.0);
        GlmLink::parse(name, power)
            .ok_or_else(|| bad("link", crate::ini::shorten(name), "a link of H2O's GAM"))
    };
    let (family, expected) = match family {
        "multinomial" => (Family::Multinomial, Category::Multinomial),
        "ordinal" => (Family::Ordinal, Category::Ordinal),
        "bernoulli" | "fractionalbinomial" | "quasibinomial" => {
            let family = Family::Binomial { link: link()?, threshold: head.threshold };
            (family, Category::Binomial)
        }
        _ => (Family::Regression(link()?), Category::Regression),
    };
    if head.category != expected {
        let found = head.category.to_string();
        return Err(bad("category", found, format!("{expected}, which goes with the family")));
    }
    Ok(family)
}

fn read_imputed(reader: &Reader<'_, '_>, head: &Head, cats: usize) -> Result<Vec<f64>, LoadError> {
    let ini = reader.ini();
    if !ini.bool_or("mean_imputation", false)? {
        return Ok(Vec::new());
    }
    let modes = ini.optional_ints("catNAFills")?.unwrap_or_default();
    let means = ini.optional_doubles("numNAFillsCenter")?.unwrap_or_default();
    let numbers = ini.usize("numsCenter")?;
    let needed = cats.checked_add(numbers);
    if needed.is_none_or(|needed| needed > head.n_features) {
        let expected = format!("at most {} columns", head.n_features.saturating_sub(cats));
        return Err(bad("numsCenter", numbers.to_string(), expected));
    }
    if modes.len() < cats || means.len() < numbers {
        let found = format!("{} levels and {} numbers", modes.len(), means.len());
        return Err(bad("numNAFillsCenter", found, format!("{cats} levels and {numbers} numbers")));
    }
    let modes = modes.into_iter().take(cats).map(f64::from);
    Ok(modes.chain(means.into_iter().take(numbers)).collect())
}
