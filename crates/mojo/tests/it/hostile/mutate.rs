//! Ways to damage a MOJO, and each says what it did.

use std::rc::Rc;

use super::random::Random;
use super::zip::{self, Entry};

/// Bytes that a text grows by at one go.
const GROWTH_MAX: usize = 2 << 20;

/// Numbers that programs stumble over, as text.
const NUMBERS: &[&str] = &[
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "255",
    "65535",
    "65536",
    "100000",
    "1000000",
    "16777216",
    "268435455",
    "268435456",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "9223372036854775807",
    "1e9",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e308",
    "-1e308",
    "5e-324",
    "0.0",
    "-0.0",
    "0.5",
    "null",
    "true",
    "false",
    "",
    "[]",
    "[1]",
    "[NaN]",
    "x",
];

/// The same for binary fields.
const INTEGERS: &[i64] = &[
    0,
    1,
    2,
    3,
    0x30,
    0x40,
    127,
    128,
    255,
    256,
    32_767,
    65_534,
    65_535,
    65_536,
    1 << 20,
    1 << 24,
    1 << 28,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 32,
    i64::MAX,
    i64::MIN,
    -1,
    -2,
];

const FLOATS: &[f64] = &[
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    0.5,
    1e30,
    -1e30,
    1e300,
    1e-40,
    5e-324,
];

/// Values of keys that decide how the rest is read.
const SWITCHES: &[(&str, &[&str])] = &[
    (
        "algorithm",
        &[
            "Gradient Boosting Machine",
            "Distributed Random Forest",
            "XGBoost",
            "Generalized Linear Model",
            "Generalized Additive Model",
            "Deep Learning",
            "K-means",
            "Principal Components Analysis",
            "Generalized Low Rank Modeling",
            "Word2Vec",
            "StackedEnsemble",
            "CoxPH",
            "RuleFit",
            "TargetEncoder",
            "Isotonic Regression",
            "Isolation Forest",
            "Extended Isolation Forest",
            "Uplift Distributed Random Forest",
            "MOJO Pipeline",
            "k-LIME",
            "Support Vector Machine (*Spark*)",
        ],
    ),
    (
        "category",
        &[
            "Binomial",
            "Multinomial",
            "Ordinal",
            "Regression",
            "Clustering",
            "AutoEncoder",
            "DimReduction",
            "WordEmbedding",
            "CoxPH",
            "AnomalyDetection",
            "TargetEncoder",
            "BinomialUplift",
            "KLime",
            "Unknown",
        ],
    ),
    ("mojo_version", &["1.00", "1.0", "1.10", "1.20", "1.30", "1.40", "0.5", "NaN", "-1"]),
    (
        "_genmodel_encoding",
        &["Enum", "OneHotExplicit", "Binary", "EnumLimited", "Eigen", "LabelEncoder"],
    ),
    ("link_function", &["log", "logit", "ologlog", "inverse", "identity", "oprobit", "ologit"]),
    (
        "distribution",
        &["bernoulli", "multinomial", "gaussian", "poisson", "modified_huber", "ordinal"],
    ),
    ("family", &["binomial", "multinomial", "ordinal", "gaussian", "tweedie", "quasibinomial"]),
    ("default_threshold", &["NaN", "-Infinity", "2"]),
];

/// A damaged copy of one of the models, and what was done to it.
pub(super) fn damage(models: &[(String, Vec<Entry>)], random: &mut Random) -> (Vec<u8>, String) {
    let (name, entries) = random.pick(models);
    let mut entries = entries.clone();
    let mut done = vec![name.clone()];
    for _ in 0..=(random.below(3) * random.below(2)) {
        let (_, donor) = random.pick(models);
        done.push(damage_archive(&mut entries, donor, random));
    }
    let mut zip = zip::pack(&entries);
    // Checksums are right up to here; the container itself is damaged less often.
    if random.one_in(12) {
        let what = damage_container(&mut zip, random);
        done.push(format!("archive: {what}"));
    }
    (zip, done.join("; "))
}

