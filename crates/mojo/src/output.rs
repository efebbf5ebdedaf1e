//! What a caller gets, by category.

/// The prediction of one row. Slices point into the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Output<'a> {
    /// Binomial, multinomial, ordinal.
    Classes {
        /// Index of the predicted label in [`crate::Model::labels`].
        index: usize,
        /// Probability of each label, in their order.
        p: &'a [f64],
        /// The same after calibration, where the model was calibrated. Never changes the label.
        calibrated: Option<&'a [f64]>,
    },
    /// Regression.
    Value(f64),
}
