//! The wheel beside what Python has: one row, data frames, an event loop, threads, memory.
//!
//! `cargo xtask bench` installs a release wheel and its rivals into `target/wheel-bench`;
//! `rivals/wheel.py` measures a part per call, in a process of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::{Effort, turns};
use crate::peers::Peers;
use crate::report::{Report, grouped, ratio};
use crate::rows::{model, raw_rows};
use crate::{Failure, cache, ours, root};

const CASE: &str = "gbm100d6";
const FOREST: &str = "gbm_100_d6";
/// Libraries of data frames, and what holds their text.
const FRAMES: [&str; 7] = [
    "pandas-str",
    "pandas-object",
    "pandas-category",
    "polars-str",
    "polars-categorical",
    "pyarrow-string",
    "pyarrow-dictionary",
];

/// Figures by their names.
type Figures = BTreeMap<String, f64>;

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let mut report = Report::new("python");
    let python = Python::find(effort)?;
    let forest = Peers::find()?.forest(FOREST)?;
    let (model, folder) = (model(CASE), forest.folder.as_path());
    let row = python.part(&["row"], &[folder])?;
    let h2o = python.part(&["h2o"], &[&model]);
    report.table(&one_row(&row, &h2o)?);
    report.table(&frames(&python, &model, effort)?);
    report.table(&event_loop(&python.part(&["loop"], &[&model])?)?);
    report.table(&eight_threads(&python.part(&["threads"], &[&model])?)?);
    report.table(&memory(&python.part(&["leak"], &[&model])?)?);
    Ok(report)
}

/// The interpreter beside the wheel.
struct Python {
    program: PathBuf,
    quick: bool,
}

impl Python {
    fn find(effort: Effort) -> Result<Self, Failure> {
        let program = cache()?.with_file_name("wheel-bench").join("bin/python");
        if !program.is_file() {
            return Err("there is no wheel: use `cargo xtask bench python`".into());
        }
        Ok(Self { program, quick: effort.quick })
    }

    fn part(&self, words: &[&str], files: &[&Path]) -> Result<Figures, Failure> {
        let mut command = Command::new(&self.program);
        command.arg(root().join("benches/rivals/wheel.py")).args(words).args(files);
        if self.quick {
            command.env("SECONDS", "1").env("TIMES", "20000");
        }
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("wheel.py {}: {said}", words.join(" ")).into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.filter_map(|(name, it)| Some((name.to_owned(), it.parse().ok()?))).collect())
    }
}

fn get(figures: &Figures, name: &str) -> Result<f64, Failure> {
    figures.get(name).copied().ok_or_else(|| format!("wheel.py did not say `{name}`").into())
}

fn one_row(row: &Figures, h2o: &Result<Figures, Failure>) -> Result<String, Failure> {
    let mut text = format!(
        "| one row | us | `predict_row`'s speed |\n| --- | ---: | ---: |\n| `{FOREST}`: \
         `predict_row` of a dict | {:.2} | |\n",
        get(row, "stemson")? / 1e3
    );
    for (name, shown) in [
        ("xgboost", "XGBoost 3.2.0 `inplace_predict` of an array"),
        ("xgboost_matrix", "XGBoost 3.2.0 `predict` of a `DMatrix`"),
        ("lightgbm", "LightGBM 4.7.0 `predict` of an array"),
        ("lightgbm_frame", "LightGBM 4.7.0 `predict` of a pandas frame"),
        ("stemson_numpy", "stemson `predict` of an array"),
    ] {
        let theirs = get(row, name)?;
        let times = ratio(theirs / get(row, "stemson")?);
        writeln!(text, "| {shown} | {:.1} | {times} |", theirs / 1e3)?;
    }
    match h2o {
        Ok(h2o) => {
            let (ours, theirs) = (get(h2o, "stemson")?, get(h2o, "h2o")?);
            writeln!(text, "| `{CASE}`: `predict_row` of a dict | {:.2} | |", ours / 1e3)?;
            let times = grouped(theirs / ours);
            let theirs = grouped(theirs / 1e3);
            writeln!(
                text,
                "| h2o 3.46.0.11 `mojo_predict_pandas`, with its Java | {theirs} | {times}x |"
            )?;
        }
        Err(why) => eprintln!("h2o is left out: {why}"),
    }
    Ok(text)
}

