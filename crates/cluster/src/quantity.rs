//! Amounts of memory as people write them: Kubernetes quantities, the JVM's and Docker's letters.

use std::fmt;

/// Why a text is no amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No number with a known suffix.
    #[error(
        "`{0}` is no amount of memory: expected a number with a suffix like `64Gi`, `1500M` or `512Ki`"
    )]
    Malformed(String),
    /// A suffix of the JVM or of Docker where Kubernetes reads.
    #[error("`{0}` is no Kubernetes quantity: there `{1}` is written `{2}`")]
    NotKubernetes(String, String, &'static str),
    /// Below zero.
    #[error("`{0}` is below zero")]
    Negative(String),
    /// More than fits.
    #[error("`{0}` is more than any machine has (at most 2^63 - 1 bytes)")]
    TooLarge(String),
}

const BYTES_MAX: u128 = i64::MAX as u128;

/// Reads a Kubernetes quantity as bytes, parts of a byte rounded up, as Kubernetes does.
///
/// Suffixes: `Ki` `Mi` `Gi` `Ti` `Pi` `Ei` (1024), `k` `M` `G` `T` `P` `E` (1000), `m` `u` `n` (below
/// one), or an exponent (`1e3`, `1E3`); decimals are allowed before each (`1.5Gi`).
///
/// Source: the grammar of `resource.Quantity` (apimachinery).
pub fn parse_kubernetes(text: &str) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.contains('.') || (whole.is_empty() && decimals.is_empty()) {
        return Err(malformed());
    }
    let (binary, decimal) = match suffix {
        "" => (0, 0),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        _ => (0, exponent(suffix).ok_or_else(|| foreign(text, suffix).unwrap_or_else(malformed))?),
    };
    let bytes = scale(whole, decimals, binary, decimal);
    if negative && bytes != Some(0) {
        return Err(QuantityError::Negative(text.to_owned()));
    }
    bytes
        .filter(|bytes| *bytes <= BYTES_MAX)
        .map(|bytes| bytes as u64)
        .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
}

/// Reads a limit as it stands on a command line.
///
/// As [`parse_kubernetes`], and as the JVM and Docker write it: small letters `b` `k` `m` `g` `t`, also
/// `kb` ... `tb`, count in 1024 (`64g` is 64 GiB); `KiB` ... `TiB` too; `KB` ... `TB` count in 1000.
pub fn parse_limit(text: &str) -> Result<u64, QuantityError> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let suffix = match suffix {
        "b" | "B" => "",
        "k" | "kb" | "KiB" => "Ki",
        "m" | "mb" | "MiB" => "Mi",
        "g" | "gb" | "GiB" => "Gi",
        "t" | "tb" | "TiB" => "Ti",
        "KB" => "k",
        "MB" => "M",
        "GB" => "G",
        "TB" => "T",
        other => other,
    };
    let shown = |cause| match cause {
        QuantityError::Malformed(_) | QuantityError::NotKubernetes(..) => {
            QuantityError::Malformed(text.to_owned())
        }
        QuantityError::Negative(_) => QuantityError::Negative(text.to_owned()),
        QuantityError::TooLarge(_) => QuantityError::TooLarge(text.to_owned()),
    };
    parse_kubernetes(&format!("{number}{suffix}")).map_err(shown)
}

/// `e3`, `E-2`.
fn exponent(suffix: &str) -> Option<i32> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    // Beyond five digits all is zero or too large anyway.
    plain.then(|| digits.parse().unwrap_or(if digits.starts_with('-') { -99_999 } else { 99_999 }))
}

/// What somebody meant who wrote the JVM's or Docker's suffix.
fn foreign(text: &str, suffix: &str) -> Option<QuantityError> {
    let right = match suffix.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "Ki",
        "m" | "mb" | "mib" => "Mi",
        "g" | "gb" | "gib" => "Gi",
        "t" | "tb" | "tib" => "Ti",
        _ => return None,
    };
    Some(QuantityError::NotKubernetes(text.to_owned(), suffix.to_owned(), right))
}

