//! Isotonic Regression: a line that never falls, from one column to the answer.
//!
//! In `model.ini`: `calib_min_x`, `calib_max_x`. In `calib/thresholds_x` and `calib/thresholds_y`:
//! an `i32` count and as many doubles, big-endian. These are the entries of isotonic calibration,
//! and so is the rule: the value is clipped to the ends, then found among the thresholds or put on
//! the line between two of them; NaN for a missing value. What H2O does out of bounds
//! (`out_of_bounds`) is not in the file: genmodel always clips. Version 1.00.
//! Source: `IsotonicRegressionMojoReader`, `IsotonicRegressionMojoModel`.

use crate::calibration::Isotonic;
use crate::error::LoadError;
use crate::reader::Reader;

#[derive(Debug)]
pub(crate) struct IsotonicRegression(Isotonic);

impl IsotonicRegression {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        Isotonic::read(reader).map(Self)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// `raw`: the row; its first column is the only one that counts.
    pub(crate) fn score(&self, raw: &[f64]) -> f64 {
        self.0.at(raw[0])
    }
}
