//! The splines out of the file. Everything that they index is checked here.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use std::collections::HashMap;

use super::basis::repeat_ends;
use super::read::bad;
use super::splines::{Basis, Matrix, Smooth, Splines, ThinPlate};
use crate::cursor::doubles_be;
use crate::error::LoadError;
use crate::head::Head;
use crate::ini::java_trim;
use crate::reader::Reader;

/// Orders, powers and dimensions above it are in no file of H2O's.
const MOST: usize = 64;
/// The same of knots. Time grows with their square.
const KNOTS_MOST: usize = 1 << 14;

/// What the file says of one smoothed predictor.
struct Plan {
    kind: Kind,
    /// Rank among those of its kind.
    rank: usize,
    n_knots: usize,
    /// Of I- and M-splines.
    order: usize,
    /// Columns that it reads.
    dimensions: usize,
}

/// With the code in `bs`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cubic = 0,
    ThinPlate = 1,
    I = 2,
    M = 3,
}

impl Kind {
    /// In the order of the file.
    const ALL: [Self; 4] = [Self::Cubic, Self::I, Self::M, Self::ThinPlate];

    fn count_key(self) -> &'static str {
        match self {
            Self::Cubic => "num_CS_col",
            Self::I => "num_IS_col",
            Self::M => "num_MS_col",
            Self::ThinPlate => "num_TP_col",
        }
    }
}

impl Plan {
    fn check(&self) -> Result<(), LoadError> {
        let least = if self.kind == Kind::Cubic { 3 } else { 2 };
        if !(least..=KNOTS_MOST).contains(&self.n_knots) {
            let expected = format!("from {least} to {KNOTS_MOST} knots");
            return Err(bad("num_knots_sorted", self.n_knots.to_string(), expected));
        }
        if !(1..=MOST).contains(&self.order) {
            let expected = format!("orders from 1 to {MOST}");
            return Err(bad("spline_orders_sorted", self.order.to_string(), expected));
        }
        let most = if self.kind == Kind::ThinPlate { MOST } else { 1 };
        if !(1..=most).contains(&self.dimensions) {
            let expected = format!("from 1 to {most} columns per smoothed predictor");
            return Err(bad("_d", self.dimensions.to_string(), expected));
        }
        Ok(())
    }

    /// Size of the matrix that centres the basis.
    fn centring(&self) -> (usize, usize) {
        let basis = match self.kind {
            Kind::Cubic | Kind::ThinPlate => self.n_knots,
            Kind::I => return (0, 0),
            Kind::M => self.n_knots.saturating_add(self.order).saturating_sub(2),
        };
        (basis.saturating_sub(1), basis)
    }
}

impl Splines {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let plans = read_plans(reader)?;
        let centred = reader.ini().usize("num_expanded_gam_columns_center")?;
        let Some(start) = head.n_features.checked_sub(centred) else {
            let expected = format!("at most {}, n_features", head.n_features);
            return Err(bad("num_expanded_gam_columns_center", centred.to_string(), expected));
        };
        let names = read_names(reader, &plans)?;
        let bases = read_bases(reader, &plans)?;
        let mut inputs: Vec<String> = Vec::new();
        let mut place_of: HashMap<String, usize> = HashMap::new();
        let mut smooths = Vec::new();
        let mut at = start;
        for ((plan, names), basis) in plans.iter().zip(names).zip(bases) {
            if at.checked_add(basis.len()).is_none_or(|end| end > head.n_features) {
                let expected = "what the splines of all predictors need".to_owned();
                return Err(bad("n_features", head.n_features.to_string(), expected));
            }
            let mut places = Vec::new();
            for name in names {
                let place = *place_of.entry(name.clone()).or_insert(inputs.len());
                places.push(place);
                if place == inputs.len() {
                    inputs.push(name);
                }
            }
            smooths.push(Smooth { at, inputs: places, basis });
            at = at.saturating_add(plan.n_knots.saturating_sub(1));
        }
        Ok(Self { inputs, start, smooths })
    }
}

fn sizes(reader: &Reader<'_, '_>, key: &str, n: usize) -> Result<Vec<usize>, LoadError> {
    let values = reader.ini().ints(key)?;
    let sizes: Option<Vec<usize>> =
        values.into_iter().map(|value| usize::try_from(value).ok()).collect();
    sizes.filter(|sizes| sizes.len() == n).ok_or_else(|| {
        let found = crate::ini::shorten(reader.ini().text(key).unwrap_or_default());
        bad(key, found, format!("{n} numbers from 0, one per smoothed predictor"))
    })
}

