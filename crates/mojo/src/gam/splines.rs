//! From the caller's columns to the spline columns of the raw row.
//!
//! Source: `GamMojoModelBase.addExpandGamCols` and what it calls.

use std::f64::consts::PI;

use super::basis::{i_splines, m_splines};
use crate::error::{RowError, RowErrorKind};
use crate::math::{log, pow};

/// The smoothed predictors of a GAM.
#[derive(Debug)]
pub(crate) struct Splines {
    /// Names of the columns that are smoothed, each once.
    pub(super) inputs: Vec<String>,
    /// First spline column of the raw row; before it lie the columns that a caller gives.
    pub(super) start: usize,
    /// In the order in which they fill the row: later ones may overwrite earlier ones, since
    /// genmodel advances by the number of knots, which I- and M-splines exceed.
    pub(super) smooths: Vec<Smooth>,
}

/// What a row has for a smoothed column: nothing, a number, or something that is none.
pub(crate) type Input = Option<Result<f64, RowError>>;

#[derive(Debug)]
pub(super) struct Smooth {
    /// First place in the raw row.
    pub(super) at: usize,
    /// Places among the inputs.
    pub(super) inputs: Vec<usize>,
    pub(super) basis: Basis,
}

#[derive(Debug)]
pub(super) enum Basis {
    Cubic {
        knots: Vec<f64>,
        /// `knots - 2` rows.
        curvature: Matrix,
        centring: Matrix,
    },
    I {
        order: usize,
        /// Ends repeated for the order, and for the order above.
        knots: Vec<f64>,
        wide: Vec<f64>,
    },
    M {
        order: usize,
        knots: Vec<f64>,
        /// `None`: genmodel takes another predictor's matrix, and it is too small.
        centring: Option<Matrix>,
    },
    ThinPlate(ThinPlate),
    /// A thin plate that genmodel reads amiss, so that it throws, and why.
    Unreadable(&'static str),
}

#[derive(Debug)]
pub(super) struct ThinPlate {
    /// A row per column.
    pub(super) knots: Matrix,
    /// Distances are taken to this power.
    pub(super) power: u32,
    pub(super) constant: f64,
    pub(super) is_even: bool,
    pub(super) radial: Matrix,
    /// Powers of each column, per polynomial.
    pub(super) polynomials: Vec<Vec<u32>>,
    pub(super) centring: Matrix,
}

/// Row-major.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) columns: usize,
    pub(super) values: Vec<f64>,
}

impl Matrix {
    pub(super) fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.columns.max(1))
    }

    /// Each sum runs from the left, from 0.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let product = |row: &[f64]| x.iter().zip(row).fold(0.0, |sum, (x, value)| sum + x * value);
        self.rows().map(product).collect()
    }
}

impl Splines {
    pub(crate) fn inputs(&self) -> &[String] {
        &self.inputs
    }

    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Fills the spline columns, which are NaN before. Where a predictor is absent they stay so.
    ///
    /// `inputs`: one for each of [`Splines::inputs`]. `raw`: the row, model order.
    pub(crate) fn expand(&self, inputs: &[Input], raw: &mut [f64]) -> Result<(), RowError> {
        'smooths: for smooth in &self.smooths {
            let mut x = Vec::with_capacity(smooth.inputs.len());
            for &input in &smooth.inputs {
                match &inputs[input] {
                    None => continue 'smooths,
                    Some(Ok(number)) => x.push(*number),
                    Some(Err(error)) => return Err(error.clone()),
                }
            }
            let values = smooth.basis.values(&x)?;
            raw[smooth.at..][..values.len()].copy_from_slice(&values);
        }
        Ok(())
    }
}

impl Basis {
    /// Number of places that it fills.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Cubic { centring, .. } => centring.rows().len(),
            Self::I { order, knots, .. } => knots.len() - order,
            Self::M { order, knots, .. } => (knots.len() - order).saturating_sub(1),
            Self::ThinPlate(plate) => plate.centring.rows().len(),
            Self::Unreadable(_) => 0,
        }
    }

    fn values(&self, x: &[f64]) -> Result<Vec<f64>, RowError> {
        let refused = |message: &str| RowError {
            kind: RowErrorKind::Model,
            column: None,
            message: message.to_owned(),
        };
        Ok(match self {
            Self::Cubic { knots, curvature, centring } => {
                centring.times(&cubic(x[0], knots, curvature))
            }
            Self::I { order, knots, wide } => i_splines(x[0], knots, wide, *order),
            Self::M { order, knots, centring } => {
                let Some(centring) = centring else {
                    return Err(refused(
                        "genmodel centres these M-splines with a matrix that is too small",
                    ));
                };
                let mut centred = centring.times(&m_splines(x[0], knots, *order));
                centred.truncate(self.len());
                centred
            }
            Self::ThinPlate(plate) => plate.values(x),
            Self::Unreadable(reason) => return Err(refused(reason)),
        })
    }
}

