//! Answers against those of others: a file, or H2O's Java library.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use stemson_batch::{Compression, Format, Job, Source};
use stemson_mojo::{Model, parse_double};

use super::report::{Answers, Report};
use super::{ArtifactError, Request, Runtime};

/// Units in the last place that the exactness contract allows where `exp` or `log` flows on.
const ULPS_MAX: u64 = 4;
/// Relative difference where nearly equal numbers were subtracted, `1 - p1` above all.
const MAGNIFIED_MAX: f64 = 1e-12;

pub(super) fn check(
    request: &Request,
    model: &Arc<Model>,
    report: &mut Report,
) -> Result<(), ArtifactError> {
    let Some(reference) = &request.reference else {
        report.skip("answers", "not compared: no rows (`--reference`)");
        return Ok(());
    };
    let (ours, refused) = score(model, reference)?;
    let rows = ours.rows.len();
    let (theirs, whose) = if let Some(expected) = &request.expected {
        let text = std::fs::read(expected)
            .map_err(|cause| ArtifactError::Read { path: expected.display().to_string(), cause })?;
        (Table::parse(&text, &expected.display().to_string())?, expected.display().to_string())
    } else if request.runtime == Runtime::Genmodel {
        let Some(jar) = &request.genmodel_jar else {
            report.skip("answers", format!("not compared: {rows} rows scored, {refused} refused; genmodel needs `--genmodel-jar`"));
            return Ok(());
        };
        (genmodel(jar, &request.mojo, reference)?, "h2o-genmodel".to_owned())
    } else {
        report.skip(
            "answers",
            format!("not compared: {rows} rows scored, {refused} refused (`--expected`)"),
        );
        return Ok(());
    };
    let answers = compare(&ours, &theirs, request.tolerance)?;
    let told = format!(
        "{rows} rows against {whose}: {} values the same, {} near, {} different",
        answers.same, answers.near, answers.different
    );
    match &answers.first {
        None => report.good("answers", told),
        Some(first) => report.bad("answers", format!("{told}; the first: {first}")),
    }
    report.answers = Some(answers);
    Ok(())
}

/// Our answers, and how many rows were refused.
fn score(model: &Arc<Model>, reference: &Path) -> Result<(Table, u64), ArtifactError> {
    let name = reference.display().to_string();
    let (compression, stem) = Compression::of_name(&name);
    let format = Format::of_name(stem).unwrap_or(Format::Csv);
    let path = reference.to_owned();
    let open = Box::new(move || {
        std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn std::io::Read + Send>)
    });
    let inputs = vec![Source { name: name.clone(), format, compression, file: None, open }];
    let mut csv = Vec::new();
    let job = Job { inputs, ..Job::default() };
    let summary = stemson_batch::run(model, job, &mut csv, |_| {}).map_err(|cause| {
        let source = std::error::Error::source(&cause).map(|it| format!(": {it}"));
        ArtifactError::Rows(format!("{cause}{}", source.unwrap_or_default()))
    })?;
    Ok((Table::parse(&csv, &name)?, summary.refused))
}

/// H2O's own command line scorer, on the same rows.
fn genmodel(jar: &Path, mojo: &Path, reference: &Path) -> Result<Table, ArtifactError> {
    let failed = |why: String| ArtifactError::Outside(format!("h2o-genmodel: {why}"));
    let folder = tempfile::tempdir().map_err(|cause| failed(cause.to_string()))?;
    let output = folder.path().join("predictions.csv");
    let run = Command::new("java")
        .arg("-cp")
        .arg(jar)
        .args(["hex.genmodel.tools.PredictCsv", "--decimal", "--setConvertInvalidNum", "--mojo"])
        .arg(mojo)
        .arg("--input")
        .arg(reference)
        .arg("--output")
        .arg(&output)
        .output()
        .map_err(|cause| failed(format!("cannot start java: {cause}")))?;
    let text = std::fs::read(&output).unwrap_or_default();
    if !run.status.success() || text.is_empty() {
        let said = String::from_utf8_lossy(&run.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        return Err(failed(format!("PredictCsv ended with {}: {said}", run.status)));
    }
    Table::parse(&text, "PredictCsv's output")
}

/// CSV in memory.
#[derive(Debug)]
struct Table {
    name: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn parse(text: &[u8], name: &str) -> Result<Self, ArtifactError> {
        let mut reader = csv_core::Reader::new();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut rest = text;
        let mut rows: Vec<Vec<String>> = Vec::new();
        let (mut row, mut field) = (Vec::new(), Vec::new());
        let mut room = vec![0; 4096];
        loop {
            let (result, read, written) = reader.read_field(rest, &mut room);
            rest = &rest[read..];
            field.extend_from_slice(&room[..written]);
            match result {
                csv_core::ReadFieldResult::Field { record_end } => {
                    row.push(String::from_utf8_lossy(&field).into_owned());
                    field.clear();
                    if record_end {
                        rows.push(std::mem::take(&mut row));
                    }
                }
                csv_core::ReadFieldResult::End => break,
                csv_core::ReadFieldResult::InputEmpty | csv_core::ReadFieldResult::OutputFull => {}
            }
        }
        if rows.is_empty() {
            return Err(ArtifactError::Rows(format!("{name}: no header")));
        }
        let header = rows.remove(0);
        Ok(Self { name: name.to_owned(), header, rows })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|found| found == name)
    }
}

