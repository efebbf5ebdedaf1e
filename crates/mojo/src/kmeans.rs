//! K-means: the nearest of some centres.
//!
//! In `model.ini`: `center_num`, `center_<i>` (one number per column), `standardize`, and where that
//! is true `standardize_means`, `standardize_mults` (may be missing), `standardize_modes` (-1 in
//! numeric columns).
//!
//! Where `standardize` is true, missing values become the column's mean or mode, and numbers become
//! `(x - mean) * mult`. The distance is `sum of (x - centre)^2` over numeric columns plus 1 for each
//! level that is another one; missing columns are left out and the sum is scaled by
//! `columns / columns there`. The cluster is the first one of the smallest distance below
//! `Double.MAX_VALUE`, or -1 if there is none. Version 1.00.
//! Source: `KMeansMojoReader`, `KMeansMojoModel`, `GenModel.KMeans_distance`.

use crate::error::LoadError;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct KMeans {
    /// Row-major, columns x centres: the distances to all centres grow side by side.
    centers: Vec<f64>,
    categorical: Vec<bool>,
    standardize: Option<Vec<Standard>>,
}

/// How a column's values are made comparable.
#[derive(Debug)]
struct Standard {
    /// In place of a missing value.
    fill: f64,
    /// Mean and multiplier of a number.
    scale: Option<(f64, f64)>,
}

impl KMeans {
    /// `levels`: per column of the raw row, `None` = numeric.
    pub(crate) fn read(
        reader: &Reader<'_, '_>,
        levels: &[Option<usize>],
    ) -> Result<Self, LoadError> {
        let width = levels.len();
        let ini = reader.ini();
        let check = |key: &str, found: usize| {
            if found == width {
                return Ok(());
            }
            Err(LoadError::BadValue {
                key: key.to_owned(),
                found: format!("{found} numbers"),
                expected: format!("{width}, one per column"),
            })
        };
        let standardize = if ini.bool_or("standardize", false)? {
            let means = ini.doubles("standardize_means")?;
            let modes = ini.ints("standardize_modes")?;
            let mults = ini.optional_doubles("standardize_mults")?;
            check("standardize_means", means.len())?;
            check("standardize_modes", modes.len())?;
            check("standardize_mults", mults.as_ref().map_or(width, Vec::len))?;
            let mult = |i: usize| mults.as_ref().and_then(|mults| mults.get(i)).copied();
            let columns = means.into_iter().zip(modes).enumerate();
            let standard = |(i, (mean, mode))| match mode {
                -1 => Standard { fill: mean, scale: mult(i).map(|mult| (mean, mult)) },
                mode => Standard { fill: f64::from(mode), scale: None },
            };
            Some(columns.map(standard).collect())
        } else {
            None
        };
        let n = ini.usize("center_num")?;
        if n == 0 {
            return Err(LoadError::BadValue {
                key: "center_num".to_owned(),
                found: "0".to_owned(),
                expected: "at least one centre".to_owned(),
            });
        }
        let mut rows = Vec::new();
        for i in 0..n {
            let key = format!("center_{i}");
            let center = ini.doubles(&key)?;
            check(&key, center.len())?;
            rows.extend(center);
        }
        let columns = (0..width).flat_map(|column| rows.iter().skip(column).step_by(width));
        let centers = columns.copied().collect();
        let categorical = levels.iter().map(Option::is_some).collect();
        Ok(Self { centers, categorical, standardize })
    }

    /// Number of clusters.
    pub(crate) fn clusters(&self) -> usize {
        self.centers.len() / self.categorical.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let columns = self.standardize.as_ref().map_or(0, |c| size_of_val(c.as_slice()));
        size_of_val(self.centers.as_slice()) + self.categorical.len() + columns
    }

    /// The cluster, -1 if every distance overflows.
    ///
    /// `raw`: the row, model order, NaN = missing. `distances`: scratch.
    pub(crate) fn nearest(&self, raw: &[f64], distances: &mut Vec<f64>) -> f64 {
        distances.resize(self.clusters(), 0.0);
        self.distances(raw, distances);
        let (mut nearest, mut least) = (-1.0, f64::MAX);
        for (cluster, &distance) in distances.iter().enumerate() {
            if distance < least {
                (nearest, least) = (cluster as f64, distance);
            }
        }
        nearest
    }

    /// Squared distance to each centre, of standardised values where the model standardises.
    pub(crate) fn distances(&self, raw: &[f64], distances: &mut [f64]) {
        distances.fill(0.0);
        let mut there = 0_u32;
        let columns = self.centers.chunks_exact(distances.len()).zip(&self.categorical);
        for ((column, &value), (centers, &categorical)) in raw.iter().enumerate().zip(columns) {
            let value = match &self.standardize {
                Some(standardize) => standardize[column].of(value),
                None => value,
            };
            if value.is_nan() {
                continue;
            }
            there += 1;
            let sums = distances.iter_mut().zip(centers);
            if categorical {
                sums.for_each(|(sum, &center)| *sum += f64::from(u8::from(value != center)));
            } else {
                sums.for_each(|(sum, &center)| {
                    let delta = value - center;
                    *sum += delta * delta;
                });
            }
        }
        if 0 < there && (there as usize) < raw.len() {
            let scale = raw.len() as f64 / f64::from(there);
            distances.iter_mut().for_each(|sum| *sum *= scale);
        }
    }
}

impl Standard {
    fn of(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.fill } else { value };
        self.scale.map_or(value, |(mean, mult)| (value - mean) * mult)
    }
}