fn read_plans(reader: &Reader<'_, '_>) -> Result<Vec<Plan>, LoadError> {
    let ini = reader.ini();
    let codes = ini.ints("bs_sorted")?;
    let n = codes.len();
    let n_knots = sizes(reader, "num_knots_sorted", n)?;
    let dimensions = sizes(reader, "_d", n)?;
    let has_orders = codes.iter().any(|code| matches!(code, 2 | 3));
    let orders = if has_orders { sizes(reader, "spline_orders_sorted", n)? } else { vec![1; n] };
    let mut plans: Vec<Plan> = Vec::new();
    let columns = n_knots.into_iter().zip(orders).zip(dimensions);
    for (&code, ((n_knots, order), dimensions)) in codes.iter().zip(columns) {
        let kind = Kind::ALL.into_iter().find(|&kind| kind as i32 == code);
        let last = plans.last().map(|plan| plan.kind);
        // Kinds come in the order of `Kind::ALL`, and genmodel relies on it.
        let stage = |kind| Kind::ALL.iter().position(|&other| other == kind);
        let Some(kind) = kind.filter(|&kind| last.is_none_or(|last| stage(last) <= stage(kind)))
        else {
            let found = crate::ini::shorten(ini.text("bs_sorted").unwrap_or_default());
            return Err(bad("bs_sorted", found, "0s, then 2s, then 3s, then 1s"));
        };
        let before = plans.last().filter(|plan| plan.kind == kind);
        let rank = before.map_or(0, |plan| plan.rank.saturating_add(1));
        let plan = Plan { kind, rank, n_knots, order, dimensions };
        plan.check()?;
        plans.push(plan);
    }
    for kind in Kind::ALL {
        let counted = plans.iter().filter(|plan| plan.kind == kind).count();
        let said = ini.optional_usize(kind.count_key())?.unwrap_or(0);
        if said != counted {
            let expected = format!("{counted}, as many as bs_sorted has");
            return Err(bad(kind.count_key(), said.to_string(), expected));
        }
    }
    Ok(plans)
}

/// Names of the columns that each predictor reads.
fn read_names(reader: &Reader<'_, '_>, plans: &[Plan]) -> Result<Vec<Vec<String>>, LoadError> {
    let dimensions = sizes(reader, "gam_column_dim_sorted", plans.len())?;
    if dimensions.iter().zip(plans).any(|(&n, plan)| n != plan.dimensions) {
        let found = crate::ini::shorten(reader.ini().text("_d").unwrap_or_default());
        return Err(bad("_d", found, "the same as gam_column_dim_sorted"));
    }
    let count = dimensions.iter().fold(0_usize, |sum, &n| sum.saturating_add(n));
    let mut lines = reader.lines("gam_columns_sorted", count, false)?.into_iter();
    let names =
        |n: &usize| lines.by_ref().take(*n).map(|line| java_trim(&line).to_owned()).collect();
    Ok(dimensions.iter().map(names).collect())
}

/// Numbers of one entry, taken from the front.
struct Doubles<'e> {
    entry: &'e str,
    values: std::vec::IntoIter<f64>,
}

impl<'e> Doubles<'e> {
    fn open(reader: &Reader<'_, '_>, entry: &'e str) -> Result<Self, LoadError> {
        let values: Vec<f64> = doubles_be(&reader.blob(entry)?).collect();
        Ok(Self { entry, values: values.into_iter() })
    }

    fn matrix(
        &mut self,
        reader: &Reader<'_, '_>,
        (rows, columns): (usize, usize),
    ) -> Result<Matrix, LoadError> {
        match rows.checked_mul(columns) {
            Some(n) if n <= self.values.len() => {
                Ok(Matrix { columns, values: self.values.by_ref().take(n).collect() })
            }
            _ => {
                let left = self.values.len();
                let reason = format!("{left} doubles left, expected {rows} x {columns}");
                Err(reader.bad_entry(self.entry, reason))
            }
        }
    }
}

