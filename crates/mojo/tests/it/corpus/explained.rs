//! The explanations of the corpus: leaf paths and ids, staged answers, contributions; the names of
//! each, and the models that have none.

use std::sync::Arc;

use serde_json::Value;
use stemson_mojo::{Batch, LeafAssignment, Options};

use super::{Case, TextRow, floats, text_cells};

/// Rows that genmodel was asked to explain.
const EXPLAINED: usize = 16;

impl Case {
    pub(super) fn explanations(&mut self, rows: &[TextRow], expected: &[Value]) {
        self.explanation_names(&expected[0]);
        let rows = &rows[..rows.len().min(EXPLAINED)];
        for leaves in [LeafAssignment::Paths, LeafAssignment::Ids] {
            let batch = self.explain(rows, leaves);
            for row in 0..rows.len() {
                let is_line = |line: &&Value| line["row"] == row && line["cfg"] == "lenient";
                let line = expected.iter().find(is_line).unwrap();
                self.explained_row(&format!("lenient row {row}"), &batch, row, line, leaves);
            }
        }
    }

    fn explain(&self, rows: &[TextRow], leaves: LeafAssignment) -> Batch {
        let options = Options {
            contributions: true,
            leaf_assignment: Some(leaves),
            staged: true,
            ..Options::default()
        };
        let mut batch = Batch::new(Arc::clone(&self.model), options);
        for (i, row) in rows.iter().enumerate() {
            batch.push(&text_cells(&self.model, row));
            // Explaining in pieces must make no difference.
            if i % 5 == 0 {
                batch.score();
            }
        }
        batch.score();
        batch
    }

    fn explanation_names(&mut self, head: &Value) {
        let offers = self.model.offers();
        match (&offers.contributions, &head["contribution_names"]) {
            (Err(reason), Value::Null) if !reason.is_empty() => {}
            // Ours: genmodel has none.
            (Ok(_), Value::Null) if self.model.algorithm() == "glm" => {}
            (Ok(found), expected) if *expected == Value::from(found.as_slice()) => {
                let compact = self.model.compact_contribution_names().unwrap();
                if self.model.algorithm() != "xgboost" && compact != *found {
                    self.fail("model", "columns are encoded by XGBoost only");
                }
            }
            (found, expected) => {
                let what = format!("contributions {found:?}, expected {expected}");
                self.fail("model", &what);
            }
        }
        // genmodel has no names for XGBoost's trees, and others for trees that it cannot follow.
        if let (Ok(found), Value::Array(_)) = (&offers.leaf_paths, &head["decision_path_names"])
            && head["decision_path_names"] != Value::from(found.as_slice())
        {
            self.fail("model", &format!("leaves {found:?}"));
        }
    }

    fn explained_row(
        &mut self,
        place: &str,
        batch: &Batch,
        row: usize,
        line: &Value,
        leaves: LeafAssignment,
    ) {
        // genmodel's wrapper does not explain uplift, though the model below it would.
        let is_silent = self.model.algorithm() == "upliftdrf" || !line["extra_error"].is_null();
        match (batch.contributions(row), &line["contributions"]) {
            (None, Value::Null) => {}
            (Some(_), Value::Null) if self.model.algorithm() == "glm" => {}
            (found, expected) => {
                let found: Vec<f64> = found.into_iter().flatten().map(|&x| x.into()).collect();
                self.numbers(place, "contributions", &found, &floats(expected), 0);
            }
        }
        match (batch.staged(row), &line["staged"]) {
            (_, Value::Null) if is_silent => {}
            (None, Value::Null) => {}
            (found, expected) => {
                self.numbers(place, "staged", found.unwrap_or_default(), expected, self.ulps());
            }
        }
        let (key, found) = match leaves {
            LeafAssignment::Paths => ("leaf_paths", batch.leaf_paths(row).map(Iterator::collect)),
            LeafAssignment::Ids => ("leaf_ids", batch.leaf_ids(row).map(Value::from)),
        };
        let is_refused = !line["extra_error"].is_null();
        let offers = self.model.offers();
        let names = if key == "leaf_ids" { offers.leaf_ids } else { offers.leaf_paths };
        match (found, &line[key]) {
            (None, Value::Null) if names.is_err() => self.tally.refused += usize::from(is_refused),
            (Some(_), Value::Null) if self.model.algorithm() == "upliftdrf" => {}
            (Some(found), expected) if found == *expected => {
                self.tally.exact += expected.as_array().map_or(0, Vec::len);
                if names.map_or(0, |names| names.len()) != expected.as_array().map_or(0, Vec::len) {
                    self.fail(place, &format!("{key} and their names differ in number"));
                }
            }
            (found, expected) => {
                self.fail(place, &format!("{key} {found:?}, expected {expected}"));
            }
        }
    }
}
