//! The settings of the trace and logging extensions: of the server, and of a model where it has its
//! own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::error::Refusal;
use crate::log::{self, Shown};

/// The trace settings. Kept for the life of the server.
///
/// While the level is `TIMESTAMPS`, the first of every `trace_rate` predictions is traced, until
/// `trace_count` of them were: it has a line in the log and, where there is a collector, a span.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    kept: Mutex<Kept>,
    /// Whether any level is on, so that others need not ask further.
    is_tracing: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    /// What differs from the defaults.
    trace: Map<String, Value>,
    /// What differs from the server's, by model.
    model_traces: BTreeMap<String, Map<String, Value>>,
    /// Predictions since the settings changed, by model.
    seen: BTreeMap<String, u64>,
}

/// Says whether a request turned out to be traced, to whoever let it in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traced(Arc<AtomicBool>);

impl Traced {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
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
        expected: "a list of OFF, TIMESTAMPS (values of rows are for the prediction log)",
        read: |value| {
            let levels = match value {
                Value::String(level) => vec![Value::from(level.as_str())],
                Value::Array(levels) => levels.clone(),
                _ => return None,
            };
            let is_level =
                |level: &Value| level.as_str().is_some_and(|l| matches!(l, "OFF" | "TIMESTAMPS"));
            (!levels.is_empty() && levels.iter().all(is_level)).then_some(Value::Array(levels))
        },
    },
    Setting {
        name: "trace_rate",
        default: || json!("1000"),
        expected: "a number from 1 on",
        read: |value| count(value, 1),
    },
    Setting {
        name: "trace_count",
        default: || json!("-1"),
        expected: "a number from 0 on, or -1 for no end",
        read: |value| count(value, -1),
    },
    Setting {
        name: LOG_FREQUENCY,
        default: || json!("0"),
        expected: "a number from 0 on",
        read: |value| count(value, 0),
    },
    Setting { name: "trace_file", default: || json!(""), expected: NO_FILE, read: no_file },
    Setting {
        name: "trace_mode",
        default: || json!("opentelemetry"),
        expected: "opentelemetry, the only one that is here",
        read: |value| text(value).filter(|value| value == "opentelemetry"),
    },
];

/// After so many spans they are sent, 0: once a second.
const LOG_FREQUENCY: &str = "log_frequency";

const LOG: &[Setting] = &[
    Setting { name: "log_file", default: || json!(""), expected: NO_FILE, read: no_file },
    Setting { name: "log_info", default: || json!(true), expected: "true or false", read: flag },
    Setting { name: "log_warning", default: || json!(true), expected: "true or false", read: flag },
    Setting { name: "log_error", default: || json!(true), expected: "true or false", read: flag },
    Setting {
        name: "log_verbose_level",
        default: || json!(0),
        expected: "a number from 0 on",
        read: |value| u64::try_from(whole(value)?).ok().map(Value::from),
    },
    Setting {
        name: "log_format",
        default: || json!("ISO8601"),
        expected: "ISO8601, as all lines have it",
        read: |value| text(value).filter(|value| value == "ISO8601"),
    },
];

/// Nobody on the network says which file the server writes.
const NO_FILE: &str = "no file: none is set over the network";

fn no_file(value: &Value) -> Option<Value> {
    text(value).filter(|value| value == "")
}

fn text(value: &Value) -> Option<Value> {
    value.as_str().map(Value::from)
}

fn flag(value: &Value) -> Option<Value> {
    value.as_bool().map(Value::from)
}

/// A whole number. JSON has one kind of number: 3.0 is 3.
pub(crate) fn whole(value: &Value) -> Option<i128> {
    let double =
        || value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i128);
    let whole = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    whole.or_else(double)
}

