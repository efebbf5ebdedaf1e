//! `stemson inspect`: what a model file is, takes and answers.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stemson_mojo::{LoadOptions, Model, Role};

use crate::failure::{Failure, Verdict};
use crate::model_file;
use crate::terminal::{Format, stdout_has_colour, thousands};

/// Says what a model file is, what it takes and what it answers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson inspect churn.zip
  stemson inspect churn.zip --format json | jq '.columns[].name'")]
pub(crate) struct Arguments {
    /// A MOJO zip file
    model: PathBuf,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Look into models that genmodel answers wrongly without a word, too
    #[arg(long)]
    genmodel_quirks: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let genmodel_quirks = arguments.genmodel_quirks;
    let options = LoadOptions { genmodel_quirks, ..LoadOptions::default() };
    let model = model_file::load(&arguments.model, &options)?;
    let report = Report::of(&model);
    let text = match arguments.format {
        Format::Text => report.render(stdout_has_colour()),
        Format::Json => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|cause| Failure::input("cannot render JSON").because(&cause))? + "\n"
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(Verdict::Good)
}

/// The JSON form. Keys may be added, none goes away.
#[derive(Debug, Serialize)]
struct Report<'m> {
    algorithm: &'m str,
    category: &'m str,
    mojo_version: &'m str,
    h2o_version: &'m str,
    uuid: &'m str,
    digest: String,
    file_bytes: u64,
    memory_bytes: u64,
    trees: Option<usize>,
    response: Option<&'m str>,
    labels: &'m [String],
    default_threshold: Option<f64>,
    offset: Option<&'m str>,
    output_columns: &'m [String],
    /// What can be asked for, by the names of `score`'s flags.
    offers: Vec<&'static str>,
    /// The same in full: names of the columns, or why there are none.
    explains: BTreeMap<&'static str, OfferReport>,
    variable_importances: Vec<ImportanceReport<'m>>,
    columns: Vec<ColumnReport<'m>>,
    warnings: Vec<WarningReport<'m>>,
}

#[derive(Debug, Serialize)]
struct ColumnReport<'m> {
    name: &'m str,
    kind: &'static str,
    role: &'static str,
    levels: &'m [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum OfferReport {
    Columns(Vec<String>),
    Refused(String),
}

/// What H2O counted in training; NaN is null.
#[derive(Debug, Serialize)]
struct ImportanceReport<'m> {
    variable: &'m str,
    relative: f64,
    scaled: f64,
    percentage: f64,
}

#[derive(Debug, Serialize)]
struct WarningReport<'m> {
    kind: &'static str,
    message: &'m str,
}

impl<'m> Report<'m> {
    fn of(model: &'m Model) -> Self {
        let schema = model.schema();
        let columns = schema.columns().iter().map(|column| ColumnReport {
            name: &column.name,
            kind: column.kind.as_str(),
            role: match column.role {
                Role::Feature => "feature",
                Role::Offset => "offset",
            },
            levels: &column.levels,
        });
        let warnings = model
            .warnings()
            .iter()
            .map(|warning| WarningReport { kind: warning.kind, message: &warning.message });
        let explains = explains(model);
        Self {
            algorithm: model.algorithm(),
            category: model.category().as_str(),
            mojo_version: model.mojo_version(),
            h2o_version: model.h2o_version(),
            uuid: model.uuid(),
            digest: model.digest().to_string(),
            file_bytes: model.size().file_bytes,
            memory_bytes: model.size().memory_bytes,
            trees: model.n_trees(),
            response: schema.response(),
            labels: model.labels(),
            default_threshold: model.default_threshold(),
            offset: schema.offset().map(|index| schema.columns()[index].name.as_str()),
            output_columns: model.output_columns(),
            offers: (explains.iter())
                .filter(|(_, offer)| matches!(offer, OfferReport::Columns(_)))
                .map(|(name, _)| *name)
                .collect(),
            explains,
            variable_importances: (model.variable_importances().iter())
                .map(|importance| ImportanceReport {
                    variable: &importance.variable,
                    relative: importance.relative,
                    scaled: importance.scaled,
                    percentage: importance.percentage,
                })
                .collect(),
            columns: columns.collect(),
            warnings: warnings.collect(),
        }
    }

