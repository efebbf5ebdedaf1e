//! From tensors to rows: which of the three layouts a request uses, and whether it fits the model.
//!
//! `matrix`: one numeric input `[rows, columns]`, a categorical value as the index of its level.
//! `columns`: one input per column, `[rows]` or `[rows, 1]`. `rows`: one BYTES input, a JSON object
//! in each element. All are accepted of every model, but `matrix` of one whose columns are the
//! caller's own.

use std::collections::HashSet;
use std::sync::Arc;

use stemson_mojo::{Cell, Kind, Schema};

use super::datatype::Datatype;
use super::request::{InferRequest, Tensor};
use super::{INPUT, ROW, data::Values};
use crate::error::Refusal;
use crate::rows::Rows;
use crate::v1::{Position, read_instance};

/// How a request lays its rows out.
enum Layout<'t, 'de> {
    Matrix {
        matrix: &'t Tensor<'de>,
        offset: Option<&'t Tensor<'de>>,
    },
    /// By place in the schema.
    Columns(Vec<(usize, &'t Tensor<'de>)>),
    /// The columns are the caller's own.
    Words(&'t [Tensor<'de>]),
    Rows(&'t Tensor<'de>),
}

/// Puts the tensors of a request into `rows`.
pub(super) fn push(request: &InferRequest<'_>, rows: &mut Rows) -> Result<(), Refusal> {
    let layout = layout(request, rows)?;
    match layout {
        Layout::Matrix { matrix, offset } => push_matrix(matrix, offset, rows),
        Layout::Columns(columns) => push_columns(&columns, rows),
        Layout::Words(columns) => push_words(columns, rows),
        Layout::Rows(texts) => push_rows(texts, rows),
    }
}

fn bad(message: String) -> Refusal {
    Refusal::BadField(message)
}

fn layout<'t, 'de>(
    request: &'t InferRequest<'de>,
    rows: &Rows,
) -> Result<Layout<'t, 'de>, Refusal> {
    let schema = rows.model().schema();
    let inputs = &request.inputs;
    // One alone cannot stand twice: most requests have no other.
    let mut several = inputs.iter().filter(|_| inputs.len() > 1);
    let mut names = HashSet::new();
    if let Some(twice) = several.find(|input| !names.insert(&*input.name)) {
        return Err(bad(format!("input `{}` stands twice", twice.name)));
    }
    if schema.is_open() {
        return match &inputs[..] {
            [] => Err(bad(format!(
                "there is no input: expected one BYTES input per column of words, or one BYTES \
                 input `{ROW}` with an object per row"
            ))),
            [only] if only.name == ROW && only.datatype == Datatype::Bytes => {
                Ok(Layout::Rows(only))
            }
            columns => Ok(Layout::Words(columns)),
        };
    }
    let offset_name = schema.offset().map(|index| schema.columns()[index].name.as_str());
    let is_offset = |input: &&Tensor<'_>| Some(&*input.name) == offset_name;
    let mut others = inputs.iter().filter(|input| !is_offset(input));
    if let (Some(only), None) = (others.next(), others.next())
        && schema.index_of(&only.name).is_none()
    {
        let offset = inputs.iter().find(is_offset);
        if only.datatype != Datatype::Bytes {
            return Ok(Layout::Matrix { matrix: only, offset });
        }
        if offset.is_some() {
            return Err(bad(format!(
                "input `{}`: with one object per row the offset is a key of the object",
                only.name
            )));
        }
        return Ok(Layout::Rows(only));
    }
    let columns: Vec<_> =
        inputs.iter().filter_map(|input| Some((schema.index_of(&input.name)?, input))).collect();
    if columns.is_empty() {
        return Err(bad(format!(
            "none of the inputs is a column of the model: expected one input per column, one \
             numeric input `{INPUT}` with all of them, or one BYTES input `{ROW}` with an object \
             per row"
        )));
    }
    if request.terms.ask.options.strict {
        let given: HashSet<usize> = columns.iter().map(|(column, _)| *column).collect();
        let mut features = 0..feature_count(schema);
        let missing = features.find(|index| !given.contains(index) && !schema.is_optional(*index));
        if let Some(index) = missing {
            let name = &schema.columns()[index].name;
            return Err(bad(format!("input `{name}` is missing, and the request is strict")));
        }
    }
    Ok(Layout::Columns(columns))
}

/// Columns that are no offset.
fn feature_count(schema: &Schema) -> usize {
    schema.columns().len() - usize::from(schema.offset().is_some())
}

/// Rows of an input that has one value for each.
fn column_len(input: &Tensor<'_>) -> Result<usize, Refusal> {
    match input.shape[..] {
        [rows] | [rows, 1] => Ok(rows),
        _ => Err(bad(format!(
            "input `{}`: `shape` is {:?}, expected [rows] or [rows, 1]",
            input.name, input.shape
        ))),
    }
}

