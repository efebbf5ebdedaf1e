//! Kernels: trees scored as fast as the processor goes, with the bits of the plain walk.
#![expect(clippy::inline_always, reason = "a step that is called is no kernel")]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "only vectors that the standard library knows of use much of it")
)]

mod flat;
mod ranks;
mod sliced;
mod slots;
mod source;
mod top;

use std::sync::OnceLock;

use self::flat::{BLOCK, Flat, Open, ROWS, Start};
pub(crate) use self::ranks::TILE;
pub(crate) use self::sliced::{ABREAST, Columns};
use self::sliced::{CodeTile, Item, LaneTile, Masks, Paths, RawRows, Sliced, Tile};
pub(crate) use self::source::{Coder, Node, Rounding, Source, Test};

/// What leaves are added up in: `f64` for H2O's own trees, `f32` for `XGBoost`.
pub(crate) trait Sum: Copy + Default + std::fmt::Debug {
    fn of(leaf: f32) -> Self;
    fn plus(&mut self, leaf: Self);
    /// [`Sum::plus`] of 16. Only to be called, inlined, where the processor has AVX-512.
    #[cfg(target_arch = "x86_64")]
    fn plus_sixteen(sums: &mut [Self; 16], leaves: std::arch::x86_64::__m512);
}

impl Sum for f64 {
    #[inline(always)]
    fn of(leaf: f32) -> Self {
        Self::from(leaf)
    }

    #[inline(always)]
    fn plus(&mut self, leaf: Self) {
        *self += leaf;
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn plus_sixteen(sums: &mut [Self; 16], leaves: std::arch::x86_64::__m512) {
        sliced::avx512::plus_sixteen_f64(sums, leaves);
    }
}

impl Sum for f32 {
    #[inline(always)]
    fn of(leaf: f32) -> Self {
        leaf
    }

    #[inline(always)]
    fn plus(&mut self, leaf: Self) {
        *self += leaf;
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn plus_sixteen(sums: &mut [Self; 16], leaves: std::arch::x86_64::__m512) {
        sliced::avx512::plus_sixteen_f32(sums, leaves);
    }
}

/// What the processor has that a kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing: the flat form alone.
    Portable,
    Avx2,
    Avx512,
    /// AVX-512 with permutations of bytes: Ice Lake, Zen 4 and later.
    Vbmi,
    /// The same, and gathers are used: where they are loads side by side, see [`has_fast_gathers`].
    Gathers,
}

/// All that this processor has, the highest last.
pub(crate) fn levels() -> Vec<Level> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "no other levels"))]
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        let counts = std::is_x86_feature_detected!("popcnt");
        if counts && std::is_x86_feature_detected!("avx2") {
            levels.push(Level::Avx2);
        }
        if counts
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
        {
            levels.push(Level::Avx512);
            if std::is_x86_feature_detected!("avx512vbmi") {
                levels.extend([Level::Vbmi, Level::Gathers]);
            }
        }
    }
    levels
}

/// Whether a gather takes no longer than the loads that it stands for: on Intel's processors from
/// Sapphire Rapids on. Those before with VBMI (Cannon, Ice, Tiger and Rocket Lake) were slowed down
/// against Gather Data Sampling (CVE-2022-40982); on AMD's it is a program of its own (Zen 4: twice
/// the time).
#[cfg(target_arch = "x86_64")]
fn has_fast_gathers() -> bool {
    use std::arch::x86_64::__cpuid;
    const SLOWED: [u32; 8] = [0x66, 0x6a, 0x6c, 0x7d, 0x7e, 0x8c, 0x8d, 0xa7];
    let vendor = __cpuid(0);
    let vendor = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    let version = __cpuid(1).eax;
    let model = (version >> 4 & 0xf) | (version >> 12 & 0xf0);
    vendor.as_flattened() == b"GenuineIntel" && version >> 8 & 0xf == 6 && !SLOWED.contains(&model)
}

#[cfg(not(target_arch = "x86_64"))]
fn has_fast_gathers() -> bool {
    false
}

