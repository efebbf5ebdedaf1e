//! The first three levels of 16 trees, which one row goes down in registers.
//!
//! ```text
//!            1            tests of 16 trees side by side, as a heap: where a tree has its leaf
//!        2       3        before, tests that all rows answer with no
//!      4   5   6   7
//!     8 9 ..     14 15    the places of the flat form where the walks go on
//! ```
//!
//! All tests of a level are loaded and the answers above choose among them; the keys of the row lie in
//! four or eight registers from which permutations take 16. So the levels that every row goes through ask for
//! nothing in memory that depends on an answer. AVX-512.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "vectors, on a processor that has them")
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512i, __mmask16, _mm256_loadu_si256, _mm512_add_epi32, _mm512_and_si512,
    _mm512_andnot_si512, _mm512_cmpgt_epu32_mask, _mm512_cvtepu16_epi32, _mm512_loadu_si512,
    _mm512_mask_blend_epi32, _mm512_mask_i32gather_epi32, _mm512_maskz_loadu_epi32,
    _mm512_permutex2var_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srli_epi32,
    _mm512_srlv_epi32, _mm512_storeu_si512, _mm512_test_epi32_mask,
};

use super::flat::{Ask, Node, TREES, Walked};
#[cfg(target_arch = "x86_64")]
use super::flat::{Group, NONE, Start};

/// Levels that the tops of trees have.
pub(super) const LEVELS: u32 = 3;
/// Keys that fit into the registers.
pub(super) const SLOTS_MAX: usize = 128;
/// Set beside the slot of a test that asks for a set.
const IS_SET: u16 = 1 << 15;
/// Set beside the place of a set that lies apart.
const APART: u32 = 1 << 31;

/// The tops of the trees of a group.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Top {
    /// By place in the heap less one. Numbers: to be above of; sets: their bits, or where they lie.
    bounds: [[u32; TREES]; 7],
    places: [[u32; TREES]; 8],
    slots: [[u16; TREES]; 7],
}

impl Top {
    /// The tops of trees from their roots on.
    pub(super) fn of<N: Node>(forest: Walked<'_, N>, roots: &[u32; TREES], sets: u8) -> Self {
        let mut top =
            Self { bounds: [[0; TREES]; 7], places: [[0; TREES]; 8], slots: [[0; TREES]; 7] };
        for (tree, &root) in roots.iter().enumerate() {
            let mut heap = [root; 16];
            for at in 1..8 {
                let (slot, bound, children) = match forest.split(heap[at], sets) {
                    // Slot 0 is above nothing.
                    None => (0, u32::MAX, [heap[at]; 2]),
                    Some((slot, split, left)) => {
                        let (mark, bound) = match split {
                            Ask::Above(bound) => (0, bound),
                            Ask::Few(bits) => (IS_SET, bits),
                            Ask::Many(place) => (IS_SET, place | APART),
                        };
                        (slot as u16 | mark, bound, [left, left + 1])
                    }
                };
                top.slots[at - 1][tree] = slot;
                top.bounds[at - 1][tree] = bound;
                heap[2 * at..][..2].copy_from_slice(&children);
            }
            top.places.iter_mut().zip(&heap[8..]).for_each(|(places, &at)| places[tree] = at);
        }
        top
    }
}

