//! From the four texts of a target encoder to its answers.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Encoding, Source, TargetEncoder};
use crate::error::LoadError;
use crate::head::Head;
use crate::ini::{self, java_trim, parse_i32, shorten};
use crate::java::parse_double;
use crate::math::exp;
use crate::reader::Reader;

const MAP: &str = "feature_engineering/target_encoding/encoding_map.ini";
const SEEN: &str =
    "feature_engineering/target_encoding/te_column_name_to_missing_values_presence.ini";
const INPUTS: &str = "feature_engineering/target_encoding/input_encoding_columns_map.ini";
const OUTPUTS: &str = "feature_engineering/target_encoding/input_output_columns_map.ini";

/// What the name of an encoding takes, as a rule.
const NAME_BYTES: usize = 256;

/// The class of shares that have none: those of two classes, or of a number.
const NO_CLASS: i32 = -1;

/// Sum and count of a category.
type Share = (f64, f64);

/// A section of the encoding map, in the order of the file.
#[derive(Default)]
struct Section {
    name: String,
    categories: Vec<(i32, HashMap<i32, Share>)>,
    place_of: HashMap<i32, usize>,
}

/// A block `[from]`, `[to]`, `[to_domain]` of a column map.
#[derive(Default)]
struct Block {
    from: Vec<String>,
    to: Option<Vec<String>>,
    domain: Option<Vec<String>>,
}

struct Blending {
    inflection_point: f64,
    smoothing: f64,
}

pub(super) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<TargetEncoder, LoadError> {
    let ini = reader.ini();
    let blending = if ini.bool_or("with_blending", false)? {
        let inflection_point = ini.f64("inflection_point")?;
        Some(Blending { inflection_point, smoothing: ini.f64("smoothing")? })
    } else {
        None
    };
    let classes = read_classes(head)?;
    let sections = read_map(reader, classes.len() > 1)?;
    let seen = read_seen(reader)?;
    let mut inputs = read_blocks(reader, INPUTS)?;
    let outputs = read_blocks(reader, OUTPUTS)?;
    if inputs.is_empty() {
        inputs = legacy_inputs(&sections);
    }
    // Of two sections of one name the later one counts.
    let by_name: HashMap<&str, &Section> = sections.iter().map(|s| (s.name.as_str(), s)).collect();
    let columns = Columns::new(reader, head);
    let mut name_bytes = 0_usize;
    let mut encodings = Vec::new();
    let mut met = HashSet::new();
    for block in inputs {
        let name = block.to.as_ref().and_then(|to| to.first()).cloned().unwrap_or_default();
        if !met.insert(name.clone()) {
            return Err(reader.bad_entry(INPUTS, format!("`{}` is there twice", shorten(&name))));
        }
        let section = by_name.get(name.as_str());
        let section = section
            .ok_or_else(|| reader.bad_entry(MAP, format!("no section `[{}]`", shorten(&name))))?;
        let n_answers = met.len().saturating_mul(classes.len());
        // A name that is longer than most is there once for each class.
        name_bytes = name_bytes.saturating_add(name.len().saturating_mul(classes.len()));
        if n_answers.max(name_bytes / NAME_BYTES) > reader.limits().columns_max {
            return Err(LoadError::Limit {
                what: format!("the number of encodings, of {NAME_BYTES} bytes of name each,"),
                found: n_answers.max(name_bytes / NAME_BYTES) as u64,
                limit: reader.limits().columns_max as u64,
                name: "columns_max",
            });
        }
        let source = columns.source(&block).map_err(|reason| reader.bad_entry(INPUTS, reason))?;
        let answers = answers(section, &classes, blending.as_ref());
        let (priors, answers) = answers.ok_or_else(|| {
            let reason =
                format!("section `[{}]` lacks some class of some category", shorten(&name));
            reader.bad_entry(MAP, reason)
        })?;
        let missing = match seen.get(&name) {
            None => None,
            Some(false) => Some(priors),
            // The last category stands for missing.
            Some(true) => {
                let last = answers.len().checked_sub(1).and_then(|last| i32::try_from(last).ok());
                last.and_then(|last| answers.get(&last).cloned())
            }
        };
        let categories = answers.keys().copied().collect();
        let answers = answers.into_values().flatten().collect();
        encodings.push(Encoding { name, source, categories, answers, missing });
    }
    let output_columns = output_columns(&encodings, &outputs, classes.len());
    let blended = blending.is_some();
    Ok(TargetEncoder { encodings, per_column: classes.len(), blended, output_columns })
}

