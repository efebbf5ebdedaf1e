//! What genmodel takes from Java's library: numbers from text and back, and its random numbers.
//!
//! [`parse_double`] accepts and answers as `Double.parseDouble` does; [`double_to_string`]
//! writes as `Double.toString` does since Java 19 (the
//! shortest digits); [`Random`] gives the sequences of `java.util.Random`.

use crate::math::assemble;

/// The number that Java's `Double.parseDouble` reads in `text`; `None` where it throws.
///
/// White space, which for Java here is every character up to U+0020, is cut at both ends. Accepted
/// beyond what [`str::parse`] takes: a type suffix (`1d`, `2.5F`) and hexadecimal numbers with a
/// binary exponent (`0x1.8p3`). Not accepted: `inf`, `nan` in other letters than `NaN`, digits
/// other than ASCII. The result is the nearest `f64`, ties to even; too large a number is infinite,
/// too small a one zero, with the sign kept.
///
/// ```
/// use stemson_mojo::parse_double;
/// assert_eq!(parse_double(" 1e3f\n"), Some(1000.0));
/// assert_eq!(parse_double("0x1.8p3"), Some(12.0));
/// assert_eq!(parse_double("1_000"), None);
/// ```
pub fn parse_double(text: &str) -> Option<f64> {
    if let Some((value, length)) = read_decimal(text.as_bytes())
        && length == text.len()
    {
        return Some(value);
    }
    let text = text.trim_matches(|c| c <= ' ');
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match rest.as_bytes() {
        b"NaN" => return Some(f64::NAN),
        b"Infinity" => f64::INFINITY,
        [b'0', b'x' | b'X', hexadecimal @ ..] => parse_hexadecimal(hexadecimal)?,
        _ => parse_decimal(rest)?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Powers of ten that an `f64` holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Digits that always fit into a `u64`.
const MOST_DIGITS: u32 = 19;

/// The largest exponent in the text that `str::parse` can be trusted with: it stops counting above.
const MOST_EXPONENT: i64 = 65_535;

/// Digits with or without a point, an exponent, a suffix.
fn parse_decimal(text: &str) -> Option<f64> {
    let (value, length) = scan_decimal(text.as_bytes())?;
    is_suffix(text.as_bytes().get(length..)?).then_some(value)
}

/// The number that `bytes` start with, and its length: digits with or without a sign, a point, an
/// exponent. What follows is not looked at, so the number is [`parse_double`]'s only if nothing
/// follows that could belong to it. `None` where there is none, and then [`parse_double`] may
/// still know better.
///
/// ```
/// assert_eq!(stemson_mojo::read_decimal(b"-1.5,red"), Some((-1.5, 4)));
/// assert_eq!(stemson_mojo::read_decimal(b"NaN"), None);
/// ```
#[inline]
pub fn read_decimal(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = *bytes.first()? == b'-';
    let unsigned = &bytes[usize::from(negative)..];
    let short = unsigned.first_chunk().and_then(|chunk| read_short(u64::from_le_bytes(*chunk)));
    let (value, length) = match short {
        Some(found) => found,
        None => scan_decimal(unsigned)?,
    };
    Some((if negative { -value } else { value }, length + usize::from(negative)))
}

/// The number that the eight characters of `word` (the first one lowest) start with, if it ends
/// among them. No loop and no branch on where the point is.
fn read_short(word: u64) -> Option<(f64, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // 0 to 9 where a character is a digit; high bits mark the others.
    let values = word ^ (ONES * 0x30);
    let others = (((values & (ONES * 0x7f)) + ONES * 0x76) | values) & (ONES * 0x80);
    let whole = others.trailing_zeros() / 8;
    if whole == 8 {
        return None;
    }
    let has_point = u32::from((word >> (8 * whole)) as u8 == b'.');
    let behind = others & !((ONES * 0x80) & ((u64::from(has_point) * 0xff) << (8 * whole)));
    let length = behind.trailing_zeros() / 8;
    let digits = length - has_point;
    if length == 8 || digits == 0 {
        return None;
    }
    // Without the point, and with zeros before it so that there are eight digits.
    let before = (1_u64 << (8 * whole)) - 1;
    let joined = (values & before) | ((values >> (8 * has_point)) & !before);
    let eight = joined << (8 * (8 - digits));
    // Pairs, then fours, then all of them, each as a sum of two products.
    let pairs = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    let mantissa = low.wrapping_add(high) >> 32;
    Some((mantissa as f64 / TENS[(digits - whole) as usize], length as usize))
}

/// [`read_decimal`] of any length, without a sign.
fn scan_decimal(bytes: &[u8]) -> Option<(f64, usize)> {
    // The number is 0.DDD * 10^point, where the first of `digits` D are in `mantissa`.
    let (mut mantissa, mut digits) = (0_u64, 0_u32);
    let mut scale = 0_i64;
    let (mut any, mut fraction) = (false, false);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            any = true;
            if digits < MOST_DIGITS {
                mantissa = mantissa * 10 + digit;
                digits += u32::from(mantissa != 0);
                scale -= i64::from(fraction);
            } else {
                scale += i64::from(!fraction);
            }
        } else if byte == b'.' && !fraction {
            fraction = true;
        } else {
            break;
        }
        at += 1;
    }
    if !any {
        return None;
    }
    let mut exponent = 0;
    if let Some(b'e' | b'E') = bytes.get(at) {
        let (value, length) = parse_exponent(&bytes[at + 1..])?;
        exponent = value;
        at += 1 + length;
    }
    let found = |value| Some((value, at));

    if mantissa == 0 {
        return found(0.0);
    }
    let scale = scale + exponent;
    // Both factors are exact, so the one rounding is the right one (Clinger). A mantissa that was
    // cut is above 2^53.
    if mantissa <= 1 << 53 && scale.unsigned_abs() < TENS.len() as u64 {
        let ten = TENS[scale.unsigned_abs() as usize];
        let mantissa = mantissa as f64;
        return found(if scale < 0 { mantissa / ten } else { mantissa * ten });
    }
    let point = scale + i64::from(digits);
    if point > 310 {
        return found(f64::INFINITY);
    }
    if point < -330 {
        return found(0.0);
    }
    if exponent.abs() <= MOST_EXPONENT {
        return std::str::from_utf8(&bytes[..at]).ok()?.parse().ok().and_then(found);
    }
    parse_long_zeros(&bytes[..at], point).and_then(found)
}

