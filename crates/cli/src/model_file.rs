//! A model from a path, with errors for people.

use std::fs;
use std::io;
use std::path::Path;

use stemson_mojo::{LoadError, LoadOptions, Model};

use crate::failure::Failure;
use crate::terminal::say;

/// Loads a model and says its warnings.
pub(crate) fn load(path: &Path, options: &LoadOptions) -> Result<Model, Failure> {
    let bytes = read(path)?;
    let model = Model::load(&bytes, options).map_err(|error| refused(path, &error))?;
    for warning in model.warnings() {
        say(format_args!("warning: {}: {}", path.display(), warning.message));
    }
    Ok(model)
}

/// The bytes of an artifact.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|cause| unread(path, &cause))
}

/// What to say about a file that the system does not give.
pub(crate) fn unread(path: &Path, cause: &io::Error) -> Failure {
    let shown = path.display();
    if path.is_dir() {
        return Failure::input(format!("{shown} is a folder, expected a MOJO zip file")).hint(
            "pass the file itself, such as `model.zip`; a MOJO that was unpacked must be zipped again",
        );
    }
    let failure = Failure::input(format!("cannot read {shown}")).because(cause);
    match cause.kind() {
        io::ErrorKind::NotFound => {
            failure.hint("export the model first, in Python: `model.download_mojo(\"model.zip\")`")
        }
        _ => failure,
    }
}

/// What to say about a file that is no model for us.
pub(crate) fn refused(path: &Path, error: &LoadError) -> Failure {
    let failure = Failure::input(format!("{}: {error}", path.display()));
    match error {
        LoadError::Quirk { .. } => failure.hint(
            "`--genmodel-quirks` gives the answers that genmodel would give, wrong as they are",
        ),
        LoadError::NotMojo { .. } => failure.hint("export the model with `model.download_mojo()`"),
        LoadError::Limit { .. } => failure.hint("this file asks for more than any known model"),
        _ => failure,
    }
}
