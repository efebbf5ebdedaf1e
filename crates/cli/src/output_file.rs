//! A file that appears whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Writes beside the target: to a file without a name where the system has such, so that nothing
/// is left whatever ends the process, else under a temporary name, which goes away when this is
/// dropped.
pub(crate) enum OutputFile {
    #[cfg(target_os = "linux")]
    Nameless {
        file: fs::File,
        target: PathBuf,
    },
    New {
        file: NamedTempFile,
        target: PathBuf,
    },
    /// A pipe or a device: nothing to rename to.
    Special(fs::File),
}

impl OutputFile {
    /// Begins a file that will stand at `target`.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        if let Ok(found) = fs::metadata(target)
            && !found.is_file()
        {
            if found.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            return fs::OpenOptions::new().write(true).open(target).map(Self::Special);
        }
        // The file that a link points to is replaced, not the link.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        if !folder(&target).is_dir() {
            let missing = format!("{} is no folder: make it first", folder(&target).display());
            return Err(io::Error::new(io::ErrorKind::NotFound, missing));
        }
        #[cfg(target_os = "linux")]
        if let Some(file) = nameless::create(folder(&target), &target) {
            return Ok(Self::Nameless { file, target });
        }
        named(&target, |builder| builder.tempfile_in(folder(&target)))
            .map(|file| Self::New { file, target })
    }

    /// Puts the finished file where it belongs.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless { file, target } => {
                let link = |path: &Path| nameless::link(&file, path);
                let file = named(&target, |builder| builder.make_in(folder(&target), link))?;
                file.persist(target).map_err(|error| error.error)?;
                Ok(())
            }
            Self::New { file, target } => {
                file.persist(target).map_err(|error| error.error)?;
                Ok(())
            }
            Self::Special(mut file) => file.flush(),
        }
    }

    fn file(&mut self) -> &mut fs::File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless { file, .. } => file,
            Self::New { file, .. } => file.as_file_mut(),
            Self::Special(file) => file,
        }
    }
}

fn folder(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary name of the target's.
fn named<T>(target: &Path, make: impl FnOnce(&Builder<'_, '_>) -> io::Result<T>) -> io::Result<T> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(permissions(target));
    make(&builder)
}

/// Those of the file to be replaced, else what the process gives to new files.
#[cfg(unix)]
fn permissions(target: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(target)
        .map_or_else(|_| fs::Permissions::from_mode(0o666), |found| found.permissions())
}

/// Linux's `O_TMPFILE`.
#[cfg(target_os = "linux")]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

    /// Nothing where the file system has no such files, or they could not be given a name.
    pub(super) fn create(folder: &Path, target: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(super::permissions(target).mode());
        let file = File::from(open(folder, flags, mode).ok()?);
        Path::new(&path_of(&file)).exists().then_some(file)
    }

    /// Gives it a name, which must be free.
    pub(super) fn link(file: &File, name: &Path) -> io::Result<()> {
        linkat(CWD, path_of(file), CWD, name, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
    }

    fn path_of(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}
