//! The same forests in every runtime of trees: one row, 64 and 20,000 rows in a call.

use std::fmt::Write as _;

use crate::engine::{Difference, Effort, Engine, turns};
use crate::genmodel::Genmodel;
use crate::peers::{Forest, Peers};
use crate::report::{Report, ratio};
use crate::{Failure, ours};

const FORESTS: [&str; 3] = ["gbm_100_d6", "gbm_500_d8", "rf_50_d20"];
const CALLS: [u64; 3] = [1, 64, 20_000];
const PEERS: [&str; 6] = ["lightgbm", "xgboost", "onedal", "onnxruntime", "lleaves", "tl2cgen"];

/// One engine's figures for a forest: ns per row and tree by rows in a call, and how its answers
/// differ from ours.
struct Line {
    name: String,
    ns: Vec<f64>,
    answers: String,
}

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let mut report = Report::new("trees");
    let peers = Peers::find()?;
    let genmodel = Genmodel::find();
    if let Err(why) = &genmodel {
        report.note(format!("genmodel skipped: {why}"));
    }
    for name in FORESTS {
        let forest = peers.forest(name)?;
        let mut notes = Vec::new();
        let mut engines =
            vec![ours::start("**stemson**", "score", &forest.model(), &forest.rows())?];
        if let Ok(genmodel) = &genmodel {
            engines.push(genmodel.start("score", &forest.model(), &forest.rows())?);
        }
        engines.extend(peers.start(&PEERS, "score", &forest, &mut notes));
        let lines = measure(&mut engines, &forest, effort)?;
        report.table(&table(name, &forest, &lines)?);
        report.table(&ratios(&lines));
        notes.into_iter().for_each(|note| report.note(note));
        if name == FORESTS[0] {
            let bars: Vec<_> =
                lines.iter().map(|it| (it.name.replace('*', ""), it.ns[2])).collect();
            report.plot("100 trees of depth 6, ns per row and tree, 20,000 rows in a call", &bars);
        }
    }
    Ok(report)
}

fn measure(engines: &mut [Engine], forest: &Forest, effort: Effort) -> Result<Vec<Line>, Failure> {
    let mut answers = Vec::new();
    for engine in engines.iter_mut() {
        answers.push(engine.answers(&forest.folder)?);
    }
    let mut lines = Vec::new();
    for (engine, theirs) in engines.iter().zip(&answers) {
        let difference = Difference::of(&answers[0], theirs)?;
        if engine.name.starts_with("genmodel") && !difference.is_none() {
            return Err(format!("genmodel answers otherwise: {}", difference.words()).into());
        }
        let answers = difference.words();
        lines.push(Line { name: engine.name.clone(), ns: Vec::new(), answers });
    }
    for per_call in CALLS {
        for (line, ns) in lines.iter_mut().zip(turns(engines, per_call, effort)?) {
            line.ns.push(ns / forest.trees);
        }
    }
    Ok(lines)
}

fn table(name: &str, forest: &Forest, lines: &[Line]) -> Result<String, Failure> {
    let mut text = format!(
        "`{name}`: {} trees, {:.0} leaves each, {:.0} nodes; ns per row and tree\n\n\
         | | 1 row | 64 rows | 20,000 rows | answers |\n| --- | ---: | ---: | ---: | --- |\n",
        forest.trees,
        forest.leaves / forest.trees,
        forest.nodes,
    );
    for Line { name, ns, answers } in lines {
        writeln!(text, "| {name} | {:.2} | {:.2} | {:.2} | {answers} |", ns[0], ns[1], ns[2])?;
    }
    Ok(text)
}

/// Ours against the fastest peer, by its name, and against genmodel.
fn ratios(lines: &[Line]) -> String {
    let [ours, others @ ..] = lines else { return String::new() };
    let mut texts = Vec::new();
    for (call, rows) in CALLS.iter().enumerate() {
        let peers = others.iter().filter(|it| !it.name.starts_with("genmodel"));
        let best = peers.min_by(|a, b| a.ns[call].total_cmp(&b.ns[call]));
        let genmodel = others.iter().find(|it| it.name.starts_with("genmodel"));
        let against: Vec<_> = best
            .into_iter()
            .chain(genmodel)
            .map(|it| format!("{} of {}", ratio(it.ns[call] / ours.ns[call]), it.name))
            .collect();
        texts.push(format!("{rows} in a call: {}", against.join(", ")));
    }
    format!("Speed of stemson as a multiple: {}.\n", texts.join("; "))
}