/// Tens of thousands of zeros undone by the exponent: the number is 0.DDD * 10^`point`.
fn parse_long_zeros(bytes: &[u8], point: i64) -> Option<f64> {
    let number = bytes.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let mut plain = String::from("0.");
    plain.extend(
        number
            .filter(|byte| byte.is_ascii_digit())
            .skip_while(|&&byte| byte == b'0')
            .map(|&byte| char::from(byte)),
    );
    plain.push('e');
    plain.push_str(&point.to_string());
    plain.parse().ok()
}

/// What follows `0x`: hexadecimal digits with or without a point, a binary exponent, a suffix.
fn parse_hexadecimal(bytes: &[u8]) -> Option<f64> {
    let mut mantissa = 0_u128;
    let mut scale = 0_i64;
    let (mut any, mut fraction) = (false, false);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let Some(digit) = char::from(byte).to_digit(16) {
            any = true;
            if mantissa < 1 << 120 {
                mantissa = mantissa << 4 | u128::from(digit);
                scale -= 4 * i64::from(fraction);
            } else {
                // Far beyond the 53 bits that are kept: it matters only whether there is any.
                mantissa |= u128::from(digit != 0);
                scale += 4 * i64::from(!fraction);
            }
        } else if byte == b'.' && !fraction {
            fraction = true;
        } else {
            break;
        }
        at += 1;
    }
    let (b'p' | b'P') = bytes.get(at)? else { return None };
    let (exponent, length) = parse_exponent(&bytes[at + 1..])?;
    if !any || !is_suffix(&bytes[at + 1 + length..]) {
        return None;
    }
    let exponent = (scale + exponent).clamp(-100_000, 100_000) as i32;
    Some(assemble(mantissa, exponent))
}

