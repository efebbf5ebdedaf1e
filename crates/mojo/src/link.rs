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

impl GbmLink {
    /// [`GbmLink::mean`] of each, in place.
    pub(crate) fn means(self, margins: &mut [f64]) {
        let bounded = |x: f64| if x > 1e19 { 1e19 } else { x };
        match self {
            _ if margins.len() < ABREAST_MIN => {
                margins.iter_mut().for_each(|margin| *margin = self.mean(*margin));
            }
            Self::Logit => {
                margins.iter_mut().for_each(|margin| *margin = -*margin);
                exp_all(margins);
                margins.iter_mut().for_each(|margin| *margin = 1.0 / (1.0 + bounded(*margin)));
            }
            Self::Log => {
                exp_all(margins);
                margins.iter_mut().for_each(|margin| *margin = bounded(*margin));
            }
            Self::Identity => {}
            _ => margins.iter_mut().for_each(|margin| *margin = self.mean(*margin)),
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

/// Fewer exponentials than that are faster one by one.
const ABREAST_MIN: usize = 4;

impl GlmLink {
    /// [`GlmLink::mean`] of each, in place.
    pub(crate) fn means(self, etas: &mut [f64]) {
        match self {
            _ if etas.len() < ABREAST_MIN => etas.iter_mut().for_each(|eta| *eta = self.mean(*eta)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_means_are_each_their_own() {
        let margins: Vec<f64> = (-60..60).map(|i| f64::from(i) * 13.7).collect();
        let margins = [&margins[..], &[0.0, -0.0, 43.7, 43.8, f64::INFINITY, -1e-300]].concat();
        for link in [
            GbmLink::Log,
            GbmLink::Logit,
            GbmLink::CLogLog,
            GbmLink::Probit,
            GbmLink::Inverse,
            GbmLink::Identity,
        ] {
            let mut means = margins.clone();
            link.means(&mut means);
            for (mean, &margin) in means.into_iter().zip(&margins) {
                assert_eq!(mean.to_bits(), link.mean(margin).to_bits(), "{link:?} {margin}");
            }
            let mut none = [f64::NAN];
            link.means(&mut none);
            assert_eq!(none[0].is_nan(), link.mean(f64::NAN).is_nan(), "{link:?}");
        }
    }
}
