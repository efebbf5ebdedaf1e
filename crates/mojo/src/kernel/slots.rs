//! The places of an encoded row: one for each way that tests look at a column.
//!
//! A test of a number compares the *key* of the value, a whole number that orders as the `f32` does,
//! so that missing values are keys too: below all numbers where they go left, above all where they go
//! right. Nodes then know nothing of missing values. A column whose missing values go left here
//! and right there has two slots.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    _CMP_EQ_OQ, _CMP_UNORD_Q, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEG_INF, _mm256_add_ps,
    _mm256_castps_si256, _mm256_cmp_ps_mask, _mm256_mask_blend_epi32, _mm256_mask_storeu_epi32,
    _mm256_maskz_loadu_epi32, _mm256_or_si256, _mm256_set1_epi32, _mm256_setzero_ps,
    _mm256_srai_epi32, _mm256_xor_si256, _mm512_add_pd, _mm512_cmp_pd_mask, _mm512_cvt_roundpd_ps,
    _mm512_cvtpd_ps, _mm512_mask_i32gather_pd, _mm512_setzero_pd,
};
use std::collections::BTreeSet;

use super::Level;
use super::source::{Coder, Rounding, Source, Test, each_test};

/// Below the key of every number.
pub(super) const LEAST: u32 = 0;
/// Above the key of every number.
pub(super) const GREATEST: u32 = u32::MAX;

/// The order of `f32` as that of `i32`. -0.0 comes right below 0.0, whence [`Number::key`] takes
/// care that there is none.
#[inline]
pub(super) fn key(value: f32) -> i32 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// The same order, of numbers without a sign: a comparison of those ends in a carry, which is added
/// without being looked at.
#[inline]
fn unsigned(key: i32) -> u32 {
    key.cast_unsigned() ^ 1 << 31
}

/// The key of a threshold.
pub(super) fn threshold_key(threshold: f32) -> i32 {
    key(threshold + 0.0)
}

/// The rounded value's key, and whether it is missing. NaN has some key.
#[inline]
pub(super) fn number_key(rounding: Rounding, limit: i64, value: f64) -> (i32, bool) {
    match rounding {
        Rounding::Down => {
            // -0.0 becomes 0.0; what lies between 0 and the first f32 below it does not.
            let value = value + 0.0;
            let near = value as f32;
            let above = f64::from(near) > value;
            let missing = value.is_nan() || i64::from(value as i32) >= limit;
            (key(near) - i32::from(above), missing)
        }
        Rounding::Nearest { zero_is_missing } => {
            let near = value as f32 + 0.0;
            (key(near), near.is_nan() || zero_is_missing && near == 0.0)
        }
    }
}

/// How a number is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) column: u32,
    pub(super) limit: i64,
    /// Whether missing values go right.
    pub(super) missing: bool,
}

impl Number {
    /// The key of a missing value.
    fn absent(&self) -> u32 {
        if self.missing { GREATEST } else { LEAST }
    }
}

/// All slots that the trees of a model need. Slot 0 holds [`LEAST`]: leaves look there.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) rounding: Rounding,
    /// Slots from 1 on: keys.
    pub(super) numbers: Vec<Number>,
    /// Then: 1 where the value is missing, else 0.
    pub(super) missing: Vec<(u32, i64)>,
    /// Then, in the flat form, by column: 1 where the code is the one, else 0.
    pub(super) hots: Vec<Hots>,
    /// The last ones: codes.
    pub(super) codes: Vec<Coder>,
    /// `numbers`, as registers take them; nothing where some have a limit.
    side_by_side: SideBySide,
}

/// Columns of numbers, and the keys of missing values, one for each slot.
#[derive(Debug, Default)]
struct SideBySide {
    columns: Vec<u32>,
    absent: Vec<u32>,
}

/// Codes of a column that some test asks for one by one.
#[derive(Debug)]
pub(super) struct Hots {
    pub(super) coder: Coder,
    /// In rising order.
    pub(super) asked: Vec<u32>,
    /// First slot.
    first: u32,
}

