//! A place in a text: line and column, both from 1; columns count characters.

/// Where something stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl At {
    pub(crate) fn new(line: usize, column: usize) -> Self {
        let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: clamp(line), column: clamp(column) }
    }

    /// This place as seen from the start of a text that begins at `outer`: a literal inside of a
    /// file.
    pub(crate) fn inside(self, outer: At) -> Self {
        let line = outer.line.saturating_add(self.line).saturating_sub(1);
        let column = if self.line == 1 {
            outer.column.saturating_add(self.column).saturating_sub(1)
        } else {
            self.column
        };
        Self { line, column }
    }
}

/// Where the lines of a text begin, to find the place of an offset.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The place of a byte of the text; beyond it, its end.
    pub(crate) fn at(&self, offset: usize) -> At {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or_default();
        At::new(line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let lines = Lines::new("é=1\nab\n");
        for (offset, line, column) in
            [(0, 1, 1), (2, 1, 2), (4, 1, 4), (5, 2, 1), (8, 3, 1), (99, 3, 1)]
        {
            assert_eq!(lines.at(offset), At::new(line, column), "{offset}");
        }
        assert_eq!(At::new(1, 3).inside(At::new(7, 5)), At::new(7, 7));
        assert_eq!(At::new(2, 3).inside(At::new(7, 5)), At::new(8, 3));
    }
}
