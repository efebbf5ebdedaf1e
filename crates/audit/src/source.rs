//! Text of a repository: which files are read, and where a byte of one stands.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use ignore::WalkBuilder;

use crate::finding::Remark;

/// Bytes of the largest text that is read; code is smaller.
pub const SOURCE_BYTES_MAX: u64 = 2 << 20;

/// Folders that hold other people's code, or what was built.
const OTHERS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "env",
    ".env",
    "node_modules",
    "site-packages",
    "__pycache__",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".eggs",
    "__pypackages__",
    ".ipynb_checkpoints",
    "target",
];

/// What a text is written in, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `.py`.
    Python,
    /// `.sql`.
    Sql,
    /// `.yaml`, `.yml`; also inside charts, where it may be a template.
    Yaml,
    /// `.tpl` and `NOTES.txt` of charts.
    Template,
    /// `Dockerfile`, `*.dockerfile`, `Containerfile`.
    Dockerfile,
    /// `.dockerignore`: what stays out of an image's context.
    DockerIgnore,
    /// `requirements*.txt`, `constraints*.txt`.
    Requirements,
    /// `.toml`: `pyproject.toml` and the like.
    Toml,
    /// Lock files: `poetry.lock`, `uv.lock`, `Pipfile.lock`.
    Lock,
    /// `.sh`, `.bash`.
    Shell,
    /// `.env` files.
    Environment,
}

impl Kind {
    /// By a file's name; nothing for what no rule reads.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        Some(match extension {
            "py" => Self::Python,
            "sql" => Self::Sql,
            "yaml" | "yml" => Self::Yaml,
            "tpl" => Self::Template,
            "dockerfile" => Self::Dockerfile,
            "dockerignore" => Self::DockerIgnore,
            "toml" => Self::Toml,
            "sh" | "bash" => Self::Shell,
            "env" => Self::Environment,
            "lock" if ["poetry.lock", "uv.lock", "pdm.lock", "pipfile.lock"].contains(&&*name) => {
                Self::Lock
            }
            "txt" | "in" if name.contains("requirements") || name.contains("constraints") => {
                Self::Requirements
            }
            _ if ["dockerfile", "containerfile"].iter().any(|it| name.starts_with(it)) => {
                Self::Dockerfile
            }
            _ if name.starts_with(".env") => Self::Environment,
            _ => return None,
        })
    }
}

/// A stretch of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Span {
    /// From one byte to another.
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end) }
    }
}

/// One text.
#[derive(Debug)]
pub struct Source {
    /// As it is shown: below the folder that the caller named.
    pub path: String,
    /// What it is written in.
    pub kind: Kind,
    /// All of it.
    pub text: String,
    /// First byte of each line.
    starts: Vec<u32>,
}

impl Source {
    /// A text that was read.
    pub fn new(path: String, kind: Kind, text: String) -> Self {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as u32 + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        Self { path, kind, text, starts }
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    pub fn place(&self, at: u32) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0) as usize;
        let column = self.text.get(start..at as usize).map_or(0, |head| head.chars().count());
        (line as u32, column as u32 + 1)
    }

    /// Line of a byte, counted from 1.
    pub fn line_of(&self, at: u32) -> u32 {
        self.starts.partition_point(|start| *start <= at).max(1) as u32
    }

    /// Text of a line, counted from 1, without its end.
    pub fn line(&self, line: u32) -> &str {
        let at = |index: u32| self.starts.get(index as usize).map(|start| *start as usize);
        let Some(start) = line.checked_sub(1).and_then(at) else { return "" };
        let end = at(line).unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// First byte of a line, counted from 1.
    pub fn line_start(&self, line: u32) -> u32 {
        let index = line.saturating_sub(1) as usize;
        self.starts.get(index).copied().unwrap_or(self.text.len() as u32)
    }

    /// Lines of it.
    pub fn lines(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Text of a stretch.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Reads all texts at and below `paths` that rules know, but those that `.gitignore` names and
/// other people's code. A text that cannot be read is a remark. `threads` at least 1.
pub(crate) fn read(paths: &[PathBuf], threads: usize) -> (Vec<Source>, Vec<Remark>) {
    let names = list(paths);
    let next = AtomicUsize::new(0);
    let read = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, names.len().max(1)) {
            scope.spawn(|| {
                let (mut sources, mut remarks) = (Vec::new(), Vec::new());
                while let Some((path, kind)) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match text(path) {
                        Ok(Some(text)) => sources.push(Source::new(shown(path), *kind, text)),
                        Ok(None) => {}
                        Err(message) => {
                            remarks.push(Remark { path: shown(path), line: 0, message });
                        }
                    }
                }
                let mut all = read.lock().unwrap_or_else(PoisonError::into_inner);
                all.0.append(&mut sources);
                all.1.append(&mut remarks);
            });
        }
    });
    let (mut sources, remarks) = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    (sources, remarks)
}

/// How a path is shown: without `./`, with `/` between folders.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}

fn list(paths: &[PathBuf]) -> Vec<(PathBuf, Kind)> {
    let Some((first, others)) = paths.split_first() else { return Vec::new() };
    let mut walk = WalkBuilder::new(first);
    for path in others {
        walk.add(path);
    }
    walk.hidden(false).require_git(false).follow_links(false);
    walk.filter_entry(|entry| {
        entry.depth() == 0
            || !entry.file_type().is_some_and(|kind| kind.is_dir())
            || !entry.file_name().to_str().is_some_and(|name| OTHERS.contains(&name))
    });
    // What cannot be walked is a finding of the artifact policy.
    let entries = walk.build().filter_map(Result::ok);
    let files = entries.filter(|entry| {
        entry.file_type().is_some_and(|kind| kind.is_file())
            || (entry.depth() == 0 && entry.path().is_file())
    });
    files.filter_map(|entry| Some((entry.path().to_owned(), Kind::of(entry.path())?))).collect()
}

/// Nothing where the file is no text.
fn text(path: &Path) -> Result<Option<String>, String> {
    let file = fs::File::open(path).map_err(|cause| format!("cannot be read: {cause}"))?;
    let mut bytes = Vec::new();
    let read = file.take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|cause| format!("cannot be read: {cause}"))?;
    if bytes.len() as u64 > SOURCE_BYTES_MAX {
        return Err(format!("not looked into: more than {} MiB of text", SOURCE_BYTES_MAX >> 20));
    }
    if bytes.contains(&0) {
        return Ok(None);
    }
    // One wrong byte in a comment must not hide the rest: it becomes a replacement character.
    Ok(Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|cause| String::from_utf8_lossy(cause.as_bytes()).into_owned()),
    ))
}
