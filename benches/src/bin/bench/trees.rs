//! The same forests in every runtime of trees: one row, 64 and 20,000 rows in a call.

use std::fmt::Write as _;

use crate::engine::{Difference, Effort, Engine, turns};
use crate::genmodel::Genmodel;
use crate::peers::{Forest, Peers};
use crate::report::{Report, ratio};
use crate::{Failure, ours};

const FORESTS: [&str; 3] = ["gbm_100_d6", "gbm_500_d8", "rf_50_d20"];
const CALLS: [u64; 3] = [1, 64, 20_000];
/// What our kernels may use of the processor, where it is not all they know.
const LEVELS: [(&str, &str); 2] = [("avx2", "stemson, AVX2"), ("portable", "stemson, portable")];
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
        let (model, rows) = (forest.model(), forest.rows());
        let mut engines = vec![ours::start("stemson", "score", &model, &rows)?];
        for (level, name) in LEVELS {
            engines.push(ours::start_with(level, name, &model, &rows)?);
        }
        if let Ok(genmodel) = &genmodel {
            engines.push(genmodel.start("score", &model, &rows)?);
        }
        engines.extend(peers.start(&PEERS, "score", &forest, &mut notes));
        let lines = measure(&mut engines, &forest, effort)?;
        report.table(&table(name, &forest, &lines)?);
        report.table(&ratios(&lines)?);
        notes.into_iter().for_each(|note| report.note(note));
        if name == FORESTS[0] {
            let bars: Vec<_> = lines.iter().map(|it| (it.name.clone(), it.ns[2])).collect();
            report.table(&encoding(&forest, effort)?);
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
        if !is_peer(&engine.name) && !difference.is_none() {
            let words = difference.words();
            return Err(format!("{} answers otherwise: {words}", engine.name).into());
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

/// Neither ours nor genmodel.
fn is_peer(name: &str) -> bool {
    !name.starts_with("stemson") && !name.starts_with("genmodel")
}

/// Each of our levels against the fastest peer, by its name, and against genmodel.
fn ratios(lines: &[Line]) -> Result<String, Failure> {
    let mut text =
        String::from("| against | 1 row | 64 rows | 20,000 rows |\n| --- | ---: | ---: | ---: |\n");
    for ours in lines.iter().filter(|it| it.name.starts_with("stemson")) {
        let cell = |call: usize| {
            let peers = lines.iter().filter(|it| is_peer(&it.name));
            let best = peers.min_by(|a, b| a.ns[call].total_cmp(&b.ns[call]))?;
            Some(format!("{} ({})", ratio(best.ns[call] / ours.ns[call]), best.name))
        };
        let cells: Vec<_> = (0..CALLS.len()).map(|call| cell(call).unwrap_or_default()).collect();
        writeln!(text, "| best peer / {} | {} |", ours.name, cells.join(" | "))?;
    }
    if let (Some(ours), Some(genmodel)) =
        (lines.first(), lines.iter().find(|it| it.name.starts_with("genmodel")))
    {
        let cells = (0..CALLS.len()).map(|call| ratio(genmodel.ns[call] / ours.ns[call]));
        writeln!(text, "| genmodel / stemson | {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    Ok(text)
}

/// What a row costs before the first tree: the time that doubling the trees does not add.
fn encoding(forest: &Forest, effort: Effort) -> Result<String, Failure> {
    let (rows, twice) = (forest.rows(), forest.folder.join("twice.zip"));
    let mut engines = [
        ours::start("once", "score", &forest.model(), &rows)?,
        ours::start("twice", "score", &twice, &rows)?,
    ];
    let ns = turns(&mut engines, CALLS[2], effort)?;
    Ok(format!(
        "Encoding 32 columns takes {:.0} ns per row: twice the time with the trees of `{}` ({:.0} ns \
         per row) less the time with each tree twice ({:.0}).",
        2.0 * ns[0] - ns[1],
        FORESTS[0],
        ns[0],
        ns[1],
    ))
}
