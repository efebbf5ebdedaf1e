//! A Redis of one's own, and a proxy in front of it that can be slow or rude.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running `redis-server` on a free port, without persistence; gone when dropped.
pub(crate) struct PrivateRedis {
    server: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PrivateRedis {
    /// `settings`: as on the command line, `["--maxmemory", "2mb"]`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let server = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there: `cargo xtask test` installs it");
        let started = Self { server, port, _folder: folder };
        let until = Instant::now() + Duration::from_secs(30);
        while !started.answers() {
            assert!(Instant::now() < until, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        started
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> bool {
        let asked = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(answer == *b"+PONG\r\n")
        };
        asked().unwrap_or(false)
    }

    /// A command of one's own.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&[u8]]) -> T {
        let mut cmd = redis::Cmd::new();
        command.iter().for_each(|word| {
            cmd.arg(*word);
        });
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_connection().expect("a connection");
        cmd.query(&mut connection).expect("an answer")
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.run(&[b"KEYS", b"*"])
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.server.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// What a proxy does with what a server says.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Slow(Duration),
    /// Every other answer is a broken connection.
    Resetting,
}

/// A listener in front of a server. Its threads end with their connections.
pub(crate) struct Proxy {
    port: u16,
}

impl Proxy {
    pub(crate) fn start(server: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let answers = Arc::<AtomicU64>::default();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                let (Ok(back), Ok(behind)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let answers = Arc::clone(&answers);
                std::thread::spawn(move || pass(client, server, || true));
                std::thread::spawn(move || {
                    pass(behind, back, || match manner {
                        Manner::Slow(delay) => {
                            std::thread::sleep(delay);
                            true
                        }
                        Manner::Resetting => {
                            !answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
                        }
                    });
                });
            }
        });
        Self { port }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut goes_on: impl FnMut() -> bool) {
    let mut bytes = [0; 4096];
    while let Ok(n) = from.read(&mut bytes) {
        if n == 0 || !goes_on() || to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
