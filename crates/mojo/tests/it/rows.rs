//! Whichever way cells come in, by row, by column or looked up once, the rows are the same.

use std::sync::Arc;

use stemson_mojo::{Batch, Cell, Found, LoadOptions, Model, Options, parse_double};

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

/// What is no number is absent.
fn numeric<'t>(cells: &[Cell<'t>]) -> Vec<Cell<'t>> {
    let number = |cell: &Cell<'_>| match cell {
        Cell::Text(text) => parse_double(text).filter(|number| !number.is_nan()),
        _ => None,
    };
    cells.iter().map(|cell| number(cell).map_or(Cell::Absent, Cell::Number)).collect()
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
fn by_row_by_column_and_looked_up_once() {
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

            let numbers: Vec<_> = rows.iter().map(|cells| numeric(cells)).collect();
            let (mut by_number, mut in_runs) = (batch(), batch());
            numbers.iter().for_each(|row| by_number.push(row));
            in_runs.fill(rows.len(), |to| {
                for column in 0..model.schema().columns().len() {
                    for first in (0..rows.len()).step_by(7) {
                        let run = &numbers[first..rows.len().min(first + 7)];
                        let values = run.iter().map(|cells| match cells[column] {
                            Cell::Number(value) => value,
                            _ => -f64::NAN,
                        });
                        to.set_numbers(column, first, values);
                    }
                }
            });
            assert_eq!(said(&mut in_runs), said(&mut by_number), "{case}");

            let mut looked_up = batch();
            looked_up.fill(rows.len(), |to| {
                for column in 0..model.schema().columns().len() {
                    let mut known: Vec<(Cell<'_>, Found)> = Vec::new();
                    for (row, cells) in rows.iter().enumerate() {
                        let cell = cells[column];
                        let place = known.iter().position(|(value, _)| *value == cell);
                        let place = place.unwrap_or_else(|| {
                            known.push((cell, to.look_up(column, cell)));
                            known.len() - 1
                        });
                        to.set_found(row, column, known[place].1, || cell);
                    }
                }
            });
            assert_eq!(said(&mut looked_up), expected, "{case}");
        }
    }
}
