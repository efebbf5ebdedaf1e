//! The figures as table, JSON and plot, and what follows from them.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::JsonbIndex;
use super::measure::Variant;
use crate::verdict::Verdict;

/// One index.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) variant: Variant,
    pub(crate) build_seconds: f64,
    /// As built.
    pub(crate) index_bytes: u64,
    /// What the writes added before the pending list was flushed.
    pub(crate) grown_bytes: u64,
    pub(crate) full_us_per_row: f64,
    /// Paced, full speed and the flush together.
    pub(crate) wal_bytes_per_row: f64,
    /// Whether a checkpoint could be made before the writes.
    pub(crate) after_checkpoint: bool,
    pub(crate) flushed_pages: u64,
    pub(crate) flush_seconds: f64,
    pub(crate) paced: Paced,
    pub(crate) asked: Vec<Asked>,
}

/// Transactions at the asked rate, their latency counted from when they were due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paced {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// How late the latest transaction began.
    pub(crate) behind: Duration,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    pub(crate) found: u64,
    /// Whether the plan uses the index that is measured.
    pub(crate) by_index: bool,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) times: usize,
}

/// `jsonb_path_ops` against `jsonb_ops`, and what the specification expects of it.
#[derive(Debug, Clone, Copy)]
struct Hypothesis {
    /// Change of size: -0.4 is 40 % less.
    size: f64,
    /// Change of what the index adds to a row's write at full speed.
    penalty: f64,
    /// The same of write-ahead log.
    wal: f64,
}

const SIZE_EXPECTED: f64 = -0.40;
const PENALTY_EXPECTED: f64 = -0.30;
/// A paced transaction that begins so late has not held its rate.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// The figures and the verdict of a run.
#[derive(Debug, Clone)]
pub struct Report {
    plan: JsonbIndex,
    version: String,
    hot_key: String,
    load_seconds: f64,
    heap_bytes: u64,
    measured: Vec<Measured>,
    hypothesis: Hypothesis,
    recommended: Variant,
    recommendation: String,
    /// Whether the recommended index holds the asked rate and serves the questions.
    pub verdict: Verdict,
}

/// What a panel shows of an index.
type Figure = fn(&Measured) -> f64;

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Report {
    pub(crate) fn new(
        plan: &JsonbIndex,
        version: String,
        hot_key: String,
        load_seconds: f64,
        heap_bytes: u64,
        measured: Vec<Measured>,
    ) -> Self {
        let hypothesis = hypothesis(&measured);
        let (recommended, recommendation) = recommend(&measured, &hypothesis);
        let verdict = verdict(plan, &measured, &hypothesis, recommended, &recommendation);
        Self {
            plan: plan.clone(),
            version,
            hot_key,
            load_seconds,
            heap_bytes,
            measured,
            hypothesis,
            recommended,
            recommendation,
            verdict,
        }
    }

    /// Keys may be added, none goes away.
    pub fn to_json(&self) -> Value {
        let asked = |it: &Asked| {
            json!({
                "query": it.name, "rows": it.found, "selectivity": it.found as f64 / self.plan.rows as f64,
                "uses_index": it.by_index, "p50_ms": ms(it.p50), "p99_ms": ms(it.p99), "times": it.times,
            })
        };
        let index = |it: &Measured| {
            json!({
                "index": it.variant.as_str(),
                "build_seconds": it.build_seconds,
                "size_bytes": it.index_bytes,
                "grown_bytes": it.grown_bytes,
                "full_speed_us_per_row": it.full_us_per_row,
                "wal_bytes_per_row": it.wal_bytes_per_row,
                "paced": {
                    "p50_ms": ms(it.paced.p50), "p99_ms": ms(it.paced.p99), "max_ms": ms(it.paced.max),
                    "behind_ms": ms(it.paced.behind),
                },
                "pending_list": { "flushed_pages": it.flushed_pages, "flush_seconds": it.flush_seconds },
                "after_checkpoint": it.after_checkpoint,
                "queries": it.asked.iter().map(asked).collect::<Vec<_>>(),
            })
        };
        json!({
            "postgresql": self.version,
            "rows": self.plan.rows,
            "write_rate": self.plan.write_rate,
            "seconds": self.plan.seconds,
            "documents": self.documents(),
            "hot_key": self.hot_key,
            "load_seconds": self.load_seconds,
            "table_bytes": self.heap_bytes,
            "indexes": self.measured.iter().map(index).collect::<Vec<_>>(),
            "hypothesis": {
                "size_change": self.hypothesis.size, "size_expected": SIZE_EXPECTED, "size_held": self.hypothesis.size_held(),
                "penalty_change": self.hypothesis.penalty, "penalty_expected": PENALTY_EXPECTED,
                "penalty_held": self.hypothesis.penalty_held(), "wal_change": self.hypothesis.wal,
            },
            "recommended": self.recommended.as_str(),
            "recommendation": self.recommendation,
            "verdict": self.verdict.to_json(),
        })
    }

    fn documents(&self) -> String {
        self.plan.sample_from.as_ref().map_or_else(
            || self.plan.shape.as_str().to_owned(),
            |table| format!("sampled from {table}"),
        )
    }

    /// Bars for size, writes, paced latency and log, one panel each.
    pub fn to_svg(&self) -> String {
        let panels: [(&str, Figure); 4] = [
            ("index size, MiB", |it| mib(it.index_bytes)),
            ("write at full speed, us per row", |it| it.full_us_per_row),
            ("paced transaction p99, ms", |it| ms(it.paced.p99)),
            ("write-ahead log, bytes per row", |it| it.wal_bytes_per_row),
        ];
        let (row, panel) = (22, 50 + 22 * self.measured.len());
        let height = panel * panels.len() + 40;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"20\" y=\"24\" font-size=\"15\">PostgreSQL {}, {} rows, {} rows/s, {}</text>\n",
            escaped(&self.version),
            self.plan.rows,
            self.plan.write_rate,
            escaped(&self.documents())
        );
        for (number, (title, figure)) in panels.into_iter().enumerate() {
            let top = 40 + number * panel;
            let largest = self.measured.iter().map(figure).fold(f64::MIN_POSITIVE, f64::max);
            svg.extend([format!(
                "<text x=\"20\" y=\"{}\" font-weight=\"bold\">{title}</text>\n",
                top + 20
            )]);
            for (place, it) in self.measured.iter().enumerate() {
                let (y, value) = (top + 30 + place * row, figure(it));
                let width = value / largest * 420.0;
                svg.extend([format!(
                    "<text x=\"210\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"220\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" \
                     fill=\"#4878a8\"/><text x=\"{:.1}\" y=\"{}\">{value:.1}</text>\n",
                    y + 13, it.variant.as_str(), 226.0 + width, y + 13
                )]);
            }
        }
        svg + "</svg>\n"
    }
}

