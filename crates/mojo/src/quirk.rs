//! The models that genmodel answers wrongly without a word.

use crate::details::Details;
use crate::error::LoadError;

/// XGBoost with an encoding that happens before training: the file has the encoded columns and
/// does not say how they came about, so genmodel takes every category for missing.
pub(crate) fn refuse_lost_encoding(details: &Details) -> Result<(), LoadError> {
    match details.parameter("categorical_encoding") {
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
