//! The columns of an open schema (`Word2Vec`): those of the first source, which is looked at before
//! the header of the output is written.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use crate::csv::{self, End, Fields};
use crate::error::BatchError;
use crate::jsonl;
use crate::reader::RECORD_BYTES_MAX;
use crate::source::{Compression, Format, Source, unpack};

/// Names of the columns in alphabetical order, as genmodel takes a row's words: CSV's header, or
/// the keys of the first object. The source is put back as it was.
///
/// Mistakes in the record are left for the reader to tell: no names then.
pub(crate) fn columns(sources: &mut [Source], delimiter: u8) -> Result<Vec<String>, BatchError> {
    let Some(source) = sources.first_mut() else { return Ok(Vec::new()) };
    let open = std::mem::replace(&mut source.open, Box::new(|| Ok(Box::new(std::io::empty()))));
    let name = || source.name.clone();
    let packed = open().map_err(|cause| BatchError::Open { source_name: name(), cause })?;
    let mut input = unpack(source.compression, packed);
    let mut bytes = Vec::new();
    loop {
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let found = match source.format {
            Format::Csv => header(text, delimiter),
            _ => keys(text),
        };
        if let Some(found) = found
            && !found.is_empty()
        {
            put_back(source, bytes, input);
            return Ok(found.into_iter().collect());
        }
        let before = bytes.len();
        let more = (&mut input).take(64 << 10).read_to_end(&mut bytes);
        more.map_err(|cause| BatchError::Read { source_name: name(), cause })?;
        if bytes.len() == before || bytes.len() > RECORD_BYTES_MAX {
            // The last record needs no line end.
            bytes.push(b'\n');
            let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
            let found = match source.format {
                Format::Csv => header(text, delimiter),
                _ => keys(text),
            };
            bytes.pop();
            put_back(source, bytes, input);
            return Ok(found.unwrap_or_default().into_iter().collect());
        }
    }
}

fn put_back(source: &mut Source, bytes: Vec<u8>, rest: Box<dyn Read + Send>) {
    source.compression = Compression::None;
    source.file = None;
    source.open = Box::new(move || Ok(Box::new(Cursor::new(bytes).chain(rest))));
}

/// `None`: there is no whole record yet.
fn header(mut text: &[u8], delimiter: u8) -> Option<BTreeSet<String>> {
    loop {
        match csv::record_end(text, delimiter) {
            End::At { bytes, .. } if csv::is_blank(&text[..bytes]) => text = &text[bytes..],
            End::At { bytes, .. } => {
                let mut fields = Fields::new(std::str::from_utf8(&text[..bytes]).ok()?, delimiter);
                let mut names = BTreeSet::new();
                loop {
                    let field = fields.next().ok()?;
                    names.insert(field.text.into_owned());
                    if field.last {
                        return Some(names);
                    }
                }
            }
            End::Open { .. } => return None,
        }
    }
}

/// `None`: there is no whole record yet.
fn keys(text: &[u8]) -> Option<BTreeSet<String>> {
    let whole = &text[..=memchr::memrchr(b'\n', text)?];
    let mut lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let line = std::str::from_utf8(lines.find(|line| !line.is_empty())?).ok()?;
    let mut names = BTreeSet::new();
    let read = jsonl::object(line, |key, _| {
        names.insert(key.into_owned());
        Ok(())
    });
    read.ok().map(|()| names)
}
