//! One row.

use std::ffi::c_char;
use std::ptr::null_mut;
use std::sync::PoisonError;

use stemson_mojo::{Batch, Cell, LeafAssignment, Model, Options, Part, PartKind, Values};

use crate::error::{Failure, guarded, stemson_error, text};
use crate::model::stemson_model;

/// One value of a row.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct stemson_cell {
    /// `-` nothing, `n` a number, `t` text, `b` a boolean (`number` is 0 or 1), `l` a level by its
    /// place (`number`).
    pub kind: c_char,
    /// NaN is missing.
    pub number: f64,
    /// UTF-8 without an end.
    pub text: *const c_char,
    /// Its bytes.
    pub length: usize,
}

/// What is asked of every row. All zero: the prediction alone.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct stemson_options {
    /// Refuse unknown levels and text that is no number, instead of taking them for missing.
    pub strict: bool,
    /// Contributions of the columns, the bias last.
    pub contributions: bool,
    /// The number of the leaf in each tree.
    pub leaf_ids: bool,
    /// The answer after each tree.
    pub staged: bool,
    /// Calibrated probabilities.
    pub calibrated: bool,
    /// K-means: the distance to each cluster.
    pub distances: bool,
    /// The number of the (first) row, by which a GLRM draws.
    pub row: u64,
}

impl stemson_options {
    pub(crate) fn options(self) -> Options {
        Options {
            strict: self.strict,
            distances: self.distances,
            reconstruct: false,
            contributions: self.contributions,
            leaf_assignment: self.leaf_ids.then_some(LeafAssignment::Ids),
            staged: self.staged,
        }
    }

    /// The parts of an answer that are numbers, in H2O's order.
    fn parts(self, model: &Model) -> Result<Vec<Part>, Failure> {
        let parts = model.table_parts(self.options(), self.calibrated)?;
        // The label by its place.
        let numbers = parts.into_iter().map(|part| match part {
            Part::Label => Part::Index,
            part => part,
        });
        Ok(numbers.filter(|part| part.kind() != PartKind::Text).collect())
    }
}

fn names(model: &Model, parts: &[Part]) -> Vec<String> {
    let columns = |part: &Part| match part {
        // Where H2O has the label stands its place.
        Part::Index => model.part_columns(Part::Label),
        part => model.part_columns(*part),
    };
    parts.iter().flat_map(columns).collect()
}

/// Numbers that `stemson_score_row` gives under these options; 0 on failure.
///
/// # Safety
/// As for `stemson_model_digest`; `error` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_outputs(
    model: *const stemson_model,
    options: stemson_options,
    error: *mut *mut stemson_error,
) -> usize {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let body = || Ok(names(&model.model, &options.parts(&model.model)?).len());
    // SAFETY: the caller's promise.
    unsafe { guarded(error, body) }.unwrap_or(0)
}

/// Writes the name of such a number, at most `size` bytes with the zero at its end, and gives the
/// bytes that the whole name needs. `predict` is the place of the label where there are classes.
/// 0: there is no such number, or the model does not have what is asked for.
///
/// # Safety
/// As for `stemson_model_digest`; `name` may be written for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_output_name(
    model: *const stemson_model,
    options: stemson_options,
    output: usize,
    name: *mut c_char,
    size: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let body = || Ok(names(&model.model, &options.parts(&model.model)?));
    // SAFETY: null is nothing to write to.
    let names = unsafe { guarded(null_mut(), body) }.unwrap_or_default();
    let Some(found) = names.get(output) else { return 0 };
    let found = text(found);
    let bytes = found.as_bytes_with_nul();
    if !name.is_null() && size > 0 {
        let shown = (size - 1).min(bytes.len() - 1);
        // SAFETY: `shown + 1` bytes fit into `size`, which may be written; a new text overlaps
        // with nothing.
        unsafe {
            name.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), shown);
            name.add(shown).write(0);
        }
    }
    bytes.len()
}

