//! Rows for a MOJO, drawn from its own columns and levels: the same on every machine, in any number.
//!
//! A value is a pure function of (seed, row number, column name), made of 64-bit integer arithmetic
//! modulo 2^64 and of IEEE additions, multiplications, divisions and floor, so that another language
//! can draw the same rows:
//!
//! ```text
//! key     = crc32(UTF-8 of the column's name)
//! h(k)    = mix(mix((seed + row) * 0x9E3779B97F4A7C15 + key * 4 + k)),  k = stream
//! mix(x)  : x ^= x >> 30; x *= 0xBF58476D1CE4E5B9; x ^= x >> 27; x *= 0x94D049BB133111EB; x ^= x >> 31
//! u(k)    = (h(k) >> 11) * 2^-53              z = (sum of the four 16-bit parts of h(0) - 131070) / 37837.0
//! absent  : u(1) < missing
//! level   = domain[floor(n * u(0) * u(0))]    (n levels; early levels are frequent)
//! normal  : floor((a + b * z) * inv) / inv    uniform : floor((a + b * u(0)) * inv) / inv
//! flag    : u(0) < a ? 1 : 0                  heavy   : floor(b * u(0) * u(0) / (1.01 - u(0)) * inv) / inv
//! ```
//!
//! Kind, `a`, `b`, `inv` and `missing` stand in `benches/models/columns.csv` by the column's name; a
//! numeric column that is not there is normal with `a = 0, b = 1, inv = 1000, missing = 0`.

use std::io::{self, Write};

use stemson_mojo::{Kind, Model, Role};

/// The distributions of the columns that the bench models have.
const COLUMNS: &str = include_str!("../models/columns.csv");

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A header line, then a line per row; an empty cell = absent.
    Csv,
    /// One object per row, absent keys left out.
    Jsonl,
    /// Little-endian doubles, row-major, rows x columns: the number or the level's index, NaN = absent.
    F64,
}

/// How the numbers of a column lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Normal,
    Uniform,
    Heavy,
    Flag,
    Level,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Distribution {
    shape: Shape,
    a: f64,
    b: f64,
    inv: f64,
    /// Share of absent cells.
    missing: f64,
}

impl Distribution {
    fn of(name: &str) -> Self {
        let line = COLUMNS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        line.filter(|cells| cells[0] == name)
            .map(|cells| Self::parse(&cells))
            .next()
            .unwrap_or(Self { shape: Shape::Normal, a: 0.0, b: 1.0, inv: 1000.0, missing: 0.0 })
    }

    /// `cells`: name, kind, a, b, inv, missing.
    fn parse(cells: &[&str]) -> Self {
        let number = |at: usize, empty: f64| match cells[at] {
            "" => empty,
            text => text.parse().expect("columns.csv holds numbers"),
        };
        let shape = match cells[1] {
            "normal" => Shape::Normal,
            "uniform" => Shape::Uniform,
            "heavy" => Shape::Heavy,
            "flag" => Shape::Flag,
            "level" => Shape::Level,
            unknown => unreachable!("columns.csv: no kind is called {unknown}"),
        };
        let (a, b) = (number(2, 0.0), number(3, 0.0));
        Self { shape, a, b, inv: number(4, 1.0), missing: number(5, 0.0) }
    }
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// Empty for a numeric column.
    levels: Vec<String>,
    distribution: Distribution,
    /// CRC-32 of the name, times 4: room for the stream.
    key: u64,
}

/// Draws rows for one model.
#[derive(Debug, Clone)]
pub struct Generator {
    columns: Vec<Column>,
    seed: u64,
}

impl Generator {
    /// Rows for the features of `model`, in its order; an offset column gets no values.
    pub fn new(model: &Model, seed: u64) -> Self {
        let features =
            model.schema().columns().iter().filter(|column| column.role == Role::Feature);
        let named = features.map(|column| match column.kind {
            Kind::Numeric => (column.name.clone(), Vec::new()),
            Kind::Categorical => (column.name.clone(), column.levels.clone()),
        });
        Self::from_columns(named, seed)
    }

    /// `columns`: name and levels; no levels = numeric.
    fn from_columns(columns: impl Iterator<Item = (String, Vec<String>)>, seed: u64) -> Self {
        let columns = columns.map(|(name, levels)| Column {
            distribution: Distribution::of(&name),
            key: u64::from(crc32(name.as_bytes())) * 4,
            name,
            levels,
        });
        Self { columns: columns.collect(), seed }
    }

