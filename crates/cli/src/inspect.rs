//! `stemson inspect`: what a model file is, takes and answers.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stemson_mojo::{LoadOptions, Model, Role};

use crate::failure::{Failure, Verdict};
use crate::model_file;
use crate::terminal::{stdout_has_colour, thousands};

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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
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
    offers: Vec<&'static str>,
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
            offers: if model.calibrated() { vec!["calibrated"] } else { Vec::new() },
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
