//! The report in words, and its verdict.

use std::fmt;

use super::{Change, Latency, Report};
use crate::verdict::Verdict;

/// A rollback may take as long (LE-SCN-01).
const ROLLBACK_MS_MAX: f64 = 30_000.0;

impl Report {
    /// Whether the model may be changed under this load.
    pub fn verdict(&self) -> Verdict {
        let lost = self.server_errors + self.transport_errors + self.refused;
        let [old, new, _] = self.by;
        let thesis = format!(
            "The claim is that nobody notices the swap of `{}`: {} requests at {} a second, {old} \
             answered by the old model and {new} by the new one, the swap done in {:.1} ms and \
             rolled back in {:.1} ms.",
            self.model, self.requests, self.load, self.swap.took_ms, self.rollback.took_ms,
        );
        let antithesis = format!(
            "{lost} requests failed ({} by 5xx, {} without an answer), {} answers were wrong and {} \
             by a model that was not current; p99 went from {:.1} ms before to {:.1} ms during the \
             swap.",
            self.server_errors,
            self.transport_errors,
            self.wrong,
            self.stale,
            self.before.p99_ms,
            self.during.p99_ms,
        );
        let mut faults = self.faults(lost);
        let synthesis = if faults.is_empty() {
            "Accept: the model can be changed under this load without a request that fails."
                .to_owned()
        } else {
            faults.truncate(3);
            format!("Reject: {}.", faults.join("; "))
        };
        Verdict { good: faults.is_empty(), thesis, antithesis, synthesis }
    }

    fn faults(&self, lost: usize) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(said) = &self.swap.refused {
            faults.push(format!("the swap was refused ({said})"));
        } else if self.swap.seen_ms.is_none() {
            faults.push("the new model was never seen to answer".to_owned());
        }
        if lost > 0 {
            faults.push(format!("{lost} requests were lost"));
        }
        if self.wrong > 0 {
            faults.push(format!("{} answers are neither model's", self.wrong));
        }
        if self.stale > 0 {
            faults.push(format!("{} answers came from a model that was not current", self.stale));
        }
        if self.during.p99_ms > 2.0 * self.before.p99_ms + 20.0 {
            faults.push(format!(
                "requests waited during the swap (p99 {:.0} ms instead of {:.0})",
                self.during.p99_ms, self.before.p99_ms
            ));
        }
        match &self.rollback.refused {
            _ if self.swap.refused.is_some() => {}
            Some(said) => faults.push(format!("it cannot be rolled back ({said})")),
            None if self.rollback.seen_ms.is_none_or(|seen| seen > ROLLBACK_MS_MAX) => {
                faults.push("the rollback did not show within 30 s".to_owned());
            }
            None => {}
        }
        faults
    }

    /// For scripts: all figures, and the verdict. Keys may be added, none goes away.
    pub fn to_json(&self) -> serde_json::Value {
        // Plain fields of ours can always be written.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        json["verdict"] = self.verdict().to_json();
        json
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [old, new, both] = self.by;
        writeln!(
            f,
            "{} at {}, changed by {}; the old model's answers from the {}\n",
            self.model, self.api, self.way, self.v1_from
        )?;
        writeln!(f, "requests      {} at {} a second", self.requests, self.load)?;
        writeln!(
            f,
            "  failed      {} by 5xx, {} by 4xx, {} without an answer",
            self.server_errors, self.refused, self.transport_errors
        )?;
        writeln!(
            f,
            "  wrong       {}; by a model that was not current {}",
            self.wrong, self.stale
        )?;
        writeln!(f, "  by          old {old}, new {new}, either {both}")?;
        if let Some(example) = &self.example {
            let example: String = example.chars().take(300).collect();
            writeln!(f, "  for example {example}")?;
        }
        for (name, change) in [("swap", &self.swap), ("rollback", &self.rollback)] {
            writeln!(f, "{name:<13} {change}")?;
        }
        for (name, latency) in
            [("before", &self.before), ("during", &self.during), ("after", &self.after)]
        {
            writeln!(f, "{name:<13} {latency}")?;
        }
        match self.resident_bytes {
            Some([before, after]) => {
                let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                writeln!(
                    f,
                    "memory        {:.1} MiB before, {:.1} after",
                    mib(before),
                    mib(after)
                )?;
            }
            None => writeln!(f, "memory        not seen: the server is not on this machine")?,
        }
        write!(f, "\n{}", self.verdict())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.refused, self.seen_ms) {
            (Some(said), _) => write!(f, "refused: {said}"),
            (None, Some(seen)) => {
                write!(f, "{:.1} ms, seen in an answer after {seen:.1} ms", self.took_ms)
            }
            (None, None) => write!(f, "{:.1} ms, never seen in an answer", self.took_ms),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1}  p99 {:.1}  max {:.1} ms of {} requests",
            self.p50_ms, self.p99_ms, self.max_ms, self.requests
        )
    }
}
