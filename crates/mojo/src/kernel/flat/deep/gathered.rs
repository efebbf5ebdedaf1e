//! The lower part of deep trees where gathers are cheap: 16 rows walk in the lanes of registers.
//!
//! As in [`Open`], those that have come to a leaf are left out; here lanes are pressed together by
//! one instruction, and so after fewer steps.

use std::arch::x86_64::{
    __mmask16, _mm_loadu_si128, _mm512_add_epi32, _mm512_and_si512, _mm512_castsi512_ps,
    _mm512_cvtepu8_epi32, _mm512_i32gather_epi32, _mm512_mask_i32scatter_epi32,
    _mm512_maskz_compress_epi32, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_test_epi32_mask,
};
use std::ops::Range;

use super::super::super::Sum;
use super::super::gathered::{load, store};
use super::super::{FEW, MANY, NONE, Narrow, Node, ROWS, Root, Walked};
use super::{Ahead, Open};

/// Steps until those that have arrived are left out.
const STEPS: usize = 3;
/// Registers of rows that are on their way at the same time.
const ABREAST: usize = 4;

const ALL: __mmask16 = u16::MAX;
const MARK: i32 = 1 << 31;

impl Open {
    /// [`Open::add`], with the same answer.
    ///
    /// # Safety
    /// Each row has a key for each slot.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn add_gathered<S: Sum>(
        &mut self,
        forest: Walked<'_, Narrow>,
        roots: &[Root],
        paths: Option<&[u8]>,
        keys: (&[u32], usize),
        sums: &mut [S],
    ) {
        let (root, rows) = (roots[0], sums.len());
        assert!(i32::try_from(keys.0.len()).is_ok(), "places that a lane has bits for");
        // What fills the last registers up, and is stored behind the last walk.
        let room = (rows + 1).next_multiple_of(ROWS * ABREAST) + ROWS * ABREAST;
        self.at.resize(room, 0);
        self.rows.resize(room, 0);
        self.ends.resize(rows.next_multiple_of(ROWS), 0);
        let mut open = self.start_gathered(forest, root, paths, rows);
        let mut ahead = forest.ahead(roots.get(1), open.div_ceil(ROWS * ABREAST));
        while open > 0 {
            // SAFETY: walks are those of rows, each of which has a key for each slot.
            open = unsafe {
                match root.sets {
                    NONE => self.walk_gathered::<NONE>(forest, keys, open, &mut ahead),
                    FEW => self.walk_gathered::<FEW>(forest, keys, open, &mut ahead),
                    _ => self.walk_gathered::<MANY>(forest, keys, open, &mut ahead),
                }
            };
        }
        let (sixteens, rest) = sums.as_chunks_mut::<ROWS>();
        let mut ends = self.ends.chunks_exact(ROWS);
        for (sums, ends) in sixteens.iter_mut().zip(&mut ends) {
            // SAFETY: ends are nodes, which begin with their bounds.
            let leaves = unsafe {
                let ends = load(ends);
                _mm512_i32gather_epi32::<8>(ends, forest.nodes.as_ptr().cast())
            };
            S::plus_sixteen(sums, _mm512_castsi512_ps(leaves));
        }
        for (sum, &end) in rest.iter_mut().zip(ends.next().unwrap_or_default()) {
            sum.plus(S::of(f32::from_bits(forest.nodes[end as usize].bound())));
        }
    }

    /// Puts all rows where they stand; how many go on.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn start_gathered(
        &mut self,
        forest: Walked<'_, Narrow>,
        root: Root,
        paths: Option<&[u8]>,
        rows: usize,
    ) -> usize {
        let Some(paths) = paths else {
            self.ends.fill(root.at);
            let open = if forest.is_split(root.at) { rows } else { 0 };
            self.at[..open].fill(root.at);
            self.rows.iter_mut().take(open).zip(0..).for_each(|(to, row)| *to = row);
            return open;
        };
        let nodes = forest.below(root.at);
        let marked = nodes.map(|at| at | if forest.is_split(at) { MARK as u32 } else { 0 });
        let mut row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut open = 0;
        let mut tail = [0; ROWS];
        for (first, ends) in (0..rows).step_by(ROWS).zip(self.ends.chunks_exact_mut(ROWS)) {
            let here = (rows - first).min(ROWS);
            let own = ALL >> (ROWS - here);
            let own_paths = paths[first..].first_chunk::<ROWS>().unwrap_or_else(|| {
                tail[..here].copy_from_slice(&paths[first..]);
                &tail
            });
            // SAFETY: sixteen paths are read, each of which has a place in `marked`.
            let at = unsafe {
                let path = _mm512_cvtepu8_epi32(_mm_loadu_si128(own_paths.as_ptr().cast()));
                _mm512_i32gather_epi32::<4>(path, marked.as_ptr().cast())
            };
            let goes_on = _mm512_test_epi32_mask(at, _mm512_set1_epi32(MARK)) & own;
            let at = _mm512_and_si512(at, _mm512_set1_epi32(!MARK));
            store(at, ends);
            store(_mm512_maskz_compress_epi32(goes_on, at), &mut self.at[open..]);
            store(_mm512_maskz_compress_epi32(goes_on, row), &mut self.rows[open..]);
            open += goes_on.count_ones() as usize;
            row = _mm512_add_epi32(row, _mm512_set1_epi32(ROWS as i32));
        }
        open
    }

    /// Takes the first `open` walks [`STEPS`] steps on; how many are left.
    ///
    /// # Safety
    /// `rows` are numbers of rows that have a key for each slot in `keys`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn walk_gathered<const SETS: u8>(
        &mut self,
        forest: Walked<'_, Narrow>,
        keys: (&[u32], usize),
        open: usize,
        ahead: &mut Ahead<'_, Narrow>,
    ) -> usize {
        // The last one stands for those that a register lacks.
        let (place, row) = (self.at[open - 1], self.rows[open - 1]);
        self.at[open..open.next_multiple_of(ROWS)].fill(place);
        self.rows[open..open.next_multiple_of(ROWS)].fill(row);
        let (mut first, mut left) = (0, 0);
        while first < open {
            ahead.fetch();
            // SAFETY: as the caller says.
            unsafe {
                if open - first > (ABREAST - 1) * ROWS {
                    self.walk_abreast::<SETS, ABREAST>(forest, keys, first..open, &mut left);
                    first += ABREAST * ROWS;
                } else {
                    self.walk_abreast::<SETS, 1>(forest, keys, first..open, &mut left);
                    first += ROWS;
                }
            }
        }
        left
    }

    /// The same of the first walks of `open`, as many as `N` registers hold; `left` counts those
    /// that go on.
    ///
    /// # Safety
    /// As of [`Open::walk_gathered`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn walk_abreast<const SETS: u8, const N: usize>(
        &mut self,
        forest: Walked<'_, Narrow>,
        (keys, width): (&[u32], usize),
        open: Range<usize>,
        left: &mut usize,
    ) {
        let Self { at: places, rows, ends } = self;
        let mut at = [_mm512_setzero_si512(); N];
        let mut of = [_mm512_setzero_si512(); N];
        for part in 0..N {
            at[part] = load(&places[open.start + part * ROWS..]);
            of[part] = load(&rows[open.start + part * ROWS..]);
        }
        let base = of.map(|row| _mm512_mullo_epi32(row, _mm512_set1_epi32(width as i32)));
        for _ in 0..STEPS {
            for part in 0..N {
                // SAFETY: walks start at a root, and go through keys of their rows.
                at[part] = unsafe { forest.step_sixteen::<SETS>(at[part], keys, base[part]) };
            }
        }
        for part in 0..N {
            let here = open.len().saturating_sub(part * ROWS).min(ROWS);
            let own = ((1_u32 << here) - 1) as __mmask16;
            // SAFETY: ends of walks are nodes; each row has an end.
            let goes_on = unsafe {
                let links = forest.nodes.as_ptr().cast::<i32>().add(1);
                let link = _mm512_i32gather_epi32::<8>(at[part], links);
                let goes_on = _mm512_test_epi32_mask(link, _mm512_set1_epi32(0xffff)) & own;
                let ends = ends.as_mut_ptr().cast();
                _mm512_mask_i32scatter_epi32::<4>(ends, own & !goes_on, of[part], at[part]);
                goes_on
            };
            store(_mm512_maskz_compress_epi32(goes_on, at[part]), &mut places[*left..]);
            store(_mm512_maskz_compress_epi32(goes_on, of[part]), &mut rows[*left..]);
            *left += goes_on.count_ones() as usize;
        }
    }
}
