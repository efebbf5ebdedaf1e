//! The keys of `[cache]`.

use std::time::Duration;

use stemson_server::CacheBackend;
use toml::Value;

use super::{COUNT, Key};

/// A key with a duration, from and to whole units.
macro_rules! duration {
    ($name:literal, $field:ident, $from:ident, $to:ident) => {
        Key {
            section: "cache",
            name: $name,
            expected: COUNT,
            set: |config, value, _| {
                config.cache.$field = Duration::$from(value.as_integer()?.try_into().ok()?);
                Some(())
            },
            show: |config| Value::Integer(config.cache.$field.$to() as i64),
        }
    };
}

/// A key with a whole number, in units of `1 << shift`.
macro_rules! count {
    ($name:literal, $field:ident, $shift:literal) => {
        Key {
            section: "cache",
            name: $name,
            expected: COUNT,
            set: |config, value, _| {
                let count = u64::try_from(value.as_integer()?).ok()?;
                config.cache.$field = count.checked_mul(1 << $shift)?.try_into().ok()?;
                Some(())
            },
            show: |config| Value::Integer((config.cache.$field >> $shift) as i64),
        }
    };
}

/// A key with a file for TLS to Redis; empty is none.
macro_rules! file {
    ($name:literal, $field:ident) => {
        Key {
            section: "cache",
            name: $name,
            expected: "a file",
            set: |config, value, base| {
                let text = value.as_str()?;
                config.cache.redis_tls.$field = (!text.is_empty()).then(|| base.join(text));
                Some(())
            },
            show: |config| {
                let path = config.cache.redis_tls.$field.as_ref();
                Value::String(path.map_or_else(String::new, |path| path.display().to_string()))
            },
        }
    };
}

pub(super) const BACKEND: Key = Key {
    section: "cache",
    name: "backend",
    expected: "\"none\", \"memory\" or \"redis://[user:password@]host:port/database\", over TLS \"rediss://\"",
    set: |config, value, _| {
        config.cache.backend = CacheBackend::parse(value.as_str()?)?;
        Some(())
    },
    show: |config| Value::String(config.cache.backend.to_string()),
};

/// The word for what is measured.
const AUTO: &str = "auto";

pub(super) const REDIS_MIN_COST: Key = Key {
    section: "cache",
    name: "redis_min_cost_us",
    expected: "\"auto\" or a whole number",
    set: |config, value, _| {
        config.cache.redis_min_cost = match value.as_str() {
            Some(AUTO) => None,
            // From the environment all is text.
            Some(text) => Some(Duration::from_micros(text.trim().parse().ok()?)),
            None => Some(Duration::from_micros(value.as_integer()?.try_into().ok()?)),
        };
        Some(())
    },
    show: |config| match config.cache.redis_min_cost {
        None => Value::String(AUTO.to_owned()),
        Some(cost) => Value::Integer(cost.as_micros() as i64),
    },
};

pub(super) const MAX_MIB: Key = count!("max_mib", bytes_max, 20);
pub(super) const MIN_SIZE: Key = count!("min_size", min_size, 0);
pub(super) const MAX_SIZE: Key = count!("max_size", max_size, 0);
pub(super) const TTL: Key = duration!("ttl_seconds", ttl, from_secs, as_secs);
pub(super) const MIN_COST: Key = duration!("min_cost_us", min_cost, from_micros, as_micros);
pub(super) const BUDGET: Key = duration!("budget_ms", budget, from_millis, as_millis);
pub(super) const CHECK: Key = duration!("check_seconds", check_every, from_secs, as_secs);
pub(super) const REDIS_CA: Key = file!("redis_ca", ca);
pub(super) const REDIS_CERTIFICATE: Key = file!("redis_certificate", certificate);
pub(super) const REDIS_KEY: Key = file!("redis_key", key);
