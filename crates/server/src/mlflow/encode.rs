//! Predictions as a table: the columns of H2O's, as objects or as CSV.

use stemson_batch::CsvForm;
use stemson_mojo::{Part, Values};

use crate::error::Refusal;
use crate::json::{self, Wire};
use crate::rows::Scored;

/// A part with the names of its columns, quoted.
struct Group {
    part: Part,
    names: Vec<Vec<u8>>,
}

/// `{"predictions":[{column: value, ...}, ...]}`. A refused row has the one column `error`.
pub(super) fn json(scored: &Scored) -> Wire {
    let groups = groups(scored);
    let mut out = Vec::with_capacity(32 + scored.len() * 96);
    out.extend_from_slice(b"{\"predictions\":[");
    json::write_list(&mut out, scored.rows(), |out, (batch, row)| {
        out.push(b'{');
        if let Err(error) = batch.output(row) {
            out.extend_from_slice(b"\"error\":");
            json::write_str(out, &format!("{}: {}", error.kind.as_str(), error.message));
        }
        let start = out.len();
        for Group { part, names } in &groups {
            let Some(values) = batch.part(row, *part) else { continue };
            if *part == Part::Embeddings {
                write_embeddings(out, batch.word_columns(row), &values, scored);
            } else {
                write_values(out, names, values);
            }
        }
        if out.len() > start {
            // The last comma.
            out.pop();
        }
        out.push(b'}');
    });
    out.extend_from_slice(b"]}");
    Wire::json(out.into())
}

fn groups(scored: &Scored) -> Vec<Group> {
    let quoted = |name: &String| {
        let mut out = Vec::new();
        json::write_str(&mut out, name);
        out
    };
    let parts = scored.face().parts.iter().copied().chain(scored.ask().explanations());
    parts
        .filter(|part| part.is_column(scored.ask().calibrated))
        .map(|part| {
            let names = scored.model().part_columns(part).iter().map(quoted).collect();
            Group { part, names }
        })
        .collect()
}

/// `name:value,` for each value.
fn write_values(out: &mut Vec<u8>, names: &[Vec<u8>], values: Values<'_>) {
    let mut names = names.iter();
    let mut put = |write: &dyn Fn(&mut Vec<u8>)| {
        if let Some(name) = names.next() {
            out.extend_from_slice(name);
            out.push(b':');
            write(out);
            out.push(b',');
        }
    };
    match values {
        Values::Text(text) => put(&|out| json::write_str(out, text)),
        Values::Paths(paths) => paths.for_each(|path| {
            put(&|out| match path {
                Some(path) => json::write_str(out, path),
                None => out.extend_from_slice(b"null"),
            });
        }),
        Values::Number(number) => put(&|out| json::write_f64(out, number)),
        Values::Numbers(numbers) => {
            numbers.iter().for_each(|number| put(&|out| json::write_f64(out, *number)));
        }
        Values::Floats(floats) => {
            floats.iter().for_each(|float| put(&|out| json::write_f32(out, *float)));
        }
        Values::Integer(number) => put(&|out| json::write_display(out, &number)),
        Values::Integers(numbers) => {
            numbers.iter().for_each(|number| put(&|out| json::write_display(out, number)));
        }
        Values::Flag(flag) => put(&|out| json::write_display(out, &i32::from(flag))),
    }
}

/// `<column>_V1` and so on, for each column of the row.
fn write_embeddings(out: &mut Vec<u8>, columns: &[String], values: &Values<'_>, scored: &Scored) {
    let Values::Floats(vectors) = values else { return };
    let dims = scored.face().word_dims.max(1);
    for (column, vector) in columns.iter().zip(vectors.chunks_exact(dims)) {
        for (at, float) in vector.iter().enumerate() {
            json::write_str(out, &format!("{column}_V{}", at + 1));
            out.push(b':');
            json::write_f32(out, *float);
            out.push(b',');
        }
    }
}

/// The same as CSV, with a header. Tables have columns for all rows alike.
pub(super) fn csv(scored: &Scored) -> Result<Wire, Refusal> {
    let refuse = |cause: &dyn std::fmt::Display| Refusal::BadField(cause.to_string());
    let words = match scored.rows().next() {
        Some((batch, row)) => batch.word_columns(row).to_vec(),
        None => Vec::new(),
    };
    if scored.rows().any(|(batch, row)| batch.word_columns(row) != &words[..]) {
        return Err(refuse(&"rows of different columns have no table: ask for JSON"));
    }
    let mut options = scored.ask().options;
    // H2O's tables are without it.
    options.reconstruct = false;
    let form = CsvForm::plan(scored.model(), options, scored.ask().calibrated, &words)
        .map_err(|cause| refuse(&cause))?;
    let mut out = Vec::with_capacity(64 + scored.len() * 64);
    out.extend_from_slice(form.header());
    for (batch, row) in scored.rows() {
        form.write(&mut out, batch, row);
    }
    Ok(Wire { content_type: "text/csv; charset=utf-8", ..Wire::json(out.into()) })
}
