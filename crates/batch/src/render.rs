//! From predictions to the lines of the output.

use stemson_mojo::{Category, Model, Output, RowError};

use crate::csv::write_field;
use crate::error::BatchError;
use crate::job::Job;
use crate::jsonl::write_text;
use crate::source::Format;
use crate::table::Value;

/// How the rows of a job are written. Made once, used by all workers.
#[derive(Debug)]
pub(crate) enum Form {
    Csv(CsvForm),
    Jsonl(JsonlForm),
}

impl Form {
    pub(crate) fn plan(model: &Model, job: &Job) -> Result<Self, BatchError> {
        match model.category() {
            Category::Binomial
            | Category::Multinomial
            | Category::Ordinal
            | Category::Regression => {}
            category => return Err(BatchError::NoForm { category: category.as_str() }),
        }
        if job.calibrated && !model.calibrated() {
            return Err(BatchError::NotCalibrated);
        }
        match job.output {
            Format::Csv => CsvForm::plan(model, job).map(Self::Csv),
            Format::Jsonl => JsonlForm::plan(model, job).map(Self::Jsonl),
        }
    }

    /// What stands before the first row.
    pub(crate) fn header(&self) -> &[u8] {
        match self {
            Self::Csv(form) => &form.header,
            Self::Jsonl(_) => b"",
        }
    }

    /// Appends one row. `kept`: the values of the columns to keep.
    pub(crate) fn row(
        &self,
        out: &mut Vec<u8>,
        number: u64,
        output: Result<Output<'_>, &RowError>,
        kept: &[Value<'_>],
    ) {
        match self {
            Self::Csv(form) => form.row(out, output, kept),
            Self::Jsonl(form) => form.row(out, number, output, kept),
        }
    }
}

/// Predictions, calibrated probabilities, kept columns, `error` where a row may be refused.
#[derive(Debug)]
pub(crate) struct CsvForm {
    header: Vec<u8>,
    /// As fields, by index.
    labels: Vec<Vec<u8>>,
    /// Number of columns that a refused row leaves empty.
    predictions: usize,
    calibrated: bool,
    error: bool,
    columns: usize,
}

impl CsvForm {
    fn plan(model: &Model, job: &Job) -> Result<Self, BatchError> {
        let mut names: Vec<String> =
            model.output_columns().iter().map(|name| format!("{}{name}", job.prefix)).collect();
        if job.calibrated {
            let probabilities = &model.output_columns()[1..];
            names.extend(probabilities.iter().map(|name| format!("{}cal_{name}", job.prefix)));
        }
        let predictions = names.len();
        names.extend(job.keep.iter().cloned());
        let error = job.options.strict || model.may_refuse();
        if error {
            names.push("error".to_owned());
        }
        let mut header = Vec::new();
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return Err(BatchError::OutputTwice { name: name.clone() });
            }
            if i > 0 {
                header.push(b',');
            }
            write_field(&mut header, name);
        }
        header.push(b'\n');
        let labels = model.labels().iter().map(|label| {
            let mut field = Vec::new();
            write_field(&mut field, label);
            field
        });
        Ok(Self {
            header,
            labels: labels.collect(),
            predictions,
            calibrated: job.calibrated,
            error,
            columns: names.len(),
        })
    }

    fn row(&self, out: &mut Vec<u8>, output: Result<Output<'_>, &RowError>, kept: &[Value<'_>]) {
        let start = out.len();
        let error = match output {
            Ok(output) => {
                self.prediction(out, &output);
                None
            }
            Err(error) => {
                out.extend(std::iter::repeat_n(b',', self.predictions - 1));
                Some(error)
            }
        };
        for value in kept {
            out.push(b',');
            match value {
                Value::Absent => {}
                Value::Text(text) => write_field(out, text),
                Value::Number(text) => out.extend_from_slice(text.as_bytes()),
                Value::Bool(value) => out.extend_from_slice(bool_text(*value)),
            }
        }
        if self.error {
            out.push(b',');
            if let Some(error) = error {
                write_field(out, &format!("{}: {}", error.kind.as_str(), error.message));
            }
        }
        // A blank line is no row to most readers.
        if self.columns == 1 && out.len() == start {
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
    }

    fn prediction(&self, out: &mut Vec<u8>, output: &Output<'_>) {
        match output {
            Output::Value(value) => write_number(out, *value),
            Output::Classes { index, p, calibrated } => {
                out.extend_from_slice(&self.labels[*index]);
                let calibrated = calibrated.filter(|_| self.calibrated).unwrap_or_default();
                for p in p.iter().chain(calibrated) {
                    out.push(b',');
                    write_number(out, *p);
                }
            }
            _ => unwritable(),
        }
    }
}