fn compare(ours: &Table, theirs: &Table, tolerance: f64) -> Result<Answers, ArtifactError> {
    if ours.rows.len() != theirs.rows.len() {
        let (found, name, wanted) = (theirs.rows.len(), &theirs.name, ours.rows.len());
        return Err(ArtifactError::Rows(format!(
            "{name}: {found} rows, the reference has {wanted}"
        )));
    }
    let shared: Vec<(usize, usize)> = (ours.header.iter().enumerate())
        .filter(|(_, name)| *name != "error")
        .filter_map(|(place, name)| Some((place, theirs.column(name)?)))
        .collect();
    if shared.is_empty() {
        let (name, wanted) = (&theirs.name, ours.header.join(", "));
        return Err(ArtifactError::Rows(format!("{name}: no column of {wanted}")));
    }
    let mut answers =
        Answers { rows: ours.rows.len(), columns: shared.len(), ..Answers::default() };
    for (number, (mine, other)) in ours.rows.iter().zip(&theirs.rows).enumerate() {
        for &(here, there) in &shared {
            let text = |row: &[String], place: usize| row.get(place).cloned().unwrap_or_default();
            let (mine, other) = (text(mine, here), text(other, there));
            match judge(&mine, &other, tolerance, &mut answers.largest) {
                Judged::Same => answers.same += 1,
                Judged::Near => answers.near += 1,
                Judged::Different => {
                    answers.different += 1;
                    let column = &ours.header[here];
                    answers.first.get_or_insert_with(|| {
                        format!("row {number}, `{column}`: `{mine}`, expected `{other}`")
                    });
                }
            }
        }
    }
    Ok(answers)
}

enum Judged {
    Same,
    Near,
    Different,
}

fn judge(mine: &str, other: &str, tolerance: f64, largest: &mut f64) -> Judged {
    if mine == other {
        return Judged::Same;
    }
    let (Some(mine), Some(other)) = (parse_double(mine), parse_double(other)) else {
        // Both say that there is no answer.
        let empty = |text: &str| text.is_empty() || text == "NaN";
        return if empty(mine) && empty(other) { Judged::Same } else { Judged::Different };
    };
    if mine == other || (mine.is_nan() && other.is_nan()) {
        return Judged::Same;
    }
    let difference = (mine - other).abs();
    let relative = difference / mine.abs().max(other.abs());
    *largest = largest.max(relative);
    let ulps = mine.to_bits().abs_diff(other.to_bits());
    let signs = mine.is_sign_negative() == other.is_sign_negative();
    let near = (signs && ulps <= ULPS_MAX) || relative <= MAGNIFIED_MAX;
    if near || difference <= tolerance || relative <= tolerance {
        Judged::Near
    } else {
        Judged::Different
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_by_the_contract() {
        let check = |mine: &str, other: &str, tolerance: f64, expected: (u64, u64, u64)| {
            let table =
                |cell: &str| Table::parse(format!("p0\n\"{cell}\"\n").as_bytes(), "t").unwrap();
            let found = compare(&table(mine), &table(other), tolerance).unwrap();
            assert_eq!((found.same, found.near, found.different), expected, "{mine} {other}");
        };
        check("0.25", "2.5e-1", 0.0, (1, 0, 0));
        check("0.1", "0.10000000000000002", 0.0, (0, 1, 0));
        check("0.1", "0.1001", 0.0, (0, 0, 1));
        check("0.1", "0.1001", 0.001, (0, 1, 0));
        check("yes", "no", 1.0, (0, 0, 1));
        check("1", "-1", 0.0, (0, 0, 1));
        check("", "NaN", 0.0, (1, 0, 0));
    }
}
