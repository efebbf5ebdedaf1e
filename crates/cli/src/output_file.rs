//! A file that appears whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Writes beside the target under a temporary name, which goes away when this is dropped.
pub(crate) enum OutputFile {
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
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}.");
        builder.prefix(&prefix).suffix(".part");
        #[cfg(unix)]
        builder.permissions(permissions(&target));
        let file = builder.tempfile_in(folder)?;
        Ok(Self::New { file, target })
    }

    /// Puts the finished file where it belongs.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::New { file, target } => {
                file.persist(target).map_err(|error| error.error)?;
                Ok(())
            }
            Self::Special(mut file) => file.flush(),
        }
    }
}

/// Those of the file to be replaced, else what the process gives to new files.
#[cfg(unix)]
fn permissions(target: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(target)
        .map_or_else(|_| fs::Permissions::from_mode(0o666), |found| found.permissions())
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::New { file, .. } => file.write(bytes),
            Self::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::New { file, .. } => file.flush(),
            Self::Special(file) => file.flush(),
        }
    }
}
