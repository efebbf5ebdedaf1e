//! The keys of `[[model]]`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stemson_server::{ModelConfig, OipDatatype, OipLayout};
use toml::Value;

use super::{render, unknown};
use crate::failure::Failure;

/// A model to serve from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    pub(crate) name: String,
    /// A MOJO, or a folder of versions.
    pub(crate) path: PathBuf,
}

/// What a `[[model]]` says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) entry: ModelEntry,
    pub(super) config: ModelConfig,
    /// Whether its answers are kept: they are unless it says otherwise.
    pub(super) is_cached: bool,
}

const NAMES: [&str; 7] =
    ["name", "path", "slo_ms", "weight", "cache", "oip_layout", "oip_datatype"];

const LAYOUTS: [(&str, OipLayout); 3] =
    [("matrix", OipLayout::Matrix), ("columns", OipLayout::Columns), ("rows", OipLayout::Rows)];

const DATATYPES: [(&str, OipDatatype); 2] =
    [("FP32", OipDatatype::Fp32), ("FP64", OipDatatype::Fp64)];

/// Reads a `[[model]]` of the file at `path`; its own path is counted from `base`.
pub(super) fn read(path: &Path, base: &Path, value: &Value) -> Result<Read, Failure> {
    let shown = path.display();
    let Value::Table(keys) = value else {
        return Err(Failure::input(format!(
            "{shown}: `model` is {}, expected [[model]]",
            render(value)
        )));
    };
    if let Some(name) = keys.keys().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(unknown(&format!("{shown}: unknown key `{name}` in [[model]]"), name, &NAMES));
    }
    let text = |name: &str| {
        keys.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            Failure::input(format!("{shown}: a [[model]] has no text `{name}`"))
                .hint("each has a `name` and a `path`")
        })
    };
    let entry = ModelEntry { name: text("name")?, path: base.join(text("path")?) };
    let bad = |key: &str, value: &Value, expected: &str| {
        Failure::input(format!(
            "{shown}: `{key}` of the [[model]] {} is {}, expected {expected}",
            entry.name,
            render(value)
        ))
    };
    let mut config = ModelConfig::default();
    let mut is_cached = true;
    for (key, value) in keys {
        let (is_good, expected) = match key.as_str() {
            "slo_ms" => {
                let ms = value.as_integer().and_then(|ms| u64::try_from(ms).ok());
                config.slo = ms.filter(|ms| *ms > 0).map(Duration::from_millis);
                (config.slo.is_some(), "milliseconds, 1 or more")
            }
            "weight" => {
                let weight = value.as_integer().and_then(|weight| u32::try_from(weight).ok());
                config.weight = weight.filter(|it| *it <= WEIGHT_MAX).and_then(NonZeroU32::new);
                (config.weight.is_some(), "a whole number from 1 to 1000")
            }
            "cache" => {
                is_cached = value.as_bool().unwrap_or(true);
                (value.is_bool(), "true or false")
            }
            "oip_layout" => {
                config.oip_layout = named(&LAYOUTS, value);
                (config.oip_layout.is_some(), "\"matrix\", \"columns\" or \"rows\"")
            }
            "oip_datatype" => {
                config.oip_datatype = named(&DATATYPES, value);
                (config.oip_datatype.is_some(), "\"FP32\" or \"FP64\"")
            }
            _ => (true, ""),
        };
        if !is_good {
            return Err(bad(key, value, expected));
        }
    }
    Ok(Read { entry, config, is_cached })
}

/// Beyond it a model of weight 1 would wait for ever.
const WEIGHT_MAX: u32 = 1_000;

fn named<T: Copy>(names: &[(&str, T)], value: &Value) -> Option<T> {
    let text = value.as_str()?;
    names.iter().find(|(name, _)| *name == text).map(|(_, meant)| *meant)
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], meant: T) -> Option<&'static str> {
    names.iter().find(|(_, other)| *other == meant).map(|(name, _)| *name)
}

/// A model as its part of a file.
pub(super) fn render_model(entry: &ModelEntry, config: ModelConfig, is_cached: bool) -> String {
    let mut text = "[[model]]\n".to_owned();
    let mut put = |key: &str, value: Value| text.extend([key, " = ", &render(&value), "\n"]);
    put("name", Value::String(entry.name.clone()));
    put("path", Value::String(entry.path.display().to_string()));
    if let Some(slo) = config.slo {
        put("slo_ms", Value::Integer(slo.as_millis() as i64));
    }
    if let Some(weight) = config.weight {
        put("weight", Value::Integer(weight.get().into()));
    }
    if !is_cached {
        put("cache", Value::Boolean(false));
    }
    if let Some(name) = config.oip_layout.and_then(|layout| name_of(&LAYOUTS, layout)) {
        put("oip_layout", Value::from(name));
    }
    if let Some(name) = config.oip_datatype.and_then(|datatype| name_of(&DATATYPES, datatype)) {
        put("oip_datatype", Value::from(name));
    }
    text
}
