//! `model.ini`: what the model says about itself, as text, and the typed reading of it.
//!
//! genmodel guesses the type of each value from its text (`ParseUtils.tryParse`) and then casts;
//! here the reader of a key says which type it wants. Every value that genmodel reads is read the
//! same. Sources: `ModelMojoReader.parseModelInfo`, `hex.genmodel.utils.ParseUtils`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

use std::collections::HashMap;

use crate::error::LoadError;
use crate::java::parse_double;

/// A domain that the section `[domains]` announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DomainEntry {
    pub(crate) column: usize,
    pub(crate) levels: usize,
    pub(crate) file: String,
}

/// The three sections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ini {
    info: HashMap<String, String>,
    pub(crate) columns: Vec<String>,
    pub(crate) domains: Vec<DomainEntry>,
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Before,
    Info,
    Columns,
    Domains,
}

impl Ini {
    /// `columns_max`: see [`crate::Limits`].
    pub(crate) fn parse(text: &str, columns_max: usize) -> Result<Self, LoadError> {
        let mut ini = Self::default();
        let mut section = Section::Before;
        let mut column_lines = Vec::new();
        for (number, line) in lines(text).enumerate() {
            let line = java_trim(line);
            let bad = |reason: &str| LoadError::BadEntry {
                entry: "model.ini".to_owned(),
                reason: format!(
                    "line {}: {reason}, found `{}`",
                    number.saturating_add(1),
                    shorten(line)
                ),
            };
            match (line, section) {
                ("[info]", _) => section = Section::Info,
                ("[columns]", _) => section = Section::Columns,
                ("[domains]", _) => section = Section::Domains,
                (_, Section::Columns) if !line.is_empty() => {
                    column_lines.push(line);
                    within("the number of columns", column_lines.len(), columns_max)?;
                }
                (_, _) if line.is_empty() || line.starts_with('#') => {}
                (_, Section::Info) => {
                    let (key, value) =
                        line.split_once('=').ok_or_else(|| bad("expected `key = value`"))?;
                    ini.info.insert(java_trim(key).to_owned(), java_trim(value).to_owned());
                }
                (_, Section::Domains) => {
                    let entry =
                        parse_domain(line).ok_or_else(|| bad("expected `column: levels file`"))?;
                    ini.domains.push(entry);
                    within("the number of domains", ini.domains.len(), columns_max)?;
                }
                (_, Section::Before | Section::Columns) => {}
            }
        }
        ini.columns = ini.keep_columns(&column_lines)?;
        Ok(ini)
    }

    /// genmodel takes a column called `#x` for a comment; here it stays if `n_columns` counts it.
    fn keep_columns(&self, lines: &[&str]) -> Result<Vec<String>, LoadError> {
        let declared = self.usize("n_columns")?;
        let plain: Vec<&str> = lines.iter().copied().filter(|l| !l.starts_with('#')).collect();
        let kept = if plain.len() == declared { &plain } else { lines };
        if kept.len() != declared {
            return Err(LoadError::BadValue {
                key: "n_columns".to_owned(),
                found: declared.to_string(),
                expected: format!("{}, the number of names under [columns]", lines.len()),
            });
        }
        Ok(kept.iter().map(|&line| line.to_owned()).collect())
    }

    /// The text of a value; `None` where the key is missing or says `null`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str).filter(|&value| value != "null")
    }

    pub(crate) fn required_text(&self, key: &str) -> Result<&str, LoadError> {
        self.text(key).ok_or_else(|| LoadError::MissingKey { key: key.to_owned() })
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(LoadError::BadValue {
                key: key.to_owned(),
                found: shorten(text),
                expected: expected.to_owned(),
            }),
        }
    }

    fn required<T>(key: &str, value: Option<T>) -> Result<T, LoadError> {
        value.ok_or_else(|| LoadError::MissingKey { key: key.to_owned() })
    }

    pub(crate) fn bool_or(&self, key: &str, default: bool) -> Result<bool, LoadError> {
        let parse = |text: &str| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Ok(self.parsed(key, "`true` or `false`", parse)?.unwrap_or(default))
    }

    pub(crate) fn optional_usize(&self, key: &str) -> Result<Option<usize>, LoadError> {
        self.parsed(key, "a whole number from 0 to 2147483647", |text| {
            parse_i32(text).and_then(|value| usize::try_from(value).ok())
        })
    }

    pub(crate) fn usize(&self, key: &str) -> Result<usize, LoadError> {
        Self::required(key, self.optional_usize(key)?)
    }

    pub(crate) fn optional_f64(&self, key: &str) -> Result<Option<f64>, LoadError> {
        self.parsed(key, "a number", parse_double)
    }

    pub(crate) fn f64(&self, key: &str) -> Result<f64, LoadError> {
        Self::required(key, self.optional_f64(key)?)
    }

    pub(crate) fn optional_doubles(&self, key: &str) -> Result<Option<Vec<f64>>, LoadError> {
        self.parsed(key, "numbers like `[1.0, 2.0]`", |text| parse_array(text, parse_double))
    }

    pub(crate) fn doubles(&self, key: &str) -> Result<Vec<f64>, LoadError> {
        Self::required(key, self.optional_doubles(key)?)
    }

    pub(crate) fn optional_ints(&self, key: &str) -> Result<Option<Vec<i32>>, LoadError> {
        self.parsed(key, "whole numbers like `[1, 2]`", |text| parse_array(text, parse_i32))
    }

    pub(crate) fn ints(&self, key: &str) -> Result<Vec<i32>, LoadError> {
        Self::required(key, self.optional_ints(key)?)
    }
}

