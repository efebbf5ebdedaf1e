//! Delimited text after RFC 4180: where records end, and what their fields are.
//!
//! Lines end with LF or CRLF, and a carriage return outside of quotes is never part of a field. A
//! quote opens a quoted field only at the field's start; anywhere else it is a character like
//! others, as in `5" pipe`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Where the first record of some bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After so many bytes, its line end included, and so many line ends.
    At { bytes: usize, lines: u64 },
    /// Not in these bytes.
    Open { in_quotes: bool },
}

/// Finds the end of the record that `bytes` starts with.
pub(crate) fn record_end(bytes: &[u8], delimiter: u8) -> End {
    let mut rest = bytes;
    let mut lines: u64 = 0;
    // The byte before `rest`; a record starts with a field.
    let mut before = delimiter;
    loop {
        let Some(found) = memchr2(b'"', b'\n', rest) else {
            return End::Open { in_quotes: false };
        };
        let (head, tail) = rest.split_at(found);
        let Some((&byte, tail)) = tail.split_first() else {
            return End::Open { in_quotes: false };
        };
        rest = tail;
        if byte == b'\n' {
            let taken = bytes.len().saturating_sub(rest.len());
            return End::At { bytes: taken, lines: lines.saturating_add(1) };
        }
        if head.last().copied().unwrap_or(before) == delimiter {
            let Some(quoted) = quoted_len(rest) else { return End::Open { in_quotes: true } };
            let (inside, tail) = rest.split_at(quoted.min(rest.len()));
            lines = lines.saturating_add(memchr::memchr_iter(b'\n', inside).count() as u64);
            rest = tail;
        }
        before = b'"';
    }
}

/// Bytes up to and with the quote that closes a field, from the one after the opening quote.
fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    loop {
        rest = rest.get(memchr(b'"', rest)?.saturating_add(1)..)?;
        match rest.strip_prefix(b"\"") {
            Some(escaped) => rest = escaped,
            None => return Some(bytes.len().saturating_sub(rest.len())),
        }
    }
}

/// The fields of records, one after the other.
pub(crate) struct Fields<'a> {
    rest: &'a str,
    delimiter: char,
    /// There is a carriage return somewhere.
    returns: bool,
}

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Nothing more in this record.
    pub(crate) last: bool,
}

/// Text after a closing quote, or no closing quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadQuote;

