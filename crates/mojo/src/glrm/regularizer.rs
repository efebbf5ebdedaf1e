//! What `x` must be like: a penalty, and the way to a lower one.
//!
//! Source: `GlrmRegularizer`, `ArrayUtils.maxIndex`, `MathUtils.equalsWithinRecSumErr`.

use crate::java::Random;
use crate::link::{java_max, java_min};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Regularizer {
    None,
    Quadratic,
    L2,
    L1,
    NonNegative,
    OneSparse,
    UnitOneSparse,
    Simplex,
}

impl Regularizer {
    /// The name in `regularizationX`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "None" => Self::None,
            "Quadratic" => Self::Quadratic,
            "L2" => Self::L2,
            "L1" => Self::L1,
            "NonNegative" => Self::NonNegative,
            "OneSparse" => Self::OneSparse,
            "UnitOneSparse" => Self::UnitOneSparse,
            "Simplex" => Self::Simplex,
            _ => return None,
        })
    }

    /// The penalty, 0 or infinite where something is demanded. `x`: not empty.
    pub(super) fn at(self, x: &[f64]) -> f64 {
        let demand = |met: bool| if met { 0.0 } else { f64::INFINITY };
        match self {
            Self::None => 0.0,
            Self::Quadratic => squares(x),
            Self::L2 => squares(x).sqrt(),
            Self::L1 => {
                let mut sum = 0.0;
                for x in x {
                    sum += x.abs();
                }
                sum
            }
            // Comparisons with NaN are false: NaN is not below 0.
            Self::NonNegative => demand(!x.iter().any(|&x| x < 0.0)),
            Self::OneSparse => {
                demand(!x.iter().any(|&x| x < 0.0) && x.iter().filter(|&&x| x > 0.0).count() == 1)
            }
            Self::UnitOneSparse => demand(
                x.iter().all(|&x| x == 0.0 || x == 1.0)
                    && x.iter().filter(|&&x| x == 1.0).count() == 1,
            ),
            Self::Simplex => {
                let mut sum = 0.0;
                for x in x {
                    sum += x;
                }
                // Where no number is below 0 the sum of magnitudes is the sum.
                let rounding = (x.len() - 1) as f64 * ulp(sum) * sum;
                demand(!x.iter().any(|&x| x < 0.0) && (sum - 1.0).abs() <= rounding)
            }
        }
    }

    /// The proximal step of length `delta`.
    pub(super) fn approach(self, x: &mut [f64], delta: f64, random: &mut Random) {
        if delta == 0.0 {
            return;
        }
        match self {
            Self::None => {}
            Self::Quadratic => {
                let factor = 1.0 / (1.0 + 2.0 * delta);
                x.iter_mut().for_each(|x| *x *= factor);
            }
            Self::L2 => {
                let weight = 1.0 - delta / squares(x).sqrt();
                x.iter_mut().for_each(|x| *x = if weight < 0.0 { 0.0 } else { weight * *x });
            }
            Self::L1 => x.iter_mut().for_each(|x| {
                *x = java_max(*x - delta, 0.0) + java_min(*x + delta, 0.0);
            }),
            Self::NonNegative => x.iter_mut().for_each(|x| *x = java_max(*x, 0.0)),
            Self::OneSparse => {
                let best = largest(x, random);
                let value = if x[best] > 0.0 { x[best] } else { 1e-6 };
                x.fill(0.0);
                x[best] = value;
            }
            Self::UnitOneSparse => {
                let best = largest(x, random);
                x.fill(0.0);
                x[best] = 1.0;
            }
            Self::Simplex => to_simplex(x),
        }
    }

    /// Makes a starting point one that is allowed.
    pub(super) fn project(self, x: &mut [f64], random: &mut Random) {
        match self {
            Self::None | Self::Quadratic | Self::L2 | Self::L1 => {}
            Self::Simplex if self.at(x) == 0.0 => {}
            _ => self.approach(x, 1.0, random),
        }
    }
}

fn squares(x: &[f64]) -> f64 {
    let mut sum = 0.0;
    for x in x {
        sum += x * x;
    }
    sum
}

/// The place of the largest number. Of equal ones some one is drawn, the first one only while it
/// wins: genmodel counts ties from the second on.
fn largest(x: &[f64], random: &mut Random) -> usize {
    let (mut best, mut ties) = (0, 0);
    for i in 1..x.len() {
        if x[i] > x[best] {
            (best, ties) = (i, 1);
        } else if x[i] == x[best] {
            ties += 1;
            if random.next_i32_bound(ties) == 0 {
                best = i;
            }
        }
    }
    best
}

