//! LE-DEV-01 and LE-DEV-02: what an image carries.

use super::Findings;
use crate::facts::Facts;
use crate::platform::docker::{Dockerfile, Instruction, Stage};
use crate::platform::span;

/// What starts a server of predictions.
const SERVERS: [&str; 8] =
    ["uvicorn", "gunicorn", "hypercorn", "fastapi", "mlserver", "bentoml", "granian", "stemson"];
/// Packages and images that bring a Java runtime.
const JAVA: [&str; 8] =
    ["openjdk", "default-jre", "default-jdk", "-jre", "-jdk", "temurin", "corretto", "java-common"];
/// Tools that only building needs.
const BUILD_TOOLS: [&str; 6] = ["build-essential", "gcc", "g++", "cmake", "python3-dev", "rustc"];

/// All rules about images.
pub(crate) fn images(facts: &Facts, findings: &mut Findings<'_>) {
    for (source, image) in &facts.platform.images {
        artifacts(facts, *source, image, findings);
        if serves(image) {
            java(facts, *source, image, findings);
            weight(facts, *source, image, findings);
            root(facts, *source, image, findings);
        }
    }
}

/// Whether what is shipped starts a server, and no H2O cluster.
fn serves(image: &Dockerfile) -> bool {
    let start = image.shipped().into_iter().find_map(|stage| {
        stage.instructions.iter().rev().find(|it| matches!(it.name.as_str(), "CMD" | "ENTRYPOINT"))
    });
    let Some(start) = start else { return false };
    let scripts: String = image
        .shipped()
        .iter()
        .flat_map(|stage| &stage.instructions)
        .filter(|it| matches!(it.name.as_str(), "CMD" | "ENTRYPOINT"))
        .map(Instruction::script)
        .collect();
    let scripts = if scripts.is_empty() { start.script() } else { scripts };
    SERVERS.iter().any(|word| scripts.contains(word)) && !scripts.contains("h2o.jar")
}

/// Copies of what the artifact policy blocks.
fn artifacts(facts: &Facts, source: usize, image: &Dockerfile, findings: &mut Findings<'_>) {
    let path = &facts.sources[source].path;
    let context = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for stage in image.shipped() {
        for copy in stage
            .instructions
            .iter()
            .filter(|it| matches!(it.name.as_str(), "COPY" | "ADD") && it.flag("from").is_none())
        {
            for wanted in copy.sources() {
                let Some(blocked) = facts
                    .artifacts
                    .iter()
                    .filter(|it| it.suppressed.is_none() && copied(context, &wanted, &it.path))
                    .find(|it| !is_left_out(facts, context, &it.path))
                else {
                    continue;
                };
                let message = format!(
                    "the image takes `{}` along, which may not ship ({})",
                    blocked.path, blocked.rule.id
                );
                let hop = crate::finding::Hop {
                    path: blocked.path.clone(),
                    line: 0,
                    what: blocked.message.clone(),
                };
                findings
                    .add("image_artifact", source, span(&facts.sources[source], copy.at), message)
                    .chain
                    .push(hop);
                break;
            }
        }
    }
}

/// Whether a `.dockerignore` of the folder `context`, or of one above, leaves `path` out.
fn is_left_out(facts: &Facts, context: &str, path: &str) -> bool {
    facts.platform.left_out.iter().any(|(folder, patterns)| {
        let is_above = folder.is_empty()
            || context
                .strip_prefix(&**folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let below = path.strip_prefix(&**folder).map(|rest| rest.trim_start_matches('/'));
        is_above
            && below.is_some_and(|it| patterns.matched_path_or_any_parents(it, false).is_ignore())
    })
}

/// Whether `COPY wanted` below the folder `context`, or below one of those above, takes `path`.
fn copied(context: &str, wanted: &str, path: &str) -> bool {
    let wanted = wanted.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
    let mut folder = context;
    loop {
        let below = if folder.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
        };
        // Without a path the whole context goes along, which is that of the Dockerfile's own folder.
        let hit = match (below, wanted) {
            (Some(_), "" | ".") => folder == context,
            (Some(below), _) => matches(wanted, below),
            _ => false,
        };
        if hit {
            return true;
        }
        match folder.rsplit_once('/') {
            Some((above, _)) => folder = above,
            None if folder.is_empty() => return false,
            None => folder = "",
        }
    }
}

/// A pattern of `COPY`: a folder with all below, or a name with `*` and `?`.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern_parts, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern_parts.next(), parts.next()) {
            (None, _) => return true,
            (Some(_), None) => return false,
            (Some(pattern), Some(part)) => {
                if !glob(pattern.as_bytes(), part.as_bytes()) {
                    return false;
                }
            }
        }
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    let mut end = 0;
    while end < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some(at);
                (at, from) = (at + 1, end);
            }
            Some(byte) if *byte == b'?' || *byte == text[end] => (at, end) = (at + 1, end + 1),
            _ => match star {
                Some(star) => {
                    from += 1;
                    (at, end) = (star + 1, from);
                }
                None => return false,
            },
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|byte| *byte == b'*')
}

