//! From raw rows to symbols and lanes, a tile at a time.
//!
//! Some columns at a time are turned, so that the values of one lie side by side; each slot that
//! looks at one of them takes its symbols from there. What registers are needed for is behind
//! [`Registers`]; the rest is portable code that is compiled for them.

use super::super::Sum;
use super::super::ranks::{Ranks, TILE, round};
use super::super::source::{Coder, Rounding};
use super::{CodeTile, LANE, Lane, LaneTile, Sliced, Symbols};

/// Columns that are turned together.
pub(crate) const ABREAST: usize = 8;

/// Values of some columns, each one's side by side.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Columns(pub(crate) [[f64; TILE]; ABREAST]);

/// Rounded values of a slot.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Rounded(pub(super) [f32; TILE]);

/// What the processor's registers do. Methods may only be called where it has them.
pub(super) trait Registers {
    /// Turns eight columns from `first` on.
    fn turn(rows: &RawRows<'_>, first: usize, to: &mut Columns);
    /// The rank of each value, 0 of NaN.
    fn ranks(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]);
    /// Codes below 1,024 as planes take them.
    fn split(codes: &[u16; TILE], to: &mut CodeTile);
}

/// Row-major rows, at least one; the last one stands for those that a tile lacks.
#[derive(Debug)]
pub(in super::super) struct RawRows<'a> {
    values: &'a [f64],
    columns: usize,
    last: usize,
}

impl<'a> RawRows<'a> {
    /// Those of the tile that starts at a row.
    pub(in super::super) fn at(row: usize, rows: &'a [f64], columns: usize) -> Self {
        let rows = &rows[row * columns..];
        let values = &rows[..rows.len().min(TILE * columns)];
        Self { values, columns, last: values.len() / columns - 1 }
    }

    /// Where the next tile has what [`RawRows::eight`] takes of this one. Rows are touched in pieces
    /// that lie far apart: no prefetcher of the processor sees them coming.
    #[inline(always)]
    pub(super) fn ahead(&self, row: usize, first: usize) -> *const i8 {
        self.values.as_ptr().wrapping_add((row + TILE) * self.columns + first).cast()
    }

    /// [`Registers::turn`], number by number.
    pub(in super::super) fn turn(&self, first: usize, to: &mut Columns) {
        for row in 0..TILE {
            for (column, value) in to.0.iter_mut().zip(self.eight(row, first)) {
                column[row] = value;
            }
        }
    }

    /// Eight values of a row; those behind its last one are any.
    #[inline(always)]
    pub(super) fn eight(&self, row: usize, first: usize) -> [f64; ABREAST] {
        let start = row.min(self.last) * self.columns + first;
        match self.values[start..].first_chunk() {
            Some(eight) => *eight,
            None => std::array::from_fn(|i| self.values.get(start + i).copied().unwrap_or(0.0)),
        }
    }
}

impl<S: Sum> Sliced<S> {
    /// Encodes a tile.
    ///
    /// `symbols`, `lanes`, `codes`: one each of this form's.
    #[inline(always)]
    pub(super) fn fill<R: Registers>(
        &self,
        rows: &RawRows<'_>,
        symbols: &mut [[u16; TILE]],
        lanes: &mut [LaneTile],
        codes: &mut [CodeTile],
    ) {
        let mut turned = Columns([[0.0; TILE]; ABREAST]);
        let mut end = 0;
        let mut first = 0;
        for &(column, slot) in &self.by_column {
            let column = column as usize;
            if column >= end {
                first = column.min(rows.columns.saturating_sub(ABREAST));
                end = first + ABREAST;
                R::turn(rows, first, &mut turned);
            }
            let values = &turned.0[column - first];
            let to = &mut symbols[usize::from(slot)];
            match &self.symbols[usize::from(slot)] {
                Symbols::Ranks(ranks) => match self.rounding {
                    Rounding::Down => fill_ranks::<R>(ranks, Rounding::Down, values, to),
                    nearest @ Rounding::Nearest { .. } => {
                        fill_ranks::<R>(ranks, nearest, values, to);
                    }
                },
                &Symbols::Missing { limit, .. } => {
                    let mut rounded = [0.0; TILE];
                    round(self.rounding, limit, values, &mut rounded);
                    let each = to.iter_mut().zip(rounded);
                    each.for_each(|(to, value)| *to = u16::from(value.is_nan()));
                }
                Symbols::Code(coder) => fill_codes(coder, values, to),
                Symbols::Unfit => {}
            }
        }
        for (lane, LaneTile(bytes)) in self.lanes.iter().zip(lanes) {
            fill_lane(lane, &symbols[usize::from(lane.symbols)], bytes);
        }
        for (&slot, codes) in self.codes.iter().zip(codes) {
            R::split(&symbols[usize::from(slot)], codes);
        }
    }
}

