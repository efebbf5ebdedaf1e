//! What a request asks of its rows, whatever the protocol: options by name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use stemson_mojo::{LeafAssignment, Model, Options, Part};

use crate::error::Refusal;
use crate::json::Skip;

/// The options of a request, the same for all its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) options: Options,
    /// Refuse a model that has no calibration. One that has it answers with it anyway.
    pub(crate) calibrated: bool,
    /// The number of the first row, which a GLRM draws by.
    pub(crate) row_index: u64,
}

/// The value of a parameter as it came, of whatever protocol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter<'a> {
    Null,
    Bool(bool),
    /// Of any integer type there is on the wire.
    Whole(i128),
    Number(f64),
    Text(Cow<'a, str>),
    /// A list or an object, which no option is.
    Nested,
}

impl fmt::Display for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "`{}`", text.chars().take(40).collect::<String>()),
            Self::Nested => f.write_str("a nested value"),
        }
    }
}

/// The largest double up to which all whole numbers are doubles.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

impl Parameter<'_> {
    /// True or false; null is as if it were not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        match self {
            Self::Bool(flag) => Ok(*flag),
            Self::Null => Ok(false),
            other => Err(format!("expected `{name}` as true or false, found {other}")),
        }
    }

    /// A whole number from 0 on; null is as if it were not there.
    pub(crate) fn count(&self, name: &str) -> Result<u64, String> {
        let whole = match self {
            Self::Whole(number) => u64::try_from(*number).ok(),
            // JSON has one kind of number: 3.0 is 3.
            Self::Number(number) if number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(number) => {
                Some(*number as u64)
            }
            Self::Null => Some(0),
            _ => None,
        };
        whole.ok_or_else(|| format!("expected `{name}` as a whole number from 0 on, found {self}"))
    }
}

impl Ask {
    /// Takes an option. False: none is called so.
    ///
    /// # Errors
    /// The value is none that the option takes.
    pub(crate) fn set(&mut self, name: &str, value: &Parameter<'_>) -> Result<bool, String> {
        match name {
            "strict" => self.options.strict = value.flag(name)?,
            "contributions" => self.options.contributions = value.flag(name)?,
            "staged" => self.options.staged = value.flag(name)?,
            "distances" => self.options.distances = value.flag(name)?,
            "reconstruct" => self.options.reconstruct = value.flag(name)?,
            "calibrated" => self.calibrated = value.flag(name)?,
            "row_index" => self.row_index = value.count(name)?,
            "leaf_assignment" => {
                self.options.leaf_assignment = match value {
                    Parameter::Null => None,
                    Parameter::Text(text) if text == "paths" => Some(LeafAssignment::Paths),
                    Parameter::Text(text) if text == "ids" => Some(LeafAssignment::Ids),
                    other => {
                        let expected = "expected `leaf_assignment` as `paths` or `ids`";
                        return Err(format!("{expected}, found {other}"));
                    }
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The explanations that are asked for, in the order of the answer.
    pub(crate) fn explanations(&self) -> impl Iterator<Item = Part> + use<> {
        let leaves = self.options.leaf_assignment.map(|leaves| match leaves {
            LeafAssignment::Paths => Part::LeafPaths,
            LeafAssignment::Ids => Part::LeafIds,
        });
        let Options { contributions, staged, distances, .. } = self.options;
        let asked = [
            contributions.then_some(Part::Contributions),
            leaves,
            staged.then_some(Part::Staged),
            distances.then_some(Part::Distances),
        ];
        asked.into_iter().flatten()
    }

    /// Whether the model offers all that is asked for.
    pub(crate) fn check(&self, model: &Model) -> Result<(), Refusal> {
        let calibrated = self.calibrated.then_some(Part::Calibrated);
        let mut asked = calibrated.into_iter().chain(self.explanations());
        asked
            .try_for_each(|part| model.check_offer(part))
            .map_err(|cause| Refusal::NotOffered(cause.to_string()))
    }
}

/// Reads the value of a parameter from JSON, over what is no scalar.
pub(crate) struct ReadParameter(pub(crate) Skip);

impl<'de> DeserializeSeed<'de> for ReadParameter {
    type Value = Parameter<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadParameter {
    type Value = Parameter<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Parameter::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Parameter::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Parameter::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Parameter::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Parameter::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Parameter::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Parameter::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(seq).map(|()| Parameter::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(map).map(|()| Parameter::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_by_name() {
        let mut ask = Ask::default();
        assert_eq!(ask.set("strict", &Parameter::Bool(true)), Ok(true));
        assert_eq!(ask.set("leaf_assignment", &Parameter::Text("ids".into())), Ok(true));
        assert_eq!(ask.set("row_index", &Parameter::Whole(7)), Ok(true));
        assert_eq!(ask.set("row_index", &Parameter::Number(7.0)), Ok(true));
        assert_eq!(ask.set("content_type", &Parameter::Nested), Ok(false));
        assert!(ask.options.strict && ask.row_index == 7);
        assert_eq!(ask.explanations().collect::<Vec<_>>(), [Part::LeafIds]);
        assert_eq!(ask.set("leaf_assignment", &Parameter::Null), Ok(true));
        assert_eq!(ask.explanations().count(), 0);
        for (name, value, found) in [
            ("staged", Parameter::Text("yes".into()), "found `yes`"),
            ("contributions", Parameter::Whole(1), "`contributions` as true or false, found 1"),
            ("leaf_assignment", Parameter::Bool(true), "`paths` or `ids`, found true"),
            ("row_index", Parameter::Whole(-1), "from 0 on, found -1"),
            ("row_index", Parameter::Number(0.5), "found 0.5"),
            ("strict", Parameter::Nested, "a nested value"),
        ] {
            let error = ask.set(name, &value).expect_err(name);
            assert!(error.contains(found), "{error}");
        }
    }
}
