//! The data folder: what survives the process.
//!
//! `artifacts/<sha256>.zip`, never changed once there, and `state.db`, a `SQLite` database. An artifact is
//! there before the database names it, and a change is in the database before anybody sees it,
//! so whenever the process is killed, its successor finds the old state or the new one.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use stemson_mojo::Digest;
use stemson_serving::{DeploymentState, Event, Journal, JournalError, ModelName};
use tempfile::{NamedTempFile, TempDir};

use crate::state;

/// The data folder of one server.
#[derive(Debug)]
pub(crate) struct Store {
    artifacts: PathBuf,
    database: Mutex<Connection>,
    /// Locked as long as it is open.
    _lock: File,
    /// Goes with the server, where no folder was named.
    _temporary: Option<TempDir>,
}

/// Why the data folder cannot be used, or an artifact in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Two servers would write over each other.
    #[error("the data folder {} belongs to another server{}", folder.display(), pid(owner))]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Its process, if it said so.
        owner: String,
    },
    /// The system does not let us.
    #[error("cannot write to {}: {cause}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The system does not let us.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The artifact was kept once, and is not any more.
    #[error("the artifact {digest} is no longer kept ([server] keep_revisions): deploy it again")]
    Gone {
        /// Of the artifact.
        digest: Digest,
    },
    /// Somebody wrote into an artifact.
    #[error("{} holds other bytes than its name says: their SHA-256 is {found}", path.display())]
    Altered {
        /// The artifact.
        path: PathBuf,
        /// Of the bytes.
        found: Digest,
    },
    /// The database does not do it.
    #[error("{}: {cause}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        cause: String,
    },
}

fn pid(owner: &str) -> String {
    if owner.is_empty() { String::new() } else { format!(" (process {owner})") }
}

impl StoreError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "data_dir_in_use",
            Self::Write { .. } => "data_dir_not_writable",
            Self::Read { .. } => "data_dir_unreadable",
            Self::Gone { .. } => "artifact_gone",
            Self::Altered { .. } => "artifact_altered",
            Self::Database { .. } => "state_unusable",
        }
    }

    fn write(path: &Path, cause: &io::Error) -> Self {
        Self::Write { path: path.to_owned(), cause: cause.to_string() }
    }

    fn read(path: &Path, cause: &io::Error) -> Self {
        Self::Read { path: path.to_owned(), cause: cause.to_string() }
    }
}

/// Artifacts on their way in begin so; what a killed process has left of them is removed.
const PARTIAL: &str = ".partial-";