/// An integer with or without a sign at the start of `bytes`, cut to +-10^15, and its length.
fn parse_exponent(bytes: &[u8]) -> Option<(i64, usize)> {
    let signed = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let digits = bytes[signed..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut length = signed;
    let mut value = 0_i64;
    for digit in digits {
        value = (value * 10 + i64::from(digit - b'0')).min(1_000_000_000_000_000);
        length += 1;
    }
    if length == signed {
        return None;
    }
    Some((if bytes[0] == b'-' { -value } else { value }, length))
}

/// Whether nothing follows the number but at most one type suffix.
fn is_suffix(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [b'd' | b'D' | b'f' | b'F'])
}

/// `x` as `Double.toString` writes it since Java 19: the shortest decimal that is read back as `x`,
/// of two or more digits, of those the nearest; `1.0E7` from 10^7 on and below 10^-3.
pub(crate) fn double_to_string(x: f64) -> String {
    if let Some(name) = special_name(x) {
        return name.to_owned();
    }
    let shortest = format!("{x:e}");
    let nearest = format!("{x:.*e}", fraction_digits(&shortest));
    java_form(if nearest.parse() == Ok(x) { &nearest } else { &shortest })
}

/// How many digits after the point Java would write for `shortest`, Rust's `1.25e-3`.
///
/// Rust may settle for one digit and takes the greater of two decimals that are equally near; Java
/// takes two digits and the even one, as rounding to a given number of digits does in Rust also.
fn fraction_digits(shortest: &str) -> usize {
    let digits = shortest.bytes().take_while(|&byte| byte != b'e').filter(u8::is_ascii_digit);
    digits.count().max(2) - 1
}

fn special_name(x: f64) -> Option<&'static str> {
    if x.is_nan() {
        Some("NaN")
    } else if x == f64::INFINITY {
        Some("Infinity")
    } else if x == f64::NEG_INFINITY {
        Some("-Infinity")
    } else if x == 0.0 {
        Some(if x.is_sign_negative() { "-0.0" } else { "0.0" })
    } else {
        None
    }
}

/// From Rust's `-1.25e-3` to Java's form of the same digits.
fn java_form(scientific: &str) -> String {
    let (sign, rest) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    match exponent {
        0 => format!("{sign}{first}.{fraction}"),
        1..=6 => {
            let width = exponent as usize;
            let fraction = if fraction == "0" { "" } else { fraction };
            let whole = &fraction[..width.min(fraction.len())];
            let rest = fraction.get(width..).filter(|rest| !rest.is_empty()).unwrap_or("0");
            format!("{sign}{first}{whole:0<width$}.{rest}")
        }
        -3..=-1 => {
            let zeros = "0".repeat(-exponent as usize - 1);
            let fraction = if fraction == "0" { "" } else { fraction };
            format!("{sign}0.{zeros}{first}{fraction}")
        }
        _ => format!("{sign}{first}.{fraction}E{exponent}"),
    }
}

/// `java.util.Random`: a linear congruential generator of 48 bits, of which the upper are used.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
    /// The second of the two numbers that the polar method makes at a time.
    gaussian: Option<f64>,
}

impl Random {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;

    pub(crate) fn new(seed: i64) -> Self {
        Self { state: (seed as u64 ^ Self::MULTIPLIER) & Self::MASK, gaussian: None }
    }

    /// `bits`: 1 to 32. In two's complement if it is 32.
    fn next(&mut self, bits: u32) -> i32 {
        self.state = self.state.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xb) & Self::MASK;
        (self.state >> (48 - bits)) as i32
    }

    /// `nextInt(bound)`: 0 to `bound` - 1. For a bound below 1, where Java throws, 0.
    pub(crate) fn next_i32_bound(&mut self, bound: i32) -> i32 {
        if bound < 1 {
            return 0;
        }
        let mut bits = self.next(31);
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(bits)) >> 31) as i32;
        }
        // The last, incomplete run of remainders would favour the small ones: draw again.
        while bits.checked_add(bound - 1 - bits % bound).is_none() {
            bits = self.next(31);
        }
        bits % bound
    }

    /// `nextDouble()`: from 0 up to but not 1, in steps of 2^-53.
    pub(crate) fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        let low = i64::from(self.next(27));
        (high + low) as f64 / 9_007_199_254_740_992.0
    }

    /// `nextGaussian()`: mean 0, deviation 1, by the polar method with fdlibm's logarithm.
    pub(crate) fn next_gaussian(&mut self) -> f64 {
        if let Some(second) = self.gaussian.take() {
            return second;
        }
        loop {
            let v1 = 2.0 * self.next_double() - 1.0;
            let v2 = 2.0 * self.next_double() - 1.0;
            let s = v1 * v1 + v2 * v2;
            if s < 1.0 && s != 0.0 {
                let factor = (-2.0 * strict_log(s) / s).sqrt();
                self.gaussian = Some(v2 * factor);
                return v1 * factor;
            }
        }
    }
}