/// One object per row; `out` has all keys that the model offers.
#[derive(Debug)]
pub(crate) struct JsonlForm {
    /// As JSON text, by index.
    labels: Vec<Vec<u8>>,
    /// Keys as JSON text.
    keep: Vec<Vec<u8>>,
}

impl JsonlForm {
    fn plan(model: &Model, job: &Job) -> Result<Self, BatchError> {
        let json = |text: &String| {
            let mut out = Vec::new();
            write_text(&mut out, text);
            out
        };
        for (i, name) in job.keep.iter().enumerate() {
            if job.keep[..i].contains(name) {
                return Err(BatchError::OutputTwice { name: name.clone() });
            }
        }
        Ok(Self {
            labels: model.labels().iter().map(json).collect(),
            keep: job.keep.iter().map(json).collect(),
        })
    }

    fn row(
        &self,
        out: &mut Vec<u8>,
        number: u64,
        output: Result<Output<'_>, &RowError>,
        kept: &[Value<'_>],
    ) {
        out.extend_from_slice(b"{\"row\":");
        out.extend_from_slice(number.to_string().as_bytes());
        match output {
            Ok(output) => {
                out.extend_from_slice(b",\"out\":");
                self.prediction(out, &output);
            }
            Err(error) => {
                out.extend_from_slice(b",\"error\":{\"kind\":");
                write_text(out, error.kind.as_str());
                if let Some(column) = &error.column {
                    out.extend_from_slice(b",\"column\":");
                    write_text(out, column);
                }
                out.extend_from_slice(b",\"message\":");
                write_text(out, &error.message);
                out.push(b'}');
            }
        }
        for (i, (key, value)) in self.keep.iter().zip(kept).enumerate() {
            out.extend_from_slice(if i == 0 { b",\"kept\":{" } else { b"," });
            out.extend_from_slice(key);
            out.push(b':');
            match value {
                Value::Absent => out.extend_from_slice(b"null"),
                Value::Text(text) => write_text(out, text),
                Value::Number(text) => out.extend_from_slice(text.as_bytes()),
                Value::Bool(value) => out.extend_from_slice(bool_text(*value)),
            }
        }
        out.extend_from_slice(if self.keep.is_empty() { b"}\n" } else { b"}}\n" });
    }

    fn prediction(&self, out: &mut Vec<u8>, output: &Output<'_>) {
        match output {
            Output::Value(value) => {
                out.extend_from_slice(b"{\"value\":");
                write_json_number(out, *value);
            }
            Output::Classes { index, p, calibrated } => {
                out.extend_from_slice(b"{\"label\":");
                out.extend_from_slice(&self.labels[*index]);
                out.extend_from_slice(b",\"index\":");
                out.extend_from_slice(index.to_string().as_bytes());
                out.extend_from_slice(b",\"p\":");
                write_json_numbers(out, p);
                if let Some(calibrated) = calibrated {
                    out.extend_from_slice(b",\"calibrated\":");
                    write_json_numbers(out, calibrated);
                }
            }
            _ => unwritable(),
        }
        out.push(b'}');
    }
}

/// [`Form::plan`] has refused the model.
fn unwritable() -> ! {
    unreachable!("an answer of a category that has no written form")
}

fn bool_text(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

/// The shortest text that parses back to the same bits; `NaN`, `Infinity`, `-Infinity`.
fn write_number(out: &mut Vec<u8>, value: f64) {
    match special(value) {
        Some(word) => out.extend_from_slice(word.as_bytes()),
        None => out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// The same, with quotes around what JSON cannot say.
fn write_json_number(out: &mut Vec<u8>, value: f64) {
    match special(value) {
        Some(word) => write_text(out, word),
        None => write_number(out, value),
    }
}

fn write_json_numbers(out: &mut Vec<u8>, values: &[f64]) {
    out.push(b'[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_json_number(out, *value);
    }
    out.push(b']');
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some("NaN")
    } else if value > 0.0 {
        Some("Infinity")
    } else {
        Some("-Infinity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (5e-324, "5e-324"),
            (1e21, "1e21"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            write_number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let mut out = Vec::new();
        write_json_numbers(&mut out, &[0.5, f64::INFINITY]);
        assert_eq!(out, b"[0.5,\"Infinity\"]");
    }

    proptest! {
        #[test]
        fn numbers_parse_back_to_the_same_bits(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let mut out = Vec::new();
            write_number(&mut out, value);
            let back: f64 = std::str::from_utf8(&out).unwrap().parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
