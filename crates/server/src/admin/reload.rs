//! `POST /admin/reload`: files are read again, as by SIGHUP.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::refuse_other_sites;
use crate::context::Context;
use crate::error::Refusal;
use crate::json;
use crate::upkeep::{News, Report};

/// Waits until all is read again, and says what came of it. What is refused is an error; the rest has
/// been taken all the same.
pub(crate) async fn reload(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    refuse_other_sites(&request)?;
    let reports = context.upkeep.reload().await.map_err(|_| Refusal::Panicked)?;
    let refused = reports.iter().filter_map(|report| {
        let why = report.outcome.as_ref().err()?;
        Some(format!("{} not reloaded, the old stays: {why}", report.what))
    });
    let refused: Vec<String> = refused.collect();
    if !refused.is_empty() {
        return Err(Refusal::Reload(refused.join("; ")));
    }
    let mut out = b"{\"reloaded\":[".to_vec();
    json::write_list(&mut out, &reports, show);
    out.extend_from_slice(b"]}");
    Ok(json::response(StatusCode::OK, out.into()))
}

fn show(out: &mut Vec<u8>, report: &Report) {
    let Ok(News { text, problems, needs_restart }) = &report.outcome else { return };
    let (what, word) = (report.what, report.word());
    out.extend_from_slice(format!("{{\"what\":\"{what}\",\"outcome\":\"{word}\"").as_bytes());
    out.extend_from_slice(b",\"news\":");
    json::write_str(out, text);
    for (key, texts) in [("problems", problems), ("needs_restart", needs_restart)] {
        out.extend_from_slice(format!(",\"{key}\":[").as_bytes());
        json::write_list(out, texts, |out, text| json::write_str(out, text));
        out.push(b']');
    }
    out.push(b'}');
}
