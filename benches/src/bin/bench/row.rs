//! One row from typed values to label and probabilities, beside `EasyPredictModelWrapper`.

use std::fmt::Write as _;

use crate::engine::{Difference, Effort, turns};
use crate::genmodel::Genmodel;
use crate::report::{Report, ratio};
use crate::rows::{MODELS, model, raw_rows};
use crate::{Failure, ours};

const ROWS: u64 = 2_000;

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let genmodel = Genmodel::find()?;
    let mut report = Report::new("row");
    let mut text = String::from(
        "| model | stemson, us | genmodel EasyPredict, us | ratio | answers |\n\
         | --- | ---: | ---: | ---: | --- |\n",
    );
    for case in MODELS {
        let (model, rows) = (model(case), raw_rows(case, ROWS)?);
        let mut engines = [
            ours::start("stemson", "typed", &model, &rows)?,
            genmodel.start("typed", &model, &rows)?,
        ];
        let scratch = rows.parent().unwrap_or(&rows).to_owned();
        let answers = (engines[0].answers(&scratch)?, engines[1].answers(&scratch)?);
        let answers = Difference::of(&answers.0, &answers.1)?.words();
        let ns = turns(&mut engines, 1, effort)?;
        let times = ratio(ns[1] / ns[0]);
        let (ours, theirs) = (ns[0] / 1e3, ns[1] / 1e3);
        writeln!(text, "| `{case}` | {ours:.2} | {theirs:.2} | {times} | {answers} |")?;
    }
    report.table(&text);
    report.note(format!("Java: {}", genmodel.java));
    Ok(report)
}
