//! A CSV file through `stemson score` and through genmodel's `PredictCsv`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use stemson_benches::cost::{self, Cost};
use stemson_benches::rows::{Format, Generator};
use stemson_mojo::{LoadOptions, Model};

use crate::engine::Effort;
use crate::genmodel::Genmodel;
use crate::report::{Report, grouped};
use crate::rows::model;
use crate::{Failure, cache, program};

const CASE: &str = "gbm100d6";
const ROWS: u64 = 1_000_000;
/// As many rows as show what model and program need by themselves.
const ROWS_FEW: u64 = 1_000;

/// What one program needed for the few rows and for all of them.
struct Run {
    name: String,
    few: Cost,
    all: Cost,
}

pub(crate) fn run(effort: Effort) -> Result<Report, Failure> {
    let scratch = cache()?.join(format!("csv-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let outcome = compare(&scratch, if effort.quick { ROWS / 10 } else { ROWS });
    fs::remove_dir_all(&scratch)?;
    outcome
}

fn compare(scratch: &Path, rows: u64) -> Result<Report, Failure> {
    let mut report = Report::new("csv");
    let model = model(CASE);
    let generator = Generator::new(&Model::load(&fs::read(&model)?, &LoadOptions::default())?, 1);
    let (few, all) = (scratch.join("few.csv"), scratch.join("all.csv"));
    draw(&generator, &few, ROWS_FEW)?;
    draw(&generator, &all, rows)?;
    let output = |who: &str| scratch.join(format!("{who}.csv"));

    let stemson = program("stemson")?;
    let ours = measured("stemson score", |input| {
        let mut command = Command::new(&stemson);
        command.arg("score").arg(&model).arg("--input").arg(input);
        command.arg("--output").arg(output("stemson"));
        command
    })
    .of(&few, &all)?;
    let mut runs = vec![ours];
    match Genmodel::find() {
        Ok(genmodel) => {
            let call = |input: &Path| genmodel.predict_csv(&model, input, &output("genmodel"));
            let name = format!("{} PredictCsv", genmodel.name);
            runs.push(measured(&name, call).of(&few, &all)?);
            report.note(same_answers(&output("stemson"), &output("genmodel"))?);
            report.note(format!("Java: {}, heap -Xmx4g", genmodel.java));
        }
        Err(why) => report.note(format!("genmodel PredictCsv skipped: {why}")),
    }
    report.table(&table(&runs, rows)?);
    report.note(format!("The file has {:.0} MB", fs::metadata(&all)?.len() as f64 / 1e6));
    Ok(report)
}

/// A program and the way to call it for an input file.
struct Measured<'a, F> {
    name: &'a str,
    call: F,
}

fn measured<F: Fn(&Path) -> Command>(name: &str, call: F) -> Measured<'_, F> {
    Measured { name, call }
}

impl<F: Fn(&Path) -> Command> Measured<'_, F> {
    fn of(&self, few: &Path, all: &Path) -> Result<Run, Failure> {
        let cost =
            |input| cost::of(&(self.call)(input)).map_err(|it| format!("{}: {it}", self.name));
        Ok(Run { name: self.name.to_owned(), few: cost(few)?, all: cost(all)? })
    }
}

fn draw(generator: &Generator, path: &Path, rows: u64) -> Result<(), Failure> {
    let mut out = BufWriter::new(File::create(path)?);
    generator.write(&mut out, Format::Csv, 0, rows)?;
    Ok(out.flush()?)
}

fn table(runs: &[Run], rows: u64) -> Result<String, Failure> {
    let mut text = String::from(
        "| | rows per processor s | processor s | wall s | peak MB | peak MB, 1,000 rows |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let megabytes = |bytes: u64| grouped(bytes as f64 / 1e6);
    for Run { name, few, all } in runs {
        let processor = all.processor.as_secs_f64();
        writeln!(
            text,
            "| {name} | {} | {processor:.2} | {:.2} | {} | {} |",
            grouped(rows as f64 / processor),
            all.wall.as_secs_f64(),
            megabytes(all.peak_bytes),
            megabytes(few.peak_bytes),
        )?;
    }
    if let [ours, rival] = runs {
        let time = rival.all.processor.as_secs_f64() / ours.all.processor.as_secs_f64();
        let wall = rival.all.wall.as_secs_f64() / ours.all.wall.as_secs_f64();
        let peak = rival.all.peak_bytes as f64 / ours.all.peak_bytes as f64;
        writeln!(text, "| ratio | {time:.1} | {time:.1} | {wall:.1} | {peak:.1} | |")?;
    }
    Ok(text)
}

/// Compares two files of predictions of a binomial model: a ratio of speed counts only between
/// programs that give the same answers.
fn same_answers(ours: &Path, theirs: &Path) -> Result<String, Failure> {
    let lines = |path| File::open(path).map(|file| BufReader::with_capacity(1 << 16, file).lines());
    let (mut ours, mut theirs) = (lines(ours)?, lines(theirs)?);
    let (mut rows, mut equal, mut ulp_max) = (0_u64, 0_u64, 0_u64);
    loop {
        let (left, right) = match (ours.next(), theirs.next()) {
            (None, None) => break,
            (Some(left), Some(right)) => (left?, right?),
            _ => return Err(format!("one program ends after {rows} lines").into()),
        };
        match distance(&left, &right) {
            Some(ulps) if ulps <= 2 => {
                equal += u64::from(ulps == 0);
                ulp_max = ulp_max.max(ulps);
            }
            _ => return Err(format!("line {}: `{left}` against `{right}`", rows + 1).into()),
        }
        rows += 1;
    }
    let (rows, equal) = (grouped(rows as f64 - 1.0), grouped(equal as f64 - 1.0));
    Ok(format!(
        "Same labels; p1 equal bit for bit in {equal} of {rows} rows, at most {ulp_max} ulp apart in the rest"
    ))
}

/// How many ulp lie between the `p1` of two lines `label,p0,p1`; `None` where labels differ, or
/// `p0 = 1 - p1` by more than 2 ulp of `p1` explain.
fn distance(left: &str, right: &str) -> Option<u64> {
    if left == right {
        return Some(0);
    }
    let cells = |line: &str| {
        let mut cells = line.split(',');
        let label = cells.next()?.to_owned();
        let p: Vec<f64> = cells.map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
        <[f64; 2]>::try_from(p).ok().map(|p| (label, p))
    };
    let ((left, p), (right, q)) = (cells(left)?, cells(right)?);
    let explained = (p[0] - q[0]).abs() <= f64::EPSILON;
    (left == right && explained).then(|| p[1].to_bits().abs_diff(q[1].to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_two_predictions() {
        let cases = [
            ("predict,p0,p1", "predict,p0,p1", Some(0)),
            ("yes,0.25,0.75", "yes,0.25,0.75", Some(0)),
            ("yes,0.25,0.75", "yes,0.2499999999999999,0.7500000000000001", Some(1)),
            ("yes,0.1,0.9", "yes,1.0E-1,0.9", Some(0)),
            ("yes,0.25,0.75", "yes,0.2499999999,0.75", None),
            ("yes,0.25,0.75", "no,0.25,0.75", None),
            ("yes,0.25", "yes,0.25,0.75", None),
        ];
        for (left, right, expected) in cases {
            assert_eq!(distance(left, right), expected, "{left} against {right}");
        }
    }
}
