//! The keys of `[admin]`.

use stemson_server::Origin;
use toml::Value;

use super::Key;

pub(super) const ARTIFACT_ROOTS: Key = Key {
    section: "admin",
    name: "artifact_roots",
    expected: "a list of folders",
    set: |config, value, base| {
        let folders = value.as_array()?.iter().map(|folder| Some(base.join(folder.as_str()?)));
        config.artifact_roots = folders.collect::<Option<_>>()?;
        Some(())
    },
    show: |config| {
        let folders = config.artifact_roots.iter();
        Value::Array(folders.map(|f| Value::String(f.display().to_string())).collect())
    },
};

pub(super) const ALLOWED_HOSTS: Key = Key {
    section: "admin",
    name: "allowed_hosts",
    expected: "a list of \"HOST\", \"HOST:PORT\" (https) or \"http://HOST:PORT\"",
    set: |config, value, _| {
        let hosts = value.as_array()?.iter().map(|host| host.as_str()?.parse::<Origin>().ok());
        config.downloads.hosts = hosts.collect::<Option<_>>()?;
        Some(())
    },
    show: |config| {
        let hosts = config.downloads.hosts.iter();
        Value::Array(hosts.map(|host| Value::String(host.to_string())).collect())
    },
};

pub(super) const ALLOW_PRIVATE_ADDRESSES: Key = Key {
    section: "admin",
    name: "allow_private_addresses",
    expected: "true or false",
    set: |config, value, _| {
        config.downloads.allow_private_addresses = match value {
            Value::Boolean(is_on) => *is_on,
            // The environment knows texts only.
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        Some(())
    },
    show: |config| Value::Boolean(config.downloads.allow_private_addresses),
};

pub(super) const HOSTS_CA: Key = Key {
    section: "admin",
    name: "hosts_ca",
    expected: "a file",
    set: |config, value, base| {
        let text = value.as_str()?;
        config.downloads.tls.ca = (!text.is_empty()).then(|| base.join(text));
        Some(())
    },
    show: |config| {
        let path = config.downloads.tls.ca.as_ref();
        Value::String(path.map_or_else(String::new, |path| path.display().to_string()))
    },
};
