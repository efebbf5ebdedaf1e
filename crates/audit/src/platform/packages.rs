//! Which packages at which versions a repository asks for: requirements files, `pyproject.toml`, lock
//! files, conda environments, `pip install` in scripts. Any text is fine.

use crate::platform::at::{At, Lines};
use crate::platform::yaml::Node;

/// One package that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// As PEP 503 compares names.
    pub(crate) name: String,
    /// `>=3.46,<4`; empty where anything will do.
    pub(crate) specifier: String,
    pub(crate) at: At,
    /// From a lock file: what is installed, not what is allowed.
    pub(crate) locked: bool,
}

impl Requirement {
    /// The one version that fits: `==3.46.0.11`, without a star.
    pub(crate) fn exact(&self) -> Option<&str> {
        let version =
            self.specifier.strip_prefix("===").or(self.specifier.strip_prefix("=="))?.trim();
        (!version.contains(['*', ',', '$', '{'])).then_some(version)
    }

    /// Whether a version may be chosen, as far as plain comparisons tell.
    pub(crate) fn allows(&self, version: &str) -> bool {
        let wanted = numbers(version);
        self.specifier.split(',').map(str::trim).filter(|it| !it.is_empty()).all(|part| {
            let end = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
            let (operator, bound) = (part[..end].trim(), numbers(&part[end..]));
            match operator {
                "==" | "===" | "=" if part.contains('*') => wanted.starts_with(&bound),
                "==" | "===" | "=" => same(&wanted, &bound),
                ">=" => !is_less(&wanted, &bound),
                ">" => is_less(&bound, &wanted),
                "<=" => !is_less(&bound, &wanted),
                "<" => is_less(&wanted, &bound),
                "!=" => !same(&wanted, &bound),
                "~=" => {
                    !is_less(&wanted, &bound)
                        && wanted.starts_with(&bound[..bound.len().saturating_sub(1)])
                }
                // Poetry: the leftmost number that is not zero stays.
                "^" => {
                    let kept = bound.iter().position(|it| *it > 0).map_or(bound.len(), |at| at + 1);
                    !is_less(&wanted, &bound) && wanted.starts_with(&bound[..kept])
                }
                "~" => {
                    !is_less(&wanted, &bound) && wanted.starts_with(&bound[..bound.len().min(2)])
                }
                _ => true,
            }
        })
    }
}

/// Numbers of a version: `3.46.0.11` gives four.
pub(crate) fn numbers(version: &str) -> Vec<u64> {
    let parts = version.trim().trim_start_matches('v').split('.');
    parts
        .map_while(|part| {
            part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
        })
        .collect()
}

/// Whether the first version is before the second; missing numbers are zeros.
pub(crate) fn is_less(left: &[u64], right: &[u64]) -> bool {
    let length = left.len().max(right.len());
    let padded = |version: &[u64]| {
        (0..length).map(|at| version.get(at).copied().unwrap_or(0)).collect::<Vec<_>>()
    };
    padded(left) < padded(right)
}

fn same(left: &[u64], right: &[u64]) -> bool {
    !is_less(left, right) && !is_less(right, left)
}

