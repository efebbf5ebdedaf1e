//! Rules: one page each under `rules/`, embedded here. The page is the documentation, the text of
//! `explain`, and the test: its examples are built and judged by `tests/it/pages.rs`.
//!
//! ```text
//! ---
//! id: blocking_predict
//! story: LE-PROC-01
//! severity: error
//! title: A model computes on the event loop
//! ---
//! ## Thesis ... ## Antithesis ... ## Synthesis ... ## Evidence ... ## Finds ... ## Silent ... ## Fix
//! ```
//!
//! Under `Finds` and `Silent` each `###` heading is a small repository, and each fenced block in it a
//! file, named in the fence: ```` ```python app/main.py ````. A line that must be found ends in
//! ` <-- found`; a whole file (line 0) has `found` after its name. `base64` is a file's bytes.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It will break, or may not ship.
    Error,
    /// It breaks under conditions that the repository does not show.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word; SARIF's levels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Error, Self::Warning, Self::Note].into_iter().find(|it| it.as_str() == word)
    }
}

/// One rule, as its page says.
pub struct Rule {
    /// The word by which findings, comments and scripts name it.
    pub id: &'static str,
    /// Folder of the page: `event_loop`, `cache`, ...
    pub area: &'static str,
    /// Story of the specification that it serves.
    pub story: &'static str,
    /// What a finding is unless the check says less.
    pub severity: Severity,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why it has no examples: what a page cannot hold. Empty for all others.
    pub without_examples: &'static str,
    /// The page below its front matter.
    pub body: &'static str,
}

impl Rule {
    /// Text of a section (`Thesis`, `Fix`, ...), without its heading.
    pub fn section(&self, name: &str) -> &'static str {
        let mut fenced = false;
        let mut from = None;
        let mut at = 0;
        for line in self.body.split_inclusive('\n') {
            let start = at;
            at += line.len();
            fenced ^= line.starts_with("```");
            let Some(heading) = line.strip_prefix("## ").filter(|_| !fenced) else { continue };
            match from {
                Some(from) => return self.body.get(from..start).unwrap_or_default().trim(),
                None if heading.trim() == name => from = Some(at),
                None => {}
            }
        }
        from.and_then(|from| self.body.get(from..)).unwrap_or_default().trim()
    }

    /// Whether a word means this rule: its id, its story, or its area.
    pub fn answers_to(&self, word: &str) -> bool {
        [self.id, self.story, self.area].contains(&word)
    }

    /// The first paragraph of a section, on one line.
    pub fn gist(&self, name: &str) -> String {
        let first = self.section(name).split("\n\n").next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

macro_rules! pages {
    ($($area:literal / $name:literal,)*) => {
        /// (area, name, text) of every page, in the order in which rules are listed.
        const PAGES: &[(&str, &str, &str)] = &[$((
            $area,
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/", $area, "/", $name, ".md")),
        ),)*];
    };
}

pages! {
    "artifact" / "pickle",
    "artifact" / "pickle_code",
    "artifact" / "pojo",
    "artifact" / "h2o_binary",
    "artifact" / "mojo",
    "artifact" / "opaque",
    "artifact" / "zip_mismatch",
    "artifact" / "limit",
    "artifact" / "unreadable",
    "artifact" / "exception_expired",
    "event_loop" / "blocking_predict",
    "event_loop" / "blocking_wait",
    "event_loop" / "blocking_file",
    "event_loop" / "executor_called",
    "event_loop" / "model_per_request",
    "event_loop" / "liveness_scores",
    "event_loop" / "liveness_starves",
    "driver" / "sync_http",
    "driver" / "sync_database",
    "driver" / "sync_sqlalchemy",
    "driver" / "sync_redis",
    "driver" / "aioredis",
    "pool" / "connection_per_request",
    "pool" / "pool_unbounded",
    "pool" / "pool_unvalidated",
    "pool" / "pool_per_module",
    "cache" / "cache_key_version",
    "cache" / "cache_key_hash",
    "cache" / "cache_no_ttl",
    "cache" / "cache_herd",
    "cache" / "cache_flush",
    "model_file" / "pickle_load",
    "model_file" / "pickle_export",
    "model_file" / "pojo_export",
    "model_file" / "mojo_predict_java",
    "model_file" / "h2o_in_request",
    "schema" / "no_primary_key",
    "schema" / "timestamp_without_zone",
    "schema" / "missing_foreign_key",
    "schema" / "json_not_jsonb",
    "schema" / "gin_operator_class",
    "schema" / "gin_whole_document",
    "schema" / "jsonb_unindexed",
    "vector" / "vector_operator_class",
    "vector" / "vector_index_parameters",
    "vector" / "vector_filtered_search",
    "block" / "block_types",
    "block" / "block_return",
    "block" / "block_arity",
    "block" / "block_copied",
    "block" / "block_unversioned",
    "block" / "dynamic_unbounded",
    "block" / "limit_dropped",
    "image" / "image_artifact",
    "image" / "image_jvm",
    "image" / "image_weight",
    "image" / "image_root",
    "version" / "h2o_unpinned",
    "version" / "h2o_versions_differ",
    "version" / "h2o_mojo_export",
    "memory" / "heap_share",
    "memory" / "memory_unlimited",
    "memory" / "requests_unlike_limits",
    "member" / "member_placement",
    "member" / "h2o_discovery",
    "member" / "h2o_expected_count",
    "member" / "h2o_parallel",
    "member" / "h2o_probe",
    "member" / "h2o_probe_deadlock",
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    PAGES.iter().filter_map(|(area, name, text)| read(area, name, text)).collect()
});

/// All rules, by area.
pub fn rules() -> &'static [Rule] {
    &RULES
}

/// The rule of this name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

fn read(area: &'static str, name: &'static str, text: &'static str) -> Option<Rule> {
    let (head, body) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    let value = |key: &str| {
        head.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.trim()))
    };
    let id = value("id").filter(|id| *id == name)?;
    let severity = Severity::parse(value("severity")?)?;
    Some(Rule {
        id,
        area,
        story: value("story")?,
        severity,
        title: value("title")?,
        without_examples: value("examples").unwrap_or_default(),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_listed_and_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
        let mut found = 0;
        for area in std::fs::read_dir(folder).unwrap() {
            for page in std::fs::read_dir(area.unwrap().path()).unwrap() {
                let page = page.unwrap().path();
                let name = page.file_stem().unwrap().to_str().unwrap();
                let rule = rule(name).unwrap_or_else(|| panic!("{name} is no whole, listed page"));
                for section in ["Thesis", "Antithesis", "Synthesis", "Evidence", "Fix"] {
                    assert!(!rule.section(section).is_empty(), "{name}: no {section}");
                }
                assert!(rule.story.starts_with("LE-"), "{name}: story {}", rule.story);
                found += 1;
            }
        }
        assert_eq!((found, rules().len()), (PAGES.len(), PAGES.len()));
    }
}