impl Hypothesis {
    fn size_held(self) -> bool {
        self.size <= SIZE_EXPECTED
    }

    fn penalty_held(self) -> bool {
        self.penalty <= PENALTY_EXPECTED
    }
}

fn of(measured: &[Measured], variant: Variant) -> Option<&Measured> {
    measured.iter().find(|it| it.variant == variant)
}

fn hypothesis(measured: &[Measured]) -> Hypothesis {
    let found =
        (of(measured, Variant::None), of(measured, Variant::Ops), of(measured, Variant::PathOps));
    let (Some(none), Some(ops), Some(path)) = found else {
        return Hypothesis { size: 0.0, penalty: 0.0, wal: 0.0 };
    };
    let change = |ops: f64, path: f64| if ops > 0.0 { path / ops - 1.0 } else { 0.0 };
    Hypothesis {
        size: change(ops.index_bytes as f64, path.index_bytes as f64),
        penalty: change(
            ops.full_us_per_row - none.full_us_per_row,
            path.full_us_per_row - none.full_us_per_row,
        ),
        wal: change(
            ops.wal_bytes_per_row - none.wal_bytes_per_row,
            path.wal_bytes_per_row - none.wal_bytes_per_row,
        ),
    }
}

/// For containment: the class that costs writers less; then whether its pending list is worth its
/// spikes.
fn recommend(measured: &[Measured], hypothesis: &Hypothesis) -> (Variant, String) {
    // Write-ahead log counts with processor time: it is what replicas and backups pay.
    let path_is_cheaper = hypothesis.penalty + hypothesis.wal <= 0.0;
    let (buffered, direct) = if path_is_cheaper {
        (Variant::PathOps, Variant::PathOpsDirect)
    } else {
        (Variant::Ops, Variant::OpsDirect)
    };
    let (Some(with_list), Some(without), Some(btree)) =
        (of(measured, buffered), of(measured, direct), of(measured, Variant::Expression))
    else {
        return (buffered, String::new());
    };
    let spikes = with_list.paced.p99 > without.paced.p99 * 2 && without.paced.behind < BEHIND_MAX;
    let chosen = if spikes { without } else { with_list };
    let list = if spikes {
        format!(
            "fastupdate off, since the pending list makes the paced p99 {:.0} ms instead of {:.0}",
            ms(with_list.paced.p99),
            ms(without.paced.p99)
        )
    } else {
        "with its pending list".to_owned()
    };
    let class = buffered.as_str();
    let text = format!(
        "For containment {class}, {list}; where only known keys are asked for, an expression B-tree costs {:.1} MiB and {:.0} us a row instead of {:.1} and {:.0}; only jsonb_ops serves `?`",
        mib(btree.index_bytes),
        btree.full_us_per_row,
        mib(chosen.index_bytes),
        chosen.full_us_per_row
    );
    (chosen.variant, text)
}

