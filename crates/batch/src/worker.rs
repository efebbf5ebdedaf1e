//! One block: text -> cells -> answers -> text.

use std::sync::Arc;

use stemson_mojo::{Batch, Model, Options};

use crate::block::Block;
use crate::columns::Lookups;
use crate::error::BatchError;
use crate::plan::Plan;
use crate::render::{Form, Row};
use crate::summary::{REFUSALS_SHOWN, Refusal};
use crate::table::{Fault, Seen, Table};

/// What one thread needs to turn blocks of input into blocks of output.
pub(crate) struct Worker {
    batch: Batch,
    lookups: Lookups,
    form: Arc<Form>,
}

impl Worker {
    pub(crate) fn new(model: Arc<Model>, options: Options, form: Arc<Form>) -> Self {
        Self { batch: Batch::new(model, options), lookups: Lookups::default(), form }
    }

    /// Writes the block's `out` and counts. An error of the reader passes through.
    pub(crate) fn work(&mut self, block: &mut Block) {
        block.out.clear();
        block.table = None;
        block.tally.clear();
        block.filled.clear();
        block.ignored.clear();
        if block.error.is_none()
            && let Some(plan) = block.plan.clone()
        {
            block.error = self.score(block, &plan).err();
        }
    }

    fn score(&mut self, block: &mut Block, plan: &Plan) -> Result<(), BatchError> {
        let mut out = std::mem::take(&mut block.out);
        let mut seen = Seen::default();
        self.batch.clear();
        let records = block.records.take();
        let table = match &records {
            Some(records) => {
                let kept_values = !self.form.is_typed();
                let lookups = &mut self.lookups;
                let taken = self.batch.fill(block.rows, |rows| {
                    Table::take(records, rows, plan, lookups, kept_values)
                });
                taken.map_err(|reason| BatchError::broken_array(&plan.source_name, reason))?
            }
            None => std::str::from_utf8(&block.bytes)
                .map_err(|bad| Fault::not_utf8(bad.valid_up_to()))
                .and_then(|text| {
                    self.batch.fill(block.rows, |rows| Table::parse(text, rows, plan, &mut seen))
                })
                .map_err(|fault| fault.in_block(block, &plan.source_name))?,
        };
        self.batch.set_first_row(block.first_row);
        if plan.names.are_words() {
            self.batch.clear();
            for row in 0..block.rows {
                self.batch.push_words(&table.words(row, plan));
            }
        }
        self.batch.score();
        let mut refusals = Vec::new();
        for (row, error) in self.batch.refusals() {
            *block.tally.refused_by_kind.entry(error.kind.as_str()).or_default() += 1;
            if refusals.len() < REFUSALS_SHOWN {
                refusals.push(Refusal {
                    row: block.first_row + row as u64,
                    source_name: plan.source_name.clone(),
                    line: table.line(block, row),
                    kind: error.kind,
                    column: error.column.clone(),
                    message: error.message.clone(),
                });
            }
        }
        if self.form.is_typed() {
            let kept = table.kept_arrays(records.as_ref(), plan);
            let table = kept.and_then(|kept| self.form.table(&self.batch, block.rows, kept));
            block.table = Some(table.map_err(BatchError::write)?);
        } else {
            for row in 0..block.rows {
                let (number, kept) = (block.first_row + row as u64, table.kept(row));
                self.form.row(&mut out, Row { number, batch: &self.batch, place: row, kept });
            }
        }
        drop(table);
        block.tally.refusals = refusals;
        block.tally.converted.extend_from_slice(self.batch.converted());
        block.filled = seen.filled;
        block.ignored.extend(seen.ignored);
        block.out = out;
        Ok(())
    }
}