/// Where a test looks, and for what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Look {
    /// Right if the slot's number is above this one.
    Above { slot: u32, bound: u32 },
    /// Right if the set holds the slot's code.
    Member { slot: u32, set: u32 },
}

/// Which tests ask for a column.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Missing values to the left, to the right.
    numbers: [bool; 2],
    missing: bool,
    codes: bool,
}

impl Slots {
    pub(super) fn of(source: &impl Source) -> Self {
        // By column: as many tests as nodes come by here.
        let mut seen: Vec<Seen> = Vec::new();
        let mut hots = BTreeSet::new();
        each_test(source, |test| {
            let (Test::AtLeast { column, .. }
            | Test::Missing { column }
            | Test::Equal { column, .. }
            | Test::Member { column, .. }) = test
            else {
                return;
            };
            let place = column as usize;
            if place >= seen.len() {
                seen.resize(place + 1, Seen::default());
            }
            match test {
                Test::AtLeast { missing, .. } => seen[place].numbers[usize::from(missing)] = true,
                Test::Missing { .. } => seen[place].missing = true,
                Test::Equal { code, .. } => _ = hots.insert((column, code)),
                Test::Never | Test::Member { .. } => seen[place].codes = true,
            }
        });
        let seen = || (0_u32..).zip(&seen);
        let numbers = seen().flat_map(|(column, seen)| {
            let sides = [false, true].into_iter().filter(|&side| seen.numbers[usize::from(side)]);
            sides.map(move |side| (column, side))
        });
        let missing = seen().filter(|(_, seen)| seen.missing).map(|(column, _)| column);
        let codes = seen().filter(|(_, seen)| seen.codes).map(|(column, _)| column);
        let number = |(column, missing)| Number { column, limit: source.limit(column), missing };
        let mut slots = Self {
            rounding: source.rounding(),
            numbers: numbers.map(number).collect(),
            missing: missing.map(|column| (column, source.limit(column))).collect(),
            hots: Vec::new(),
            codes: codes.map(|column| source.coder(column)).collect(),
            side_by_side: SideBySide::default(),
        };
        if slots.numbers.iter().all(|number| number.limit == i64::MAX) {
            let columns = slots.numbers.iter().map(|number| number.column).collect();
            let absent = slots.numbers.iter().map(Number::absent).collect();
            slots.side_by_side = SideBySide { columns, absent };
        }
        for (first, (column, code)) in (slots.first_hot()..).zip(hots) {
            match slots.hots.last_mut() {
                Some(hots) if hots.coder.column == column => hots.asked.push(code),
                _ => {
                    let coder = source.coder(column);
                    slots.hots.push(Hots { coder, asked: vec![code], first });
                }
            }
        }
        slots
    }

    fn first_missing(&self) -> u32 {
        1 + self.numbers.len() as u32
    }

    fn first_hot(&self) -> u32 {
        self.first_missing() + self.missing.len() as u32
    }

    /// The first slot that holds a code.
    pub(super) fn first_code(&self) -> u32 {
        let hots = self.hots.iter().map(|hots| hots.asked.len() as u32);
        self.first_hot() + hots.sum::<u32>()
    }

    pub(super) fn len(&self) -> usize {
        self.first_code() as usize + self.codes.len()
    }

    /// Numbers are in the order of (column, missing).
    fn number(&self, column: u32, missing: bool) -> u32 {
        self.numbers.partition_point(|it| (it.column, it.missing) < (column, missing)) as u32
    }

    /// # Panics
    /// If the test is [`Test::Never`], or not of the trees that the slots are of.
    pub(super) fn look(&self, test: Test) -> Look {
        match test {
            Test::Never => unreachable!("constant splits are left out"),
            Test::AtLeast { column, threshold, missing } => Look::Above {
                slot: 1 + self.number(column, missing),
                bound: unsigned(threshold_key(threshold)) - 1,
            },
            Test::Missing { column } => {
                let place = self.missing.partition_point(|it| it.0 < column);
                Look::Above { slot: self.first_missing() + place as u32, bound: 0 }
            }
            Test::Equal { column, code } => {
                let hots = self.hots.iter().find(|it| it.coder.column == column);
                let hots = hots.expect("the column of a test has slots");
                let place = hots.asked.partition_point(|&asked| asked < code);
                Look::Above { slot: hots.first + place as u32, bound: 0 }
            }
            Test::Member { column, set } => {
                let place = self.codes.partition_point(|it| it.column < column);
                Look::Member { slot: self.first_code() + place as u32, set }
            }
        }
    }

