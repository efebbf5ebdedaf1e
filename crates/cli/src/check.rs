//! `stemson check`: what may ship, and what will break.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use stemson_audit::{
    Baseline, Exceptions, Limits, Options, Profile, Report, Selection, VIEWS, day, import, mend,
    report, view,
};

use crate::check_settings::Settings;
use crate::failure::{Failure, Verdict};
use crate::output_file::OutputFile;
use crate::terminal::{plural, say, stdout_has_colour};

/// Looks through a repository for models that may not ship, and for what will break in production.
///
/// Models are judged by content, never by name: pickles, POJOs, H2O's binary models, damaged MOJOs and
/// containers that cannot be looked into are blocked, hidden and ignored files too, but for `.git`.
/// Code, SQL, manifests and images are read without running anything; `stemson rules` lists what is
/// looked for, `stemson explain RULE` argues it. Exit code 1: an error was found that nothing lets pass.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stemson check                                   the working directory
  stemson check models dist --format sarif > check.sarif
  stemson check --select LE-PROC-01,cache --changed-since origin/main
  stemson check --write-baseline stemson-baseline.json
  stemson check --diff                            what --fix would change

A comment lets a finding pass: `# stemson: ignore[RULE] until=2027-03-31 why`.
`[check]` in `stemson.toml` has select, ignore, profile, baseline, exceptions.

Exceptions for artifacts stand in `stemson-exceptions.toml`, in the working directory or a PATH:
  [[exception]]
  sha256 = \"...\"          # of the file, as `check` prints it
  rule = \"pickle\"
  reason = \"encoder of the old model, replaced in March\"
  approved_by = \"ada@example.org\"
  expires = 2027-03-31")]
pub(crate) struct Arguments {
    /// Files and folders
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Text for people, JSON for scripts, SARIF 2.1.0, annotations of GitHub, code quality of GitLab, `JUnit`
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only these rules, stories (LE-PROC-01) or areas (cache)
    #[arg(long, value_name = "RULE,...", value_delimiter = ',')]
    select: Vec<String>,
    /// Not these rules, stories or areas
    #[arg(long, value_name = "RULE,...", value_delimiter = ',')]
    ignore: Vec<String>,
    /// `strict`: warnings fail, too; `mage`: without what speaks of servers
    #[arg(long, value_enum)]
    profile: Option<ProfileName>,
    /// Lets pass what the file lists
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,
    /// Writes all that is open into a baseline, and ends well
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Only findings in, or by a call through, files that differ from this commit
    #[arg(long, value_name = "REF")]
    changed_since: Option<String>,
    /// Mends what can be mended safely
    #[arg(long, conflicts_with = "diff")]
    fix: bool,
    /// Shows what --fix would change
    #[arg(long)]
    diff: bool,
    /// SARIF file of another tool, to be taken into the report
    #[arg(long, value_name = "FILE")]
    import: Vec<PathBuf>,
    /// Exceptions to use instead of those found
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// Configuration; by default `stemson.toml` where it is found
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Looks at everything again
    #[arg(long)]
    no_cache: bool,
    /// Largest file that is looked into, and most that one file may unpack to, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    max_mib: u32,
    /// Print the checklist of a view with what rules can tell ticked: logical, process, development,
    /// physical, scenario
    #[arg(long, value_name = "VIEW", value_parser = clap::builder::PossibleValuesParser::new(VIEWS.iter().map(|view| view.name)))]
    checklist: Option<String>,
    /// Threads; by default one per core
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
    Gitlab,
    Junit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ProfileName {
    Standard,
    Strict,
    Mage,
}

/// Where exceptions are looked for.
const EXCEPTIONS: &str = "stemson-exceptions.toml";

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    // What is wrong with a file of ours is said at once, not after a long walk.
    let settings = Settings::read(arguments.config.as_deref())?;
    let exceptions = read_exceptions(arguments, &settings)?;
    let baseline = match arguments.baseline.as_ref().or(settings.baseline.as_ref()) {
        Some(path) if arguments.write_baseline.is_none() => Some((path, read_baseline(path)?)),
        _ => None,
    };
    let today = today();
    let options = options(arguments, &settings, &today)?;
    let found = stemson_audit::audit(&arguments.paths, &options);
    let mut found = found.map_err(|cause| Failure::input(format!("cannot check {cause}")))?;
    for list in &exceptions {
        list.apply(&mut found, &today);
    }
    if let Some((path, baseline)) = &baseline {
        baseline.apply(&mut found, &path.display().to_string());
    }
    for path in &arguments.import {
        take_in(path, &mut found)?;
    }
    if let Some(path) = &arguments.write_baseline {
        return write_baseline(path, &found);
    }
    if arguments.diff {
        return print(&differences(&found)?, Verdict::Good);
    }
    if arguments.fix {
        mend_files(&found)?;
    }
    let verdict = if found.is_good() { Verdict::Good } else { Verdict::Bad };
    let text = match arguments.checklist.as_deref().and_then(view) {
        Some(view) => view.render(Some(&found)),
        None => render(&found, arguments.format)?,
    };
    print(&text, verdict)
}

