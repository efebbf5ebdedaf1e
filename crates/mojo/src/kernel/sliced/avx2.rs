//! The sliced form with AVX2: 32 bytes a comparison, four trees a step.
#![expect(unsafe_code, reason = "loads and stores of whole registers")]

use std::arch::x86_64::{
    __m256d, __m256i, _CMP_LE_OQ, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_prefetch, _mm_set_epi8,
    _mm256_add_epi8, _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256,
    _mm256_castps_si256, _mm256_cmp_ps, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_pd,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_packs_epi32,
    _mm256_permute2f128_pd, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps,
    _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sll_epi16,
    _mm256_storeu_pd, _mm256_storeu_si256, _mm256_sub_epi8, _mm256_unpackhi_epi16,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpackhi_pd, _mm256_unpacklo_epi16,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_unpacklo_pd,
};

use super::super::Sum;
use super::super::ranks::{NODE, Node, Ranks, TILE};
use super::encode::{Columns, RawRows, Registers, Rounded};
use super::{
    Block, CodeTile, Compared, GROUP, Group, LaneTile, Masks, Paths, Sliced, Tile, Words, gather,
};

/// Finds the paths of a tile's rows through a group.
#[target_feature(enable = "avx2,popcnt")]
pub(in super::super) fn find<S: Sum>(
    group: &Group<S>,
    tile: Tile<'_>,
    masks: &mut Masks,
    paths: &mut Paths,
) {
    tests(group, tile.lanes, masks);
    for block in &group.blocks {
        sets(block, &group.tables, tile.symbols, masks);
    }
    walk(group.depth, masks, paths);
}

/// [`Sliced::fill`], compiled for this processor.
#[target_feature(enable = "avx2,popcnt")]
pub(in super::super) fn fill<S: Sum>(
    form: &Sliced<S>,
    rows: &RawRows<'_>,
    symbols: &mut [[u16; TILE]],
    lanes: &mut [LaneTile],
    codes: &mut [CodeTile],
) {
    form.fill::<Own>(rows, symbols, lanes, codes);
}

struct Own;

impl Registers for Own {
    #[inline(always)]
    fn turn(rows: &RawRows<'_>, first: usize, to: &mut Columns) {
        // SAFETY: only called where the instructions are there, see `Registers`.
        unsafe { turn(rows, first, to) }
    }

    #[inline(always)]
    fn ranks(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]) {
        // SAFETY: as above.
        unsafe { self::ranks(ranks, values, to) }
    }

    fn split(_: &[u16; TILE], _: &mut CodeTile) {
        unreachable!("forms for this processor have no planes");
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
pub(super) fn ranks(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]) {
    match ranks.levels().len() {
        1 => count::<1>(ranks, values, to),
        2 => count::<2>(ranks, values, to),
        3 => count::<3>(ranks, values, to),
        _ => count::<4>(ranks, values, to),
    }
}