fn damage_archive(entries: &mut Vec<Entry>, donor: &[Entry], random: &mut Random) -> String {
    if entries.is_empty() {
        return "nothing left".to_owned();
    }
    let at = random.below(entries.len());
    match random.below(24) {
        0 => {
            let gone = entries.remove(at);
            format!("{} deleted", gone.name)
        }
        1 => {
            let other = random.below(entries.len());
            let what = format!("{} and {} swapped", entries[at].name, entries[other].name);
            let name = std::mem::take(&mut entries[at].name);
            entries[at].name = std::mem::replace(&mut entries[other].name, name.clone());
            if at == other {
                entries[at].name = name;
            }
            what
        }
        2 => {
            let given = random.pick(donor).clone();
            let what = format!("{} of another model", given.name);
            entries.retain(|entry| entry.name != given.name);
            entries.push(given);
            what
        }
        3 => {
            let copy = Rc::clone(&entries[random.below(entries.len())].data);
            let name = entries[at].name.clone();
            entries[at] = Entry::new(&name, &copy);
            format!("{name} has another entry's content")
        }
        choice => {
            // Half of all goes where the words are.
            let ini = entries.iter().position(|entry| entry.name == "model.ini");
            let at = ini.filter(|_| choice < 14).unwrap_or(at);
            let name = entries[at].name.clone();
            let (data, what) = damage_entry(&entries[at].data, random);
            entries[at] = Entry::new(&name, &data);
            if random.one_in(8) {
                entries[at].deflate();
            }
            format!("{name}: {what}")
        }
    }
}

fn damage_container(zip: &mut Vec<u8>, random: &mut Random) -> String {
    // Half of it in the directory, which lies at the end.
    let from = if random.one_in(2) { zip.len().saturating_sub(2048) } else { 0 };
    let mut tail = zip.split_off(from);
    let what = damage_bytes(&mut tail, random);
    zip.extend(tail);
    what
}

fn damage_entry(data: &[u8], random: &mut Random) -> (Vec<u8>, String) {
    let text = std::str::from_utf8(data).ok();
    match text.filter(|text| text.contains('\n') && !text.contains('\0')) {
        Some(text) if !random.one_in(6) => {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let what = damage_lines(&mut lines, random);
            lines.push(String::new());
            (lines.join("\n").into_bytes(), what)
        }
        _ => {
            let mut bytes = data.to_vec();
            let what = damage_bytes(&mut bytes, random);
            (bytes, what)
        }
    }
}

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let len = bytes.len();
    // The first bytes are counts and lengths, as a rule.
    let within = if random.one_in(2) { len.min(400) } else { len };
    let at = random.below(within);
    match random.below(8) {
        0 => {
            let n = 1 + random.below(8);
            for _ in 0..n.min(len) {
                let place = random.below(within);
                bytes[place] ^= 1 << random.below(8);
            }
            format!("{n} bits flipped")
        }
        1 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        2 => {
            let n = 1 + random.below(64);
            let new = random.bytes(n);
            bytes.splice(at..at, new);
            format!("{n} bytes inserted at {at}")
        }
        3 => {
            let end = len.min(at + 1 + random.below(64));
            bytes.drain(at..end);
            format!("bytes {at}..{end} removed")
        }
        4 => {
            let from = random.below(len);
            let piece = bytes[from..len.min(from + 1 + random.below(4096))].to_vec();
            let n = piece.len();
            bytes.splice(at..at, piece);
            format!("{n} bytes of {from} repeated at {at}")
        }
        _ => {
            let number = binary_number(random);
            let room = number.len().min(len - at.min(len));
            bytes[at..at + room].copy_from_slice(&number[..room]);
            format!("bytes at {at} are {number:02x?}")
        }
    }
}

fn binary_number(random: &mut Random) -> Vec<u8> {
    let (integer, float) = (*random.pick(INTEGERS), *random.pick(FLOATS));
    let mut bytes = match random.below(6) {
        0 => vec![integer as u8],
        1 => (integer as u16).to_le_bytes().to_vec(),
        2 | 3 => (integer as u32).to_le_bytes().to_vec(),
        4 if random.one_in(2) => integer.to_le_bytes().to_vec(),
        4 => float.to_le_bytes().to_vec(),
        _ => (float as f32).to_le_bytes().to_vec(),
    };
    if random.one_in(2) {
        bytes.reverse();
    }
    bytes
}

