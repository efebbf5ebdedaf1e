//! `stemson review`: the first response to a change.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::{Args, ValueEnum};
use stemson_audit::{Changes, Decision, Exceptions, Options, audit};

use crate::check::today;
use crate::failure::{Failure, Verdict};

/// Gives the verdict over a change: reject, accept with conditions, or accept.
///
/// The repository is audited as it stands after the change, and only what touches changed lines decides:
/// a finding there, or a step of its chain. An error rejects, a warning makes conditions, a note does not
/// count. Each reason brings its rule's argument: thesis, antithesis, synthesis.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson review                                   what is not committed yet
  stemson review --diff origin/main --format markdown > comment.md
  stemson review --pr 17.patch

Exit code 1: reject.")]
pub(crate) struct Arguments {
    /// What the working tree is compared with: a branch, a tag, a commit (from where it left)
    #[arg(long, value_name = "REF", default_value = "HEAD", conflicts_with = "pr")]
    diff: String,
    /// A patch, applied already or not: of `git diff`, `git format-patch`, or a pull request's `.patch`
    #[arg(long, value_name = "FILE")]
    pr: Option<PathBuf>,
    /// Text for people, JSON for scripts, Markdown for a comment
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Threads; by default one per core
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

const EXCEPTIONS: &str = "stemson-exceptions.toml";

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let mut copy = None;
    let changes = match &arguments.pr {
        Some(file) => {
            let text = fs::read(file).map_err(|cause| {
                Failure::input(format!("cannot read {}", file.display())).because(&cause)
            })?;
            let changes = Changes::parse(&String::from_utf8_lossy(&text));
            if changes.paths().next().is_none() {
                return Err(Failure::input(format!(
                    "{} is no patch: it changes no file",
                    file.display()
                ))
                .hint("a patch is what `git diff` prints"));
            }
            copy = patched(file)?;
            changes
        }
        None => changes_since(&arguments.diff)?,
    };
    let root = copy.as_ref().map_or(Path::new("."), |copy| copy.path());
    let options = Options { threads: arguments.threads, today: today(), ..Options::default() };
    let mut report = audit(&[root.to_owned()], &options)
        .map_err(|cause| Failure::input("cannot audit").because(&cause))?;
    if copy.is_some() {
        report.make_relative(&root.to_string_lossy());
    }
    let exceptions = root.join(EXCEPTIONS);
    if exceptions.exists() {
        let text = fs::read_to_string(&exceptions)
            .map_err(|cause| Failure::input(format!("cannot read {EXCEPTIONS}")).because(&cause))?;
        let list = Exceptions::parse(EXCEPTIONS, &text)
            .map_err(|cause| Failure::input(cause.to_string()))?;
        list.apply(&mut report, &today());
    }
    let review = stemson_audit::review(&report, &changes);
    let text = match arguments.format {
        Format::Text => review.text(),
        Format::Markdown => review.markdown(),
        Format::Json => format!("{:#}\n", review.json()),
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if review.decision == Decision::Reject { Verdict::Bad } else { Verdict::Good })
}

/// Lines that differ from where this branch left `reference`, and files that Git does not know.
fn changes_since(reference: &str) -> Result<Changes, Failure> {
    let base = git(&["merge-base", "--end-of-options", reference, "HEAD"])?;
    let base = if base.status.success() { text(&base) } else { reference.to_owned() };
    let diff = git(&[
        "diff",
        "--unified=0",
        "--no-color",
        "--no-ext-diff",
        "--no-renames",
        "--relative",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--end-of-options",
        base.trim(),
        "--",
    ])?;
    if !diff.status.success() {
        let why = String::from_utf8_lossy(&diff.stderr).trim().to_owned();
        return Err(Failure::input(format!("cannot compare with `{reference}`: {why}"))
            .hint("run it inside of a Git repository, with a branch or commit that is there"));
    }
    let mut changes = Changes::parse(&text(&diff));
    let fresh = git(&["ls-files", "--others", "--exclude-standard"])?;
    text(&fresh).lines().for_each(|path| changes.all(path));
    Ok(changes)
}

/// A copy of the repository with the patch in it; none where the working tree has it already.
fn patched(file: &Path) -> Result<Option<tempfile::TempDir>, Failure> {
    let shown = file.to_string_lossy();
    let patch = fs::canonicalize(file)
        .map_err(|cause| Failure::input(format!("cannot read {shown}")).because(&cause))?;
    let patch = patch.to_string_lossy();
    if git(&["apply", "--reverse", "--check", &patch])?.status.success() {
        return Ok(None);
    }
    let outside =
        |cause: io::Error| Failure::outside("cannot make a copy of the repository").because(&cause);
    let folder = tempfile::tempdir().map_err(outside)?;
    let prefix = format!("--prefix={}/", folder.path().display());
    let copied = git(&["checkout-index", "--all", &prefix])?;
    let applied = Command::new("git")
        .arg("apply")
        .arg("--unsafe-paths")
        .arg(&*patch)
        .current_dir(folder.path())
        .env("GIT_CEILING_DIRECTORIES", folder.path())
        .output()
        .map_err(outside)?;
    if !copied.status.success() || !applied.status.success() {
        let why = String::from_utf8_lossy(&applied.stderr).trim().to_owned();
        return Err(Failure::input(format!("{shown} does not fit this repository: {why}"))
            .hint("check the branch out that the patch is for"));
    }
    Ok(Some(folder))
}

fn git(arguments: &[&str]) -> Result<Output, Failure> {
    let output = Command::new("git").args(arguments).output();
    output.map_err(|cause| Failure::outside("cannot run git").because(&cause))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