/// Where a row's walks go on: for each group the places below the tops, or at the roots where it has none.
///
/// `keys`: of all slots, [`SLOTS_MAX`] at most. `bits`: what places of sets lead into; the keys of slots
/// that sets ask for are codes whose words lie there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn enter(groups: &[Group], keys: &[u32], bits: &[u32], starts: &mut [Start]) {
    assert!(keys.len() <= SLOTS_MAX, "keys in registers");
    if keys.len() <= 64 {
        enter_with(groups, Keys::<4>::of(keys), bits, starts);
    } else {
        enter_with(groups, Keys::<8>::of(keys), bits, starts);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn enter_with<const N: usize>(groups: &[Group], keys: Keys<N>, bits: &[u32], starts: &mut [Start]) {
    for (group, start) in groups.iter().zip(starts) {
        let Some(top) = group.top.as_deref() else {
            *start = Start { at: group.at, depth: group.depth };
            continue;
        };
        let places = match group.sets {
            NONE => keys.enter::<false>(top, bits),
            _ => keys.enter::<true>(top, bits),
        };
        // SAFETY: as many places as a register has, of any alignment.
        unsafe { _mm512_storeu_si512(start.at.as_mut_ptr().cast(), places) }
        start.depth = group.depth - LEVELS;
    }
}

/// The keys of a row, 16 in each register.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
struct Keys<const N: usize>([__m512i; N]);

#[cfg(target_arch = "x86_64")]
impl<const N: usize> Keys<N> {
    #[target_feature(enable = "avx512f,avx512bw")]
    fn of(keys: &[u32]) -> Self {
        let mut all = [_mm512_setzero_si512(); N];
        for (register, keys) in all.iter_mut().zip(keys.chunks(16)) {
            // SAFETY: as many keys as are loaded.
            *register = unsafe {
                let own = u16::MAX >> (16 - keys.len());
                _mm512_maskz_loadu_epi32(own, keys.as_ptr().cast())
            };
        }
        Self(all)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn enter<const SETS: bool>(self, top: &Top, bits: &[u32]) -> __m512i {
        let bounds = |at: usize| load(&top.bounds[at]);
        let slots = |at: usize| wide(&top.slots[at]);
        let places = |at: usize| load(&top.places[at]);
        let first = self.ask::<SETS>(slots(0), bounds(0), bits);
        let slot = _mm512_mask_blend_epi32(first, slots(1), slots(2));
        let bound = _mm512_mask_blend_epi32(first, bounds(1), bounds(2));
        let second = self.ask::<SETS>(slot, bound, bits);
        let choose = |no, yes, answer| _mm512_mask_blend_epi32(answer, no, yes);
        let slot =
            choose(choose(slots(3), slots(4), second), choose(slots(5), slots(6), second), first);
        let bound = choose(
            choose(bounds(3), bounds(4), second),
            choose(bounds(5), bounds(6), second),
            first,
        );
        let third = self.ask::<SETS>(slot, bound, bits);
        let pair = |at: usize| choose(places(at), places(at + 1), third);
        choose(choose(pair(0), pair(2), second), choose(pair(4), pair(6), second), first)
    }

    /// Which of 16 tests say yes.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn ask<const SETS: bool>(self, slot: __m512i, bound: __m512i, bits: &[u32]) -> __mmask16 {
        let has = |bit: i32| _mm512_test_epi32_mask(slot, _mm512_set1_epi32(bit));
        let part = |at: usize| _mm512_permutex2var_epi32(self.0[at], slot, self.0[at + 1]);
        let half = |at: usize| _mm512_mask_blend_epi32(has(32), part(at), part(at + 2));
        let key = if N == 4 { half(0) } else { _mm512_mask_blend_epi32(has(64), half(0), half(4)) };
        let above = _mm512_cmpgt_epu32_mask(key, bound);
        if !SETS {
            return above;
        }
        let is_set = has(i32::from(IS_SET));
        let apart = is_set & _mm512_test_epi32_mask(bound, _mm512_set1_epi32(APART.cast_signed()));
        let words = if apart == 0 {
            bound
        } else {
            let place = _mm512_andnot_si512(_mm512_set1_epi32(APART.cast_signed()), bound);
            let place = _mm512_add_epi32(_mm512_srli_epi32::<5>(key), place);
            // SAFETY: a set has a word for each code of its column, and only places of sets are read.
            unsafe { _mm512_mask_i32gather_epi32::<4>(bound, apart, place, bits.as_ptr().cast()) }
        };
        let bit = _mm512_and_si512(key, _mm512_set1_epi32(31));
        let word = _mm512_srlv_epi32(words, bit);
        let member = _mm512_test_epi32_mask(word, _mm512_set1_epi32(1));
        member & is_set | above & !is_set
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(of: &[u32; TREES]) -> __m512i {
    // SAFETY: as many numbers as a register has, of any alignment.
    unsafe { _mm512_loadu_si512(of.as_ptr().cast()) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn wide(of: &[u16; TREES]) -> __m512i {
    // SAFETY: as many numbers as a register has, of any alignment.
    _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(of.as_ptr().cast()) })
}
