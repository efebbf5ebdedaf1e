//! The settings of the trace and logging extensions: of the server, and of a model where it has its
//! own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::error::Refusal;

/// Both kinds of settings. Kept for the life of the server.
#[derive(Debug, Default)]
pub(crate) struct Settings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// What differs from the defaults.
    trace: Map<String, Value>,
    /// What differs from the server's, by model.
    model_traces: BTreeMap<String, Map<String, Value>>,
    log: Map<String, Value>,
}

/// A setting: its name, its default, what it may be.
struct Setting {
    name: &'static str,
    default: fn() -> Value,
    expected: &'static str,
    /// The value as it is shown, if it may be one.
    read: fn(&Value) -> Option<Value>,
}

const TRACE: &[Setting] = &[
    Setting {
        name: "trace_level",
        default: || json!(["OFF"]),
        expected: "a list of OFF, TIMESTAMPS, TENSORS",
        read: |value| {
            let levels = match value {
                Value::String(level) => vec![Value::from(level.as_str())],
                Value::Array(levels) => levels.clone(),
                _ => return None,
            };
            let is_level = |level: &Value| {
                level.as_str().is_some_and(|l| matches!(l, "OFF" | "TIMESTAMPS" | "TENSORS"))
            };
            (!levels.is_empty() && levels.iter().all(is_level)).then_some(Value::Array(levels))
        },
    },
    Setting { name: "trace_rate", default: || json!("1000"), expected: COUNT, read: positive },
    Setting {
        name: "trace_count",
        default: || json!("-1"),
        expected: "a number from -1 on",
        read: count,
    },
    Setting { name: "log_frequency", default: || json!("0"), expected: COUNT, read: positive },
    Setting { name: "trace_file", default: || json!(""), expected: "text", read: text },
    Setting {
        name: "trace_mode",
        default: || json!("opentelemetry"),
        expected: "triton or opentelemetry",
        read: |value| text(value).filter(|value| value == "triton" || value == "opentelemetry"),
    },
];

const COUNT: &str = "a number from 0 on";

const LOG: &[Setting] = &[
    Setting { name: "log_file", default: || json!(""), expected: NO_FILE, read: |_| None },
    Setting { name: "log_info", default: || json!(true), expected: "true or false", read: flag },
    Setting { name: "log_warning", default: || json!(true), expected: "true or false", read: flag },
    Setting { name: "log_error", default: || json!(true), expected: "true or false", read: flag },
    Setting {
        name: "log_verbose_level",
        default: || json!(0),
        expected: COUNT,
        read: |value| value.as_u64().map(Value::from),
    },
    Setting {
        name: "log_format",
        default: || json!("default"),
        expected: "default or ISO8601",
        read: |value| text(value).filter(|value| value == "default" || value == "ISO8601"),
    },
];

/// Nobody on the network says which file the server writes.
const NO_FILE: &str = "no change: the log file is not set over the network";

fn text(value: &Value) -> Option<Value> {
    value.as_str().map(Value::from)
}

fn flag(value: &Value) -> Option<Value> {
    value.as_bool().map(Value::from)
}

/// A whole number as text, as the extension shows it.
fn count(value: &Value) -> Option<Value> {
    let number = match value {
        Value::String(text) => text.trim().parse::<i64>().ok(),
        other => other.as_i64(),
    };
    number.filter(|number| *number >= -1).map(|number| Value::from(number.to_string()))
}

fn positive(value: &Value) -> Option<Value> {
    count(value).filter(|value| value != "-1")
}

impl Settings {
    /// The trace settings of the server, or of a model.
    pub(crate) fn trace(&self, model: Option<&str>) -> Map<String, Value> {
        let kept = self.kept();
        let mut shown = with_defaults(TRACE, &kept.trace);
        if let Some(own) = model.and_then(|model| kept.model_traces.get(model)) {
            shown.extend(own.clone());
        }
        shown
    }

    /// Changes trace settings: all of `changes`, or none. Null goes back to the server's, and of the
    /// server to the default.
    pub(crate) fn set_trace(
        &self,
        model: Option<&str>,
        changes: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let changes = read(TRACE, changes)?;
        {
            let mut kept = self.kept();
            let own = match model {
                Some(model) => kept.model_traces.entry(model.to_owned()).or_default(),
                None => &mut kept.trace,
            };
            apply(own, changes);
        }
        Ok(self.trace(model))
    }

