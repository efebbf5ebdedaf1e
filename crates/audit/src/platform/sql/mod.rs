//! SQL of PostgreSQL: what statements change, and what queries ask.
//!
//! [`read`] goes over one text, [`Schema`] folds the changes of many in their order. A statement that
//! does not parse is left out; a text in another dialect gives nothing. Any text is fine.

mod queries;
mod schema;
mod statements;

use squawk_syntax::syntax_error::SyntaxError;
use squawk_syntax::{SourceFile, SyntaxNode};

use crate::platform::at::{At, Lines};

pub(crate) use queries::{Query, Term, UseOf};
pub(crate) use schema::{Column, Index, IndexItem, Schema, Table};
pub(crate) use statements::Change;

/// What stands in one text.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// In order.
    pub(crate) changes: Vec<Change>,
    pub(crate) queries: Vec<Query>,
    /// Configuration that is set: `hnsw.iterative_scan` and the like, in small letters.
    pub(crate) settings: Vec<String>,
}

impl Script {
    /// Places as seen from where the text begins in its file.
    pub(crate) fn moved(&mut self, outer: At) {
        for query in &mut self.queries {
            query.at = query.at.inside(outer);
            query.uses.iter_mut().for_each(|it| it.at = it.at.inside(outer));
        }
        self.changes.iter_mut().for_each(|change| change.moved(outer));
    }
}

/// Deeper nesting and longer chains of operators are not looked into: the parser descends.
const DEPTH_MAX: usize = 200;
const OPERATORS_MAX: usize = 4_000;

/// Reads a text of statements. `At`s count from the text's start.
pub(crate) fn read(text: &str) -> Script {
    let text = prepare(text);
    if is_foreign(&text) || !is_bounded(&text) {
        return Script::default();
    }
    let parse = SourceFile::parse(&text);
    let errors: Vec<_> = parse.errors().iter().map(SyntaxError::range).collect();
    let lines = Lines::new(&text);
    let reader = Reader { lines: &lines };
    let mut script = Script::default();
    for statement in parse.syntax_node().children() {
        let range = statement.text_range();
        let is_broken = errors.iter().any(|error| {
            range.contains_range(*error) || range.intersect(*error).is_some_and(|it| !it.is_empty())
        });
        statements::read(&statement, &reader, is_broken, &mut script);
        if !is_broken {
            queries::read(&statement, &reader, &mut script.queries);
        }
    }
    script
}

/// Whether words of a text make it worth parsing as SQL: a string in code.
pub(crate) fn looks_like_sql(text: &str) -> bool {
    let head = text.trim_start();
    let word = head.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let rest = head[word.len()..].trim_start();
    let then = |words: &[&str]| {
        words
            .iter()
            .any(|it| rest.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it)))
    };
    match word.to_ascii_lowercase().as_str() {
        "select" | "with" => rest.len() > 4 && contains_word(rest, "from"),
        "insert" => then(&["into "]),
        "update" => contains_word(rest, "set"),
        "delete" => then(&["from "]),
        "create" => then(&["table", "index", "unique", "extension", "unlogged", "temp"]),
        "alter" => then(&["table"]),
        "drop" => then(&["table", "index"]),
        "set" => then(&["hnsw.", "ivfflat.", "local "]),
        _ => false,
    }
}

fn contains_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|it| it.eq_ignore_ascii_case(word))
}

/// Finds places while a text is read.
pub(crate) struct Reader<'a> {
    lines: &'a Lines<'a>,
}

impl Reader<'_> {
    /// Where the words of a node begin.
    fn at(&self, node: &SyntaxNode) -> At {
        self.lines.at(usize::from(node.text_range().start()))
    }
}

/// A name as PostgreSQL holds it: the last segment, in small letters unless quoted.
pub(crate) fn name(text: &str) -> String {
    let text = text.trim();
    let last = match text.strip_suffix('"') {
        Some(inner) => &text[inner.rfind('"').unwrap_or(0)..],
        None => text.rsplit('.').next().unwrap_or(text),
    };
    match last.trim().strip_prefix('"') {
        Some(quoted) => quoted.trim_end_matches('"').to_owned(),
        None => last.trim().to_lowercase(),
    }
}

/// The text with what only other tools understand blanked out, at the same length: commands of psql,
/// data of `COPY`, placeholders of drivers, templates.
fn prepare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_copy = false;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        let is_data = in_copy || body.starts_with('\\');
        in_copy = if in_copy { body != "\\." } else { is_copy(body) };
        if is_data {
            out.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(line);
        }
    }
    if out.contains("%s")
        || out.contains("%d")
        || out.contains("%(")
        || out.contains('{')
        || out.contains(':')
    {
        out = placeholders(&out);
    }
    out
}

fn is_copy(line: &str) -> bool {
    let start = line.get(..5).is_some_and(|it| it.eq_ignore_ascii_case("copy "));
    start && line.to_ascii_lowercase().trim_end().ends_with("from stdin;")
}

