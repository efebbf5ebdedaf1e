//! `exp`, `log` and `pow`: correctly rounded, the same bits on every platform.
//!
//! Each function answers with the `f64` nearest to the true value (ties to even, which occur for
//! `pow` only), subnormal results included, and treats NaN, infinities and signed zeros as Java's
//! `Math` does. Nothing here calls the platform's mathematics or fuses a multiplication with an
//! addition, so that x86-64, aarch64, musl and wasm agree.
//!
//! # Method
//!
//! Ziv's two phases, after the model of CORE-MATH (Sibidanov, Zimmermann, Glondu: The CORE-MATH
//! Project, ARITH 2022):
//!
//! 1. *Fast*: a table and a short polynomial give `hi + lo` in `f64` arithmetic and a bound `e`
//!    of its error. If `hi + (lo - e)` and `hi + (lo + e)` round to one number, that is the answer.
//! 2. *Accurate*: otherwise the value is evaluated anew in 128-bit integers (`wide`) and
//!    rounded once. Relative error below 2^-122 for `exp` and `log`, 2^-112 for `pow`.
//!
//! For `exp` and `log` the accurate phase is beyond the hardest arguments that exist (2^-113 and
//! 2^-118: Lefevre and Muller, Worst Cases for Correct Rounding of the Elementary Functions in
//! Double Precision, ARITH 2001), so these two are always right. For `pow` no such list exists: the
//! cases that are exact or exactly between two numbers are found by integers (`exact_power`), and
//! of the others about one in 2^50 of those that reach the accurate phase could round wrongly.
//!
//! The tables are computed at compile time by the accurate phase itself, from one constant, ln 2.
//!
//! # Measured
//!
//! Against MPFR 4.2 on 5,000,000 arguments per function (the whole range, with weight on |x| < 40,
//! on logarithms near 1 and on subnormal results), 0 answers differ; glibc 2.36 differs on 0.07 %
//! (`exp`), 0.04 % (`log`) and 0.10 % (`pow`). 0 differ on the 134,936 published hardest arguments
//! of `log` either. The accurate phase alone is off by at most 2^-126 (`exp`), 2^-125 (`log`) and
//! 2^-115 (`pow`), the fast one by a quarter of its bound; 3 to 20 arguments in 10,000 need the
//! accurate phase, which takes about ten times as long.

#![expect(clippy::inline_always, reason = "what is inlined is compiled for wider registers")]

mod wide;

pub(crate) use wide::assemble;
use wide::{Fixed, LN2, LN2_TAIL, LOG_START, Wide, log_wide, split};

use crate::widest::widest;

/// e^x.
///
/// NaN for NaN; 0 for -infinity and below about -745.1; infinity above about 709.8.
///
/// ```
/// assert_eq!(stemson_mojo::math::exp(1.0), std::f64::consts::E);
/// ```
pub fn exp(x: f64) -> f64 {
    // Outside this range the result may be subnormal or overflow.
    if x.abs() < 708.0 {
        let fast = exp_fast(x, 0.0);
        if let Some(answer) = fast.rounded(EXP_ERROR) {
            return answer;
        }
    }
    exp_accurate(x)
}

widest!(
    /// e^x of each, in place: [`exp`], many side by side.
    pub(crate) fn exp_all(x: &mut [f64]) { avx512 => exp_each, avx2 => exp_each, any => exp_each }
);

#[inline(always)]
fn exp_each(x: &mut [f64]) {
    /// Arguments whose fast phases run side by side.
    const ABREAST: usize = 16;
    for chunk in x.chunks_mut(ABREAST) {
        let mut arguments = [0.0; ABREAST];
        arguments[..chunk.len()].copy_from_slice(chunk);
        let (mut answers, mut doubts) = ([0.0; ABREAST], 0_u32);
        for i in 0..ABREAST {
            let x = arguments[i];
            let (answer, sure) = exp_fast(x, 0.0).nearest(EXP_ERROR);
            answers[i] = answer;
            doubts |= u32::from(!(sure && x.abs() < 708.0)) << i;
        }
        while doubts != 0 {
            let i = doubts.trailing_zeros() as usize;
            answers[i] = exp(arguments[i]);
            doubts &= doubts - 1;
        }
        chunk.copy_from_slice(&answers[..chunk.len()]);
    }
}