/// The highest level that pays, or what `STEMSON_KERNEL` (`portable`, `avx2`, `avx512`: without VBMI,
/// `vbmi`: without gathers) allows.
fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let most = match std::env::var("STEMSON_KERNEL").as_deref() {
            Ok("portable") => Level::Portable,
            Ok("avx2") => Level::Avx2,
            Ok("avx512") => Level::Avx512,
            Ok("vbmi") => Level::Vbmi,
            _ if has_fast_gathers() => Level::Gathers,
            _ => Level::Vbmi,
        };
        levels().into_iter().rfind(|&level| level <= most).unwrap_or(Level::Portable)
    })
}

/// Turns eight columns from `first` on of up to [`TILE`] rows.
///
/// `rows`: row-major, whole rows of `columns`, from the first of the tile on; the tile's last row
/// stands for those that it lacks. Columns behind the last one hold anything.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "what the processor has was asked for")
)]
pub(crate) fn turn(rows: &[f64], columns: usize, first: usize, to: &mut Columns) {
    let rows = RawRows::at(0, rows, columns);
    match level() {
        // SAFETY: a level is of those that `levels` found on this processor.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Vbmi | Level::Gathers => unsafe {
            sliced::avx512::turn(&rows, first, to);
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { sliced::avx2::turn(&rows, first, to) },
        _ => rows.turn(first, to),
    }
}

/// The forms of a model's trees, each built when the first rows ask for it.
#[derive(Debug)]
pub(crate) struct Kernels<S> {
    flat: OnceLock<Option<Flat>>,
    /// Without planes, and with.
    sliced: [OnceLock<Option<Sliced<S>>>; 2],
}

impl<S> Default for Kernels<S> {
    fn default() -> Self {
        Self { flat: OnceLock::new(), sliced: Default::default() }
    }
}

/// Buffers of one thread.
#[derive(Debug)]
pub(crate) struct Scratch<S> {
    keys: Vec<u32>,
    starts: Vec<Start>,
    /// Class by class, tile by tile.
    sums: Vec<[S; TILE]>,
    symbols: Vec<[u16; TILE]>,
    lanes: Vec<LaneTile>,
    codes: Vec<CodeTile>,
    masks: Option<Box<(Masks, Paths)>>,
    /// Tree by tree, tile by tile.
    paths: Vec<[u8; TILE]>,
    open: Open,
}

impl<S> Default for Scratch<S> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            starts: Vec::new(),
            sums: Vec::new(),
            symbols: Vec::new(),
            lanes: Vec::new(),
            codes: Vec::new(),
            masks: None,
            paths: Vec::new(),
            open: Open::default(),
        }
    }
}

/// The least number of rows for which tiles of 16 beat one row at a time.
const TILED_MIN: usize = 12;
/// The same where one row at a time uses gathers.
const GATHERED_TILED_MIN: usize = 600;
/// The least number of rows that pay for asking the upper part of deep trees all at once.
const DEEP_MIN: usize = 100;
/// The same where one row at a time uses gathers.
const GATHERED_DEEP_MIN: usize = 250;
/// Rows that walk through the lower part of a deep tree before the next: their keys and two trees lie
/// in the second level of cache.
const DEEP_BLOCK: usize = 1024;
/// The same where gathers are used, by the bytes of their keys: those processors have 2 MiB there.
const GATHERED_BYTES: usize = 5 << 18;
const GATHERED_MAX: usize = 8 * DEEP_BLOCK;
/// Tiles of a chunk: a group's tests stay in the first level of cache while it is asked.
const CHUNK: usize = 8;
/// Bytes of lanes and symbols of a chunk, at most, where it is more than one tile.
const CHUNK_BYTES: usize = 1 << 18;

/// Where sums are: row-major, `n x stride`, class `c` of a row at `first + c`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) stride: usize,
    pub(crate) first: usize,
}

impl<S: Sum> Kernels<S> {
    /// Bytes of the forms that have been built.
    pub(crate) fn memory_bytes(&self) -> usize {
        let flat = self.flat.get().and_then(Option::as_ref).map_or(0, Flat::memory_bytes);
        let sliced = self.sliced.iter().filter_map(|it| it.get()?.as_ref());
        flat + sliced.map(Sliced::memory_bytes).sum::<usize>()
    }

