//! Which wheel and which binary run on which base image: tried in roots of files, by chroot.
//!
//! A root stands for an image: Debian's by debootstrap, the others made of the files that such an
//! image has. In each the same rows are scored by what runs there, and the answers must be the same
//! bytes. What was found is written into `docs/guide/images.md`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{Failed, Step};
use crate::{interpreters, release, setup, wheel};

/// Scores rows with nothing but the wheel and Python's own library, and prints what it ran on.
pub(crate) const QUESTION: &str = "crates/python/tests/images/ask.py";

/// The model and the rows that are asked about.
const MODEL: &str = "benches/models/gbm100d6";

const GLIBC: &str = "x86_64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const ARM_GLIBC: &str = "aarch64-unknown-linux-gnu";

/// Where the table stands.
const PAGE: &str = "docs/guide/images.md";
const START: &str = "<!-- images -->\n";
const END: &str = "<!-- end images -->";

/// A root of files.
struct Image {
    name: &'static str,
    /// What it stands for.
    stands_for: &'static str,
    make: fn(&Path) -> Result<(), Failed>,
    /// Its interpreter, and the target of the wheel for it.
    python: Option<(&'static str, &'static str)>,
    has_pip: bool,
}

impl Image {
    /// Another processor's, which is emulated: the wheel alone is tried.
    fn is_arm(&self) -> bool {
        matches!(self.python, Some((_, ARM_GLIBC)))
    }
}

/// The distroless root is made of Debian 12's, which stands before it.
const IMAGES: [Image; 6] = [
    Image {
        name: "debian-12",
        stands_for: "`debian:bookworm-slim`, `python:3.11-slim-bookworm`",
        make: |root| debian("bookworm", root),
        python: Some(("/usr/bin/python3", GLIBC)),
        has_pip: true,
    },
    Image {
        name: "debian-13",
        stands_for: "`debian:trixie-slim`, `python:3.13-slim`",
        make: |root| debian("trixie", root),
        python: Some(("/usr/bin/python3", GLIBC)),
        has_pip: true,
    },
    Image {
        name: "distroless",
        stands_for: "distroless `python3-debian12`: libc, libz, libexpat, Python, no shell",
        make: distroless,
        python: Some(("/usr/bin/python3.11", GLIBC)),
        has_pip: false,
    },
    Image {
        name: "musl",
        stands_for: "`python:3.13-alpine`: musl in place of glibc",
        make: musl,
        python: Some(("/usr/local/bin/python3.13", MUSL)),
        has_pip: false,
    },
    Image {
        name: "debian-12-arm64",
        stands_for: "`debian:bookworm-slim` on aarch64, emulated",
        make: debian_arm,
        python: Some(("/usr/bin/python3.11", ARM_GLIBC)),
        has_pip: false,
    },
    Image {
        name: "empty",
        stands_for: "`scratch`, distroless `static`",
        make: |_| Ok(()),
        python: None,
        has_pip: false,
    },
];

/// Builds what ships, makes the roots that are not there, and tries one in the other.
pub(crate) fn run() -> Result<(), Failed> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("==> images: skipped, needs Linux on x86-64");
        return Ok(());
    }
    setup::images()?;
    let root = |image: &Image| crate::target().join("images").join(image.name);
    IMAGES.iter().try_for_each(|image| made(image, &root(image)))?;
    wheel::release(&[GLIBC, MUSL, ARM_GLIBC])?;
    release::build(MUSL)?;
    let binary = crate::target().join(MUSL).join("dist/stemson");
    let mut table = String::from(
        "| root | stands for | in it | wheel | binary |\n| --- | --- | --- | --- | --- |\n",
    );
    // What the binary answers in the first root, and the wheel: all others must say the same.
    let mut first: [Option<String>; 2] = [None, None];
    for image in &IMAGES {
        let found = tried(image, &root(image), &binary)?;
        let (system, wheel) = found.python.unwrap_or(("no Python".to_owned(), String::new()));
        let platform = match image.python {
            Some((_, MUSL)) => "`musllinux_1_2`",
            Some(_) => "`manylinux2014`",
            None => "",
        };
        let Image { name, stands_for, .. } = image;
        let runs = if found.binary.is_empty() { "not tried" } else { "runs" };
        writeln!(table, "| `{name}` | {stands_for} | {system} | {platform} | {runs} |")
            .map_err(failed)?;
        for (first, answer) in first.iter_mut().zip([found.binary, wheel]) {
            if !answer.is_empty() && *first.get_or_insert_with(|| answer.clone()) != answer {
                return Err(Failed::new("images", format!("other answers in {name}")));
            }
        }
    }
    eprintln!("{table}");
    publish(&table)
}