#[inline(always)]
fn fill_ranks<R: Registers>(
    ranks: &Ranks,
    rounding: Rounding,
    values: &[f64; TILE],
    to: &mut [u16; TILE],
) {
    let mut rounded = Rounded([0.0; TILE]);
    round(rounding, ranks.number.limit, values, &mut rounded.0);
    R::ranks(ranks, &rounded, to);
    let absent = ranks.absent();
    if absent > 0 {
        for (to, value) in to.iter_mut().zip(rounded.0) {
            *to = if value.is_nan() { absent } else { *to };
        }
    }
}

/// [`Coder::code`] of each, in 32 bits: levels of symbols are few.
#[inline(always)]
fn fill_codes(coder: &Coder, values: &[f64; TILE], to: &mut [u16; TILE]) {
    // Copies, for the compiler to see that nothing changes them.
    let Coder { shift, levels, below, beyond, missing, .. } = *coder;
    let (shift, levels) = (shift.cast_signed(), levels.cast_signed());
    for (to, &value) in to.iter_mut().zip(values) {
        let level = (value as i32).saturating_sub(shift);
        let code = if level < levels { level.cast_unsigned() } else { beyond };
        let code = if level < 0 { below } else { code };
        *to = if value.is_nan() { missing } else { code } as u16;
    }
}