    /// Adds the leaves of `rows` (row-major, `n x columns`) to `sums`, in tree order.
    ///
    /// False, and nothing done, if the trees have no form that is fit for a kernel.
    pub(crate) fn add(
        &self,
        source: &impl Source,
        rows: &[f64],
        columns: usize,
        sums: &mut [S],
        places: Places,
        scratch: &mut Scratch<S>,
    ) -> bool {
        self.add_at(level(), source, rows, columns, sums, places, scratch)
    }

    /// The same, with no more than a level of the processor: all give the same bits.
    #[expect(clippy::too_many_arguments, reason = "those of `add` and one for tests")]
    pub(crate) fn add_at(
        &self,
        level: Level,
        source: &impl Source,
        rows: &[f64],
        columns: usize,
        sums: &mut [S],
        places: Places,
        scratch: &mut Scratch<S>,
    ) -> bool {
        let n = rows.len() / columns;
        let sliced_min = match level {
            Level::Portable => usize::MAX,
            Level::Avx2 | Level::Gathers => 28,
            Level::Avx512 | Level::Vbmi => 20,
        };
        let (deep_min, tiled_min) = match level {
            Level::Gathers => (GATHERED_DEEP_MIN, GATHERED_TILED_MIN),
            _ => (DEEP_MIN, TILED_MIN),
        };
        let planes = level >= Level::Vbmi;
        let flat = || self.flat.get_or_init(|| Flat::of(source)).as_ref();
        if n >= sliced_min
            && let Some(sliced) =
                self.sliced[usize::from(planes)].get_or_init(|| Sliced::of(source, planes))
            && (n >= deep_min || !sliced.has_deep())
        {
            let flat = if sliced.has_walks() { flat() } else { None };
            if flat.is_some() || !sliced.has_walks() {
                add_sliced(level, sliced, flat, rows, columns, sums, places, scratch);
                return true;
            }
        }
        let Some(flat) = flat() else { return false };
        if n < tiled_min {
            add_rows(level, flat, rows, columns, sums, places, scratch);
        } else {
            add_tiled(flat, rows, columns, sums, places, scratch);
        }
        true
    }
}

fn add_rows<S: Sum>(
    level: Level,
    flat: &Flat,
    rows: &[f64],
    columns: usize,
    sums: &mut [S],
    places: Places,
    scratch: &mut Scratch<S>,
) {
    scratch.keys.resize(flat.slots.len(), 0);
    for (row, sums) in rows.chunks_exact(columns).zip(sums.chunks_exact_mut(places.stride)) {
        flat.slots.fill_row(level, row, &mut scratch.keys);
        let sums = &mut sums[places.first..];
        flat.add_row(level, &scratch.keys, &mut scratch.starts, sums);
    }
}

/// Rows in blocks, a tree at a time: the tree stays in the cache.
fn add_tiled<S: Sum>(
    flat: &Flat,
    rows: &[f64],
    columns: usize,
    sums: &mut [S],
    places: Places,
    scratch: &mut Scratch<S>,
) {
    let blocks = rows.chunks(BLOCK * columns).zip(sums.chunks_mut(BLOCK * places.stride));
    for (rows, sums) in blocks {
        let tiles = (rows.len() / columns).div_ceil(TILE);
        fill_flat(flat, rows, columns, &mut scratch.keys);
        for class in 0..flat.classes() {
            take(&mut scratch.sums, tiles, sums, places, class);
            let own = scratch.sums.as_flattened_mut();
            let rows = scratch.keys.len() / flat.slots.len();
            flat.add_tiles(class, &scratch.keys, &mut own[..rows]);
            give(&scratch.sums, sums, places, class);
        }
    }
}

/// Rows of a block, whole tiles.
fn deep_block(level: Level, flat: &Flat) -> usize {
    match level {
        Level::Gathers => {
            let rows = GATHERED_BYTES / (flat.slots.len() * size_of::<u32>());
            rows.next_multiple_of(TILE).clamp(DEEP_BLOCK, GATHERED_MAX)
        }
        _ => DEEP_BLOCK,
    }
}