/// `%s`, `%(name)s`, `:name`, `{{ name }}` and `{name}` outside of strings become parameters.
fn placeholders(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut in_string = false;
    while let Some(byte) = bytes.get(out.len()) {
        let rest = &bytes[out.len()..];
        if *byte == b'\'' {
            in_string = !in_string;
        }
        let length = if in_string { 0 } else { placeholder_length(rest, out.last().copied()) };
        if length < 2 {
            out.push(*byte);
            continue;
        }
        let start = out.len();
        out.extend(rest[..length].iter().map(|it| if *it == b'\n' { b'\n' } else { b' ' }));
        // A number may stand where no parameter does: `vector(%d)`.
        let stand_in = if rest.starts_with(b"%d") { b"11" } else { b"$1" };
        out[start..start + 2].copy_from_slice(stand_in);
    }
    // Whole characters were replaced, so this holds.
    String::from_utf8(out).unwrap_or_default()
}

fn placeholder_length(rest: &[u8], before: Option<u8>) -> usize {
    let closing = |end: &[u8]| {
        rest.windows(end.len())
            .take(400)
            .position(|window| window == end)
            .map_or(0, |at| at + end.len())
    };
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match rest {
        [b'%', b's' | b'd', ..] => 2,
        [b'%', b'(', ..] => closing(b")s"),
        [b'{', b'{', ..] => closing(b"}}"),
        [b'{', b'%', ..] => closing(b"%}"),
        [b'{', ..] => closing(b"}"),
        [b':', first, ..] if first.is_ascii_alphabetic() && before != Some(b':') => {
            1 + rest[1..].iter().take_while(|byte| is_word(byte)).count()
        }
        _ => 0,
    }
}

/// Whether words show another dialect than PostgreSQL's.
fn is_foreign(text: &str) -> bool {
    const MARKS: [&str; 20] = [
        "AUTO_INCREMENT",
        "AUTOINCREMENT",
        "ENGINE=",
        "ENGINE =",
        "NVARCHAR",
        "IDENTITY(1",
        "DATETIME2",
        "UNSIGNED",
        "VARCHAR2",
        "PRAGMA ",
        "MERGETREE",
        "TINYINT",
        "LONGTEXT",
        "NUMBER(",
        "DISTKEY",
        "SORTKEY",
        "INTEGER PRIMARY KEY,\n",
        "USING DELTA",
        "CREATE OR REPLACE TABLE",
        "LOW_CARDINALITY(",
    ];
    let upper = text.to_ascii_uppercase();
    text.contains('`')
        || MARKS.iter().any(|mark| upper.contains(mark))
        || upper.lines().any(|line| line.trim() == "GO")
}

/// Whether nesting and chains stay within what the parser's stack holds.
fn is_bounded(text: &str) -> bool {
    let (mut depth, mut operators, mut in_string) = (0_usize, 0_usize, false);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\'' => in_string = !in_string,
            _ if in_string => {}
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' => (depth, operators) = (0, 0),
            b'+' | b'*' | b'/' | b'|' | b'=' | b'<' | b'>' | b'-' => operators += 1,
            b'd' | b'D' | b'r' | b'R' => {
                let word = |word: &str| {
                    at + 1 >= word.len()
                        && bytes[at + 1 - word.len()..=at].eq_ignore_ascii_case(word.as_bytes())
                };
                operators += usize::from(word(" and") || word(" or"));
            }
            _ => {}
        }
        if depth > DEPTH_MAX || operators > OPERATORS_MAX {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_postgresql_holds_them() {
        for (text, expected) in [
            ("T", "t"),
            ("public.T", "t"),
            ("\"T\"", "T"),
            ("a.\"B.c\"", "B.c"),
            (" x ", "x"),
            ("", ""),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn placeholders_keep_their_length() {
        for (text, expected) in [
            ("a = %s", "a = $1"),
            ("e vector(%d)", "e vector(11)"),
            ("a = %(name)s and", "a = $1       and"),
            ("a = :x::int", "a = $1::int"),
            ("a = ':x'", "a = ':x'"),
            ("from {table} x", "from $1      x"),
            ("from {{ ref('é') }}", &["from $1", &" ".repeat(13)].concat()),
        ] {
            assert_eq!(prepare(text), expected, "{text}");
            assert_eq!(prepare(text).len(), text.len());
        }
        assert_eq!(
            prepare("\\c x\nCOPY t FROM stdin;\n1\t2\n\\.\nx"),
            "    \nCOPY t FROM stdin;\n   \n  \nx"
        );
    }

    #[test]
    fn knows_sql_among_strings() {
        for text in [
            "SELECT 1 FROM t",
            "\n  with x as (select 1) select * from x",
            "create table t (a int)",
            "ALTER TABLE t ADD c int",
        ] {
            assert!(looks_like_sql(text), "{text}");
        }
        for text in ["Select a file", "update the docs", "create a table", "with love", ""] {
            assert!(!looks_like_sql(text), "{text}");
        }
    }

    #[test]
    fn any_text_is_fine() {
        let deep = "(".repeat(100_000);
        let long = ["select 1", &" and 1".repeat(100_000)].concat();
        for text in [
            "",
            ";",
            "create table",
            "create table t (",
            "select",
            "'",
            "$$",
            "{",
            "%",
            ":",
            &deep,
            &long,
        ] {
            read(text);
        }
    }
}
