//! `experimental/modelDetails.json`: H2O's own description of the model, which MOJOs of recent
//! versions carry. No score needs it; variable importances and DRF's contributions do.
//!
//! Whatever is wrong with it, the model loads: a warning says what was lost.
//! Sources: `ModelJsonReader`, `VariableImportances`.

use serde_json::Value;

use crate::error::LoadError;
use crate::java::parse_double;
use crate::reader::Reader;

const ENTRY: &str = "experimental/modelDetails.json";

/// A larger one is left unread: parsed, it takes several times its size.
const BYTES_MAX: u64 = 16 << 20;
/// So is one that would take more room than this when parsed; small lists and objects take most.
const PARSED_BYTES_MAX: usize = 256 << 20;

/// How much a variable did for a model in training, by H2O's count.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableImportance {
    /// The column; of models on one-hot columns also a level of it, `c12.m00`.
    pub variable: String,
    /// In units of the algorithm; NaN where the file says so.
    pub relative: f64,
    /// Over the largest one; NaN if the file does not hold it.
    pub scaled: f64,
    /// Share of all; NaN if the file does not hold it.
    pub percentage: f64,
}

/// The JSON as it is.
#[derive(Debug)]
pub(crate) struct Details(Value);

impl Details {
    /// `None` if there is none, or none that can be read.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Option<Self>, LoadError> {
        let Some(size) = reader.size(ENTRY) else { return Ok(None) };
        if size > BYTES_MAX {
            let message = format!("`{ENTRY}` has {size} bytes, more than {BYTES_MAX}: not read");
            reader.warn("bad_details", message);
            return Ok(None);
        }
        let bytes = reader.blob(ENTRY)?;
        if parsed_bytes(&bytes) > PARSED_BYTES_MAX {
            let message = format!("`{ENTRY}` has too many parts for its size: not read");
            reader.warn("bad_details", message);
            return Ok(None);
        }
        match serde_json::from_slice(&bytes) {
            Ok(details) => Ok(Some(Self(details))),
            Err(cause) => {
                reader.warn("bad_details", format!("`{ENTRY}` is not JSON: {cause}"));
                Ok(None)
            }
        }
    }

    /// The value that a parameter had in training, if it is text.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.0["parameters"].as_array()?;
        let parameter = parameters.iter().find(|parameter| parameter["name"] == name)?;
        parameter["actual_value"].as_str()
    }

    /// In the order of the file: the largest first. Empty if the file holds none.
    pub(crate) fn variable_importances(&self) -> Vec<VariableImportance> {
        let table = &self.0["output"]["variable_importances"];
        let column = |title: &str| {
            let place = table["columns"].as_array()?.iter().position(|c| c["description"] == title);
            table["data"].get(place?)?.as_array().map(Vec::as_slice)
        };
        let (Some(names), Some(relative)) = (column("Variable"), column("Relative Importance"))
        else {
            return Vec::new();
        };
        let scaled = column("Scaled Importance").unwrap_or_default();
        let percentage = column("Percentage").unwrap_or_default();
        let number = |cells: &[Value], row: usize| cells.get(row).map_or(f64::NAN, number);
        let rows = names.iter().zip(relative).enumerate();
        rows.filter_map(|(row, (name, _))| {
            Some(VariableImportance {
                variable: name.as_str()?.to_owned(),
                relative: number(relative, row),
                scaled: number(scaled, row),
                percentage: number(percentage, row),
            })
        })
        .collect()
    }
}

/// What JSON takes when parsed, at most: an object starts with a tree node, a list with room for
/// four values, and each value has a place that may be there twice while its list grows.
fn parsed_bytes(json: &[u8]) -> usize {
    let part = |&byte: &u8| match byte {
        b'{' => 720,
        b'[' => 4 * size_of::<Value>(),
        b',' => 4 * size_of::<Value>(),
        _ => 1,
    };
    json.iter().map(part).sum()
}

/// JSON has no word for NaN and infinity: they are text.
fn number(cell: &Value) -> f64 {
    match cell {
        Value::String(text) => parse_double(text).unwrap_or(f64::NAN),
        cell => cell.as_f64().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(importances: &str) -> Details {
        let text = format!(r#"{{"output": {{"variable_importances": {importances}}}}}"#);
        Details(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn reads_importances_by_title() {
        let found = details(
            r#"{"columns": [{"description": "Variable"}, {"description": "Other"},
                {"description": "Relative Importance"}],
                "data": [["a", "b", "c"], [1, 2, 3], [4.5, 0, "NaN"]]}"#,
        )
        .variable_importances();
        let relative: Vec<f64> = found.iter().map(|v| v.relative).collect();
        assert_eq!(relative[..2], [4.5, 0.0]);
        assert!(relative[2].is_nan() && found[0].scaled.is_nan());
        assert_eq!(found[1].variable, "b");
    }

    #[test]
    fn damaged_tables_hold_nothing() {
        for table in [
            "null",
            "7",
            "{}",
            r#"{"columns": 1, "data": 2}"#,
            r#"{"columns": [{"description": "Variable"}, {"description": "Relative Importance"}],
                "data": [["a"]]}"#,
        ] {
            assert_eq!(details(table).variable_importances(), [], "{table}");
        }
        assert_eq!(details("null").parameter("x"), None);
    }
}
