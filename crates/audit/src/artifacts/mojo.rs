//! MOJOs: the one kind of model that may ship, if it is whole and holds nothing else.

use std::collections::HashSet;

use stemson_mojo::{Entry, Limits, LoadError, LoadOptions, Model};

/// What an entry of a MOJO is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The model was loaded from it.
    Needed,
    /// H2O writes it; scoring does without.
    Known,
    /// H2O writes no such entry.
    Foreign,
}

impl Use {
    /// `needed`, `known` or `foreign`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Known => "known",
            Self::Foreign => "foreign",
        }
    }
}

/// Entries that H2O writes and no answer depends on, by their names inside a model's folder.
const NOTES: &[&str] = &[
    "experimental/README.md",
    "experimental/modelDetails.json",
    "feature_map",
    "_names_no_centering",
    "beta_multinomial",
    "gamColMeansRaw",
    "gamColNames",
    "gamColNamesCenter",
    "gamColStdRaw",
    "gam_columns",
    "interaction_column_names",
];

/// What each entry is for, in the order of `entries`.
pub fn uses(entries: &[Entry]) -> Vec<Use> {
    let needed: HashSet<&str> =
        entries.iter().filter(|entry| entry.needed).map(|entry| entry.name.as_str()).collect();
    let folders: HashSet<&str> =
        needed.iter().filter_map(|name| name.strip_suffix("model.ini")).collect();
    let known = |name: &str| {
        let tree = name.strip_suffix("_aux.bin").map(|stem| format!("{stem}.bin"));
        let is_folder = name.ends_with('/') && needed.iter().any(|it| it.starts_with(name));
        is_folder
            || tree.is_some_and(|tree| needed.contains(tree.as_str()))
            || NOTES
                .iter()
                .any(|note| name.strip_suffix(note).is_some_and(|it| folders.contains(it)))
    };
    let of = |entry: &Entry| match entry.needed {
        true => Use::Needed,
        false if known(&entry.name) => Use::Known,
        false => Use::Foreign,
    };
    entries.iter().map(of).collect()
}

/// Whether the names of an archive's members are those of a MOJO, be it a damaged one.
pub(super) fn is_candidate<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| {
        let last = name.rsplit('/').next().unwrap_or(name);
        name == "model.ini"
            || (name.starts_with("domains/d") && is_numbered(last, "d", ".txt"))
            || (name.starts_with("trees/t") && is_numbered(last, "t", ".bin"))
            || name == "experimental/modelDetails.json"
            || name == "boosterBytes"
    })
}

fn is_numbered(name: &str, start: &str, end: &str) -> bool {
    let middle = name.strip_prefix(start).and_then(|name| name.strip_suffix(end));
    middle.is_some_and(|middle| {
        !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    })
}

/// What is wrong with a MOJO; `Ok` if it may ship.
pub(super) fn judge(bytes: &[u8], bytes_max: usize) -> Result<(), Fault> {
    let bytes_max = bytes_max as u64;
    let defaults = Limits::default();
    let limits = Limits { entry_bytes_max: bytes_max, total_bytes_max: bytes_max, ..defaults };
    // A model that genmodel answers wrongly is a MOJO nevertheless.
    let options = LoadOptions { limits, genmodel_quirks: true, explanations: true };
    let (model, entries) = Model::load_with_entries(bytes, &options).map_err(Fault::Load)?;
    let uses = uses(&entries).into_iter().zip(&entries);
    let foreign: Vec<&str> = uses
        .filter_map(|(it, entry)| (it == Use::Foreign).then_some(entry.name.as_str()))
        .collect();
    if let Some(first) = foreign.first() {
        let more = match foreign.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        return Err(Fault::Other(format!("it holds `{first}`{more}, which no MOJO has")));
    }
    let damage = ["bytes_after_tree", "bad_aux", "bad_details"];
    match model.warnings().iter().find(|warning| damage.contains(&warning.kind)) {
        Some(warning) => Err(Fault::Other(warning.message.clone())),
        None => Ok(()),
    }
}

/// Why a MOJO may not ship.
pub(super) enum Fault {
    Load(LoadError),
    Other(String),
}
