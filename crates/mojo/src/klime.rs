//! k-LIME: K-means, and a linear model per cluster that explains itself.
//!
//! | entry | meaning |
//! | --- | --- |
//! | `clustering_model`, `global_regression_model` | keys of the K-means and of the GLM for clusters without their own |
//! | `cluster_num`, `cluster_regression_model_i` | keys of the clusters' GLMs; a hole takes the global one |
//!
//! The array is `[value, cluster, reason codes...]`, a reason code being the column's term in the
//! GLM. Written by Driverless AI. Source: `KLimeMojoReader`, `KLimeMojoModel`,
//! `GlmMojoModel.applyCoefficients`.

use std::collections::HashMap;

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::head::Head;
use crate::reader::Reader;
use crate::scorer::{Algorithm, Scorer, Scratch};
use crate::submodels::{Submodel, Submodels};

#[derive(Debug)]
pub(crate) struct KLime {
    clustering: Box<Scorer>,
    /// Place in the raw row of each of the clustering's columns.
    places: Vec<usize>,
    global: Box<Scorer>,
    clusters: Vec<Option<Scorer>>,
}

impl KLime {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let mut models = Submodels::read(reader)?;
        let clustering = models.take(reader, "clustering_model")?;
        let key = "global_regression_model";
        let global = models.take(reader, key)?;
        // A column of the clustering that the GLM does not have is its first one: so in genmodel.
        let columns: HashMap<&str, usize> =
            global.features().iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let place = |name: &String| columns.get(name.as_str()).copied().unwrap_or(0);
        let places = clustering.features().iter().map(place).collect();
        let global = Box::new(linear(global, head, key)?);
        let mut clusters = Vec::new();
        // No row comes to a cluster that the clustering does not have.
        let n_clusters = match &clustering.scorer.algorithm {
            Algorithm::KMeans(kmeans) => kmeans.clusters(),
            other => {
                return Err(LoadError::BadValue {
                    key: "clustering_model".to_owned(),
                    found: other.name().to_owned(),
                    expected: "a K-means model".to_owned(),
                });
            }
        };
        let claimed = reader.ini().optional_usize("cluster_num")?.unwrap_or(0);
        for i in 0..claimed.min(n_clusters) {
            let key = format!("cluster_regression_model_{i}");
            let model = models.take_optional(reader, &key)?;
            clusters.push(model.map(|model| linear(model, head, &key)).transpose()?);
        }
        Ok(Self { clustering: Box::new(clustering.scorer), places, global, clusters })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let clusters = self.clusters.iter().flatten().map(|s| s.algorithm.memory_bytes());
        clusters.sum::<usize>() + self.global.algorithm.memory_bytes()
    }

    /// Fills `preds`, `[value, cluster, reason codes...]`: one code per column, NaN where a level
    /// has no coefficient.
    pub(crate) fn score(
        &self,
        raw: &[f64],
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        let row: Vec<f64> = self.places.iter().map(|&place| raw[place]).collect();
        let mut answer = vec![0.0; self.clustering.preds_len];
        self.clustering.score_row(&row, 0.0, &mut answer, scratch)?;
        let cluster = answer[0];
        let own = self.clusters.get(cluster as usize).filter(|_| cluster >= 0.0);
        let Some(own) = own else {
            return Err(RowError {
                kind: RowErrorKind::Model,
                column: None,
                message: format!("cluster {cluster} has no linear model"),
            });
        };
        let linear = own.as_ref().unwrap_or(&self.global);
        linear.score_row(raw, 0.0, &mut preds[..1], scratch)?;
        preds[1] = cluster;
        preds[2..].fill(f64::NAN);
        if let Algorithm::Glm(glm) = &linear.algorithm {
            glm.reason_codes(raw, &mut preds[2..]);
        }
        Ok(())
    }
}

/// The scorer of a GLM regression over the same columns.
fn linear(model: Submodel, head: &Head, key: &str) -> Result<Scorer, LoadError> {
    let scorer = model.scorer;
    let fits = matches!(scorer.algorithm, Algorithm::Glm(_))
        && scorer.preds_len == 1
        && scorer.width == head.n_features;
    if fits {
        return Ok(scorer);
    }
    Err(LoadError::BadValue {
        key: key.to_owned(),
        found: format!("{} of {} columns", scorer.algorithm.name(), scorer.width),
        expected: format!("a GLM regression of {} columns", head.n_features),
    })
}
