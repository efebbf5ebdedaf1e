//! MOJO pipeline: models that make columns for a main model.
//!
//! | entry | meaning |
//! | --- | --- |
//! | `main_model` | key of the model that answers |
//! | `generated_column_count`, `generated_column_{name,model,index}_i` | its columns that come from another model's array, and from which place of it |
//!
//! Columns of the main model that nothing fills are 0, not missing: so does genmodel.
//! Source: `MojoPipelineReader`, `MojoPipeline`.

use std::collections::{BTreeMap, HashSet};

use crate::error::{LoadError, RowError};
use crate::head::Head;
use crate::reader::Reader;
use crate::scorer::{Scorer, Scratch};
use crate::submodels::{Submodels, first_places};

#[derive(Debug)]
pub(crate) struct Pipeline {
    main: Box<Scorer>,
    /// From the pipeline's raw row to the main model's: source, target.
    copied: Vec<(usize, usize)>,
    makers: Vec<Maker>,
}

/// A model that fills columns of the main model.
#[derive(Debug)]
struct Maker {
    scorer: Scorer,
    places: Vec<usize>,
    /// Place in its array, place in the main model's row.
    made: Vec<(usize, usize)>,
}

/// What `model.ini` says of a maker: the key that names it, place in its array and in the row.
struct Made {
    key: String,
    places: Vec<(usize, usize)>,
}

impl Pipeline {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let mut models = Submodels::read(reader)?;
        let main = models.take(reader, "main_model")?;
        let names = first_places(&ini.columns[..head.n_features]);
        let mut generated = HashSet::new();
        let mut by_maker: BTreeMap<&str, Made> = BTreeMap::new();
        for i in 0..ini.optional_usize("generated_column_count")?.unwrap_or(0) {
            let name_key = format!("generated_column_name_{i}");
            let name = ini.required_text(&name_key)?;
            let model_key = format!("generated_column_model_{i}");
            let model = ini.required_text(&model_key)?;
            let index = ini.optional_usize(&format!("generated_column_index_{i}"))?.unwrap_or(0);
            let Some(target) = main.place_of_feature(name) else {
                return Err(LoadError::BadValue {
                    key: name_key,
                    found: crate::ini::shorten(name),
                    expected: "a column of the main model".to_owned(),
                });
            };
            generated.insert(name);
            let made = by_maker.entry(model).or_insert(Made { key: model_key, places: Vec::new() });
            made.places.push((index, target));
        }
        let mut makers = Vec::new();
        for Made { key, places: made } in by_maker.into_values() {
            let model = models.take(reader, &key)?;
            if let Some((index, _)) = made.iter().find(|made| made.0 >= model.scorer.preds_len) {
                return Err(LoadError::BadValue {
                    key,
                    found: format!("place {index} of its answers"),
                    expected: format!("one below {}", model.scorer.preds_len),
                });
            }
            makers.push(Maker { places: model.places(&names)?, scorer: model.scorer, made });
        }
        let mut copied = Vec::new();
        for (target, feature) in main.features().iter().enumerate() {
            if generated.contains(feature.as_str()) {
                continue;
            }
            let source = names.get(feature.as_str()).copied();
            let source = source.ok_or_else(|| LoadError::BadEntry {
                entry: "model.ini".to_owned(),
                reason: format!("the main model's column `{feature}` comes from nowhere"),
            })?;
            copied.push((source, target));
        }
        let main = Box::new(main.answering(head, "main_model")?);
        Ok(Self { main, copied, makers })
    }

    pub(crate) fn is_exact(&self) -> bool {
        let makers = self.makers.iter().map(|maker| &maker.scorer);
        makers.chain([&*self.main]).all(|scorer| scorer.algorithm.is_exact())
    }

    pub(crate) fn depends_on_row_alone(&self) -> bool {
        let makers = self.makers.iter().map(|maker| &maker.scorer);
        makers.chain([&*self.main]).all(|scorer| scorer.algorithm.depends_on_row_alone())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let makers = self.makers.iter().map(|maker| maker.scorer.algorithm.memory_bytes());
        makers.sum::<usize>() + self.main.algorithm.memory_bytes()
    }

    pub(crate) fn score(
        &self,
        raw: &[f64],
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        let mut row = vec![0.0; self.main.width];
        for &(source, target) in &self.copied {
            row[target] = raw[source];
        }
        for maker in &self.makers {
            let inner: Vec<f64> = maker.places.iter().map(|&place| raw[place]).collect();
            let mut made = vec![0.0; maker.scorer.preds_len];
            maker.scorer.score_row(&inner, 0.0, &mut made, scratch)?;
            for &(index, target) in &maker.made {
                row[target] = made[index];
            }
        }
        self.main.score_row(&row, 0.0, preds, scratch)
    }
}
