//! Steps of 16 walks in the lanes of a register, for processors whose gathers are cheap.

use std::arch::x86_64::{
    __m512i, __mmask16, _mm512_add_epi32, _mm512_and_si512, _mm512_castsi512_si256,
    _mm512_cmpge_epu32_mask, _mm512_cmpgt_epu32_mask, _mm512_extracti64x4_epi64,
    _mm512_i32gather_epi32, _mm512_i32gather_epi64, _mm512_loadu_si512, _mm512_mask_add_epi32,
    _mm512_mask_cmpge_epu32_mask, _mm512_mask_i32gather_epi32, _mm512_permutex2var_epi32,
    _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_srli_epi32,
    _mm512_srlv_epi32, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_test_epi32_mask,
};

use super::super::Sum;
use super::{APART, FEW, Group, MANY, NONE, Narrow, Node, ROWS, SET, Start, Walked};

/// Groups of trees that a row walks through at the same time.
const ABREAST: usize = 4;

/// The walks of one row through all groups of a class, from `starts` on.
///
/// # Safety
/// `keys` are those of all slots; `starts` are places that walks from the groups' roots come to, with
/// the steps that are left.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn row<S: Sum>(
    forest: Walked<'_, Narrow>,
    groups: &[Group],
    starts: &[Start],
    keys: &[u32],
    sum: &mut S,
) {
    let mut starts = starts;
    // Sets are held in another way from group to group.
    for alike in groups.chunk_by(|a, b| a.sets == b.sets) {
        for groups in alike.chunks(ABREAST) {
            let (own, rest) = starts.split_at(groups.len());
            starts = rest;
            // SAFETY: as the caller says.
            unsafe {
                match groups.len() {
                    1 => add_groups::<_, 1>(forest, groups, own, keys, sum),
                    2 => add_groups::<_, 2>(forest, groups, own, keys, sum),
                    3 => add_groups::<_, 3>(forest, groups, own, keys, sum),
                    _ => add_groups::<_, ABREAST>(forest, groups, own, keys, sum),
                }
            }
        }
    }
}

/// The same of `N` groups that hold their sets in the same way.
///
/// # Safety
/// As of [`row`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn add_groups<S: Sum, const N: usize>(
    forest: Walked<'_, Narrow>,
    groups: &[Group],
    starts: &[Start],
    keys: &[u32],
    sum: &mut S,
) {
    let mut at = [_mm512_setzero_si512(); N];
    at.iter_mut().zip(starts).for_each(|(at, start)| *at = load(&start.at));
    // Who has come to a leaf stays there.
    let depth = starts.iter().map(|start| start.depth).max().unwrap_or(0);
    // SAFETY: as the caller says.
    unsafe {
        match groups[0].sets {
            NONE => forest.steps::<NONE, N>(depth, &mut at, keys),
            FEW => forest.steps::<FEW, N>(depth, &mut at, keys),
            _ => forest.steps::<MANY, N>(depth, &mut at, keys),
        }
    }
    for (at, group) in at.into_iter().zip(groups) {
        // SAFETY: walks are at nodes, which begin with their bounds.
        let leaves = unsafe { _mm512_i32gather_epi32::<8>(at, forest.nodes.as_ptr().cast()) };
        let mut bits = [0; ROWS];
        store(leaves, &mut bits);
        let leaves = bits[..group.trees as usize].iter().map(|&leaf| f32::from_bits(leaf));
        leaves.for_each(|leaf| sum.plus(S::of(leaf)));
    }
}