/// Rows of inputs that all have as many.
fn common_len<'t, 'de: 't>(
    columns: impl Iterator<Item = &'t Tensor<'de>>,
) -> Result<usize, Refusal> {
    let mut first: Option<(&Tensor<'_>, usize)> = None;
    for input in columns {
        let len = column_len(input)?;
        let (other, expected) = *first.get_or_insert((input, len));
        if len != expected {
            return Err(bad(format!(
                "input `{}` has {len} rows, input `{}` has {expected}",
                input.name, other.name
            )));
        }
    }
    Ok(first.map_or(0, |(_, len)| len))
}

fn push_words(columns: &[Tensor<'_>], rows: &mut Rows) -> Result<(), Refusal> {
    let len = common_len(columns.iter())?;
    let mut cells: Vec<(&str, Cell<'_>)> = Vec::with_capacity(columns.len());
    for row in 0..len {
        cells.clear();
        cells.extend(columns.iter().map(|input| (&*input.name, cell(&input.values, row))));
        if !rows.push_words(&cells) {
            return Err(rows.take_refusal().unwrap_or(Refusal::Panicked));
        }
    }
    Ok(())
}

fn push_columns(columns: &[(usize, &Tensor<'_>)], rows: &mut Rows) -> Result<(), Refusal> {
    let len = common_len(columns.iter().map(|(_, input)| *input))?;
    let mut cells = vec![Cell::Absent; rows.model().schema().columns().len()];
    for row in 0..len {
        for (column, input) in columns {
            cells[*column] = cell(&input.values, row);
        }
        push_row(rows, &cells)?;
    }
    Ok(())
}

fn cell<'v>(values: &'v Values<'_>, index: usize) -> Cell<'v> {
    match values {
        Values::Numbers(numbers) if numbers[index].is_nan() => Cell::Absent,
        Values::Numbers(numbers) => Cell::Number(numbers[index]),
        Values::Texts(texts) if texts[index].is_empty() => Cell::Absent,
        Values::Texts(texts) => Cell::Text(&texts[index]),
        Values::Flags(flags) => flags[index].map_or(Cell::Absent, Cell::Bool),
    }
}

fn push_matrix(
    matrix: &Tensor<'_>,
    offset: Option<&Tensor<'_>>,
    rows: &mut Rows,
) -> Result<(), Refusal> {
    let schema = rows.model().schema();
    let width = feature_count(schema);
    let len = match matrix.shape[..] {
        [len, columns] if columns == width => len,
        _ => {
            return Err(bad(format!(
                "input `{}`: `shape` is {:?}, expected [rows, {width}], one place per column of \
                 the model in its order",
                matrix.name, matrix.shape
            )));
        }
    };
    if let Some(offset) = offset
        && column_len(offset)? != len
    {
        return Err(bad(format!(
            "input `{}` has {} rows, input `{}` has {len}",
            offset.name, offset.shape[0], matrix.name
        )));
    }
    let model = Arc::clone(rows.revision().model());
    let (columns, offset_column) = (model.schema().columns(), model.schema().offset());
    let mut cells = vec![Cell::Absent; columns.len()];
    for row in 0..len {
        for column in 0..width {
            let cell = cell(&matrix.values, row * width + column);
            cells[column] = match columns[column].kind {
                Kind::Numeric => cell,
                Kind::Categorical => level(cell).ok_or_else(|| {
                    let name = &columns[column].name;
                    bad(format!(
                        "input `{}`, row {row}: column `{name}` is categorical and takes the \
                         index of a level, or -1",
                        matrix.name
                    ))
                })?,
            };
        }
        if let (Some(column), Some(offset)) = (offset_column, offset) {
            cells[column] = cell(&offset.values, row);
        }
        push_row(rows, &cells)?;
    }
    Ok(())
}

/// The level that a number is the index of; -1 is none.
fn level(cell: Cell<'_>) -> Option<Cell<'static>> {
    match cell {
        Cell::Absent => Some(Cell::Absent),
        Cell::Number(-1.0) => Some(Cell::Absent),
        Cell::Number(index)
            if index.trunc() == index && (0.0..=f64::from(u32::MAX)).contains(&index) =>
        {
            Some(Cell::Level(index as u32))
        }
        Cell::Bool(flag) => Some(Cell::Level(u32::from(flag))),
        _ => None,
    }
}

fn push_rows(input: &Tensor<'_>, rows: &mut Rows) -> Result<(), Refusal> {
    column_len(input)?;
    let Values::Texts(texts) = &input.values else {
        return Ok(());
    };
    for (index, text) in texts.iter().enumerate() {
        read_instance(text, Position::Element(index), rows)?;
    }
    Ok(())
}

fn push_row(rows: &mut Rows, cells: &[Cell<'_>]) -> Result<(), Refusal> {
    if rows.push(cells) {
        return Ok(());
    }
    Err(rows.take_refusal().unwrap_or(Refusal::Panicked))
}
