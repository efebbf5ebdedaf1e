//! Numbers as text: the shortest that parses back to the same bits.

use crate::jsonl::write_text;

/// A float of either width. Their shortest texts differ.
pub(super) trait Float: Copy + ryu::Float + Into<f64> {}

impl Float for f64 {}
impl Float for f32 {}

/// The shortest text; `NaN`, `Infinity`, `-Infinity`.
pub(super) fn write_number<F: Float>(out: &mut Vec<u8>, value: F) {
    match special(value.into()) {
        Some(word) => out.extend_from_slice(word.as_bytes()),
        None => out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// The same, with quotes around what JSON cannot say.
pub(super) fn write_json_number<F: Float>(out: &mut Vec<u8>, value: F) {
    match special(value.into()) {
        Some(word) => write_text(out, word),
        None => write_number(out, value),
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some("NaN")
    } else if value > 0.0 {
        Some("Infinity")
    } else {
        Some("-Infinity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<F: Float>(value: F, write: fn(&mut Vec<u8>, F)) -> String {
        let mut out = Vec::new();
        write(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (5e-324, "5e-324"),
            (1e21, "1e21"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(value, write_number), expected);
        }
        assert_eq!(text(0.1_f32, write_json_number), "0.1");
        assert_eq!(text(f64::INFINITY, write_json_number), "\"Infinity\"");
    }

    proptest! {
        #[test]
        fn numbers_parse_back_to_the_same_bits(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let back: f64 = text(value, write_number).parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }

        #[test]
        fn floats_parse_back_to_the_same_bits(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let back: f32 = text(value, write_number).parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
