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
    /// Row-major, centres x columns.
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
        let mut centers = Vec::new();
        for i in 0..n {
            let key = format!("center_{i}");
            let center = ini.doubles(&key)?;
            check(&key, center.len())?;
            centers.extend(center);
        }
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
    /// `raw`: the row, model order, NaN = missing. `point`: scratch.
    pub(crate) fn nearest(&self, raw: &[f64], point: &mut Vec<f64>) -> f64 {
        self.prepare(raw, point);
        let (mut nearest, mut least) = (-1.0, f64::MAX);
        for (cluster, center) in self.centers.chunks_exact(raw.len()).enumerate() {
            let distance = self.distance(center, point);
            if distance < least {
                (nearest, least) = (cluster as f64, distance);
            }
        }
        nearest
    }

    /// Squared distance to each centre, of standardised values where the model standardises.
    pub(crate) fn distances(&self, raw: &[f64], point: &mut Vec<f64>, distances: &mut [f64]) {
        self.prepare(raw, point);
        for (distance, center) in distances.iter_mut().zip(self.centers.chunks_exact(raw.len())) {
            *distance = self.distance(center, point);
        }
    }

    fn prepare(&self, raw: &[f64], point: &mut Vec<f64>) {
        point.clear();
        let Some(standardize) = &self.standardize else {
            point.extend_from_slice(raw);
            return;
        };
        point.extend(raw.iter().zip(standardize).map(|(&value, standard)| {
            let value = if value.is_nan() { standard.fill } else { value };
            standard.scale.map_or(value, |(mean, mult)| (value - mean) * mult)
        }));
    }

    fn distance(&self, center: &[f64], point: &[f64]) -> f64 {
        let (mut sum, mut there) = (0.0, 0_u32);
        for ((&value, &center), &categorical) in point.iter().zip(center).zip(&self.categorical) {
            if value.is_nan() {
                continue;
            }
            there += 1;
            if categorical {
                sum += f64::from(u8::from(value != center));
            } else {
                let delta = value - center;
                sum += delta * delta;
            }
        }
        if 0 < there && (there as usize) < point.len() {
            sum *= point.len() as f64 / f64::from(there);
        }
        sum
    }
}
