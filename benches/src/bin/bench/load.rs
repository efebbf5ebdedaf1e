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
        "| model | stemson, ms | genmodel first, ms | second, ms | least, ms | second / stemson | least / stemson |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for case in MODELS {
        let (model, rows) = (model(case), raw_rows(case, 1)?);
        let mut ours = ours::start("stemson", "load", &model, &rows)?;
        let mut theirs = genmodel.start("load", &model, &rows)?;
        let second = theirs.round(1, 1)?;
        let (mut least_ours, mut least) = (f64::INFINITY, second);
        for _ in 0..effort.rounds {
            least_ours = least_ours.min(ours.round(1, 1)?);
            least = least.min(theirs.round(1, 1)?);
        }
        let (by_second, by_least) = (ratio(second / least_ours), ratio(least / least_ours));
        writeln!(
            text,
            "| `{case}` | {:.2} | {:.1} | {:.1} | {:.1} | {by_second} | {by_least} |",
            least_ours / 1e6,
            theirs.first / 1e6,
            second / 1e6,
            least / 1e6,
        )?;
    }
    report.table(&text);
    report.note(format!(
        "Loads of one process each; ours the least of {}, with explanations and without the forms \
         that the first rows make; Java: {}",
        effort.rounds, genmodel.java
    ));
    Ok(report)
}