/// Scores a row: one cell for each column of the model, in its order. True: `numbers` holds the
/// answer, in the order of `stemson_output_name`.
///
/// # Safety
/// As for `stemson_model_digest`; `cells` are so many cells, whose text can be read; `numbers` may
/// be written for so many; either may be null where there are none; `error` is null or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stemson_score_row(
    model: *const stemson_model,
    options: stemson_options,
    cells: *const stemson_cell,
    n_cells: usize,
    numbers: *mut f64,
    n_numbers: usize,
    error: *mut *mut stemson_error,
) -> bool {
    // SAFETY: the caller's promise.
    let model = unsafe { &*model };
    let body = || {
        // C has null for none.
        let cells = match n_cells {
            0 => &[],
            _ if cells.is_null() => return Err(Failure::argument("cells is null")),
            // SAFETY: not null, and so many, says the caller.
            n => unsafe { std::slice::from_raw_parts(cells, n) },
        };
        let numbers = match n_numbers {
            0 => &mut [],
            _ if numbers.is_null() => return Err(Failure::argument("numbers is null")),
            // SAFETY: as above, and may be written.
            n => unsafe { std::slice::from_raw_parts_mut(numbers, n) },
        };
        score(model, options, cells, numbers)
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(error, body) }.is_some()
}

fn score(
    model: &stemson_model,
    asked: stemson_options,
    cells: &[stemson_cell],
    numbers: &mut [f64],
) -> Result<(), Failure> {
    let schema = model.model.schema();
    if schema.is_open() {
        return Err(Failure::argument("the columns of this model go by name: score a table"));
    }
    let expected = schema.columns().len();
    if cells.len() != expected {
        let found = cells.len();
        return Err(Failure::argument(format!(
            "{found} cells, expected {expected}: one per column"
        )));
    }
    let cells = cells.iter().enumerate().map(|(column, cell)| {
        // SAFETY: its text can be read, says the caller of `stemson_score_row`.
        unsafe { read(cell) }.map_err(|wrong| Failure::argument(format!("cell {column}: {wrong}")))
    });
    let cells = cells.collect::<Result<Vec<_>, _>>()?;
    let parts = asked.parts(&model.model)?;
    let options = asked.options();
    let spare = || model.spare.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = {
        let mut spare = spare();
        let fits = spare.iter().position(|(of, _)| *of == options);
        fits.map(|place| spare.swap_remove(place).1)
    };
    let mut batch = kept.unwrap_or_else(|| Batch::new(model.model.clone(), options));
    batch.clear();
    batch.set_first_row(asked.row);
    batch.push(&cells);
    batch.score();
    let written = batch.output(0).map(|_| write(&batch, &parts, numbers)).map_err(Failure::from);
    spare().push((options, batch));
    match written? {
        written if written == numbers.len() => Ok(()),
        written => {
            let room = numbers.len();
            Err(Failure::argument(format!("room for {room} numbers, expected {written}")))
        }
    }
}

/// Writes what there is room for, and says how many there are.
fn write(batch: &Batch, parts: &[Part], numbers: &mut [f64]) -> usize {
    let mut room = numbers.iter_mut();
    let mut written = 0;
    let mut put = |number: f64| {
        written += 1;
        if let Some(place) = room.next() {
            *place = number;
        }
    };
    for part in parts {
        match batch.part(0, *part) {
            Some(Values::Number(number)) => put(number),
            Some(Values::Numbers(numbers)) => numbers.iter().for_each(|number| put(*number)),
            Some(Values::Floats(floats)) => floats.iter().for_each(|float| put(f64::from(*float))),
            Some(Values::Integer(number)) => put(f64::from(number)),
            Some(Values::Integers(numbers)) => numbers.iter().for_each(|n| put(f64::from(*n))),
            Some(Values::Flag(flag)) => put(f64::from(u8::from(flag))),
            Some(Values::Text(_) | Values::Paths(_)) | None => {}
        }
    }
    written
}

/// # Safety
/// The cell's text can be read where its kind is text.
unsafe fn read(cell: &stemson_cell) -> Result<Cell<'_>, String> {
    Ok(match cell.kind as u8 {
        b'-' => Cell::Absent,
        b'n' => Cell::Number(cell.number),
        b'b' => Cell::Bool(cell.number != 0.0),
        b'l' if (0.0..=f64::from(u32::MAX)).contains(&cell.number) => {
            Cell::Level(cell.number as u32)
        }
        b'l' => return Err(format!("level {} is no place", cell.number)),
        b't' if cell.text.is_null() => return Err("its text is null".to_owned()),
        b't' => {
            // SAFETY: not null, and can be read for its length, says the caller.
            let bytes = unsafe { std::slice::from_raw_parts(cell.text.cast(), cell.length) };
            Cell::Text(std::str::from_utf8(bytes).map_err(|_| "its text is not UTF-8")?)
        }
        other => return Err(format!("kind {:?}, expected one of - n t b l", char::from(other))),
    })
}