/// The natural logarithm of `x`.
///
/// NaN for NaN and below zero; -infinity for either zero; infinity for infinity.
///
/// ```
/// assert_eq!(stemson_mojo::math::log(2.0), std::f64::consts::LN_2);
/// ```
pub fn log(x: f64) -> f64 {
    if x > 0.0 && x < f64::INFINITY {
        if x == 1.0 {
            return 0.0;
        }
        let fast = log_fast(x);
        let (below, above) = (fast.lo - fast.error, fast.lo + fast.error);
        let answer = fast.hi + below;
        if answer == fast.hi + above {
            return answer;
        }
        return log_accurate(x);
    }
    if x == 0.0 {
        f64::NEG_INFINITY
    } else if x == f64::INFINITY {
        f64::INFINITY
    } else {
        f64::NAN
    }
}

/// `x` to the power `y`, with the special cases of Java's `Math.pow`.
///
/// They are those of C's `pow` but for two: NaN if `y` is NaN, even for `x` = 1, and NaN if `x` is
/// 1 or -1 and `y` infinite. 1 if `y` is zero, even for a NaN `x`. NaN if `x` is finite and below
/// zero and `y` not an integer.
///
/// ```
/// use stemson_mojo::math::pow;
/// assert_eq!(pow(-2.0, 3.0), -8.0);
/// assert!(pow(1.0, f64::INFINITY).is_nan());
/// ```
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return 1.0;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let magnitude = x.abs();
    if y.is_infinite() {
        return if magnitude == 1.0 {
            f64::NAN
        } else if (magnitude > 1.0) == (y > 0.0) {
            f64::INFINITY
        } else {
            0.0
        };
    }
    let integer = integer_kind(y);
    let sign = if x.is_sign_negative() && integer == IntegerKind::Odd { -1.0 } else { 1.0 };
    if magnitude == 0.0 || magnitude == f64::INFINITY {
        return sign * if (magnitude == 0.0) == (y > 0.0) { 0.0 } else { f64::INFINITY };
    }
    if x < 0.0 && integer == IntegerKind::None {
        return f64::NAN;
    }
    sign * pow_positive(magnitude, y)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntegerKind {
    None,
    Even,
    Odd,
}

/// `y`: finite.
fn integer_kind(y: f64) -> IntegerKind {
    // From 2^53 on every number is an even integer.
    if y.abs() >= 9_007_199_254_740_992.0 {
        return IntegerKind::Even;
    }
    let whole = y as i64;
    if whole as f64 != y {
        IntegerKind::None
    } else if whole & 1 == 0 {
        IntegerKind::Even
    } else {
        IntegerKind::Odd
    }
}

/// `x`: positive and finite; `y`: finite, not zero.
fn pow_positive(x: f64, y: f64) -> f64 {
    if x == 1.0 {
        return 1.0;
    }
    let log = log_fast(x);
    let hi = log.hi + log.lo;
    let lo = log.lo - (hi - log.hi);
    let z = y * hi;
    if z > 710.0 {
        return f64::INFINITY;
    }
    if z < -746.0 {
        return 0.0;
    }
    if z.abs() < 708.0 {
        // What y * (hi + lo) has beyond z: the product of the upper halves is exact.
        let (y1, hi1) = (upper_half(y), upper_half(hi));
        let (y2, hi2) = (y - y1, hi - hi1);
        let tail = (((y1 * hi1 - z) + y1 * hi2 + y2 * hi1) + y2 * hi2) + y * lo;
        let error = EXP_ERROR + y.abs() * log.error + z.abs() * POW_PRODUCT_ERROR;
        if let Some(answer) = exp_fast(z, tail).rounded(error) {
            return answer;
        }
    }
    pow_accurate(x, y)
}

// ---------------------------------------------------------------------------------------------
// Fast phase
// ---------------------------------------------------------------------------------------------

