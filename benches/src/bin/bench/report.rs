//! Where figures go: a dated text, and a table in `docs/performance.md`.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Failure, root};

/// The figures of one benchmark: tables, a plot, and notes below them.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    tables: Vec<String>,
    notes: Vec<String>,
    plot: Option<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, tables: Vec::new(), notes: Vec::new(), plot: None }
    }

    pub(crate) fn table(&mut self, table: &str) {
        self.tables.push(table.trim_end().to_owned());
    }

    /// Something to know about the figures; without a full stop.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Bars on a logarithmic scale, for `docs/performance-NAME.svg`.
    pub(crate) fn plot(&mut self, title: &str, bars: &[(String, f64)]) {
        self.plot = Some(plot(title, bars));
    }

    pub(crate) fn text(&self) -> String {
        let notes: Vec<_> = self.notes.iter().map(|note| format!("{note}.")).collect();
        let last = format!("{}, {}. {}", machine(), today(), notes.join(" "));
        format!("{}\n\n{}\n", self.tables.join("\n\n"), last.trim_end())
    }

    /// Puts the tables into `docs/performance.md` and into the machine's text of today.
    pub(crate) fn keep(&self) -> Result<PathBuf, Failure> {
        let (docs, results) = (root().join("docs"), root().join("benches/results"));
        if let Some(plot) = &self.plot {
            fs::write(docs.join(format!("performance-{}.svg", self.name)), plot)?;
        }
        let plot = self.plot.as_ref().map(|_| {
            format!("![Processor time of each engine](performance-{}.svg)\n\n", self.name)
        });
        publish(self.name, &(plot.unwrap_or_default() + &self.text()))?;
        let machine = machine().to_lowercase();
        let words = machine.split(|c: char| !c.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
        let file = results.join(format!("{}-{}.txt", today(), words.collect::<Vec<_>>().join("-")));
        let old = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, with_part(&old, self.name, &self.text()))?;
        Ok(file)
    }
}

/// `text` with the part `name` in place of an older one, or at its end.
fn with_part(text: &str, name: &str, part: &str) -> String {
    const START: &str = "== cargo xtask bench ";
    let mut parts: Vec<(String, String)> = text
        .split(START)
        .filter_map(|it| it.split_once('\n'))
        .map(|(name, part)| (name.to_owned(), part.trim().to_owned()))
        .collect();
    match parts.iter_mut().find(|it| it.0 == name) {
        Some(old) => part.trim().clone_into(&mut old.1),
        None => parts.push((name.to_owned(), part.trim().to_owned())),
    }
    let parts: Vec<_> =
        parts.iter().map(|(name, part)| format!("{START}{name}\n\n{part}\n")).collect();
    parts.join("\n")
}

/// An SVG of horizontal bars; the scale is logarithmic from 1 on.
fn plot(title: &str, bars: &[(String, f64)]) -> String {
    const ROW: usize = 22;
    const LEFT: f64 = 190.0;
    const WIDTH: f64 = 440.0;
    let most = bars.iter().map(|it| it.1).fold(1.0, f64::max);
    let height = 40 + ROW * bars.len();
    let bars = bars.iter().enumerate().map(|(at, (label, value))| {
        let (y, base) = (32 + ROW * at, 45 + ROW * at);
        let width = (value.max(1.0).ln() / most.ln()).clamp(0.005, 1.0) * WIDTH;
        let fill = if label.starts_with("stemson") { "#1a6b3c" } else { "#9aa5b1" };
        format!(
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"16\" fill=\"{fill}\"/>\
             <text x=\"{:.0}\" y=\"{base}\">{value:.1}</text>\n",
            LEFT - 8.0,
            LEFT + width + 6.0,
        )
    });
    let bars: Vec<_> = bars.collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"720\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">{title}</text>\n{}</svg>\n",
        bars.concat()
    )
}

/// `3.14159` as `3.1x`, from ten on without fraction.
pub(crate) fn ratio(times: f64) -> String {
    if times < 9.95 { format!("{times:.1}x") } else { format!("{times:.0}x") }
}

/// Puts `table` between the markers of `name` in `docs/performance.md`.
fn publish(name: &str, table: &str) -> Result<(), Failure> {
    let page = root().join("docs/performance.md");
    let text = fs::read_to_string(&page)?;
    let text = replaced(&text, name, table)
        .ok_or_else(|| format!("docs/performance.md has no `<!-- bench {name} -->`"))?;
    Ok(fs::write(&page, text)?)
}

fn replaced(text: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- bench {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{start}{}\n{end}{after}", table.trim_end()))
}

/// Today in UTC as `2026-11-23`.
fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(now.as_secs() / 86_400)
}

/// Days since 1970-01-01 as a date. Counts in years that begin on 1 March, so that the leap day
/// is a year's last: 400 of them have 146,097 days, and a month's first day is `(153 m + 2) / 5`.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

/// The processor's name and how many of its cores may be used.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|it| it.split_once(':')).map_or(std::env::consts::ARCH, |it| it.1);
    format!("{}, {cores} cores", name.trim())
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let cases = [(0, "1970-01-01"), (11_016, "2000-02-29"), (19_782, "2024-02-29")];
        for (days, expected) in cases.into_iter().chain([(20_780, "2026-11-23")]) {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_part_takes_the_place_of_the_old_one() {
        let text = with_part(&with_part("", "a", "1\n\n2\n"), "b", "3");
        let expected = "== cargo xtask bench a\n\n1\n\n2\n\n== cargo xtask bench b\n\n3\n";
        assert_eq!(text, expected);
        assert_eq!(with_part(&text, "b", "4"), expected.replace('3', "4"));
    }

    #[test]
    fn ratios() {
        for (times, expected) in [(0.96, "1.0x"), (9.94, "9.9x"), (9.96, "10x"), (123.4, "123x")] {
            assert_eq!(ratio(times), expected);
        }
    }

    #[test]
    fn numbers_in_groups() {
        let cases = [(7.0, "7"), (999.6, "1,000"), (123_456.0, "123,456"), (1e6, "1,000,000")];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn a_table_takes_the_place_of_the_old_one() {
        let page = "# P\n<!-- bench a -->\nold\nold\n<!-- end a -->\nmore\n";
        let expected = "# P\n<!-- bench a -->\nnew\n<!-- end a -->\nmore\n";
        assert_eq!(replaced(page, "a", "new\n\n").as_deref(), Some(expected));
        assert_eq!(replaced(page, "b", "new"), None);
    }
}