fn java(facts: &Facts, source: usize, image: &Dockerfile, findings: &mut Findings<'_>) {
    let place = |at| span(&facts.sources[source], at);
    for stage in image.shipped() {
        let base = stage.base.to_ascii_lowercase();
        if JAVA.iter().any(|it| base.contains(it))
            || base.split([':', '/']).any(|it| it == "openjdk" || it == "java")
        {
            let message = format!(
                "a server of predictions stands on `{}`: a Java runtime in the inference image",
                stage.base
            );
            findings.add("image_jvm", source, place(stage.at), message);
        }
        for it in &stage.instructions {
            if let Some(package) = installs(it, &JAVA) {
                let message = format!("installs `{package}` into an image that serves predictions");
                findings.add("image_jvm", source, place(it.at), message);
            } else if it.name == "COPY" && it.flag("from").is_some() && it.text.contains("/jvm") {
                findings.add(
                    "image_jvm",
                    source,
                    place(it.at),
                    "takes a Java runtime from another stage into an image that serves predictions",
                );
            }
        }
    }
}

/// The first package that a `RUN` installs through the system's manager and that is called like this.
fn installs(it: &Instruction, names: &[&str]) -> Option<String> {
    if it.name != "RUN" {
        return None;
    }
    let script = it.script();
    let managers = ["apt-get", "apt", "apk", "yum", "dnf", "microdnf", "conda", "mamba"];
    for command in script.split("&&").flat_map(|part| part.split([';', '\n'])) {
        let words = crate::platform::docker::words(command);
        let is_install = words.iter().any(|word| managers.contains(&&**word))
            && words.iter().any(|word| matches!(word.as_str(), "install" | "add"));
        if !is_install {
            continue;
        }
        // Taken out again in the same layer, it does not stay.
        let stays = |word: &str| {
            !script.contains("purge")
                && !script.contains("apk del")
                && !script.contains("autoremove")
                && !word.starts_with('-')
        };
        let found = words.iter().find(|word| {
            stays(word)
                && names.iter().any(|name| word == name || (name.len() > 3 && word.contains(name)))
        });
        if let Some(found) = found {
            return Some(found.clone());
        }
    }
    None
}

/// Compilers and training libraries in what is shipped.
fn weight(facts: &Facts, source: usize, image: &Dockerfile, findings: &mut Findings<'_>) {
    let shipped = image.shipped();
    for it in shipped.iter().flat_map(|stage| &stage.instructions) {
        let place = span(&facts.sources[source], it.at);
        if let Some(package) = installs(it, &BUILD_TOOLS) {
            let message = format!(
                "`{package}` stays in the image that serves: build in a stage of its own and copy the result"
            );
            findings.add("image_weight", source, place, message);
            continue;
        }
        if it.name != "RUN" {
            continue;
        }
        let heavy = ["h2o", "tensorflow", "pyspark", "jupyter", "notebook", "h2o-pysparkling-3-4"];
        let installs = crate::platform::packages::pip_installs(&it.script(), it.at);
        if let Some(package) = installs.iter().find(|it| heavy.contains(&&*it.name)) {
            let message = format!(
                "`{}` belongs into training, and stays in the image that serves",
                package.name
            );
            findings.add("image_weight", source, place, message);
        }
    }
}

fn root(facts: &Facts, source: usize, image: &Dockerfile, findings: &mut Findings<'_>) {
    let shipped = image.shipped();
    let user = shipped
        .iter()
        .flat_map(|stage: &&Stage| stage.instructions.iter().rev())
        .find(|it| it.name == "USER");
    let is_root = user.is_none_or(|it| matches!(it.text.split(':').next(), Some("root" | "0")));
    let base = shipped.last().map_or("", |stage| stage.base.as_str());
    if !is_root
        || base.contains("nonroot")
        || base.starts_with("scratch")
        || base.contains("distroless")
    {
        return;
    }
    let at = user.map_or_else(|| shipped.first().map(|stage| stage.at), |it| Some(it.at));
    if let Some(at) = at {
        findings.add(
            "image_root",
            source,
            span(&facts.sources[source], at),
            "the server of predictions runs as root",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_copy_takes() {
        for (context, wanted, path, expected) in [
            ("", ".", "models/a.pkl", true),
            ("app", ".", "app/models/a.pkl", true),
            ("app", ".", "models/a.pkl", false),
            ("docker", "models", "models/a.pkl", true),
            ("", "models/*.pkl", "models/a.pkl", true),
            ("", "models/*.zip", "models/a.pkl", false),
            ("", "./models/", "models/x/a.pkl", true),
            ("", "src", "models/a.pkl", false),
            ("x", "m?dels", "x/models/a", true),
        ] {
            assert_eq!(copied(context, wanted, path), expected, "{context} {wanted} {path}");
        }
    }
}