/// `H2O_pysparkling.3` -> `h2o-pysparkling-3`.
fn normal(name: &str) -> String {
    let mut out = String::new();
    for c in name.trim().chars() {
        if !"-_.".contains(c) {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out
}

/// One line of PEP 508: name, extras, specifier, marker.
fn requirement(text: &str, at: At) -> Option<Requirement> {
    let text = text.split(" #").next()?.split(';').next()?.split(" --").next()?.trim();
    let end = text.find(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || !name.starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let rest = rest.trim_start();
    let rest =
        if rest.starts_with('[') { rest.split_once(']').map_or("", |it| it.1) } else { rest };
    let rest = rest.trim().trim_start_matches('(').trim_end_matches(')');
    // A place to fetch from: the version stands in it, if anywhere.
    let specifier: String =
        if rest.starts_with('@') { version_in(rest) } else { rest.split_whitespace().collect() };
    Some(Requirement { name: normal(name), specifier, at, locked: false })
}

/// `h2o-3.46.0.11-py2.py3-none-any.whl` in an address.
fn version_in(address: &str) -> String {
    let file = address.rsplit('/').next().unwrap_or_default();
    let mut parts = file.split('-');
    let version = parts.nth(1).map(|it| it.trim_end_matches(".tar.gz").trim_end_matches(".zip"));
    version
        .filter(|it| it.starts_with(|c: char| c.is_ascii_digit()))
        .map_or_else(String::new, |it| ["==", it].concat())
}

/// A requirements or constraints file.
pub(crate) fn requirements(text: &str) -> Vec<Requirement> {
    let mut found = Vec::new();
    let mut continued = false;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if !continued && !trimmed.is_empty() && !trimmed.starts_with(['#', '-']) {
            let at = At::new(number + 1, line.len() - line.trim_start().len() + 1);
            found.extend(if trimmed.contains("://") && !trimmed.contains('@') {
                address(trimmed, at)
            } else {
                requirement(trimmed.trim_end_matches('\\'), at)
            });
        }
        continued = trimmed.ends_with('\\');
    }
    found
}

fn address(text: &str, at: At) -> Option<Requirement> {
    let file = text.split(['#', '?']).next()?.rsplit('/').next()?;
    let name = file.split('-').next()?;
    let is_wheel = file.strip_suffix(".whl").is_some();
    is_wheel.then(|| Requirement {
        name: normal(name),
        specifier: version_in(text),
        at,
        locked: false,
    })
}

/// `pip install a==1 b` in a shell script.
pub(crate) fn pip_installs(script: &str, at: At) -> Vec<Requirement> {
    let mut found = Vec::new();
    for command in script
        .split(['\n', ';'])
        .flat_map(|line| line.split("&&"))
        .flat_map(|line| line.split("||"))
    {
        let words = crate::platform::docker::words(command);
        let Some(install) = words.iter().position(|word| word == "install") else { continue };
        let is_pip = words[..install].iter().any(|word| {
            word.trim_end_matches(char::is_numeric).trim_end_matches('.').ends_with("pip")
                || word == "uv"
        });
        if !is_pip {
            continue;
        }
        let mut skip = false;
        for word in &words[install + 1..] {
            let is_value = std::mem::replace(
                &mut skip,
                matches!(
                    word.as_str(),
                    "-r" | "-c"
                        | "-f"
                        | "-i"
                        | "-t"
                        | "-e"
                        | "--index-url"
                        | "--extra-index-url"
                        | "--find-links"
                        | "--target"
                        | "--requirement"
                        | "--constraint"
                ),
            );
            if is_value || word.starts_with('-') || word.starts_with(['.', '/', '$']) {
                continue;
            }
            found.extend(if word.contains("://") {
                address(word, at)
            } else {
                requirement(word, at)
            });
        }
    }
    found
}

/// `pyproject.toml`: of the project, its groups, Poetry, PDM, uv and the build.
pub(crate) fn pyproject(text: &str) -> Vec<Requirement> {
    let Ok(root) = toml::de::DeTable::parse(text) else { return Vec::new() };
    let lines = Lines::new(text);
    let mut found = Vec::new();
    toml_table(root.get_ref(), "", &lines, &mut found);
    found
}

type TomlTable<'a> = toml::de::DeTable<'a>;

fn toml_table(table: &TomlTable<'_>, path: &str, lines: &Lines<'_>, found: &mut Vec<Requirement>) {
    for (key, value) in table {
        let path = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            [path, ".", key.get_ref()].concat()
        };
        match value.get_ref() {
            toml::de::DeValue::Table(inner) if is_poetry(&path) => {
                let entries = inner.iter().filter(|(name, _)| name.get_ref() != "python");
                found.extend(entries.map(|(name, value)| Requirement {
                    name: normal(name.get_ref()),
                    specifier: poetry(value.get_ref()),
                    at: lines.at(name.span().start),
                    locked: false,
                }));
            }
            toml::de::DeValue::Table(inner) => toml_table(inner, &path, lines, found),
            toml::de::DeValue::Array(items) if is_list(&path) => {
                let texts =
                    items.iter().filter_map(|it| Some((it.get_ref().as_str()?, it.span().start)));
                found.extend(
                    texts.filter_map(|(text, start)| requirement(text, lines.at(start + 1))),
                );
            }
            _ => {}
        }
    }
}

fn is_poetry(path: &str) -> bool {
    path.starts_with("tool.poetry") && path.ends_with("dependencies")
}

fn is_list(path: &str) -> bool {
    path == "project.dependencies"
        || path == "build-system.requires"
        || [
            "project.optional-dependencies.",
            "dependency-groups.",
            "tool.pdm.dev-dependencies.",
            "tool.uv.dev-dependencies",
        ]
        .iter()
        .any(|it| path.starts_with(it))
}

/// Poetry's forms: `"^3.46"`, `{version = "3.46.0.11"}`.
fn poetry(value: &toml::de::DeValue<'_>) -> String {
    let text = match value {
        toml::de::DeValue::Table(table) => {
            table.get("version").and_then(|it| it.get_ref().as_str())
        }
        value => value.as_str(),
    };
    let text = text.unwrap_or_default().trim();
    match text {
        "*" => String::new(),
        // A bare version is the one.
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => ["==", text].concat(),
        _ => text.split_whitespace().collect(),
    }
}

/// `[[package]]` with `name` and `version`: `poetry.lock`, `uv.lock`, `pdm.lock`.
pub(crate) fn lock(text: &str) -> Vec<Requirement> {
    let mut found = Vec::new();
    let mut name: Option<(&str, At)> = None;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            name = None;
        } else if let Some(value) = line.strip_prefix("name = ") {
            name = Some((value.trim().trim_matches('"'), At::new(number + 1, 1)));
        } else if let Some(version) = line.strip_prefix("version = ")
            && let Some((name, at)) = name.take()
        {
            let specifier = ["==", version.trim().trim_matches('"')].concat();
            found.push(Requirement { name: normal(name), specifier, at, locked: true });
        }
    }
    found
}