fn print(text: &str, verdict: Verdict) -> Result<Verdict, Failure> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(verdict)
}

/// The day it is, of UTC: `2026-11-26`.
pub(crate) fn today() -> String {
    day(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn options(arguments: &Arguments, settings: &Settings, today: &str) -> Result<Options, Failure> {
    let bytes_max = usize::try_from(u64::from(arguments.max_mib) << 20).unwrap_or(usize::MAX);
    let limits =
        Limits { file_bytes_max: bytes_max, unpacked_bytes_max: bytes_max, ..Limits::default() };
    let profile = match arguments.profile.or(settings.profile) {
        None | Some(ProfileName::Standard) => Profile::Standard,
        Some(ProfileName::Strict) => Profile::Strict,
        Some(ProfileName::Mage) => Profile::Mage,
    };
    let select = if arguments.select.is_empty() { &settings.select } else { &arguments.select };
    let ignore = settings.ignore.iter().chain(&arguments.ignore).cloned().collect();
    let selection = Selection::new(select.clone(), ignore, profile).map_err(|word| {
        Failure::input(format!("no rule, story or area is called `{word}`"))
            .hint("`stemson rules` lists all of them")
    })?;
    let only =
        arguments.changed_since.as_deref().map(|reference| changed(reference, &arguments.paths));
    Ok(Options {
        limits,
        threads: arguments.threads,
        selection,
        today: today.to_owned(),
        only: only.transpose()?,
        cache: cache(arguments),
    })
}

/// Where other tools keep what can be made again, and what tells this build from another.
fn cache(arguments: &Arguments) -> Option<(PathBuf, String)> {
    if arguments.no_cache {
        return None;
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    let program = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let written = program.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((folder.join("stemson"), format!("{} {}", program.len(), written.as_nanos())))
}

/// Files that differ from a commit, or are new, as `check` shows them.
fn changed(reference: &str, paths: &[PathBuf]) -> Result<BTreeSet<String>, Failure> {
    let root = git(Path::new("."), &["rev-parse", "--show-toplevel"])?;
    let root = PathBuf::from(root.trim_end_matches('\n'));
    let differ = git(&root, &["diff", "--name-only", "-z", reference, "--"])?;
    let new = git(&root, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    let here = std::env::current_dir().and_then(fs::canonicalize).unwrap_or_default();
    let mut shown = BTreeSet::new();
    for name in differ.split('\0').chain(new.split('\0')).filter(|name| !name.is_empty()) {
        let whole = root.join(name);
        // Paths are shown below the folder that was named, in the way in which it was named.
        for path in paths {
            let base = path.canonicalize().unwrap_or_else(|_| here.join(path));
            if let Ok(below) = whole.strip_prefix(&base) {
                let at = if below.as_os_str().is_empty() { path.clone() } else { path.join(below) };
                let text = at.to_string_lossy().replace('\\', "/");
                shown.insert(text.strip_prefix("./").unwrap_or(&text).to_owned());
            }
        }
    }
    Ok(shown)
}

fn git(folder: &Path, words: &[&str]) -> Result<String, Failure> {
    let run = Command::new("git").current_dir(folder).args(words).output();
    let run = run.map_err(|cause| Failure::outside("cannot run git").because(&cause))?;
    if !run.status.success() {
        let why = String::from_utf8_lossy(&run.stderr);
        let why = why.lines().next().unwrap_or("no reason is given");
        return Err(Failure::input(format!("--changed-since: git {}: {why}", words[0]))
            .hint("name a commit of the repository that the working directory lies in"));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

fn render(found: &Report, format: Format) -> Result<String, Failure> {
    let value = match format {
        Format::Text => return Ok(report::text(found, stdout_has_colour())),
        Format::Github => return Ok(report::github(found)),
        Format::Junit => return Ok(report::junit(found)),
        Format::Json => report::json(found),
        Format::Sarif => report::sarif(found),
        Format::Gitlab => report::gitlab(found),
    };
    let json = serde_json::to_string_pretty(&value);
    Ok(json.map_err(|cause| Failure::input("cannot render JSON").because(&cause))? + "\n")
}

/// What `--fix` would change, as a patch.
fn differences(found: &Report) -> Result<String, Failure> {
    let mut text = String::new();
    for (path, (_, edits)) in mend::fixes(found) {
        let before = read_text(Path::new(path))?;
        if let Some(after) = mend::mended(&before, &edits) {
            text += &mend::diff(path, &before, &after);
        }
    }
    Ok(text)
}

fn mend_files(found: &Report) -> Result<(), Failure> {
    let (mut count, mut files) = (0, 0);
    for (path, (fixes, edits)) in mend::fixes(found) {
        let place = Path::new(path);
        if let Some(after) = mend::mended(&read_text(place)?, &edits) {
            write_whole(place, &after)?;
            count += fixes;
            files += 1;
        }
    }
    say(format_args!(
        "mended {} in {}; what follows is from before",
        plural(count as u64, "finding"),
        plural(files, "file")
    ));
    Ok(())
}

fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let beside = path.with_extension("stemson-tmp");
    let written = fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(path)?.permissions()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|cause| {
        drop(fs::remove_file(&beside));
        Failure::input(format!("cannot write {}", path.display())).because(&cause)
    })
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|cause| Failure::input(format!("cannot read {}", path.display())).because(&cause))
}

fn read_baseline(path: &Path) -> Result<Baseline, Failure> {
    Baseline::parse(&read_text(path)?).map_err(|why| {
        Failure::input(format!("{}: {why}", path.display()))
            .hint("`stemson check --write-baseline FILE` writes one")
    })
}

fn write_baseline(path: &Path, found: &Report) -> Result<Verdict, Failure> {
    let baseline = Baseline::of(found);
    let cannot = |cause: io::Error| {
        Failure::input(format!("cannot write {}", path.display())).because(&cause)
    };
    let mut file = OutputFile::create(path).map_err(cannot)?;
    file.write_all(baseline.render().as_bytes()).and_then(|()| file.finish()).map_err(cannot)?;
    let count = plural(baseline.len() as u64, "finding");
    say(format_args!(
        "{count} in {}: `stemson check --baseline {0}` finds only new ones",
        path.display()
    ));
    Ok(Verdict::Good)
}

fn take_in(path: &Path, found: &mut Report) -> Result<(), Failure> {
    let (results, runs) = import::sarif(&read_text(path)?)
        .map_err(|why| Failure::input(format!("{} {why}", path.display())))?;
    found.imported.extend(results);
    found.imported_runs.extend(runs);
    Ok(())
}

fn read_exceptions(arguments: &Arguments, settings: &Settings) -> Result<Vec<Exceptions>, Failure> {
    let places: Vec<PathBuf> = match arguments.exceptions.as_ref().or(settings.exceptions.as_ref())
    {
        Some(path) => vec![path.clone()],
        None => {
            let folders = arguments.paths.iter().filter(|path| path.is_dir());
            let beside = folders.map(|folder| folder.join(EXCEPTIONS));
            let all = [PathBuf::from(EXCEPTIONS)].into_iter().chain(beside);
            all.filter(|path| path.exists()).collect()
        }
    };
    let mut seen = BTreeSet::new();
    let fresh = places.iter().filter(|path| seen.insert(path.canonicalize().unwrap_or_default()));
    fresh.map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Exceptions, Failure> {
    let shown = path.display();
    Exceptions::parse(&shown.to_string(), &read_text(path)?).map_err(|cause| {
        Failure::input(cause.to_string())
            .hint("an exception needs sha256, rule, reason, approved_by and expires; see `stemson check --help`")
    })
}