impl Store {
    /// Opens the folder, makes what is missing, and locks it. Without a folder it is a temporary one.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self, StoreError> {
        let temporary = match folder {
            Some(_) => None,
            None => {
                let made = tempfile::Builder::new().prefix("stemson-data-").tempdir();
                Some(made.map_err(|cause| StoreError::write(&std::env::temp_dir(), &cause))?)
            }
        };
        let folder = match (folder, &temporary) {
            (Some(folder), _) => folder.to_owned(),
            (None, temporary) => {
                temporary.as_ref().map(|made| made.path().to_owned()).unwrap_or_default()
            }
        };
        let artifacts = folder.join("artifacts");
        fs::create_dir_all(&artifacts).map_err(|cause| StoreError::write(&artifacts, &cause))?;
        let lock = lock(&folder)?;
        sweep(&artifacts)?;
        let path = folder.join("state.db");
        let database = state::open(&path, temporary.is_some())
            .map_err(|cause| StoreError::Database { path, cause })?;
        Ok(Self { artifacts, database: Mutex::new(database), _lock: lock, _temporary: temporary })
    }

    /// Keeps an artifact, whole or not at all.
    pub(crate) fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(digest);
        if path.metadata().is_ok_and(|there| there.len() == bytes.len() as u64) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.artifacts)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            NamedTempFile::persist(file, &path).map_err(|failed| failed.error)?;
            // The name must survive as well as the bytes.
            File::open(&self.artifacts)?.sync_all()
        };
        write().map_err(|cause| StoreError::write(&path, &cause))
    }

    /// The bytes of an artifact, checked against its digest.
    pub(crate) fn artifact(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Gone { digest: *digest });
            }
            Err(cause) => return Err(StoreError::read(&path, &cause)),
        }
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(StoreError::Altered { path, found }) }
    }

    /// Removes all artifacts but these.
    pub(crate) fn retain(&self, wanted: &BTreeSet<Digest>) {
        let Ok(entries) = fs::read_dir(&self.artifacts) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".zip")?.parse().ok());
            // Files that are not ours are left alone.
            if digest.is_some_and(|digest: Digest| !wanted.contains(&digest)) {
                // What cannot be removed now is removed after a later swap.
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// Every deployment as it was last, with its newest events.
    pub(crate) fn deployments(
        &self,
    ) -> Result<Vec<(ModelName, DeploymentState, Vec<Event>)>, StoreError> {
        state::read(&self.database()).map_err(|cause| self.failed(cause))
    }

    /// The digest that the configuration named last for a model.
    pub(crate) fn configured(&self, name: &ModelName) -> Result<Option<Digest>, StoreError> {
        state::configured(&self.database(), name).map_err(|cause| self.failed(cause))
    }

    /// Remembers the digest that the configuration names for a model.
    pub(crate) fn set_configured(
        &self,
        name: &ModelName,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        state::set_configured(&self.database(), name, digest).map_err(|cause| self.failed(cause))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.artifacts.join(format!("{digest}.zip"))
    }

    fn failed(&self, cause: String) -> StoreError {
        StoreError::Database { path: self.artifacts.with_file_name("state.db"), cause }
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Store {
    fn record(
        &self,
        name: &ModelName,
        state: &DeploymentState,
        event: &Event,
    ) -> Result<(), JournalError> {
        state::record(&mut self.database(), name, state, event)
            .map_err(|cause| JournalError(self.failed(cause).to_string()))
    }
}

/// Takes the folder's lock, which goes with the process however it ends.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let failed = |cause: &io::Error| StoreError::write(&path, cause);
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|cause| failed(&cause))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(StoreError::Locked { folder: folder.to_owned(), owner });
        }
        Err(TryLockError::Error(cause)) => return Err(failed(&cause)),
    }
    // For the message above; nothing depends on it.
    drop(file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())));
    Ok(file)
}

/// Removes what a killed process has left of artifacts on their way in.
fn sweep(artifacts: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(artifacts).map_err(|cause| StoreError::read(artifacts, &cause))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(entry.path())
                .map_err(|cause| StoreError::write(&entry.path(), &cause))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_kept_whole_and_checked_when_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let digest = Digest::of(b"abc");
        {
            let store = Store::open(Some(folder.path())).expect("a store");
            store.keep(&digest, b"abc").expect("kept");
            store.keep(&digest, b"abc").expect("kept already");
            assert_eq!(store.artifact(&digest).expect("there"), b"abc");
            let other = Store::open(Some(folder.path())).expect_err("taken");
            assert!(other.to_string().contains(&std::process::id().to_string()), "{other}");
            let gone = store.artifact(&Digest::of(b"x")).expect_err("never there");
            assert_eq!(gone.kind(), "artifact_gone");
        }
        let artifacts = folder.path().join("artifacts");
        fs::write(artifacts.join(".partial-1"), "ab").expect("a file");
        fs::write(artifacts.join("notes.txt"), "ours").expect("a file");
        fs::write(artifacts.join(format!("{digest}.zip")), "abd").expect("a file");
        let store = Store::open(Some(folder.path())).expect("free again");
        assert!(!artifacts.join(".partial-1").exists());
        let altered = store.artifact(&digest).expect_err("other bytes");
        assert_eq!(altered.kind(), "artifact_altered");
        store.retain(&BTreeSet::new());
        assert!(artifacts.join("notes.txt").exists());
        assert!(!artifacts.join(format!("{digest}.zip")).exists());
    }

    #[test]
    fn a_temporary_folder_goes_with_its_server() {
        let store = Store::open(None).expect("a store");
        let folder = store.artifacts.clone();
        assert!(folder.exists());
        drop(store);
        assert!(!folder.exists());
    }
}
