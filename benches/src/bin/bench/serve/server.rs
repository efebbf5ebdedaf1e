//! A server under test: a process with all that it starts, on a core of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::load::once;
use super::wire::Ask;
use crate::Failure;

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which core is whose: servers take the first that we may use, the generator the last.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    server: CpuSet,
    generator: CpuSet,
    all: CpuSet,
}

impl Cores {
    /// Puts this process on the generator's core.
    ///
    /// # Errors
    /// If there is only one: then generator and server would measure each other.
    pub(super) fn part() -> Result<Self, Failure> {
        let own = Pid::from_raw(0);
        let all = sched_getaffinity(own)?;
        let of = |core: Option<usize>| -> Result<CpuSet, Failure> {
            let mut set = CpuSet::new();
            set.set(core.ok_or("no core may be used")?)?;
            Ok(set)
        };
        let mut usable = (0..CpuSet::count()).filter(|core| all.is_set(*core).unwrap_or(false));
        let (first, last) = (usable.next(), usable.next_back());
        if last.is_none() {
            return Err("two cores are needed: one for the server, one for the generator".into());
        }
        let cores = Self { server: of(first)?, generator: of(last)?, all };
        sched_setaffinity(own, &cores.generator)?;
        Ok(cores)
    }

    /// Starts a command where servers run: a child stays where it began.
    fn spawn(&self, command: &mut Command, is_wide: bool) -> Result<Child, Failure> {
        let own = Pid::from_raw(0);
        sched_setaffinity(own, if is_wide { &self.all } else { &self.server })?;
        let child = command.spawn();
        sched_setaffinity(own, &self.generator)?;
        Ok(child?)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // Whoever measures next may use all again.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.all);
    }
}

/// A running server. Ended with all its children when dropped.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) http: SocketAddr,
    pub(super) grpc: Option<SocketAddr>,
    /// From its start to the first answer to a health check.
    pub(super) started: Duration,
    group: Pid,
    child: Child,
}

impl Server {
    /// Starts `command` and waits until `health` is answered with 200.
    ///
    /// # Errors
    /// If it ends before, or takes too long; with the path of what it printed.
    pub(super) fn start(
        cores: &Cores,
        name: &str,
        mut command: Command,
        (http, grpc): (SocketAddr, Option<SocketAddr>),
        (health, log): (&str, &Path),
        is_wide: bool,
    ) -> Result<Self, Failure> {
        let printed = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(printed).process_group(0);
        let begun = Instant::now();
        let child =
            cores.spawn(&mut command, is_wide).map_err(|cause| format!("{name}: {cause}"))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let started = Duration::ZERO;
        let mut server = Self { name: name.to_owned(), http, grpc, started, group, child };
        loop {
            if once(http, &Ask::get(health)).is_ok_and(|(status, _)| status == 200) {
                server.started = begun.elapsed();
                return Ok(server);
            }
            let has_ended = server.child.try_wait()?.is_some();
            if has_ended || begun.elapsed() > PATIENCE {
                let why = if has_ended { "ended" } else { "is not ready in time" };
                return Err(format!("{name} {why}; see {}", log.display()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processor time of all its processes so far.
    pub(super) fn processor(&self) -> Duration {
        let spent = |pid: &Pid| {
            let time = clock_gettime(clock_getcpuclockid(*pid).ok()?).ok()?;
            Some(Duration::new(u64::try_from(time.tv_sec()).ok()?, time.tv_nsec() as u32))
        };
        self.processes().iter().filter_map(spent).sum()
    }

    /// Processor time of the thread that it began with so far: of ours, the one that does not compute.
    pub(super) fn first_thread(&self) -> Duration {
        let group = self.group;
        let text = std::fs::read_to_string(format!("/proc/{group}/task/{group}/schedstat"));
        let ns = text.ok().and_then(|text| text.split(' ').next()?.parse().ok());
        Duration::from_nanos(ns.unwrap_or(0))
    }

    /// Resident memory of all its processes.
    pub(super) fn resident_bytes(&self) -> u64 {
        let resident = |pid: &Pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        self.processes().iter().filter_map(resident).sum::<u64>() * 1024
    }

    /// How often its threads have had to leave the core so far, or have left it to wait.
    pub(super) fn switches(&self) -> u64 {
        let pids = self.processes();
        let tasks = pids.iter().flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")));
        let texts = tasks
            .flatten()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let count = |text: String| {
            let lines = text.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
            lines.filter_map(|(_, n)| n.trim().parse::<u64>().ok()).sum::<u64>()
        };
        texts.map(count).sum()
    }

    /// It and all that it started: one process group.
    fn processes(&self) -> Vec<Pid> {
        let folder = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let own = |pid: &Pid| nix::unistd::getpgid(Some(*pid)).is_ok_and(|it| it == self.group);
        pids.map(Pid::from_raw).filter(own).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Whatever did not listen, children too.
        let _ = killpg(self.group, Signal::SIGKILL);
        drop(self.child.wait());
    }
}

/// An address at which nobody listens.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