/// Bound of `exp_fast`'s error, relative to the result; four times what the sum of the roundings
/// comes to, five times what was measured.
const EXP_ERROR: f64 = power_of_two(-66);
/// Factors of `log_fast`'s error bound: of the cube of the reduced argument, whose rounding weighs
/// most near 1, and of the result; about twice what the sum of the roundings comes to.
const LOG_ERROR: (f64, f64) = (power_of_two(-50), power_of_two(-75));
/// Bound of what `y * log(x)` loses in `f64` pairs, relative to the product.
const POW_PRODUCT_ERROR: f64 = power_of_two(-100);

const EXP_STEPS: usize = 128;
const LOG_STEPS: usize = 128;

/// 1.5 * 2^52: adding it rounds to an integer, which is then found in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const STEPS_PER_LN2: f64 = EXP_STEPS as f64 * std::f64::consts::LOG2_E;
/// ln 2 / 128 in two parts; the first has 35 bits, so that its multiples are exact.
const EXP_STEP: (f64, f64) = {
    let first = LN2 & (u128::MAX << 93);
    (assemble(first, -135), assemble(((LN2 - first) << 32) | (LN2_TAIL >> 32) as u128, -167))
};

/// 2^(i / 128) as `hi + lo`, `hi` of 26 bits so that its product with a half is exact.
#[derive(Clone, Copy)]
struct ExpEntry {
    hi: f64,
    lo: f64,
}

static EXP_TABLE: [ExpEntry; EXP_STEPS] = {
    let mut table = [ExpEntry { hi: 1.0, lo: 0.0 }; EXP_STEPS];
    let mut i = 0;
    while i < EXP_STEPS {
        let ln2 = Fixed::multiple_of_ln2(i as i32);
        let argument = Fixed { whole: 0, part: ((ln2.whole as u128) << 121) | (ln2.part >> 7) };
        let Wide { mantissa, exponent } = argument.exp();
        let hi = mantissa & (u128::MAX << 102);
        table[i] = ExpEntry {
            hi: assemble(hi, exponent - 127),
            lo: assemble(mantissa - hi, exponent - 127),
        };
        i += 1;
    }
    table
};

/// `(hi + lo) * 2^exponent`, `hi + lo` between 0.99 and 2.01.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    hi: f64,
    lo: f64,
    exponent: i64,
}

impl Scaled {
    /// The nearest `f64`, or `None` if `error`, relative, leaves two possible. The value must be
    /// in the range of normal numbers.
    #[inline]
    fn rounded(self, error: f64) -> Option<f64> {
        let (answer, sure) = self.nearest(error);
        sure.then_some(answer)
    }

    /// A number next to the value, and whether it is the nearest for sure.
    #[inline(always)]
    fn nearest(self, error: f64) -> (f64, bool) {
        let error = error * 2.0;
        let answer = self.hi + (self.lo - error);
        let sure = answer == self.hi + (self.lo + error);
        (f64::from_bits(answer.to_bits().wrapping_add((self.exponent << 52) as u64)), sure)
    }
}

/// e^(`x` + `tail`) for |x| < 710 and |tail| < 2^-43.
#[inline(always)]
fn exp_fast(x: f64, tail: f64) -> Scaled {
    let shifted = x * STEPS_PER_LN2 + ROUNDER;
    let steps = shifted - ROUNDER;
    let index = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i64;
    let entry = EXP_TABLE[(index & (EXP_STEPS as i64 - 1)) as usize];

    // x = steps * ln2/128 + r, |r| < 2^-8.5; both the product and the difference are exact.
    let r = x - steps * EXP_STEP.0;
    let correction = tail - steps * EXP_STEP.1;
    let upper = upper_half(r);
    let rest = (r - upper) + correction;
    let r = r + correction;
    // e^r - 1 - r, by Taylor: the next term is below 2^-72.
    let square = r * r;
    let series = square
        * ((1.0 / 2.0 + r * (1.0 / 6.0))
            + square * ((1.0 / 24.0 + r * (1.0 / 120.0)) + square * (1.0 / 720.0)));
    let rest = rest + series;

    let product = entry.hi * upper;
    let hi = entry.hi + product;
    let lost = product - (hi - entry.hi);
    let lo = lost + (entry.lo + (entry.lo * upper + (entry.hi + entry.lo) * rest));
    Scaled { hi, lo, exponent: index >> 7 }
}