fn fill_rows(level: Level, flat: &Flat, rows: &[f64], columns: usize, keys: &mut Vec<u32>) {
    let width = flat.slots.len();
    keys.resize(rows.len() / columns * width, 0);
    let rows = rows.chunks_exact(columns).zip(keys.chunks_exact_mut(width));
    rows.for_each(|(row, keys)| flat.slots.fill_row(level, row, keys));
}

fn fill_flat(flat: &Flat, rows: &[f64], columns: usize, keys: &mut Vec<u32>) {
    let width = flat.slots.len() * ROWS;
    keys.resize((rows.len() / columns).div_ceil(ROWS) * width, 0);
    for (rows, tile) in rows.chunks(ROWS * columns).zip(keys.chunks_exact_mut(width)) {
        // Places without a row are walked, too: what another forest has left there may be no code of
        // this one.
        if rows.len() < ROWS * columns {
            tile.fill(0);
        }
        flat.slots.fill::<ROWS>(rows, columns, tile);
    }
}

/// The sums of a class, side by side.
fn take<S: Sum>(own: &mut Vec<[S; TILE]>, tiles: usize, sums: &[S], places: Places, class: usize) {
    own.resize(tiles, [S::default(); TILE]);
    let each = own.as_flattened_mut().iter_mut().zip(sums.chunks_exact(places.stride));
    each.for_each(|(own, sums)| *own = sums[places.first + class]);
}

fn give<S: Sum>(own: &[[S; TILE]], sums: &mut [S], places: Places, class: usize) {
    let each = own.as_flattened().iter().zip(sums.chunks_exact_mut(places.stride));
    each.for_each(|(own, sums)| sums[places.first + class] = *own);
}

#[expect(clippy::too_many_arguments, reason = "what `add` is given, and what it chose")]
fn add_sliced<S: Sum>(
    level: Level,
    sliced: &Sliced<S>,
    flat: Option<&Flat>,
    rows: &[f64],
    columns: usize,
    sums: &mut [S],
    places: Places,
    scratch: &mut Scratch<S>,
) {
    let (n_symbols, n_lanes, n_codes) = (sliced.symbols(), sliced.lanes(), sliced.codes());
    let tile_bytes = n_symbols * 2 * TILE + n_lanes * TILE + n_codes * size_of::<CodeTile>();
    let chunk = match flat {
        Some(flat) if sliced.has_deep() => deep_block(level, flat),
        _ => (CHUNK_BYTES / tile_bytes.max(1)).clamp(1, CHUNK) * TILE,
    };
    let all = rows;
    let chunks = all.chunks(chunk * columns).zip(sums.chunks_mut(chunk * places.stride));
    for (from, (rows, sums)) in (0..).step_by(chunk).zip(chunks) {
        let tiles = (rows.len() / columns).div_ceil(TILE);
        scratch.symbols.resize(tiles * n_symbols, [0; TILE]);
        scratch.lanes.resize(tiles * n_lanes, LaneTile([0; TILE]));
        scratch.codes.resize(tiles * n_codes, CodeTile::default());
        for tile in 0..tiles {
            let own = RawRows::at(from + tile * TILE, all, columns);
            let symbols = &mut scratch.symbols[tile * n_symbols..][..n_symbols];
            let lanes = &mut scratch.lanes[tile * n_lanes..][..n_lanes];
            let codes = &mut scratch.codes[tile * n_codes..][..n_codes];
            fill_sliced(level, sliced, &own, symbols, lanes, codes);
        }
        if let Some(flat) = flat {
            fill_rows(level, flat, rows, columns, &mut scratch.keys);
        }
        for (class, items) in sliced.items.iter().enumerate() {
            take(&mut scratch.sums, tiles, sums, places, class);
            for item in items {
                add_item(level, sliced, item, class, flat, scratch);
            }
            give(&scratch.sums, sums, places, class);
        }
    }
}

