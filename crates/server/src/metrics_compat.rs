//! The same counts under the names of another server, for dashboards that are there already.
//!
//! Read from the statistics of each revision, beside our own metrics, in the classic text form only:
//! `OpenMetrics` does not know counters that are not called `_total`.

use std::fmt::Write as _;

use crate::context::Context;
use crate::statistics::{self, InferenceStats, ModelStats, Spent};

/// Whose names `/metrics` shows besides ours (`metrics_compat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsCompat {
    /// `nv_inference_*` of Triton, durations in microseconds.
    Triton,
    /// `request_*_seconds` of `KServe`'s Python servers, as histograms of one bucket: means, no
    /// quantiles.
    Kserve,
}

type Count = fn(&ModelStats) -> u64;

const TRITON: &[(&str, &str, Count)] = &[
    ("nv_inference_request_success", "Requests that were answered", |it| {
        it.inference_stats.success.count
    }),
    ("nv_inference_request_failure", "Requests that were refused or failed", |it| {
        it.inference_stats.fail.count
    }),
    ("nv_inference_count", "Rows that were scored", |it| it.inference_count),
    ("nv_inference_exec_count", "Requests that were scored", |it| it.execution_count),
    ("nv_inference_request_duration_us", "Time of requests", |it| us(it.inference_stats.success)),
    ("nv_inference_queue_duration_us", "Time of waiting", |it| us(it.inference_stats.queue)),
    ("nv_inference_compute_input_duration_us", "Time of decoding", |it| {
        us(it.inference_stats.compute_input)
    }),
    ("nv_inference_compute_infer_duration_us", "Time of scoring", |it| {
        us(it.inference_stats.compute_infer)
    }),
    ("nv_inference_compute_output_duration_us", "Time of encoding", |it| {
        us(it.inference_stats.compute_output)
    }),
];

type Part = fn(&InferenceStats) -> Spent;

const KSERVE: &[(&str, &str, Part)] = &[
    ("request_preprocess_seconds", "Time of decoding", |it| it.compute_input),
    ("request_predict_seconds", "Time of scoring", |it| it.compute_infer),
    ("request_postprocess_seconds", "Time of encoding", |it| it.compute_output),
];

fn us(spent: Spent) -> u64 {
    spent.ns / 1_000
}

/// The lines to be added to the text.
pub(crate) fn render(context: &Context, compat: MetricsCompat) -> String {
    statistics::of(context, None, None).map_or_else(|_| String::new(), |all| lines(&all, compat))
}

fn lines(all: &[ModelStats], compat: MetricsCompat) -> String {
    let mut out = String::new();
    // Writing to memory cannot fail.
    match compat {
        MetricsCompat::Triton => {
            for (name, help, count) in TRITON {
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
                for it in all {
                    let (model, version) = (&it.name, &it.version);
                    let _ = writeln!(
                        out,
                        "{name}{{model=\"{model}\",version=\"{version}\"}} {}",
                        count(it)
                    );
                }
            }
        }
        MetricsCompat::Kserve => {
            for (name, help, part) in KSERVE {
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
                // Revisions of a model stand together there.
                for models in all.chunk_by(|one, next| one.name == next.name) {
                    let model = &models[0].name;
                    let spent = models.iter().map(|it| part(&it.inference_stats));
                    let (count, ns) = spent.fold((0, 0), |(n, ns), it| (n + it.count, ns + it.ns));
                    let label = format!("model_name=\"{model}\"");
                    let seconds = ns as f64 / 1e9;
                    let _ = writeln!(
                        out,
                        "{name}_bucket{{{label},le=\"+Inf\"}} {count}\n{name}_count{{{label}}} \
                         {count}\n{name}_sum{{{label}}} {seconds}"
                    );
                }
            }
        }
    }
    out
}
