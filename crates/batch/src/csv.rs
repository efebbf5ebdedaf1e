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
    text: &'a str,
    /// Where the next field starts.
    at: usize,
    delimiter: u8,
    /// No number goes on behind a delimiter.
    ends_numbers: bool,
}

/// One field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Nothing more in this record.
    pub(crate) last: bool,
}

/// A field that is a plain number or empty.
#[derive(Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: Option<f64>,
    /// Nothing more in this record.
    pub(crate) last: bool,
}

/// Text after a closing quote, or no closing quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadQuote;

impl<'a> Fields<'a> {
    /// `text`: whole records; `delimiter`: ASCII.
    pub(crate) fn new(text: &'a str, delimiter: u8) -> Self {
        let ends_numbers = !matches!(delimiter, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E');
        Self { text, at: 0, delimiter, ends_numbers }
    }

    /// Where the next field starts in the text.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Passes a line that holds nothing, if the next one does.
    pub(crate) fn skip_blank_line(&mut self) -> bool {
        let passed = match self.rest().as_bytes() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return false,
        };
        self.at = self.at.saturating_add(passed);
        true
    }

    /// The next field, if it is a plain number or empty; else it is still to come. In one pass: what
    /// ends the number ends the field.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<Number> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let (value, len) = match rest.first() {
            Some(byte) if *byte == self.delimiter => (None, 0),
            _ if !self.ends_numbers => return None,
            _ => stemson_mojo::read_decimal(rest).map(|(value, len)| (Some(value), len))?,
        };
        let (last, passed) = self.end(rest.get(len..)?)?;
        self.at = self.at.saturating_add(len).saturating_add(passed);
        Some(Number { value, last })
    }

    /// The next field and whether it is the record's last, if it stands there as it is; else it is
    /// still to come.
    #[inline]
    pub(crate) fn plain(&mut self) -> Option<(&'a str, bool)> {
        let rest = self.rest();
        if rest.as_bytes().first() == Some(&b'"') {
            return None;
        }
        let end = stop(rest.as_bytes(), self.delimiter);
        let (text, behind) = rest.split_at_checked(end)?;
        let (last, passed) = self.end(behind.as_bytes())?;
        self.at = self.at.saturating_add(end).saturating_add(passed);
        Some((text, last))
    }

    /// What ends a field, if that comes next: whether it ends the record too, and its bytes.
    #[inline]
    fn end(&self, behind: &[u8]) -> Option<(bool, usize)> {
        match behind {
            [byte, ..] if *byte == self.delimiter => Some((false, 1)),
            [b'\n', ..] | [b'\r'] => Some((true, 1)),
            [b'\r', b'\n', ..] => Some((true, 2)),
            [] => Some((true, 0)),
            _ => None,
        }
    }

    pub(crate) fn next(&mut self) -> Result<Field<'a>, BadQuote> {
        if let Some((text, last)) = self.plain() {
            return Ok(Field { text: Cow::Borrowed(text), last });
        }
        let rest = self.rest();
        match rest.strip_prefix('"') {
            Some(inside) => self.quoted(inside),
            None => Ok(self.with_returns(rest)),
        }
    }

    /// A field with carriage returns in it, that are none of its characters.
    #[cold]
    fn with_returns(&mut self, rest: &'a str) -> Field<'a> {
        let end = memchr2(self.delimiter, b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let (text, behind) = rest.split_at_checked(end).unwrap_or_default();
        self.at = self.at.saturating_add(end).saturating_add(1).min(self.text.len());
        let last = behind.as_bytes().first() != Some(&self.delimiter);
        Field { text: Cow::Owned(text.replace('\r', "")), last }
    }

    fn quoted(&mut self, inside: &'a str) -> Result<Field<'a>, BadQuote> {
        let len = quoted_len(inside.as_bytes()).ok_or(BadQuote)?;
        let (text, behind) = inside.split_at_checked(len).ok_or(BadQuote)?;
        let text = text.strip_suffix('"').ok_or(BadQuote)?;
        let text = match memchr(b'"', text.as_bytes()) {
            None => Cow::Borrowed(text),
            Some(_) => Cow::Owned(text.replace("\"\"", "\"")),
        };
        let (last, passed) = self.end(behind.as_bytes()).ok_or(BadQuote)?;
        self.at = self.at.saturating_add(len).saturating_add(passed).saturating_add(1);
        Ok(Field { text, last })
    }
}

/// Bytes before the first delimiter, line feed or carriage return: eight at a time, as fields are
/// mostly too short for anything that must be called.
#[inline]
fn stop(bytes: &[u8], delimiter: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LINE_FEEDS: u64 = 0x0a0a_0a0a_0a0a_0a0a;
    const CARRIAGE_RETURNS: u64 = 0x0d0d_0d0d_0d0d_0d0d;
    // The lowest bit that is set marks the first byte that is 0.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let delimiters = ONES.wrapping_mul(u64::from(delimiter));
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at: usize = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ delimiters) | zeros(word ^ LINE_FEEDS) | zeros(word ^ CARRIAGE_RETURNS);
        if found != 0 {
            return at.saturating_add((found.trailing_zeros() >> 3) as usize);
        }
        at = at.saturating_add(8);
    }
    let is_stop = |byte: &u8| *byte == delimiter || matches!(byte, b'\n' | b'\r');
    at.saturating_add(tail.iter().position(is_stop).unwrap_or(tail.len()))
}

