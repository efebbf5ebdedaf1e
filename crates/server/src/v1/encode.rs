//! `{"predictions":[...],"model":"churn","revision":"<digest>"}`.

use axum::body::Bytes;
use stemson_mojo::{Model, Output, RowError};

use crate::json;
use crate::rows::Scored;

/// The body of an answer: a prediction or an error in the place of each row.
pub(super) fn write(model: &str, scored: &Scored) -> Bytes {
    let keys = keys(scored.model());
    let mut out = Vec::with_capacity(192 + scored.len() * 96);
    out.extend_from_slice(b"{\"predictions\":[");
    json::write_list(&mut out, scored.outputs(), |out, output| match output {
        Ok(output) => write_prediction(out, scored.model(), &keys, &output),
        Err(error) => write_error(out, error),
    });
    out.extend_from_slice(b"],\"model\":");
    json::write_str(&mut out, model);
    out.extend_from_slice(format!(",\"revision\":\"{}\"}}", scored.revision().digest()).as_bytes());
    out.into()
}

/// The keys of `p`, quoted: level names, or `p0`, `p1` where the response has no levels.
fn keys(model: &Model) -> Vec<Vec<u8>> {
    let quoted = |text: &str| {
        let mut out = Vec::new();
        json::write_str(&mut out, text);
        out
    };
    if model.has_response_domain() {
        model.labels().iter().map(|label| quoted(label)).collect()
    } else {
        (0..model.labels().len()).map(|class| quoted(&format!("p{class}"))).collect()
    }
}

fn write_prediction(out: &mut Vec<u8>, model: &Model, keys: &[Vec<u8>], output: &Output<'_>) {
    match output {
        Output::Classes { index, p, calibrated } => {
            out.extend_from_slice(b"{\"label\":");
            write_label(out, model, *index);
            out.extend_from_slice(format!(",\"index\":{index},\"p\":{{").as_bytes());
            json::write_list(out, keys.iter().zip(*p), |out, (key, &p)| {
                out.extend_from_slice(key);
                out.push(b':');
                json::write_f64(out, p);
            });
            out.push(b'}');
            if let Some(calibrated) = calibrated {
                out.extend_from_slice(b",\"calibrated\":[");
                json::write_list(out, *calibrated, |out, &p| json::write_f64(out, p));
                out.push(b']');
            }
            out.push(b'}');
        }
        Output::Value(value) => {
            out.extend_from_slice(b"{\"value\":");
            json::write_f64(out, *value);
            out.push(b'}');
        }
        // Models of other categories are not deployed.
        _ => out.extend_from_slice(b"{}"),
    }
}

/// The label of a class.
pub(crate) fn write_label(out: &mut Vec<u8>, model: &Model, index: usize) {
    match model.labels().get(index) {
        Some(label) => json::write_str(out, label),
        None => out.extend_from_slice(format!("\"{index}\"").as_bytes()),
    }
}

fn write_error(out: &mut Vec<u8>, error: &RowError) {
    out.extend_from_slice(b"{\"error\":{\"kind\":");
    json::write_str(out, error.kind.as_str());
    out.extend_from_slice(b",\"column\":");
    match &error.column {
        Some(column) => json::write_str(out, column),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"message\":");
    json::write_str(out, &error.message);
    out.extend_from_slice(b"}}");
}
