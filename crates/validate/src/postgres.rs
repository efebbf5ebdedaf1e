//! A PostgreSQL of one's own: made in a temporary folder, gone when dropped.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the server may take to accept connections.
const START_MAX: Duration = Duration::from_mins(1);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The programs are not on this machine.
    #[error(
        "no PostgreSQL server programs here: neither on the PATH nor under /usr/lib/postgresql; \
         install them (Debian: `apt-get install postgresql`), or name a server with --database"
    )]
    NotInstalled,
    /// A program does not do its work.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// What it printed, or what the system says.
        said: String,
    },
}

/// A running server on a free port of the loopback, with one user `postgres` without a password.
///
/// Started as root it runs as `postgres`, else as `nobody`: the server refuses to be root.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl PrivatePostgres {
    /// Starts a server. `settings`: as in `postgresql.conf`, `("shared_buffers", "256MB")`.
    ///
    /// # Errors
    /// The programs are missing or do not work.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self, PostgresError> {
        let programs = programs().ok_or(PostgresError::NotInstalled)?;
        let owner = rustix::process::geteuid().is_root().then(owner).flatten();
        let system = |cause: std::io::Error| PostgresError::Failed {
            program: "initdb",
            said: cause.to_string(),
        };
        let folder =
            tempfile::Builder::new().prefix("stemson-postgres-").tempdir().map_err(system)?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).map_err(system)?;
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(folder.path()).stdin(Stdio::null());
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command
        };
        let data = folder.path().join("data");
        let made = program("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"])
            .arg("--no-sync")
            .arg("--pgdata")
            .arg(&data)
            .output()
            .map_err(system)?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            return Err(PostgresError::Failed { program: "initdb", said });
        }
        let port = free_port().map_err(system)?;
        let log = std::fs::File::create(folder.path().join("log")).map_err(system)?;
        let mut command = program("postgres");
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let server = command.stdout(Stdio::null()).stderr(log).spawn().map_err(system)?;
        let url = format!("postgresql://postgres@127.0.0.1:{port}/postgres");
        let mut started = Self { server, url, folder };
        started.wait(port)?;
        Ok(started)
    }

    /// `postgresql://postgres@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn wait(&mut self, port: u16) -> Result<(), PostgresError> {
        let until = Instant::now() + START_MAX;
        let log = self.folder.path().join("log");
        loop {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            // The port is bound before the server takes sessions; the log says when it does.
            if said().contains("ready to accept connections")
                && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            {
                return Ok(());
            }
            let ended = !matches!(self.server.try_wait(), Ok(None));
            if ended || Instant::now() > until {
                let said = said().trim().to_owned();
                return Err(PostgresError::Failed { program: "postgres", said });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // SIGINT: sessions are cut, and the server ends in good order.
        let asked = Pid::from_raw(self.server.id().cast_signed())
            .is_some_and(|pid| kill_process(pid, Signal::INT).is_ok());
        if !asked {
            drop(self.server.kill());
        }
        drop(self.server.wait());
    }
}

/// The folder of the newest server programs.
fn programs() -> Option<PathBuf> {
    let is_there =
        |folder: &Path| folder.join("initdb").exists() && folder.join("postgres").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find(|folder| is_there(folder)) {
        return Some(found);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, folder)| (version, folder.join("bin")))
        .filter(|(_, folder)| is_there(folder))
        .collect();
    versions.sort();
    versions.pop().map(|(_, folder)| folder)
}

/// User and group that the server runs as where we are root.
fn owner() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    })
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
