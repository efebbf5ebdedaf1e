//! Models inside of a model: `submodel_count`, `submodel_key_i`, `submodel_dir_i`.
//!
//! Source: `MultiModelMojoReader`.

use std::collections::HashMap;

use crate::error::LoadError;
use crate::head::{Category, Head};
use crate::reader::Reader;
use crate::scorer::Scorer;

/// A model inside of another: it is given raw rows.
#[derive(Debug)]
pub(crate) struct Submodel {
    /// Names of its columns, the response last if it has one.
    pub(crate) names: Vec<String>,
    /// Domains of its columns.
    pub(crate) domains: Vec<Option<Vec<String>>>,
    pub(crate) scorer: Scorer,
    category: Category,
    /// Place of each name among `names`.
    places: HashMap<String, usize>,
}

impl Submodel {
    fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let head = Head::read(reader)?;
        let scorer = Scorer::read(reader, &head)?;
        let names = reader.ini().columns.clone();
        let places = first_places(&names).into_iter();
        let places = places.map(|(name, place)| (name.to_owned(), place)).collect();
        Ok(Self { names, domains: head.domains, scorer, category: head.category, places })
    }

    /// Names of the raw row.
    pub(crate) fn features(&self) -> &[String] {
        &self.names[..self.scorer.width]
    }

    /// Place of a column, the response included.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Place of a feature in the raw row.
    pub(crate) fn place_of_feature(&self, name: &str) -> Option<usize> {
        self.place_of(name).filter(|&place| place < self.scorer.width)
    }

    /// Place of each of its features among those of the model around it, see [`first_places`].
    pub(crate) fn places(&self, outer: &HashMap<&str, usize>) -> Result<Vec<usize>, LoadError> {
        let place = |feature: &String| {
            outer.get(feature.as_str()).copied().ok_or_else(|| LoadError::BadEntry {
                entry: "model.ini".to_owned(),
                reason: format!(
                    "a model inside takes the column `{feature}`, which is not in [columns]"
                ),
            })
        };
        self.features().iter().map(place).collect()
    }

    /// Its scorer, if its answers can be those of the model around it, which `key` names it in.
    pub(crate) fn answering(self, head: &Head, key: &str) -> Result<Scorer, LoadError> {
        let is_classification = head.category.is_classification();
        let answers = if is_classification { head.n_classes + 1 } else { 1 };
        let fits = self.category.is_classification() == is_classification
            && self.scorer.preds_len == answers;
        if fits {
            return Ok(self.scorer);
        }
        Err(LoadError::BadValue {
            key: key.to_owned(),
            found: format!("a {} model with {} answers", self.category, self.scorer.preds_len),
            expected: format!("a {} model with {answers}, as around it", head.category),
        })
    }
}

/// Place of each name; of equal ones the first.
pub(crate) fn first_places(names: &[String]) -> HashMap<&str, usize> {
    let mut places = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        places.entry(name.as_str()).or_insert(place);
    }
    places
}

/// All models inside, by key.
pub(crate) struct Submodels(HashMap<String, Submodel>);

impl Submodels {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let mut models = HashMap::new();
        for i in 0..ini.optional_usize("submodel_count")?.unwrap_or(0) {
            let key = ini.required_text(&format!("submodel_key_{i}"))?;
            let folder = ini.required_text(&format!("submodel_dir_{i}"))?;
            models.insert(key.to_owned(), Submodel::read(&reader.submodel(folder)?)?);
        }
        Ok(Self(models))
    }

    /// Hands out the model that the value of `key` names.
    pub(crate) fn take(
        &mut self,
        reader: &Reader<'_, '_>,
        key: &str,
    ) -> Result<Submodel, LoadError> {
        let name = reader.ini().required_text(key)?;
        self.0.remove(name).ok_or_else(|| LoadError::BadValue {
            key: key.to_owned(),
            found: crate::ini::shorten(name),
            expected: "the key of a model inside, which nothing else uses".to_owned(),
        })
    }

    /// The same, where the key may be missing.
    pub(crate) fn take_optional(
        &mut self,
        reader: &Reader<'_, '_>,
        key: &str,
    ) -> Result<Option<Submodel>, LoadError> {
        match reader.ini().text(key) {
            None => Ok(None),
            Some(_) => self.take(reader, key).map(Some),
        }
    }
}