/// Log of 1 / `reciprocal` as `hi + lo`, `hi` a multiple of 2^-42.
#[derive(Clone, Copy)]
struct LogEntry {
    reciprocal: f64,
    hi: f64,
    lo: f64,
}

/// The intervals start at `LOG_START` and meet at 1, where the reciprocal is 1 on both sides: so the
/// logarithm keeps its relative accuracy there.
const LOG_STEP: u64 = 1 << 45;
const LOG_LN2: (f64, f64) = split_at_42(Fixed { whole: 0, part: LN2 });

static LOG_TABLE: [LogEntry; LOG_STEPS] = {
    let mut table = [LogEntry { reciprocal: 1.0, hi: 0.0, lo: 0.0 }; LOG_STEPS];
    let mut i = 0;
    while i < LOG_STEPS {
        let start = LOG_START + i as u64 * LOG_STEP;
        let touches_one = start == 1.0_f64.to_bits() || start + LOG_STEP == 1.0_f64.to_bits();
        if !touches_one {
            let centre = f64::from_bits(start + LOG_STEP / 2);
            // At most 11 bits, so that its products with 32 bits of the mantissa are exact.
            let reciprocal = (1024.0 / centre + 0.5) as i64 as f64 / 1024.0;
            let (negative, value) = log_wide(reciprocal);
            let (hi, lo) = split_at_42(value.to_fixed());
            let sign = if negative { 1.0 } else { -1.0 };
            table[i] = LogEntry { reciprocal, hi: sign * hi, lo: sign * lo };
        }
        i += 1;
    }
    table
};

/// `value`, in 0 .. 1, as a multiple of 2^-42 and the rest.
const fn split_at_42(value: Fixed) -> (f64, f64) {
    let hi = value.part & (u128::MAX << 86);
    (assemble(hi, -128), assemble(value.part - hi, -128))
}

/// A logarithm as `hi + lo`, right to within `error` (absolute).
#[derive(Debug, Clone, Copy)]
struct LogParts {
    hi: f64,
    lo: f64,
    error: f64,
}

/// `x`: positive, finite, not 1.
#[inline]
fn log_fast(x: f64) -> LogParts {
    let (k, m) = split(x);
    let k = k as f64;
    let entry = LOG_TABLE[((m.to_bits() - LOG_START) >> 45) as usize % LOG_STEPS];

    // m * reciprocal - 1 = r + r_lo, exact.
    let upper = f64::from_bits(m.to_bits() & !0x1f_ffff);
    let (r, r_lo) = two_sum(upper * entry.reciprocal - 1.0, (m - upper) * entry.reciprocal);
    // r^2 / 2: the first part is exact.
    let half = upper_half(r);
    let square_hi = 0.5 * half * half;
    let square_lo = 0.5 * (r - half) * (r + half);
    // The rest of the series from r^3 on.
    let q = r * r;
    let series = ((1.0 / 3.0 - r * (1.0 / 4.0)) + q * (1.0 / 5.0 - r * (1.0 / 6.0)))
        + (q * q)
            * ((1.0 / 7.0 - r * (1.0 / 8.0))
                + q * ((1.0 / 9.0 - r * (1.0 / 10.0)) + q * (1.0 / 11.0)));
    let cube = r * q;

    // k * LOG_LN2.0 + entry.hi is a multiple of 2^-42 below 2^11, hence exact.
    let (sum, lost1) = two_sum(k * LOG_LN2.0 + entry.hi, r);
    let hi = sum - square_hi;
    let lost2 = (sum - hi) - square_hi;
    let small = (k * LOG_LN2.1 + entry.lo) + (r_lo - r * r_lo) - square_lo;
    let lo = cube * series + (small + (lost1 + lost2));
    let error = cube.abs() * LOG_ERROR.0 + hi.abs() * LOG_ERROR.1;
    LogParts { hi, lo, error }
}

/// `x` cut to its first 26 bits.
#[inline(always)]
fn upper_half(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & !0x7ff_ffff)
}

/// `a + b` rounded, and what the rounding lost (Knuth).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// `n`: -1022 .. 1023.
const fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

