//! How every validator ends: thesis, antithesis, synthesis, in three sentences of what was measured.

use std::fmt;

/// The verdict of a validator.
///
/// Each part is one sentence with the figures in it. [`fmt::Display`] is the form for people, three
/// lines; [`Verdict::to_json`] the one for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether what was examined may go to production: exit code 0 or 1.
    pub good: bool,
    /// What is claimed, and what speaks for it.
    pub thesis: String,
    /// The hardest objection that the measurement found, or what it could not exclude.
    pub antithesis: String,
    /// What follows, and what to do.
    pub synthesis: String,
}

impl Verdict {
    /// `{"good":true,"thesis":"...","antithesis":"...","synthesis":"..."}`; keys never go away.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "good": self.good,
            "thesis": self.thesis,
            "antithesis": self.antithesis,
            "synthesis": self.synthesis,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Thesis      {}", self.thesis)?;
        writeln!(f, "Antithesis  {}", self.antithesis)?;
        writeln!(f, "Synthesis   {}", self.synthesis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_form_for_people_and_one_for_scripts() {
        let verdict = Verdict {
            good: true,
            thesis: "42 GiB fit.".to_owned(),
            antithesis: "The native part takes 20 GiB.".to_owned(),
            synthesis: "Give the heap 42 GiB.".to_owned(),
        };
        assert_eq!(
            verdict.to_string(),
            "Thesis      42 GiB fit.\n\
             Antithesis  The native part takes 20 GiB.\n\
             Synthesis   Give the heap 42 GiB.\n"
        );
        assert_eq!(verdict.to_json()["thesis"], "42 GiB fit.");
        assert_eq!(verdict.to_json()["good"], true);
    }
}