/// `dependencies` of a conda environment, with its `pip` list.
pub(crate) fn conda(root: &Node) -> Vec<Requirement> {
    let mut found = Vec::new();
    for item in root.get("dependencies").into_iter().flat_map(Node::items) {
        if let Some(text) = item.text() {
            // `conda-forge::h2o=3.46.0.11=py_0`, `h2o >=3`
            let text = text.rsplit("::").next().unwrap_or(text);
            let mut requirement = requirement(text, item.at);
            if let Some(it) = &mut requirement
                && let Some(version) =
                    it.specifier.strip_prefix('=').filter(|rest| !rest.starts_with('='))
            {
                it.specifier = ["==", version.split('=').next().unwrap_or_default()].concat();
            }
            found.extend(requirement);
        }
        for line in item.get("pip").into_iter().flat_map(Node::items) {
            found.extend(line.text().and_then(|text| requirement(text, line.at)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(list: &[Requirement]) -> Vec<String> {
        list.iter().map(|it| format!("{}{}@{}", it.name, it.specifier, it.at.line)).collect()
    }

    #[test]
    fn reads_requirements() {
        let text = "# a\n-r other.txt\nh2o==3.46.0.11  # pinned\n  H2O_Pysparkling_3.4 >= 3.46, <4 ; python_version > '3'\n\
            pandas[parquet]~=2.0 \\\n    --hash=sha256:aa\nh2o @ https://x/h2o-3.46.0.5-py2.py3-none-any.whl\nhttps://x/a/h2o-3.46.0.6-py2.py3-none-any.whl\nnumpy\n";
        assert_eq!(
            shown(&requirements(text)),
            [
                "h2o==3.46.0.11@3",
                "h2o-pysparkling-3-4>=3.46,<4@4",
                "pandas~=2.0@5",
                "h2o==3.46.0.5@7",
                "h2o==3.46.0.6@8",
                "numpy@9"
            ]
        );
    }

    #[test]
    fn reads_projects_locks_and_environments() {
        let text = "[project]\ndependencies = [\n  \"h2o>=3.46\",\n]\n[project.optional-dependencies]\ndev = [\"pytest\"]\n\
            [tool.poetry.dependencies]\npython = \"^3.11\"\nh2o = \"3.46.0.11\"\nredis = {version = \"^5\", extras = [\"x\"]}\n";
        let mut found = shown(&pyproject(text));
        found.sort();
        assert_eq!(found, ["h2o==3.46.0.11@9", "h2o>=3.46@3", "pytest@6", "redis^5@10"]);
        let text = "[[package]]\nname = \"h2o\"\nversion = \"3.46.0.11\"\n\n[package.x]\nname = \"y\"\n[[package]]\nname = \"z\"\nversion = \"1\"\n";
        assert_eq!(shown(&lock(text)), ["h2o==3.46.0.11@2", "z==1@8"]);
        let text = "dependencies:\n- python=3.11\n- conda-forge::h2o=3.46.0.5=py_0\n- pip:\n  - redis>=5\n";
        let root = crate::platform::yaml::parse(text).roots.remove(0);
        assert_eq!(shown(&conda(&root)), ["python==3.11@2", "h2o==3.46.0.5@3", "redis>=5@5"]);
    }

    #[test]
    fn reads_installs_in_scripts() {
        let script = "apt-get install -y gcc && pip3 install --no-cache-dir -r r.txt h2o==3.46.0.12 'x>=1'; python -m pip install y\nuv pip install z";
        assert_eq!(
            shown(&pip_installs(script, At::new(4, 1))),
            ["h2o==3.46.0.12@4", "x>=1@4", "y@4", "z@4"]
        );
    }

    #[test]
    fn compares_versions() {
        let with = |specifier: &str| Requirement {
            name: String::new(),
            specifier: specifier.to_owned(),
            at: At::default(),
            locked: false,
        };
        for (specifier, version, expected) in [
            ("", "3.46.0.12", true),
            (">=3.46", "3.46.0.12", true),
            (">=3.46,<3.46.0.12", "3.46.0.12", false),
            ("<=3.46.0.11", "3.46.0.12", false),
            ("~=3.46.0.5", "3.46.0.12", true),
            ("~=3.44.0", "3.46.0.12", false),
            ("^3.46", "3.46.0.12", true),
            ("==3.46.*", "3.46.0.12", true),
            ("==3.46.0.11", "3.46.0.12", false),
            ("!=3.46.0.12", "3.46.0.12", false),
        ] {
            assert_eq!(with(specifier).allows(version), expected, "{specifier}");
        }
        assert_eq!(with("==3.46.0.11").exact(), Some("3.46.0.11"));
        assert_eq!((with("==3.*").exact(), with(">=3").exact()), (None, None));
    }
}