// ---------------------------------------------------------------------------------------------
// Accurate phase
// ---------------------------------------------------------------------------------------------

#[cold]
#[inline(never)]
fn exp_accurate(x: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else if x > 710.0 {
        f64::INFINITY
    } else if x < -746.0 {
        0.0
    } else if x == 0.0 {
        1.0
    } else {
        Wide::of(x).to_fixed().signed(x < 0.0).exp().to_f64()
    }
}

#[cold]
#[inline(never)]
fn log_accurate(x: f64) -> f64 {
    let (negative, value) = log_wide(x);
    if negative { -value.to_f64() } else { value.to_f64() }
}

#[cold]
#[inline(never)]
fn pow_accurate(x: f64, y: f64) -> f64 {
    if let Some((mantissa, exponent)) = exact_power(x, y) {
        return assemble(mantissa, exponent);
    }
    let (negative, log) = log_wide(x);
    log.times(Wide::of(y)).to_fixed().signed(negative != (y < 0.0)).exp().to_f64()
}

/// x^y as `mantissa * 2^exponent` if it has at most 64 significant bits, so all results that are a
/// number or lie exactly between two. Same demands on `x` and `y` as [`pow_positive`].
fn exact_power(x: f64, y: f64) -> Option<(u128, i32)> {
    let (mut base, mut base_exponent) = odd_part(x);
    let (power, power_exponent) = odd_part(y);
    // y = power / 2^n: the result is an n-fold square root, which must come out even.
    for _ in power_exponent..0 {
        let root = base.isqrt();
        if root * root != base || base_exponent % 2 != 0 {
            return None;
        }
        (base, base_exponent) = (root, base_exponent / 2);
        if base == 1 && base_exponent == 0 {
            return None;
        }
    }
    let power = i64::try_from(power).ok()?;
    let power = power.checked_mul(1_i64.checked_shl(power_exponent.max(0) as u32)?)?;
    let power = if y < 0.0 { -power } else { power };
    let exponent = i32::try_from(power.checked_mul(base_exponent.into())?).ok()?;
    if base == 1 {
        return Some((1, exponent));
    }
    // 1 / base is no binary fraction; 3^40 < 2^64 < 3^41.
    if !(1..=40).contains(&power) {
        return None;
    }
    Some((base.checked_pow(power as u32)?.into(), exponent))
}

/// |x| = odd * 2^exponent. `x`: finite, not zero.
fn odd_part(x: f64) -> (u64, i32) {
    let Wide { mantissa, exponent } = Wide::of(x);
    let zeros = mantissa.trailing_zeros();
    ((mantissa >> zeros) as u64, exponent - 127 + zeros as i32)
}

