//! The protocol's datatypes, and what a number must be to be of one.

/// The datatype of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

/// All, with their names.
const ALL: [(&str, Datatype); 13] = [
    ("BOOL", Datatype::Bool),
    ("UINT8", Datatype::Uint8),
    ("UINT16", Datatype::Uint16),
    ("UINT32", Datatype::Uint32),
    ("UINT64", Datatype::Uint64),
    ("INT8", Datatype::Int8),
    ("INT16", Datatype::Int16),
    ("INT32", Datatype::Int32),
    ("INT64", Datatype::Int64),
    ("FP16", Datatype::Fp16),
    ("FP32", Datatype::Fp32),
    ("FP64", Datatype::Fp64),
    ("BYTES", Datatype::Bytes),
];

impl Datatype {
    pub(super) fn parse(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, datatype)| *datatype)
    }

    pub(super) fn name(self) -> &'static str {
        ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// The names, for messages.
    pub(super) fn names() -> String {
        ALL.map(|(name, _)| name).join(", ")
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Fp32 | Self::Fp64)
    }

    /// The number as an element of this type holds it; none if it cannot hold it.
    ///
    /// Floats are rounded to the nearest, as a sender of binary data has done already. NaN and
    /// infinities are floats.
    pub(super) fn hold(self, number: f64) -> Option<f64> {
        let whole = |min: f64, max: f64| {
            (number.trunc() == number && (min..=max).contains(&number)).then_some(number)
        };
        match self {
            Self::Bool => whole(0.0, 1.0),
            Self::Uint8 => whole(0.0, f64::from(u8::MAX)),
            Self::Uint16 => whole(0.0, f64::from(u16::MAX)),
            Self::Uint32 => whole(0.0, f64::from(u32::MAX)),
            Self::Uint64 => whole(0.0, 2f64.powi(64).next_down()),
            Self::Int8 => whole(f64::from(i8::MIN), f64::from(i8::MAX)),
            Self::Int16 => whole(f64::from(i16::MIN), f64::from(i16::MAX)),
            Self::Int32 => whole(f64::from(i32::MIN), f64::from(i32::MAX)),
            Self::Int64 => whole(-(2f64.powi(63)), 2f64.powi(63).next_down()),
            Self::Fp16 => within(number, to_half(number)),
            Self::Fp32 => within(number, f64::from(number as f32)),
            Self::Fp64 => Some(number),
            Self::Bytes => None,
        }
    }
}

/// A finite number must not become infinite.
fn within(number: f64, rounded: f64) -> Option<f64> {
    (number.is_finite() == rounded.is_finite()).then_some(rounded)
}

/// The nearest number of 11 significant bits and exponents from -14 to 15, ties to even.
fn to_half(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let exponent = ((number.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let quantum = 2f64.powi(exponent.max(-14) - 10);
    // Both steps are exact: a power of two.
    let rounded = (number / quantum).round_ties_even() * quantum;
    if rounded.abs() > 65_504.0 { f64::INFINITY.copysign(number) } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_protocol() {
        for (name, datatype) in ALL {
            assert_eq!((Datatype::parse(name), datatype.name()), (Some(datatype), name));
        }
        assert_eq!(Datatype::parse("fp32"), None);
    }

    #[test]
    fn a_type_holds_what_fits_and_nothing_else() {
        use Datatype::{Bool, Fp16, Fp32, Fp64, Int8, Int64, Uint8, Uint64};
        let inf = f64::INFINITY;
        for (datatype, number, expected) in [
            (Bool, 1.0, Some(1.0)),
            (Bool, 2.0, None),
            (Uint8, 255.0, Some(255.0)),
            (Uint8, 256.0, None),
            (Uint8, -1.0, None),
            (Int8, -128.0, Some(-128.0)),
            (Int8, 1.5, None),
            (Int8, inf, None),
            (Int64, -(2f64.powi(63)), Some(-(2f64.powi(63)))),
            (Int64, 2f64.powi(63), None),
            (Uint64, 2f64.powi(64), None),
            (Fp32, 0.1, Some(0.100_000_001_490_116_12)),
            (Fp32, 1e39, None),
            (Fp32, inf, Some(inf)),
            (Fp16, 0.1, Some(0.099_975_585_937_5)),
            (Fp16, 65_504.0, Some(65_504.0)),
            (Fp16, 65_519.0, Some(65_504.0)),
            (Fp16, 65_520.0, None),
            (Fp16, 2f64.powi(-24), Some(2f64.powi(-24))),
            (Fp16, 2f64.powi(-25), Some(0.0)),
            (Fp16, 3.0 * 2f64.powi(-25), Some(2f64.powi(-23))),
            (Fp64, 0.1, Some(0.1)),
        ] {
            assert_eq!(datatype.hold(number), expected, "{} {number}", datatype.name());
        }
        assert!(Fp16.hold(f64::NAN).is_some_and(f64::is_nan));
        assert_eq!(Int8.hold(f64::NAN), None);
    }
}
