//! Principal Component Analysis: a row's coordinates along the components.
//!
//! In `model.ini`: `k`, `ncats`, `nnums`, `permutation` (place in the raw row of each column,
//! categories first), `catOffsets` (`ncats + 1` starts of the categories' rows), `normSub`,
//! `normMul`, `use_all_factor_levels`, `eigenvector_size`. In `eigenvectors_raw`:
//! `eigenvector_size x k` big-endian doubles, row-major; rows are levels, then numbers.
//!
//! `PC_i = sum of the rows of the levels + sum of (x - sub) * mul * row`, in this order. Missing
//! categories and levels that training did not see add nothing; a missing number makes NaN. Level 0
//! has no row unless `use_all_factor_levels`. Version 1.00.
//! Source: `PCAMojoReader`, `PCAMojoModel`.

use crate::cursor::doubles_be;
use crate::error::LoadError;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct Pca {
    k: usize,
    cats: Vec<Cat>,
    nums: Vec<Num>,
    /// Row-major, rows x k.
    vectors: Vec<f64>,
    skips_first_level: bool,
}

#[derive(Debug)]
struct Cat {
    column: usize,
    /// Its levels' rows: the first one and how many.
    from: usize,
    levels: usize,
}

#[derive(Debug)]
struct Num {
    column: usize,
    row: usize,
    sub: f64,
    mul: f64,
}

impl Pca {
    pub(crate) fn read(reader: &Reader<'_, '_>, n_features: usize) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let bad = |key: &str, found: String, expected: String| LoadError::BadValue {
            key: key.to_owned(),
            found,
            expected,
        };
        let (n_cats, n_nums) = (ini.usize("ncats")?, ini.usize("nnums")?);
        let (k, rows) = (ini.usize("k")?, ini.usize("eigenvector_size")?);
        if k == 0 || k > reader.limits().columns_max {
            let expected = format!("from 1 to {} (`columns_max`)", reader.limits().columns_max);
            return Err(bad("k", k.to_string(), expected));
        }
        if rows == 0 {
            return Err(bad("eigenvector_size", "0".to_owned(), "at least 1".to_owned()));
        }
        let permutation = read_permutation(reader, "permutation", n_features)?;
        if n_cats.checked_add(n_nums).is_none_or(|n| n > permutation.len()) {
            let found = format!("{} numbers", permutation.len());
            let expected = format!("one for each of {n_cats} categories and {n_nums} numbers");
            return Err(bad("permutation", found, expected));
        }
        let numbers = |key: &str| -> Result<Vec<f64>, LoadError> {
            let values = ini.optional_doubles(key)?.unwrap_or_default();
            if values.len() < n_nums {
                let found = format!("{} numbers", values.len());
                return Err(bad(key, found, format!("{n_nums}, one per numeric column")));
            }
            Ok(values)
        };
        let (subs, muls) = (numbers("normSub")?, numbers("normMul")?);
        let offsets = ini.ints("catOffsets")?;
        let offsets: Vec<usize> = offsets.into_iter().filter_map(|o| o.try_into().ok()).collect();
        let first_num = offsets.get(n_cats).copied();
        let needed = first_num.and_then(|first| first.checked_add(n_nums));
        if !offsets.is_sorted() || needed.is_none_or(|needed| needed > rows) {
            let found = ini.text("catOffsets").map(crate::ini::shorten).unwrap_or_default();
            let expected = format!("{n_cats} + 1 rising starts among {rows} rows");
            return Err(bad("catOffsets", found, expected));
        }
        let vectors = read_matrix(reader, "eigenvectors_raw", rows, k)?;
        let (cat_columns, num_columns) = permutation.split_at(n_cats);
        let cats = cat_columns.iter().zip(offsets.windows(2)).map(|(&column, ends)| Cat {
            column,
            from: ends[0],
            levels: ends[1] - ends[0],
        });
        let first_num = first_num.unwrap_or_default();
        let nums = num_columns.iter().zip(subs.into_iter().zip(muls)).take(n_nums);
        let nums = nums.enumerate().map(|(i, (&column, (sub, mul)))| Num {
            column,
            row: first_num + i,
            sub,
            mul,
        });
        let skips_first_level = !ini.bool_or("use_all_factor_levels", false)?;
        Ok(Self { k, cats: cats.collect(), nums: nums.collect(), vectors, skips_first_level })
    }

    /// Number of components.
    pub(crate) fn dimensions(&self) -> usize {
        self.k
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.vectors.as_slice())
            + size_of_val(self.cats.as_slice())
            + size_of_val(self.nums.as_slice())
    }

    /// `raw`: the row, model order, NaN = missing. `preds`: a number per component.
    pub(crate) fn score(&self, raw: &[f64], preds: &mut [f64]) {
        preds.fill(0.0);
        for cat in &self.cats {
            let value = raw[cat.column];
            if value.is_nan() {
                continue;
            }
            let level = (value as i32).checked_sub(i32::from(self.skips_first_level));
            let level = level.and_then(|level| usize::try_from(level).ok());
            if let Some(level) = level.filter(|&level| level < cat.levels) {
                for (pred, x) in preds.iter_mut().zip(self.row(cat.from + level)) {
                    *pred += x;
                }
            }
        }
        for num in &self.nums {
            let value = (raw[num.column] - num.sub) * num.mul;
            for (pred, x) in preds.iter_mut().zip(self.row(num.row)) {
                *pred += value * x;
            }
        }
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.vectors[row * self.k..][..self.k]
    }
}

/// Places in the raw row, each below `width`.
pub(crate) fn read_permutation(
    reader: &Reader<'_, '_>,
    key: &str,
    width: usize,
) -> Result<Vec<usize>, LoadError> {
    let places = reader.ini().ints(key)?;
    let places: Result<Vec<usize>, _> = places.into_iter().map(usize::try_from).collect();
    places.ok().filter(|places| places.iter().all(|&place| place < width)).ok_or_else(|| {
        LoadError::BadValue {
            key: key.to_owned(),
            found: reader.ini().text(key).map(crate::ini::shorten).unwrap_or_default(),
            expected: format!("places below {width}, the number of columns"),
        }
    })
}

/// `rows x columns` big-endian doubles, row-major.
pub(crate) fn read_matrix(
    reader: &Reader<'_, '_>,
    entry: &str,
    rows: usize,
    columns: usize,
) -> Result<Vec<f64>, LoadError> {
    let bytes = reader.blob(entry)?;
    match rows.checked_mul(columns).and_then(|n| n.checked_mul(8)) {
        Some(expected) if expected <= bytes.len() => Ok(doubles_be(&bytes[..expected]).collect()),
        _ => {
            let reason = format!("{} bytes, expected {rows} x {columns} doubles", bytes.len());
            Err(reader.bad_entry(entry, reason))
        }
    }
}
