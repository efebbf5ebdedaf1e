//! What the configuration says of single models (`[[model]]`).

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use stemson_serving::Gate;

use crate::oip::Shown;

/// The configuration of one model. What it does not say is as for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelConfig {
    /// Deadline of a request that names none (`slo_ms`).
    pub slo: Option<Duration>,
    /// Its share of the compute lane and of the places in the queue, against the weights of the
    /// others, while there is more to do than can be done (`weight`). Models without one share one
    /// of weight 1.
    pub weight: Option<NonZeroU32>,
    /// How the Open Inference Protocol shows its inputs (`oip_layout`).
    pub oip_layout: Option<OipLayout>,
    /// The datatype in which it shows numbers (`oip_datatype`).
    pub oip_datatype: Option<OipDatatype>,
}

/// How the inputs of a model are shown. All layouts are accepted of every model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OipLayout {
    /// One matrix of all columns, a level as its index.
    Matrix,
    /// Column by column.
    Columns,
    /// One text per row, a JSON object.
    Rows,
}

/// The datatype in which numbers are shown. All are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OipDatatype {
    /// 32-bit floats, for clients that have no others.
    Fp32,
    /// 64-bit floats, the model's own.
    Fp64,
}

/// The configuration of all models, by name.
#[derive(Debug, Default)]
pub(crate) struct Models {
    by_name: BTreeMap<String, (ModelConfig, usize)>,
    weights: Vec<NonZeroU32>,
}

impl Models {
    pub(crate) fn new(models: BTreeMap<String, ModelConfig>) -> Self {
        // The first flow is that of all models without a weight.
        let mut weights = vec![NonZeroU32::MIN];
        let mut with_flow = |(name, model): (String, ModelConfig)| {
            let flow = model.weight.map_or(0, |weight| {
                weights.push(weight);
                weights.len() - 1
            });
            (name, (model, flow))
        };
        let by_name = models.into_iter().map(&mut with_flow).collect();
        Self { by_name, weights }
    }

    /// The weights of the flows that share the compute lane.
    pub(crate) fn weights(&self) -> &[NonZeroU32] {
        &self.weights
    }

    /// The gate of a lane of so many threads.
    pub(crate) fn gate(&self, lanes: usize, requests_max: usize) -> Gate {
        Gate::weighted(u32::try_from(lanes).unwrap_or(u32::MAX), requests_max, &self.weights)
    }

    fn find(&self, name: &str) -> Option<&(ModelConfig, usize)> {
        self.by_name.get(name)
    }

    /// The flow that the model's work belongs to.
    pub(crate) fn flow(&self, name: &str) -> usize {
        self.find(name).map_or(0, |(_, flow)| *flow)
    }

    /// Its own deadline of a request that names none.
    pub(crate) fn slo(&self, name: &str) -> Option<Duration> {
        self.find(name).and_then(|(model, _)| model.slo)
    }

    /// How the Open Inference Protocol shows the model's inputs.
    pub(crate) fn shown(&self, name: &str) -> Shown {
        let model = self.find(name).map(|(model, _)| *model).unwrap_or_default();
        Shown { layout: model.oip_layout, datatype: model.oip_datatype }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_flow_of_its_own() {
        let weight = NonZeroU32::new(3);
        let heavy = ModelConfig { weight, ..ModelConfig::default() };
        let quick = ModelConfig { slo: Some(Duration::from_millis(7)), ..ModelConfig::default() };
        let models = [("heavy".to_owned(), heavy), ("quick".to_owned(), quick)];
        let models = Models::new(models.into());
        assert_eq!(models.weights().iter().map(|w| w.get()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((models.flow("heavy"), models.flow("quick"), models.flow("other")), (1, 0, 0));
        assert_eq!(models.slo("quick"), Some(Duration::from_millis(7)));
        assert_eq!(models.slo("heavy"), None);
    }
}
