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
    /// Isolation forests.
    Anomaly {
        /// Whether the score is above the model's threshold; `None` if the model does not decide.
        is_anomaly: Option<bool>,
        /// Mean length of the paths that the row takes: the shorter, the more unusual.
        score: f64,
        /// The length on a scale where 1 is most unusual; beyond 0 and 1 for rows unlike any in
        /// training.
        normalized: f64,
    },
    /// Uplift DRF: what treatment adds to the probability of the second class, and that
    /// probability with and without treatment.
    Uplift(&'a [f64]),
    /// k-LIME.
    KLime {
        /// Prediction of the cluster's linear model.
        value: f64,
        /// The cluster.
        cluster: usize,
        /// Term of each column, model order; NaN where a level has no coefficient.
        reason_codes: &'a [f64],
    },
    /// K-means: the cluster, -1 if the row is infinitely far from each.
    Cluster(i32),
    /// PCA and GLRM.
    Dimensions {
        /// A coordinate per component or archetype; NaN where a missing number does not allow one.
        dimensions: &'a [f64],
        /// The row that they stand for, model order, levels as indices. GLRM, where
        /// [`crate::Options::reconstruct`] asks for it and the model can.
        reconstructed: Option<&'a [f64]>,
    },
    /// Autoencoder. Both slices have a number per input of the network: levels one by one, with one
    /// more for missing, and the numeric columns.
    Reconstruction {
        /// The row as the network sees it; NaN where a number is missing.
        original: &'a [f64],
        /// What it makes of it, in the order of [`crate::Model::output_columns`].
        reconstructed: &'a [f64],
        /// Mean squared difference of the two, numbers standardised; NaN where a number is missing.
        mse: f64,
    },
    /// Target encoder: the encodings, in the order of [`crate::Model::output_columns`].
    Transformations(&'a [f64]),
    /// `Word2Vec`.
    Embeddings {
        /// A vector per cell, behind each other; all NaN where a cell is no word of the model.
        vectors: &'a [f32],
        /// Mean of the vectors there are; NaN if there is none. Its length is that of each vector.
        average: &'a [f32],
    },
}
