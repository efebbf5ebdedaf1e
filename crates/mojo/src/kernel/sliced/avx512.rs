//! The sliced form with AVX-512: 64 bytes a comparison, eight trees a step.
#![expect(unsafe_code, reason = "loads and stores of whole registers")]

use std::arch::x86_64::{
    __m512, __m512d, __m512i, _CMP_LE_OQ, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch, _mm_set_epi8,
    _mm256_storeu_si256, _mm512_add_epi8, _mm512_add_epi32, _mm512_add_pd, _mm512_add_ps,
    _mm512_broadcast_i32x4, _mm512_castps512_ps256, _mm512_castsi256_si512, _mm512_cmp_ps_mask,
    _mm512_cmpeq_epi8_mask, _mm512_cmpgt_epi8_mask, _mm512_cvtepi16_epi8, _mm512_cvtepi32_epi16,
    _mm512_cvtepu8_epi32, _mm512_cvtps_pd, _mm512_extractf32x8_ps, _mm512_inserti64x4,
    _mm512_loadu_pd, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_add_epi8,
    _mm512_mask_add_epi32, _mm512_mask_blend_epi8, _mm512_mask_blend_ps, _mm512_permutex2var_epi8,
    _mm512_permutex2var_ps, _mm512_permutexvar_epi8, _mm512_permutexvar_ps, _mm512_set1_epi8,
    _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_f64x2, _mm512_storeu_pd, _mm512_storeu_ps,
    _mm512_storeu_si512, _mm512_sub_epi32, _mm512_ternarylogic_epi64, _mm512_test_epi8_mask,
    _mm512_test_epi16_mask, _mm512_test_epi32_mask, _mm512_unpackhi_epi16, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpackhi_pd, _mm512_unpacklo_epi16, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_unpacklo_pd,
};

use super::super::Sum;
use super::super::ranks::{NODE, Node, Ranks, TILE};
use super::encode::{Columns, RawRows, Registers, Rounded};
use super::{
    Block, CodeTile, Compared, GROUP, Group, LaneTile, Leaves, Line, Masks, Paths, Sliced, Tile,
    Words, gather,
};

/// Finds the paths of a tile's rows through a group.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
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

/// The same, of a form with planes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
pub(in super::super) fn find_by_planes<S: Sum>(
    group: &Group<S>,
    tile: Tile<'_>,
    masks: &mut Masks,
    paths: &mut Paths,
) {
    planes(group, tile.codes, masks);
    find(group, tile, masks, paths);
}

