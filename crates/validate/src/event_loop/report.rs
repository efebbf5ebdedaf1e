//! The report in words, and its verdict.

use std::fmt;

use super::{Finding, Report};
use crate::verdict::Verdict;

impl Report {
    /// Whether a change that brought this application here may be merged.
    pub fn verdict(&self) -> Verdict {
        let answered: usize = self.routes.values().flat_map(|route| route.statuses.values()).sum();
        let thesis = format!(
            "The claim is that `{}` keeps its {} loop free: {answered} answers of {} routes in {:.0} s, half of the \
             beats at most {:.1} ms late.",
            self.app,
            self.event_loop,
            self.routes.len(),
            self.seconds,
            self.lag.p50_ms,
        );
        let worked = self.routes.values().filter(|route| route.worked()).count();
        let Some(worst) = self.findings.first() else {
            let aside = &self.aside;
            let antithesis = format!(
                "The latest beat came {:.1} ms late; the machine took {:.0} ms of the loop's time, \
                 other threads' GIL {:.0} ms, garbage collection {:.0} ms, and {} late callbacks \
                 could not be told.",
                self.lag.max_ms,
                aside.run_queue_ms,
                aside.gil_ms,
                aside.collector_ms,
                aside.unseen + aside.unsure,
            );
            let synthesis = match worked {
                0 => "Reject: no route succeeded, so nothing was seen; say what to ask with \
                      --requests FILE."
                    .to_owned(),
                n if n < self.routes.len() => format!(
                    "Accept for the {n} routes that worked: no callback of theirs held the loop \
                     for {} ms; the other {} were not seen.",
                    self.threshold_ms,
                    self.routes.len() - n
                ),
                _ => format!(
                    "Accept: no callback of the application held the loop for {} ms.",
                    self.threshold_ms
                ),
            };
            return Verdict { good: worked > 0, thesis, antithesis, synthesis };
        };
        let antithesis = format!(
            "{} of its functions held the loop longer than {} ms, the worst {} times and up to \
             {:.1} ms: {}; meanwhile nobody else was served, health checks included.",
            self.findings.len(),
            self.threshold_ms,
            worst.blocks,
            worst.max_ms,
            worst.place(),
        );
        let synthesis =
            format!("Reject the change until this is mended, first of all: {}.", worst.fix);
        Verdict { good: false, thesis, antithesis, synthesis }
    }

    /// For scripts: all figures, and the verdict. Keys may be added, none goes away.
    pub fn to_json(&self) -> serde_json::Value {
        // Plain fields of ours can always be written.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        json["verdict"] = self.verdict().to_json();
        json
    }
}

impl Finding {
    /// `work.py:3 busy <- main.py:9 route`.
    fn place(&self) -> String {
        let hop = |hop: &super::Hop| format!("{}:{} {}", hop.path, hop.line, hop.function);
        let chain: Vec<String> = self.chain.iter().map(hop).collect();
        match (&self.library, chain.is_empty()) {
            (Some(library), true) => hop(library),
            (Some(library), false) => format!("{} (in {})", chain.join(" <- "), hop(library)),
            (None, _) => chain.join(" <- "),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on Python {}, uvicorn {}, {}: {} requests/s for {:.0} s, threshold {} ms\n",
            self.app,
            self.python,
            self.uvicorn,
            self.event_loop,
            self.load,
            self.seconds,
            self.threshold_ms,
        )?;
        for (route, answered) in &self.routes {
            let statuses: Vec<String> =
                answered.statuses.iter().map(|(status, n)| format!("{n} x {status}")).collect();
            let failed = match answered.failed {
                0 => String::new(),
                n => format!(" {n} without an answer"),
            };
            writeln!(f, "  {route:<32} {}{failed}", statuses.join(", "))?;
        }
        for (route, reason) in &self.skipped {
            writeln!(f, "  {route:<32} not asked: {reason}")?;
        }
        let (lag, net) = (&self.lag, &self.lag_without_run_queue);
        writeln!(
            f,
            "\nloop lag                    p50 {:.1}  p99 {:.1}  max {:.1} ms",
            lag.p50_ms, lag.p99_ms, lag.max_ms
        )?;
        writeln!(
            f,
            "  without run-queue wait    p50 {:.1}  p99 {:.1}  max {:.1} ms\n",
            net.p50_ms, net.p99_ms, net.max_ms
        )?;
        for finding in &self.findings {
            writeln!(f, "blocked  {}", finding.place())?;
            writeln!(
                f,
                "         {} times, {:.0} ms in all, {:.1} ms at most; {}",
                finding.blocks, finding.total_ms, finding.max_ms, finding.kind
            )?;
            writeln!(f, "         fix: {}", finding.fix)?;
        }
        if self.findings.is_empty() {
            writeln!(f, "nothing held the loop for {} ms", self.threshold_ms)?;
        }
        let aside = &self.aside;
        writeln!(
            f,
            "not the application: run queue {:.0} ms, GIL of other threads {:.0} ms, garbage \
             collection {:.0} ms; not told: {}",
            aside.run_queue_ms,
            aside.gil_ms,
            aside.collector_ms,
            aside.unseen + aside.unsure,
        )?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        write!(f, "\n{}", self.verdict())
    }
}
