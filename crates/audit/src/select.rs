//! Which rules count: chosen by id, story or area, and by a profile.

use crate::rule::{Rule, rules};

/// A ready choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Errors are a bad verdict.
    #[default]
    Standard,
    /// Warnings are, too.
    Strict,
    /// For projects of Mage: blocks run in processes of their own, so what speaks of event loops, of
    /// drivers on them and of request-side caches and pools is left out.
    Mage,
}

/// Areas that have nothing to say where no loop serves requests.
const SERVING: &[&str] = &["event_loop", "driver", "cache", "pool"];

/// Words that choose rules.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these; all if empty.
    select: Vec<String>,
    /// Not these.
    ignore: Vec<String>,
    profile: Profile,
}

impl Selection {
    /// Checks the words.
    ///
    /// # Errors
    /// The word that names no rule, story or area.
    pub fn new(select: Vec<String>, ignore: Vec<String>, profile: Profile) -> Result<Self, String> {
        let known = |word: &str| rules().iter().any(|rule| rule.answers_to(word));
        if let Some(word) = select.iter().chain(&ignore).find(|word| !known(word)) {
            return Err(word.clone());
        }
        Ok(Self { select, ignore, profile })
    }

    /// Whether findings of a rule count. What is chosen by its id is, whatever leaves out its area.
    pub fn wants(&self, rule: &Rule) -> bool {
        let names = |words: &[String], id: bool| {
            words.iter().any(|word| if id { word == rule.id } else { rule.answers_to(word) })
        };
        let chosen = self.select.is_empty() || names(&self.select, false);
        let left_out = names(&self.ignore, false)
            || self.profile == Profile::Mage
                && self.select.is_empty()
                && SERVING.contains(&rule.area);
        chosen && (!left_out || names(&self.select, true) && !names(&self.ignore, true))
    }

    /// Whether warnings make the verdict bad.
    pub fn is_strict(&self) -> bool {
        self.profile == Profile::Strict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::rule;

    fn wants(select: &[&str], ignore: &[&str], profile: Profile, id: &str) -> bool {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let selection = Selection::new(owned(select), owned(ignore), profile).unwrap();
        selection.wants(rule(id).unwrap())
    }

    #[test]
    fn by_rule_story_area_and_profile() {
        let standard = Profile::Standard;
        for (select, ignore, profile, id, expected) in [
            (&[][..], &[][..], standard, "aioredis", true),
            (&["LE-PROC-02"], &[], standard, "aioredis", true),
            (&["cache"], &[], standard, "aioredis", false),
            (&[], &["driver"], standard, "aioredis", false),
            (&["aioredis"], &["driver"], standard, "aioredis", true),
            (&["driver"], &["aioredis"], standard, "aioredis", false),
            (&[], &[], Profile::Mage, "aioredis", false),
            (&[], &[], Profile::Mage, "pickle_load", true),
            (&["driver"], &[], Profile::Mage, "aioredis", true),
        ] {
            assert_eq!(wants(select, ignore, profile, id), expected, "{select:?} {ignore:?} {id}");
        }
        let wrong = Selection::new(vec!["LE-PROC-99".to_owned()], Vec::new(), standard);
        assert_eq!(wrong.unwrap_err(), "LE-PROC-99");
    }
}
