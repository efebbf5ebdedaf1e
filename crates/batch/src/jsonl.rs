//! One flat JSON object: its keys, and values that are text, numbers, booleans or null.
//!
//! Numbers keep their text, so that none loses a bit on its way to where it is used.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

use std::borrow::Cow;

/// A value of the object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    /// As it stands in the line.
    Number(&'a str),
    Bool(bool),
}

/// What is wrong, and before how many bytes of the line's end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) bytes_left: usize,
    pub(crate) reason: String,
}

/// White space of JSON; a form feed is none.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether a record is a line that holds nothing.
pub(crate) fn is_blank(record: &[u8]) -> bool {
    record.iter().all(|&byte| BLANKS.contains(&char::from(byte)))
}

/// Reads the object in `line` and gives each member to `member`, in order.
///
/// `member` answers with a reason where it does not want the member.
pub(crate) fn object<'a>(
    line: &'a str,
    mut member: impl FnMut(Cow<'a, str>, Scalar<'a>) -> Result<(), String>,
) -> Result<(), Mistake> {
    let mut scan = Scan { rest: line };
    scan.expect(b'{', "an object: `{`")?;
    if !scan.accept(b'}') {
        loop {
            scan.blank();
            let start = scan.rest.len();
            if !scan.rest.starts_with('"') {
                return Err(scan.mistake("a key in double quotes"));
            }
            let key = scan.text()?;
            scan.expect(b':', "`:` after the key")?;
            let value = scan.scalar()?;
            member(key, value).map_err(|reason| Mistake { bytes_left: start, reason })?;
            if scan.accept(b'}') {
                break;
            }
            scan.expect(b',', "`,` or `}`")?;
        }
    }
    scan.blank();
    if scan.rest.is_empty() { Ok(()) } else { Err(scan.mistake("nothing after the object")) }
}

struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    fn mistake(&self, expected: &str) -> Mistake {
        let found = match self.rest.chars().next() {
            None => "the end of the line".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        self.because(format!("found {found}, expected {expected}"))
    }

    fn because(&self, reason: String) -> Mistake {
        Mistake { bytes_left: self.rest.len(), reason }
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.blank();
        match self.rest.strip_prefix(byte as char) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Result<(), Mistake> {
        if self.accept(byte) { Ok(()) } else { Err(self.mistake(expected)) }
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, Mistake> {
        self.blank();
        match self.rest.bytes().next() {
            Some(b'"') => self.text().map(Scalar::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Scalar::Number),
            Some(b'{' | b'[') => {
                Err(self
                    .because("a nested value, expected text, a number, a boolean or null".into()))
            }
            _ => {
                for (word, value) in [
                    ("null", Scalar::Null),
                    ("true", Scalar::Bool(true)),
                    ("false", Scalar::Bool(false)),
                ] {
                    if let Some(rest) = self.rest.strip_prefix(word) {
                        self.rest = rest;
                        return Ok(value);
                    }
                }
                if self.rest.starts_with("NaN") || self.rest.starts_with("Infinity") {
                    return Err(self.because(
                        "JSON has no NaN and no Infinity: write null for an absent value, or \
                         the text \"NaN\""
                            .into(),
                    ));
                }
                Err(self.mistake("text, a number, a boolean or null"))
            }
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<&'a str, Mistake> {
        let start = self.rest;
        self.one_of(b"-");
        if self.one_of(b"0").is_none() {
            self.digits()?;
        }
        if self.one_of(b".").is_some() {
            self.digits()?;
        }
        if self.one_of(b"eE").is_some() {
            self.one_of(b"+-");
            self.digits()?;
        }
        let len = start.len().saturating_sub(self.rest.len());
        start.get(..len).ok_or_else(|| self.mistake("a number"))
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = self.rest.bytes().next().filter(|byte| bytes.contains(byte))?;
        self.rest = self.rest.get(1..)?;
        Some(byte)
    }

    fn digits(&mut self) -> Result<(), Mistake> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == self.rest.len() {
            return Err(self.mistake("a digit"));
        }
        self.rest = rest;
        Ok(())
    }

    /// Text in quotes, its escapes undone.
    fn text(&mut self) -> Result<Cow<'a, str>, Mistake> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let plain = plain_len(inside);
        let (text, rest) = inside.split_at(plain);
        if let Some(rest) = rest.strip_prefix('"') {
            self.rest = rest;
            return Ok(Cow::Borrowed(text));
        }
        let mut text = text.to_owned();
        self.rest = rest;
        loop {
            if let Some(rest) = self.rest.strip_prefix('"') {
                self.rest = rest;
                return Ok(Cow::Owned(text));
            }
            if let Some(rest) = self.rest.strip_prefix('\\') {
                self.rest = rest;
                text.push(self.escape()?);
            } else if self.rest.is_empty() {
                return Err(self.mistake("a closing quote"));
            } else {
                return Err(self.mistake("control characters as escapes, such as `\\n`"));
            }
            let (plain, rest) = self.rest.split_at(plain_len(self.rest));
            text.push_str(plain);
            self.rest = rest;
        }
    }

    fn escape(&mut self) -> Result<char, Mistake> {
        const EXPECTED: &str = "one of \" \\ / b f n r t u after a backslash";
        let Some(byte) = self.one_of(br#""\/bfnrtu"#) else {
            return Err(self.mistake(EXPECTED));
        };
        Ok(match byte {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            other => other as char,
        })
    }

    /// `XXXX`, or `XXXX\uXXXX` for characters beyond U+FFFF.
    fn unicode(&mut self) -> Result<char, Mistake> {
        let mut units = vec![self.hex()?];
        if (0xD800..0xDC00).contains(&units.first().copied().unwrap_or_default())
            && let Some(rest) = self.rest.strip_prefix("\\u")
        {
            self.rest = rest;
            units.push(self.hex()?);
        }
        let mut decoded = char::decode_utf16(units);
        match (decoded.next(), decoded.next()) {
            (Some(Ok(c)), None) => Ok(c),
            _ => Err(self.because("half of a surrogate pair in a \\u escape".into())),
        }
    }

    fn hex(&mut self) -> Result<u16, Mistake> {
        let parsed = self.rest.split_at_checked(4).and_then(|(digits, rest)| {
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten().map(|unit| (unit, rest))
        });
        let Some((unit, rest)) = parsed else {
            return Err(self.mistake("four hexadecimal digits after \\u"));
        };
        self.rest = rest;
        Ok(unit)
    }
}

/// Bytes before the first quote, backslash or control character.
fn plain_len(text: &str) -> usize {
    text.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap_or(text.len())
}

/// Appends `text` as a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(line: &str) -> Result<Vec<(String, Scalar<'_>)>, Mistake> {
        let mut found = Vec::new();
        object(line, |key, value| {
            found.push((key.into_owned(), value));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn members_in_order() {
        let found =
            members(r#" {"a" : 1.50e+3, "b":"x\n\u00e9\ud83d\ude00", "c":null,"d":true } "#);
        let expected = vec![
            ("a".to_owned(), Scalar::Number("1.50e+3")),
            ("b".to_owned(), Scalar::Text("x\né😀".into())),
            ("c".to_owned(), Scalar::Null),
            ("d".to_owned(), Scalar::Bool(true)),
        ];
        assert_eq!(found, Ok(expected));
        assert_eq!(members("{}"), Ok(vec![]));
    }

    #[test]
    fn mistakes_say_where() {
        for (line, column, words) in [
            ("[1]", 1, "expected an object"),
            ("{\"a\":[1]}", 6, "nested"),
            ("{\"a\":{}}", 6, "nested"),
            ("{\"a\":NaN}", 6, "no NaN"),
            ("{\"a\":01}", 7, "`,` or `}`"),
            ("{\"a\":1.}", 8, "a digit"),
            ("{\"a\":-}", 7, "a digit"),
            ("{\"a\":\"x}", 9, "closing quote"),
            ("{\"a\":\"\\x\"}", 8, "after a backslash"),
            ("{\"a\":\"\\ud800\"}", 13, "surrogate"),
            ("{a:1}", 2, "key in double quotes"),
            ("{\"a\":1,}", 8, "key in double quotes"),
            ("{\"a\":1} x", 9, "nothing after"),
            ("{\"a\":nul}", 6, "expected text"),
            ("{\"a\" 1}", 6, "`:`"),
        ] {
            let mistake = members(line).unwrap_err();
            assert!(mistake.reason.contains(words), "{line}: {}", mistake.reason);
            assert_eq!(line.len() - mistake.bytes_left + 1, column, "{line}: {}", mistake.reason);
        }
    }

    proptest! {
        /// `serde_json` agrees on what is an object, and on the text in it.
        #[test]
        fn agrees_with_serde_json(line in r#"\{"k":["\\a-u0-9eE.+{}nul\[\] ,:é\t-]{0,12}\}"#) {
            let judge = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&line);
            match (members(&line), judge) {
                (Ok(found), Ok(judge)) => {
                    for (key, value) in found {
                        if let (Scalar::Text(text), Some(judge)) = (value, judge[&key].as_str()) {
                            prop_assert_eq!(judge, &*text);
                        }
                    }
                }
                (Ok(found), Err(error)) => {
                    // serde_json refuses what overflows a double; a key may stand twice in both.
                    prop_assert!(error.to_string().contains("out of range"), "{:?} {}", found, error);
                }
                (Err(mistake), Ok(judge)) => {
                    let nested = judge.values().any(|v| v.is_object() || v.is_array());
                    prop_assert!(nested, "{:?}", mistake);
                }
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn text_is_written_as_serde_json_reads_it(text in any::<String>()) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
