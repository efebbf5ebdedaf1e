//! The model repository extension: what there is, and loading and unloading it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stemson_serving::{Alias, ModelName, Selector};

use crate::auth::Caller;
use crate::context::Context;
use crate::error::Refusal;
use crate::json;
use crate::loader::{Order, Place, Source};

/// One revision of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `READY` or `UNAVAILABLE`.
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
}

/// What a load asks for besides the name.
#[derive(Debug, Default)]
pub(crate) struct LoadParameters {
    /// The artifact itself, in place of what the repository has.
    pub(crate) artifact: Option<Bytes>,
    /// Configuration in Triton's form: checked to be an object, and nothing else of it is ours.
    pub(crate) config: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct LoadBody {
    #[serde(default)]
    parameters: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct IndexBody {
    #[serde(default)]
    ready: Option<bool>,
}

fn read_body<'de, T: Deserialize<'de> + Default>(body: &'de [u8]) -> Result<T, Refusal> {
    // tritonclient sends none.
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    json::object(body)
}

/// Whether an index asks for what is ready only.
pub(crate) fn read_index(body: &[u8]) -> Result<bool, Refusal> {
    Ok(read_body::<IndexBody>(body)?.ready.unwrap_or(false))
}

/// Reads the body of a load.
pub(crate) fn read_load(body: &[u8]) -> Result<LoadParameters, Refusal> {
    let LoadBody { parameters } = read_body(body)?;
    let mut read = LoadParameters::default();
    for (name, value) in parameters.unwrap_or_default() {
        let text = || {
            let text = value.as_str();
            text.ok_or_else(|| Refusal::BadField(format!("`parameters`: `{name}` must be a text")))
        };
        if name == "config" {
            read.config = Some(text()?.to_owned());
        } else if let Some(file) = name.strip_prefix("file:") {
            let bytes = STANDARD.decode(text()?).map_err(|cause| {
                Refusal::BadField(format!("`parameters`: `{name}` must be base64: {cause}"))
            })?;
            take_file(&mut read, file, bytes.into())?;
        }
    }
    Ok(read)
}

/// The one file that a model consists of.
pub(crate) fn take_file(
    read: &mut LoadParameters,
    name: &str,
    bytes: Bytes,
) -> Result<(), Refusal> {
    if read.artifact.replace(bytes).is_some() {
        let name: String = name.chars().take(80).collect();
        return Err(Refusal::BadField(format!(
            "`parameters`: `file:{name}` is a second file, a MOJO is one"
        )));
    }
    Ok(())
}

/// All revisions that can answer, and models that were unloaded.
pub(crate) fn index(context: &Context, ready_only: bool, caller: &Caller) -> Vec<Entry> {
    let entry = |name: &ModelName, version: u64, reason: &'static str| Entry {
        name: name.to_string(),
        version: version.to_string(),
        state: if reason.is_empty() { "READY" } else { "UNAVAILABLE" },
        reason,
    };
    let mut entries = Vec::new();
    for deployment in context.deployments.all() {
        let warm = deployment.warm();
        let mut versions: Vec<u64> = warm.revisions().map(|revision| revision.number()).collect();
        versions.sort_unstable();
        entries.extend(versions.into_iter().map(|version| entry(deployment.name(), version, "")));
    }
    if !ready_only {
        for (name, state) in context.deployments.parked() {
            entries.push(entry(&name, state.current, "unloaded"));
        }
    }
    entries.retain(|entry: &Entry| caller.sees(&entry.name));
    entries
}

/// Loads a model: from the request, from the folders of artifacts, or as it was before it was
/// unloaded. One that answers already is brought up to date.
pub(crate) async fn load(
    context: &Context,
    name: &str,
    parameters: LoadParameters,
    by: String,
) -> Result<(), Refusal> {
    let name: ModelName = crate::admin::parse_name(name)?;
    if let Some(config) = &parameters.config {
        let read = serde_json::from_str::<Map<String, Value>>(config);
        read.map_err(|cause| {
            Refusal::BadField(format!("`parameters`: `config` as a JSON object: {cause}"))
        })?;
    }
    let source = match parameters.artifact {
        Some(bytes) => Some(Source::Bytes(bytes)),
        None => find(&context.live.load().artifact_roots, &name).map(Source::Path),
    };
    let source = match source {
        Some(source) => source,
        None if context.deployments.find(&name).is_some() => return Ok(()),
        None if context.deployments.parked().contains_key(&name) => {
            Source::Known(Selector::Alias(Alias::Stable))
        }
        None => return Err(Refusal::UnknownModel(name.to_string())),
    };
    let allow_schema_change = false;
    let place = Place::Current;
    let order =
        Order { name, source, place, reference: None, sha256: None, by, allow_schema_change };
    context.loader.bring(order).await?;
    Ok(())
}

/// Takes a model out of answering, and frees its memory. A load brings it back as it was.
pub(crate) fn unload(context: &Context, name: &str) -> Result<(), Refusal> {
    let name: ModelName = crate::admin::parse_name(name)?;
    if let Some(revisions) = context.deployments.park(&name) {
        context.loader.retire(revisions);
        return Ok(());
    }
    // Unloaded already is as good.
    if context.deployments.parked().contains_key(&name) {
        return Ok(());
    }
    Err(Refusal::UnknownModel(name.to_string()))
}

/// `ROOT/NAME.zip`, or the highest number of `ROOT/NAME/N.zip`.
fn find(roots: &[PathBuf], name: &ModelName) -> Option<PathBuf> {
    roots.iter().find_map(|root| {
        let file = root.join(format!("{name}.zip"));
        if file.is_file() {
            return Some(file);
        }
        let folder = std::fs::read_dir(root.join(name.as_str())).ok()?;
        let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let files = folder.flatten().map(|entry| entry.path());
        let zips = files.filter(|path| path.extension().is_some_and(|word| word == "zip"));
        zips.filter_map(|path| Some((number(&path)?, path))).max().map(|(_, path)| path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_a_load() {
        let code = |body: &str| match read_load(body.as_bytes()) {
            Ok(read) => format!("{:?} {:?}", read.artifact, read.config),
            Err(refusal) => refusal.status().1.to_owned(),
        };
        for (body, expected) in [
            ("", "None None"),
            ("{}", "None None"),
            (r#"{"parameters":{}}"#, "None None"),
            (r#"{"parameters":{"config":"{}"}}"#, "None Some(\"{}\")"),
            (r#"{"parameters":{"file:1/model.zip":"UEs="}}"#, "Some(b\"PK\") None"),
            (r#"{"parameters":{"file:1/a":"","file:1/b":""}}"#, "bad_field"),
            (r#"{"parameters":{"file:1/a":"?"}}"#, "bad_field"),
            (r#"{"parameters":{"config":{}}}"#, "bad_field"),
            (r#"{"parameters":[]}"#, "bad_field"),
            ("{", "malformed_json"),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }

    #[test]
    fn the_highest_number_of_a_folder_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir_all(root.join("churn")).expect("a folder");
        for file in ["churn/2.zip", "churn/10.zip", "churn/notes.txt", "price.zip"] {
            std::fs::write(root.join(file), "x").expect("a file");
        }
        let roots = [root.join("none"), root.to_owned()];
        let found = |name: &str| find(&roots, &name.parse().expect("a name"));
        assert_eq!(found("churn"), Some(root.join("churn/10.zip")));
        assert_eq!(found("price"), Some(root.join("price.zip")));
        assert_eq!(found("nobody"), None);
    }
}
