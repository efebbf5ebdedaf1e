//! Arrays in `.npy` files: an array of objects is a pickle behind a header.
//!
//! Source: `numpy.lib.format`.

use memchr::memmem;

const MAGIC: &[u8] = b"\x93NUMPY";

/// What stands behind the header of the first array of objects, if there is one. Arrays may follow
/// each other in one file.
pub(super) fn objects(bytes: &[u8]) -> Option<&[u8]> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    memmem::find_iter(bytes, MAGIC).find_map(|at| {
        let (header, data) = split(&bytes[at + MAGIC.len()..])?;
        let text = String::from_utf8_lossy(header);
        holds_objects(&text).then_some(data)
    })
}

fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, from) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 4),
        [2..=255, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
        _ => return None,
    };
    rest.get(from..)?.split_at_checked(length)
}

/// Whether a type in `descr` is `O`: `'|O'`, or in a list of fields the second of a pair.
fn holds_objects(header: &str) -> bool {
    let Some(at) = header.find("descr") else { return false };
    let mut before = ':';
    let mut rest = &header[at + "descr".len()..];
    // The key's own quote.
    rest = rest.trim_start_matches(['\'', '"']);
    while let Some(at) = rest.find(['\'', '"']) {
        let gap = rest[..at].trim();
        before = gap.chars().last().unwrap_or(before);
        let quote = rest.as_bytes()[at];
        let text = &rest[at + 1..];
        let Some(end) = text.find(char::from(quote)) else { return false };
        let word = &text[..end];
        let kind = word.trim_start_matches(['|', '<', '>', '=']);
        let is_object = kind.starts_with('O') && kind[1..].chars().all(|c| c.is_ascii_digit());
        // A text right after `(` is a field's name.
        if is_object && before != '(' {
            return true;
        }
        if word == "fortran_order" || word == "shape" {
            return false;
        }
        rest = &text[end + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    #[test]
    fn types_not_names() {
        for (header, expected) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", true),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", false),
            ("{'descr': [('O', '<f8'), ('b', '<i4')], 'fortran_order': False}", false),
            ("{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False}", true),
            ("{'descr': [(('t', 'a'), 'O')], 'fortran_order': False}", true),
            ("{'fortran_order': False, 'shape': (2,), 'descr': 'O'}", true),
        ] {
            assert_eq!(super::holds_objects(header), expected, "{header}");
        }
    }
}
