//! Resident memory of a server that runs on this machine, found by the port it listens on.

use std::fs;
use std::net::SocketAddr;

/// Bytes; `None` where the server is elsewhere or may not be looked at.
pub(super) fn resident_bytes(address: SocketAddr) -> Option<u64> {
    if !address.ip().is_loopback() {
        return None;
    }
    let socket = format!("socket:[{}]", listener(address.port())?);
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        if links.into_iter().any(|link| link.to_str() == Some(&socket)) {
            let status = fs::read_to_string(process.path().join("status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            return Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024);
        }
    }
    None
}

/// The inode of the socket that listens on a port.
fn listener(port: u16) -> Option<String> {
    /// As `/proc/net/tcp` writes LISTEN.
    const LISTEN: &str = "0A";
    let end = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&end) && *fields.get(3)? == LISTEN;
            is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_this_process_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = resident_bytes(listener.local_addr().unwrap()).unwrap();
        assert!(found > 1 << 20, "{found}");
        assert_eq!(resident_bytes("192.0.2.1:80".parse().unwrap()), None);
    }
}