/// The classes that have answers.
fn read_classes(head: &Head) -> Result<Vec<i32>, LoadError> {
    if head.n_classes <= 2 {
        return Ok(vec![NO_CLASS]);
    }
    let levels = head.domains.last().and_then(Option::as_ref).map_or(0, Vec::len);
    match i32::try_from(head.n_classes) {
        Ok(n) if head.n_classes == levels => Ok((1..n).collect()),
        _ => Err(LoadError::BadValue {
            key: "n_classes".to_owned(),
            found: head.n_classes.to_string(),
            expected: format!("{levels}, the levels of the response"),
        }),
    }
}

fn read_map(reader: &Reader<'_, '_>, has_classes: bool) -> Result<Vec<Section>, LoadError> {
    let text = reader.text(MAP)?;
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in ini::lines(&text).enumerate() {
        let line = java_trim(line);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), ..Section::default() });
        } else if !line.is_empty() {
            let added = sections.last_mut().and_then(|s| s.add(line, has_classes));
            added.ok_or_else(|| {
                let expected =
                    if has_classes { "category = sum count class" } else { "category = sum count" };
                let number = number.saturating_add(1);
                let line = shorten(line);
                reader
                    .bad_entry(MAP, format!("line {number}: expected `{expected}`, found `{line}`"))
            })?;
        }
    }
    if sections.is_empty() {
        return Err(reader.bad_entry(MAP, "there is no section".to_owned()));
    }
    Ok(sections)
}

impl Section {
    fn add(&mut self, line: &str, has_classes: bool) -> Option<()> {
        let (category, values) = line.split_once('=')?;
        let category = parse_i32(category.trim())?;
        let mut values = values.trim_start().split(' ');
        let (sum, count) = (parse_double(values.next()?)?, parse_double(values.next()?)?);
        let class = if has_classes { parse_i32(values.next()?)? } else { NO_CLASS };
        let place = *self.place_of.entry(category).or_insert(self.categories.len());
        if place == self.categories.len() {
            self.categories.push((category, HashMap::new()));
        }
        self.categories.get_mut(place)?.1.insert(class, (sum, count));
        Some(())
    }

    /// All sums over all counts, added up in the order of the map that genmodel keeps.
    fn prior(&self, class: i32) -> Option<f64> {
        let hashes: Vec<i32> = self.categories.iter().map(|&(category, _)| category).collect();
        let (mut sum, mut count) = (0.0, 0.0);
        for place in hash_order(&hashes) {
            let share = self.categories.get(place)?.1.get(&class)?;
            sum += share.0;
            count += share.1;
        }
        Some(sum / count)
    }
}

/// Whether training saw missing values, by encoded column.
fn read_seen(reader: &Reader<'_, '_>) -> Result<HashMap<String, bool>, LoadError> {
    if !reader.contains(SEEN) {
        return Ok(HashMap::new());
    }
    let text = reader.text(SEEN)?;
    let lines = ini::lines(&text).map(java_trim).filter(|line| !line.is_empty());
    let parsed = lines.map(|line| {
        // A name may hold `=`, the flag cannot.
        let flag = line.rsplit_once('=').and_then(|(name, flag)| {
            Some((name.trim_end().to_owned(), parse_i32(flag.trim_start())? == 1))
        });
        flag.ok_or_else(|| {
            reader
                .bad_entry(SEEN, format!("expected `column = 0` or `1`, found `{}`", shorten(line)))
        })
    });
    parsed.collect()
}