    /// Encodes one row: a key per slot.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(unsafe_code, reason = "what the processor has was asked for")
    )]
    pub(super) fn fill_row(&self, level: Level, row: &[f64], keys: &mut [u32]) {
        let numbers = &mut keys[1..=self.numbers.len()];
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Vbmi | Level::Gathers
                if !self.side_by_side.columns.is_empty() =>
            {
                // SAFETY: a level is of those that `levels` found on this processor.
                unsafe { self.side_by_side.fill(self.rounding, row, numbers) }
            }
            _ => match self.rounding {
                Rounding::Down => self.fill_numbers(Rounding::Down, row, numbers),
                nearest @ Rounding::Nearest { .. } => self.fill_numbers(nearest, row, numbers),
            },
        }
        self.fill_others(row, keys);
    }

    #[inline(always)]
    fn fill_numbers(&self, rounding: Rounding, row: &[f64], numbers: &mut [u32]) {
        for (slot, number) in numbers.iter_mut().zip(&self.numbers) {
            let value = row[number.column as usize];
            let absent = number.absent();
            // Nearly no column of numbers has a limit.
            let (key, missing) = if number.limit == i64::MAX {
                number_key(rounding, i64::MAX, value)
            } else {
                number_key(rounding, number.limit, value)
            };
            *slot = if missing { absent } else { unsigned(key) };
        }
    }

    /// All but numbers.
    fn fill_others(&self, row: &[f64], keys: &mut [u32]) {
        keys[0] = LEAST;
        let (_, keys) = keys.split_at_mut(1 + self.numbers.len());
        let (missing, keys) = keys.split_at_mut(self.missing.len());
        for (slot, &(column, limit)) in missing.iter_mut().zip(&self.missing) {
            *slot = u32::from(number_key(self.rounding, limit, row[column as usize]).1);
        }
        let (all_hots, codes) = keys.split_at_mut(keys.len() - self.codes.len());
        all_hots.fill(0);
        let mut rest = all_hots;
        for hots in &self.hots {
            let (own, behind) = rest.split_at_mut(hots.asked.len());
            let code = hots.coder.code(row[hots.coder.column as usize]);
            if let Ok(place) = hots.asked.binary_search(&code) {
                own[place] = 1;
            }
            rest = behind;
        }
        for (slot, coder) in codes.iter_mut().zip(&self.codes) {
            *slot = coder.code(row[coder.column as usize]);
        }
    }

    /// Encodes rows into a tile.
    ///
    /// `rows`: row-major, up to `N` rows of `columns`; places beyond them are left as they are.
    /// `tile`: slot by slot, `N` values each.
    pub(super) fn fill<const N: usize>(&self, rows: &[f64], columns: usize, tile: &mut [u32]) {
        match self.rounding {
            Rounding::Down => self.fill_rounded::<N>(Rounding::Down, rows, columns, tile),
            // One instance per way of rounding, without a choice in its loops.
            Rounding::Nearest { zero_is_missing: true } => {
                let rounding = Rounding::Nearest { zero_is_missing: true };
                self.fill_rounded::<N>(rounding, rows, columns, tile);
            }
            Rounding::Nearest { zero_is_missing: false } => {
                let rounding = Rounding::Nearest { zero_is_missing: false };
                self.fill_rounded::<N>(rounding, rows, columns, tile);
            }
        }
    }

    #[inline(always)]
    fn fill_rounded<const N: usize>(
        &self,
        rounding: Rounding,
        rows: &[f64],
        columns: usize,
        tile: &mut [u32],
    ) {
        let n = (rows.len() / columns).min(N);
        let (tile, _) = tile.as_chunks_mut::<N>();
        tile[0] = [LEAST; N];
        let value = |row: usize, column: u32| rows[row * columns + column as usize];
        let mut at = 1;
        for number in &self.numbers {
            let slot = &mut tile[at];
            let absent = number.absent();
            // Nearly no column of numbers has a limit: a loop of its own for those.
            if number.limit == i64::MAX {
                for (row, slot) in slot[..n].iter_mut().enumerate() {
                    let (key, missing) = number_key(rounding, i64::MAX, value(row, number.column));
                    *slot = if missing { absent } else { unsigned(key) };
                }
            } else {
                for (row, slot) in slot[..n].iter_mut().enumerate() {
                    let (key, missing) =
                        number_key(rounding, number.limit, value(row, number.column));
                    *slot = if missing { absent } else { unsigned(key) };
                }
            }
            at += 1;
        }
        for &(column, limit) in &self.missing {
            for (row, slot) in tile[at][..n].iter_mut().enumerate() {
                *slot = u32::from(number_key(rounding, limit, value(row, column)).1);
            }
            at += 1;
        }
        for hots in &self.hots {
            tile[at..at + hots.asked.len()].fill([0; N]);
            for (row, values) in rows.chunks_exact(columns).take(n).enumerate() {
                let code = hots.coder.code(values[hots.coder.column as usize]);
                if let Ok(place) = hots.asked.binary_search(&code) {
                    tile[at + place][row] = 1;
                }
            }
            at += hots.asked.len();
        }
        for coder in &self.codes {
            for (row, slot) in tile[at][..n].iter_mut().enumerate() {
                *slot = coder.code(value(row, coder.column));
            }
            at += 1;
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl SideBySide {
    /// [`number_key`], of eight numbers at a time.
    #[target_feature(enable = "avx512f,avx512vl")]
    #[expect(unsafe_code, reason = "loads and stores of whole registers")]
    fn fill(&self, rounding: Rounding, row: &[f64], keys: &mut [u32]) {
        const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        assert!(self.columns.iter().all(|&column| (column as usize) < row.len()), "a whole row");
        let slots = self.columns.chunks(8).zip(self.absent.chunks(8)).zip(keys.chunks_mut(8));
        for ((columns, absent), keys) in slots {
            let own = u8::MAX >> (8 - columns.len().min(keys.len()));
            // SAFETY: as many columns as are loaded, each within the row.
            let values = unsafe {
                let columns = _mm256_maskz_loadu_epi32(own, columns.as_ptr().cast());
                let none = _mm512_setzero_pd();
                _mm512_mask_i32gather_pd::<8>(none, own, columns, row.as_ptr())
            };
            // -0.0 becomes 0.0.
            let values = _mm512_add_pd(values, _mm512_setzero_pd());
            let unordered = _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(values, values);
            let (near, missing) = match rounding {
                Rounding::Down => (_mm512_cvt_roundpd_ps::<DOWN>(values), unordered),
                Rounding::Nearest { zero_is_missing } => {
                    let near = _mm256_add_ps(_mm512_cvtpd_ps(values), _mm256_setzero_ps());
                    let zero = _mm256_cmp_ps_mask::<_CMP_EQ_OQ>(near, _mm256_setzero_ps());
                    (near, if zero_is_missing { unordered | zero } else { unordered })
                }
            };
            let bits = _mm256_castps_si256(near);
            let sign = _mm256_srai_epi32::<31>(bits);
            // A number without a sign keeps its order above all that have one.
            let flip = _mm256_or_si256(sign, _mm256_set1_epi32(i32::MIN));
            let key = _mm256_xor_si256(bits, flip);
            // SAFETY: as many keys as are written.
            unsafe {
                let absent = _mm256_maskz_loadu_epi32(own, absent.as_ptr().cast());
                let key = _mm256_mask_blend_epi32(missing, key, absent);
                _mm256_mask_storeu_epi32(keys.as_mut_ptr().cast(), own, key);
            }
        }
    }
}