    fn render(&self, colour: bool) -> String {
        let mut facts = vec![
            ("algorithm", self.algorithm.to_owned()),
            ("category", self.category.to_owned()),
            ("versions", format!("MOJO {}, H2O {}", self.mojo_version, self.h2o_version)),
            ("digest", format!("sha256 {}", self.digest)),
            (
                "size",
                format!("{} in the file, {} loaded", kib(self.file_bytes), kib(self.memory_bytes)),
            ),
        ];
        if let Some(trees) = self.trees {
            facts.push(("trees", thousands(trees as u64)));
        }
        if let Some(response) = self.response {
            facts.push(("response", response.to_owned()));
        }
        if !self.labels.is_empty() {
            facts.push(("labels", shown(self.labels, 12)));
        }
        if let Some(threshold) = self.default_threshold {
            facts.push(("threshold", format!("{threshold}: the second label from there on")));
        }
        if let Some(offset) = self.offset {
            facts.push(("offset", format!("column {offset}, 0 where absent")));
        }
        facts.push(("answers", shown(self.output_columns, 12)));
        if !self.offers.is_empty() {
            facts.push(("offers", self.offers.join(", ")));
        }
        let refused = self.explains.iter().filter_map(|(name, offer)| match offer {
            OfferReport::Refused(reason) => Some(format!("{name}: {reason}")),
            OfferReport::Columns(_) => None,
        });
        facts.extend(refused.map(|reason| ("offers no", reason)));
        if !self.variable_importances.is_empty() {
            facts.push(("importance", shown_importances(&self.variable_importances, 5)));
        }
        facts.extend(
            self.warnings.iter().map(|w| ("warning", format!("{}: {}", w.kind, w.message))),
        );
        let (bold, plain) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut text = String::new();
        for (name, value) in facts {
            line(&mut text, format_args!("{bold}{name:<11}{plain}{value}"));
        }
        line(&mut text, format_args!("{bold}columns{plain}    {}", self.columns.len()));
        let width = self.columns.iter().map(|c| quoted(c.name).chars().count()).max().unwrap_or(0);
        let width = width.min(40);
        for column in &self.columns {
            let kind = match (column.role, column.levels) {
                ("offset", _) => "numeric, offset".to_owned(),
                (_, []) => column.kind.to_owned(),
                (_, levels) => format!(
                    "{}, {} levels: {}",
                    column.kind,
                    thousands(levels.len() as u64),
                    shown(levels, 4)
                ),
            };
            line(&mut text, format_args!("  {:<width$}  {kind}", quoted(column.name)));
        }
        text
    }
}

/// By the names of `score`'s flags.
fn explains(model: &Model) -> BTreeMap<&'static str, OfferReport> {
    let offers = model.offers();
    let report = |offer| match offer {
        Ok(columns) => OfferReport::Columns(columns),
        Err(reason) => OfferReport::Refused(reason),
    };
    BTreeMap::from([
        ("calibrated", report(offers.calibrated)),
        ("contributions", report(offers.contributions)),
        ("leaf_assignment_paths", report(offers.leaf_paths)),
        ("leaf_assignment_ids", report(offers.leaf_ids)),
        ("staged", report(offers.staged)),
        ("distances", report(offers.distances)),
    ])
}

/// The largest ones, and how many there are more.
fn shown_importances(all: &[ImportanceReport<'_>], n: usize) -> String {
    let one = |importance: &ImportanceReport<'_>| {
        format!("{} {:.1} %", quoted(importance.variable), 100.0 * importance.percentage)
    };
    let text = all.iter().take(n).map(one).collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(n) {
        None | Some(0) => text,
        Some(more) => format!("{text}, and {more} more"),
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    text.push_str(&content.to_string());
    text.push('\n');
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", thousands(bytes.div_ceil(1024)))
}

/// The first names, and how many there are more.
fn shown(names: &[String], n: usize) -> String {
    let first: Vec<String> = names.iter().take(n).map(|name| quoted(name)).collect();
    let mut text = first.join(", ");
    if names.len() > n {
        text.push_str(", ...");
    }
    text
}

/// A name as it is, or in quotes where its ends would not show.
fn quoted(name: &str) -> String {
    let plain = !name.is_empty()
        && name.trim() == name
        && !name.contains(|c: char| c == ',' || c == '"' || c.is_control());
    if plain { name.to_owned() } else { format!("{name:?}") }
}
