//! Counts what a thread allocates, in every test of this binary.
//!
//! The number of allocations stands in for time: a loop that a file's number drives, such as
//! asking for a thousand million entries, builds a name in every turn.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Beyond this an input under measurement gets no memory at all, so that a mistake ends this
/// process and not its machine.
const LIVE_BYTES_END: usize = 3 << 30;
const ALLOCATIONS_END: u64 = 100_000_000;

struct Counting;

thread_local! {
    static USE: Cell<Option<Usage>> = const { Cell::new(None) };
}

/// What was allocated since the measurement began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    live: isize,
    /// Bytes held at the same time, at most.
    pub(super) peak_bytes: usize,
    /// Calls to the allocator.
    pub(super) allocations: u64,
    /// Said before the process dies for want of memory.
    case: u64,
}

/// What `work` allocates. `case`: its number, for the last words.
pub(super) fn measure<T>(case: u64, work: impl FnOnce() -> T) -> (T, Usage) {
    USE.set(Some(Usage { case, ..Usage::default() }));
    let result = work();
    (result, USE.take().unwrap_or_default())
}

/// Whether so many bytes more may be had.
fn count(more: usize, less: usize) -> bool {
    let Some(before) = USE.try_with(Cell::get).ok().flatten() else { return true };
    let mut usage = before;
    usage.live += more.cast_signed() - less.cast_signed();
    let live = usize::try_from(usage.live).unwrap_or(0);
    usage.peak_bytes = usage.peak_bytes.max(live);
    usage.allocations += u64::from(more > 0);
    if more == 0 || (live < LIVE_BYTES_END && usage.allocations < ALLOCATIONS_END) {
        USE.set(Some(usage));
        return true;
    }
    // Printing may allocate.
    USE.set(None);
    let Usage { case, allocations, live, .. } = before;
    eprintln!("case {case}: {more} bytes refused, {live} held, {allocations} allocations");
    USE.set(Some(Usage { live, ..usage }));
    false
}

#[expect(unsafe_code, reason = "an allocator cannot be written otherwise; tests only")]
// SAFETY: every call goes to the system's allocator with the arguments that came, or is refused
// with null, which the trait allows. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !count(size, layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}
