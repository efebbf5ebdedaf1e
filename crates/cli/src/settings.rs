//! The configuration: `stemson.toml`, environment, flags, in this order of weight from below.
//!
//! Every key stands once, in [`KEYS`]: file, environment (`STEMSON_SECTION_KEY`) and
//! `--print-config` are made from it.

mod admin;
mod cache;
mod model;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use stemson_server::{
    Config, GrpcListener, JwksSource, MetricsCompat, ModelConfig, PredictionLogFormat,
};
use toml::{Table, Value};

use crate::failure::Failure;
use crate::terminal::say;
pub(crate) use model::ModelEntry;

/// What the server is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) server: Config,
    pub(crate) models: Vec<ModelEntry>,
}

/// One key of a section.
struct Key {
    section: &'static str,
    name: &'static str,
    expected: &'static str,
    /// Takes the value, or says by `None` that it is none. The path is the folder that relative
    /// paths are counted from.
    set: fn(&mut Config, &Value, &Path) -> Option<()>,
    show: fn(&Config) -> Value,
}

const COUNT: &str = "a whole number, 0 or more";
const ADDRESS: &str = "an address and port such as \"127.0.0.1:8080\"";

/// A key with a whole number for a place in the configuration, in units of `1 << shift`.
macro_rules! count {
    ($section:literal, $name:literal, $($field:ident).+, $shift:literal) => {
        Key {
            section: $section,
            name: $name,
            expected: COUNT,
            set: |config, value, _| {
                let count = u64::try_from(value.as_integer()?).ok()?;
                config.$($field).+ = count.checked_mul(1 << $shift)?.try_into().ok()?;
                Some(())
            },
            show: |config| Value::Integer((config.$($field).+ >> $shift) as i64),
        }
    };
}

/// A key with a duration, from and to whole units.
macro_rules! duration {
    ($section:literal, $name:literal, $($field:ident).+, $from:ident, $to:ident) => {
        Key {
            section: $section,
            name: $name,
            expected: COUNT,
            set: |config, value, _| {
                config.$($field).+ = Duration::$from(value.as_integer()?.try_into().ok()?);
                Some(())
            },
            show: |config| Value::Integer(config.$($field).+.$to() as i64),
        }
    };
}

/// A key with an address.
macro_rules! address {
    ($name:ident) => {
        Key {
            section: "server",
            name: stringify!($name),
            expected: ADDRESS,
            set: |config, value, _| {
                config.$name = value.as_str()?.parse::<SocketAddr>().ok()?;
                Some(())
            },
            show: |config| Value::String(config.$name.to_string()),
        }
    };
}

/// A key with a text; empty is none.
macro_rules! text {
    ($section:literal, $name:literal, $($field:ident).+) => {
        text!($section, $name, $($field).+, str::to_owned)
    };
    ($section:literal, $name:literal, $($field:ident).+, $show:expr) => {
        Key {
            section: $section,
            name: $name,
            expected: "a text",
            set: |config, value, _| {
                let text = value.as_str()?;
                config.$($field).+ = (!text.is_empty()).then(|| text.to_owned());
                Some(())
            },
            show: |config| Value::String(config.$($field).+.as_deref().map_or_else(String::new, $show)),
        }
    };
}

/// A key with a number from 0 to `most`.
macro_rules! ratio {
    ($section:literal, $name:literal, $($field:ident).+, $most:expr, $expected:literal) => {
        Key {
            section: $section,
            name: $name,
            expected: $expected,
            set: |config, value, _| {
                let ratio = match value {
                    Value::Float(ratio) => *ratio,
                    Value::Integer(whole) => *whole as f64,
                    // The environment knows texts only.
                    Value::String(text) => text.parse().ok()?,
                    _ => return None,
                };
                config.$($field).+ = Some(ratio).filter(|ratio| (0.0..=$most).contains(ratio))?;
                Some(())
            },
            show: |config| Value::Float(config.$($field).+),
        }
    };
}

