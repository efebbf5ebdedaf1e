//! Artifacts that a caller names by path: only files below the configured roots are opened.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use crate::deploy_error::DeployError;

/// Reads the artifact at `path`, which must lie under one of `roots` after every link is followed.
///
/// A relative path is looked for from the working directory and from each root. What lies outside
/// is refused in the same words whether it exists or not.
pub(crate) fn read(path: &Path, roots: &[PathBuf], bytes_max: u64) -> Result<Vec<u8>, DeployError> {
    let path = locate(path, roots)?;
    let metadata = path.metadata().map_err(|cause| DeployError::read(&path, &cause))?;
    if !metadata.is_file() {
        return Err(DeployError::NotAFile { path });
    }
    let too_large = || DeployError::TooLarge { path: path.clone(), bytes_max };
    if metadata.len() > bytes_max {
        return Err(too_large());
    }
    let file = File::open(&path).map_err(|cause| DeployError::read(&path, &cause))?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // The file may have grown since.
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| DeployError::read(&path, &cause))?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The file's true path.
fn locate(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, DeployError> {
    let not_allowed = || DeployError::NotAllowed { path: path.to_owned() };
    // `..` has no honest use here.
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(not_allowed());
    }
    let roots: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    let mut candidates = vec![path.to_owned()];
    if path.is_relative() {
        candidates.extend(roots.iter().map(|root| root.join(path)));
    }
    let is_below = |path: &Path| roots.iter().any(|root| path.starts_with(root));
    let (mut leads_out, mut would_be_below) = (false, false);
    for candidate in candidates {
        match candidate.canonicalize() {
            Ok(found) if is_below(&found) => return Ok(found),
            // A link may lead out.
            Ok(_) => leads_out = true,
            Err(_) => {
                let folder = candidate.parent().and_then(|folder| folder.canonicalize().ok());
                would_be_below |= path.is_relative() || folder.is_some_and(|f| is_below(&f));
            }
        }
    }
    if would_be_below && !leads_out && !roots.is_empty() {
        Err(DeployError::NotFound { path: path.to_owned() })
    } else {
        Err(not_allowed())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A root with `a.zip` and `sub/b.zip`, a secret beside it, and links from one to the other.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub")).expect("folders");
        fs::write(root.join("a.zip"), "a").expect("a file");
        fs::write(root.join("sub/b.zip"), "bb").expect("a file");
        fs::write(folder.path().join("secret.zip"), "s").expect("a file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(folder.path().join("secret.zip"), root.join("link.zip")).expect("a link");
            symlink(root.join("a.zip"), root.join("inside.zip")).expect("a link");
        }
        (folder, root)
    }

    #[test]
    fn only_what_lies_under_a_root_is_opened() {
        let (folder, root) = folder();
        let secret = folder.path().join("secret.zip");
        let (root_text, secret) = (root.display().to_string(), secret.display().to_string());
        let roots = [root];
        for (path, expected) in [
            ("a.zip", "1 bytes"),
            ("sub/b.zip", "2 bytes"),
            (&*format!("{root_text}/a.zip"), "1 bytes"),
            (&*format!("{root_text}/./sub/b.zip"), "2 bytes"),
            ("inside.zip", "1 bytes"),
            ("none.zip", "artifact_not_found"),
            (&*format!("{root_text}/none.zip"), "artifact_not_found"),
            ("sub", "artifact_not_a_file"),
            ("link.zip", "path_not_allowed"),
            ("../secret.zip", "path_not_allowed"),
            ("sub/../a.zip", "path_not_allowed"),
            (&*secret, "path_not_allowed"),
            (&*format!("{secret}.none"), "path_not_allowed"),
            (&*format!("{root_text}/../secret.zip"), "path_not_allowed"),
            ("/etc/passwd", "path_not_allowed"),
            ("/none/at/all", "path_not_allowed"),
        ] {
            let found = match read(Path::new(path), &roots, 100) {
                Ok(bytes) => format!("{} bytes", bytes.len()),
                Err(cause) => cause.kind().to_owned(),
            };
            assert_eq!(found, expected, "{path}");
        }
        let too_large = read(Path::new("sub/b.zip"), &roots, 1).expect_err("2 bytes");
        assert_eq!(too_large.kind(), "artifact_too_large");
        let nowhere = read(Path::new("a.zip"), &[], 100).expect_err("no roots");
        assert_eq!(nowhere.kind(), "path_not_allowed");
    }
}
