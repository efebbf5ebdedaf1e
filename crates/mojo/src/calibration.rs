//! Calibrated probabilities: Platt scaling and isotonic regression.
//!
//! Source: `CalibrationMojoHelper`, `IsotonicCalibrator`, `IsotonicRegressionUtils`.

use crate::cursor::doubles_be;
use crate::error::LoadError;
use crate::link::logistic;
use crate::reader::Reader;

#[derive(Debug, Clone)]
pub(crate) enum Calibration {
    /// `logistic(slope * p0 + intercept)` is the new p1.
    Platt { slope: f64, intercept: f64 },
    /// A step line through points, clipped to its ends, from p1 to the new p1.
    Isotonic(Isotonic),
}

impl Calibration {
    /// The calibration that the model names, if it names one.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Option<Self>, LoadError> {
        let ini = reader.ini();
        let Some(method) = ini.text("calib_method") else { return Ok(None) };
        match method {
            "platt" => {
                let beta = ini.doubles("calib_glm_beta")?;
                let &[slope, intercept] = beta.as_slice() else {
                    return Err(LoadError::BadValue {
                        key: "calib_glm_beta".to_owned(),
                        found: format!("{} numbers", beta.len()),
                        expected: "2 numbers".to_owned(),
                    });
                };
                Ok(Some(Self::Platt { slope, intercept }))
            }
            "isotonic" => Isotonic::read(reader).map(|line| Some(Self::Isotonic(line))),
            other => Err(LoadError::BadValue {
                key: "calib_method".to_owned(),
                found: other.to_owned(),
                expected: "`platt` or `isotonic`".to_owned(),
            }),
        }
    }

    /// `[p0, p1]` after calibration.
    pub(crate) fn calibrate(&self, p0: f64, p1: f64) -> [f64; 2] {
        let p = match self {
            Self::Platt { slope, intercept } => logistic(p0 * slope + intercept),
            Self::Isotonic(line) => line.at(p1),
        };
        [1.0 - p, p]
    }
}

/// A non-decreasing line through points.
#[derive(Debug, Clone)]
pub(crate) struct Isotonic {
    min: f64,
    max: f64,
    xs: Vec<f64>,
    ys: Vec<f64>,
}

impl Isotonic {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let xs = read_doubles(reader, "calib/thresholds_x")?;
        let ys = read_doubles(reader, "calib/thresholds_y")?;
        let min = reader.ini().optional_f64("calib_min_x")?.unwrap_or(f64::NAN);
        let max = reader.ini().optional_f64("calib_max_x")?.unwrap_or(f64::NAN);
        Self::new(min, max, xs, ys).map_err(|reason| LoadError::BadEntry {
            entry: "calib/thresholds_x".to_owned(),
            reason,
        })
    }

    /// Every value between `min` and `max` must fall on or between two of `xs`.
    pub(crate) fn new(min: f64, max: f64, xs: Vec<f64>, ys: Vec<f64>) -> Result<Self, String> {
        if xs.len() != ys.len() || xs.is_empty() {
            return Err(format!("{} thresholds for {} values", xs.len(), ys.len()));
        }
        if !xs.is_sorted_by(|a, b| a <= b) {
            return Err("the thresholds do not rise".to_owned());
        }
        // Comparisons with NaN are false, and a line without ends answers NaN to everything.
        if min < xs[0] || max > xs[xs.len() - 1] {
            return Err(format!("the thresholds do not reach from {min} to {max}"));
        }
        Ok(Self { min, max, xs, ys })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.xs.as_slice()) + size_of_val(self.ys.as_slice())
    }

    /// The line's value; NaN for NaN.
    pub(crate) fn at(&self, x: f64) -> f64 {
        if x.is_nan() {
            return f64::NAN;
        }
        let x = if x < self.min { self.min } else { crate::link::java_min(x, self.max) };
        if x.is_nan() || x < self.min || x > self.max {
            return f64::NAN;
        }
        match binary_search(&self.xs, x) {
            Ok(found) => self.ys[found],
            Err(above) => {
                let (Some(low), true) = (above.checked_sub(1), above < self.xs.len()) else {
                    return f64::NAN;
                };
                let slope = (self.ys[above] - self.ys[low]) / (self.xs[above] - self.xs[low]);
                self.ys[low] + slope * (x - self.xs[low])
            }
        }
    }
}

/// Java's `Arrays.binarySearch(double[], double)`: of equal elements the same one is found.
fn binary_search(sorted: &[f64], key: f64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, sorted.len());
    while low < high {
        // Java's bounds are inclusive: its middle is (low + high - 1) / 2 in these terms.
        let middle = usize::midpoint(low, high - 1);
        match sorted[middle].total_cmp(&key) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}

/// An `i32` count, then as many doubles, all big-endian.
fn read_doubles(reader: &Reader<'_, '_>, entry: &str) -> Result<Vec<f64>, LoadError> {
    let bytes = reader.blob(entry)?;
    let bad = |reason: String| LoadError::BadEntry { entry: entry.to_owned(), reason };
    let Some((count, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(bad("too short for a count".to_owned()));
    };
    let count = i32::from_be_bytes(*count);
    let values: Vec<f64> = doubles_be(rest).collect();
    match usize::try_from(count) {
        Ok(count) if count <= values.len() => Ok(values[..count].to_vec()),
        _ => Err(bad(format!("{count} doubles announced, {} there", values.len()))),
    }
}
