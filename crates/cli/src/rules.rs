//! `stemson rules` and `stemson explain`: what is checked, and why.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};
use stemson_audit::{Rule, rule, rules};

use crate::failure::{Failure, Verdict};
use crate::terminal::Format;

/// Lists the rules of `stemson check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson rules
  stemson rules LE-PROC-01 cache          those of a story and of an area
  stemson rules --format json")]
pub(crate) struct List {
    /// Rules, stories (LE-PROC-01) or areas (cache); all by default
    #[arg(value_name = "RULE|STORY|AREA")]
    only: Vec<String>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Says what a rule is about: thesis, antithesis, synthesis, evidence, examples, and how to mend it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson explain blocking_predict
  stemson explain pickle --format json")]
pub(crate) struct Explain {
    /// The rule, as `stemson rules` lists it
    rule: String,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn list(arguments: &List) -> Result<Verdict, Failure> {
    let wanted = |rule: &&Rule| {
        arguments.only.is_empty() || arguments.only.iter().any(|word| rule.answers_to(word))
    };
    if let Some(word) =
        arguments.only.iter().find(|word| !rules().iter().any(|it| it.answers_to(word)))
    {
        return Err(Failure::input(format!("no rule, story or area is called `{word}`"))
            .hint("`stemson rules` lists all of them"));
    }
    let chosen: Vec<&Rule> = rules().iter().filter(wanted).collect();
    match arguments.format {
        Format::Json => {
            print_json(&Value::Array(chosen.into_iter().map(|it| as_json(it, false)).collect()))
        }
        Format::Text => {
            let mut text = String::new();
            let width = chosen.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
            let mut area = "";
            for rule in chosen {
                if area != rule.area {
                    area = rule.area;
                    text.extend([area, "\n"]);
                }
                let severity = rule.severity.as_str();
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "  {:<width$}  {:<10}  {severity:<7}  {}",
                    rule.id, rule.story, rule.title
                );
            }
            print(&text)
        }
    }
}

pub(crate) fn explain(arguments: &Explain) -> Result<Verdict, Failure> {
    let Some(found) = rule(&arguments.rule) else {
        return Err(Failure::input(format!("no rule is called `{}`", arguments.rule))
            .hint(hint(&arguments.rule)));
    };
    match arguments.format {
        Format::Json => print_json(&as_json(found, true)),
        Format::Text => print(&format!(
            "# {}: {}\n\nstory {}, area {}, {}\n{}",
            found.id,
            found.title,
            found.story,
            found.area,
            found.severity.as_str(),
            found.body
        )),
    }
}

fn as_json(rule: &Rule, whole: bool) -> Value {
    let mut value = json!({
        "id": rule.id,
        "area": rule.area,
        "story": rule.story,
        "severity": rule.severity.as_str(),
        "title": rule.title,
    });
    if whole {
        for section in ["Thesis", "Antithesis", "Synthesis", "Evidence", "Finds", "Silent", "Fix"] {
            value[section.to_lowercase()] = json!(rule.section(section));
        }
    }
    value
}

/// The rule that was perhaps meant: one that holds the word, or shares most of its beginning.
fn hint(word: &str) -> String {
    let same = |rule: &&Rule| rule.id.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    let holding = rules().iter().find(|rule| !word.is_empty() && rule.id.contains(word));
    match holding.or_else(|| rules().iter().max_by_key(same).filter(|rule| same(rule) >= 3)) {
        Some(rule) => format!("`{}`? `stemson rules` lists all of them", rule.id),
        None => "`stemson rules` lists all of them".to_owned(),
    }
}

fn print_json(value: &Value) -> Result<Verdict, Failure> {
    let json = serde_json::to_string_pretty(value);
    print(&(json.map_err(|cause| Failure::input("cannot render JSON").because(&cause))? + "\n"))
}

fn print(text: &str) -> Result<Verdict, Failure> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(Verdict::Good)
}
