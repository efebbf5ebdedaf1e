//! Why an artifact does not answer under a name.

use std::path::{Path, PathBuf};

use stemson_mojo::{Digest, LoadError};
use stemson_serving::{ParseModelNameError, ResolveError, SwapRefusal};

use crate::download::DownloadError;
use crate::reference::ReferenceError;
use crate::store::StoreError;

/// Why an artifact is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeployError {
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] ParseModelNameError),
    /// The path lies outside of what the configuration allows.
    #[error("{} lies under none of the folders in [admin] artifact_roots", path.display())]
    NotAllowed {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// As the caller gave it.
        path: PathBuf,
    },
    /// A folder or something odder.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// With every link followed.
        path: PathBuf,
    },
    /// Beyond the limit.
    #[error("{} is larger than {bytes_max} bytes ([limits] artifact_mib)", path.display())]
    TooLarge {
        /// With every link followed.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The system does not let us.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// With every link followed.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// It cannot be had from where the caller says.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Other bytes than the caller meant.
    #[error("the artifact's SHA-256 is {found}, expected {expected}")]
    Digest {
        /// Of the bytes.
        found: Digest,
        /// As the caller gave it.
        expected: Digest,
    },
    /// No model, or one that cannot be scored here.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model, but not one for this name.
    #[error(transparent)]
    Swap(#[from] SwapRefusal),
    /// No revision of before is meant.
    #[error(transparent)]
    Known(#[from] ResolveError),
    /// It does not answer as it should.
    #[error(transparent)]
    Reference(#[from] Box<ReferenceError>),
    /// The data folder does not keep it, or has kept it badly.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeployError {
    /// A word that scripts may rely on.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "bad_name",
            Self::NotAllowed { .. } => "path_not_allowed",
            Self::NotFound { .. } => "artifact_not_found",
            Self::NotAFile { .. } => "artifact_not_a_file",
            Self::TooLarge { .. } => "artifact_too_large",
            Self::Read { .. } => "artifact_unreadable",
            Self::Download(cause) => cause.kind(),
            Self::Digest { .. } => "digest_mismatch",
            Self::Load(cause) => cause.kind(),
            Self::Swap(SwapRefusal::Schema(_)) => "schema_mismatch",
            Self::Swap(SwapRefusal::AlreadyCurrent { .. }) => "already_current",
            Self::Swap(SwapRefusal::NoCurrent) => "no_current",
            Self::Swap(SwapRefusal::Journal(_)) => "state_not_written",
            Self::Known(ResolveError::Unknown(_)) => "unknown_version",
            Self::Known(ResolveError::Retired { .. }) => "revision_retired",
            Self::Known(ResolveError::Ambiguous(_)) => "ambiguous_revision",
            Self::Reference(cause) => cause.kind(),
            Self::Store(cause) => cause.kind(),
        }
    }

    pub(crate) fn read(path: &Path, cause: &std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), cause: cause.to_string() }
    }
}