/// A key that is on or off.
macro_rules! switch {
    ($section:literal, $name:literal, $($field:ident).+) => {
        Key {
            section: $section,
            name: $name,
            expected: "true or false",
            set: |config, value, _| {
                // The environment knows texts only.
                config.$($field).+ = match value {
                    Value::Boolean(is_on) => *is_on,
                    Value::String(text) => text.parse().ok()?,
                    _ => return None,
                };
                Some(())
            },
            show: |config| Value::Boolean(config.$($field).+),
        }
    };
}

/// A key with a file; empty is none.
macro_rules! file {
    ($section:literal, $name:literal, $($field:ident).+) => {
        Key {
            section: $section,
            name: $name,
            expected: "a file",
            set: |config, value, base| {
                let text = value.as_str()?;
                config.$($field).+ = (!text.is_empty()).then(|| base.join(text));
                Some(())
            },
            show: |config| {
                let path = config.$($field).+.as_ref();
                Value::String(path.map_or_else(String::new, |path| path.display().to_string()))
            },
        }
    };
}

/// All keys, in the order in which they are shown.
const KEYS: &[Key] = &[
    Key {
        section: "",
        name: "data_dir",
        expected: "a folder",
        set: |config, value, base| {
            config.data_dir = Some(base.join(value.as_str()?));
            Some(())
        },
        show: |config| {
            let folder = config.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR));
            Value::String(folder.display().to_string())
        },
    },
    count!("server", "keep_revisions", keep_revisions, 0),
    address!(http),
    Key {
        section: "server",
        name: "grpc",
        expected: "an address and port such as \"127.0.0.1:8081\", or \"off\"",
        set: |config, value, _| {
            config.grpc = grpc_listener(value.as_str()?).ok()?;
            Some(())
        },
        show: |config| {
            let address = config.grpc.address().map(|address| address.to_string());
            Value::String(address.unwrap_or_else(|| "off".to_owned()))
        },
    },
    address!(admin),
    count!("server", "compute_threads", compute_threads, 0),
    duration!("server", "slo_ms", slo, from_millis, as_millis),
    duration!("server", "drain_seconds", drain, from_secs, as_secs),
    duration!("server", "drain_delay_seconds", drain_delay, from_secs, as_secs),
    duration!("server", "watch_ms", watch_interval, from_millis, as_millis),
    Key {
        section: "server",
        name: "metrics_compat",
        expected: "\"triton\", \"kserve\" or \"\"",
        set: |config, value, _| {
            config.metrics_compat = match value.as_str()? {
                "" => None,
                "triton" => Some(MetricsCompat::Triton),
                "kserve" => Some(MetricsCompat::Kserve),
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            Value::from(match config.metrics_compat {
                None => "",
                Some(MetricsCompat::Triton) => "triton",
                Some(MetricsCompat::Kserve) => "kserve",
            })
        },
    },
    count!("limits", "body_mib", limits.body_bytes_max, 20),
    count!("limits", "artifact_mib", limits.artifact_bytes_max, 20),
    count!("limits", "rows", limits.rows_max, 0),
    count!("limits", "cells", limits.cells_max, 0),
    count!("limits", "depth", limits.depth_max, 0),
    count!("limits", "header_kib", limits.header_bytes_max, 10),
    count!("limits", "connections", limits.connections_max, 0),
    duration!("limits", "head_seconds", limits.head, from_secs, as_secs),
    duration!("limits", "idle_seconds", limits.idle, from_secs, as_secs),
    count!("limits", "body_bytes_per_second", limits.body_bytes_per_second_min, 0),
    count!("limits", "queued_requests", limits.queued_requests_max, 0),
    admin::ARTIFACT_ROOTS,
    admin::ALLOWED_HOSTS,
    admin::ALLOW_PRIVATE_ADDRESSES,
    admin::HOSTS_CA,
    Key {
        section: "log",
        name: "format",
        expected: "\"text\" or \"json\"",
        set: |config, value, _| {
            config.log.is_json = match value.as_str()? {
                "text" => false,
                "json" => true,
                _ => return None,
            };
            Some(())
        },
        show: |config| Value::from(if config.log.is_json { "json" } else { "text" }),
    },
    Key {
        section: "log",
        name: "level",
        expected: "off, error, warn, info, debug, trace or such as \"info,stemson_server=debug\"",
        set: |config, value, _| {
            let level = value.as_str().filter(|level| stemson_server::check_log_level(level))?;
            level.clone_into(&mut config.log.level);
            Some(())
        },
        show: |config| Value::from(config.log.level.as_str()),
    },
    ratio!("log", "access_ratio", log.access_ratio, 1.0, "a share from 0 to 1"),
    text!("otlp", "endpoint", otlp.endpoint, stemson_server::shown_url),
    Key {
        section: "otlp",
        name: "headers",
        expected: "a list of \"name=value\"",
        set: |config, value, _| {
            let headers = value
                .as_array()?
                .iter()
                .map(|header| header.as_str().filter(|text| text.contains('=')).map(str::to_owned));
            config.otlp.headers = headers.collect::<Option<_>>()?;
            Some(())
        },
        // They hold secrets.
        show: |config| {
            let names = config.otlp.headers.iter().filter_map(|it| it.split_once('='));
            Value::Array(names.map(|(name, _)| Value::from(format!("{name}=***"))).collect())
        },
    },
    ratio!("otlp", "sample_ratio", otlp.sample_ratio, 1.0, "a share from 0 to 1"),
    duration!("otlp", "metrics_seconds", otlp.metrics_period, from_secs, as_secs),
    file!("prediction_log", "dir", prediction_log.dir),
    Key {
        section: "prediction_log",
        name: "format",
        expected: "\"ndjson\" or \"parquet\"",
        set: |config, value, _| {
            config.prediction_log.format = match value.as_str()? {
                "ndjson" => PredictionLogFormat::Ndjson,
                "parquet" => PredictionLogFormat::Parquet,
                _ => return None,
            };
            Some(())
        },
        show: |config| {
            Value::from(match config.prediction_log.format {
                PredictionLogFormat::Ndjson => "ndjson",
                PredictionLogFormat::Parquet => "parquet",
            })
        },
    },
    ratio!(
        "prediction_log",
        "sample_ratio",
        prediction_log.sample_ratio,
        1.0,
        "a share from 0 to 1"
    ),
    count!("prediction_log", "queue_rows", prediction_log.queue_rows_max, 0),
    count!("prediction_log", "rotate_mib", prediction_log.rotate_bytes, 20),
    duration!("prediction_log", "rotate_seconds", prediction_log.rotate_after, from_secs, as_secs),
    count!("prediction_log", "keep_files", prediction_log.keep_files, 0),
    Key {
        section: "prediction_log",
        name: "redact",
        expected: "a list of columns",
        set: |config, value, _| {
            let names = value.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned()));
            config.prediction_log.redact = names.collect::<Option<_>>()?;
            Some(())
        },
        show: |config| {
            let names = config.prediction_log.redact.iter();
            Value::Array(names.map(|name| Value::String(name.clone())).collect())
        },
    },
    file!("tls", "certificate", tls.certificate),
    file!("tls", "key", tls.key),
    file!("tls", "client_ca", tls.client_ca),
    switch!("tls", "client_certificate_required", tls.client_certificate_required),
    file!("auth", "keys_file", auth.keys_file),
    Key {
        section: "auth",
        name: "jwks",
        expected: "a file or an https:// address",
        set: |config, value, base| {
            let text = value.as_str()?;
            let is_url = text.starts_with("https://") || text.starts_with("http://");
            config.auth.tokens.jwks = match text {
                "" => None,
                url if is_url => Some(JwksSource::Url(url.to_owned())),
                file => Some(JwksSource::File(base.join(file))),
            };
            Some(())
        },
        show: |config| {
            Value::String(match &config.auth.tokens.jwks {
                None => String::new(),
                Some(JwksSource::Url(url)) => stemson_server::shown_url(url),
                Some(JwksSource::File(path)) => path.display().to_string(),
            })
        },
    },
    text!("auth", "issuer", auth.tokens.issuer),
    text!("auth", "audience", auth.tokens.audience),
    Key {
        section: "auth",
        name: "scope_claim",
        expected: "the name of a claim",
        set: |config, value, _| {
            let name = value.as_str().filter(|name| !name.is_empty())?;
            name.clone_into(&mut config.auth.tokens.scope_claim);
            Some(())
        },
        show: |config| Value::String(config.auth.tokens.scope_claim.clone()),
    },
    Key {
        section: "auth",
        name: "scope_prefix",
        expected: "a text",
        set: |config, value, _| {
            value.as_str()?.clone_into(&mut config.auth.tokens.scope_prefix);
            Some(())
        },
        show: |config| Value::String(config.auth.tokens.scope_prefix.clone()),
    },
    count!("canary", "min_requests", trial.min_requests, 0),
    ratio!(
        "canary",
        "max_error_increase",
        trial.max_error_increase,
        f64::MAX,
        "a number, 0 or more"
    ),
    ratio!("canary", "max_latency_ratio", trial.max_latency_ratio, f64::MAX, "a number, 0 or more"),
    ratio!("canary", "max_psi", trial.max_psi, f64::MAX, "a number, 0 or more"),
    cache::BACKEND,
    cache::MAX_MIB,
    cache::TTL,
    cache::MIN_COST,
    cache::REDIS_MIN_COST,
    cache::BUDGET,
    cache::MIN_SIZE,
    cache::MAX_SIZE,
    cache::CHECK,
    cache::REDIS_CA,
    cache::REDIS_CERTIFICATE,
    cache::REDIS_KEY,
];

