//! What a wrong value costs, how steeply that rises, and which value costs least.
//!
//! `u`: what `x` says; `a`: what the row has. Maxima are Java's: NaN stays NaN.
//! Source: `GlrmLoss`.

use crate::link::{java_max, java_min};
use crate::math::{exp, log};

/// Losses of a number, or of a category of two levels that is taken for 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberLoss {
    Quadratic,
    Absolute,
    Huber,
    Poisson,
    Logistic,
    Hinge,
}

impl NumberLoss {
    /// The name in `losses`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Quadratic" => Self::Quadratic,
            "Absolute" => Self::Absolute,
            "Huber" => Self::Huber,
            "Poisson" => Self::Poisson,
            "Logistic" => Self::Logistic,
            "Hinge" => Self::Hinge,
            _ => return None,
        })
    }

    pub(super) fn is_transcendental(self) -> bool {
        matches!(self, Self::Poisson | Self::Logistic)
    }

    pub(super) fn at(self, u: f64, a: f64) -> f64 {
        let x = u - a;
        match self {
            Self::Quadratic => x * x,
            Self::Absolute => x.abs(),
            Self::Huber if x > 1.0 => x - 0.5,
            Self::Huber if x < -1.0 => -x - 0.5,
            Self::Huber => 0.5 * x * x,
            Self::Poisson => exp(u) + if a == 0.0 { 0.0 } else { -a * u + a * log(a) - a },
            Self::Logistic => log(1.0 + exp((1.0 - 2.0 * a) * u)),
            Self::Hinge => java_max(1.0 + (1.0 - 2.0 * a) * u, 0.0),
        }
    }

    /// The derivative by `u`.
    pub(super) fn slope(self, u: f64, a: f64) -> f64 {
        let x = u - a;
        let side = 1.0 - 2.0 * a;
        match self {
            Self::Quadratic => 2.0 * x,
            // Rust's signum of 0 is 1.
            Self::Absolute if x == 0.0 => x,
            Self::Absolute => x.signum(),
            Self::Huber if x > 1.0 => 1.0,
            Self::Huber if x < -1.0 => -1.0,
            Self::Huber => x,
            Self::Poisson => exp(u) - a,
            Self::Logistic => side / (1.0 + exp(-side * u)),
            Self::Hinge if 1.0 + side * u > 0.0 => side,
            Self::Hinge => 0.0,
        }
    }

    /// The `a` of the lowest loss.
    pub(super) fn impute(self, u: f64) -> f64 {
        match self {
            Self::Quadratic | Self::Absolute | Self::Huber => u,
            Self::Poisson => exp(u),
            Self::Logistic | Self::Hinge => f64::from(u8::from(u > 0.0)),
        }
    }
}

/// Losses of a category: `u` has a number per level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CategoryLoss {
    Categorical,
    Ordinal,
}

impl CategoryLoss {
    /// The name in `losses`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Categorical" => Self::Categorical,
            "Ordinal" => Self::Ordinal,
            _ => return None,
        })
    }

    pub(super) fn at(self, u: &[f64], a: usize) -> f64 {
        let mut sum = 0.0;
        match self {
            Self::Categorical => {
                for u in u {
                    sum += java_max(1.0 + u, 0.0);
                }
                sum += java_max(1.0 - u[a], 0.0) - java_max(1.0 + u[a], 0.0);
            }
            Self::Ordinal => {
                for (i, u) in u[..u.len() - 1].iter().enumerate() {
                    sum += if a > i { java_max(1.0 - u, 0.0) } else { 1.0 };
                }
            }
        }
        sum
    }

    /// The derivatives by each `u`.
    pub(super) fn slopes(self, u: &[f64], a: usize, slopes: &mut Vec<f64>) {
        slopes.clear();
        match self {
            Self::Categorical => {
                slopes.extend(u.iter().map(|u| f64::from(u8::from(1.0 + u > 0.0))));
                slopes[a] = if 1.0 - u[a] > 0.0 { -1.0 } else { 0.0 };
            }
            Self::Ordinal => {
                let slope = |(i, u)| if a > i && 1.0 - u > 0.0 { -1.0 } else { 0.0 };
                slopes.extend(u[..u.len() - 1].iter().enumerate().map(slope));
                slopes.push(0.0);
            }
        }
    }

    /// The level of the lowest loss, the first of equal ones.
    pub(super) fn impute(self, u: &[f64]) -> usize {
        let mut best = 0;
        match self {
            Self::Categorical => {
                for (level, value) in u.iter().enumerate() {
                    if *value > u[best] {
                        best = level;
                    }
                }
            }
            Self::Ordinal => {
                let mut sum = (u.len() - 1) as f64;
                let mut lowest = sum;
                for (below, u) in u[..u.len() - 1].iter().enumerate() {
                    sum -= java_min(1.0, *u);
                    if sum < lowest {
                        (lowest, best) = (sum, below + 1);
                    }
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by hand from the definitions.
    #[test]
    fn losses_of_numbers() {
        use NumberLoss::*;
        for (loss, u, a, at, slope, impute) in [
            (Quadratic, 3.0, 1.0, 4.0, 4.0, 3.0),
            (Absolute, 1.0, 3.0, 2.0, -1.0, 1.0),
            (Absolute, 3.0, 3.0, 0.0, 0.0, 3.0),
            (Huber, 4.0, 1.0, 2.5, 1.0, 4.0),
            (Huber, -4.0, 1.0, 4.5, -1.0, -4.0),
            (Huber, 1.5, 1.0, 0.125, 0.5, 1.5),
            (Poisson, 0.0, 0.0, 1.0, 1.0, 1.0),
            (Poisson, 0.0, 1.0, 0.0, 0.0, 1.0),
            (Logistic, 0.0, 1.0, std::f64::consts::LN_2, -0.5, 0.0),
            (Hinge, 0.5, 1.0, 0.5, -1.0, 1.0),
            (Hinge, 2.0, 1.0, 0.0, 0.0, 1.0),
            (Hinge, -0.5, 0.0, 0.5, 1.0, 0.0),
        ] {
            assert_eq!((loss.at(u, a), loss.slope(u, a), loss.impute(u)), (at, slope, impute));
        }
    }

    #[test]
    fn losses_of_categories() {
        use CategoryLoss::*;
        let u = [0.5, -2.0, 0.75];
        for (loss, a, at, slopes, impute) in [
            (Categorical, 0, 0.5 + 1.75, [-1.0, 0.0, 1.0], 2),
            (Categorical, 1, 1.5 + 3.0 + 1.75, [1.0, -1.0, 1.0], 2),
            (Ordinal, 0, 2.0, [0.0, 0.0, 0.0], 1),
            (Ordinal, 2, 0.5 + 3.0, [-1.0, -1.0, 0.0], 1),
        ] {
            let mut found = Vec::new();
            loss.slopes(&u, a, &mut found);
            assert_eq!((loss.at(&u, a), &found[..], loss.impute(&u)), (at, &slopes[..], impute));
        }
    }
}
