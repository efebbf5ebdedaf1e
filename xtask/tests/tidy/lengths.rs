//! How long files and functions are; what is too long already may not grow.

pub(crate) const FILE_LINES_MAX: usize = 800;
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// What is longer than the rule allows: (path, function or `file`, lines). Lines only come off.
const RATCHET: &[(&str, &str, usize)] = &[];

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: usize,
}

/// What is to be said about something of this length.
pub(crate) fn judge(path: &str, name: &str, lines: usize, lines_max: usize) -> Option<String> {
    judge_with(RATCHET, path, name, lines, lines_max)
}

fn judge_with(
    ratchet: &[(&str, &str, usize)],
    path: &str,
    name: &str,
    lines: usize,
    lines_max: usize,
) -> Option<String> {
    let held = ratchet.iter().find(|entry| (entry.0, entry.1) == (path, name)).map(|it| it.2);
    match held {
        None if lines <= lines_max => None,
        Some(held) if lines == held && held > lines_max => None,
        None => Some(format!("{path}: {name} has {lines} lines, at most {lines_max}: split it")),
        Some(held) if lines > held => {
            Some(format!("{path}: {name} grew from {held} to {lines} lines: split it"))
        }
        Some(held) => Some(format!(
            "{path}: {name} has {lines} lines now, RATCHET says {held}: lower or drop the entry"
        )),
    }
}

/// Each function of a Rust file, from the line with `fn` to its closing brace.
///
/// Reads braces, not Rust: what lies in comments, strings and characters is blanked out first.
/// A function without a body (in a trait) is none; one inside another counts in both.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    let code = blank(source);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = find_word(&code[at..], "fn") {
        let start = at + step;
        at = start + 2;
        let letters = code[at..].trim_ascii_start().iter().take_while(|byte| is_word(**byte));
        let name: String = letters.map(|byte| char::from(*byte)).collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[at..]) {
            let lines = code[start..=at + end].split(|byte| *byte == b'\n').count();
            found.push(Function { name, lines });
        }
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find_word(code: &[u8], word: &str) -> Option<usize> {
    let word = word.as_bytes();
    (0..code.len()).find(|&i| {
        code[i..].starts_with(word)
            && (i == 0 || !is_word(code[i - 1]))
            && code.get(i + word.len()).is_none_or(|b| !is_word(*b))
    })
}

/// Where the function's body ends, counted from its `fn`; `None` if it has none.
fn body_end(code: &[u8]) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_i32);
    for (i, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b';' if braces == 0 && others == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && others == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// The source with blanks for everything in comments, strings and character literals.
fn blank(source: &str) -> Vec<u8> {
    let mut code = source.as_bytes().to_vec();
    let mut i = 0;
    while i < code.len() {
        let end = i + literal_length(&code[i..], i > 0 && is_word(code[i - 1]));
        for byte in &mut code[i..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end.max(i + 1);
    }
    code
}

/// How many bytes of comment, string or character begin here; 0 if none does.
fn literal_length(code: &[u8], in_word: bool) -> usize {
    let to = |end: &[u8], from: usize| {
        let rest = code.get(from..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|window| window == end);
        found.map_or(code.len(), |at| from + at + end.len())
    };
    match code {
        [b'/', b'/', ..] => to(b"\n", 2) - 1,
        [b'/', b'*', ..] => comment_length(code),
        [b'"', ..] => quoted_length(code),
        [b'r', b'"' | b'#', ..] if !in_word => {
            let hashes = code[1..].iter().take_while(|b| **b == b'#').count();
            if code.get(1 + hashes) != Some(&b'"') {
                return 0;
            }
            let mut end = vec![b'"'];
            end.extend(vec![b'#'; hashes]);
            to(&end, 2 + hashes)
        }
        [b'\'', b'\\', _, ..] => to(b"'", 3),
        [b'\'', first, ..] => {
            // One character of one to four bytes and a quote; a lifetime has no second quote.
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if code.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

/// Block comments nest.
fn comment_length(code: &[u8]) -> usize {
    let (mut depth, mut i) = (0_usize, 0);
    while i < code.len() {
        match &code[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] if depth == 1 => return i + 2,
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    code.len()
}

fn quoted_length(code: &[u8]) -> usize {
    let mut i = 1;
    while i < code.len() {
        match code[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(&str, usize)]) {
        let found: Vec<_> = functions(source).into_iter().map(|it| (it.name, it.lines)).collect();
        let expected: Vec<_> = expected.iter().map(|it| (it.0.to_owned(), it.1)).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn counts_from_the_name_to_the_brace() {
        check("fn a() {}", &[("a", 1)]);
        check("fn a()\nwhere\n    T: Copy,\n{\n    b();\n}\nfn c() {\n}", &[("a", 6), ("c", 2)]);
        check(
            "trait T {\n    fn none(&self) -> [u8; 2];\n    fn some(&self) {\n    }\n}",
            &[("some", 2)],
        );
        check("type F = fn(u8) -> u8;\nstruct Defn;", &[]);
        check("fn outer() {\n    fn inner() {\n    }\n}", &[("outer", 4), ("inner", 2)]);
    }

    #[test]
    fn braces_in_literals_do_not_count() {
        check("fn a() {\n    '{'; \"}\\\"}\"; // }\n    /* } /* } */ } */\n}", &[("a", 4)]);
        check(
            "fn a<'a>(x: &'a str) {\n    r#\"}\"}\"#;\n    b'}'; '\\u{7d}'; '\\''; 'é';\n}",
            &[("a", 4)],
        );
        check("// fn a() {}\nconst B: &str = \"fn c() {}\";", &[]);
    }

    #[test]
    fn what_is_long_may_only_shrink() {
        let ratchet = [("a.rs", "old", 90)];
        let verdict = |name, lines| judge_with(&ratchet, "a.rs", name, lines, 70).is_none();
        assert!(verdict("new", 70));
        assert!(!verdict("new", 71));
        assert!(verdict("old", 90));
        assert!(!verdict("old", 91));
        assert!(!verdict("old", 89));
    }
}