fn read_blocks(reader: &Reader<'_, '_>, entry: &str) -> Result<Vec<Block>, LoadError> {
    if !reader.contains(entry) {
        return Ok(Vec::new());
    }
    let text = reader.text(entry)?;
    let mut blocks: Vec<Block> = Vec::new();
    for line in ini::lines(&text).map(java_trim) {
        let Some(block) = blocks.last_mut().filter(|_| line != "[from]") else {
            if line != "[from]" {
                let reason = format!("expected `[from]` first, found `{}`", shorten(line));
                return Err(reader.bad_entry(entry, reason));
            }
            blocks.push(Block::default());
            continue;
        };
        match (line, &mut block.to, &mut block.domain) {
            ("[to]", to, _) => *to = Some(Vec::new()),
            ("[to_domain]", _, domain) => *domain = Some(Vec::new()),
            (line, _, Some(domain)) => domain.push(line.to_owned()),
            (line, Some(to), None) => to.push(line.to_owned()),
            (line, None, None) => block.from.push(line.to_owned()),
        }
    }
    // genmodel passes over blocks without `[to]`.
    blocks.retain(|block| block.to.is_some());
    Ok(blocks)
}

/// The blocks of a file without column maps.
fn legacy_inputs(sections: &[Section]) -> Vec<Block> {
    let mut names: Vec<&str> = Vec::new();
    let mut met = HashSet::new();
    for section in sections {
        if met.insert(section.name.as_str()) {
            names.push(&section.name);
        }
    }
    let hashes: Vec<i32> = names.iter().map(|name| string_hash(name)).collect();
    let ordered = hash_order(&hashes).into_iter().filter_map(|place| names.get(place));
    let block = |name: &&str| Block {
        from: vec![(*name).to_owned()],
        to: Some(vec![(*name).to_owned()]),
        domain: None,
    };
    ordered.map(block).collect()
}

/// The inputs of the model by name: their places and domains.
struct Columns<'a> {
    places: HashMap<&'a str, usize>,
    head: &'a Head,
}

impl<'a> Columns<'a> {
    fn new(reader: &'a Reader<'_, '_>, head: &'a Head) -> Self {
        // Of two columns of one name genmodel takes the later one.
        let names = reader.ini().columns.iter().enumerate();
        Self { places: names.map(|(place, name)| (name.as_str(), place)).collect(), head }
    }

    /// Place in the raw row and number of levels.
    fn find(&self, name: &str) -> Result<(usize, usize), String> {
        let place = self.places.get(name).copied();
        let place = place.filter(|&place| place < self.head.n_features);
        let place = place.ok_or_else(|| format!("`{}` is no input of the model", shorten(name)))?;
        let domain = self.head.domains.get(place).and_then(Option::as_ref);
        let domain = domain.ok_or_else(|| format!("`{}` has no levels", shorten(name)))?;
        Ok((place, domain.len()))
    }

    fn source(&self, block: &Block) -> Result<Source, String> {
        let columns: Vec<_> = block.from.iter().map(|n| self.find(n)).collect::<Result<_, _>>()?;
        match columns.as_slice() {
            [] => return Err("a block without columns".to_owned()),
            &[(place, _)] => return Ok(Source::Column(place)),
            _ => {}
        }
        let codes = block.domain.as_ref().and_then(|domain| {
            domain.iter().map(|code| code.parse().ok()).collect::<Option<Vec<i64>>>()
        });
        // Of equal codes a binary search would find some one.
        match codes.filter(|codes| codes.is_sorted_by(|a, b| a < b)) {
            Some(codes) => Ok(Source::Interaction { columns, codes }),
            None => Err(format!(
                "the interaction of `{}` needs `[to_domain]`, whole numbers that rise",
                shorten(&block.from.join("`, `"))
            )),
        }
    }
}

type Priors = Vec<f64>;