impl<'a> Fields<'a> {
    /// `text`: whole records; `delimiter`: ASCII.
    pub(crate) fn new(text: &'a str, delimiter: u8) -> Self {
        let returns = memchr(b'\r', text.as_bytes()).is_some();
        Self { rest: text, delimiter: delimiter as char, returns }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Passes a line that holds nothing, if the next one does.
    pub(crate) fn skip_blank_line(&mut self) -> bool {
        match self.rest.strip_prefix('\n').or_else(|| self.rest.strip_prefix("\r\n")) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(crate) fn next(&mut self) -> Result<Field<'a>, BadQuote> {
        if let Some(inside) = self.rest.strip_prefix('"') {
            return self.quoted(inside);
        }
        let delimiter = self.delimiter as u8;
        let end = self.rest.bytes().position(|byte| byte == delimiter || byte == b'\n');
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let last = !rest.starts_with(self.delimiter);
        self.rest = rest.get(1..).unwrap_or_default();
        let text = if last { text.strip_suffix('\r').unwrap_or(text) } else { text };
        let text = if self.returns && text.contains('\r') {
            Cow::Owned(text.replace('\r', ""))
        } else {
            Cow::Borrowed(text)
        };
        Ok(Field { text, last })
    }

    fn quoted(&mut self, inside: &'a str) -> Result<Field<'a>, BadQuote> {
        let len = quoted_len(inside.as_bytes()).ok_or(BadQuote)?;
        let (text, rest) = inside.split_at_checked(len).ok_or(BadQuote)?;
        let text = text.strip_suffix('"').ok_or(BadQuote)?;
        let text = match memchr(b'"', text.as_bytes()) {
            None => Cow::Borrowed(text),
            Some(_) => Cow::Owned(text.replace("\"\"", "\"")),
        };
        if let Some(rest) = rest.strip_prefix(self.delimiter) {
            self.rest = rest;
            return Ok(Field { text, last: false });
        }
        let rest = rest.strip_prefix('\r').unwrap_or(rest);
        self.rest = match rest.strip_prefix('\n') {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return Err(BadQuote),
        };
        Ok(Field { text, last: true })
    }
}

/// Whether a record is a line that holds nothing.
pub(crate) fn is_blank(record: &[u8]) -> bool {
    matches!(record, b"\n" | b"\r\n" | b"\r" | b"")
}

/// Appends `text` as a field of comma-separated output.
pub(crate) fn write_field(out: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All records of a text: fields, and the line that each starts on.
    fn records(text: &str) -> Result<Vec<(u64, Vec<String>)>, &'static str> {
        let (mut rest, mut line, mut found) = (text, 1, Vec::new());
        while !rest.is_empty() {
            let (len, lines) = match record_end(rest.as_bytes(), b',') {
                End::At { bytes, lines } => (bytes, lines),
                End::Open { in_quotes: false } => (rest.len(), 1),
                End::Open { in_quotes: true } => return Err("open quote"),
            };
            let (record, tail) = rest.split_at(len);
            let mut fields = Fields::new(record, b',');
            let mut row = Vec::new();
            loop {
                let field = fields.next().map_err(|BadQuote| "bad quote")?;
                row.push(field.text.into_owned());
                if field.last {
                    break;
                }
            }
            assert_eq!(fields.rest(), "", "{record:?} has one record");
            found.push((line, row));
            line = lines.saturating_add(line);
            rest = tail;
        }
        Ok(found)
    }

    #[test]
    fn records_and_fields() {
        let check = |text: &str, expected: &[(u64, &[&str])]| {
            let found = records(text).unwrap();
            let found: Vec<(u64, Vec<&str>)> = found
                .iter()
                .map(|(line, row)| (*line, row.iter().map(String::as_str).collect()))
                .collect();
            let expected: Vec<_> = expected.iter().map(|(l, r)| (*l, r.to_vec())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("a,b\n1,2\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,b\r\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a,\r\n,\r\n", &[(1, &["a", ""]), (2, &["", ""])]);
        check("\"a\"\"b\",\"\"\"\"\n", &[(1, &["a\"b", "\""])]);
        check("\"a\n,\r\nb\",c\nd,e\n", &[(1, &["a\n,\r\nb", "c"]), (4, &["d", "e"])]);
        check("5\" pipe,x\ny\"\"z,\n", &[(1, &["5\" pipe", "x"]), (2, &["y\"\"z", ""])]);
        check("\"\",\"\"\r\nü,\"é\"", &[(1, &["", ""]), (2, &["ü", "é"])]);
        check("a\rb,\"a\rb\"\r\n", &[(1, &["ab", "a\rb"])]);
    }

    #[test]
    fn quotes_that_do_not_fit() {
        for (text, expected) in [
            ("\"a\n", "open quote"),
            ("1,\"a\"\"\n", "open quote"),
            ("\"a\"b,c\n", "bad quote"),
            ("\"a\" ,c\n", "bad quote"),
            ("\"a\"\rb\n", "bad quote"),
        ] {
            assert_eq!(records(text).unwrap_err(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            rows in proptest::collection::vec(
                proptest::collection::vec("[a\",\r\n é]{0,6}", 3), 1..6),
        ) {
            let mut text = Vec::new();
            for row in &rows {
                for (i, field) in row.iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    write_field(&mut text, field);
                }
                text.push(b'\n');
            }
            let text = String::from_utf8(text).unwrap();
            let found: Vec<_> = records(&text).unwrap().into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(found, rows);
        }

        /// A record that ends somewhere ends in the same place when fewer bytes follow it.
        #[test]
        fn an_end_does_not_depend_on_what_follows(text in "[a\",\r\n]{0,24}") {
            if let End::At { bytes, lines } = record_end(text.as_bytes(), b',') {
                prop_assert_eq!(
                    record_end(&text.as_bytes()[..bytes], b','),
                    End::At { bytes, lines }
                );
            }
        }
    }
}
