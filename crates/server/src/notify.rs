//! Tells systemd how far the server is: `READY=1`, `RELOADING=1`, `STOPPING=1`, `WATCHDOG=1`, as
//! `sd_notify(3)` says. Without `NOTIFY_SOCKET` in the environment nothing happens.

/// Says `state` to whoever started the process.
#[cfg(target_os = "linux")]
pub(crate) fn say(state: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(cause) = sent {
        tracing::warn!("systemd does not hear `{state}`: {cause}");
    }
}

/// Says that files are read again; `READY=1` says that this is over. The time tells one reload from
/// another.
#[cfg(target_os = "linux")]
pub(crate) fn reloading() {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Nobody to tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn reloading() {}

/// Nobody to tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn say(_state: &str) {}

/// How often systemd wants to hear that we live: half of what it waits.
pub(crate) fn watchdog() -> Option<std::time::Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_ours)?;
    Some(std::time::Duration::from_micros(micros / 2))
}