    /// Row `row` of column `column` as the model sees it; NaN where the cell is absent.
    fn value(&self, column: &Column, row: u64) -> f64 {
        let Distribution { shape, a, b, inv, missing } = column.distribution;
        let u = || unit(self.hash(column, row, 0));
        let n = column.levels.len();
        let drawn = match shape {
            _ if n > 0 => {
                let u = u();
                (n as f64 * u * u).floor()
            }
            Shape::Uniform => ((a + b * u()) * inv).floor() / inv,
            Shape::Heavy => {
                let u = u();
                (b * u * u / (1.01 - u) * inv).floor() / inv
            }
            Shape::Flag => f64::from(u8::from(u() < a)),
            // A numeric column that is called like one with levels has no distribution of its own.
            Shape::Normal | Shape::Level => {
                ((a + b * bell(self.hash(column, row, 0))) * inv).floor() / inv
            }
        };
        if missing > 0.0 && unit(self.hash(column, row, 1)) < missing {
            return f64::NAN;
        }
        drawn + 0.0 // No negative zero.
    }

    fn hash(&self, column: &Column, row: u64, stream: u64) -> u64 {
        let x = self.seed.wrapping_add(row).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mix(mix(x.wrapping_add(column.key + stream)))
    }

    /// Writes rows `start..start + rows`, after the header where the format has one.
    pub fn write(
        &self,
        out: &mut impl Write,
        format: Format,
        start: u64,
        rows: u64,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        if format == Format::Csv {
            self.header(&mut line);
            out.write_all(&line)?;
        }
        for row in start..start.saturating_add(rows) {
            line.clear();
            match format {
                Format::Csv => self.csv_line(row, &mut line)?,
                Format::Jsonl => self.json_line(row, &mut line)?,
                Format::F64 => {
                    let values = self.columns.iter().map(|column| self.value(column, row));
                    line.extend(values.flat_map(f64::to_le_bytes));
                }
            }
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn header(&self, line: &mut Vec<u8>) {
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            push_csv(line, &column.name);
        }
        self.end_line(line);
    }

    fn csv_line(&self, row: u64, line: &mut Vec<u8>) -> io::Result<()> {
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            let value = self.value(column, row);
            if value.is_nan() {
                continue;
            }
            match column.levels.get(value as usize) {
                Some(level) => push_csv(line, level),
                None => push_number(line, value, false)?,
            }
        }
        self.end_line(line);
        Ok(())
    }

    /// A line with a single empty cell would be an empty line, which is no row.
    fn end_line(&self, line: &mut Vec<u8>) {
        if line.is_empty() && self.columns.len() == 1 {
            line.extend(b"\"\"");
        }
        line.push(b'\n');
    }

