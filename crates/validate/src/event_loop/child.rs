//! The application's process: started with the shim, watched until it answers, ended with us.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::tape::Tape;
use super::{EventLoopError, Settings};

const SHIM: &str = include_str!("shim.py");

/// What the process says of itself when the application has started.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) port: u16,
    /// `asyncio` or `uvloop`.
    #[serde(rename = "loop")]
    pub(super) event_loop: String,
    pub(super) python: String,
    pub(super) uvicorn: String,
    /// Whether the kernel counts how long a thread waits for a processor.
    pub(super) run_queue: bool,
    /// Folders of the standard library and of installed packages.
    pub(super) foreign: Vec<String>,
    /// Where the application's module lies.
    pub(super) own: Option<String>,
    pub(super) openapi: Option<Value>,
}

/// A running application.
pub(super) struct App {
    child: Child,
    folder: tempfile::TempDir,
    pub(super) ready: Ready,
}

impl App {
    /// Starts the application and waits until it has started up.
    pub(super) fn start(settings: &Settings) -> Result<(Self, Tape), EventLoopError> {
        let setup = |cause: std::io::Error| EventLoopError::Setup { cause };
        let folder = tempfile::Builder::new().prefix("stemson-").tempdir().map_err(setup)?;
        let path = |name: &str| folder.path().join(name);
        let tape = Tape::create(&path("tape")).map_err(setup)?;
        std::fs::write(path("stemson_event_loop.py"), SHIM).map_err(setup)?;
        let log = std::fs::File::create(path("log")).map_err(setup)?;
        let app_dir = std::path::absolute(&settings.app_dir).map_err(setup)?;
        let threshold = settings.threshold.as_nanos() as u64;
        let arguments = json!({
            "app": settings.app,
            "app_dir": app_dir,
            "factory": settings.factory,
            "loop": settings.event_loop,
            "tape": path("tape"),
            "ready": path("ready"),
            "stacks": path("stacks"),
            "beat_ns": (threshold / 4).clamp(1_000_000, 5_000_000),
            "long_ns": threshold / 2,
        });
        let child = Command::new(&settings.python)
            .arg(path("stemson_event_loop.py"))
            .arg(arguments.to_string())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(setup)?)
            .stderr(log)
            .spawn()
            .map_err(|cause| EventLoopError::Python { python: settings.python.clone(), cause })?;
        let mut starting = Starting { child: Some(child), folder: folder.path().to_owned() };
        let ready = starting.wait(settings)?;
        let child = starting.child.take().ok_or_else(|| starting.refused(settings))?;
        Ok((Self { child, folder, ready }, tape))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stacks that the process sampled itself.
    pub(super) fn stacks(&self) -> PathBuf {
        self.folder.path().join("stacks")
    }

    /// The end of what it printed.
    pub(super) fn last_words(&self) -> String {
        last_words(self.folder.path())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A process that is not ready yet; ended when waiting for it fails.
struct Starting {
    child: Option<Child>,
    folder: PathBuf,
}

impl Starting {
    fn wait(&mut self, settings: &Settings) -> Result<Ready, EventLoopError> {
        let until = Instant::now() + settings.startup_max;
        loop {
            if let Ok(text) = std::fs::read(self.folder.join("ready")) {
                return serde_json::from_slice(&text)
                    .map_err(|cause| EventLoopError::Setup { cause: cause.into() });
            }
            let gone =
                self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if gone {
                return Err(self.refused(settings));
            }
            if Instant::now() > until {
                return Err(EventLoopError::Slow {
                    app: settings.app.clone(),
                    seconds: settings.startup_max.as_secs(),
                    said: last_words(&self.folder),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn refused(&self, settings: &Settings) -> EventLoopError {
        let said = last_words(&self.folder);
        if said.contains("No module named 'uvicorn'") {
            return EventLoopError::NoUvicorn { python: settings.python.clone() };
        }
        EventLoopError::NotStarted { app: settings.app.clone(), said }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// Nothing that the application would do at its end is asked for: it is ended at once.
fn end(child: &mut Child) {
    // It may have ended by itself; then there is nothing to do.
    if child.kill().is_ok() {
        drop(child.wait());
    }
}

fn last_words(folder: &Path) -> String {
    let log = std::fs::read(folder.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
