//! One model inside an archive: its `model.ini` and its entries, below a prefix.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use crate::archive::{Archive, ArchiveError};
use crate::cursor::Damage;
use crate::error::{LoadError, Warning, sentence};
use crate::ini::{self, Ini};
use crate::limits::Limits;
use crate::model::Entry;

/// How often a model may read one entry. It takes each once or twice, but a `model.ini` can name
/// one a million times.
const READS_MAX: u32 = 4;

/// What all models of one archive share.
pub(crate) struct Source<'a> {
    archive: Archive<'a>,
    limits: Limits,
    /// Whether what only explanations need is wanted.
    explanations: bool,
    warnings: RefCell<Vec<Warning>>,
    /// Lines of text that were read.
    lines: Cell<usize>,
    /// Prefixes of the models that were opened: none is opened twice.
    opened: RefCell<HashSet<String>>,
    /// How often each entry was read.
    reads: RefCell<HashMap<String, u32>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(archive: Archive<'a>, limits: Limits, explanations: bool) -> Self {
        let (warnings, lines, opened, reads) = Default::default();
        Self { archive, limits, explanations, warnings, lines, opened, reads }
    }

    pub(crate) fn take_warnings(&self) -> Vec<Warning> {
        let warnings = self.warnings.take().into_iter();
        warnings.map(|it| Warning { message: sentence(&it.message), ..it }).collect()
    }

    /// All entries of the archive, and whether each was read so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let reads = self.reads.borrow();
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            size_bytes: self.archive.size(name).unwrap_or(0),
            needed: reads.contains_key(name),
        };
        self.archive.names().map(entry).collect()
    }
}

/// Reads one model of the archive. Sub-models live under a prefix of their own.
pub(crate) struct Reader<'r, 'a> {
    source: &'r Source<'a>,
    prefix: String,
    /// Models around this one.
    depth: usize,
    ini: Ini,
}

impl<'r, 'a> Reader<'r, 'a> {
    /// Opens the outermost model.
    pub(crate) fn open(source: &'r Source<'a>) -> Result<Self, LoadError> {
        Self::open_at(source, String::new(), 0)
    }

    /// Opens the model inside of this one whose `model.ini` lies under `folder`, as
    /// `submodel_dir_i` names it.
    pub(crate) fn submodel(&self, folder: &str) -> Result<Self, LoadError> {
        let limit = self.source.limits.submodel_depth_max;
        if self.depth >= limit {
            return Err(LoadError::Limit {
                what: "the number of models inside of each other".to_owned(),
                found: self.depth as u64 + 1,
                limit: limit as u64,
                name: "submodel_depth_max",
            });
        }
        Self::open_at(self.source, format!("{}{folder}", self.prefix), self.depth + 1)
    }

    fn open_at(source: &'r Source<'a>, prefix: String, depth: usize) -> Result<Self, LoadError> {
        let mut reader = Self { source, prefix, depth, ini: Ini::default() };
        if !reader.contains("model.ini") {
            return Err(match depth {
                0 => LoadError::NotMojo { found: describe(&source.archive) },
                _ => reader.missing_entry("model.ini", "the model around it speaks of it"),
            });
        }
        if !source.opened.borrow_mut().insert(reader.prefix.clone()) {
            return Err(reader.bad_entry("model.ini", "it is a model inside of itself".to_owned()));
        }
        reader.ini = Ini::parse(&reader.text("model.ini")?, source.limits.columns_max)?;
        Ok(reader)
    }

    pub(crate) fn ini(&self) -> &Ini {
        &self.ini
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.source.limits
    }

    /// Whether to keep what only explanations need. Models inside of others explain nothing.
    pub(crate) fn explanations(&self) -> bool {
        self.source.explanations && self.depth == 0
    }

    /// Number of inflated bytes of an entry; `None` without the entry.
    pub(crate) fn size(&self, entry: &str) -> Option<u64> {
        self.source.archive.size(&format!("{}{entry}", self.prefix))
    }

    /// Number of bytes of an entry as they lie in the file; 0 without the entry.
    pub(crate) fn stored_size(&self, entry: &str) -> u64 {
        self.source.archive.stored_size_of(&format!("{}{entry}", self.prefix))
    }

    pub(crate) fn contains(&self, entry: &str) -> bool {
        self.source.archive.contains(&format!("{}{entry}", self.prefix))
    }

    /// The model's entries that begin with `start`, in order.
    pub(crate) fn names_from(&self, start: &str) -> Vec<&str> {
        let names = self.source.archive.names_from(format!("{}{start}", self.prefix));
        names.map(|name| name.get(self.prefix.len()..).unwrap_or_default()).collect()
    }