/// `whole.decimals * 2^binary * 10^decimal`, rounded up; `None` if that does not fit.
fn scale(whole: &str, decimals: &str, binary: u32, decimal: i32) -> Option<u128> {
    let digits = format!("{whole}{decimals}");
    let digits = digits.trim_start_matches('0');
    let places = i64::try_from(decimals.len()).ok()?;
    if digits.is_empty() {
        return Some(0);
    }
    // Digits too far behind the point only matter for rounding up.
    let kept = digits.len().min(30);
    let lost = digits.len() - kept;
    let mut number: u128 = digits[..kept].parse().ok()?;
    let mut rest = digits[kept..].bytes().any(|digit| digit != b'0');
    let power = i64::from(decimal) - places + i64::try_from(lost).ok()?;
    if power >= 0 {
        number = number.checked_mul(10_u128.checked_pow(u32::try_from(power).ok()?)?)?;
        number = number.checked_mul(1 << binary)?;
    } else {
        // The shift first, in parts that cannot overflow, so that nothing is rounded before it.
        number = number.checked_mul(1 << binary.min(24))?;
        let mut shift = binary - binary.min(24);
        for _ in 0..power.unsigned_abs().min(100) {
            while shift > 0 && number < u128::MAX >> 1 {
                (number, shift) = (number << 1, shift - 1);
            }
            rest |= !number.is_multiple_of(10);
            number /= 10;
        }
        number = number.checked_mul(1_u128.checked_shl(shift)?)?;
    }
    number.checked_add(u128::from(rest))
}

/// Bytes as people read them: in the largest binary unit that keeps three digits honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = UNITS.into_iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let number = self.0 as f64 / (1_u64 << shift) as f64;
        if self.0.trailing_zeros() >= shift || number >= 100.0 {
            write!(f, "{number:.0} {unit}")
        } else {
            write!(f, "{number:.1} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn kubernetes_quantities_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("64Gi", 64 * GIB),
            ("64G", 64_000_000_000),
            ("1500M", 1_500_000_000),
            ("512Ki", 524_288),
            ("1.5Gi", 3 * GIB / 2),
            ("128974848", 128_974_848),
            ("128974848000m", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 128_974_848),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("1E", 1_000_000_000_000_000_000),
            ("7Ei", 7 << 60),
            ("2k", 2_000),
            ("2.5e-1k", 0), // an exponent and a suffix: refused below
            ("+1Ki", 1_024),
            (".5Gi", GIB / 2),
            ("5.Gi", 5 * GIB),
            ("0", 0),
            ("-0", 0),
            ("0.1", 1),
            ("1n", 1),
            ("512m", 1),
            ("0.3Gi", 322_122_548),
            ("1e-5000", 1),
            ("1000000000000000000000000000000000000000e-30", 1_000_000_000),
        ] {
            if text == "2.5e-1k" {
                assert!(parse_kubernetes(text).is_err());
                continue;
            }
            assert_eq!(parse_kubernetes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_says_how_it_is_written() {
        for (text, words) in [
            ("", "no amount"),
            ("Gi", "no amount"),
            ("64 Gi", "no amount"),
            ("1.2.3Gi", "no amount"),
            ("NaN", "no amount"),
            ("1e", "no amount"),
            ("64g", "`g` is written `Gi`"),
            ("64GB", "`GB` is written `Gi`"),
            ("64GiB", "`GiB` is written `Gi`"),
            ("-1Gi", "below zero"),
            ("9Ei", "more than any machine"),
            ("1e30", "more than any machine"),
            ("1e99999999999", "more than any machine"),
        ] {
            let error = parse_kubernetes(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn small_letters_count_in_1024_on_a_command_line() {
        for (text, bytes) in [
            ("64g", 64 * GIB),
            ("64Gi", 64 * GIB),
            ("64GiB", 64 * GIB),
            ("64gb", 64 * GIB),
            ("64G", 64_000_000_000),
            ("64GB", 64_000_000_000),
            ("512m", 512 << 20),
            ("1.5g", 3 * GIB / 2),
            ("2k", 2_048),
            ("10b", 10),
            ("68719476736", 64 * GIB),
            ("1e9", 1_000_000_000),
        ] {
            assert_eq!(parse_limit(text), Ok(bytes), "{text}");
        }
        for text in ["", "g", "64 g", "64x", "sixty", "-1g", "64gg", "1e3g", "é"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_suffix_multiplies(number in 0_u64..1 << 20) {
            for (suffix, factor) in [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1_u64 << 40),
                ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)] {
                prop_assert_eq!(parse_kubernetes(&format!("{number}{suffix}")), Ok(number * factor));
            }
        }

        #[test]
        fn parts_of_a_byte_round_up(thousandths in 0_u64..1 << 50) {
            prop_assert_eq!(parse_kubernetes(&format!("{thousandths}m")), Ok(thousandths.div_ceil(1_000)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", exact in "[-+]?[0-9.]{0,60}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,12}") {
            for text in [text, exact] {
                drop((parse_kubernetes(&text), parse_limit(&text)));
            }
        }
    }
}