/// Adds the leaves of some trees to the sums of their class, of all rows that are encoded.
fn add_item<S: Sum>(
    level: Level,
    sliced: &Sliced<S>,
    item: &Item<S>,
    class: usize,
    flat: Option<&Flat>,
    scratch: &mut Scratch<S>,
) {
    let Scratch { keys, sums, symbols, lanes, codes, masks, paths, open, .. } = scratch;
    let tile = |at: usize| Tile {
        symbols: &symbols[at * sliced.symbols()..][..sliced.symbols()],
        lanes: &lanes[at * sliced.lanes()..][..sliced.lanes()],
        codes: &codes[at * sliced.codes()..][..sliced.codes()],
    };
    let (masks, found) = &mut **masks.get_or_insert_with(Box::default);
    let tiles = sums.len();
    match (item, flat) {
        (Item::Group(group), _) => {
            for (at, sums) in sums.iter_mut().enumerate() {
                find_paths(level, group, tile(at), masks, found);
                add_leaves(level, group, found, sums);
            }
        }
        (Item::Deep(group, first), Some(flat)) => {
            // By tree: each is walked by all rows before the next.
            paths.resize(group.trees * tiles, [0; TILE]);
            for at in 0..tiles {
                find_paths(level, group, tile(at), masks, found);
                let own = paths.iter_mut().skip(at).step_by(tiles);
                own.zip(&found.0).for_each(|(own, found)| *own = *found);
            }
            let sums = &mut sums.as_flattened_mut()[..keys.len() / flat.slots.len()];
            for (tree, paths) in (*first..).zip(paths.chunks_exact(tiles)) {
                let paths = Some(&paths.as_flattened()[..sums.len()]);
                flat.add_from(level, class, tree, paths, keys, open, sums);
            }
        }
        (Item::Walk(trees), Some(flat)) => {
            let sums = &mut sums.as_flattened_mut()[..keys.len() / flat.slots.len()];
            for tree in trees.clone() {
                flat.add_from(level, class, tree, None, keys, open, sums);
            }
        }
        (Item::Deep(..) | Item::Walk(_), None) => unreachable!("walks have a flat form"),
    }
}

#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "what the processor has was asked for")
)]
fn fill_sliced<S: Sum>(
    level: Level,
    sliced: &Sliced<S>,
    rows: &RawRows<'_>,
    symbols: &mut [[u16; TILE]],
    lanes: &mut [LaneTile],
    codes: &mut [CodeTile],
) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Vbmi | Level::Gathers => {
            // SAFETY: a level is of those that `levels` found on this processor.
            unsafe { sliced::avx512::fill(sliced, rows, symbols, lanes, codes) }
        }
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { sliced::avx2::fill(sliced, rows, symbols, lanes, codes) },
        _ => unreachable!(
            "the sliced form is for vectors: {:?}",
            (sliced, rows, symbols, lanes, codes)
        ),
    }
}

#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "what the processor has was asked for")
)]
fn find_paths<S: Sum>(
    level: Level,
    group: &sliced::Group<S>,
    tile: Tile<'_>,
    masks: &mut Masks,
    paths: &mut Paths,
) {
    match level {
        // SAFETY: a level is of those that `levels` found on this processor.
        #[cfg(target_arch = "x86_64")]
        Level::Vbmi | Level::Gathers => unsafe {
            sliced::avx512::find_by_planes(group, tile, masks, paths);
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { sliced::avx512::find(group, tile, masks, paths) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { sliced::avx2::find(group, tile, masks, paths) },
        _ => unreachable!("the sliced form is for vectors: {:?}", (group, tile, masks, paths)),
    }
}

#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "what the processor has was asked for")
)]
fn add_leaves<S: Sum>(level: Level, group: &sliced::Group<S>, paths: &Paths, sums: &mut [S; TILE]) {
    match level {
        // SAFETY: a level is of those that `levels` found on this processor.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Vbmi | Level::Gathers => unsafe {
            sliced::avx512::add_leaves(group, paths, sums);
        },
        _ => sliced::add_leaves(group, paths, sums),
    }
}
