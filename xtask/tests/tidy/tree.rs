//! The files of the checkout, without what is built or ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What holds nothing of ours; in a second checkout of one clone `.git` is a file.
const SKIPPED: &[&str] = &[".git", "target", "stemson-data", "node_modules"];

/// What the fuzzer finds and leaves.
const FUZZED: &[&str] = &["fuzz/artifacts", "fuzz/corpus", "fuzz/coverage"];

pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Where it is UTF-8 and no data.
    text: Option<String>,
}

pub(crate) struct Tree {
    files: BTreeMap<String, File>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout")
}

/// Models, rows and answers, which are as their makers wrote them.
fn is_data(path: &str) -> bool {
    let apart = path.starts_with("tests/corpora/") || path.starts_with("benches/models/");
    apart && Path::new(path).extension().is_none_or(|extension| extension != "md")
}

impl Tree {
    pub(crate) fn read() -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).expect("a folder of the checkout") {
                let entry = entry.expect("an entry of the checkout");
                let name = entry.file_name().into_string().expect("file names are UTF-8");
                let path =
                    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                if SKIPPED.contains(&name.as_str()) || FUZZED.contains(&path.as_str()) {
                    continue;
                }
                let meta = entry.metadata().expect("a file of the checkout");
                if meta.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text =
                    if is_data(&path) { None } else { fs::read_to_string(root().join(&path)).ok() };
                files.insert(path.clone(), File { path, bytes: meta.len(), text });
            }
        }
        Self { files }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// Path and text of all files with this extension (`""`: any), without data.
    pub(crate) fn texts(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files.values().filter_map(move |file| {
            let fits = extension.is_empty()
                || file.path.rsplit_once('.').is_some_and(|(_, it)| it == extension);
            file.text.as_deref().filter(|_| fits).map(|text| (file.path.as_str(), text))
        })
    }

    /// Whether a path from the root is a file or a folder here.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self
                .files
                .range(folder.clone()..)
                .next()
                .is_some_and(|(it, _)| it.starts_with(&folder))
    }
}
