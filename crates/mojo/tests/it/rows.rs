//! Whichever way cells come in, by row, by column or from a dictionary, the rows are the same.

use std::sync::Arc;

use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options};

/// Rows of a case's `input.csv`, but those with quotes: a cell per column of the schema.
fn rows<'t>(model: &Model, text: &'t str) -> Vec<Vec<Cell<'t>>> {
    let mut lines = text.lines().filter(|line| !line.contains('"')).map(|line| line.split(','));
    let header: Vec<_> = lines.next().unwrap().map(|name| model.schema().index_of(name)).collect();
    let row = |line: std::str::Split<'t, char>| {
        let mut row = vec![Cell::Absent; model.schema().columns().len()];
        for (column, text) in header.iter().zip(line).filter(|(_, text)| !text.is_empty()) {
            if let Some(column) = *column {
                row[column] = Cell::Text(text);
            }
        }
        row
    };
    lines.map(row).collect()
}

/// Everything that a batch says, NaN by its bits.
fn said(batch: &mut Batch) -> Vec<String> {
    batch.score();
    let rows = (0..batch.len()).map(|row| {
        let bits: Vec<u64> = batch.raw(row).iter().map(|value| value.to_bits()).collect();
        match batch.output(row) {
            Ok(output) => format!("{output:?} {bits:?}"),
            Err(error) => format!("{error:?}"),
        }
    });
    let mut said: Vec<String> = rows.collect();
    said.push(format!("{:?}", batch.converted()));
    said
}

#[test]
fn by_row_by_column_and_from_a_dictionary() {
    for case in [
        "gbm_bernoulli",
        "gbm_bernoulli_offset",
        "gbm_enc_onehotexplicit",
        "gbm_enc_binary",
        "gbm_enc_eigen",
        "gbm_enc_enumlimited",
        "gbm_enc_labelencoder",
        "gam_cs_binomial",
        "glm_binomial_offset",
    ] {
        let folder = format!("{}/../../tests/corpora/mojo/{case}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(format!("{folder}/model.zip")).unwrap();
        let model = Arc::new(Model::load(&bytes, &LoadOptions::default()).unwrap());
        let text = std::fs::read_to_string(format!("{folder}/input.csv")).unwrap();
        let rows = rows(&model, &text);
        for strict in [false, true] {
            let batch = || Batch::new(Arc::clone(&model), Options { strict, ..Options::default() });
            let mut by_row = batch();
            rows.iter().for_each(|row| by_row.push(row));
            let expected = said(&mut by_row);
            assert!(!strict || expected.iter().any(|said| said.contains("RowError")), "{case}");

            let mut by_column = batch();
            by_column.fill(rows.len(), |to| {
                for column in (0..model.schema().columns().len()).rev() {
                    for (row, cells) in rows.iter().enumerate() {
                        to.set(row, column, cells[column]);
                    }
                }
            });
            assert_eq!(said(&mut by_column), expected, "{case}");

            let mut from_dictionary = batch();
            from_dictionary.fill(rows.len(), |to| {
                for column in 0..model.schema().columns().len() {
                    let mut values: Vec<Cell<'_>> = Vec::new();
                    let keys = rows.iter().map(|cells| {
                        let cell = cells[column];
                        let is_new = cell != Cell::Absent && !values.contains(&cell);
                        values.extend(is_new.then_some(cell));
                        values.iter().position(|value| *value == cell)
                    });
                    let keys: Vec<_> = keys.collect();
                    to.set_from_dictionary(column, values.len(), |key| values[key], keys);
                }
            });
            assert_eq!(said(&mut from_dictionary), expected, "{case}");
        }
    }
}
