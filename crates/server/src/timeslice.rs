//! How long threads run at a stretch where others want their core.
//!
//! A thread that wakes up waits for the end of the slice of the one that runs, if that is nicer but has
//! just begun: the reactor for one that loads or computes, up to 4 ms at a time. Since Linux 6.12 a
//! thread may ask for slices of its own: who has short ones is taken at once when it wakes up, and gets
//! no more of the core than before.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "no library that we know of has a safe face for these two calls")]

use std::io;

use libc::{SYS_sched_getattr, SYS_sched_setattr, c_long, c_ulong, sched_attr, syscall};

/// The shortest that Linux grants.
const SHORT_NS: u64 = 100_000;

/// Asks for the shortest slices for this thread; those that it starts have ordinary ones.
///
/// # Errors
/// If the system does not let it. A Linux before 6.12 does nothing, and says so to nobody.
pub(crate) fn shorten() -> io::Result<()> {
    let mut attributes = attributes()?;
    attributes.sched_runtime = SHORT_NS;
    attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
    // SAFETY: the kernel reads what `attributes` says it has, which it has just written.
    let refused = unsafe {
        syscall(SYS_sched_setattr, c_long::from(0), &raw const attributes, c_ulong::from(0_u8))
    };
    if refused == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Those of this thread. `sched_runtime` is its slice, 0 where it can have none of its own.
fn attributes() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = size_of_val(&attributes) as c_ulong;
    // SAFETY: the kernel writes no more than `size` bytes, and any bytes are such attributes.
    let refused = unsafe {
        let to = &raw mut attributes;
        syscall(SYS_sched_getattr, c_long::from(0), to, size, c_ulong::from(0_u8))
    };
    if refused == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_short_for_a_thread_and_not_for_those_that_it_starts() {
        let slice = || attributes().expect("attributes").sched_runtime;
        let slices = std::thread::spawn(move || {
            let before = slice();
            shorten().expect("anybody may");
            [before, slice(), std::thread::spawn(slice).join().expect("a slice")]
        });
        let [before, after, started] = slices.join().expect("slices");
        // None before Linux 6.12.
        assert_eq!(after, if before == 0 { 0 } else { SHORT_NS });
        assert_eq!(started, before);
    }
}