/// Conversion is all that is not the scoring of raw rows, which Rust measures on the same rows.
fn frames(python: &Python, model: &Path, effort: Effort) -> Result<String, Failure> {
    let rows = if effort.quick { 100_000 } else { 1_000_000 };
    let few = raw_rows(CASE, 20_000)?;
    let file = raw_rows(CASE, rows)?;
    let mut engine = [ours::start("stemson", "score", model, &few)?];
    let mut text = format!(
        "| {} rows, ns per row | read | score and convert | give | scoring alone | conversion / \
         scoring | memory above input and output, MB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        grouped(rows as f64)
    );
    for kind in FRAMES {
        let found = python.part(&["frame", kind], &[model, &file])?;
        let scoring = turns(&mut engine, 1_000, effort)?[0];
        let per_row = |name: &str| Ok::<_, Failure>(get(&found, name)? / rows as f64);
        let parts = (per_row("read")?, per_row("native")?, per_row("give")?);
        let conversion = parts.0 + parts.1 + parts.2 - scoring;
        let above = (get(&found, "peak")? - get(&found, "output")?) / 1e6;
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {scoring:.0} | {:.2} | {above:.0} |",
            kind.replacen('-', ", ", 1),
            parts.0,
            parts.1,
            parts.2,
            conversion / scoring,
        )?;
    }
    Ok(text)
}

fn event_loop(found: &Figures) -> Result<String, Failure> {
    let mut text = String::from(
        "| timers of an event loop come late by, ms | median | 99 % | 99.9 % | over 1 ms |\n\
         | --- | ---: | ---: | ---: | ---: |\n",
    );
    for (word, shown) in [
        ("idle", "nothing else to do"),
        ("dicts", "100 requests of 64 rows a second by `apredict`: dicts"),
        ("frames", "the same: pandas frames"),
        ("large", "one `apredict` of a pandas frame of 1,000,000 rows, all objects"),
    ] {
        let at = |share: &str| get(found, &format!("{word}_{share}"));
        let (median, most, nearly_all, over) = (at("50")?, at("99")?, at("99.9")?, at("over")?);
        writeln!(text, "| {shown} | {median:.2} | {most:.2} | {nearly_all:.2} | {over:.2} % |")?;
    }
    writeln!(text, "\n{} requests.", grouped(get(found, "requests")?))?;
    for (word, shown) in [("dicts", "dicts"), ("frames", "a frame")] {
        let us = |part: &str| Ok::<_, Failure>(get(found, &format!("{word}_{part}"))? / 1e3);
        writeln!(
            text,
            "Of {shown} of 64 rows reading takes {:.0} us of a processor and making the answer {:.0} us: \
             so long the interpreter is kept; for the {:.0} us of scoring it is not.",
            us("read")?,
            us("give")?,
            us("native")?
        )?;
    }
    Ok(text)
}

fn eight_threads(found: &Figures) -> Result<String, Failure> {
    let rows = get(found, "rows")?;
    let mut text = String::from(
        "| Python threads, `predict(frame, threads=1)` | rows per processor s | rows per wall s |\n\
         | --- | ---: | ---: |\n",
    );
    for (name, shown) in [("one", "1"), ("eight", "8")] {
        let rate = |name: &str| Ok::<_, Failure>(grouped(rows / get(found, name)? * 1e9));
        writeln!(text, "| {shown} | {} | {} |", rate(name)?, rate(&format!("{name}_wall"))?)?;
    }
    let times = get(found, "one_wall")? / get(found, "eight_wall")?;
    writeln!(
        text,
        "\nEight threads are {} as fast on {} cores.",
        ratio(times),
        get(found, "cores")?
    )?;
    Ok(text)
}

fn memory(found: &Figures) -> Result<String, Failure> {
    Ok(format!(
        "{} calls of `predict_row` and {} loads change the process's memory by {:.1} MB, from {:.0} MB.",
        grouped(get(found, "times")?),
        grouped(get(found, "loads")?),
        get(found, "more")? / 1e6,
        get(found, "before")? / 1e6,
    ))
}
