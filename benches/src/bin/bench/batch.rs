//! The bench models in batches beside `score0`, both from the same row-major raw rows.

use std::fmt::Write as _;

use crate::engine::{Difference, Effort, turns};
use crate::genmodel::Genmodel;
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
    Ok(report)
}