#[cfg(test)]
mod tests {
    use super::wide::multiply_high;
    use super::*;

    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    /// Numbers in 0 .. 1, the same on each run.
    fn sample(n: usize) -> impl Iterator<Item = f64> {
        let mut state = 1_u64;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 * power_of_two(-53)
        })
        .take(n)
    }

    #[test]
    fn both_phases_round_as_mpfr_does() {
        let mut seen = 0;
        for line in include_str!("math/vectors.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(' ');
            let function = fields.next().unwrap();
            let values: Vec<f64> =
                fields.map(|bits| f64::from_bits(u64::from_str_radix(bits, 16).unwrap())).collect();
            let (answer, accurate) = match (function, &values[..values.len() - 1]) {
                ("exp", &[x]) => (exp(x), exp_accurate(x)),
                ("log", &[x]) => (log(x), log_accurate(x)),
                ("pow", &[x, y]) => (pow(x, y), pow_accurate(x, y)),
                _ => panic!("{line}"),
            };
            let expected = values[values.len() - 1];
            assert!(same(answer, expected), "{line}: {:016x}", answer.to_bits());
            assert!(same(accurate, expected), "{line}: {:016x} accurate", accurate.to_bits());
            seen += 1;
        }
        assert!(seen > 1800, "{seen} vectors");
    }

    #[test]
    fn the_fast_phase_never_contradicts_the_accurate_one() {
        for (u, v) in sample(30_000).zip(sample(30_001).skip(1)) {
            let x = (u - 0.5) * 40.0;
            assert_eq!(exp(x), exp_accurate(x), "exp({x:e})");
            // Around 1 from 2^-45 on, and over the whole range.
            let near = 1.0 + (v - 0.5) * power_of_two((u * -45.0) as i32);
            for x in [near, f64::from_bits((u * 9.218_868_437_227_405e18) as u64 + 1)] {
                if x != 1.0 {
                    assert_eq!(log(x), log_accurate(x), "log({x:e})");
                    let y = (v - 0.4) * 700.0 / log(x);
                    assert_eq!(pow(x, y), pow_accurate(x, y), "pow({x:e}, {y:e})");
                }
            }
        }
    }

    #[test]
    fn many_exponentials_are_each_their_own() {
        let special = [NAN, INF, -INF, 0.0, -0.0, 709.9, -745.2, -708.5, 708.5, 1e-300, -1e300];
        let mut x: Vec<f64> = sample(4_001).map(|u| (u - 0.5) * 1500.0).chain(special).collect();
        let expected: Vec<f64> = x.iter().map(|&x| exp(x)).collect();
        exp_all(&mut x);
        assert!(x.iter().zip(&expected).all(|(&x, &y)| same(x, y)));
    }

    #[test]
    fn special_cases_are_those_of_java() {
        for (x, expected) in
            [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (710.0, INF)]
        {
            assert!(same(exp(x), expected), "exp({x})");
        }
        for (x, expected) in
            [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, NAN)]
        {
            assert!(same(log(x), expected), "log({x})");
        }
        let cases = [
            ((NAN, 0.0), 1.0),
            ((NAN, -0.0), 1.0),
            ((1.0, NAN), NAN),
            ((NAN, 1.0), NAN),
            ((1.0, INF), NAN),
            ((-1.0, -INF), NAN),
            ((1.0, 1e300), 1.0),
            ((-1.0, 1e300), 1.0),
            ((0.5, INF), 0.0),
            ((-0.5, -INF), INF),
            ((-2.0, INF), INF),
            ((2.0, -INF), 0.0),
            ((0.0, 0.5), 0.0),
            ((-0.0, 3.0), -0.0),
            ((-0.0, 2.0), 0.0),
            ((-0.0, 0.5), 0.0),
            ((-0.0, -1.0), -INF),
            ((-0.0, -2.0), INF),
            ((0.0, -0.5), INF),
            ((INF, -5e-324), 0.0),
            ((-INF, 3.0), -INF),
            ((-INF, -3.0), -0.0),
            ((-INF, 0.5), INF),
            ((-8.0, 1.0 / 3.0), NAN),
            ((-2.0, -1074.0), 5e-324),
            ((-2.0, -1075.0), -0.0),
            ((-2.0, 1025.0), -INF),
            ((-1.5, 9_007_199_254_740_994.0), INF),
            ((1e300, 1e300), INF),
            ((1e300, -1e300), 0.0),
            ((2.0, 5e-324), 1.0),
        ];
        for ((x, y), expected) in cases {
            assert!(same(pow(x, y), expected), "pow({x:e}, {y:e}) = {:e}", pow(x, y));
        }
    }

    #[test]
    fn tables_agree_with_each_other() {
        let scaled = |entry: &ExpEntry| {
            let scale = power_of_two(126);
            (entry.hi * scale) as u128 + (entry.lo * scale) as u128
        };
        for (i, pair) in EXP_TABLE.windows(2).enumerate() {
            let next = multiply_high(scaled(&pair[0]), scaled(&EXP_TABLE[1])) << 2;
            assert!(next.abs_diff(scaled(&pair[1])) < 1 << (126 - 77), "2^({}/128)", i + 1);
        }
        for LogEntry { reciprocal, hi, lo } in LOG_TABLE.iter().filter(|e| e.reciprocal != 1.0) {
            let log = Wide::of(*hi).to_fixed().plus(Wide::of(*lo).to_fixed());
            let one = log.signed(*hi < 0.0).exp().times(Wide::of(*reciprocal)).to_fixed();
            let (one, off) = (one.whole, one.part.min(one.part.wrapping_neg()));
            assert!(one < 2 && off < 1 << (128 - 92), "log of 1/{reciprocal}");
        }
    }
}