    /// The log settings.
    pub(crate) fn log(&self) -> Map<String, Value> {
        with_defaults(LOG, &self.kept().log)
    }

    /// Changes log settings: all of `changes`, or none.
    pub(crate) fn set_log(
        &self,
        changes: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let changes = read(LOG, changes)?;
        apply(&mut self.kept().log, changes);
        Ok(self.log())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_defaults(settings: &[Setting], own: &Map<String, Value>) -> Map<String, Value> {
    let defaults = settings.iter().map(|setting| (setting.name.to_owned(), (setting.default)()));
    let mut shown: Map<String, Value> = defaults.collect();
    shown.extend(own.clone());
    shown
}

fn apply(own: &mut Map<String, Value>, changes: Vec<(String, Option<Value>)>) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(own.insert(name, value)),
            None => drop(own.remove(&name)),
        }
    }
}

fn read(
    settings: &[Setting],
    changes: &Map<String, Value>,
) -> Result<Vec<(String, Option<Value>)>, Refusal> {
    let change = |(name, value): (&String, &Value)| {
        let setting = settings.iter().find(|setting| setting.name == name).ok_or_else(|| {
            let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
            let name: String = name.chars().take(80).collect();
            Refusal::BadField(format!("no setting is called `{name}`, only {}", names.join(", ")))
        })?;
        if value.is_null() {
            return Ok((name.clone(), None));
        }
        let read = (setting.read)(value)
            .ok_or_else(|| Refusal::BadField(format!("`{name}`: expected {}", setting.expected)))?;
        Ok((name.clone(), Some(read)))
    };
    changes.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_model_has_the_servers_settings_until_it_has_its_own() {
        let settings = Settings::default();
        assert_eq!(settings.trace(Some("churn")), settings.trace(None));
        let global = object(json!({ "trace_rate": "7", "trace_level": ["TIMESTAMPS"] }));
        settings.set_trace(None, &global).expect("good settings");
        assert_eq!(settings.trace(Some("churn"))["trace_rate"], "7");
        let own = object(json!({ "trace_rate": 9, "trace_count": "-1" }));
        let shown = settings.set_trace(Some("churn"), &own).expect("good settings");
        assert_eq!(
            (&shown["trace_rate"], &shown["trace_level"]),
            (&json!("9"), &json!(["TIMESTAMPS"]))
        );
        assert_eq!(settings.trace(None)["trace_rate"], "7");
        let clear = object(json!({ "trace_rate": null }));
        assert_eq!(settings.set_trace(Some("churn"), &clear).expect("good")["trace_rate"], "7");
        assert_eq!(settings.set_trace(None, &clear).expect("good")["trace_rate"], "1000");
    }

    #[test]
    fn nothing_changes_if_one_is_wrong() {
        let settings = Settings::default();
        for (changes, needle) in [
            (json!({ "trace_rate": "5", "trace_level": ["LOUD"] }), "trace_level"),
            (json!({ "trace_rate": "5", "wish": 1 }), "no setting is called `wish`"),
            (json!({ "trace_rate": "-1" }), "trace_rate"),
            (json!({ "trace_count": "many" }), "trace_count"),
        ] {
            let refusal = settings.set_trace(None, &object(changes)).expect_err(needle);
            assert!(format!("{refusal:?}").contains(needle), "{refusal:?}");
            assert_eq!(settings.trace(None)["trace_rate"], "1000");
        }
        for changes in [
            json!({ "log_info": "yes" }),
            json!({ "log_verbose_level": -1 }),
            json!({ "log_format": "loud" }),
            json!({ "log_file": "/etc/passwd" }),
        ] {
            assert!(settings.set_log(&object(changes.clone())).is_err(), "{changes}");
        }
        let quiet = object(json!({ "log_info": false, "log_verbose_level": 1 }));
        let shown = settings.set_log(&quiet).expect("good settings");
        assert_eq!((&shown["log_info"], &shown["log_warning"]), (&json!(false), &json!(true)));
    }
}