/// `StrictMath.log`: the logarithm of fdlibm, which is up to 1 ulp off, and off in the same way.
///
/// x = 2^k * (1 + f), 1 + f in about 0.707 .. 1.414; log(1 + f) = f - s * (f - R(s^2)) with
/// s = f / (2 + f) and a polynomial R whose coefficients are fdlibm's. The order of the operations
/// is fdlibm's too, which alone makes the bits equal. `x`: positive and normal, as `next_gaussian`
/// has it.
fn strict_log(x: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const R1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
    const R2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
    const R3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
    const R4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
    const R5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
    const R6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
    const R7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);

    let bits = x.to_bits();
    let high = (bits >> 32) as i32;
    let fraction = high & 0xf_ffff;
    // 1 if the fraction is so large that half of x is nearer to 1.
    let halve = (fraction + 0x9_5f64) >> 20 & 1;
    let k = f64::from((high >> 20) - 1023 + halve);
    let field = ((0x3ff - halve) as u64) << 52;
    let f = f64::from_bits(field | bits & 0xf_ffff_ffff_ffff) - 1.0;

    if (fraction + 2) & 0xf_ffff < 3 {
        // |f| < 2^-20
        if f == 0.0 {
            return if k == 0.0 { 0.0 } else { k * LN2_HI + k * LN2_LO };
        }
        let r = f * f * (0.5 - (1.0 / 3.0) * f);
        return if k == 0.0 { f - r } else { k * LN2_HI - ((r - k * LN2_LO) - f) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (R2 + w * (R4 + w * R6));
    let odd = z * (R1 + w * (R3 + w * (R5 + w * R7)));
    let r = odd + even;
    if (fraction - 0x6_147a) | (0x6_b851 - fraction) > 0 {
        let half_square = 0.5 * f * f;
        if k == 0.0 {
            f - (half_square - s * (half_square + r))
        } else {
            k * LN2_HI - ((half_square - (s * (half_square + r) + k * LN2_LO)) - f)
        }
    } else if k == 0.0 {
        f - s * (f - r)
    } else {
        k * LN2_HI - ((s * (f - r) - k * LN2_LO) - f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        let cases: &[(&str, f64)] = &[
            ("1d", 1.0),
            ("2.5f", 2.5),
            ("1e5F", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
            ("5.e+5D", 5e5),
            ("-0", -0.0),
            ("+1", 1.0),
            ("007", 7.0),
            ("\u{0}\t 1 \r\n\u{1f}", 1.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e99999999999999999999", f64::INFINITY),
            ("-1e-99999999999999999999", -0.0),
            ("0e99999999999999999999", 0.0),
            ("4.9E-324", 5e-324),
            ("2.4703282292062327e-324", 0.0),
            ("2.4703282292062328e-324", 5e-324),
            ("1.7976931348623158e308", f64::MAX),
            ("1.797693134862315808e308", f64::INFINITY),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("9007199254740993.00000000000000000001", 9_007_199_254_740_994.0),
            ("8.5e22", 8.5e22),
            ("1e23", 1e23),
            ("12345678901234567890123", 1.234_567_890_123_456_8e22),
            ("0x1p3", 8.0),
            ("0X1.8P1d", 3.0),
            ("-0x.8p1f", -1.0),
            ("0xAbC.p-4", 171.75),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("-0x1p-99999999999999999999", -0.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.000_000_000_000_000_4),
            ("0x1.00000000000008000000000000000000000000000000000001p0", 1.000_000_000_000_000_2),
            ("0x1p-1075", 0.0),
            ("0x1.00000000000000000000000000000000000000000001p-1075", 5e-324),
            ("0x1.8p-1074", 1e-323),
            ("0x1.fffffffffffff8p1023", f64::INFINITY),
            ("0x1.fffffffffffff7ffffffffffffffffffffffffffp1023", f64::MAX),
        ];
        for &(text, expected) in cases {
            let got = parse_double(text).map(f64::to_bits);
            assert_eq!(got, Some(expected.to_bits()), "{text:?}");
        }
        for text in ["NaN", "+NaN", "-NaN"] {
            assert!(parse_double(text).is_some_and(f64::is_nan), "{text}");
        }
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for text in [
            "",
            " ",
            "+",
            "-",
            ".",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e 5",
            "1,5",
            "1_000",
            "1 2",
            "1dd",
            "d",
            "f",
            "--1",
            "- 1",
            "1..2",
            "1.2.3",
            "1e5.0",
            "nan",
            "inf",
            "Infinit",
            "infinity",
            "NaNd",
            "Infinityf",
            "true",
            "0x",
            "0x10",
            "0x1.8",
            "0x.p1",
            "0xp1",
            "0xgp1",
            "0x1p",
            "0x1p+",
            "0x1p3x",
            "0x-1p3",
            "0b1",
            "1L",
            "\u{661}",
            "1\u{a0}",
            "\u{2003}1",
            "1\u{7f}",
            "\u{feff}1",
            "1\u{e9}",
            "-\u{e9}",
        ] {
            assert_eq!(parse_double(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        /// The way without loops, the way with one, and Rust's own agree.
        #[test]
        fn plain_numbers_are_read_wherever_they_end(
            text in "-?[0-9]{0,9}[.]?[0-9]{0,12}([eE][+-]?[0-9]{1,3})?",
            behind in "[,\n;x .0-9]{0,9}",
        ) {
            let line = format!("{text},{behind}");
            let expected: Option<f64> = text.parse().ok();
            for found in [read_decimal(line.as_bytes()), read_decimal(text.as_bytes())] {
                match (found, expected) {
                    // Rust takes `1.e5`, and so does Java.
                    (Some((value, length)), Some(expected)) if length == text.len() => {
                        proptest::prop_assert_eq!(value.to_bits(), expected.to_bits());
                    }
                    // What is short is read up to its exponent.
                    (Some((_, length)), _) => {
                        proptest::prop_assert!(text[length..].starts_with(['e', 'E']), "{}", text);
                    }
                    (None, expected) => proptest::prop_assert_eq!(expected, None),
                }
            }
            proptest::prop_assert_eq!(parse_double(&text).map(f64::to_bits), expected.map(f64::to_bits));
        }
    }

    #[test]
    fn very_long_numbers_keep_their_value() {
        for zeros in [30, 400, 70_000, 700_000] {
            let zero = "0".repeat(zeros);
            let cases = [
                (format!("0.{zero}123e{}", zeros + 2), 12.3),
                (format!("-123{zero}e-{}", zeros + 1), -12.3),
                (format!("{zero}.25"), 0.25),
                (format!("9007199254740993.{zero}1"), 9_007_199_254_740_994.0),
                (format!("9007199254740993.{zero}"), 9_007_199_254_740_992.0),
                (format!("0x0.{zero}8p{}", 4 * zeros + 1), 1.0),
                (format!("0x1{zero}p-{}", 4 * zeros), 1.0),
            ];
            for (text, expected) in cases {
                assert_eq!(parse_double(&text), Some(expected), "{zeros} zeros, {}", &text[..1]);
            }
        }
    }

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (x, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (120.0, "120.0"),
            (1234.5, "1234.5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.01, "0.01"),
            (0.0125, "0.0125"),
            (0.000_999, "9.99E-4"),
            (1e23, "1.0E23"),
            (2e-323, "2.0E-323"),
            (5e-324, "4.9E-324"),
            (0.1 + 0.2, "0.30000000000000004"),
            // Two shortest decimals are equally near: the even one.
            (1_125_899_906_842_624.0 + 0.25, "1.1258999068426242E15"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(double_to_string(x), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 5_000, failure_persistence: None, ..ProptestConfig::default()
        })]

        /// Any bits, and any digits and exponent.
        #[test]
        fn a_number_is_read_back_from_its_shortest_digits(bits: u64) {
            let x = f64::from_bits(bits);
            let text = double_to_string(x);
            let read = parse_double(&text).map(f64::to_bits);
            if x.is_nan() {
                prop_assert_eq!(text, "NaN");
            } else {
                prop_assert_eq!(read, Some(bits), "{}", text);
                let digits = |text: &str| {
                    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
                    mantissa.replace(['-', '.'], "").trim_matches('0').len()
                };
                let shortest = digits(&format!("{x:e}")).max(2);
                prop_assert!(digits(&text) <= shortest, "{} for {:e}", text, x);
            }
        }

        #[test]
        fn decimals_have_the_bits_that_rust_gives_them(
            text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?"
        ) {
            let expected = text.parse::<f64>().ok().map(f64::to_bits);
            prop_assert_eq!(parse_double(&text).map(f64::to_bits), expected, "{}", text);
            prop_assert_eq!(parse_double(&format!(" {text}d")).map(f64::to_bits), expected);
        }

        /// Written with all its bits in hexadecimal.
        #[test]
        fn hexadecimals_have_the_bits_they_spell(bits: u64) {
            let x = f64::from_bits(bits & (u64::MAX >> 1));
            prop_assume!(x.is_finite());
            let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
            let (whole, exponent) =
                if exponent == 0 { (0, -1022) } else { (1, exponent as i32 - 1023) };
            let text = format!("0x{whole}.{fraction:013x}p{exponent}");
            prop_assert_eq!(parse_double(&text).map(f64::to_bits), Some(x.to_bits()), "{}", text);
        }
    }

    /// Expected values from Java 17.
    #[test]
    fn random_numbers_are_those_of_java() {
        let doubles = [0x3fe7_4833_a06f_f457, 0x3fe5_dcf7_7862_2e01, 0x3fd3_c20f_3f12_bbb4];
        let gaussians: [u64; 3] =
            [0x3fe8_ae4e_385c_2743, 0xbfd0_0eb1_3f6a_b506, 0xbffc_0e49_67dc_4971];
        let mut random = Random::new(42);
        assert_eq!(doubles.map(|_| random.next_double().to_bits()), doubles);
        let bounds = [1, 10, 1 << 30, 1_500_000_000];
        assert_eq!(bounds.map(|n| random.next_i32_bound(n)), [0, 8, 714_627_759, 196_118_093]);
        assert_eq!(gaussians.map(|_| random.next_gaussian().to_bits()), gaussians);
        assert_eq!(Random::new(i64::MIN).next_double().to_bits(), 0x3fe7_6416_8ea6_ca89);
        assert_eq!(Random::new(1).next_i32_bound(0), 0);

        let hash = |hash: i64, bits: i64| hash.wrapping_mul(31).wrapping_add(bits);
        let mut random = Random::new(42);
        let gaussians = (0..100_000).map(|_| random.next_gaussian().to_bits() as i64);
        assert_eq!(gaussians.fold(0, hash) as u64, 0x9bec_f5b1_b6d6_9b92);
        // Every other draw is refused for this bound.
        let mut random = Random::new(7);
        let ints = (0..100_000).map(|_| random.next_i32_bound(1_500_000_000).into());
        assert_eq!(ints.fold(0, hash) as u64, 0xdf95_8615_ccb0_063a);
    }

    #[test]
    fn the_strict_logarithm_is_that_of_java() {
        for (x, expected) in [
            (1.0, 0),
            (0.5, 0xbfe6_2e42_fefa_39ef),
            (0.999_999_9, 0xbe7a_d7f2_b104_9b9f),
            (1.0 - f64::EPSILON / 2.0, 0xbca0_0000_0000_0000),
            (4.930_380_657_631_324e-32, 0xc052_0596_6f2b_4f12),
            (0.7, 0xbfd6_d3c3_24e1_3f50),
            (0.1, 0xc002_6bb1_bbb5_5515),
            (0.75, 0xbfd2_6962_1134_db92),
        ] {
            assert_eq!(strict_log(x).to_bits(), expected, "{x}");
        }
    }
}