#[inline(always)]
fn fill_lane(lane: &Lane, symbols: &[u16; TILE], bytes: &mut [i8; TILE]) {
    for (byte, &symbol) in bytes.iter_mut().zip(symbols) {
        let above = if lane.ordered {
            symbol.saturating_sub(lane.from)
        } else {
            symbol.wrapping_sub(lane.from)
        };
        *byte = (above.min(LANE as u16) as u8 ^ 0x80).cast_signed();
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use proptest::prelude::*;

    use super::super::super::slots::Number;
    use super::super::super::{Level, levels};
    use super::super::{avx2, avx512};
    use super::*;

    /// Thresholds that are neighbours of each other, or far apart, with all that is special.
    fn thresholds(n: usize, seed: u32) -> Vec<f32> {
        let first = f32::from_bits(0x3f80_0000 + seed % 1_000).to_bits();
        let mut thresholds: Vec<f32> = (0..n as u32)
            .map(|i| match seed % 3 {
                0 => f32::from_bits(first + i),
                1 => (i as f32 - n as f32 / 2.0) * 1e-44,
                _ => (f64::from(i) * 77.7 - f64::from(seed)) as f32,
            })
            .collect();
        let special = [f32::NEG_INFINITY, f32::MIN, -1e-45, 0.0, 1e-45, f32::MAX, f32::INFINITY];
        let room = thresholds.len().min(1 + seed as usize % 9);
        thresholds.iter_mut().zip(special).take(room).for_each(|(it, special)| *it = special);
        thresholds.sort_unstable_by(f32::total_cmp);
        thresholds.dedup_by(|a, b| *a == *b);
        thresholds
    }

    #[expect(unsafe_code, reason = "what the processor has was asked for")]
    fn check(n: usize, seed: u32) {
        let thresholds = thresholds(n, seed);
        let ranks = Ranks::of(Number { column: 0, limit: i64::MAX, missing: true }, &thresholds);
        let mut at = seed as usize;
        let mut values = Rounded([0.0; TILE]);
        values.0[..6].copy_from_slice(&[f32::NAN, -0.0, f32::INFINITY, f32::MIN, 1e-45, -1e-45]);
        for (i, value) in values.0.iter_mut().enumerate().skip(6) {
            at = (at * 31 + 7) % thresholds.len();
            let near = thresholds[at];
            *value = [near, near.next_down(), near.next_up()][i % 3];
        }
        let expected = values.0.map(|value| ranks.rank(value));
        for level in levels() {
            let mut found = [0; TILE];
            match level {
                Level::Portable => continue,
                // SAFETY: a level is of those that `levels` found on this processor.
                Level::Avx2 => unsafe { avx2::ranks(&ranks, &values, &mut found) },
                // SAFETY: as above.
                Level::Avx512 | Level::Vbmi | Level::Gathers => unsafe {
                    avx512::ranks(&ranks, &values, &mut found);
                },
            }
            assert_eq!(found, expected, "{level:?}, {} thresholds", thresholds.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_way_counts_the_thresholds_that_are_reached(
            n in prop_oneof![1_usize..40, 1_usize..300, 250_usize..5_000, 4_600_usize..65_535],
            seed in 0_u32..100_000,
        ) {
            check(n, seed);
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "what the processor has was asked for")]
    fn every_way_turns_every_number() {
        for (n, columns) in [(1_usize, 1_usize), (3, 7), (64, 8), (65, 9), (100, 13), (200, 40)] {
            let rows: Vec<f64> = (0..n * columns).map(|i| i as f64).collect();
            for first in 0..=columns.saturating_sub(ABREAST) {
                let rows = RawRows::at(n / 2, &rows, columns);
                let mut expected = Columns([[f64::NAN; TILE]; ABREAST]);
                rows.turn(first, &mut expected);
                for row in 0..(n - n / 2).min(TILE) {
                    let start = (n / 2 + row) * columns + first;
                    assert_eq!(expected.0[0][row], start as f64);
                }
                for level in levels() {
                    let mut found = Columns([[f64::NAN; TILE]; ABREAST]);
                    match level {
                        Level::Portable => continue,
                        // SAFETY: a level is of those that `levels` found on this processor.
                        Level::Avx2 => unsafe { avx2::turn(&rows, first, &mut found) },
                        // SAFETY: as above.
                        Level::Avx512 | Level::Vbmi | Level::Gathers => unsafe {
                            avx512::turn(&rows, first, &mut found);
                        },
                    }
                    assert_eq!(found.0, expected.0, "{level:?} {n} x {columns}, {first}");
                }
            }
        }
    }

    #[test]
    fn every_way_counts_at_the_ends_of_its_levels() {
        let ends = [1, 2, 3, 7, 15, 16, 17, 31, 63, 127, 255, 256, 272, 273, 4_624, 4_625, 65_534];
        ends.into_iter().for_each(|n| (0..12).for_each(|seed| check(n, seed)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn codes_are_those_of_the_definition(bits: u64, shift in 0_u32..100, levels in 0_u32..65_000) {
            let coder = Coder { column: 0, shift, levels, below: 1, beyond: levels, missing: levels + 1 };
            let mut values = [f64::from_bits(bits); TILE];
            let ends = f64::from(shift + levels);
            let special = [
                f64::NAN, -0.5, -1.0, 0.0, 1e300, -1e300, 2_147_483_647.5, -2_147_483_649.0, ends,
                ends - 1.0, ends - 0.5, f64::from(shift), f64::from(shift) - 1.0,
            ];
            values[1..=special.len()].copy_from_slice(&special);
            let mut found = [0; TILE];
            fill_codes(&coder, &values, &mut found);
            prop_assert_eq!(found, values.map(|value| coder.code(value) as u16));
        }
    }
}
