//! Models inside of a model: `submodel_count`, `submodel_key_i`, `submodel_dir_i`.
//!
//! Source: `MultiModelMojoReader`.

use std::collections::HashMap;

use crate::error::LoadError;
use crate::head::Head;
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
}

impl Submodel {
    /// Names of the raw row.
    pub(crate) fn features(&self) -> &[String] {
        &self.names[..self.scorer.width]
    }

    /// Place of each of its features among `names`.
    pub(crate) fn places(&self, names: &[String]) -> Result<Vec<usize>, LoadError> {
        self.features()
            .iter()
            .map(|feature| {
                names.iter().position(|name| name == feature).ok_or_else(|| LoadError::BadEntry {
                    entry: "model.ini".to_owned(),
                    reason: format!(
                        "a model inside takes the column `{feature}`, which is not in [columns]"
                    ),
                })
            })
            .collect()
    }
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
            let inner = reader.submodel(folder)?;
            let head = Head::read(&inner)?;
            let scorer = Scorer::read(&inner, &head)?;
            let names = inner.ini().columns.clone();
            models.insert(key.to_owned(), Submodel { names, domains: head.domains, scorer });
        }
        Ok(Self(models))
    }

    /// Hands out the model that the value of `key` names.
    pub(crate) fn take(&mut self, reader: &Reader<'_, '_>, key: &str) -> Result<Submodel, LoadError> {
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