fn within(what: &str, found: usize, columns_max: usize) -> Result<(), LoadError> {
    if found <= columns_max {
        return Ok(());
    }
    let (what, found, limit) = (what.to_owned(), found as u64, columns_max as u64);
    Err(LoadError::Limit { what, found, limit, name: "columns_max" })
}

/// Java's `BufferedReader.readLine`: a line ends with LF, CR or CRLF; no line after the last end.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let Some((line, tail)) = text.split_once(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let ended_by_cr = text.as_bytes().get(line.len()) == Some(&b'\r');
        let tail = if ended_by_cr { tail.strip_prefix('\n').unwrap_or(tail) } else { tail };
        rest = Some(tail).filter(|tail| !tail.is_empty());
        Some(line)
    })
}

/// Java's `String.trim`: everything up to U+0020 goes, other white space stays.
pub(crate) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Java's `Integer.parseInt`, decimal: an optional sign, ASCII digits.
pub(crate) fn parse_i32(text: &str) -> Option<i32> {
    text.parse().ok()
}

fn parse_domain(line: &str) -> Option<DomainEntry> {
    let (column, rest) = line.split_once(':')?;
    let (levels, file) = java_trim(rest).split_once(' ')?;
    Some(DomainEntry {
        column: column.parse().ok()?,
        levels: levels.parse().ok()?,
        file: file.to_owned(),
    })
}

fn parse_array<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    if java_trim(inner).is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(|part| parse(java_trim(part))).collect()
}

/// At most 60 characters of a value, for messages.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Ini, LoadError> {
        Ini::parse(text, 3)
    }

    #[test]
    fn reads_the_three_sections() {
        let ini = parse(
            "[info]\nalgo = gbm\na=b = c\nnone = null\nxs = [1, 2.5]\nks = [1,2]\nempty = []\n\
             flag = true\nn_columns = 2\n\n# note\n[columns]\nx 1\r\ny\n[domains]\n1: 2 d000.txt\n",
        )
        .unwrap();
        assert_eq!(ini.text("algo"), Some("gbm"));
        assert_eq!(ini.text("a"), Some("b = c"));
        assert_eq!(ini.text("none"), None);
        assert_eq!(ini.doubles("xs").unwrap(), [1.0, 2.5]);
        assert_eq!(ini.ints("ks").unwrap(), [1, 2]);
        assert_eq!(ini.ints("empty").unwrap(), [0; 0]);
        assert!(ini.bool_or("flag", false).unwrap());
        assert_eq!(ini.columns, ["x 1", "y"]);
        let entry = DomainEntry { column: 1, levels: 2, file: "d000.txt".to_owned() };
        assert_eq!(ini.domains, [entry]);
    }

    #[test]
    fn keeps_a_column_that_looks_like_a_comment_if_the_count_says_so() {
        let columns = |n: usize| {
            parse(&format!("[info]\nn_columns = {n}\n[columns]\n#x\ny\n")).map(|i| i.columns)
        };
        assert_eq!(columns(2).unwrap(), ["#x", "y"]);
        assert_eq!(columns(1).unwrap(), ["y"]);
        assert_eq!(columns(3).unwrap_err().kind(), "bad_value");
    }

    #[test]
    fn names_what_cannot_be_read() {
        let ini = parse("[info]\nn_columns = 0\nn = x\nm = -1\nxs = [1, z]\n").unwrap();
        assert_eq!(ini.usize("n").unwrap_err().kind(), "bad_value");
        assert_eq!(ini.usize("m").unwrap_err().kind(), "bad_value");
        assert_eq!(ini.doubles("xs").unwrap_err().kind(), "bad_value");
        assert_eq!(ini.f64("gone").unwrap_err().to_string(), "model.ini: `gone` is missing");
        assert_eq!(parse("[info]\nnothing\n").unwrap_err().kind(), "bad_entry");
    }

    #[test]
    fn splits_lines_as_java_does() {
        let split = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(split("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(split("a\n\n"), ["a", ""]);
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split("\n"), [""]);
    }
}
