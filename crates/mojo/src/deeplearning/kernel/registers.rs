//! Numbers side by side, as wide as a register: what compilers do not find by themselves in tiles.
//!
//! Lane by lane the arithmetic is that of `f64`.

use super::LANES;

/// Some `f64` side by side.
///
/// Methods of the wide ones may only be called, inlined, from code that is compiled for them.
pub(super) trait Register: Copy {
    /// How many.
    const LEN: usize;
    fn splat(x: f64) -> Self;
    /// Those from `first` on.
    fn load(x: &[f64], first: usize) -> Self;
    /// The same of `f32`, of which there are as many as partial sums.
    fn widen(x: &[f32; LANES], first: usize) -> Self;
    fn store(self, x: &mut [f64], first: usize);
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

/// The definition.
#[derive(Clone, Copy)]
pub(super) struct Two([f64; 2]);

impl Register for Two {
    const LEN: usize = 2;
    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self([x; 2])
    }
    #[inline(always)]
    fn load(x: &[f64], first: usize) -> Self {
        Self([x[first], x[first + 1]])
    }
    #[inline(always)]
    fn widen(x: &[f32; LANES], first: usize) -> Self {
        Self([f64::from(x[first]), f64::from(x[first + 1])])
    }
    #[inline(always)]
    fn store(self, x: &mut [f64], first: usize) {
        x[first..first + 2].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Self([self.0[0] * other.0[0], self.0[1] * other.0[1]])
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::{Eight, Four};

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that `widest!` has looked for")]
mod wide {
    use std::arch::x86_64::{
        __m256d, __m512d, _mm_loadu_ps, _mm256_add_pd, _mm256_cvtps_pd, _mm256_loadu_pd,
        _mm256_loadu_ps, _mm256_mul_pd, _mm256_set1_pd, _mm256_storeu_pd, _mm512_add_pd,
        _mm512_cvtps_pd, _mm512_loadu_pd, _mm512_mul_pd, _mm512_set1_pd, _mm512_storeu_pd,
    };

    use super::{LANES, Register};

    /// Defines a register of so many `f64` by its instructions.
    macro_rules! register {
        ($name:ident, $register:ident, $len:expr, $set:ident, $load:ident, $store:ident, $add:ident,
         $mul:ident, $load_f32:ident, $widen:ident) => {
            #[derive(Clone, Copy)]
            pub(in super::super) struct $name($register);

            impl Register for $name {
                const LEN: usize = $len;
                #[inline(always)]
                fn splat(x: f64) -> Self {
                    // SAFETY: only called where the instruction is there.
                    Self(unsafe { $set(x) })
                }
                #[inline(always)]
                fn load(x: &[f64], first: usize) -> Self {
                    let x = &x[first..first + $len];
                    // SAFETY: as above; the slice is as long as the register.
                    Self(unsafe { $load(x.as_ptr()) })
                }
                #[inline(always)]
                fn widen(x: &[f32; LANES], first: usize) -> Self {
                    let x = &x[first..first + $len];
                    // SAFETY: as above; the slice is as long as the register.
                    Self(unsafe { $widen($load_f32(x.as_ptr())) })
                }
                #[inline(always)]
                fn store(self, x: &mut [f64], first: usize) {
                    let x = &mut x[first..first + $len];
                    // SAFETY: as above; the slice is as long as the register.
                    unsafe { $store(x.as_mut_ptr(), self.0) }
                }
                #[inline(always)]
                fn plus(self, other: Self) -> Self {
                    // SAFETY: only called where the instruction is there.
                    Self(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                fn times(self, other: Self) -> Self {
                    // SAFETY: only called where the instruction is there.
                    Self(unsafe { $mul(self.0, other.0) })
                }
            }
        };
    }

    register!(
        Four,
        __m256d,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_mul_pd,
        _mm_loadu_ps,
        _mm256_cvtps_pd
    );
    register!(
        Eight,
        __m512d,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_mul_pd,
        _mm256_loadu_ps,
        _mm512_cvtps_pd
    );
}