/// Whether a record is a line that holds nothing.
pub(crate) fn is_blank(record: &[u8]) -> bool {
    matches!(record, b"\n" | b"\r\n" | b"\r" | b"")
}

/// Text that is no CSV.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CsvMistake {
    /// Where the record begins, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Gives each record of a text to `record`, with the line that it begins on; blank lines are passed
/// over. A byte order mark is none of the first field's characters.
///
/// `record` says whether to go on.
///
/// # Errors
/// A quote that does not fit, or that is not closed.
pub fn read_csv<'t>(
    text: &'t str,
    delimiter: u8,
    mut record: impl FnMut(u64, &[Cow<'t, str>]) -> bool,
) -> Result<(), CsvMistake> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut line, mut fields) = (1, Vec::new());
    while !rest.is_empty() {
        let (len, lines) = match record_end(rest.as_bytes(), delimiter) {
            End::At { bytes, lines } => (bytes, lines),
            End::Open { in_quotes: false } => (rest.len(), 1),
            End::Open { in_quotes: true } => {
                return Err(CsvMistake { line, reason: "a quoted field has no closing quote" });
            }
        };
        let (this, behind) = rest.split_at_checked(len).unwrap_or((rest, ""));
        if !is_blank(this.as_bytes()) {
            fields.clear();
            let mut scan = Fields::new(this, delimiter);
            loop {
                let field = scan.next().map_err(|BadQuote| CsvMistake {
                    line,
                    reason: "text stands behind a closing quote",
                })?;
                fields.push(field.text);
                if field.last {
                    break;
                }
            }
            if !record(line, &fields) {
                return Ok(());
            }
        }
        line = line.saturating_add(lines);
        rest = behind;
    }
    Ok(())
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
        check("long enough for words,\rx\r\n", &[(1, &["long enough for words", "x"])]);
    }

    #[test]
    fn plain_numbers_end_with_their_field() {
        let check = |text: &str, delimiter: u8, expected: Option<(Option<f64>, bool, &str)>| {
            let mut fields = Fields::new(text, delimiter);
            let found = fields.number().map(|n| (n.value, n.last, fields.rest()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("-1.5,a\n", b',', Some((Some(-1.5), false, "a\n")));
        check("1\n2", b',', Some((Some(1.0), true, "2")));
        check("123456789.25\r\n2", b',', Some((Some(123_456_789.25), true, "2")));
        check(",a\n", b',', Some((None, false, "a\n")));
        check("7", b',', Some((Some(7.0), true, "")));
        for (text, delimiter) in
            [("1d,2", b','), ("1 ,2", b','), ("\n", b','), ("1\r2\n", b','), ("1.5\n", b'.')]
        {
            check(text, delimiter, None);
        }
        check(".5\n", b'.', Some((None, false, "5\n")));
    }

    #[test]
    fn a_whole_text_at_once() {
        let mut found = Vec::new();
        let read = read_csv("\u{feff}a,b\r\n\n1,\"x\ny\"\n2,", b',', |line, fields| {
            found.push(format!("{line}: {}", fields.join("|")));
            true
        });
        assert_eq!(read, Ok(()));
        assert_eq!(found, ["1: a|b", "3: 1|x\ny", "5: 2|"]);
        let cut = read_csv("a\n\"b", b',', |_, _| true).unwrap_err();
        assert_eq!(cut.to_string(), "line 2: a quoted field has no closing quote");
        assert_eq!(read_csv("a\n\"b", b',', |_, _| false), Ok(()));
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
        fn fields_stop_where_they_should(text in "[a;,\r\n\u{1}\u{80}\u{ff}]{0,30}") {
            let is_stop = |byte: u8| matches!(byte, b',' | b'\r' | b'\n');
            let expected = text.bytes().position(is_stop).unwrap_or(text.len());
            prop_assert_eq!(stop(text.as_bytes(), b','), expected);
        }

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
