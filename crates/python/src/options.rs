//! What Python asks of every row.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use stemson_mojo::{LeafAssignment, Model, Options, Part};

use crate::errors;

/// The keyword arguments that all ways of predicting share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) options: Options,
    pub(crate) calibrated: bool,
}

impl Asked {
    /// From the keywords; `leaf_assignment` is `paths`, `ids` or nothing.
    #[expect(clippy::fn_params_excessive_bools, reason = "each is a keyword of its own in Python")]
    pub(crate) fn new(
        strict: bool,
        contributions: bool,
        leaf_assignment: Option<&str>,
        staged: bool,
        calibrated: bool,
        distances: bool,
    ) -> PyResult<Self> {
        let leaf_assignment = match leaf_assignment {
            None => None,
            Some("paths") => Some(LeafAssignment::Paths),
            Some("ids") => Some(LeafAssignment::Ids),
            Some(other) => {
                let message = format!("leaf_assignment is {other:?}, expected 'paths' or 'ids'");
                return Err(PyValueError::new_err(message));
            }
        };
        let options = Options {
            strict,
            distances,
            reconstruct: false,
            contributions,
            leaf_assignment,
            staged,
        };
        Ok(Self { options, calibrated })
    }

    /// The parts of an answer that become columns, in H2O's order.
    pub(crate) fn parts(self, py: Python<'_>, model: &Model) -> PyResult<Vec<Part>> {
        let parts = model.table_parts(self.options, self.calibrated);
        parts.map_err(|error| errors::not_offered(py, &error))
    }
}