/// [`Sliced::fill`], compiled for this processor.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
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

    #[inline(always)]
    fn split(codes: &[u16; TILE], to: &mut CodeTile) {
        // SAFETY: as above.
        unsafe { split(codes, to) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(super) fn ranks(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]) {
    match (ranks.heap(), ranks.levels().len()) {
        (Some((heap, 1)), _) => halve::<1>(heap, values, to),
        (Some((heap, 2)), _) => halve::<2>(heap, values, to),
        (Some((heap, 3)), _) => halve::<3>(heap, values, to),
        (Some((heap, 4)), _) => halve::<4>(heap, values, to),
        (Some((heap, 5)), _) => halve::<5>(heap, values, to),
        (Some((heap, 6)), _) => halve::<6>(heap, values, to),
        (Some((heap, 7)), _) => halve::<7>(heap, values, to),
        (Some((heap, _)), _) => halve::<8>(heap, values, to),
        (None, 1) => count::<1>(ranks, values, to),
        (None, 2) => count::<2>(ranks, values, to),
        (None, 3) => count::<3>(ranks, values, to),
        (None, _) => count::<4>(ranks, values, to),
    }
}

/// 8 x 8 numbers at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(in super::super) fn turn(rows: &RawRows<'_>, first: usize, to: &mut Columns) {
    for part in 0..TILE / 8 {
        let row = |i: usize| {
            _mm_prefetch::<_MM_HINT_T1>(rows.ahead(8 * part + i, first));
            load_f64(&rows.eight(8 * part + i, first))
        };
        // Numbers of two rows side by side, of even columns and of odd ones.
        let pairs = [0, 2, 4, 6].map(|i| {
            let (a, b) = (row(i), row(i + 1));
            [_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b)]
        });
        for odd in 0..2 {
            let [a, b, c, d] = pairs.map(|pair| pair[odd]);
            let (ab, cd) = (_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0x88>(c, d));
            store_f64(to, odd, part, _mm512_shuffle_f64x2::<0x88>(ab, cd));
            store_f64(to, odd + 4, part, _mm512_shuffle_f64x2::<0xdd>(ab, cd));
            let (ab, cd) = (_mm512_shuffle_f64x2::<0xdd>(a, b), _mm512_shuffle_f64x2::<0xdd>(c, d));
            store_f64(to, odd + 2, part, _mm512_shuffle_f64x2::<0x88>(ab, cd));
            store_f64(to, odd + 6, part, _mm512_shuffle_f64x2::<0xdd>(ab, cd));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn load_f64(numbers: &[f64; 8]) -> __m512d {
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_pd(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn store_f64(to: &mut Columns, column: usize, part: usize, numbers: __m512d) {
    let to = &mut to.0[column].as_chunks_mut::<8>().0[part];
    // SAFETY: there is room for 64 bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_pd(to.as_mut_ptr(), numbers) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn load_node(node: &Node) -> __m512 {
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_ps(node.0.as_ptr()) }
}

/// Ranks by the B-tree, row by row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn count<const LEVELS: usize>(ranks: &Ranks, values: &Rounded, to: &mut [u16; TILE]) {
    let levels: [&[Node]; LEVELS] = std::array::from_fn(|level| ranks.levels()[level].as_slice());
    for (to, &value) in to.iter_mut().zip(&values.0) {
        let value = _mm512_set1_ps(value);
        let mut node = 0;
        for (level, nodes) in levels.iter().enumerate() {
            debug_assert!(node < nodes.len(), "a node of the level");
            // SAFETY: the root is there, and each number of a node that is reached has a node of the
            // next level right of it, see `Ranks`.
            let numbers = load_node(unsafe { nodes.get_unchecked(node) });
            let reached = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(numbers, value).count_ones() as usize;
            node = node * if level + 1 < LEVELS { NODE + 1 } else { NODE } + reached;
        }
        *to = node as u16;
    }
}

/// Ranks by the heap, 16 rows at a time: its levels are registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn halve<const DEPTH: usize>(heap: &[Node], values: &Rounded, to: &mut [u16; TILE]) {
    let heap = &heap[..(1_usize << DEPTH).div_ceil(NODE)];
    for (to, values) in to.as_chunks_mut::<16>().0.iter_mut().zip(values.0.as_chunks::<16>().0) {
        // SAFETY: 64 bytes are there; the load asks for no alignment.
        let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        let mut places = _mm512_set1_epi32(1);
        for level in 0..DEPTH {
            let thresholds = at_level(heap, level, places);
            let reached = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(thresholds, values);
            places = _mm512_add_epi32(places, places);
            places = _mm512_mask_add_epi32(places, reached, places, _mm512_set1_epi32(1));
        }
        let ranks = _mm512_sub_epi32(places, _mm512_set1_epi32(1 << DEPTH));
        // SAFETY: there is room for 32 bytes; the store asks for no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(ranks)) };
    }
}

/// Those at `places` of a level; lookups see as many of the lower bits of a place as they need.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn at_level(heap: &[Node], level: usize, places: __m512i) -> __m512 {
    match level {
        ..=3 => _mm512_permutexvar_ps(places, load_node(&heap[0])),
        4 => _mm512_permutexvar_ps(places, load_node(&heap[1])),
        5 => of_two(&heap[2..4], places),
        6 => of_four(&heap[4..8], places),
        _ => {
            let (low, high) = (of_four(&heap[8..12], places), of_four(&heap[12..16], places));
            _mm512_mask_blend_ps(_mm512_test_epi32_mask(places, _mm512_set1_epi32(64)), low, high)
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn of_two(nodes: &[Node], places: __m512i) -> __m512 {
    _mm512_permutex2var_ps(load_node(&nodes[0]), places, load_node(&nodes[1]))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn of_four(nodes: &[Node], places: __m512i) -> __m512 {
    let (low, high) = (of_two(&nodes[..2], places), of_two(&nodes[2..], places));
    _mm512_mask_blend_ps(_mm512_test_epi32_mask(places, _mm512_set1_epi32(32)), low, high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn load<T>(at: &T) -> __m512i {
    const { assert!(size_of::<T>() == 64) };
    // SAFETY: 64 bytes are there; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(at).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn store<T>(at: &mut T, value: __m512i) {
    const { assert!(size_of::<T>() == 64) };
    // SAFETY: there is room for 64 bytes; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(at).cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn tests<S>(group: &Group<S>, lanes: &[LaneTile], masks: &mut Masks) {
    let masks = masks.0.as_flattened_mut();
    let mut rest = group.tests.as_slice();
    for (at, &(lane, n)) in group.lanes.iter().enumerate() {
        let lane = load(&lanes[usize::from(lane)]);
        let (tests, others) = rest.split_at(usize::from(n));
        rest = others;
        if at < group.ordered {
            for &Compared { bytes, place } in tests {
                let mask = _mm512_cmpgt_epi8_mask(lane, four_bytes(bytes));
                masks[place as usize % (GROUP * 256)] = mask;
            }
        } else {
            for &Compared { bytes, place } in tests {
                let mask = _mm512_cmpeq_epi8_mask(lane, four_bytes(bytes));
                masks[place as usize % (GROUP * 256)] = mask;
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn four_bytes(bytes: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(bytes.map(i8::cast_unsigned)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn split(codes: &[u16; TILE], to: &mut CodeTile) {
    let [low, high] = codes.as_chunks::<32>().0 else { unreachable!("64 is 2 x 32") };
    let (low, high) = (load(low), load(high));
    let bytes = _mm512_inserti64x4::<1>(
        _mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)),
        _mm512_cvtepi16_epi8(high),
    );
    store(&mut to.low, bytes);
    for (bit, to) in (7..).zip(&mut to.high) {
        let bit = _mm512_set1_epi16(1 << bit);
        let (low, high) = (_mm512_test_epi16_mask(low, bit), _mm512_test_epi16_mask(high, bit));
        *to = u64::from(low) | u64::from(high) << 32;
    }
}

/// Answers the set tests that are planes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
fn planes<S>(group: &Group<S>, codes: &[CodeTile], masks: &mut Masks) {
    let masks = masks.0.as_flattened_mut();
    for plane in &group.planes {
        let codes = &codes[usize::from(plane.codes)];
        let lines = &group.lines[plane.first as usize..][..usize::from(plane.lines)];
        let low = load(&codes.low);
        let bytes = match lines {
            [line] => _mm512_permutexvar_epi8(low, load(line)),
            [a, b] => _mm512_permutex2var_epi8(load(a), low, load(b)),
            [..] if lines.len() == 4 => bytes_of_four(lines, low, codes.high[0]),
            [..] if lines.len() == 8 => bytes_of_eight(lines, low, codes.high),
            _ => {
                let (a, b) = lines.split_at(lines.len() / 2);
                let (a, b) =
                    (bytes_of_eight(a, low, codes.high), bytes_of_eight(b, low, codes.high));
                _mm512_mask_blend_epi8(codes.high[2], a, b)
            }
        };
        for (bit, &place) in plane.places.iter().enumerate() {
            let mask = _mm512_test_epi8_mask(bytes, _mm512_set1_epi8((1_u8 << bit).cast_signed()));
            masks[usize::from(place) % (GROUP * 256)] = mask;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
fn bytes_of_four(lines: &[Line], low: __m512i, seventh: u64) -> __m512i {
    let of = |lines: &[Line]| _mm512_permutex2var_epi8(load(&lines[0]), low, load(&lines[1]));
    _mm512_mask_blend_epi8(seventh, of(&lines[..2]), of(&lines[2..4]))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
fn bytes_of_eight(lines: &[Line], low: __m512i, high: [u64; 3]) -> __m512i {
    let (a, b) = (bytes_of_four(lines, low, high[0]), bytes_of_four(&lines[4..], low, high[0]));
    _mm512_mask_blend_epi8(high[1], a, b)
}

/// Adds the leaves that the paths lead to, in tree order: registers hold a tree's leaves.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
pub(in super::super) fn add_leaves<S: Sum>(group: &Group<S>, paths: &Paths, sums: &mut [S; TILE]) {
    match group.depth {
        ..=4 => add_lines::<S, 1>(group, paths, sums),
        5 => add_lines::<S, 2>(group, paths, sums),
        6 => add_lines::<S, 4>(group, paths, sums),
        7 => add_lines::<S, 8>(group, paths, sums),
        _ => add_lines::<S, 16>(group, paths, sums),
    }
}

/// `LINES`: registers of a tree's leaves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn add_lines<S: Sum, const LINES: usize>(group: &Group<S>, paths: &Paths, sums: &mut [S; TILE]) {
    let trees = group.leaf_lines.as_chunks::<LINES>().0.iter().zip(&paths.0);
    for (leaves, paths) in trees.take(group.trees) {
        for (sums, paths) in sums.as_chunks_mut::<16>().0.iter_mut().zip(paths.as_chunks().0) {
            let paths: &[u8; 16] = paths;
            // SAFETY: 16 bytes are there; the load asks for no alignment.
            let paths = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(paths.as_ptr().cast()) });
            S::plus_sixteen(sums, leaf(leaves, paths));
        }
    }
}

/// The leaves at the ends of paths, whose higher bits are the leaf's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn leaf<const LINES: usize>(leaves: &[Leaves; LINES], paths: __m512i) -> __m512 {
    let line = |at: usize| {
        // SAFETY: 64 bytes are there; the load asks for no alignment.
        unsafe { _mm512_loadu_ps(leaves[at].0.as_ptr()) }
    };
    if LINES == 1 {
        return _mm512_permutexvar_ps(paths, line(0));
    }
    let mut found = [_mm512_setzero_ps(); 8];
    for (pair, found) in found.iter_mut().enumerate().take(LINES / 2) {
        *found = _mm512_permutex2var_ps(line(2 * pair), paths, line(2 * pair + 1));
    }
    let (mut n, mut bit) = (LINES / 2, 32);
    while n > 1 {
        let is_high = _mm512_test_epi32_mask(paths, _mm512_set1_epi32(bit));
        for pair in 0..n / 2 {
            found[pair] = _mm512_mask_blend_ps(is_high, found[2 * pair], found[2 * pair + 1]);
        }
        (n, bit) = (n / 2, bit * 2);
    }
    found[0]
}

/// Adds 16 leaves to as many sums.
#[inline(always)]
pub(in super::super) fn plus_sixteen_f64(sums: &mut [f64; 16], leaves: __m512) {
    let (low, high) = sums.split_at_mut(8);
    // SAFETY: only called where the instructions are there; each half of the sums is a register.
    unsafe {
        let (a, b) = (_mm512_castps512_ps256(leaves), _mm512_extractf32x8_ps::<1>(leaves));
        let (a, b) = (_mm512_cvtps_pd(a), _mm512_cvtps_pd(b));
        let (x, y) = (_mm512_loadu_pd(low.as_ptr()), _mm512_loadu_pd(high.as_ptr()));
        _mm512_storeu_pd(low.as_mut_ptr(), _mm512_add_pd(x, a));
        _mm512_storeu_pd(high.as_mut_ptr(), _mm512_add_pd(y, b));
    }
}

/// The same of `f32`.
#[inline(always)]
pub(in super::super) fn plus_sixteen_f32(sums: &mut [f32; 16], leaves: __m512) {
    // SAFETY: only called where the instructions are there; the sums are a register.
    unsafe {
        let all = _mm512_loadu_ps(sums.as_ptr());
        _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_add_ps(all, leaves));
    }
}

/// Answers a block of set tests.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn sets(block: &Block, tables: &[u64], symbols: &[[u16; TILE]], masks: &mut Masks) {
    let mut words = Words([0; TILE]);
    gather(block, tables, symbols, &mut words);
    let masks = masks.0.as_flattened_mut();
    // Bytes of two rows side by side, then words, double words, quad words of eight registers:
    // plane `j` then holds byte `j` of all rows, in order, as `gather` laid them.
    let pairs =
        _mm512_broadcast_i32x4(_mm_set_epi8(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0));
    let parts = words.0.as_chunks::<8>().0;
    let mut a = [_mm512_setzero_si512(); 8];
    for (a, part) in a.iter_mut().zip(parts) {
        *a = _mm512_shuffle_epi8(load(part), pairs);
    }
    // Words of registers 2k and 2k+1: low half planes 0-3, high half planes 4-7.
    let mut b = a;
    for k in 0..4 {
        b[2 * k] = _mm512_unpacklo_epi16(a[2 * k], a[2 * k + 1]);
        b[2 * k + 1] = _mm512_unpackhi_epi16(a[2 * k], a[2 * k + 1]);
    }
    let mut c = b;
    for k in 0..2 {
        for half in 0..2 {
            let (x, y) = (b[4 * k + half], b[4 * k + 2 + half]);
            c[4 * k + 2 * half] = _mm512_unpacklo_epi32(x, y);
            c[4 * k + 2 * half + 1] = _mm512_unpackhi_epi32(x, y);
        }
    }
    let mut planes = c;
    for k in 0..4 {
        planes[2 * k] = _mm512_unpacklo_epi64(c[k], c[4 + k]);
        planes[2 * k + 1] = _mm512_unpackhi_epi64(c[k], c[4 + k]);
    }
    let mut planes_store = [[0_u64; 8]; 8];
    for (at, plane) in planes_store.iter_mut().zip(planes) {
        store(at, plane);
    }
    for (plane, places) in planes_store.iter().zip(block.places.as_chunks::<8>().0) {
        let plane = load(plane);
        for (bit, &place) in places.iter().enumerate() {
            let mask = _mm512_test_epi8_mask(plane, _mm512_set1_epi8((1_u8 << bit).cast_signed()));
            masks[usize::from(place) % (GROUP * 256)] = mask;
        }
    }
}

/// From masks to paths: level by level, the mask that the bits so far select is the next bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn walk(depth: usize, masks: &Masks, paths: &mut Paths) {
    let masks = &masks.0;
    let mut bits = [_mm512_setzero_si512(); 8];
    bits[0] = load(&masks[1]);
    bits[1] = m1(masks, 2, &bits, 0);
    bits[2] = m2(masks, 4, &bits, 0);
    if depth > 3 {
        bits[3] = m3(masks, 8, &bits, 0);
    }
    if depth > 4 {
        bits[4] = m4(masks, 16, &bits, 0);
    }
    if depth > 5 {
        bits[5] = m5(masks, 32, &bits, 0);
    }
    if depth > 6 {
        bits[6] = m6(masks, 64, &bits, 0);
    }
    if depth > 7 {
        bits[7] = m7(masks, 128, &bits, 0);
    }
    let mut planes = [[0_u64; GROUP]; 8];
    for (plane, bits) in planes.iter_mut().zip(bits).take(depth) {
        store(plane, bits);
    }
    for (tree, paths) in paths.0.iter_mut().enumerate() {
        let mut path = _mm512_setzero_si512();
        for plane in planes.iter().take(depth) {
            path = _mm512_add_epi8(path, path);
            path = _mm512_mask_add_epi8(path, plane[tree], path, _mm512_set1_epi8(1));
        }
        store(paths, path);
    }
}

/// `bit ? right : left`, bit by bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn choose(bit: __m512i, right: __m512i, left: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0xca>(bit, right, left)
}

type Bits = [__m512i; 8];
type Rows = [[u64; GROUP]; 256];

macro_rules! narrow {
    ($($name:ident from $below:ident, $half:literal;)*) => { $(
        /// The mask of those from `at` on that the bits from `from` on select.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
        fn $name(masks: &Rows, at: usize, bits: &Bits, from: usize) -> __m512i {
            let right = $below(masks, at + $half, bits, from + 1);
            choose(bits[from], right, $below(masks, at, bits, from + 1))
        }
    )* };
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,popcnt")]
fn m0(masks: &Rows, at: usize, _: &Bits, _: usize) -> __m512i {
    load(&masks[at])
}

narrow! {
    m1 from m0, 1;
    m2 from m1, 2;
    m3 from m2, 4;
    m4 from m3, 8;
    m5 from m4, 16;
    m6 from m5, 32;
    m7 from m6, 64;
}