/// What was found in a root.
struct Tried {
    /// The system as the wheel sees it, and the sum of its answers.
    python: Option<(String, String)>,
    /// All that the binary writes; nothing where it was not tried.
    binary: String,
}

/// Scores the rows with what runs in a root.
fn tried(image: &Image, root: &Path, binary: &Path) -> Result<Tried, Failed> {
    let asked = root.join("ask");
    drop(fs::remove_dir_all(&asked));
    fs::create_dir_all(&asked).map_err(failed)?;
    copy(binary, &asked.join("stemson"))?;
    copy(&crate::root().join(QUESTION), &asked.join("ask.py"))?;
    for name in ["model.zip", "input.csv"] {
        copy(&crate::root().join(MODEL).join(name), &asked.join(name))?;
    }
    let score = ["/ask/stemson", "score", "/ask/model.zip", "--input", "/ask/input.csv"];
    let scored = if image.is_arm() { String::new() } else { inside(image, root, &score)? };
    let Some((python, target)) = image.python else {
        return Ok(Tried { python: None, binary: scored });
    };
    let wheel = wheel::only_wheel(&crate::target().join("wheels").join(target))?;
    if image.has_pip {
        // pip looks at the system: it takes no wheel that is for another one.
        let other = if target == GLIBC { MUSL } else { GLIBC };
        let other = wheel::only_wheel(&crate::target().join("wheels").join(other))?;
        install(image, root, python, &wheel)?;
        if install(image, root, python, &other).is_ok() {
            return Err(Failed::new("images", format!("{other} was installed in {}", image.name)));
        }
    } else {
        // Where there is no pip, an image takes what another stage has installed.
        let site = asked.join("site").to_string_lossy().into_owned();
        let unpack = ["-m", "zipfile", "--extract", &wheel, &site];
        Step::new("images", "python3").arguments(&unpack).run()?;
    }
    let said = inside(image, root, &[python, "/ask/ask.py", "/ask"])?;
    let mut lines = said.lines().map(str::to_owned);
    let python = lines.next().zip(lines.next());
    if python.is_none() {
        return Err(Failed::new("images", format!("`{said}` instead of an answer")));
    }
    Ok(Tried { python, binary: scored })
}

fn install(image: &Image, root: &Path, python: &str, wheel: &str) -> Result<String, Failed> {
    let name = Path::new(wheel).file_name().unwrap_or_default().to_string_lossy().into_owned();
    copy(Path::new(wheel), &root.join("ask").join(&name))?;
    let pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--target", "/ask/site"];
    inside(image, root, &[&pip[..], &[&format!("/ask/{name}")]].concat())
}

