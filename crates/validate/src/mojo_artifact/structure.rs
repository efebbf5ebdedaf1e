//! Entries, schema and domains of a MOJO that can be loaded.

use std::collections::HashSet;

use stemson_audit::{Limits, Use, judge, uses};
use stemson_mojo::{Entry, Kind, Model};

use super::report::{Report, Structure};

pub(super) fn check(bytes: &[u8], model: &Model, entries: &[Entry], report: &mut Report) {
    account(entries, report);
    let faults = judge(bytes, &Limits::default()).faults;
    for fault in &faults {
        let way = fault.inside.iter().fold(String::new(), |way, member| format!("{way}{member}: "));
        report.bad("artifact policy", format!("{}: {way}{}", fault.rule, fault.message));
    }
    if faults.is_empty() {
        report.good(
            "artifact policy",
            "nothing but a MOJO: no pickle, no class, no bytes that belong to nothing",
        );
    }
    schema(model, report);
    for warning in model.warnings() {
        report.note("warning", format!("{}: {}", warning.kind, warning.message));
    }
}

fn account(entries: &[Entry], report: &mut Report) {
    let uses = uses(entries);
    let named = |wanted: Use| -> Vec<String> {
        let all = uses.iter().zip(entries).filter(|(found, _)| **found == wanted);
        all.map(|(_, entry)| entry.name.clone()).collect()
    };
    let structure = Structure {
        entries: entries.len(),
        needed: named(Use::Needed).len(),
        known: named(Use::Known),
        foreign: named(Use::Foreign),
    };
    let counts = format!(
        "{} entries: {} needed, {} known, {} foreign, none missing",
        structure.entries,
        structure.needed,
        structure.known.len(),
        structure.foreign.len()
    );
    if structure.foreign.is_empty() {
        report.good("structure", counts);
    } else {
        report.bad("structure", format!("{counts}: {}", structure.foreign.join(", ")));
    }
    report.structure = Some(structure);
}

/// What loads and scores, and still is likely to be a mistake.
fn schema(model: &Model, report: &mut Report) {
    let columns = model.schema().columns();
    let mut names = HashSet::new();
    let mut faults = Vec::new();
    for column in columns {
        if !names.insert(&column.name) {
            faults.push(format!(
                "column `{}` stands twice: the later one gets the values",
                column.name
            ));
        }
        if column.name.trim() != column.name || column.name.is_empty() {
            faults.push(format!("column `{}` begins or ends with blanks", column.name));
        }
        let distinct: HashSet<&String> = column.levels.iter().collect();
        if distinct.len() != column.levels.len() {
            faults.push(format!("column `{}` has a level twice", column.name));
        }
        if column.kind == Kind::Categorical && column.levels.is_empty() {
            faults.push(format!("column `{}` is categorical and has no level", column.name));
        }
        if model.schema().response() == Some(column.name.as_str()) {
            faults.push(format!("`{}` is an input and the response", column.name));
        }
    }
    let labels: HashSet<&String> = model.labels().iter().collect();
    if labels.len() != model.labels().len() {
        faults.push("the response has a level twice".to_owned());
    }
    if let Some(threshold) = model.default_threshold().filter(|it| !(0.0..=1.0).contains(it)) {
        faults.push(format!("the threshold is {threshold}, not between 0 and 1"));
    }
    let categorical = columns.iter().filter(|column| column.kind == Kind::Categorical);
    let levels: usize = columns.iter().map(|column| column.levels.len()).sum();
    let counts = format!(
        "{} columns, {} categorical with {levels} levels",
        columns.len(),
        categorical.count()
    );
    if faults.is_empty() {
        report.good("schema", counts);
    } else {
        report.note("schema", format!("{counts}: {}", faults.join("; ")));
    }
}