fn damage_lines(lines: &mut Vec<String>, random: &mut Random) -> String {
    if lines.is_empty() {
        lines.push("[info]".to_owned());
    }
    let at = random.below(lines.len());
    match random.below(16) {
        0 => format!("line `{}` removed", shorten(&lines.remove(at))),
        1 => {
            let line = lines[at].clone();
            let n =
                (*random.pick(&[1, 1, 2, 1000, 100_000])).min(1 + GROWTH_MAX / (line.len() + 1));
            let what = format!("line `{}` {n} times more", shorten(&line));
            lines.splice(at..at, std::iter::repeat_n(line, n));
            what
        }
        2 => {
            let other = random.below(lines.len());
            lines.swap(at, other);
            format!("lines {at} and {other} swapped")
        }
        3 => {
            let other = random.pick(lines).clone();
            let value = other.split_once('=').map_or(other.as_str(), |it| it.1);
            let key = lines[at].split_once('=').map_or("", |it| it.0);
            let line = format!("{key}={value}");
            let what = format!("line `{}` is `{}`", shorten(&lines[at]), shorten(&line));
            lines[at] = line;
            what
        }
        4 | 5 => switch(lines, random),
        6 | 7 => damage_array(lines, random),
        8 => {
            let new = String::from_utf8_lossy(&random.bytes(12)).into_owned();
            let place = lines[at].len();
            let place =
                (0..=random.below(place + 1)).rev().find(|&i| lines[at].is_char_boundary(i));
            lines[at].insert_str(place.unwrap_or(0), &new);
            format!("line {at} is `{}`", shorten(&lines[at]))
        }
        _ => damage_number(lines, random),
    }
}

fn switch(lines: &mut Vec<String>, random: &mut Random) -> String {
    let (key, values) = random.pick(SWITCHES);
    let line = format!("{key} = {}", random.pick(values));
    let is_key = |line: &String| line.split('=').next().is_some_and(|it| it.trim() == *key);
    match lines.iter_mut().find(|line| is_key(line)) {
        Some(old) => old.clone_from(&line),
        None => lines.insert(1.min(lines.len()), line.clone()),
    }
    format!("`{line}`")
}

/// Another number in place of one of the text's; those behind `=` come first.
fn damage_number(lines: &mut [String], random: &mut Random) -> String {
    for _ in 0..50 {
        let line = random.pick(lines).clone();
        let from = line.find('=').map_or(0, |at| at + 1);
        let numbers = numbers(&line[from..]);
        if numbers.is_empty() {
            continue;
        }
        let number = random.pick(&numbers).clone();
        let (start, end) = (from + number.start, from + number.end);
        let new = other_number(&line[start..end], random);
        let what = format!("`{}`: `{}` is `{new}`", shorten(&line), &line[start..end]);
        let changed = format!("{}{new}{}", &line[..start], &line[end..]);
        if let Some(place) = lines.iter_mut().find(|it| **it == line) {
            *place = changed;
        }
        return what;
    }
    "no number found".to_owned()
}

fn other_number(old: &str, random: &mut Random) -> String {
    let near = old.parse::<i64>().ok().filter(|_| random.one_in(3));
    match near {
        Some(old) => {
            let steps =
                [old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2), old.wrapping_neg()];
            random.pick(&steps).to_string()
        }
        None => (*random.pick(NUMBERS)).to_owned(),
    }
}

/// Places of the numbers in a line.
fn numbers(line: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        let is_part = c.is_ascii_digit() || matches!(c, '-' | '.' | 'E' | 'e' | '+');
        match start {
            None if c.is_ascii_digit() || c == '-' => start = Some(at),
            Some(from) if !is_part => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn damage_array(lines: &mut [String], random: &mut Random) -> String {
    let arrays: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].ends_with(']')).collect();
    let arrays: Vec<usize> = arrays.into_iter().filter(|&at| lines[at].contains(" = [")).collect();
    if arrays.is_empty() {
        return damage_number(lines, random);
    }
    let line = &mut lines[*random.pick(&arrays)];
    let (key, value) = line.split_once(" = ").unwrap_or(("", ""));
    let mut parts: Vec<&str> = value
        .trim_matches(['[', ']'])
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    let at = random.below(parts.len());
    let what = match random.below(7) {
        0 => {
            parts.pop();
            "one shorter".to_owned()
        }
        1 => {
            parts.push("1");
            "one longer".to_owned()
        }
        2 => {
            parts.clear();
            "empty".to_owned()
        }
        3 => {
            parts.reverse();
            "backwards".to_owned()
        }
        4 => {
            let n = *random.pick(&[100, 10_000, 100_000]);
            parts.extend(std::iter::repeat_n("1", n));
            format!("{n} longer")
        }
        5 if !parts.is_empty() => {
            parts.drain(..at);
            format!("without the first {at}")
        }
        _ => {
            let number = *random.pick(NUMBERS);
            match parts.get_mut(at) {
                Some(part) => *part = number,
                None => parts.push(number),
            }
            format!("`{number}` at {at}")
        }
    };
    let what = format!("array `{key}`: {what}");
    *line = format!("{key} = [{}]", parts.join(", "));
    what
}

fn shorten(text: &str) -> String {
    text.chars().take(50).collect()
}