impl Walked<'_, Narrow> {
    /// Takes walks some steps on, all with the same keys.
    ///
    /// # Safety
    /// As of [`Walked::step`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn steps<const SETS: u8, const N: usize>(
        self,
        steps: u32,
        at: &mut [__m512i; N],
        keys: &[u32],
    ) {
        let base = _mm512_setzero_si512();
        for _ in 0..steps {
            for at in &mut *at {
                // SAFETY: as the caller says.
                *at = unsafe { self.step_sixteen::<SETS>(*at, keys, base) };
            }
        }
    }

    /// [`Walked::step`] of 16 rows, whose keys start at `base`.
    ///
    /// # Safety
    /// As there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) unsafe fn step_sixteen<const SETS: u8>(
        self,
        at: __m512i,
        keys: &[u32],
        base: __m512i,
    ) -> __m512i {
        assert_within(at, u16::MAX, self.nodes.len());
        let (bound, link) = {
            let nodes = self.nodes.as_ptr().cast::<i64>();
            // SAFETY: walks from a root stay within the nodes, of eight bytes each.
            let (low, high) = unsafe {
                let (low, high) = (_mm512_castsi512_si256(at), _mm512_extracti64x4_epi64::<1>(at));
                (
                    _mm512_i32gather_epi64::<8>(low, nodes.cast()),
                    _mm512_i32gather_epi64::<8>(high, nodes.cast()),
                )
            };
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_epi32(low, even, high), _mm512_permutex2var_epi32(low, odd, high))
        };
        let slot = _mm512_srli_epi32::<16>(link);
        let unmarked = if SETS == FEW {
            _mm512_and_si512(slot, _mm512_set1_epi32(Narrow::MARK as i32 - 1))
        } else {
            slot
        };
        let key_at = _mm512_add_epi32(base, unmarked);
        assert_within(key_at, u16::MAX, keys.len());
        // SAFETY: as the caller says.
        let key = unsafe { _mm512_i32gather_epi32::<4>(key_at, keys.as_ptr().cast()) };
        let above = _mm512_cmpgt_epu32_mask(key, bound);
        let right = match SETS {
            NONE => above,
            FEW => {
                let is_set = _mm512_test_epi32_mask(slot, _mm512_set1_epi32(Narrow::MARK as i32));
                let apart = is_set & _mm512_test_epi32_mask(bound, _mm512_set1_epi32(APART as i32));
                let place = _mm512_sub_epi32(bound, _mm512_set1_epi32(APART as i32));
                // SAFETY: as of `members`.
                let is_in = unsafe { self.members(bound, apart, place, key) };
                is_in & is_set | above & !is_set
            }
            _ => {
                let first = _mm512_set1_epi32(self.first_code as i32);
                let is_set = _mm512_cmpge_epu32_mask(slot, first);
                let place = _mm512_sub_epi32(bound, _mm512_set1_epi32(SET as i32));
                // SAFETY: a key of such a slot is a code, for which the set has a bit.
                above | is_set & unsafe { self.members(bound, is_set, place, key) }
            }
        };
        let at = _mm512_add_epi32(at, _mm512_and_si512(link, _mm512_set1_epi32(0xffff)));
        _mm512_mask_add_epi32(at, right, at, _mm512_set1_epi32(1))
    }

    /// Which of 16 sets hold a code: those `apart` lie at a place of the bits, others are `words`.
    ///
    /// # Safety
    /// Where `apart` says so, `place` is that of a set with a bit for `code`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn members(
        self,
        words: __m512i,
        apart: __mmask16,
        place: __m512i,
        code: __m512i,
    ) -> __mmask16 {
        let place = _mm512_add_epi32(place, _mm512_srli_epi32::<5>(code));
        assert_within(place, apart, self.bits.len());
        // SAFETY: as the caller says; others are not read.
        let words = unsafe {
            _mm512_mask_i32gather_epi32::<4>(words, apart, place, self.bits.as_ptr().cast())
        };
        let bit = _mm512_and_si512(code, _mm512_set1_epi32(31));
        _mm512_test_epi32_mask(_mm512_srlv_epi32(words, bit), _mm512_set1_epi32(1))
    }
}

/// In tests: whether the lanes of a mask are places of so many elements. No sanitizer looks into a
/// gather.
#[inline]
#[target_feature(enable = "avx512f")]
fn assert_within(places: __m512i, of: __mmask16, len: usize) {
    if cfg!(debug_assertions) {
        let len = _mm512_set1_epi32(len as i32);
        assert_eq!(_mm512_mask_cmpge_epu32_mask(of, places, len), 0, "{places:?} of {len:?}");
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(of: &[u32]) -> __m512i {
    let of: &[u32; ROWS] = of.first_chunk().expect("as many as a register has");
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(of.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(lanes: __m512i, to: &mut [u32]) {
    let to: &mut [u32; ROWS] = to.first_chunk_mut().expect("room for a register");
    // SAFETY: 64 bytes are there; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), lanes) }
}
