//! The configuration, read again while the server runs: what has changed, and what of it takes effect.

use stemson_server::Wanted;

use crate::serve::{self, Arguments};
use crate::settings::Settings;

/// Keys whose change takes effect at once. The others wait for a restart.
const LIVE: &[(&str, &[&str])] = &[
    ("server", &["slo_ms", "keep_revisions"]),
    (
        "limits",
        &[
            "body_mib",
            "artifact_mib",
            "rows",
            "cells",
            "depth",
            "head_seconds",
            "body_bytes_per_second",
        ],
    ),
    ("admin", &["artifact_roots", "allowed_hosts", "allow_private_addresses", "hosts_ca"]),
    ("log", &["level", "access_ratio"]),
    ("canary", &["min_requests", "max_error_increase", "max_latency_ratio", "max_psi"]),
];

fn is_live(section: &str, name: &str) -> bool {
    LIVE.iter().any(|(live, names)| *live == section && names.contains(&name))
}

/// Reads flags, environment and file again, each time it is called, as at the start. `started`: what
/// they said then. The flag that it is called with: whether what it gave the last time was taken.
pub(crate) fn source(
    arguments: Arguments,
    started: Settings,
) -> impl FnMut(bool) -> Result<Wanted, String> + Send {
    let (mut applied, mut last) = (started.clone(), None::<Settings>);
    move |was_taken| {
        if let Some(taken) = last.take().filter(|_| was_taken) {
            applied = taken;
        }
        let settings = serve::settings(&arguments).map_err(|failure| failure.line())?;
        let models = serve::artifacts(&settings.models).map_err(|failure| failure.line())?;
        let wanted = Wanted { models, ..compare(&started, &applied, &settings) };
        last = Some(settings);
        Ok(wanted)
    }
}

/// What is new in `settings`, but for files of models.
fn compare(started: &Settings, applied: &Settings, settings: &Settings) -> Wanted {
    let shown = |(section, name): (&str, &str)| match section {
        "" => name.to_owned(),
        section => format!("[{section}] {name}"),
    };
    let changed = settings.differences(applied).filter(|(section, name)| is_live(section, name));
    let waiting = settings.differences(started).filter(|(section, name)| !is_live(section, name));
    let mut needs_restart: Vec<String> = waiting.map(shown).collect();
    if settings.server.cache.except != started.server.cache.except {
        needs_restart.push("[[model]] cache".to_owned());
    }
    if settings.server.models != started.server.models {
        needs_restart.push("[[model]] slo_ms, weight, oip_layout, oip_datatype".to_owned());
    }
    let is_gone = |name: &&String| settings.models.iter().all(|model| model.name != **name);
    let names = applied.models.iter().map(|model| &model.name);
    Wanted {
        config: settings.server.clone(),
        models: Vec::new(),
        removed: names.filter(is_gone).cloned().collect(),
        changed: changed.map(shown).collect(),
        needs_restart,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stemson.toml");
        std::fs::write(&file, text).unwrap();
        Settings::resolve(Some(Path::new(&file)), []).unwrap()
    }

    #[test]
    fn what_changes_at_once_and_what_waits_is_told_apart() {
        let model = |name: &str| format!("[[model]]\nname = \"{name}\"\npath = \"/x.zip\"\n");
        let started = settings(&format!("[limits]\nrows = 5\n{}{}", model("a"), model("b")));
        let first = settings(&format!("[limits]\nrows = 6\n{}", model("b")));
        let wanted = compare(&started, &started, &first);
        assert_eq!(
            (&*wanted.changed, &*wanted.removed),
            (&["[limits] rows".to_owned()][..], &["a".to_owned()][..])
        );
        assert!(wanted.needs_restart.is_empty());
        assert_eq!(wanted.config.limits.rows_max, 6);
        let text = "data_dir = \"/d\"\n[server]\nhttp = \"127.0.0.1:1\"\n[limits]\nrows = 6\n";
        let second = settings(&format!("{text}{}cache = false\n", model("b")));
        let wanted = compare(&started, &first, &second);
        assert!(wanted.changed.is_empty() && wanted.removed.is_empty());
        assert_eq!(wanted.needs_restart, ["data_dir", "[server] http", "[[model]] cache"]);
        // Nothing new since the last time; what waits still waits.
        assert_eq!(compare(&started, &second, &second).needs_restart.len(), 3);
    }

    #[test]
    fn every_live_key_is_one() {
        for (section, names) in LIVE {
            for name in *names {
                assert!(Settings::has_key(section, name), "[{section}] {name}");
            }
        }
    }
}
