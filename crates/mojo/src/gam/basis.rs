//! B-splines and M-splines by their recursion, order by order.
//!
//! genmodel walks a tree in which a spline of order `k` has two children of order `k - 1`. Children
//! of neighbours are shared, so one table per order gives the same numbers without the tree's
//! 2^order steps. The operations on each number, and their order, are genmodel's.

/// Knots with the first and the last one repeated, `order` times each.
///
/// Source: `GamUtilsISplines.fillKnots`.
pub(super) fn repeat_ends(knots: &[f64], order: usize) -> Vec<f64> {
    let (first, last) = match knots {
        [first, .., last] => (*first, *last),
        _ => return knots.to_vec(),
    };
    let ends = order.saturating_sub(1);
    let mut repeated = vec![first; ends];
    repeated.extend_from_slice(knots);
    repeated.extend(std::iter::repeat_n(last, ends));
    repeated
}

fn inverse(width: f64) -> f64 {
    if width == 0.0 { 0.0 } else { 1.0 / width }
}

fn is_outside(x: f64, knots: &[f64]) -> bool {
    x < knots[0] || x >= knots[knots.len() - 1]
}

/// The B-splines of this order at `x`, one for each run of `order + 1` of the repeated knots.
///
/// Source: `NBSplinesTypeII.BSplineBasis.evaluate`.
pub(super) fn b_splines(x: f64, knots: &[f64], order: usize) -> Vec<f64> {
    let each = knots.windows(2).map(|knots| if is_outside(x, knots) { 0.0 } else { 1.0 });
    let mut values: Vec<f64> = each.collect();
    for k in 2..=order {
        let each = knots.windows(k + 1).zip(values.windows(2)).map(|(knots, below)| {
            if is_outside(x, knots) {
                return 0.0;
            }
            (x - knots[0]) * inverse(knots[k - 1] - knots[0]) * below[0]
                + (knots[k] - x) * inverse(knots[k] - knots[1]) * below[1]
        });
        values = each.collect();
    }
    values
}

/// The M-splines of this order at `x`, one for each run of `order + 1` of the repeated knots.
///
/// Source: `NBSplinesTypeI.MSplineBasis.evaluate`.
pub(super) fn m_splines(x: f64, knots: &[f64], order: usize) -> Vec<f64> {
    let each = knots
        .windows(2)
        .map(|knots| if is_outside(x, knots) { 0.0 } else { inverse(knots[1] - knots[0]) });
    let mut values: Vec<f64> = each.collect();
    for k in 2..=order {
        let constant = k as f64 / (k as f64 - 1.0);
        let each = knots.windows(k + 1).zip(values.windows(2)).map(|(knots, below)| {
            if is_outside(x, knots) {
                return 0.0;
            }
            let scale = inverse(knots[k] - knots[0]);
            constant * ((x - knots[0]) * scale * below[0] + (knots[k] - x) * scale * below[1])
        });
        values = each.collect();
    }
    values
}

/// The I-splines at `x`: sums of the B-splines of one order more, from the second one on.
///
/// `knots`: repeated for `order`; `wide`: repeated for `order + 1`. Source: `ISplines.gamifyVal`.
pub(super) fn i_splines(x: f64, knots: &[f64], wide: &[f64], order: usize) -> Vec<f64> {
    let b_splines = b_splines(x, wide, order + 1);
    let one = |(first, knots): (usize, &[f64])| {
        if x < knots[0] {
            return 0.0;
        }
        if x >= knots[order] {
            return 1.0;
        }
        let mut sum = 0.0;
        for (knots, b_spline) in wide.windows(order + 2).zip(&b_splines).skip(first + 1) {
            if x < knots[0] {
                break;
            }
            sum += if x >= knots[order + 1] { 1.0 } else { *b_spline };
        }
        sum
    };
    knots.windows(order + 1).enumerate().map(one).collect()
}