/// The nearest point of non-negative numbers with sum 1. Source: Chen and Ye, arXiv 1101.6081.
fn to_simplex(x: &mut [f64]) {
    let n = x.len();
    // Stable and indifferent to NaN, as genmodel's own insertion sort for up to 500 numbers.
    let mut rising = x.to_vec();
    for i in 1..n {
        let mut j = i;
        while j > 0 && rising[j - 1] > rising[j] {
            rising.swap(j - 1, j);
            j -= 1;
        }
    }
    let mut sums = rising.clone();
    for i in (0..n - 1).rev() {
        sums[i] = sums[i + 1] + rising[i];
    }
    let mut threshold = (sums[0] - 1.0) / n as f64;
    for i in (1..n).rev() {
        let candidate = (sums[i] - 1.0) / (n - i) as f64;
        if candidate >= rising[i - 1] {
            threshold = candidate;
            break;
        }
    }
    x.iter_mut().for_each(|x| *x = java_max(*x - threshold, 0.0));
}

/// Java's `Math.ulp`.
fn ulp(x: f64) -> f64 {
    let x = x.abs();
    if x.is_finite() && x < f64::MAX { x.next_up() - x } else { x - x.next_down() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn approach(regularizer: Regularizer, x: &[f64], delta: f64) -> Vec<f64> {
        let mut x = x.to_vec();
        regularizer.approach(&mut x, delta, &mut Random::new(1));
        x
    }

    /// Expected values by hand from the definitions.
    #[test]
    fn penalties() {
        use Regularizer::*;
        for (regularizer, x, penalty) in [
            (None, [3.0, -4.0], 0.0),
            (Quadratic, [3.0, -4.0], 25.0),
            (L2, [3.0, -4.0], 5.0),
            (L1, [3.0, -4.0], 7.0),
            (NonNegative, [3.0, 0.0], 0.0),
            (NonNegative, [3.0, -0.1], INF),
            (OneSparse, [3.0, 0.0], 0.0),
            (OneSparse, [3.0, 1.0], INF),
            (OneSparse, [3.0, -1.0], INF),
            (UnitOneSparse, [0.0, 1.0], 0.0),
            (UnitOneSparse, [0.0, 0.5], INF),
            (UnitOneSparse, [1.0, 1.0], INF),
            (Simplex, [0.25, 0.75], 0.0),
            (Simplex, [0.25, 0.8], INF),
            (Simplex, [1.5, -0.5], INF),
        ] {
            assert_eq!(regularizer.at(&x), penalty, "{regularizer:?} {x:?}");
        }
    }

    #[test]
    fn steps() {
        use Regularizer::*;
        for (regularizer, x, delta, expected) in [
            (None, [3.0, -4.0], 0.5, [3.0, -4.0]),
            (Quadratic, [3.0, -4.0], 0.5, [1.5, -2.0]),
            (L2, [3.0, -4.0], 2.5, [1.5, -2.0]),
            (L2, [3.0, -4.0], 6.0, [0.0, 0.0]),
            (L1, [3.0, -4.0], 0.5, [2.5, -3.5]),
            (L1, [0.25, -4.0], 0.0, [0.25, -4.0]),
            (NonNegative, [3.0, -4.0], 0.5, [3.0, 0.0]),
            (OneSparse, [3.0, 2.0], 0.5, [3.0, 0.0]),
            (OneSparse, [-3.0, -2.0], 0.5, [0.0, 1e-6]),
            (UnitOneSparse, [3.0, 2.0], 0.5, [1.0, 0.0]),
            (Simplex, [3.0, 2.5], 0.5, [0.75, 0.25]),
            (Simplex, [3.0, 1.5], 0.5, [1.0, 0.0]),
        ] {
            assert_eq!(approach(regularizer, &x, delta), expected, "{regularizer:?} {x:?}");
        }
        assert_eq!(approach(Simplex, &[0.5], 1.0), [1.0]);
        assert!(approach(Simplex, &[f64::NAN, 1.0], 1.0)[0].is_nan());
    }

    #[test]
    fn starts_inside() {
        let mut x = [0.25, 0.75];
        Regularizer::Simplex.project(&mut x, &mut Random::new(1));
        assert_eq!(x, [0.25, 0.75]);
        let mut x = [3.0, -1.0];
        Regularizer::L1.project(&mut x, &mut Random::new(1));
        assert_eq!(x, [3.0, -1.0]);
        Regularizer::NonNegative.project(&mut x, &mut Random::new(1));
        assert_eq!(x, [3.0, 0.0]);
    }

    /// Values of Java 17.
    #[test]
    fn the_last_place_is_that_of_java() {
        for (x, expected) in [
            (0.0, 5e-324),
            (1.0, f64::EPSILON),
            (-1.5, f64::EPSILON),
            (f64::MAX, f64::MAX - f64::MAX.next_down()),
        ] {
            assert_eq!(ulp(x), expected);
        }
        assert_eq!(ulp(INF), INF);
    }
}
