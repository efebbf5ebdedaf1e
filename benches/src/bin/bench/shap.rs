//! Contributions (path-dependent `TreeSHAP`) beside genmodel's, `XGBoost`'s and `LightGBM`'s.

use std::fmt::Write as _;
use std::path::Path;

use crate::engine::{Difference, Effort, Engine, turns};
use crate::genmodel::Genmodel;
use crate::peers::Peers;
use crate::report::{Report, ratio};
use crate::rows::{model, raw_rows};
use crate::{Failure, ours};

const CASE: &str = "gbm100d6";
const FOREST: &str = "gbm_100_d6";
const PER_CALL: u64 = 1_000;

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let mut report = Report::new("shap");
    match Genmodel::find() {
        Ok(genmodel) => {
            let (model, rows) = (model(CASE), raw_rows(CASE, 10_000)?);
            let mut engines = vec![
                ours::start("stemson", "contributions", &model, &rows)?,
                genmodel.start("contributions", &model, &rows)?,
            ];
            report.table(&table(CASE, &mut engines, &rows, effort)?);
        }
        Err(why) => report.note(format!("genmodel skipped: {why}")),
    }
    let peers = Peers::find()?;
    let forest = peers.forest(FOREST)?;
    let mut engines =
        vec![ours::start("stemson", "contributions", &forest.model(), &forest.rows())?];
    let mut notes = Vec::new();
    engines.extend(peers.start(&["xgboost", "lightgbm"], "contributions", &forest, &mut notes));
    report.table(&table(FOREST, &mut engines, &forest.rows(), effort)?);
    notes.into_iter().for_each(|note| report.note(note));
    report.note("1,000 rows in a call; genmodel a row at a time");
    Ok(report)
}

fn table(
    name: &str,
    engines: &mut [Engine],
    rows: &Path,
    effort: Effort,
) -> Result<String, Failure> {
    let scratch = rows.parent().unwrap_or(rows);
    let mut answers = Vec::new();
    for engine in engines.iter_mut() {
        answers.push(engine.answers(scratch)?);
    }
    let ns = turns(engines, PER_CALL, effort)?;
    let mut text = format!(
        "| `{name}` | us per row | stemson's speed | answers |\n| --- | ---: | ---: | --- |\n"
    );
    for ((engine, theirs), spent) in engines.iter().zip(&answers).zip(&ns) {
        let answers = Difference::of(&answers[0], theirs)?.words();
        let times = ratio(spent / ns[0]);
        writeln!(text, "| {} | {:.1} | {times} | {answers} |", engine.name, spent / 1e3)?;
    }
    Ok(text)
}
