//! The protocol's datatypes, and what a number must be to be of one.

/// The datatype of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
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
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

/// All, with their names.
const ALL: [(&str, Datatype); 14] = [
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
    ("BF16", Datatype::Bf16),
    ("FP32", Datatype::Fp32),
    ("FP64", Datatype::Fp64),
    ("BYTES", Datatype::Bytes),
];

impl Datatype {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, datatype)| *datatype)
    }

    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// The names.
    pub(crate) fn all() -> [&'static str; 14] {
        ALL.map(|(name, _)| name)
    }

    /// The names, for messages.
    pub(crate) fn names() -> String {
        Self::all().join(", ")
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }

    /// The number as an element of this type holds it; none if it cannot hold it.
    ///
    /// Floats are rounded to the nearest, as a sender of binary data has done already. NaN and
    /// infinities are floats.
    pub(crate) fn hold(self, number: f64) -> Option<f64> {
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
            Self::Bf16 => within(number, to_brain(number)),
            Self::Fp32 => within(number, f64::from(number as f32)),
            Self::Fp64 => Some(number),
            Self::Bytes => None,
        }
    }
}

impl Datatype {
    /// Bytes of an element on the wire; none where elements differ.
    pub(crate) fn size(self) -> Option<usize> {
        Some(match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
            Self::Bytes => return None,
        })
    }

    /// The element in these bytes, least significant first; none if a double cannot hold it.
    ///
    /// `bytes`: as many as [`Datatype::size`] says; missing ones are 0.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<f64> {
        let bits = bytes.iter().rev().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        Some(match self {
            Self::Bool => f64::from(u8::from(bits != 0)),
            Self::Uint8 | Self::Uint16 | Self::Uint32 => bits as f64,
            Self::Uint64 => {
                let double = bits as f64;
                return (double as u64 == bits && bits != u64::MAX).then_some(double);
            }
            Self::Int8 => f64::from(bits as i8),
            Self::Int16 => f64::from(bits as i16),
            Self::Int32 => f64::from(bits as i32),
            Self::Int64 => {
                let (double, whole) = (bits as i64 as f64, bits as i64);
                return (double as i64 == whole && whole != i64::MAX).then_some(double);
            }
            Self::Fp16 => from_half(bits as u16),
            Self::Bf16 => f64::from(f32::from_bits((bits as u32) << 16)),
            Self::Fp32 => f64::from(f32::from_bits(bits as u32)),
            Self::Fp64 => f64::from_bits(bits),
            Self::Bytes => return None,
        })
    }
}

/// The number that 16 bits stand for: sign, 5 bits of exponent, 10 of the fraction.
fn from_half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f64::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    }
}

/// The nearest number whose bits end with 16 zeros as a 32-bit float, ties to even.
fn to_brain(number: f64) -> f64 {
    let bits = (number as f32).to_bits();
    let rounded = (u64::from(bits) + 0x7fff + u64::from((bits >> 16) & 1)) >> 16;
    f64::from(f32::from_bits((rounded as u32) << 16))
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
