//! How a caller says which revision is meant.

use std::fmt;
use std::str::FromStr;

use stemson_mojo::Digest;

/// A revision by number, by alias, or by the first digits of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Its number in the deployment: 1, 2, ...
    Number(u64),
    /// A moving name.
    Alias(Alias),
    /// At least [`Selector::DIGITS_MIN`] hexadecimal digits, in lower case.
    Digest(String),
}

/// A moving name for a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// The revision that answers those who ask for none.
    Stable,
    /// The revision that gets a share of the traffic.
    Canary,
    /// The revision that is asked too, and only compared.
    Shadow,
}

/// The text names no revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no revision: a number, `stable`, `canary`, `shadow`, or {min} to 64 hexadecimal \
     digits of a digest expected",
    min = Selector::DIGITS_MIN
)]
pub struct ParseSelectorError(String);

/// No revision answers to the selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The deployment never had one.
    #[error("the model has no revision `{0}`")]
    Unknown(Selector),
    /// It had one, whose memory is freed.
    #[error("revision {number} ({digest}) is no longer warm: swap its artifact in again")]
    Retired {
        /// Its number in the deployment.
        number: u64,
        /// Its digest.
        digest: Digest,
    },
    /// More than one digest begins so.
    #[error("more than one revision begins with `{0}`: give more digits")]
    Ambiguous(Selector),
}

impl Selector {
    /// Fewest digits of a digest that name a revision.
    pub const DIGITS_MIN: usize = 12;

    /// Whether the number or the digest is meant. Aliases are the deployment's to know.
    pub(crate) fn means(&self, number: u64, digest: &Digest) -> bool {
        match self {
            Self::Number(wanted) => *wanted == number,
            Self::Digest(digits) => digest.to_string().starts_with(digits.as_str()),
            Self::Alias(_) => false,
        }
    }
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digest = (Self::DIGITS_MIN..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_hexdigit());
        match text {
            "stable" => Ok(Self::Alias(Alias::Stable)),
            "canary" => Ok(Self::Alias(Alias::Canary)),
            "shadow" => Ok(Self::Alias(Alias::Shadow)),
            _ if is_digest => Ok(Self::Digest(text.to_ascii_lowercase())),
            // `parse` alone would take a sign too.
            _ if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map(Self::Number).map_err(|_| ParseSelectorError(text.to_owned()))
            }
            _ => Err(ParseSelectorError(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Alias(alias) => f.write_str(alias.as_str()),
            Self::Digest(digits) => f.write_str(digits),
        }
    }
}

impl Alias {
    /// The word: `stable`, `canary`, `shadow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_numbers_aliases_and_digests_apart() {
        let parse = |text: &str| text.parse::<Selector>();
        assert_eq!(parse("3"), Ok(Selector::Number(3)));
        assert_eq!(parse("stable"), Ok(Selector::Alias(Alias::Stable)));
        assert_eq!(parse("BA7816BF8F01"), Ok(Selector::Digest("ba7816bf8f01".to_owned())));
        assert_eq!(parse("123456789012"), Ok(Selector::Digest("123456789012".to_owned())));
        for bad in ["", "+3", "-1", "latest", "ba7816bf8f0", "3.0", &"a".repeat(65)] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