/// A whole number from `least` on as text, as the extension shows it.
fn count(value: &Value, least: i64) -> Option<Value> {
    let number = match value {
        Value::String(text) => {
            text.parse::<i64>().ok().filter(|number| number.to_string() == *text)
        }
        other => whole(other).and_then(|number| i64::try_from(number).ok()),
    };
    number.filter(|number| *number >= least).map(|number| Value::from(number.to_string()))
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
        let is_frequency =
            |(name, value): &(String, Option<Value>)| name == LOG_FREQUENCY && value.is_some();
        if model.is_some() && changes.iter().any(is_frequency) {
            return Err(Refusal::BadField(format!(
                "`{LOG_FREQUENCY}` is the server's: set it at /v2/trace/setting"
            )));
        }
        {
            let mut kept = self.kept();
            let own = match model {
                Some(model) => kept.model_traces.entry(model.to_owned()).or_default(),
                None => &mut kept.trace,
            };
            apply(own, changes);
            kept.seen.clear();
            let mut all = kept.model_traces.values().chain([&kept.trace]);
            self.is_tracing.store(all.any(is_on), Ordering::Relaxed);
        }
        Ok(self.trace(model))
    }

    /// After so many spans they are sent, 0: once a second.
    pub(crate) fn log_frequency(&self) -> usize {
        let shown = self.trace(None);
        let number = shown.get(LOG_FREQUENCY).and_then(|value| value.as_str()?.parse().ok());
        number.unwrap_or(0)
    }

    /// Whether any prediction may be traced.
    pub(crate) fn is_tracing(&self) -> bool {
        self.is_tracing.load(Ordering::Relaxed)
    }

    /// Whether this prediction is traced; it counts.
    pub(crate) fn sample(&self, model: &str) -> bool {
        if !self.is_tracing() {
            return false;
        }
        let kept = &mut *self.kept();
        let own = kept.model_traces.get_mut(model);
        let (own_level, own_rate) = match &own {
            Some(own) => (own.get(LEVEL), own.get(RATE)),
            None => (None, None),
        };
        let is_on = own_level.or_else(|| kept.trace.get(LEVEL)).is_some_and(is_timestamps);
        let rate =
            own_rate.or_else(|| kept.trace.get(RATE)).and_then(|it| it.as_str()?.parse().ok());
        let rate: u64 = rate.unwrap_or(1_000);
        if !is_on {
            return false;
        }
        let seen = match kept.seen.get_mut(model) {
            Some(seen) => seen,
            None => kept.seen.entry(model.to_owned()).or_default(),
        };
        *seen += 1;
        if !(*seen - 1).is_multiple_of(rate) {
            return false;
        }
        let own = own.and_then(|own| own.get_mut(COUNT));
        let left = own.or_else(|| kept.trace.get_mut(COUNT));
        take_one(left)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LEVEL: &str = "trace_level";
const RATE: &str = "trace_rate";
const COUNT: &str = "trace_count";

fn is_timestamps(levels: &Value) -> bool {
    levels.as_array().is_some_and(|levels| levels.iter().any(|level| level == "TIMESTAMPS"))
}

fn is_on(own: &Map<String, Value>) -> bool {
    own.get(LEVEL).is_some_and(is_timestamps)
}

/// Takes one of those that are left; -1 has no end.
fn take_one(left: Option<&mut Value>) -> bool {
    let Some(left) = left else { return true };
    match left.as_str().and_then(|text| text.parse::<i64>().ok()) {
        Some(0) => false,
        Some(some @ 1..) => {
            *left = Value::from((some - 1).to_string());
            true
        }
        _ => true,
    }
}

/// The log settings, as the log stands.
pub(crate) fn show_log() -> Map<String, Value> {
    let Shown { info, warning, error, verbose } = log::shown();
    let own = [
        ("log_info", json!(info)),
        ("log_warning", json!(warning)),
        ("log_error", json!(error)),
        ("log_verbose_level", json!(verbose)),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    with_defaults(LOG, &own)
}

/// Changes log settings: all of `changes`, or none. Null goes back to the default.
pub(crate) fn set_log(changes: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let changes = read(LOG, changes)?;
    let mut wanted = show_log();
    for (name, value) in changes {
        let default = || LOG.iter().find(|it| it.name == name).map(|it| (it.default)());
        wanted.insert(name.clone(), value.or_else(default).unwrap_or_default());
    }
    let is_on = |name: &str| wanted.get(name).and_then(Value::as_bool).unwrap_or(true);
    log::set_shown(Shown {
        info: is_on("log_info"),
        warning: is_on("log_warning"),
        error: is_on("log_error"),
        verbose: wanted.get("log_verbose_level").and_then(Value::as_u64).unwrap_or(0),
    })
    .map_err(Refusal::BadField)?;
    Ok(show_log())
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
        let own = object(json!({ "trace_rate": 9.0, "trace_count": "-1" }));
        let shown = settings.set_trace(Some("churn"), &own).expect("good settings");
        assert_eq!(
            (&shown["trace_rate"], &shown["trace_level"]),
            (&json!("9"), &json!(["TIMESTAMPS"]))
        );
        assert_eq!(settings.trace(None)["trace_rate"], "7");
        // Whoever clears all settings of a model names that of the server too.
        let clear = object(json!({ "trace_rate": null, "log_frequency": null }));
        assert_eq!(settings.set_trace(Some("churn"), &clear).expect("good")["trace_rate"], "7");
        assert_eq!(settings.set_trace(None, &clear).expect("good")["trace_rate"], "1000");
    }

    #[test]
    fn nothing_changes_if_one_is_wrong() {
        let settings = Settings::default();
        for (changes, needle) in [
            (json!({ "trace_rate": "5", "trace_level": ["LOUD"] }), "trace_level"),
            (json!({ "trace_rate": "5", "wish": 1 }), "no setting is called `wish`"),
            (json!({ "trace_rate": "0" }), "trace_rate"),
            (json!({ "trace_rate": "07" }), "trace_rate"),
            (json!({ "trace_count": "many" }), "trace_count"),
            (json!({ "trace_count": 1.5 }), "trace_count"),
            (json!({ "trace_rate": 1e300 }), "trace_rate"),
        ] {
            let refusal = settings.set_trace(None, &object(changes)).expect_err(needle);
            assert!(format!("{refusal:?}").contains(needle), "{refusal:?}");
            assert_eq!(settings.trace(None)["trace_rate"], "1000");
        }
        let (other, own) = (json!({ "trace_level": ["TENSORS"] }), json!({ "log_frequency": "5" }));
        assert!(settings.set_trace(None, &object(other)).is_err());
        assert!(settings.set_trace(Some("churn"), &object(own)).is_err());
        for changes in [
            json!({ "log_info": "yes" }),
            json!({ "log_verbose_level": -1 }),
            json!({ "log_format": "default" }),
            json!({ "log_file": "/etc/passwd" }),
        ] {
            assert!(set_log(&object(changes.clone())).is_err(), "{changes}");
        }
    }

    #[test]
    fn the_first_of_so_many_is_traced_until_none_is_left() {
        let settings = Settings::default();
        let sampled = |model, n| (0..n).filter(|_| settings.sample(model)).count();
        assert_eq!(sampled("churn", 5), 0);
        let on = json!({ "trace_level": ["TIMESTAMPS"], "trace_rate": "3" });
        settings.set_trace(Some("churn"), &object(on)).expect("good settings");
        let taken: Vec<bool> = (0..7).map(|_| settings.sample("churn")).collect();
        assert_eq!(taken, [true, false, false, true, false, false, true]);
        assert_eq!(sampled("price", 5), 0);
        // Of the server, for all that have no level of their own.
        let some = json!({ "trace_level": "TIMESTAMPS", "trace_rate": 1, "trace_count": 4 });
        settings.set_trace(None, &object(some)).expect("good settings");
        assert_eq!((sampled("price", 3), sampled("churn", 3), sampled("price", 9)), (3, 1, 0));
        assert_eq!(settings.trace(None)["trace_count"], "0");
        settings.set_trace(None, &object(json!({ "trace_count": null }))).expect("good");
        assert_eq!(sampled("price", 2), 2);
        let off = object(json!({ "trace_level": null }));
        settings.set_trace(None, &off).expect("good");
        settings.set_trace(Some("churn"), &off).expect("good");
        assert!(!settings.is_tracing());
    }
}
