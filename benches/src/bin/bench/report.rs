//! Where figures go: a dated text, and a table in `docs/performance.md`.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Failure, root};

/// Writes `text` as `benches/results/<date>-<name>.txt` and says where.
pub(crate) fn keep(name: &str, text: &str) -> Result<PathBuf, Failure> {
    let folder = root().join("benches/results");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}-{name}.txt", today()));
    fs::write(&file, text)?;
    Ok(file)
}

/// Puts `table` between the markers of `name` in `docs/performance.md`.
pub(crate) fn publish(name: &str, table: &str) -> Result<(), Failure> {
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
pub(crate) fn today() -> String {
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
pub(crate) fn machine() -> String {
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
