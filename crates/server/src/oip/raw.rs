//! The raw binary request: a body that is nothing but the elements of the model's one input.

use std::borrow::Cow;

use stemson_mojo::Kind;

use super::datatype::Datatype;
use super::metadata::{self, Shown};
use super::request::{InferRequest, Tensor, Terms};
use super::{INPUT, ROW};
use crate::error::Refusal;
use crate::models::OipLayout;
use crate::rows::Rows;

/// Reads a body without JSON. All outputs come as bytes too.
///
/// A model that is shown as a matrix takes it in the datatype shown; of any other the body is one row, a JSON
/// object.
pub(super) fn read<'de>(
    body: &'de [u8],
    rows: &Rows,
    elements_max: usize,
    shown: Shown,
) -> Result<InferRequest<'de>, Refusal> {
    let bad = |cause: String| Refusal::BadField(format!("raw binary request: {cause}"));
    let schema = rows.model().schema();
    let tensor = match shown.layout(schema) {
        OipLayout::Matrix => {
            let datatype = shown.datatype();
            let width = metadata::features(schema).count();
            let row_bytes = width * datatype.size().unwrap_or(1);
            if width == 0 || body.is_empty() || !body.len().is_multiple_of(row_bytes) {
                return Err(bad(format!(
                    "{} bytes, expected rows of {width} {} elements of input `{INPUT}`",
                    body.len(),
                    datatype.name()
                )));
            }
            let len = body.len() / row_bytes;
            if len * width > elements_max {
                let rows_max = rows.limits().rows_max;
                return Err(Refusal::TooManyRows { rows_max, limit: "rows" });
            }
            let name = Cow::Borrowed(INPUT);
            Tensor::from_bytes(name, vec![len, width], datatype, body).map_err(bad)?
        }
        OipLayout::Rows => {
            let text = std::str::from_utf8(body).map_err(|_| bad("no UTF-8".to_owned()))?;
            let values = super::data::Values::Texts(vec![Cow::Borrowed(text)]);
            Tensor::new(Cow::Borrowed(ROW), vec![1], Datatype::Bytes, values).map_err(bad)?
        }
        OipLayout::Columns => {
            let kinds = schema.columns().iter();
            let categorical = kinds.filter(|column| column.kind == Kind::Categorical).count();
            return Err(bad(format!(
                "the model takes one input per column ({} columns, {categorical} of them \
                 categorical), and a body without JSON has room for one input only",
                schema.columns().len()
            )));
        }
    };
    let terms = Terms { is_binary: true, ..Terms::default() };
    Ok(InferRequest { id: None, terms, inputs: vec![tensor], outputs: None })
}
