//! How deep an expression may be: looked for in the bytes, before the parser builds a tree whose walk
//! would need a stack of the same depth.
//!
//! An upper bound on the depth of the tree: the tokens since the last comma, summed over all brackets
//! that are open. Strings are skipped; a string inside of a formatted one of the same quotes is taken
//! for a pair of strings with code between, which counts at least half of its depth.

/// Deepest expression that is read. Code written by people stays under 100; chains of `+` and `|`
/// that programs write reach some hundreds.
pub const DEPTH_MAX: usize = 4_000;

/// The first byte at which a text is too deep.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // Tokens since the last comma in each bracket that is open; their sum.
    let mut open: Vec<usize> = vec![0];
    let mut depth = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'#' => {
                at = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |next| at + next);
                continue;
            }
            b'"' | b'\'' => {
                at = after_string(bytes, at);
                continue;
            }
            b'\\' => at += 1,
            b'\n' if open.len() == 1 => depth -= std::mem::take(open.last_mut()?),
            b',' | b';' => depth -= std::mem::take(open.last_mut()?),
            b'(' | b'[' | b'{' => {
                *open.last_mut()? += 1;
                depth += 2;
                open.push(1);
            }
            b')' | b']' | b'}' if open.len() > 1 => depth -= open.pop()?,
            b' ' | b'\t' | b'\r' | b'\n' | b')' | b']' | b'}' => {}
            byte if is_word(*byte) => {
                while bytes.get(at + 1).is_some_and(|next| is_word(*next)) {
                    at += 1;
                }
                *open.last_mut()? += 1;
                depth += 1;
            }
            _ => {
                *open.last_mut()? += 1;
                depth += 1;
            }
        }
        if depth > DEPTH_MAX {
            return Some(at.min(text.len()));
        }
        at += 1;
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// One past the string that begins at `at`; a string without end goes to the end of its line.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut end = at + if triple { 3 } else { 1 };
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            b'\n' if !triple => return end,
            byte if *byte == quote && !triple => return end + 1,
            byte if *byte == quote && bytes[end..].starts_with(&[quote; 3]) => return end + 3,
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_passes_and_towers_do_not() {
        let list = format!("x = [{}]\n", "-1, ".repeat(100_000));
        let lines = "a = b.c(d)[e]\n".repeat(10_000);
        let sum = format!("x = {}1\n", "a + ".repeat(900));
        let text = format!("x = '{}'\n# {}\n", "(".repeat(9_000), "(".repeat(9_000));
        for good in [list, lines, sum, text] {
            assert_eq!(too_deep(&good), None);
        }
        let n = DEPTH_MAX;
        for tower in ["(", "[", "not ", "-", "a.", "f(", "lambda: ", "a + ", "a if b else ", "{1:"]
        {
            assert!(too_deep(&tower.repeat(n + 1)).is_some(), "{tower}");
        }
        assert!(too_deep(&format!("f\"{{{}", "f\"{".repeat(2 * n))).is_some());
    }
}
