//! Rows of a CSV body, and options that stand in the query because such a body has no room for them.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use stemson_batch::read_csv;
use stemson_mojo::{Cell, Schema};

use crate::ask::{Ask, Parameter};
use crate::error::Refusal;
use crate::rows::Rows;

/// The form of CSV that a content type names, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Csv {
    /// Whether the first record has the names of the columns; else fields are the model's columns
    /// in its order.
    pub(crate) has_header: bool,
}

impl Csv {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let mut parts = value.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("text/csv") {
            return None;
        }
        let has_header = !parts.any(|part| part.eq_ignore_ascii_case("header=absent"));
        Some(Self { has_header })
    }

    /// Reads a body into `rows`. Empty fields are absent.
    pub(crate) fn read(self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let text = std::str::from_utf8(body).map_err(|cause| {
            let at = cause.valid_up_to();
            Refusal::BadField(format!("the body is no CSV: no UTF-8 at byte {at}"))
        })?;
        let mut header: Option<Header> = None;
        let mut refused = None;
        let read = read_csv(text, b',', |line, fields| {
            let done = match &header {
                None => {
                    Header::new(self, rows.model().schema(), fields).and_then(|(new, is_row)| {
                        let pushed = if is_row { new.push(line, fields, rows) } else { Ok(()) };
                        header = Some(new);
                        pushed
                    })
                }
                Some(header) => header.push(line, fields, rows),
            };
            refused = done.err();
            refused.is_none()
        });
        match (refused, read) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(cause)) => Err(Refusal::BadField(format!("the body is no CSV: {cause}"))),
            (None, Ok(())) if header.is_none() && self.has_header => {
                Err(Refusal::BadField("the body is no CSV: no line with names of columns".into()))
            }
            (None, Ok(())) => Ok(()),
        }
    }
}

/// What the fields of a record are.
struct Header {
    /// Place in the schema, if the model knows it.
    places: Vec<Option<usize>>,
    /// Their names, where the columns are the caller's own.
    names: Vec<String>,
    columns: usize,
}

impl Header {
    /// True beside it: the record that it was made from is a row.
    fn new(csv: Csv, schema: &Schema, fields: &[Cow<'_, str>]) -> Result<(Self, bool), Refusal> {
        let columns = schema.columns().len();
        if !csv.has_header {
            let features = columns - usize::from(schema.offset().is_some());
            if !schema.is_open() && fields.len() != features && fields.len() != columns {
                return Err(Refusal::BadField(format!(
                    "line 1 has {} fields, expected {features}, one per column of the model in its \
                     order",
                    fields.len()
                )));
            }
            let names = (1..=fields.len()).map(|place| format!("C{place:06}")).collect();
            let places = (0..fields.len()).map(Some).collect();
            return Ok((Self { places, names, columns }, true));
        }
        let places: Vec<Option<usize>> =
            fields.iter().map(|name| schema.index_of(name.trim())).collect();
        if !schema.is_open() && places.iter().all(Option::is_none) {
            let first = schema.columns().first().map_or("", |column| column.name.as_str());
            return Err(Refusal::BadField(format!(
                "none of the {} names in the first line is a column of the model, such as `{first}`",
                fields.len()
            )));
        }
        let mut is_named = vec![false; columns];
        for (name, place) in fields.iter().zip(&places) {
            if place.is_some_and(|place| std::mem::replace(&mut is_named[place], true)) {
                let name = name.trim();
                return Err(Refusal::BadField(format!("the first line names `{name}` twice")));
            }
        }
        let names = fields.iter().map(ToString::to_string).collect();
        Ok((Self { places, names, columns }, false))
    }

    fn push(&self, line: u64, fields: &[Cow<'_, str>], rows: &mut Rows) -> Result<(), Refusal> {
        if fields.len() != self.places.len() {
            return Err(Refusal::BadField(format!(
                "line {line} has {} fields, the first line has {}",
                fields.len(),
                self.places.len()
            )));
        }
        let cell = |field: &'_ str| -> bool { !field.is_empty() };
        let pushed = if rows.model().schema().is_open() {
            let words: Vec<(&str, Cell<'_>)> = self
                .names
                .iter()
                .zip(fields)
                .map(|(name, field)| {
                    (name.as_str(), if cell(field) { Cell::Text(field) } else { Cell::Absent })
                })
                .collect();
            rows.push_words(&words)
        } else {
            let mut cells = vec![Cell::Absent; self.columns];
            for (place, field) in self.places.iter().zip(fields).filter(|(_, field)| cell(field)) {
                if let Some(cell) = place.and_then(|place| cells.get_mut(place)) {
                    *cell = Cell::Text(field);
                }
            }
            rows.push(&cells)
        };
        if pushed { Ok(()) } else { Err(rows.take_refusal().unwrap_or(Refusal::Panicked)) }
    }
}

/// The options that a query names, each once; others are passed over.
pub(crate) fn ask_of_query(query: Option<&str>) -> Result<Ask, Refusal> {
    let bad = |cause: String| Refusal::BadField(format!("the query: {cause}"));
    let (mut ask, mut named) = (Ask::default(), Vec::new());
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let value = match &*text {
            // `?staged` alone.
            "true" | "" => Parameter::Bool(true),
            "false" => Parameter::Bool(false),
            _ => match text.parse::<i128>() {
                Ok(number) => Parameter::Whole(number),
                Err(_) => Parameter::Text(text),
            },
        };
        if ask.set(&name, &value).map_err(bad)? {
            if named.contains(&name) {
                return Err(bad(format!("`{name}` stands twice")));
            }
            named.push(name);
        }
    }
    Ok(ask)
}

/// A name in a query; the first one, where there are several.
pub(crate) fn of_query<'q>(query: Option<&'q str>, wanted: &str) -> Option<Cow<'q, str>> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find_map(|(name, text)| (name == wanted).then_some(text))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use stemson_mojo::{LoadOptions, Model};

