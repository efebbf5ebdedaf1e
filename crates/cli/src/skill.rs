//! `stemson skill install`: the lead engineer as a folder that agents read, embedded in this binary.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stemson_audit::VIEWS;

use crate::failure::{Failure, Verdict};

/// The lead engineer as an agent's skill.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(Install),
}

/// Writes the skill `lead-engineer` into a folder of skills.
///
/// Files that are there and differ are left alone, and the command ends with exit code 1, unless --force
/// is said. Files of other names in the folder stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson skill install                            .claude/skills/lead-engineer
  stemson skill install --dir ~/.claude/skills --force")]
struct Install {
    /// The folder of skills; the skill gets a folder of its own in it
    #[arg(long, value_name = "DIR", default_value = ".claude/skills")]
    dir: PathBuf,
    /// Write over files that were changed
    #[arg(long)]
    force: bool,
}

/// The skill's name, and of its folder.
const NAME: &str = "lead-engineer";

macro_rules! files {
    ($($path:literal,)*) => {
        /// Path below the skill's folder, and content.
        const FILES: &[(&str, &str)] = &[$((
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../skill/", $path)),
        ),)*];
    };
}

files! {
    "SKILL.md",
    "references/dialectical_lens_architecture.md",
    "references/asyncio_event_loop_physics.md",
    "references/mojo_vs_pojo_artifacts.md",
    "references/split_memory_allocation.md",
    "references/thundering_herd_defense.md",
    "scripts/_stemson.py",
    "scripts/validate_event_loop.py",
    "scripts/benchmark_jsonb_index.py",
    "scripts/validate_mojo_artifact.py",
    "scripts/calculate_memory_split.py",
    "scripts/test_hot_swap.py",
}

/// All files: those that are written by hand, and the checklists, which come from the rules.
fn files() -> Vec<(String, String)> {
    let written = FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let checklists =
        VIEWS.iter().map(|view| (format!("checklists/{}", view.file()), view.render(None)));
    written.chain(checklists).collect()
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let Command::Install(install) = &arguments.command;
    let folder = install.dir.join(NAME);
    let files = files();
    let is_changed =
        |path: &Path, text: &str| fs::read(path).is_ok_and(|there| there != text.as_bytes());
    let changed: Vec<String> = files
        .iter()
        .map(|(path, text)| (folder.join(path), text))
        .filter(|(path, text)| is_changed(path, text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !changed.is_empty() && !install.force {
        return Err(Failure::verdict(format!(
            "not written: {} file(s) there differ: {}",
            changed.len(),
            changed.join(", ")
        ))
        .hint("--force writes over them"));
    }
    for (path, text) in &files {
        write(&folder.join(path), text).map_err(|cause| {
            Failure::input(format!("cannot write {}", folder.join(path).display())).because(&cause)
        })?;
    }
    let text = format!("{} files in {}\n", files.len(), folder.display());
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(Verdict::Good)
}

/// Whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    set_readable(file.path())?;
    file.persist(path).map_err(|cause| cause.error)?;
    Ok(())
}

/// A temporary file is its owner's alone; this one is for all.
#[cfg(unix)]
fn set_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_readable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../skill")
    }

    /// The committed folder is what is installed. `STEMSON_BLESS=1` writes the checklists anew.
    #[test]
    fn the_folder_is_what_is_installed() {
        let mut expected = BTreeSet::new();
        for (path, text) in files() {
            let file = root().join(&path);
            if std::env::var_os("STEMSON_BLESS").is_some() && path.starts_with("checklists/") {
                fs::write(&file, &text).unwrap();
            }
            assert_eq!(
                fs::read_to_string(&file).unwrap_or_default(),
                text,
                "{path}: run this test with STEMSON_BLESS=1"
            );
            expected.insert(path);
        }
        let mut found = BTreeSet::new();
        let mut open = vec![root()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("__pycache__") {
                    open.push(path);
                } else if path.is_file() {
                    found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(found, expected);
    }

    /// The limits of the Agent Skills specification (agentskills.io, 2026).
    #[test]
    fn keeps_the_limits_of_agent_skills() {
        let text = FILES[0].1;
        let (head, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
        let head: serde_json::Value = yaml(head);
        let name = head["name"].as_str().unwrap();
        assert_eq!(name, NAME);
        assert!(
            name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
        assert!(!name.starts_with('-') && !name.ends_with('-') && !name.contains("--"));
        let description = head["description"].as_str().unwrap();
        assert!((1..=1024).contains(&description.chars().count()), "{}", description.len());
        assert!(head["compatibility"].as_str().unwrap().chars().count() <= 500);
        for trigger in [
            "lead engineer",
            "architectural sovereignty",
            "mlops platform",
            "event loop blocking",
            "mojo",
            "hybrid schema",
            "cache coherence",
            "memory allocation",
            "mage blocks",
            "h2o integration",
        ] {
            assert!(description.to_lowercase().contains(trigger), "{trigger}");
        }
        assert!(body.lines().count() < 500 && body.split_whitespace().count() < 3_500);
        // References are one level deep, and all are named in the body.
        for (path, text) in files()
            .iter()
            .filter(|(path, _)| path.starts_with("references/") || path.starts_with("checklists/"))
        {
            assert_eq!(path.matches('/').count(), 1);
            assert!(body.contains(path.as_str()), "{path}");
            assert!(text.lines().count() < 500);
        }
    }

    fn yaml(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(text).unwrap()
    }
}
