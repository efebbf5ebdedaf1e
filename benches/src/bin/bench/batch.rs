//! The bench models in batches beside `score0`, both from the same row-major raw rows.

use std::fmt::Write as _;

use crate::engine::{Difference, Effort, turns};
use crate::genmodel::Genmodel;
use crate::peers::Peers;
use crate::report::{Report, grouped, ratio};
use crate::rows::{MODELS, model, raw_rows};
use crate::{Failure, ours};

const ROWS: u64 = 20_000;
const PER_CALL: u64 = 10_000;

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let genmodel = Genmodel::find()?;
    let mut report = Report::new("batch");
    let mut text = String::from(
        "| model | stemson, rows per processor s | genmodel score0, rows per processor s | ratio | answers |\n\
         | --- | ---: | ---: | ---: | --- |\n",
    );
    for case in MODELS {
        let (model, rows) = (model(case), raw_rows(case, ROWS)?);
        let mut engines = [
            ours::start("stemson", "score", &model, &rows)?,
            genmodel.start("score", &model, &rows)?,
        ];
        let scratch = rows.parent().unwrap_or(&rows).to_owned();
        let answers = (engines[0].answers(&scratch)?, engines[1].answers(&scratch)?);
        let answers = Difference::of(&answers.0, &answers.1)?.words();
        let ns = turns(&mut engines, PER_CALL, effort)?;
        let times = ratio(ns[1] / ns[0]);
        let (ours, theirs) = (grouped(1e9 / ns[0]), grouped(1e9 / ns[1]));
        writeln!(text, "| `{case}` | {ours} | {theirs} | {times} | {answers} |")?;
    }
    report.table(&text);
    report.note(format!("{} rows in a call; Java: {}", grouped(PER_CALL as f64), genmodel.java));
    let peers = Peers::find()?;
    report.table(&level_sets(&peers, effort)?);
    xgboost(&peers, effort, &mut report)?;
    report.table(&two_threads(effort)?);
    Ok(report)
}

/// A model whose splits are nearly all level sets against the same trees with numeric tests.
fn level_sets(peers: &Peers, effort: Effort) -> Result<String, Failure> {
    let (sets, rows) = (model("gbm_multi5"), raw_rows("gbm_multi5", ROWS)?);
    let mut engines = [
        ours::start("sets", "score", &sets, &rows)?,
        ours::start("numbers", "score", &peers.numeric(&sets, &rows)?, &rows)?,
    ];
    let ns = turns(&mut engines, PER_CALL, effort)?;
    Ok(format!(
        "`gbm_multi5`, 99 % of whose splits are level sets, takes {:.2} times as long as the same \
         trees with numeric tests in place of sets ({:.2} and {:.2} us per row).",
        ns[0] / ns[1],
        ns[0] / 1e3,
        ns[1] / 1e3,
    ))
}

/// `xgb300d8` against XGBoost on a forest of the same number of trees, depth and leaves.
fn xgboost(peers: &Peers, effort: Effort, report: &mut Report) -> Result<(), Failure> {
    const TREES: f64 = 300.0;
    let (model, rows) = (model("xgb300d8"), raw_rows("xgb300d8", ROWS)?);
    let forest = peers.forest("xgb_300_d8")?;
    let mut notes = Vec::new();
    let mut engines = vec![ours::start("stemson", "score", &model, &rows)?];
    engines.extend(peers.start(&["xgboost"], "score", &forest, &mut notes));
    if let [ours, theirs] = turns(&mut engines, PER_CALL, effort)?[..] {
        report.table(&format!(
            "`xgb300d8` takes {:.2} ns per row and tree; XGBoost's `inplace_predict` of a forest of \
             its own shape ({} trees, {:.0} leaves each, 32 numeric columns) {:.2}: {}.",
            ours / TREES,
            forest.trees,
            forest.leaves / forest.trees,
            theirs / TREES,
            ratio(theirs / ours),
        ));
    }
    notes.into_iter().for_each(|note| report.note(note));
    Ok(())
}

/// Two threads against one on the same rows, by wall time.
fn two_threads(effort: Effort) -> Result<String, Failure> {
    let (model, rows) = (model("gbm500d8"), raw_rows("gbm500d8", ROWS)?);
    let mut engine = ours::start("stemson", "threads", &model, &rows)?;
    let mut least = [f64::INFINITY; 2];
    for _ in 0..effort.rounds.max(5) {
        for (threads, least) in (1..).zip(&mut least) {
            *least = least.min(engine.round(threads, 4 * ROWS)?);
        }
    }
    Ok(format!(
        "Two threads score `gbm500d8` {:.2} times as fast as one, by the clock on the wall: another \
         load on the machine shows here.",
        least[0] / least[1]
    ))
}