fn verdict(
    plan: &JsonbIndex,
    measured: &[Measured],
    hypothesis: &Hypothesis,
    recommended: Variant,
    recommendation: &str,
) -> Verdict {
    let held = |held: bool| if held { "held" } else { "did not hold" };
    let percent = |change: f64| format!("{:+.1} %", change * 100.0);
    let chosen = of(measured, recommended);
    let behind = chosen.map_or(Duration::ZERO, |it| it.paced.behind);
    let holds_rate = behind < BEHIND_MAX;
    let serves = chosen.is_some_and(|it| {
        it.asked.iter().any(|asked| asked.name == "@> several keys" && asked.by_index)
    });
    let none = of(measured, Variant::None);
    let factor = match (none, chosen) {
        (Some(none), Some(chosen)) => chosen.full_us_per_row / none.full_us_per_row,
        _ => 1.0,
    };
    Verdict {
        good: holds_rate && serves,
        thesis: format!(
            "jsonb_path_ops is to be 40 % smaller and 30 % cheaper to write than jsonb_ops: measured {} in size (it {}) and {} in write penalty (it {}).",
            percent(hypothesis.size), held(hypothesis.size_held()), percent(hypothesis.penalty), held(hypothesis.penalty_held())
        ),
        antithesis: format!(
            "A GIN index on whole documents makes a write {factor:.1} times as dear as none, and path_ops changes the log of ops by {}; at {} rows/s the latest transaction began {:.0} ms late.",
            percent(hypothesis.wal), plan.write_rate, ms(behind)
        ),
        synthesis: match (holds_rate, serves) {
            (true, true) => format!("{recommendation}."),
            (false, _) => format!("No such index at {} rows/s on this machine, which falls behind: index only the keys that are asked for, or a small column of facets.", plan.write_rate),
            (true, false) => "No GIN index yet: the planner does not use it at this size; measure again with more rows.".to_owned(),
        },
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Report {
    fn queries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nqueries: p50 / p99 ms, * where the plan uses the index; ->> asks for `{}`",
            self.hot_key
        )?;
        write!(f, "{:<30}", "index")?;
        let first = self.measured.first().map_or(&[][..], |it| &it.asked);
        for asked in first {
            write!(f, "{:>18}", asked.name)?;
        }
        write!(f, "\n{:<30}", "rows found")?;
        for asked in first {
            write!(
                f,
                "{:>18}",
                format!(
                    "{} ({:.3} %)",
                    asked.found,
                    asked.found as f64 * 100.0 / self.plan.rows as f64
                )
            )?;
        }
        for it in &self.measured {
            write!(f, "\n{:<30}", it.variant.as_str())?;
            for asked in &it.asked {
                let star = if asked.by_index { "*" } else { " " };
                write!(f, "{:>18}", format!("{:.2} / {:.2}{star}", ms(asked.p50), ms(asked.p99)))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        writeln!(
            f,
            "PostgreSQL {}, {} rows ({:.1} MiB, loaded in {:.1} s), {} rows/s and full speed for {} s each, documents: {}\n",
            self.version,
            plan.rows,
            mib(self.heap_bytes),
            self.load_seconds,
            plan.write_rate,
            plan.seconds,
            self.documents()
        )?;
        let head = [
            "index",
            "size MiB",
            "build s",
            "full us/row",
            "paced p50",
            "p99",
            "max ms",
            "WAL B/row",
            "flush s",
        ];
        writeln!(
            f,
            "{:<30}{:>9}{:>9}{:>12}{:>11}{:>9}{:>9}{:>11}{:>9}",
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7], head[8]
        )?;
        for it in &self.measured {
            writeln!(
                f,
                "{:<30}{:>9.1}{:>9.1}{:>12.0}{:>11.1}{:>9.1}{:>9.1}{:>11.0}{:>9.2}",
                it.variant.as_str(),
                mib(it.index_bytes),
                it.build_seconds,
                it.full_us_per_row,
                ms(it.paced.p50),
                ms(it.paced.p99),
                ms(it.paced.max),
                it.wal_bytes_per_row,
                it.flush_seconds
            )?;
        }
        self.queries(f)?;
        writeln!(f, "\n")?;
        if self.measured.iter().any(|it| !it.after_checkpoint) {
            writeln!(
                f,
                "warning: no checkpoints (they need pg_checkpoint): full pages make the WAL of the first index larger\n"
            )?;
        }
        write!(f, "{}", self.verdict)
    }
}