/// One value per knot. Source: `GamUtilsCubicRegression`.
fn cubic(x: f64, knots: &[f64], curvature: &Matrix) -> Vec<f64> {
    if x.is_nan() {
        return vec![f64::NAN; knots.len()];
    }
    let bin = bin_of(x, knots);
    let width = knots[bin + 1] - knots[bin];
    let term = |t: f64| (t * t * t / width - t * width) / 6.0;
    let from_right = term(knots[bin + 1] - x);
    let from_left = term(x - knots[bin]);
    let row = |bin: usize| &curvature.values[bin * curvature.columns..][..knots.len()];
    let mut values: Vec<f64> = if bin == 0 {
        row(0).iter().map(|value| value * from_left).collect()
    } else if bin >= knots.len() - 2 {
        row(bin - 1).iter().map(|value| value * from_right).collect()
    } else {
        let rows = row(bin - 1).iter().zip(row(bin));
        rows.map(|(left, right)| left * from_right + right * from_left).collect()
    };
    values[bin] += (knots[bin + 1] - x) / width;
    values[bin + 1] += (x - knots[bin]) / width;
    values
}

/// The interval of `x`; outside of the knots the first or the last one.
fn bin_of(x: f64, knots: &[f64]) -> usize {
    let (mut low, mut high) = (0, knots.len() - 1);
    if x <= knots[0] {
        return 0;
    }
    if x >= knots[high] {
        return high - 1;
    }
    let mut bin = 0;
    for _ in 0..knots.len() {
        bin = usize::midpoint(low, high);
        if x >= knots[bin] && x < knots[bin + 1] {
            break;
        } else if x > knots[bin] {
            low = bin;
        } else if x < knots[bin] {
            high = bin;
        }
    }
    bin
}

impl ThinPlate {
    /// `m`: half the order of the penalised derivative. `2 m >= dimensions`, both at most 64.
    pub(super) fn new(
        m: usize,
        knots: Matrix,
        radial: Matrix,
        polynomials: Vec<Vec<u32>>,
        centring: Matrix,
    ) -> Self {
        let dimensions = knots.rows().len();
        let (m, d) = (m as i32, dimensions as i32);
        let is_even = d % 2 == 0;
        let sign = if is_even {
            pow(-1.0, f64::from(m + 1) + f64::from(d) / 2.0)
        } else {
            pow(-1.0, f64::from(m))
        };
        let constant = if is_even {
            let scale = pow(2.0, f64::from(2 * m - 1)) * pow(PI, f64::from(d) / 2.0);
            sign / (scale * factorial(m - 1) * factorial(m - d / 2))
        } else {
            sign * f64::from(m) / (factorial(2 * m) * pow(PI, f64::from(d - 1) / 2.0))
        };
        let power = (2 * m - d) as u32;
        Self { knots, power, constant, is_even, radial, polynomials, centring }
    }

    /// Source: `GamUtilsThinPlateRegression`, `GamMojoModelBase.addTPGamification`.
    fn values(&self, x: &[f64]) -> Vec<f64> {
        let distance = |knot: usize| {
            let mut sum = 0.0;
            for (x, knots) in x.iter().zip(self.knots.rows()) {
                let difference = x - knots[knot];
                sum += difference * difference;
            }
            let distance = power(sum.sqrt(), self.power);
            let value = self.constant * distance;
            if self.is_even && distance != 0.0 { value * log(distance) } else { value }
        };
        let distances: Vec<f64> = (0..self.knots.columns).map(distance).collect();
        let mut basis = self.radial.times(&distances);
        basis.extend(self.polynomials.iter().map(|powers| {
            x.iter().zip(powers).fold(1.0, |value, (&x, &exponent)| value * power(x, exponent))
        }));
        self.centring.times(&basis)
    }
}

/// By repeated multiplication. Source: `GamUtilsThinPlateRegression.intPow`.
fn power(base: f64, exponent: u32) -> f64 {
    if exponent == 0 { 1.0 } else { (1..exponent).fold(base, |result, _| result * base) }
}

/// In 32 bits, which overflow above 12 as they do in genmodel.
fn factorial(n: i32) -> f64 {
    f64::from((1..=n).fold(1, i32::wrapping_mul))
}
