//! Interpreters of Python that no package index has, compiled from Debian's source.

use std::fs;
use std::path::{Path, PathBuf};

use crate::setup;
use crate::step::{Failed, Step};

/// Python 3.13 without a global lock, with pip. Nothing where its source or a compiler is not to be
/// had, which is said.
pub(crate) fn free_threaded() -> Option<PathBuf> {
    let prefix = crate::target().join("python-free-threaded");
    let mark = prefix.join("made");
    let made = || {
        setup::python_build()?;
        let options = ["--disable-gil", &format!("--prefix={}", prefix.display())];
        let built = prefix.join("build");
        compile(&built, &options)?;
        let chdir = format!("env --chdir={}", built.display());
        Step::new("python", &chdir).arguments(&["make", "--silent", "install"]).quiet().run()?;
        fs::write(&mark, "").map_err(|cause| Failed::new("python", cause))
    };
    if let Err(failed) = if mark.is_file() { Ok(()) } else { made() } {
        eprintln!("==> free-threaded: skipped: {failed}");
        return None;
    }
    Some(prefix.join("bin/python3.13t"))
}

/// Compiles Python 3.13 in a folder, to be installed from there.
pub(crate) fn compile(built: &Path, options: &[&str]) -> Result<(), Failed> {
    let configure = source()?.join("configure").to_string_lossy().into_owned();
    fs::create_dir_all(built).map_err(|cause| Failed::new("python", cause))?;
    let chdir = format!("env --chdir={}", built.display());
    Step::new("python", &chdir)
        .arguments(&[&configure, "--quiet", "--disable-test-modules"])
        .arguments(options)
        .quiet()
        .run()?;
    Step::new("python", &chdir).arguments(&["make", "--silent", "-j2"]).quiet().run()
}

/// The source of Python 3.13, as Debian 13 has it, unpacked below the target folder.
fn source() -> Result<PathBuf, Failed> {
    let failed = |cause: std::io::Error| Failed::new("python-source", cause);
    let folder = crate::target().join("python-source");
    let unpacked = folder.join("unpacked");
    if unpacked.join("done").is_file() {
        return Ok(unpacked);
    }
    drop(fs::remove_dir_all(&folder));
    for name in ["unpacked", "parts", "lists/partial"] {
        fs::create_dir_all(folder.join(name)).map_err(failed)?;
    }
    // Where this machine has its packages from, sources in place of them, and of Debian 13.
    let mut sources = String::new();
    for entry in fs::read_dir("/etc/apt/sources.list.d").map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|it| it == "sources") {
            sources.push_str(&fs::read_to_string(path).map_err(failed)?);
            sources.push('\n');
        }
    }
    let sources = sources.replace("Types: deb\n", "Types: deb-src\n").replace("bookworm", "trixie");
    fs::write(folder.join("parts/python.sources"), sources).map_err(failed)?;
    let path = folder.to_string_lossy();
    let options = [
        "-qq".to_owned(),
        "-oDir::Etc::SourceList=/dev/null".to_owned(),
        format!("-oDir::Etc::SourceParts={path}/parts"),
        format!("-oDir::State::Lists={path}/lists"),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let chdir = format!("env --chdir={path}");
    let apt = |words: &[&str]| {
        Step::new("python-source", &chdir)
            .arguments(&[&["apt-get"], words, &options].concat())
            .run()
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", "--tar-only", "python3.13"])?;
    let unpack = ["sh", "-c", "tar --extract --strip-components=1 -C unpacked -f *.orig.tar.*"];
    Step::new("python-source", &chdir).arguments(&unpack).run()?;
    fs::write(unpacked.join("done"), "").map_err(failed)?;
    Ok(unpacked)
}
