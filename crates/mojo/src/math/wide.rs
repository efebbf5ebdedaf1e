//! The accurate phase: `exp` and `log` in 128-bit integers, and the one rounding to `f64`.
//!
//! Everything is `const`, since the tables of the fast phase are made of it. No tables of its own
//! but the coefficients of the two series.

/// The first 128 bits of ln 2 after the binary point, and the 64 after them.
pub(super) const LN2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;
pub(super) const LN2_TAIL: u64 = 0x40f3_4326_7298_b62d;

/// 0.6875, the least mantissa that [`split`] gives.
pub(super) const LOG_START: u64 = 0x3fe6_0000_0000_0000;

const FRACTION: u64 = (1 << 52) - 1;
const LOW_64: u128 = u64::MAX as u128;

/// A positive number, `mantissa / 2^127 * 2^exponent`; the top bit of `mantissa` is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    pub(super) mantissa: u128,
    pub(super) exponent: i32,
}

impl Wide {
    /// |x|, exact. `x`: finite, not zero.
    pub(super) const fn of(x: f64) -> Self {
        let bits = x.to_bits();
        let (field, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & FRACTION);
        if field == 0 {
            Self::normalised(fraction as u128, -1074)
        } else {
            Self::normalised((fraction | (1 << 52)) as u128, field - 1075)
        }
    }

    /// `mantissa * 2^scale`. `mantissa`: not zero.
    pub(super) const fn normalised(mantissa: u128, scale: i32) -> Self {
        let zeros = mantissa.leading_zeros();
        Self { mantissa: mantissa << zeros, exponent: scale + 127 - zeros as i32 }
    }

    pub(super) const fn times(self, other: Self) -> Self {
        Self::normalised(
            multiply_high(self.mantissa, other.mantissa),
            self.exponent + other.exponent - 126,
        )
    }

    /// Cut to 128 bits after the point. The value must be below 2^62.
    pub(super) const fn to_fixed(self) -> Fixed {
        let Self { mantissa, exponent } = self;
        if exponent >= 0 {
            Fixed { whole: (mantissa >> (127 - exponent)) as i64, part: mantissa << (exponent + 1) }
        } else if exponent >= -128 {
            Fixed { whole: 0, part: mantissa >> (-1 - exponent) }
        } else {
            Fixed { whole: 0, part: 0 }
        }
    }

    pub(super) const fn to_f64(self) -> f64 {
        assemble(self.mantissa, self.exponent - 127)
    }
}

/// `whole + part / 2^128`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    pub(super) whole: i64,
    pub(super) part: u128,
}

