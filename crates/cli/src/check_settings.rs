//! `[check]` of `stemson.toml`: what `stemson check` is told where no flag says otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use toml::{Table, Value};

use crate::check::ProfileName;
use crate::failure::Failure;

/// The section.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) select: Vec<String>,
    pub(crate) ignore: Vec<String>,
    pub(crate) profile: Option<ProfileName>,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) exceptions: Option<PathBuf>,
}

const KEYS: [&str; 5] = ["select", "ignore", "profile", "baseline", "exceptions"];

impl Settings {
    /// Of the file that is named, else of `stemson.toml` in the working directory, else none.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Failure> {
        let path = named.unwrap_or(Path::new("stemson.toml"));
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let shown = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|cause| Failure::input(format!("cannot read {shown}")).because(&cause))?;
        let table: Table = text.parse().map_err(|cause: toml::de::Error| {
            Failure::input(format!("{shown}: {}", cause.message()))
        })?;
        match table.get("check") {
            None => Ok(Self::default()),
            Some(Value::Table(section)) => {
                Self::of(section, path.parent().unwrap_or(Path::new("")), &shown)
            }
            Some(_) => Err(Failure::input(format!("{shown}: `check` is not a section `[check]`"))),
        }
    }

    fn of(section: &Table, base: &Path, shown: &str) -> Result<Self, Failure> {
        let mut settings = Self::default();
        for (key, value) in section {
            let wrong = |expected: &str| {
                Failure::input(format!(
                    "{shown}: `check.{key}` is a {}, expected {expected}",
                    value.type_str()
                ))
            };
            let file = || value.as_str().map(|text| base.join(text)).ok_or_else(|| wrong("a file"));
            let words = || {
                let list =
                    value.as_array().ok_or_else(|| wrong("a list of rules, stories or areas"))?;
                let words = list.iter().map(|word| word.as_str().map(str::to_owned));
                words.collect::<Option<Vec<_>>>().ok_or_else(|| wrong("a list of texts"))
            };
            match key.as_str() {
                "select" => settings.select = words()?,
                "ignore" => settings.ignore = words()?,
                "baseline" => settings.baseline = Some(file()?),
                "exceptions" => settings.exceptions = Some(file()?),
                "profile" => {
                    let name =
                        value.as_str().and_then(|name| ProfileName::from_str(name, false).ok());
                    settings.profile = Some(name.ok_or_else(|| wrong("standard, strict or mage"))?);
                }
                _ => {
                    return Err(Failure::input(format!("{shown}: no key is called `check.{key}`"))
                        .hint(format!("the keys of [check] are {}", KEYS.join(", "))));
                }
            }
        }
        Ok(settings)
    }
}
