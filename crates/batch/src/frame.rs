//! Record batches that are in memory, as data frames are: scored where they lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use stemson_mojo::Model;

use crate::block::Block;
use crate::columns::{self, ColumnField};
use crate::error::BatchError;
use crate::job::{Job, block_size};
use crate::plan::{Names, Plan};
use crate::render::Form;
use crate::source::Format;
use crate::summary::{MissingColumns, Summary, Tally, Totals};
use crate::worker::Worker;

/// The answers to a frame.
#[derive(Debug)]
pub struct Scored {
    /// Their columns: those of `score --format arrow`.
    pub schema: SchemaRef,
    /// In the order of the rows; their sizes are nobody's promise.
    pub tables: Vec<RecordBatch>,
    /// What happened to the rows.
    pub summary: Summary,
}

/// What messages call the data.
const NAME: &str = "the data";

/// Scores the rows of record batches: one row of answers for each, in order.
///
/// `job`: its inputs, dialect and output format mean nothing here. `first_row`: the number of the
/// first row, by which a GLRM draws. Threads change no answer, and share the batches: nothing of
/// them is copied but for the columns to keep.
///
/// # Errors
/// A column cannot be read, stands twice, or is missing where the job wants all; no column is the
/// model's; the job asks for what the model does not offer.
pub fn score_frame(
    model: &Arc<Model>,
    mut job: Job,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    first_row: u64,
) -> Result<Scored, BatchError> {
    job.output = Format::Arrow;
    let all = columns::all_names(schema.fields());
    let words = if model.schema().is_open() { all.clone() } else { Vec::new() };
    let form = Arc::new(Form::plan(model, &job, &words)?);
    let names = Arc::new(Names::resolve(model, &job, words)?);
    let fields = columns::select(schema.fields(), NAME, &names)?;
    validate(batches, &fields, &names)?;
    let kept = columns::kept_types(&fields);
    let (plan, filled, ignored) = Plan::columns(NAME.to_owned(), Arc::clone(&names), fields, &all);
    let mut totals = Totals::default();
    if let Some(missing) = names.check(NAME, &filled)? {
        let has_rows = batches.iter().any(|batch| batch.num_rows() > 0);
        if has_rows && !filled[..names.schema().columns().len()].contains(&true) {
            let MissingColumns { source_name, columns } = missing;
            return Err(BatchError::MissingColumns { source_name, columns });
        }
        totals.miss(missing);
    }
    totals.ignore(ignored);
    let plan = Arc::new(plan);
    let threads = job.threads();
    let widest = names.slots().max(form.width());
    let rows_max = block_size(threads, 2 * threads + 1, widest).rows;
    let pieces = pieces(batches, rows_max, first_row);
    let mut answers = Vec::with_capacity(pieces.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = Worker::new(Arc::clone(model), job.options, Arc::clone(&form));
        work(&mut worker, &plan, &pieces, &next)
    };
    let done: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(pieces.len())).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(others).collect()
    });
    for done in done {
        answers.extend(done?);
    }
    answers.sort_unstable_by_key(|answer| answer.place);
    let tables = answers.into_iter().map(|mut answer| {
        totals.add(answer.table.num_rows(), &mut answer.tally);
        answer.table
    });
    let tables: Vec<_> = tables.collect();
    let schema = form.schema(Some(kept));
    Ok(Scored { schema, tables, summary: totals.into_summary(names.schema()) })
}

/// Checks what other libraries promise of their arrays, but for what [`columns::fill`] checks as it
/// reads it: text that the model takes, and keys of dictionaries.
fn validate(
    batches: &[RecordBatch],
    fields: &[ColumnField],
    names: &Names,
) -> Result<(), BatchError> {
    for batch in batches {
        for field in fields {
            let data = || batch.column(field.at).to_data();
            let is_filled = field.target.kept.is_none() && !names.are_words();
            let checked = match &field.data_type {
                // Their lengths were checked when they became arrays.
                found if found.is_primitive() || *found == DataType::Boolean => Ok(()),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_filled => {
                    data().validate()
                }
                DataType::Dictionary(..) if is_filled => {
                    let data = data();
                    data.validate().and_then(|()| data.child_data()[0].validate_full())
                }
                _ => data().validate_full(),
            };
            checked.map_err(|error| {
                let name = batch.schema().field(field.at).name().clone();
                BatchError::broken_array(NAME, format!("column `{name}`: {error}"))
            })?;
        }
    }
    Ok(())
}

/// Rows that one thread scores at once.
struct Piece {
    records: RecordBatch,
    first_row: u64,
}

struct Answer {
    place: usize,
    table: RecordBatch,
    tally: Tally,
}

/// Cuts without copying.
fn pieces(batches: &[RecordBatch], rows_max: usize, first_row: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut row = first_row;
    for batch in batches {
        for start in (0..batch.num_rows()).step_by(rows_max) {
            let rows = rows_max.min(batch.num_rows() - start);
            pieces.push(Piece { records: batch.slice(start, rows), first_row: row });
            row = row.wrapping_add(rows as u64);
        }
    }
    pieces
}

/// Scores the pieces that come next until there are none.
fn work(
    worker: &mut Worker,
    plan: &Arc<Plan>,
    pieces: &[Piece],
    next: &AtomicUsize,
) -> Result<Vec<Answer>, BatchError> {
    let mut answers = Vec::new();
    let mut block = Block::default();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = pieces.get(place) else { return Ok(answers) };
        block.plan = Some(Arc::clone(plan));
        block.first_row = piece.first_row;
        block.first_line = piece.first_row.wrapping_add(1);
        block.rows = piece.records.num_rows();
        block.records = Some(piece.records.clone());
        worker.work(&mut block);
        if let Some(error) = block.error.take() {
            // The others need not go on.
            next.store(pieces.len(), Ordering::Relaxed);
            return Err(error);
        }
        let tally = std::mem::take(&mut block.tally);
        answers.extend(block.table.take().map(|table| Answer { place, table, tally }));
    }
}