/// 4 x 4 numbers at a time.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
pub(in super::super) fn turn(rows: &RawRows<'_>, first: usize, to: &mut Columns) {
    for part in 0..TILE / 4 {
        let four = [0, 1, 2, 3].map(|i| {
            _mm_prefetch::<_MM_HINT_T1>(rows.ahead(4 * part + i, first));
            rows.eight(4 * part + i, first)
        });
        for half in 0..2 {
            let [a, b, c, d] = four.each_ref().map(|row| load_f64(&row.as_chunks().0[half]));
            let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (even2, odd2) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            let columns = [
                _mm256_permute2f128_pd::<0x20>(even, even2),
                _mm256_permute2f128_pd::<0x20>(odd, odd2),
                _mm256_permute2f128_pd::<0x31>(even, even2),
                _mm256_permute2f128_pd::<0x31>(odd, odd2),
            ];
            for (column, numbers) in to.0[4 * half..].iter_mut().zip(columns) {
                let to = &mut column.as_chunks_mut::<4>().0[part];
                // SAFETY: there is room for 32 bytes; the store asks for no alignment.
                unsafe { _mm256_storeu_pd(to.as_mut_ptr(), numbers) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn load_f64(numbers: &[f64; 4]) -> __m256d {
    // SAFETY: 32 bytes are there; the load asks for no alignment.
    unsafe { _mm256_loadu_pd(numbers.as_ptr()) }
}

/// Ranks by the B-tree, row by row.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn count<const LEVELS: usize>(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]) {
    let levels: [&[Node]; LEVELS] = std::array::from_fn(|level| ranks.levels()[level].as_slice());
    for (to, &value) in to.iter_mut().zip(&values.0) {
        let value = _mm256_set1_ps(value);
        let mut node = 0;
        for (level, nodes) in levels.iter().enumerate() {
            debug_assert!(node < nodes.len(), "a node of the level");
            // SAFETY: the root is there, and each number of a node that is reached has a node of the
            // next level right of it, see `Ranks`.
            let numbers = unsafe { nodes.get_unchecked(node) };
            let [low, high] = numbers.0.as_chunks::<8>().0 else { unreachable!("16 is 2 x 8") };
            let reached = [low, high].map(|half| {
                // SAFETY: 32 bytes are there; the load asks for no alignment.
                let half = unsafe { _mm256_loadu_ps(half.as_ptr()) };
                _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(half, value))
            });
            // Two bytes for each number.
            let reached = _mm256_packs_epi32(reached[0], reached[1]);
            let reached = _mm256_movemask_epi8(reached).count_ones() as usize / 2;
            node = node * if level + 1 < LEVELS { NODE + 1 } else { NODE } + reached;
        }
        *to = node as u16;
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn load<T>(at: &T) -> __m256i {
    const { assert!(size_of::<T>() == 32) };
    // SAFETY: 32 bytes are there; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(std::ptr::from_ref(at).cast()) }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn store<T>(at: &mut T, value: __m256i) {
    const { assert!(size_of::<T>() == 32) };
    // SAFETY: there is room for 32 bytes; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(std::ptr::from_mut(at).cast(), value) }
}

/// The highest bit of each byte of 64.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn mask(low: __m256i, high: __m256i) -> u64 {
    let (low, high) = (_mm256_movemask_epi8(low), _mm256_movemask_epi8(high));
    u64::from(low.cast_unsigned()) | u64::from(high.cast_unsigned()) << 32
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn tests<S>(group: &Group<S>, lanes: &[LaneTile], masks: &mut Masks) {
    let masks = masks.0.as_flattened_mut();
    let mut rest = group.tests.as_slice();
    for (at, &(lane, n)) in group.lanes.iter().enumerate() {
        let [low, high] = halves(&lanes[usize::from(lane)].0);
        let (tests, others) = rest.split_at(usize::from(n));
        rest = others;
        for &Compared { bytes, place } in tests {
            let bytes = _mm256_set1_epi32(i32::from_ne_bytes(bytes.map(i8::cast_unsigned)));
            let mask = if at < group.ordered {
                mask(_mm256_cmpgt_epi8(low, bytes), _mm256_cmpgt_epi8(high, bytes))
            } else {
                mask(_mm256_cmpeq_epi8(low, bytes), _mm256_cmpeq_epi8(high, bytes))
            };
            masks[place as usize % (GROUP * 256)] = mask;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn halves(bytes: &[i8; TILE]) -> [__m256i; 2] {
    let [low, high] = bytes.as_chunks::<32>().0 else { unreachable!("64 is two times 32") };
    [load(low), load(high)]
}

/// Answers a block of set tests.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn sets(block: &Block, tables: &[u64], symbols: &[[u16; TILE]], masks: &mut Masks) {
    let mut words = Words([0; TILE]);
    gather(block, tables, symbols, &mut words);
    let masks = masks.0.as_flattened_mut();
    let low = planes(&words, 0);
    let high = planes(&words, 1);
    for (plane, places) in block.places.as_chunks::<8>().0.iter().enumerate() {
        let (low, high) = (load(&low[plane]), load(&high[plane]));
        for (bit, &place) in places.iter().enumerate() {
            // The bit becomes the highest of its byte; what comes into other bits does not matter.
            let by = _mm_cvtsi32_si128(7 - bit as i32);
            let mask = mask(_mm256_sll_epi16(low, by), _mm256_sll_epi16(high, by));
            masks[usize::from(place) % (GROUP * 256)] = mask;
        }
    }
}

/// Byte `j` of 32 rows, for each `j`: every other half of the registers that AVX-512 has.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn planes(words: &Words, half: usize) -> [[u8; 32]; 8] {
    let pairs = _mm256_broadcastsi128_si256(_mm_set_epi8(
        15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0,
    ));
    let parts = words.0.as_chunks::<4>().0;
    let mut a = [_mm256_setzero_si256(); 8];
    for (k, a) in a.iter_mut().enumerate() {
        *a = _mm256_shuffle_epi8(load(&parts[2 * k + half]), pairs);
    }
    let mut b = a;
    for k in 0..4 {
        b[2 * k] = _mm256_unpacklo_epi16(a[2 * k], a[2 * k + 1]);
        b[2 * k + 1] = _mm256_unpackhi_epi16(a[2 * k], a[2 * k + 1]);
    }
    let mut c = b;
    for k in 0..2 {
        for side in 0..2 {
            let (x, y) = (b[4 * k + side], b[4 * k + 2 + side]);
            c[4 * k + 2 * side] = _mm256_unpacklo_epi32(x, y);
            c[4 * k + 2 * side + 1] = _mm256_unpackhi_epi32(x, y);
        }
    }
    let mut planes = [[0; 32]; 8];
    for k in 0..4 {
        store(&mut planes[2 * k], _mm256_unpacklo_epi64(c[k], c[4 + k]));
        store(&mut planes[2 * k + 1], _mm256_unpackhi_epi64(c[k], c[4 + k]));
    }
    planes
}

/// From masks to paths: level by level, the mask that the bits so far select is the next bit.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn walk(depth: usize, masks: &Masks, paths: &mut Paths) {
    let mut planes = [[0_u64; GROUP]; 8];
    for half in 0..2 {
        let mut bits = [_mm256_setzero_si256(); 8];
        for level in 0..depth {
            bits[level] = narrow(masks, half, level, &bits);
            let four: &mut [u64; 4] = &mut planes[level].as_chunks_mut().0[half];
            store(four, bits[level]);
        }
    }
    for (tree, paths) in paths.0.iter_mut().enumerate() {
        for (half, paths) in paths.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let mut path = _mm256_setzero_si256();
            for plane in planes.iter().take(depth) {
                let ones = spread((plane[tree] >> (32 * half)) as u32);
                path = _mm256_sub_epi8(_mm256_add_epi8(path, path), ones);
            }
            store(paths, path);
        }
    }
}

/// A byte of ones for each bit.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn spread(bits: u32) -> __m256i {
    let bytes = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3,
        3, 3,
    );
    let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits.cast_signed()), bytes);
    _mm256_cmpeq_epi8(_mm256_and_si256(bytes, own), own)
}

/// The masks of a level, narrowed to the one that the bits above select.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn narrow(masks: &Masks, half: usize, level: usize, bits: &[__m256i; 8]) -> __m256i {
    let at = |place: usize| {
        let fours: &[[u64; 4]] = masks.0[place].as_chunks().0;
        load(&fours[half])
    };
    let first = 1 << level;
    if level == 0 {
        return at(1);
    }
    // As a counter in binary: a pair of masks makes one, a pair of those the next.
    let mut waiting = [_mm256_setzero_si256(); 8];
    for pair in 0..1_usize << (level - 1) {
        let last = bits[level - 1];
        let mut made = choose(last, at(first + 2 * pair + 1), at(first + 2 * pair));
        let mut above = 0;
        while pair >> above & 1 != 0 {
            made = choose(bits[level - 2 - above], made, waiting[above]);
            above += 1;
        }
        waiting[above] = made;
    }
    waiting[level - 1]
}

/// `bit ? right : left`, bit by bit.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn choose(bit: __m256i, right: __m256i, left: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(bit, right), _mm256_andnot_si256(bit, left))
}