impl Fixed {
    pub(super) const fn signed(self, negative: bool) -> Self {
        if negative {
            let whole = !self.whole + if self.part == 0 { 1 } else { 0 };
            Self { whole, part: self.part.wrapping_neg() }
        } else {
            self
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        let (part, carry) = self.part.overflowing_add(other.part);
        Self { whole: self.whole + other.whole + carry as i64, part }
    }

    /// `n * ln 2`.
    pub(super) const fn multiple_of_ln2(n: i32) -> Self {
        let factor = n.unsigned_abs() as u128;
        let tail = LN2_TAIL as u128 * factor;
        let low = (LN2 & LOW_64) * factor + (tail >> 64);
        let high = (LN2 >> 64) * factor + (low >> 64);
        Self { whole: (high >> 64) as i64, part: (high << 64) | (low & LOW_64) }.signed(n < 0)
    }

    /// `self` must be above zero.
    pub(super) const fn to_wide(self) -> Wide {
        if self.whole == 0 {
            return Wide::normalised(self.part, -128);
        }
        let width = 64 - self.whole.leading_zeros();
        Wide {
            mantissa: ((self.whole as u128) << (128 - width)) | (self.part >> width),
            exponent: width as i32 - 1,
        }
    }

    /// e^self, relative error below 2^-124. |self| must be below 2^20.
    pub(super) const fn exp(self) -> Wide {
        let mut k = (self.whole as f64 * std::f64::consts::LOG2_E) as i32;
        let mut r = self.plus(Self::multiple_of_ln2(-k));
        while r.whole < 0 {
            r = r.plus(Self::multiple_of_ln2(1));
            k -= 1;
        }
        while r.whole > 0 || r.part >= LN2 {
            r = r.plus(Self::multiple_of_ln2(-1));
            k += 1;
        }
        // 0 <= r < ln 2: e^r - 1 = r + r * (r/2! + r^2/3! + ...), all in 128 bits after the point.
        let r = r.part;
        let mut series = INVERSE_FACTORIALS[EXP_TERMS - 1];
        let mut n = EXP_TERMS - 1;
        while n > 2 {
            n -= 1;
            series = INVERSE_FACTORIALS[n] + multiply_high(series, r);
        }
        let less_one = r.saturating_add(multiply_high(r, multiply_high(series, r)));
        Wide { mantissa: (1 << 127) | (less_one >> 1), exponent: k }
    }
}

/// (ln 2)^33 / 33! < 2^-139.
const EXP_TERMS: usize = 33;
static INVERSE_FACTORIALS: [u128; EXP_TERMS] = {
    let mut inverse = [0; EXP_TERMS];
    inverse[2] = 1 << 127;
    let mut n = 3;
    while n < EXP_TERMS {
        inverse[n] = inverse[n - 1] / n as u128;
        n += 1;
    }
    inverse
};

/// (5/27)^2 = 0.0343, and 0.0343^27 / 55 < 2^-137.
const LOG_TERMS: usize = 27;
static INVERSE_ODDS: [u128; LOG_TERMS] = {
    let mut inverse = [0; LOG_TERMS];
    let mut n = 1;
    while n < LOG_TERMS {
        inverse[n] = u128::MAX / (2 * n as u128 + 1);
        n += 1;
    }
    inverse
};

/// `x` = 2^k * m, 0.6875 <= m < 1.375. `x`: positive and finite.
#[inline]
pub(super) const fn split(x: f64) -> (i32, f64) {
    let (bits, bias) = if x < f64::MIN_POSITIVE {
        ((x * 4_503_599_627_370_496.0).to_bits(), -52)
    } else {
        (x.to_bits(), 0)
    };
    let k = (bits.wrapping_sub(LOG_START) as i64) >> 52;
    (k as i32 + bias, f64::from_bits(bits.wrapping_sub((k << 52) as u64)))
}

/// Whether log(x) is below zero, and its magnitude; relative error below 2^-122. `x`: positive,
/// finite, not 1.
pub(super) const fn log_wide(x: f64) -> (bool, Wide) {
    let (k, m) = split(x);
    let one = 1_u64 << 53;
    // m * 2^53 is an integer, as m >= 1/2.
    let m = (m * one as f64) as u64;
    let below_one = m < one;
    if m == one {
        return (k < 0, Fixed::multiple_of_ln2(k.abs()).to_wide());
    }
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), with 128 bits of s from the first that is set.
    let (difference, sum) = (m.abs_diff(one), m + one);
    let mut shift = difference.leading_zeros() - sum.leading_zeros();
    if difference << shift >= sum {
        shift -= 1;
    }
    let (dividend, sum) = ((difference << shift) as u128, sum as u128);
    let (high, rest) = ((dividend << 64) / sum, (dividend << 64) % sum);
    let mantissa = (high << 64) | ((rest << 64) / sum);
    let s = Wide { mantissa, exponent: -1 - shift as i32 };
    // atanh(s) = s + s * (s^2/3 + s^4/5 + ...)
    let square = s.times(s).to_fixed().part;
    let mut series = INVERSE_ODDS[LOG_TERMS - 1];
    let mut n = LOG_TERMS - 1;
    while n > 1 {
        n -= 1;
        series = INVERSE_ODDS[n] + multiply_high(series, square);
    }
    let more = multiply_high(mantissa, multiply_high(series, square));
    let (total, carry) = mantissa.overflowing_add(more);
    let log_m = if carry {
        Wide { mantissa: (1 << 127) | (total >> 1), exponent: s.exponent + 2 }
    } else {
        Wide { mantissa: total, exponent: s.exponent + 1 }
    };
    if k == 0 {
        return (below_one, log_m);
    }
    // |log m| < 0.38 < ln 2: the sign is that of k.
    let total = Fixed::multiple_of_ln2(k).plus(log_m.to_fixed().signed(below_one));
    (k < 0, total.signed(k < 0).to_wide())
}