/// What a program prints that sees nothing but the root.
fn inside(image: &Image, root: &Path, words: &[&str]) -> Result<String, Failed> {
    eprintln!("==> images: {}: {}", image.name, words.join(" "));
    let mut command = if image.is_arm() {
        // It sees this machine's files behind those of the root, but nothing here is for that
        // processor. The program itself it looks for here alone.
        let mut emulator = Command::new("qemu-aarch64");
        let (program, words) = words.split_first().unwrap_or((&"", &[]));
        emulator.arg("-L").arg(root).arg(root.join(program.trim_start_matches('/'))).args(words);
        emulator
    } else {
        let mut chroot = Command::new("chroot");
        chroot.arg(root).args(words);
        chroot
    };
    command.env_clear().env("PYTHONPATH", "/ask/site");
    // `chroot` itself is looked for there, too.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let words = words.join(" ");
        return Err(Failed::new("images", format!("`{words}` in {}: {said}", root.display())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes a root once; a half-made one is made again.
fn made(image: &Image, root: &Path) -> Result<(), Failed> {
    let mark = root.join("made");
    if mark.is_file() {
        return Ok(());
    }
    drop(fs::remove_dir_all(root));
    fs::create_dir_all(root).map_err(failed)?;
    (image.make)(root)?;
    fs::write(mark, "").map_err(failed)
}

fn debian(suite: &str, root: &Path) -> Result<(), Failed> {
    Step::new("debootstrap", "debootstrap --variant=minbase --include=python3,python3-pip")
        .arguments(&[suite, &root.to_string_lossy()])
        .quiet()
        .run()
}

/// The packages of another processor, unpacked: nothing of them is run to set them up.
fn debian_arm(root: &Path) -> Result<(), Failed> {
    let path = root.to_string_lossy();
    Step::new("debootstrap", "debootstrap --arch=arm64 --variant=minbase --include=python3")
        .arguments(&["--download-only", "bookworm", &path])
        .quiet()
        .run()?;
    let packages = root.join("var/cache/apt/archives");
    for entry in fs::read_dir(&packages).map_err(failed)? {
        let package = entry.map_err(failed)?.path();
        if package.extension().is_some_and(|it| it == "deb") {
            let unpack = ["--extract", &package.to_string_lossy(), &path];
            Step::new("images", "dpkg-deb").arguments(&unpack).run()?;
        }
    }
    fs::remove_dir_all(packages).map_err(failed)
}

/// Python and the libraries that it needs, out of Debian 12's root.
fn distroless(root: &Path) -> Result<(), Failed> {
    let from = root.with_file_name("debian-12");
    let libraries = "usr/lib/x86_64-linux-gnu";
    // Links of a merged /usr.
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).map_err(failed)?;
    }
    for name in ["usr/bin/python3.11", "usr/lib/python3.11", "usr/lib64"] {
        take(&from.join(name), &root.join(name))?;
    }
    // libc6 of the image has them all; what is built for glibc 2.17 asks for libdl and libpthread by
    // name, which are empty since 2.34.
    let needed = [
        "ld-linux-x86-64",
        "libc",
        "libm",
        "libdl",
        "libpthread",
        "libz",
        "libexpat",
        "libffi",
        "libgcc_s",
    ];
    for entry in fs::read_dir(from.join(libraries)).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if needed.iter().any(|it| name.starts_with(&format!("{it}."))) {
            take(&path, &root.join(libraries).join(&name))?;
        }
    }
    Ok(())
}

/// musl's loader and an interpreter that was built against it, from Debian's source of it.
fn musl(root: &Path) -> Result<(), Failed> {
    let built = crate::target().join("images/python-musl");
    fs::create_dir_all(&built).map_err(failed)?;
    // gcc's wrapper for musl forgets to say that it compiles for another system.
    let compiler = built.join("cc");
    let wrapper = "#!/bin/sh\n[ \"$1\" = --print-multiarch ] && exec echo x86_64-linux-musl\n\
                   exec musl-gcc \"$@\"\n";
    fs::write(&compiler, wrapper).map_err(failed)?;
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let compiler = format!("CC={}", compiler.display());
    // This machine's libraries are glibc's.
    let options = [&compiler, "--prefix=/usr/local", "--with-ensurepip=no", "PKG_CONFIG=false"];
    interpreters::compile(&built, &options)?;
    let destination = format!("DESTDIR={}", root.display());
    Step::new("python", &format!("env --chdir={}", built.display()))
        .arguments(&["make", "--silent", "commoninstall", "altbininstall", &destination])
        .quiet()
        .run()?;
    take(Path::new("/usr/lib/x86_64-linux-musl/libc.so"), &root.join("lib/ld-musl-x86_64.so.1"))
}

/// A file or a folder with all that is in it; links stay links, but for the first.
fn take(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    Step::new("copy", "cp -dR").arguments(&[&from, &to]).run()
}

fn copy(from: &Path, to: &PathBuf) -> Result<(), Failed> {
    fs::copy(from, to).map(drop).map_err(failed)
}

/// Puts the table into the page.
fn publish(table: &str) -> Result<(), Failed> {
    let page = crate::root().join(PAGE);
    let text = fs::read_to_string(&page).map_err(failed)?;
    let parts = text.split_once(START).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{START}{table}{END}{after}"))
    });
    let text = parts.ok_or_else(|| Failed::new("images", format!("{PAGE} has no `{START}`")))?;
    fs::write(page, text).map_err(failed)
}

fn failed(cause: impl std::fmt::Display) -> Failed {
    Failed::new("images", cause)
}
