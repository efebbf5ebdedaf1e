//! Shadows: revisions that are asked too, and whose answers are only compared.
//!
//! Beside the way of requests: a row goes into a bounded queue or is dropped, and one thread scores
//! what comes out of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use stemson_mojo::{Batch, Options};
use stemson_serving::{Answered, Chosen, ModelName, Revision};

use crate::bench;
use crate::lane;
use crate::metrics::Metrics;
use crate::rows::First;

/// Rows that wait for the thread.
const QUEUED_MAX: usize = 1_024;

/// How far two values may lie from each other and be the same answer.
const RELATIVE: f64 = 1e-6;

/// A row that was answered, for a shadow to answer too.
struct Row {
    model: ModelName,
    answered_by: Arc<Revision>,
    shadow: Arc<Revision>,
    raw: Box<[f64]>,
    offset: f64,
    answered: Answered,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Shadows {
    rows: SyncSender<Row>,
    metrics: Arc<Metrics>,
}

impl Shadows {
    /// Starts the thread. It ends when this is dropped.
    pub(crate) fn start(metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (rows, receiver) = mpsc::sync_channel(QUEUED_MAX);
        let counts = Arc::clone(&metrics);
        thread::Builder::new().name("shadow".to_owned()).spawn(move || {
            lane::step_aside();
            compare(&receiver, &counts, judge);
        })?;
        Ok(Self { rows, metrics })
    }

    /// Asks the shadow of a request, if there is one, what it makes of the first row. Never waits.
    pub(crate) fn ask(&self, model: &ModelName, chosen: &Chosen, first: First) {
        let Some(shadow) = &chosen.shadow else {
            return;
        };
        let (Some(raw), Some(answered)) = (first.raw, first.answered) else {
            return;
        };
        let (answered_by, shadow) = (Arc::clone(&chosen.revision), Arc::clone(shadow));
        let (model, offset) = (model.clone(), first.offset);
        let row = Row { model, answered_by, shadow, raw, offset, answered };
        if let Err(mpsc::TrySendError::Full(row)) = self.rows.try_send(row) {
            self.metrics.shadow(&row.model, row.shadow.short(), "dropped");
        }
    }
}

fn compare(rows: &Receiver<Row>, metrics: &Metrics, judge: impl Fn(&Row) -> &'static str) {
    while let Ok(row) = rows.recv() {
        // A panic is a mistake of ours, and the hook has printed it. The next row is another one.
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(&row))).unwrap_or("failed");
        metrics.shadow(&row.model, row.shadow.short(), outcome);
    }
}

/// What the shadow makes of the row.
fn judge(Row { answered_by, shadow, raw, offset, answered, .. }: &Row) -> &'static str {
    let mut batch = Batch::new(Arc::clone(shadow.model()), Options::default());
    bench::push(&mut batch, raw, *offset, answered_by.model());
    batch.score();
    if batch.is_empty() {
        // The row of one model's encoding says nothing to the other.
        return "dropped";
    }
    match batch.output(0).map(|output| First::of(&output)) {
        Err(_) => "refused",
        Ok(own) if own.is_some_and(|own| is_same(own, *answered)) => "same",
        Ok(_) => "different",
    }
}

fn is_same(own: Answered, other: Answered) -> bool {
    match (own, other) {
        (Answered::Value(a), Answered::Value(b)) => {
            a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= RELATIVE * b.abs()
        }
        _ => own == other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use stemson_serving::Deployments;

    use super::*;
    use crate::config::Limits;
    use crate::overload::Held;

    #[test]
    fn a_panic_ends_one_row_only() {
        let held = Held::new(Limits::default());
        let deployment = held.context.deployment("churn").expect("it is there");
        let (sender, receiver) = mpsc::sync_channel(3);
        for _ in 0..3 {
            let revision = deployment.current();
            let row = Row {
                model: deployment.name().clone(),
                answered_by: Arc::clone(&revision),
                shadow: revision,
                raw: Box::default(),
                offset: 0.0,
                answered: Answered::Label(0),
            };
            sender.send(row).map_err(|_| ()).expect("there is room");
        }
        drop(sender);
        let (metrics, n) = (Metrics::new(), AtomicUsize::new(0));
        compare(&receiver, &metrics, |_| {
            assert!(n.fetch_add(1, Ordering::Relaxed) != 1, "as a mistake of ours would");
            "same"
        });
        let (text, _) = metrics.render(&Deployments::new(), false);
        for line in ["outcome=\"same\"} 2", "outcome=\"failed\"} 1"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
