//! Java's grammar of numbers. Where Rust's grammar agrees, the bits must.
#![no_main]

use stemson_mojo::parse_double;

/// Digits with at most one point, and an exponent: what both read alike.
fn is_plain(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (unsigned, "0"),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !whole.is_empty() || !fraction.is_empty();
    is_number
        && all_digits(whole)
        && all_digits(fraction)
        && !exponent.is_empty()
        && all_digits(exponent)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let found = parse_double(text);
    if is_plain(text) {
        let expected: f64 = text.parse().expect("digits, a point and an exponent");
        assert_eq!(found.map(f64::to_bits), Some(expected.to_bits()), "{text:?}");
    }
    // Blanks around a number do not count.
    let padded = parse_double(&format!(" {text}\t"));
    assert_eq!(padded.map(f64::to_bits), found.map(f64::to_bits), "{text:?}");
});