    fn json_line(&self, row: u64, line: &mut Vec<u8>) -> io::Result<()> {
        line.push(b'{');
        for column in &self.columns {
            let value = self.value(column, row);
            if value.is_nan() {
                continue;
            }
            if line.len() > 1 {
                line.extend(b", ");
            }
            push_json(line, &column.name);
            line.extend(b": ");
            match column.levels.get(value as usize) {
                Some(level) => push_json(line, level),
                None => push_number(line, value, true)?,
            }
        }
        line.extend(b"}\n");
        Ok(())
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// 53 bits as a number in `0.0..1.0`.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Nearly normal, mean 0, deviation 1: the sum of four uniform parts.
fn bell(hash: u64) -> f64 {
    let part = |at: u32| (hash >> at) & 0xFFFF;
    ((part(0) + part(16) + part(32) + part(48)) as f64 - 131_070.0) / 37_837.0
}

/// CRC-32 as in zip files (polynomial 0xEDB88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// RFC 4180: quoted only where it must be.
fn push_csv(line: &mut Vec<u8>, text: &str) {
    if !text.contains(['"', ',', '\n', '\r']) {
        line.extend(text.bytes());
        return;
    }
    line.push(b'"');
    line.extend(text.replace('"', "\"\"").bytes());
    line.push(b'"');
}

fn push_json(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    for c in text.chars() {
        match c {
            '"' => line.extend(b"\\\""),
            '\\' => line.extend(b"\\\\"),
            '\n' => line.extend(b"\\n"),
            '\r' => line.extend(b"\\r"),
            '\t' => line.extend(b"\\t"),
            '\u{8}' => line.extend(b"\\b"),
            '\u{c}' => line.extend(b"\\f"),
            c if c < ' ' => line.extend(format!("\\u{:04x}", u32::from(c)).bytes()),
            c => line.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    line.push(b'"');
}

/// The shortest digits that parse back to the same bits, in the form Python's `repr` gives them:
/// with an exponent below 1e-4 and from 1e16 on. A whole number has `.0` only where `point` asks.
fn push_number(line: &mut Vec<u8>, value: f64, point: bool) -> io::Result<()> {
    if value == value.trunc() && (!point || value.abs() < 1e16) {
        let end = if point { ".0" } else { "" };
        return write!(line, "{value:.0}{end}");
    }
    if (1e-4..1e16).contains(&value.abs()) {
        return write!(line, "{value}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    write!(line, "{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use stemson_mojo::LoadOptions;

    use super::*;

    fn generator(model: &str, seed: u64) -> Generator {
        let bytes = std::fs::read(file(model, "model.zip")).unwrap();
        Generator::new(&Model::load(&bytes, &LoadOptions::default()).unwrap(), seed)
    }

    fn file(case: &str, name: &str) -> String {
        format!("{}/models/{case}/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn text(generator: &Generator, format: Format, start: u64, rows: u64) -> String {
        let mut bytes = Vec::new();
        generator.write(&mut bytes, format, start, rows).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// `input.csv` of a case is rows 0-199, `typed.jsonl` rows 200-207.
    #[test]
    fn the_rows_of_the_bench_models() {
        // The others have the columns of one of these.
        for case in ["gbm100d6", "gbm100d6_num", "xgb300d8"] {
            let generator = generator(case, 1);
            let expected = |name| std::fs::read_to_string(file(case, name)).unwrap();
            same_lines(&text(&generator, Format::Csv, 0, 200), &expected("input.csv"));
            same_lines(&text(&generator, Format::Jsonl, 200, 8), &spoken(&expected("typed.jsonl")));
        }
    }

    #[track_caller]
    fn same_lines(found: &str, expected: &str) {
        assert_eq!(found.lines().count(), expected.lines().count());
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected);
        }
    }

    /// A typed row says of an absent number that it is missing; here the key is left out.
    fn spoken(typed: &str) -> String {
        let keys = |line: &str| {
            let keys = line.split(", ").filter(|key| !key.contains("{\"f64\": \"NaN\"}"));
            keys.collect::<Vec<_>>().join(", ")
        };
        typed.lines().map(|line| keys(line) + "\n").collect()
    }

    #[test]
    fn a_row_does_not_depend_on_where_the_run_starts() {
        let generator = generator("gbm100d6", 7);
        let all = text(&generator, Format::Jsonl, 0, 30);
        let parts =
            text(&generator, Format::Jsonl, 0, 11) + &text(&generator, Format::Jsonl, 11, 19);
        assert_eq!(all, parts);
    }

    #[test]
    fn doubles_are_row_major() {
        let levels = vec!["x".to_owned(), "y".to_owned()];
        let columns = [("n26".to_owned(), vec![]), ("c3".to_owned(), levels)];
        let generator = Generator::from_columns(columns.into_iter(), 1);
        let mut bytes = Vec::new();
        generator.write(&mut bytes, Format::F64, 0, 64).unwrap();
        let values = bytes.as_chunks::<8>().0.iter().map(|it| f64::from_le_bytes(*it));
        let values: Vec<_> = values.collect();
        assert_eq!(values.len(), 128);
        let row = |value: f64, level: &str| format!("{value},{level}\n");
        let lines = values.chunks(2).map(|pair| match pair[1] {
            level if level.is_nan() => row(pair[0], ""),
            level => row(pair[0], ["x", "y"][level as usize]),
        });
        let csv: String = std::iter::once("n26,c3\n".to_owned()).chain(lines).collect();
        assert_eq!(text(&generator, Format::Csv, 0, 64), csv);
    }

    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        let cases = [
            ("plain", "plain", r#""plain""#),
            ("a,b", r#""a,b""#, r#""a,b""#),
            ("say \"x\"", r#""say ""x""""#, r#""say \"x\"""#),
            ("two\nlines", "\"two\nlines\"", r#""two\nlines""#),
            ("back\\slash", "back\\slash", r#""back\\slash""#),
            ("\u{1}\t", "\u{1}\t", r#""\u0001\t""#),
            ("żółw", "żółw", r#""żółw""#),
        ];
        for (text, csv, json) in cases {
            let (mut as_csv, mut as_json) = (Vec::new(), Vec::new());
            push_csv(&mut as_csv, text);
            push_json(&mut as_json, text);
            assert_eq!(String::from_utf8(as_csv).unwrap(), csv);
            assert_eq!(String::from_utf8(as_json).unwrap(), json);
        }
    }

    #[test]
    fn numbers_in_the_form_of_python() {
        let cases = [
            (0.0, "0", "0.0"),
            (-3.0, "-3", "-3.0"),
            (0.001, "0.001", "0.001"),
            (1e-4, "0.0001", "0.0001"),
            (-1.5e-5, "-1.5e-05", "-1.5e-05"),
            (2.5e-123, "2.5e-123", "2.5e-123"),
            (9_007_199_254_740_992.0, "9007199254740992", "9007199254740992.0"),
            (1e16, "10000000000000000", "1e+16"),
            (1.5e300, &format!("{:.0}", 1.5e300), "1.5e+300"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        ];
        for (value, csv, json) in cases {
            for (point, expected) in [(false, csv), (true, json)] {
                let mut line = Vec::new();
                push_number(&mut line, value, point).unwrap();
                assert_eq!(String::from_utf8(line).unwrap(), expected);
            }
        }
    }
}
