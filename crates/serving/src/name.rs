//! The name of a deployment.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What a model is called on the wire: 1 to 128 letters, digits, dots, underscores and hyphens.
///
/// `.` and `..` are none, so that a name can always be a file's name too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

/// The text is no model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no model name: 1 to {max} letters, digits, `.`, `_` and `-` expected",
    max = ModelName::LENGTH_MAX
)]
pub struct ParseModelNameError(String);

impl ModelName {
    /// Bytes of the longest name.
    pub const LENGTH_MAX: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text, for labels.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Equal, ordered and hashed as the text.
impl Borrow<str> for ModelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = ParseModelNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let is_name = !text.is_empty()
            && text.len() <= Self::LENGTH_MAX
            && text.bytes().all(is_allowed)
            && !matches!(text, "." | "..");
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(ParseModelNameError(text.chars().take(Self::LENGTH_MAX).collect()))
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_stand_in_a_path_and_nothing_else() {
        for good in ["churn", "a", "A-b_c.9", "...", &"x".repeat(128)] {
            assert_eq!(good.parse::<ModelName>().expect(good).as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "é", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
    }
}