/// `off`, or an address and port.
pub(crate) fn grpc_listener(text: &str) -> Result<GrpcListener, String> {
    if text == "off" {
        return Ok(GrpcListener::Off);
    }
    address(text).map(GrpcListener::At).map_err(|wrong| format!("{wrong}, or `off`"))
}

/// A flag with an address.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected {ADDRESS}"))
}

/// The last one is a list of its own form.
const SECTIONS: [&str; 11] = [
    "server",
    "limits",
    "admin",
    "tls",
    "auth",
    "log",
    "otlp",
    "prediction_log",
    "canary",
    "cache",
    "model",
];

/// Where state lives unless the configuration says otherwise.
pub(crate) const DATA_DIR: &str = "stemson-data";

/// Read where `--config` is not said.
const DEFAULT_FILE: &str = "stemson.toml";

impl Settings {
    /// Defaults, over them the file, over it the environment.
    ///
    /// `file`: from `--config`; without it, `stemson.toml` where the process stands, if there.
    pub(crate) fn resolve(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let mut settings = Self::default();
        let file = file.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()));
        if let Some(path) = file {
            let text = fs::read_to_string(path).map_err(|cause| {
                Failure::input(format!("cannot read {}", path.display())).because(&cause)
            })?;
            settings.read_file(path, &text)?;
        }
        settings.read_environment(environment)?;
        Ok(settings)
    }

    fn read_file(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let shown = path.display();
        let base = path.parent().unwrap_or(Path::new(""));
        let table: Table = toml::from_str(text).map_err(|bad| {
            Failure::input(format!("{shown} is no TOML:\n{}", bad.to_string().trim_end()))
        })?;
        for (section, content) in &table {
            match (section.as_str(), content) {
                ("model", Value::Array(models)) => {
                    for model in models {
                        let model::Read { entry, config, is_cached } =
                            model::read(path, base, model)?;
                        if !is_cached {
                            self.server.cache.except.push(entry.name.clone());
                        }
                        if config != ModelConfig::default() {
                            self.server.models.insert(entry.name.clone(), config);
                        }
                        self.models.push(entry);
                    }
                }
                ("model", _) => {
                    return Err(Failure::input(format!("{shown}: [model] stands for one model"))
                        .hint("write `[[model]]`, once for each"));
                }
                ("data_dir", value) => self.read_key(path, base, "", "data_dir", value)?,
                // `stemson check` reads its own.
                ("check", Value::Table(_)) => {}
                (name, Value::Table(keys)) if SECTIONS.contains(&name) => {
                    for (key, value) in keys {
                        self.read_key(path, base, name, key, value)?;
                    }
                }
                (name, _) => {
                    return Err(unknown(
                        &format!("{shown}: unknown key `{name}`"),
                        name,
                        &SECTIONS,
                    ));
                }
            }
        }
        Ok(())
    }

    fn read_key(
        &mut self,
        path: &Path,
        base: &Path,
        section: &str,
        name: &str,
        value: &Value,
    ) -> Result<(), Failure> {
        let shown = path.display();
        let in_section = || KEYS.iter().filter(|key| key.section == section);
        let Some(key) = in_section().find(|key| key.name == name) else {
            let names: Vec<&str> = in_section().map(|key| key.name).collect();
            return Err(unknown(
                &format!("{shown}: unknown key `{name}` in [{section}]"),
                name,
                &names,
            ));
        };
        (key.set)(&mut self.server, value, base).ok_or_else(|| {
            Failure::input(format!(
                "{shown}: {}{name} is {}, expected {}",
                if section.is_empty() { String::new() } else { format!("[{section}] ") },
                render(value),
                key.expected
            ))
        })
    }

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Failure> {
        let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
        for (name, text) in environment {
            let Some(found) = names.iter().position(|known| *known == name) else {
                // Not an error: Kubernetes sets variables after the names of services.
                if let Some(near) = nearest(&name, names.iter().map(String::as_str), 2) {
                    say(format_args!("warning: unknown variable {name}, did you mean {near}?"));
                }
                continue;
            };
            let key = &KEYS[found];
            let value = match (key.show)(&Config::default()) {
                Value::Array(_) => {
                    let words = text.split(',').filter(|word| !word.is_empty());
                    Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
                }
                Value::Integer(_) => {
                    text.trim().parse().map_or(Value::String(text), Value::Integer)
                }
                Value::Float(_) => text.trim().parse().map_or(Value::String(text), Value::Float),
                _ => Value::String(text),
            };
            (key.set)(&mut self.server, &value, Path::new("")).ok_or_else(|| {
                Failure::input(format!("{name} is {}, expected {}", render(&value), key.expected))
            })?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn has_key(section: &str, name: &str) -> bool {
        KEYS.iter().any(|key| key.section == section && key.name == name)
    }

    /// Section and name of each key that says something else.
    pub(crate) fn differences(
        &self,
        other: &Self,
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let is_other = |key: &&Key| (key.show)(&self.server) != (key.show)(&other.server);
        KEYS.iter().filter(is_other).map(|key| (key.section, key.name))
    }

    /// The whole configuration as a file that means the same.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for section in [""].iter().chain(&SECTIONS[..SECTIONS.len() - 1]) {
            if !section.is_empty() {
                text.extend(["[", section, "]\n"]);
            }
            for key in KEYS.iter().filter(|key| key.section == *section) {
                text.extend([key.name, " = ", &render(&(key.show)(&self.server)), "\n"]);
            }
            text.push('\n');
        }
        for model in &self.models {
            let config = self.server.models.get(&model.name).copied().unwrap_or_default();
            let is_cached = !self.server.cache.except.contains(&model.name);
            text.push_str(&model::render_model(model, config, is_cached));
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }
}

impl Key {
    /// Its name in the environment.
    fn variable(&self) -> String {
        let section = if self.section.is_empty() { "" } else { &format!("{}_", self.section) };
        format!("STEMSON_{section}{}", self.name).to_ascii_uppercase()
    }
}

fn unknown(message: &str, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::input(message);
    match nearest(name, known.iter().copied(), 3) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("the keys here are {}", known.join(", "))),
    }
}

/// The name that differs least, by at most `limit` characters.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>, limit: usize) -> Option<&'n str> {
    known
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements of bytes from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A value as TOML.
fn render(value: &Value) -> String {
    match value {
        // The escapes of a JSON string are among those of a TOML string.
        Value::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(render).collect::<Vec<_>>().join(", "))
        }
        Value::Integer(number) => number.to_string(),
        // Always with a point: `1.0`.
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests;