fn read_bases(reader: &Reader<'_, '_>, plans: &[Plan]) -> Result<Vec<Basis>, LoadError> {
    let mut all_knots = Doubles::open(reader, "knots")?;
    let mut centring = Doubles::open(reader, "zTranspose")?;
    let centring: Vec<Matrix> = plans
        .iter()
        .map(|plan| centring.matrix(reader, plan.centring()))
        .collect::<Result<_, _>>()?;
    let mut curvature = match plans.first() {
        Some(plan) if plan.kind == Kind::Cubic => Some(Doubles::open(reader, "_binvD")?),
        _ => None,
    };
    let mut plates = Plate::read(reader, plans)?.into_iter();
    let mut bases = Vec::new();
    for (plan, own_centring) in plans.iter().zip(&centring) {
        let knots = all_knots.matrix(reader, (plan.dimensions, plan.n_knots))?;
        let order = plan.order;
        bases.push(match plan.kind {
            Kind::Cubic => {
                let size = (plan.n_knots.saturating_sub(2), plan.n_knots);
                let Some(curvature) = &mut curvature else { continue };
                let curvature = curvature.matrix(reader, size)?;
                Basis::Cubic { knots: knots.values, curvature, centring: own_centring.clone() }
            }
            Kind::I => Basis::I {
                order,
                knots: repeat_ends(&knots.values, order),
                wide: repeat_ends(&knots.values, order.saturating_add(1)),
            },
            Kind::M => {
                // genmodel counts matrices from the first M-spline, the file from the first spline.
                let (rows, columns) = plan.centring();
                let centring = centring
                    .get(plan.rank)
                    .filter(|matrix| matrix.rows().len() >= rows && matrix.columns >= columns);
                let knots = repeat_ends(&knots.values, order);
                Basis::M { order, knots, centring: centring.cloned() }
            }
            Kind::ThinPlate => match plates.next() {
                Some(Ok(plate)) => Basis::ThinPlate(plate.with(knots, own_centring.clone())),
                Some(Err(reason)) => Basis::Unreadable(reason),
                None => continue,
            },
        });
    }
    Ok(bases)
}

/// The part of a thin plate that only thin plates have.
struct Plate {
    m: usize,
    radial: Matrix,
    polynomials: Vec<Vec<u32>>,
}

impl Plate {
    fn read(
        reader: &Reader<'_, '_>,
        plans: &[Plan],
    ) -> Result<Vec<Result<Self, &'static str>>, LoadError> {
        let first = plans.iter().take_while(|plan| plan.kind == Kind::Cubic).count();
        let counted_from = plans.get(first..).unwrap_or_default();
        let plates: Vec<&Plan> = plans.iter().filter(|plan| plan.kind == Kind::ThinPlate).collect();
        if plates.is_empty() {
            return Ok(Vec::new());
        }
        let n = plates.len();
        let (ms, n_polynomials) = (sizes(reader, "_m", n)?, sizes(reader, "_M", n)?);
        let mut radial = Doubles::open(reader, "zTransposeCS")?;
        let powers = reader.blob("polynomialBasisList")?;
        let mut powers = powers.as_chunks::<4>().0.iter().map(|&bytes| i32::from_be_bytes(bytes));
        // genmodel looks for the plates' dimensions right behind the cubic splines.
        let is_misread =
            counted_from.iter().zip(&plates).any(|(a, b)| a.dimensions != b.dimensions);
        let is_scaled = reader.ini().bool_or("standardize", false)?;
        let mut read = Vec::new();
        for ((plan, m), n_polynomials) in plates.into_iter().zip(ms).zip(n_polynomials) {
            if !(1..=MOST).contains(&m) || m.saturating_mul(2) < plan.dimensions {
                let expected = format!("from half of _d up to {MOST}");
                return Err(bad("_m", m.to_string(), expected));
            }
            let Some(n_radial) = plan.n_knots.checked_sub(n_polynomials) else {
                let expected = format!("at most {} knots", plan.n_knots);
                return Err(bad("_M", n_polynomials.to_string(), expected));
            };
            let radial = radial.matrix(reader, (n_radial, plan.n_knots))?;
            let mut polynomials = Vec::new();
            for _ in 0..n_polynomials {
                let power = |_| powers.next().and_then(|power| u32::try_from(power).ok());
                let row: Option<Vec<u32>> = (0..plan.dimensions).map(power).collect();
                let row = row.filter(|row| row.iter().all(|&power| power as usize <= MOST));
                polynomials.push(row.ok_or_else(|| {
                    let reason = format!("expected powers from 0 to {MOST}, one per column");
                    reader.bad_entry("polynomialBasisList", reason)
                })?);
            }
            read.push(if is_scaled {
                Err("genmodel reads no scales for thin plates with standardize = true, and throws")
            } else if is_misread {
                Err("genmodel misreads thin plates beside I- and M-splines, and throws")
            } else {
                Ok(Self { m, radial, polynomials })
            });
        }
        Ok(read)
    }

    fn with(self, knots: Matrix, centring: Matrix) -> ThinPlate {
        let Self { m, radial, polynomials } = self;
        ThinPlate::new(m, knots, radial, polynomials, centring)
    }
}
