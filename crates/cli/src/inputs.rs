//! From `--input` to sources: names, patterns, standard input.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use stemson_batch::{Compression, Format, Source};

use crate::failure::Failure;

/// The sources that the words of `--input` mean, in order.
pub(crate) fn resolve(words: &[String], format: Option<Format>) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for word in words {
        if word == "-" {
            sources.push(standard_input(format));
        } else if is_pattern(word) && !Path::new(word).exists() {
            for name in matches(word)? {
                sources.push(file(name, format)?);
            }
        } else {
            sources.push(file(word.clone(), format)?);
        }
    }
    if words.iter().filter(|word| *word == "-").count() > 1 {
        return Err(Failure::input("`--input -` stands twice, standard input is read once"));
    }
    Ok(sources)
}

fn standard_input(format: Option<Format>) -> Source {
    Source {
        name: "standard input".to_owned(),
        format: format.unwrap_or(Format::Csv),
        compression: Compression::None,
        open: Box::new(|| Ok(Box::new(io::stdin()))),
        file: None,
    }
}

fn file(name: String, format: Option<Format>) -> Result<Source, Failure> {
    // What can be known now is said before anything is written.
    let found = fs::metadata(&name)
        .map_err(|cause| Failure::input(format!("cannot open {name}")).because(&cause))?;
    if found.is_dir() {
        let all = format!("{}/*.csv", name.trim_end_matches('/'));
        return Err(Failure::input(format!("{name} is a folder, expected a file"))
            .hint(format!("for all of its files: `--input '{all}'`")));
    }
    let (compression, stem) = Compression::of_name(&name);
    let Some(format) = format.or_else(|| Format::of_name(stem)) else {
        return Err(Failure::input(format!(
            "{name}: the name does not tell the format, expected .csv, .jsonl, .ndjson, \
             .parquet, .arrow or .feather, and .gz or .zst behind it"
        ))
        .hint("say it with `--input-format csv`, `jsonl`, `parquet` or `arrow`"));
    };
    let path = name.clone();
    let open =
        Box::new(move || File::open(path).map(|file| Box::new(file) as Box<dyn io::Read + Send>));
    let path = name.clone();
    let file = Some(Box::new(move || File::open(path)) as Box<_>);
    Ok(Source { name, format, compression, open, file })
}

fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// The files that a pattern means, by name: `*` and `?` in the last part of the path.
fn matches(pattern: &str) -> Result<Vec<String>, Failure> {
    let (folder, last) = match pattern.rsplit_once('/') {
        Some((folder, last)) => (Some(folder), last),
        None => (None, pattern),
    };
    if folder.is_some_and(is_pattern) {
        return Err(Failure::input(format!(
            "{pattern}: `*` and `?` stand for names of files, not of folders"
        ))
        .hint("let the shell expand it: leave out the quotes"));
    }
    let place = match folder {
        Some("") => "/",
        Some(folder) => folder,
        None => ".",
    };
    let listed = fs::read_dir(place)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|cause| Failure::input(format!("cannot list {place}")).because(&cause))?;
    let mut names = Vec::new();
    for name in listed.iter().map(fs::DirEntry::file_name) {
        let bytes = name.as_encoded_bytes();
        if !fits(last.as_bytes(), bytes) || (bytes.starts_with(b".") && !last.starts_with('.')) {
            continue;
        }
        let name = name.into_string().map_err(|name| {
            Failure::input(format!("{pattern}: the name {} is not UTF-8", name.display()))
                .hint("rename the file")
        })?;
        names.push(folder.map_or_else(|| name.clone(), |folder| format!("{folder}/{name}")));
    }
    if names.is_empty() {
        return Err(Failure::input(format!("{pattern}: no file has such a name")));
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a name fits a pattern: `*` is any run of characters, `?` any one byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when the text after the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("part-?.csv", "part-1.csv", true),
            ("part-?.csv", "part-10.csv", false),
            ("**", "", true),
            ("?", "", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
