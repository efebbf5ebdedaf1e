//! Documents: made by a recipe, or sampled; and questions about them.

use std::collections::BTreeMap;

use serde_json::Value;

/// What documents look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Floats with 4 decimals, integers, booleans, categories, tags, a nested object: 1.4 kB.
    Mixed,
    /// The same, floats with all their digits.
    Precise,
    /// The same without floats.
    NoFloats,
    /// Categories, booleans and tags.
    Facets,
}

impl Shape {
    /// The word: `mixed`, `precise`, `no-floats`, `facets`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Precise => "precise",
            Self::NoFloats => "no-floats",
            Self::Facets => "facets",
        }
    }

    /// The document of a row: the same in every run.
    pub(crate) fn document(self, row: u64) -> String {
        let mut random = Random(row);
        let mut text = String::with_capacity(1_500);
        text.push('{');
        let mut put = |key: &str, value: &str| {
            let comma = if text.len() > 1 { "," } else { "" };
            text.extend([comma, "\"", key, "\":", value]);
        };
        if matches!(self, Self::Mixed | Self::Precise) {
            for i in 0..24 {
                let value = random.unit() * 10.0_f64.powi(i % 4) - 0.3;
                let shown = if self == Self::Mixed {
                    format!("{value:.4}")
                } else {
                    format!("{value:.15}")
                };
                put(&format!("feature_{i:02}_ratio"), &shown);
            }
        }
        if self != Self::Facets {
            for i in 0..8 {
                put(&format!("event_count_{i}"), &random.below(10_u64.pow(i % 4 + 1)).to_string());
            }
            put(
                "profile",
                &format!("{{\"age\":{},\"score\":{}}}", 18 + random.below(70), random.below(1_000)),
            );
        }
        for i in 0..6 {
            put(&format!("has_flag_{i}"), if random.below(10) < i + 2 { "true" } else { "false" });
        }
        for (i, levels) in [3, 5, 12, 50, 200, 1_000, 10_000].into_iter().enumerate() {
            // Small numbers are common, large ones rare.
            let level = (random.unit().powi(2) * f64::from(levels)) as u64;
            put(&format!("category_{i}"), &format!("\"level_{level:04}\""));
        }
        let tags: Vec<_> =
            (0..=random.below(4)).map(|_| format!("\"tag_{}\"", random.below(30))).collect();
        put("tags", &format!("[{}]", tags.join(",")));
        if random.below(100) == 0 {
            put("promotion", &format!("\"p{}\"", random.below(20)));
        }
        text.push('}');
        text
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0 ^ (self.0 << 17);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Where documents come from.
pub(crate) enum Documents {
    Made(Shape),
    /// Texts of another table, over and over.
    Sampled(Vec<String>),
}

impl Documents {
    pub(crate) fn document(&self, row: u64) -> String {
        match self {
            Self::Made(shape) => shape.document(row),
            Self::Sampled(texts) => texts[(row % texts.len() as u64) as usize].clone(),
        }
    }
}

/// A question and its condition in SQL, `c` being the column.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) condition: String,
}

/// The questions, and the key that the B-tree is built on.
pub(crate) struct Questions {
    pub(crate) list: Vec<Question>,
    pub(crate) hot_key: String,
}

/// Documents that are looked at to find questions.
const LOOKED_AT: u64 = 2_000;

/// Finds questions of several selectivities in the documents themselves; `None` if they hold no
/// texts, numbers or booleans at their top level.
pub(crate) fn questions(documents: &Documents) -> Option<Questions> {
    let objects: Vec<Value> = (0..LOOKED_AT)
        .filter_map(|row| serde_json::from_str(&documents.document(row)).ok())
        .collect();
    let mut pairs: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for (key, value) in objects.iter().filter_map(Value::as_object).flatten() {
        *keys.entry(key.clone()).or_default() += 1;
        if value.is_string() || value.is_boolean() || value.is_number() {
            *pairs.entry((key.clone(), value.to_string())).or_default() += 1;
        }
    }
    // The pair whose share of the documents is nearest, by ratio.
    let nearest = |share: f64, texts_only: bool| {
        let distance = |count: u64| (count as f64 / LOOKED_AT as f64 / share).ln().abs();
        let wanted = pairs.iter().filter(|((_, value), _)| !texts_only || value.starts_with('"'));
        wanted
            .min_by(|a, b| distance(*a.1).total_cmp(&distance(*b.1)))
            .map(|(pair, _)| pair.clone())
    };
    let object =
        |pair: &(String, String)| format!("{{{}:{}}}", Value::from(pair.0.as_str()), pair.1);
    let contains = |text: &str| format!("c @> {}::jsonb", super::literal(text));
    let (common, rare) = (nearest(0.3, false)?, nearest(0.01, false)?);
    let hot = nearest(0.01, true).unwrap_or_else(|| rare.clone());
    let first = objects.iter().find_map(Value::as_object)?;
    let several: Vec<_> = first
        .iter()
        .filter(|(_, value)| value.is_string() || value.is_boolean())
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    let rarest_key = keys.iter().min_by_key(|(_, count)| **count)?.0;
    let path = |pair: &(String, String)| {
        let path = format!("$.{} == {}", Value::from(pair.0.as_str()), pair.1);
        format!("c @@ {}::jsonpath", super::literal(&path))
    };
    let text_of =
        |json: &str| serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
    let equals = format!("c ->> {} = {}", super::literal(&hot.0), super::literal(&text_of(&hot.1)));
    let list = vec![
        Question { name: "@> common", condition: contains(&object(&common)) },
        Question { name: "@> rare", condition: contains(&object(&rare)) },
        Question {
            name: "@> several keys",
            condition: contains(&format!("{{{}}}", several.join(","))),
        },
        Question { name: "? key", condition: format!("c ? {}", super::literal(rarest_key)) },
        Question { name: "@@ path", condition: path(&rare) },
        Question { name: "->> key", condition: equals },
    ];
    Some(Questions { list, hot_key: hot.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_objects_and_differ() {
        for shape in [Shape::Mixed, Shape::Precise, Shape::NoFloats, Shape::Facets] {
            let texts: Vec<_> = (0..500).map(|row| shape.document(row)).collect();
            for text in &texts {
                let value: Value = serde_json::from_str(text).unwrap();
                assert!(value.as_object().unwrap().len() >= 14, "{text}");
            }
            let distinct: std::collections::HashSet<_> = texts.iter().collect();
            assert!(distinct.len() > 490, "{shape:?}: {}", distinct.len());
            let found = questions(&Documents::Made(shape)).unwrap();
            assert_eq!(found.list.len(), 6);
        }
    }

    #[test]
    fn odd_keys_and_texts_are_quoted() {
        let odd = Documents::Sampled(vec![r#"{"it's \"x\"":"a'b","n":1}"#.to_owned()]);
        let found = questions(&odd).unwrap();
        assert!(
            found.list.iter().all(|it| it.condition.matches('\'').count() % 2 == 0),
            "{:?}",
            found.list
        );
        assert!(questions(&Documents::Sampled(vec!["[1]".to_owned()])).is_none());
    }
}
