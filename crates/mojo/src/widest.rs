//! One portable definition, compiled for the widest registers that the processor has.
//!
//! The compiler puts independent numbers side by side where registers allow it, and changes no
//! bit by that: it neither reorders sums nor fuses multiplications with additions. What is found at
//! run time only decides how many numbers one instruction takes.

/// Defines a function that calls the first of its bodies that the processor can run.
///
/// ```ignore
/// widest!(fn name(x: &mut [f64]) { avx512 => body::<16>, avx2 => body::<8>, any => body::<4> });
/// ```
///
/// Bodies must be `#[inline(always)]`, and so must be what they call in their loops: only what is
/// inlined is compiled for the wider registers.
macro_rules! widest {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) {
        avx512 => $avx512:expr, avx2 => $avx2:expr, any => $any:expr $(,)?
    }) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls code for features that were looked for"))]
        $vis fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) {
                    $avx512($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) {
                    $avx2($($arg),*);
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has what the code is compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $any($($arg),*);
        }
    };
}

pub(crate) use widest;
