//! Folders of models: which file answers for which name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that models come from, and are looked for again while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFolder {
    /// `DIR/churn.zip`, or `DIR/churn/3.zip`, of which the highest number answers.
    All(PathBuf),
    /// The versions of one model: `DIR/3.zip`.
    One {
        /// The model's name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
}

impl ModelFolder {
    /// Names with the file that answers for each, as the folder is now.
    pub fn models(&self) -> io::Result<Vec<(String, PathBuf)>> {
        match self {
            Self::All(folder) => all(folder),
            Self::One { name, folder } => {
                Ok(newest(folder)?.map(|file| (name.clone(), file)).into_iter().collect())
            }
        }
    }
}

fn all(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut models = Vec::new();
    for path in entries(folder)? {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        if is_zip(&path) {
            models.push((name, path));
        } else if path.is_dir() {
            models.extend(newest(&path)?.map(|file| (name, file)));
        }
    }
    Ok(models)
}

/// The version with the highest number; without numbers the only MOJO that there is, which is how
/// the storage initializer of `KServe` leaves one.
fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    let number = |path: &&PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let zips: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| is_zip(path)).collect();
    let numbered = zips.iter().filter(|path| number(path).is_some()).max_by_key(number);
    Ok(numbered.or_else(|| zips.first().filter(|_| zips.len() == 1)).cloned())
}

fn is_zip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
        && path.is_file()
}

/// What lies in a folder, by name, without hidden files: those are still being written, or are the
/// inside of a mounted Kubernetes volume.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = listed
        .iter()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(fs::DirEntry::path)
        .collect();
    paths.sort_unstable();
    Ok(paths)
}