/// The upper 128 bits of the product.
pub(super) const fn multiply_high(a: u128, b: u128) -> u128 {
    let (a1, a0) = (a >> 64, a & LOW_64);
    let (b1, b0) = (b >> 64, b & LOW_64);
    let middle1 = a1 * b0 + ((a0 * b0) >> 64);
    let middle2 = a0 * b1 + (middle1 & LOW_64);
    a1 * b1 + (middle1 >> 64) + (middle2 >> 64)
}

/// The `f64` nearest to `mantissa * 2^exponent`, ties to even; subnormal, zero or infinite where
/// it must be.
pub(crate) const fn assemble(mantissa: u128, exponent: i32) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    let exponent = exponent.saturating_add(127 - zeros as i32);
    if exponent > 1023 {
        return f64::INFINITY;
    }
    if exponent < -1075 {
        return 0.0;
    }
    let normal = exponent >= -1022;
    let drop = 75 + if normal { 0 } else { (-1022 - exponent) as u32 };
    let kept = if drop == 128 { 0 } else { (mantissa >> drop) as u64 };
    let rest = mantissa << (128 - drop);
    let half = 1 << 127;
    let up = rest > half || (rest == half && kept & 1 == 1);
    // The leading bit of `kept` adds one to the field of a normal number; a carry does the same.
    let field = if normal { (exponent + 1022) as u64 } else { 0 };
    f64::from_bits((field << 52) + kept + up as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln2_is_the_sum_of_its_series() {
        // 1 / (n 2^n), in 256 bits after the point.
        let mut sum = [0_u64; 4];
        for n in 1..=256_usize {
            let (mut rest, mut term) = (0_u128, [0_u64; 4]);
            for (i, limb) in term.iter_mut().enumerate() {
                let bit = if (n - 1) / 64 == i { 1_u128 << (63 - (n - 1) % 64) } else { 0 };
                let dividend = (rest << 64) | bit;
                (*limb, rest) = ((dividend / n as u128) as u64, dividend % n as u128);
            }
            let mut carry = 0;
            for (total, limb) in sum.iter_mut().zip(term).rev() {
                let digit = u128::from(*total) + u128::from(limb) + carry;
                (*total, carry) = (digit as u64, digit >> 64);
            }
        }
        let high = (u128::from(sum[0]) << 64) | u128::from(sum[1]);
        assert_eq!((high, sum[2]), (LN2, LN2_TAIL));
    }

    #[test]
    fn exp_undoes_log_to_120_bits() {
        let mut x = f64::from_bits(LOG_START);
        while x < 1e9 {
            let (negative, log) = log_wide(x);
            let back = log.to_fixed().signed(negative).exp();
            let Wide { mantissa, exponent } = Wide::of(x);
            assert_eq!(back.exponent, exponent, "{x}");
            assert!(back.mantissa.abs_diff(mantissa) < 1 << (127 - 120), "{x}");
            x *= 1.003;
        }
    }

    #[test]
    fn assemble_rounds_half_to_even_once() {
        for (mantissa, exponent, expected) in [
            (0, 5, 0.0),
            ((1 << 53) + 1, 0, 9_007_199_254_740_992.0),
            ((1 << 53) + 3, 0, 9_007_199_254_740_996.0),
            ((1 << 54) - 1, 970, f64::INFINITY),
            ((1 << 54) - 2, 970, f64::MAX),
            (1, -1075, 0.0),
            (3, -1075, 1e-323),
            ((1 << 100) + 1, -1175, 5e-324),
            ((1 << 53) - 1, -1075, f64::MIN_POSITIVE),
            (1, 2000, f64::INFINITY),
            (u128::MAX, -2000, 0.0),
        ] {
            assert_eq!(assemble(mantissa, exponent), expected, "{mantissa} * 2^{exponent}");
        }
    }
}