    use super::*;

    #[test]
    fn content_types() {
        let found = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            Csv::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
        };
        assert_eq!(found("text/csv"), Some(Csv { has_header: true }));
        assert_eq!(found("Text/CSV; charset=utf-8"), Some(Csv { has_header: true }));
        assert_eq!(found("text/csv; header=absent"), Some(Csv { has_header: false }));
        assert_eq!(found("application/json"), None);
    }

    #[test]
    fn a_column_is_named_once() {
        let bytes = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/corpora/mojo/gbm_gaussian/model.zip"
        ));
        let model =
            Model::load(&bytes.expect("a model"), &LoadOptions::default()).expect("a model");
        let column = model.schema().columns()[0].name.as_str();
        let csv = Csv { has_header: true };
        let header = |names: &[&str]| {
            let fields: Vec<_> = names.iter().map(|name| Cow::Borrowed(*name)).collect();
            Header::new(csv, model.schema(), &fields).map(|(header, _)| header.places.len())
        };
        let twice = header(&[column, "x", &format!(" {column}")]).map_err(|it| it.message());
        assert_eq!(twice, Err(format!("the first line names `{column}` twice")));
        // What no column is called is passed over, however often.
        assert_eq!(header(&["x", column, "x"]).ok(), Some(3));
    }

    #[test]
    fn options_of_a_query() {
        let ask = ask_of_query(Some("strict=true&row_index=3&other=x&leaf_assignment=ids&staged"));
        let ask = ask.expect("good options");
        assert!(ask.options.strict && ask.options.staged && ask.row_index == 3);
        let coded = ask_of_query(Some("leaf_assignment=%69ds&row_index=18446744073709551615"));
        assert_eq!(coded.expect("good options").row_index, u64::MAX);
        for bad in ["strict=maybe", "strict=true&strict=true", "row_index=-1", "leaf_assignment="] {
            assert!(ask_of_query(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(of_query(Some("a=1&model=ch%75rn"), "model").as_deref(), Some("churn"));
        assert_eq!(ask_of_query(None).expect("nothing"), Ask::default());
    }
}