    pub(crate) fn blob(&self, entry: &str) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        self.blob_into(entry, &mut bytes)?;
        Ok(bytes)
    }

    /// The same in place of what `bytes` holds, in its room.
    pub(crate) fn blob_into(&self, entry: &str, bytes: &mut Vec<u8>) -> Result<(), LoadError> {
        let name = format!("{}{entry}", self.prefix);
        let mut reads = self.source.reads.borrow_mut();
        let reads = reads.entry(name.clone()).or_default();
        *reads += 1;
        if *reads > READS_MAX {
            return Err(self.bad_entry(entry, format!("it is named more than {READS_MAX} times")));
        }
        self.source.archive.read_into(&name, bytes).map_err(|cause| match cause {
            ArchiveError::NotFound { .. } => LoadError::MissingEntry {
                entry: name,
                reason: "model.ini speaks of it; export the model again".to_owned(),
            },
            cause => cause.into(),
        })
    }

    /// The entry as UTF-8; what is not UTF-8 becomes U+FFFD, and a warning says so.
    pub(crate) fn text(&self, entry: &str) -> Result<String, LoadError> {
        let bytes = self.blob(entry)?;
        self.count_lines(&bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|cause| {
            self.warn(
                "not_utf8",
                format!(
                    "`{}{entry}` is not UTF-8: some names or levels are not what they were",
                    self.prefix
                ),
            );
            String::from_utf8_lossy(cause.as_bytes()).into_owned()
        }))
    }

    /// Before any line has a place of its own: a few bytes of an archive can be millions of them.
    fn count_lines(&self, text: &[u8]) -> Result<(), LoadError> {
        let lines = text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        let (lines, limit) = (self.source.lines.get() + lines, self.source.limits.lines_max);
        self.source.lines.set(lines);
        if lines <= limit {
            return Ok(());
        }
        Err(LoadError::Limit {
            what: "the number of lines of text".to_owned(),
            found: lines as u64,
            limit: limit as u64,
            name: "lines_max",
        })
    }

    /// Exactly `count` lines.
    ///
    /// `escaped`: backslash escapes of line ends are undone (`escape_domain_values`).
    pub(crate) fn lines(
        &self,
        entry: &str,
        count: usize,
        escaped: bool,
    ) -> Result<Vec<String>, LoadError> {
        let text = self.text(entry)?;
        let found = ini::lines(&text).count();
        if found != count {
            let reason = format!("{found} lines, expected {count} as model.ini says");
            return Err(self.bad_entry(entry, reason));
        }
        let plain = |line: &str| if escaped { unescape(line) } else { line.to_owned() };
        Ok(ini::lines(&text).map(plain).collect())
    }

    pub(crate) fn bad_entry(&self, entry: &str, reason: String) -> LoadError {
        LoadError::BadEntry { entry: format!("{}{entry}", self.prefix), reason }
    }

    pub(crate) fn damaged(&self, entry: &str, damage: &Damage) -> LoadError {
        self.bad_entry(entry, format!("damaged at byte {}: {}", damage.at, damage.reason))
    }

    pub(crate) fn missing_entry(&self, entry: &str, reason: &str) -> LoadError {
        LoadError::MissingEntry {
            entry: format!("{}{entry}", self.prefix),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn warn(&self, kind: &'static str, message: String) {
        self.source.warnings.borrow_mut().push(Warning { kind, message });
    }
}

/// What a zip without `model.ini` looks like.
fn describe(archive: &Archive<'_>) -> String {
    let has = |name: &str| archive.contains(name);
    let any = |test: fn(&str) -> bool| archive.names().any(test);
    if has("META-INF/MANIFEST.MF") {
        "it is a Java archive".to_owned()
    } else if any(|name| name.ends_with("/model.ini")) {
        "model.ini lies in a folder: zip the folder's content, not the folder".to_owned()
    } else if any(|name| name.starts_with("mojo/")) {
        "it is a MOJO 2 pipeline of Driverless AI, which needs H2O's own runtime".to_owned()
    } else if any(|name| name.ends_with("data.pkl")) {
        "it is a PyTorch file".to_owned()
    } else {
        match archive.names().next() {
            Some(first) => format!("its first entry is `{}`", ini::shorten(first)),
            None => "it is empty".to_owned(),
        }
    }
}

/// Undoes `\\`, `\n`, `\r`. Source: `StringEscapeUtils.unescapeNewlines`.
fn unescape(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_line_ends() {
        for (escaped, plain) in
            [(r"a\nb", "a\nb"), (r"a\\nb", r"a\nb"), (r"\r", "\r"), (r"x\", "x"), (r"\q", "q")]
        {
            assert_eq!(unescape(escaped), plain);
        }
    }
}
