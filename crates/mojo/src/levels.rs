//! The levels of a categorical column: from a text or a number to a code, and from a code to places
//! of the raw row. Nothing is allocated per cell.

use std::collections::HashMap;
use std::io::Write as _;

use foldhash::fast::RandomState;

use crate::encode::Cell;

/// The code of each level.
pub(crate) type Codes = HashMap<Box<str>, u32, RandomState>;

#[derive(Debug)]
pub(crate) struct Levels {
    codes: Codes,
    /// By the level's place in the domain.
    code_of_level: Vec<Option<u32>>,
    form: Form,
}

#[derive(Debug)]
pub(crate) enum Form {
    /// One place; the value of each code.
    Values(Vec<f64>),
    /// A place for each level, and one for missing.
    OneHot { levels: usize },
    /// The code + 1 in binary, low bit first; missing is 0.
    Binary { bits: usize },
}

/// What a cell means in a categorical column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Absent,
    Missing,
    Code(u32),
    /// No level of the column.
    Unknown,
    /// A type that it does not take.
    Foreign(&'static str),
}

/// Below it a double stands for one integer alone: 2^53.
const INTEGERS_END: f64 = 9_007_199_254_740_992.0;

/// The codes of a list of levels; of equal levels the last one counts.
pub(crate) fn codes(levels: &[String]) -> Codes {
    // Grows with the levels that differ, not with those that a file claims.
    let mut codes = Codes::default();
    for (code, level) in (0..).zip(levels) {
        codes.insert(level.as_str().into(), code);
    }
    codes
}

/// Places of a binary-encoded column: enough for the levels and one code for missing.
pub(crate) fn bits(levels: usize) -> usize {
    1 + levels.max(1).ilog2() as usize
}

impl Levels {
    /// `decoration`: prefix and suffix that the level of a code may have and a caller leave out.
    pub(crate) fn new(
        domain: &[String],
        mut codes: Codes,
        decoration: Option<(String, &'static str)>,
        form: Form,
    ) -> Self {
        if let Some((prefix, suffix)) = decoration {
            let bare = |level: &str| {
                level.strip_prefix(prefix.as_str())?.strip_suffix(suffix).map(Box::<str>::from)
            };
            let bare: Vec<_> =
                codes.iter().filter_map(|(level, &code)| Some((bare(level)?, code))).collect();
            for (level, code) in bare {
                // A level that is called so itself comes first.
                codes.entry(level).or_insert(code);
            }
        }
        let code_of_level = domain.iter().map(|level| codes.get(level.as_str()).copied());
        Self { code_of_level: code_of_level.collect(), codes, form }
    }

    /// Levels of the domain.
    pub(crate) fn len(&self) -> usize {
        self.code_of_level.len()
    }

    /// Places in the raw row.
    pub(crate) fn width(&self) -> usize {
        match &self.form {
            Form::OneHot { levels } => levels + 1,
            Form::Binary { bits } => *bits,
            Form::Values(_) => 1,
        }
    }

    #[inline]
    pub(crate) fn look_up(&self, cell: Cell<'_>) -> Lookup {
        let code = match cell {
            Cell::Text(text) => self.codes.get(text).copied(),
            Cell::Absent => return Lookup::Absent,
            Cell::Number(number) | Cell::Double(number) if number.is_nan() => {
                return Lookup::Missing;
            }
            Cell::Number(number) => self.of_number(number).map(|(_, code)| code),
            Cell::Bool(flag) => self.codes.get(if flag { "true" } else { "false" }).copied(),
            Cell::Level(level) => self.code_of_level.get(level as usize).copied().flatten(),
            Cell::Double(_) => return Lookup::Foreign("Double"),
            Cell::Foreign(type_name) => return Lookup::Foreign(type_name),
        };
        code.map_or(Lookup::Unknown, Lookup::Code)
    }

    /// The level that a number stands for, `1` or else `1.0`, and its code.
    pub(crate) fn of_number(&self, number: f64) -> Option<(&str, u32)> {
        let whole = number.trunc() == number && number.abs() < INTEGERS_END;
        let spelled = if whole { self.of_integer(number as i64) } else { None };
        spelled.or_else(|| self.of_text(crate::java::double_to_string(number).as_str()))
    }

    fn of_integer(&self, number: i64) -> Option<(&str, u32)> {
        let mut digits = [0_u8; 20];
        let mut rest = &mut digits[..];
        write!(rest, "{number}").ok()?;
        let unused = rest.len();
        self.of_text(std::str::from_utf8(&digits[..digits.len() - unused]).ok()?)
    }

    fn of_text(&self, text: &str) -> Option<(&str, u32)> {
        self.codes.get_key_value(text).map(|(level, code)| (&**level, *code))
    }

    /// The number of a code, where it takes one place.
    pub(crate) fn value(&self, code: u32) -> Option<f64> {
        match &self.form {
            Form::Values(values) => values.get(code as usize).copied(),
            Form::OneHot { .. } | Form::Binary { .. } => None,
        }
    }

    /// `code`: `None` is missing. `raw` starts at the column's place.
    #[inline]
    pub(crate) fn write(&self, code: Option<u32>, raw: &mut [f64]) {
        match &self.form {
            Form::Values(values) => raw[0] = code.map_or(f64::NAN, |code| values[code as usize]),
            Form::OneHot { levels } => {
                let hot = code.map_or(*levels, |code| code as usize);
                for (i, place) in raw[..=*levels].iter_mut().enumerate() {
                    *place = if i == hot { 1.0 } else { 0.0 };
                }
            }
            Form::Binary { bits } => {
                let value = code.map_or(0, |code| u64::from(code) + 1);
                for (i, place) in raw[..*bits].iter_mut().enumerate() {
                    *place = ((value >> i) & 1) as f64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_level_that_it_spells_as_long_as_it_spells_one() {
        let domain = ["1", "-7", "2.5", "1000000000000000", "9007199254740991", "9007199254740992"]
            .map(str::to_owned);
        let levels = Levels::new(&domain, codes(&domain), None, Form::Values(vec![0.0; 6]));
        for (number, expected) in [
            (1.0, Lookup::Code(0)),
            (-7.0, Lookup::Code(1)),
            (2.5, Lookup::Code(2)),
            (1e15, Lookup::Code(3)),
            (9_007_199_254_740_991.0, Lookup::Code(4)),
            // 9007199254740993 is this double as well.
            (9_007_199_254_740_992.0, Lookup::Unknown),
            (f64::INFINITY, Lookup::Unknown),
            (f64::NAN, Lookup::Missing),
        ] {
            assert_eq!(levels.look_up(Cell::Number(number)), expected, "{number}");
        }
    }
}