/// The priors by class, and each category's answers; `None` if a class is missing somewhere.
fn answers(
    section: &Section,
    classes: &[i32],
    blending: Option<&Blending>,
) -> Option<(Priors, BTreeMap<i32, Vec<f64>>)> {
    let priors: Priors =
        classes.iter().map(|&class| section.prior(class)).collect::<Option<_>>()?;
    let answers = section.categories.iter().map(|(category, shares)| {
        let answer = |(class, &prior)| Some(answer(shares.get(class)?, prior, blending));
        let answers: Option<_> = classes.iter().zip(&priors).map(answer).collect();
        Some((*category, answers?))
    });
    let answers = answers.collect::<Option<_>>()?;
    Some((priors, answers))
}

fn answer(&(sum, count): &Share, prior: f64, blending: Option<&Blending>) -> f64 {
    let mean = sum / count;
    let Some(Blending { inflection_point, smoothing }) = blending else { return mean };
    // genmodel takes the count for a whole number.
    let lambda = 1.0 / (1.0 + exp((inflection_point - count.trunc()) / smoothing));
    lambda * mean + (1.0 - lambda) * prior
}

fn output_columns(encodings: &[Encoding], outputs: &[Block], per_column: usize) -> Vec<String> {
    let named: Vec<String> =
        outputs.iter().filter_map(|b| b.to.as_ref()).flatten().cloned().collect();
    if named.len() == encodings.len().saturating_mul(per_column) {
        return named;
    }
    let names = encodings.iter().flat_map(|Encoding { name, .. }| {
        (1..=per_column).map(move |class| match per_column {
            1 => format!("{name}_te"),
            _ => format!("{name}_{class}_te"),
        })
    });
    names.collect()
}

/// Places in the order in which a `java.util.HashMap` gives keys that were added one by one.
///
/// `hashes`: `hashCode` of each key. By bucket, within a bucket as added. Buckets of more than 8
/// keys, which Java turns into trees, may be in another order there.
fn hash_order(hashes: &[i32]) -> Vec<usize> {
    let mut buckets = 16_u64;
    while (hashes.len() as u64) > (buckets >> 2).saturating_mul(3) {
        buckets = buckets.saturating_mul(2);
    }
    let bucket = |&place: &usize| {
        let hash = hashes.get(place).map_or(0, |hash| hash.cast_unsigned());
        u64::from(hash ^ (hash >> 16)) & buckets.saturating_sub(1)
    };
    let mut places: Vec<usize> = (0..hashes.len()).collect();
    places.sort_by_key(bucket);
    places
}

/// Java's `String.hashCode`.
fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, c| hash.wrapping_mul(31).wrapping_add(i32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected orders from Java 17.
    #[test]
    fn hash_order_is_that_of_java() {
        let order = |names: &[&str]| -> Vec<String> {
            let hashes: Vec<i32> = names.iter().map(|name| string_hash(name)).collect();
            hash_order(&hashes).into_iter().map(|place| names[place].to_owned()).collect()
        };
        assert_eq!(string_hash("hello"), 99_162_322);
        assert_eq!(order(&["c300", "c3", "c60", "c12"]), ["c3", "c12", "c60", "c300"]);
        let names: Vec<String> =
            (0..30).map(|i| format!("col {}\u{e9}\u{65e5}", i * 7919)).collect();
        let hashes: Vec<i32> = names.iter().map(|name| string_hash(name)).collect();
        let expected = [
            2, 17, 14, 22, 5, 9, 28, 26, 19, 0, 3, 11, 16, 15, 29, 13, 6, 8, 27, 1, 12, 21, 24, 7,
            4, 20, 10, 18, 25, 23,
        ];
        assert_eq!(hash_order(&hashes), expected);
        let numbers: Vec<i32> = (0..40).rev().collect();
        let ordered: Vec<i32> = hash_order(&numbers).into_iter().map(|i| numbers[i]).collect();
        assert_eq!(ordered, (0..40).collect::<Vec<_>>());
        // From 65,536 on the upper half stirs the buckets.
        let numbers: Vec<i32> = (0..70_000).collect();
        assert_eq!(hash_order(&numbers)[65_535..65_540], [65_535, 65_537, 65_536, 65_539, 65_538]);
    }
}
