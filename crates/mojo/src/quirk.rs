//! The models that genmodel answers wrongly without a word.

use crate::error::LoadError;
use crate::reader::Reader;

/// XGBoost with an encoding that happens before training: the file has the encoded columns and
/// does not say how they came about, so genmodel takes every category for missing.
pub(crate) fn refuse_lost_encoding(reader: &Reader<'_, '_>) -> Result<(), LoadError> {
    const DETAILS: &str = "experimental/modelDetails.json";
    if !reader.contains(DETAILS) {
        return Ok(());
    }
    let details: serde_json::Value = match serde_json::from_slice(&reader.blob(DETAILS)?) {
        Ok(details) => details,
        Err(cause) => {
            reader.warn("bad_details", format!("`{DETAILS}` is not JSON: {cause}"));
            return Ok(());
        }
    };
    let parameters = details["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let encoding = parameters
        .iter()
        .find(|parameter| parameter["name"] == "categorical_encoding")
        .and_then(|parameter| parameter["actual_value"].as_str());
    match encoding {
        Some(
            encoding @ ("Binary" | "EnumLimited" | "LabelEncoder" | "OneHotExplicit" | "Eigen"),
        ) => Err(LoadError::Quirk {
            reason: format!(
                "the XGBoost model was trained with categorical_encoding = {encoding}, of which \
                 the MOJO keeps no trace: genmodel takes every category of a row for missing and \
                 answers without an error. Train with one_hot_internal, or ask for genmodel's \
                 answers with --genmodel-quirks"
            ),
        }),
        _ => Ok(()),
    }
}
