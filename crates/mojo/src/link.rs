//! From margin to mean.

use crate::math::{exp, exp_all, pow};

/// Inverse links of GBM. Source: `GbmMojoModel.linkInv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GbmLink {
    Log,
    Logit,
    CLogLog,
    Probit,
    Inverse,
    Identity,
}

impl GbmLink {
    /// The name in `link_function`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "log" => Self::Log,
            "logit" | "ologit" => Self::Logit,
            "ologlog" => Self::CLogLog,
            "oprobit" => Self::Probit,
            "inverse" => Self::Inverse,
            "identity" | "tweedie" => Self::Identity,
            _ => return None,
        })
    }

    /// The link of files that do not name one. Source: `ModelMojoReader.defaultLinkFunction`.
    pub(crate) fn of_family(family: &str) -> Self {
        match family {
            "bernoulli" | "fractionalbinomial" | "quasibinomial" | "modified_huber" | "ordinal" => {
                Self::Logit
            }
            "multinomial" | "poisson" | "gamma" | "tweedie" => Self::Log,
            _ => Self::Identity,
        }
    }

    pub(crate) fn mean(self, margin: f64) -> f64 {
        match self {
            Self::Log => bounded_exp(margin),
            Self::Logit => 1.0 / (1.0 + bounded_exp(-margin)),
            Self::CLogLog => 1.0 - bounded_exp(-bounded_exp(margin)),
            Self::Probit => 0.0,
            // -1e-5 on both sides: the sign slip is genmodel's, and so are the answers.
            Self::Inverse if margin < 0.0 => 1.0 / java_min(-1e-5, margin),
            Self::Inverse => 1.0 / java_max(-1e-5, margin),
            Self::Identity => margin,
        }
    }
}

/// `GbmMojoModel.exp`: never above 1e19.
fn bounded_exp(x: f64) -> f64 {
    java_min(1e19, exp(x))
}

/// Inverse links of GLM. Source: `GenModel.GLM_*Inv`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum GlmLink {
    Identity,
    Logit,
    Log,
    Inverse,
    Tweedie { power: f64 },
}

impl GlmLink {
    pub(crate) fn parse(name: &str, tweedie_power: f64) -> Option<Self> {
        Some(match name {
            "identity" => Self::Identity,
            "logit" => Self::Logit,
            "log" => Self::Log,
            "inverse" => Self::Inverse,
            "tweedie" => Self::Tweedie { power: tweedie_power },
            _ => return None,
        })
    }

    pub(crate) fn mean(self, eta: f64) -> f64 {
        match self {
            Self::Identity => eta,
            Self::Logit => logistic(eta),
            Self::Log => exp(eta),
            Self::Inverse if eta < 0.0 => 1.0 / java_min(-1e-5, eta),
            Self::Inverse => 1.0 / java_max(1e-5, eta),
            Self::Tweedie { power: 0.0 } => java_max(2e-16, exp(eta)),
            Self::Tweedie { power } => pow(eta, 1.0 / power),
        }
    }
}

impl GlmLink {
    /// [`GlmLink::mean`] of each, in place.
    pub(crate) fn means(self, etas: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Logit => {
                etas.iter_mut().for_each(|eta| *eta = -*eta);
                exp_all(etas);
                etas.iter_mut().for_each(|eta| *eta = 1.0 / (*eta + 1.0));
            }
            Self::Log => exp_all(etas),
            _ => etas.iter_mut().for_each(|eta| *eta = self.mean(*eta)),
        }
    }
}

/// `1 / (exp(-x) + 1)`. Source: `GenModel.GLM_logitInv`.
pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (exp(-x) + 1.0)
}

/// Java's `Math.max`: NaN wins, and +0.0 is above -0.0.
pub(crate) fn java_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a >= b {
        a
    } else {
        b
    }
}

/// Java's `Math.min`: NaN wins, and -0.0 is below +0.0.
pub(crate) fn java_min(a: f64, b: f64) -> f64 {
    -java_max(-a, -b)
}
