//! Loading a model from its file, beside `MojoModel.load`.

use std::fmt::Write as _;

use crate::engine::Effort;
use crate::genmodel::Genmodel;
use crate::report::{Report, ratio};
use crate::rows::{MODELS, model, raw_rows};
use crate::{Failure, ours};

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let genmodel = Genmodel::find()?;
    let mut report = Report::new("load");
    let mut text = String::from(
        "| model | stemson, ms | with explanations, ms | genmodel first, ms | second, ms | least, ms | \
         second / stemson | second / with explanations |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for case in MODELS {
        let (model, rows) = (model(case), raw_rows(case, 1)?);
        let mut scoring = ours::start("stemson", "load", &model, &rows)?;
        let mut explaining = ours::start("stemson", "load-explained", &model, &rows)?;
        let mut theirs = genmodel.start("load", &model, &rows)?;
        let second = theirs.round(1, 1)?;
        let (mut least_ours, mut explained, mut least) = (f64::INFINITY, f64::INFINITY, second);
        for _ in 0..effort.rounds {
            least_ours = least_ours.min(scoring.round(1, 1)?);
            explained = explained.min(explaining.round(1, 1)?);
            least = least.min(theirs.round(1, 1)?);
        }
        let (by_scoring, by_explained) = (ratio(second / least_ours), ratio(second / explained));
        writeln!(
            text,
            "| `{case}` | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {by_scoring} | {by_explained} |",
            least_ours / 1e6,
            explained / 1e6,
            theirs.first / 1e6,
            second / 1e6,
            least / 1e6,
        )?;
    }
    report.table(&text);
    report.note(format!(
        "Loads of one process each; ours the least of {}: as `stemson score` loads a model that it \
         only scores, and with what contributions and leaf ids need, which lies in entries of its \
         own and is more than the trees (genmodel unpacks it always, and reads it when it is \
         asked). The forms that the first rows make are in neither; Java: {}",
        effort.rounds, genmodel.java
    ));
    Ok(report)
}
