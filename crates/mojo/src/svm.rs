//! Support Vector Machine of Sparkling Water: linear, with a margin for its threshold.
//!
//! Keys `weights`, `interceptor` (the intercept), `meanImputation` with `means`, `threshold` on the
//! sum, `defaultThreshold` on the "probability", which is the sum bent to its side.
//! Source: `SvmMojoReader`, `SvmMojoModel`.

use crate::error::LoadError;
use crate::head::Head;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct Svm {
    weights: Vec<f64>,
    /// Replacements for missing values.
    means: Option<Vec<f64>>,
    intercept: f64,
    threshold: f64,
    default_threshold: f64,
}

impl Svm {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let one_per_column = |key: &str| {
            let values = ini.doubles(key)?;
            if values.len() < head.n_features {
                return Err(LoadError::BadValue {
                    key: key.to_owned(),
                    found: format!("{} numbers", values.len()),
                    expected: format!("{}, one per column", head.n_features),
                });
            }
            Ok(values)
        };
        let imputes = ini.bool_or("meanImputation", false)?;
        Ok(Self {
            weights: one_per_column("weights")?,
            means: if imputes { Some(one_per_column("means")?) } else { None },
            intercept: ini.f64("interceptor")?,
            threshold: ini.f64("threshold")?,
            default_threshold: ini.f64("defaultThreshold")?,
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        2 * size_of_val(self.weights.as_slice())
    }

    /// Fills `preds`, the label included: `[label, p0, p1]` or `[value]`.
    pub(crate) fn score(&self, raw: &[f64], preds: &mut [f64]) {
        let mut sum = self.intercept;
        for (column, (&value, &weight)) in raw.iter().zip(&self.weights).enumerate() {
            sum += match &self.means {
                Some(means) if value.is_nan() => means[column] * weight,
                _ => value * weight,
            };
        }
        let [label, p0, p1] = preds else {
            preds[0] = sum;
            return;
        };
        if sum > self.threshold {
            *label = 1.0;
            *p1 = if sum < self.default_threshold { self.default_threshold } else { sum };
            *p0 = *p1 - 1.0;
        } else {
            *label = 0.0;
            *p1 = if sum >= self.default_threshold { self.default_threshold - 1.0 } else { sum };
            *p0 = *p1 + 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bends_the_sum_to_its_side() {
        let svm = Svm {
            weights: vec![1.0],
            means: Some(vec![2.0]),
            intercept: 0.5,
            threshold: 0.0,
            default_threshold: 0.3,
        };
        for (x, expected) in [
            (-0.4, [1.0, -0.7, 0.3]),
            (1.0, [1.0, 0.5, 1.5]),
            (-1.0, [0.0, 0.5, -0.5]),
            (f64::NAN, [1.0, 1.5, 2.5]),
        ] {
            let mut preds = [9.0; 3];
            svm.score(&[x], &mut preds);
            let close = preds.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(close, "{x}: {preds:?}");
        }
    }
}
